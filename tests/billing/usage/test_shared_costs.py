"""Costs that several rates share: each study takes its part, the parts are the whole, and nothing is taken twice."""

import io
from decimal import Decimal

import openpyxl
import pytest
from django.core.management import CommandError
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from billing.models import AuditEvent, SharedCost, SharedCostPart, UsageFeed
from billing.models.shared_costs import SharedCostLocked
from billing.usage import studies
from billing.usage.studies.equation import Cost, Share, Shared, as_data, figures_from_data
from tests.build import NOW, SOMEBODY, a_source
from tests.stories.stage import command

from .test_bringing import JANUARY, a_schedule, job
from .test_rate_studies import Evaluator, a_cost, a_study, text_of
from .test_trying_rates import used

pytestmark = pytest.mark.django_db

BY = {"actor": SOMEBODY, "now": NOW}
COSTS = """\
Cost,Kind,Amount,Acquisition cost,Federally funded,Life years,In service,Note,Shared by,Feed,Rate,Share
Engineers,staff,100000.01,,,,,By time sheets,percent,tiger,cpu,60
,,,,,,,,,lion,gpu,40
Switches,depreciation,,120000,20000,5,2024-10-15,,rack units,tiger,cpu,1
,,,,,,,,,lion,gpu,2
"""


@pytest.fixture
def both(tiger):
    """Two feeds with a rate each: cpu of tiger, gpu of lion."""
    a_schedule([{"price": "1"}], name="lions", code="gpu")
    lion = UsageFeed.objects.create(
        name="lion", source=a_source("gpus", import_mode="snapshot"), kind=tiger.kind, schedule="lions"
    )
    return tiger, lion


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shared.csv"
    path.write_text(COSTS, encoding="utf-8")
    return path


@given(
    amount=st.decimals(0, 10**9, places=2),
    excluded=st.decimals(0, 10**6, places=2),
    weights=st.lists(st.decimals("0.01", 10**5, places=2), min_size=1, max_size=9),
)
def test_the_parts_are_the_whole_to_the_cent_and_none_is_off_by_more_than_one(amount, excluded, weights):
    whole = Cost("Engineers", "staff", amount, excluded)
    shares = tuple(Share(str(number), weight) for number, weight in enumerate(weights))
    parts = [Shared(whole, "hours", shares, own).part("USD") for own in range(len(shares))]
    assert sum(part.amount for part in parts) == amount
    assert sum(part.excluded for part in parts) == excluded
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.amount * sum(weights) - amount * weight) <= sum(weights) * Decimal("0.01")
        assert part.amount >= 0


def test_each_study_takes_its_part_and_together_they_are_the_cost(both, file):
    tiger, lion = both
    done = command("rate_study", "share", file, "--year", "2025")
    assert (done["added"], done["replaced"]) == (2, 0)
    mine, other = a_study(tiger), a_study(lion, rate="gpu")
    a_cost(mine, "70")
    # 60% of 100,000.01; a third of 15,000.00 in the rate and of 3,000.00 that an award paid.
    assert [(each.name, each.amount, each.excluded) for each in studies.figures_of(mine).costs] == [
        ("Engineers", Decimal("70"), 0),
        ("Engineers", Decimal("60000.01"), 0),
        ("Switches", Decimal("5000.00"), Decimal("1000.00")),
    ]
    found = studies.figures_of(other)
    assert [each.amount for each in found.costs] == [Decimal("40000.00"), Decimal("10000.00")]
    assert (studies.figures_of(mine).allowable, found.excluded) == (Decimal("65070.01"), Decimal("2000.00"))
    # A study of another year or rate has none of it.
    assert not studies.figures_of(a_study(tiger, fiscal_year=2026)).costs
    listed = command("rate_study", "shared")["shared"]
    assert [part["study"] for part in listed[0]["parts"]] == [mine.pk, other.pk]
    assert sum(Decimal(part["amount"]) for part in listed[0]["parts"]) == Decimal("100000.01")


