"""Rows as they come: kept in a file without a name, and made charges piece by piece."""

import pytest

from billing.importing.staging import spool
from billing.models import Charge
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(spool, "TOGETHER", 3)


def charges():
    return list(Charge.objects.live().order_by("id").values_list("line_number", "billed_cost", "state"))


def test_rows_of_many_pieces_become_charges_in_the_order_of_the_file(tmp_path):
    rows = [a_row(str(number), ResourceId=f"i-{number % 4}") for number in range(1, 11)]
    delivered(tmp_path, rows)
    assert charges() == [(number + 1, number, "clear") for number in range(1, 11)]


def test_who_pays_is_each_rows_own_whatever_its_texts(tmp_path):
    funds = ["BIO-001", "a\\b", "tab\there", "N\\N", "ü", "new\nline", "a\x1fb"]
    rows = [
        a_row(str(place), tags={"pi_email": f"pi{place % 3}@u.edu", "project_id": "p", "fund_org": fund})
        for place, fund in enumerate(funds, start=1)
    ]
    delivered(tmp_path, rows)
    said = Charge.objects.live().order_by("id").values_list("fund_org", "pi__email")
    assert list(said) == [(" ".join(fund.split()), f"pi{place % 3}@u.edu") for place, fund in enumerate(funds, start=1)]


def test_rows_are_held_in_whatever_piece_they_are(tmp_path):
    """The sixth and the ninth are charges of another source already."""
    rows = [a_row(str(number), ResourceId=f"i-{number}") for number in range(1, 11)]
    delivered(tmp_path, [rows[5], rows[8]], source=build.a_source("azure"))
    delivered(tmp_path, rows, name="aws.csv")
    held = [line for line, _, state in charges() if state == "held"]
    assert held == [7, 10]


def test_what_changes_among_many_pieces_is_laid_out_alone(tmp_path):
    rows = [a_row(str(number), ResourceId=f"i-{number}") for number in range(1, 11)]
    delivered(tmp_path, rows)
    changed = [{**row, "BilledCost": "100"} if row["ResourceId"] in ("i-4", "i-10") else row for row in rows]
    counts = delivered(tmp_path, changed, name="again.csv").counts
    assert (counts.changed, counts.unchanged, counts.new) == (2, 8, 0)
    assert [billed for _, billed, _ in charges()] == [1, 2, 3, 5, 6, 7, 8, 9, 100, 100]
