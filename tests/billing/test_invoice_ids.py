"""Invoice ids that a provider fills in late: the same charges still, with all that was decided about them."""

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import review
from billing.importing.matching import further, match
from billing.models import Charge
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db


def counts(result):
    return (result.counts.new, result.counts.changed, result.counts.unchanged, result.counts.withdrawn)


@pytest.fixture
def approved(tmp_path):
    """An account of three rows without an invoice id, of which the first is approved, and the second corrected."""
    rows = [a_row("100", ResourceId="a"), a_row("7", ResourceId="b"), a_row("7", ResourceId="b")]
    delivered(tmp_path, rows)
    first, second, _ = Charge.objects.order_by("id")
    reassignment = review.Reassignment(fund_org="OTHER-1")
    review.reattribute(
        create=True, charges=[second.pk], reassignment=reassignment, note="", actor=build.SOMEBODY, now=build.NOW
    )
    Charge.objects.filter(pk=first.pk).update(state="approved")
    return rows


def invoiced(rows, number="INV-1"):
    return [row | {"InvoiceId": number} for row in rows]


def test_decisions_survive_an_invoice_id_that_is_filled_in_later(tmp_path, approved):
    result = delivered(tmp_path, invoiced(approved))
    assert counts(result) == (0, 3, 0, 0)
    live = Charge.objects.live().order_by("id")
    assert list(live.values_list("resource__resource_id", "state", "fund_org", "account__invoice_id")) == [
        ("a", "approved", "BIO-001", "INV-1"),
        ("b", "clear", "OTHER-1", "INV-1"),
        ("b", "clear", "BIO-001", "INV-1"),
    ]
    assert counts(delivered(tmp_path, approved)) == (0, 3, 0, 0)
    assert list(live.values_list("state", "fund_org"))[:2] == [("approved", "BIO-001"), ("clear", "OTHER-1")]


def test_rows_of_one_identity_keep_their_amounts_when_invoice_ids_come_in_another_order(tmp_path):
    rows = [a_row("1"), a_row("50"), a_row("9")]
    delivered(tmp_path, rows)
    Charge.objects.filter(billed_cost=50).update(state="approved")
    assert counts(delivered(tmp_path, invoiced(rows[::-1]))) == (0, 3, 0, 0)
    assert Charge.objects.live().get(state="approved").billed_cost == 50


def test_an_amount_that_changes_with_the_invoice_id_is_the_same_charge_still(tmp_path, approved):
    changed = [approved[0] | {"BilledCost": "130"}, *approved[1:]]
    assert counts(delivered(tmp_path, invoiced(changed))) == (0, 3, 0, 0)
    charge = Charge.objects.live().get(resource__resource_id="a")
    assert (charge.state, charge.flags.get().code, charge.replaces.billed_cost) == ("held", "amount_changed", 100)


def test_another_invoice_is_another_charge(tmp_path):
    delivered(tmp_path, invoiced([a_row(ResourceId=str(n)) for n in range(5)]))
    result = delivered(tmp_path, invoiced([a_row(ResourceId=str(n)) for n in range(5)], "INV-2"), replace=True)
    assert counts(result) == (5, 0, 0, 5)


def test_a_tax_row_that_gets_its_invoice_id_is_not_counted_twice_where_files_are_merged(tmp_path):
    source = build.a_source("aws", import_mode="merge")
    rows = [a_row("19", ResourceId="", ChargeCategory="Tax"), a_row("5", ResourceId="", ChargeCategory="Credit")]
    delivered(tmp_path, rows, source=source)
    result = delivered(tmp_path, invoiced([rows[0], rows[1] | {"BilledCost": "6"}]), source=source)
    # What is equal but for the id is known again; without a resource, another amount is another row.
    assert counts(result) == (1, 1, 0, 0)
    assert result.counts.unseen == 1


def test_months_that_get_invoice_ids_are_not_mixed_up(tmp_path):
    january, february = a_row(), a_row() | {"BillingPeriodStart": "2025-02-01", "BillingPeriodEnd": "2025-03-01"}
    delivered(tmp_path, [january, february], name="aws_all.csv")
    assert counts(delivered(tmp_path, [january, *invoiced([february])], name="aws_all.csv")) == (0, 1, 1, 0)
    assert Charge.objects.live().get(account__invoice_id="INV-1").period.month == datetime.date(2025, 2, 1)


@pytest.mark.parametrize("grain", ["day", "month"])
def test_charges_that_were_added_up_are_known_again_too(tmp_path, grain):
    source = build.a_source("aws", grain=grain)
    delivered(tmp_path, [a_row("1"), a_row("2")], source=source)
    assert counts(delivered(tmp_path, invoiced([a_row("1"), a_row("2")]), source=source)) == (0, 1, 0, 0)


keys = st.lists(st.integers(0, 4), max_size=30)


def hashes(numbers):
    return b"".join(number.to_bytes(16, "big") for number in numbers)


@given(keys, keys, st.integers(0, 30))
def test_what_is_known_again_leaves_every_row_and_charge_in_one_place(rows, live, known):
    found = match(hashes(range(100, 100 + len(rows))), hashes(range(200, 200 + len(rows))), hashes(live), hashes(live))
    among = np.arange(len(rows))[:known]
    more = further(found, among, np.arange(len(live)), hashes(rows[:known]), hashes(live))
    assert sorted([*more.changed_rows, *more.new_rows]) == list(range(len(rows)))
    assert sorted([*more.changed_live, *more.gone_live]) == list(range(len(live)))
    assert all(rows[row] == live[charge] for row, charge in zip(more.changed_rows, more.changed_live, strict=True))
    assert list(more.changed_rows) == sorted(more.changed_rows)