def test_what_an_adopted_study_took_is_locked_and_the_others_take_the_rest(both, file, tmp_path):
    tiger, lion = both
    used(tmp_path, job(1, JANUARY, 10, 50))
    command("rate_study", "share", file, "--year", "2025")
    adopted = studies.adopt(study=a_study(tiger), **BY)
    assert adopted.figures == figures_from_data(as_data(adopted.figures))
    assert adopted.figures.costs[0].shared.share.weight == 60
    assert studies.figures_of(a_study(lion, rate="gpu")).costs[0].amount == Decimal("40000.00")
    shared = SharedCost.objects.get(name="Engineers")
    part = shared.parts.first()
    for change in (
        lambda: shared.save(),
        lambda: shared.delete(),
        lambda: SharedCost.objects.update(note="x"),
        lambda: SharedCost.objects.all().delete(),
        lambda: part.save(),
        lambda: part.delete(),
    ):
        with pytest.raises(SharedCostLocked, match="Engineers, FY2025 does not change any more"):
            change()
    with pytest.raises(CommandError, match="does not change any more"):
        command("rate_study", "share", file, "--year", "2025")
    # Nor can its study take a further part, which would be in no rate.
    text = COSTS.replace("Engineers", "Operators").replace("Switches", "Racks")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(
        CommandError, match=r"line 2: The study of tiger, cpu for FY2025 was adopted .* no further part"
    ):
        command("rate_study", "share", file, "--year", "2025")
    assert SharedCost.objects.count() == 2


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_sharedcost SET amount = 1 WHERE kind = 'staff'",
        "UPDATE billing_sharedcost SET locked_at = NULL",
        "DELETE FROM billing_sharedcostpart",
        "UPDATE billing_sharedcostpart SET share = '1'",
    ],
)
def test_the_database_refuses_to_change_what_an_adopted_study_took(both, file, tmp_path, sql):
    used(tmp_path, job(1, JANUARY, 10, 50))
    command("rate_study", "share", file, "--year", "2025")
    studies.adopt(study=a_study(both[0]), **BY)
    refused = pytest.raises(DatabaseError, match="a shared cost that an adopted study has its part of is locked")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_the_workbook_divides_by_formulas(both, file, tmp_path):
    tiger, lion = both
    used(tmp_path, job(1, JANUARY, 10, 50))
    command("rate_study", "share", file, "--year", "2025")
    for study in (a_study(tiger), a_study(lion, rate="gpu")):
        found = studies.studied(study)
        content = io.BytesIO()
        studies.write_workbook(found, content)
        book = openpyxl.load_workbook(content)
        assert book.sheetnames == ["Rate", "Costs", "Use", "Shared", "Shares"]
        asked = Evaluator(book)
        for row, cost in enumerate(found.figures.costs, start=2):
            assert asked.value("Costs", f"H{row}") == cost.amount
            assert asked.value("Costs", f"I{row}") == cost.excluded
        # All parts of both costs stand there, and come to the wholes.
        assert sum(asked.value("Shares", f"F{row}") for row in range(2, 6)) == Decimal("115000.01")
        assert sum(asked.value("Shares", f"G{row}") for row in range(2, 6)) == Decimal("3000.00")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lion,gpu,40", "lion,gpu,39.5", "line 2: The shares sum to 99.5 percent, not to 100."),
        ("lion,gpu,40", "tiger,cpu,40", "line 2: tiger, cpu is there twice."),
        ("lion,gpu,40", "lion,tpu,40", "line 2: lions v1 has no rate “tpu”. It has: gpu."),
        ("lion,gpu,40", "puma,gpu,40", "line 3, feed: There is no usage feed “puma”. Known: lion, tiger."),
        ("lion,gpu,40", "lion,gpu,-40", "line 3, share: “-40” is not a number"),
        ("lion,gpu,40", "lion,gpu,0", "line 3, share: A share is above 0."),
        ("lion,gpu,40", "lion,,40", "line 3, rate: is empty"),
        (",,,,,,,,,lion,gpu,40\n", "", "line 2: Name two rates or more that share it."),
        ("100000.01", "100000.005", "line 2: A shared cost is in whole cents of USD"),
        ("100000.01", "", "line 2, amount: Enter what it cost in the year."),
        ("Switches", "Engineers", "line 4, cost: Engineers is there twice"),
        (",,,,,,,,,lion,gpu,2", ",staff,,,,,,,,lion,gpu,2", "line 5, kind: stands on the first line of its cost."),
    ],
)
def test_a_mistake_is_told_by_its_line_and_nothing_is_stored(both, file, old, new, message):
    assert COSTS.count(old) == 1
    file.write_text(COSTS.replace(old, new), encoding="utf-8")
    with pytest.raises(CommandError) as error:
        command("rate_study", "share", file, "--year", "2025")
    assert message in str(error.value)
    assert not SharedCost.objects.exists()


def test_a_file_replaces_what_has_its_name_and_a_dry_run_stores_nothing(both, file):
    assert command("rate_study", "share", file, "--year", "2025", "--dry-run")["added"] == 2
    assert not SharedCost.objects.exists()
    command("rate_study", "share", file, "--year", "2025")
    file.write_text(COSTS.replace(",cpu,60", ",cpu,50").replace(",gpu,40", ",gpu,50"), encoding="utf-8")
    assert command("rate_study", "share", file, "--year", "2025")["replaced"] == 2
    assert SharedCostPart.objects.count() == 4
    event = AuditEvent.objects.filter(action="shared_cost.changed").earliest("pk")
    assert (event.before["parts"], event.after["parts"]) == (
        ["tiger, cpu 60", "lion, gpu 40"],
        ["tiger, cpu 50", "lion, gpu 50"],
    )


def test_the_page_checks_the_shares_and_says_who_takes_them(both, client, cast, tmp_path):
    tiger, lion = both
    client.force_login(cast.finance)
    filled = {
        "fiscal_year": "2025",
        "name": "Engineers",
        "kind": "staff",
        "amount": "100000.00",
        "base": "percent",
        "parts-TOTAL_FORMS": "2",
        "parts-INITIAL_FORMS": "0",
        "parts-0-feed": tiger.pk,
        "parts-0-rate": "cpu",
        "parts-0-share": "60",
        "parts-1-feed": lion.pk,
        "parts-1-rate": "gpu",
        "parts-1-share": "30",
    }
    address = reverse("admin:billing_sharedcost_add")
    assert "The shares sum to 90 percent, not to 100." in text_of(client.post(address, filled))
    assert not SharedCost.objects.exists()
    client.post(address, filled | {"parts-1-share": "40"})
    shared = SharedCost.objects.get()
    study = a_study(tiger)
    page = text_of(client.get(reverse("admin:billing_sharedcost_change", args=[shared.pk])))
    assert "60,000.00" in page
    assert f"{study}</a>, draft" in page
    assert "no study yet: this part is in no rate" in page
    page = text_of(client.get(reverse("admin:billing_ratestudy_change", args=[study.pk])))
    assert "Part of 100,000.00: 60 percent; lion, gpu has 40" in page
    a_cost(study, "1")
    used(tmp_path, job(1, JANUARY, 10, 50))
    studies.adopt(study=study, **BY)
    page = text_of(client.get(reverse("admin:billing_sharedcost_change", args=[shared.pk])))
    assert "60,000.00" in page
    assert 'name="amount"' not in page
    assert "Locked" in text_of(client.get(reverse("admin:billing_sharedcost_changelist")))
