"""Rate studies from a terminal: costs from a file, all of it or nothing, and what it says of each mistake."""

import io
from decimal import Decimal

import openpyxl
import pytest
from django.core.management import CommandError

from billing.models import AuditEvent, CostPool, RateStudy
from billing.usage import studies
from tests.stories.stage import command

from .test_bringing import JANUARY, job
from .test_rate_studies import a_cost, a_study
from .test_trying_rates import used

pytestmark = pytest.mark.django_db

COSTS = """\
Cost,Kind,Amount,Acquisition cost,Federally funded,Life years,In service,Note
Engineers,Staff,"60,000.00",,,,,Three of them
Power,facilities,9000,,,,,
Nodes,Depreciation,,120000,20000,5,2024-10-15,
Reception,unallowable,1200,,,,,
"""


@pytest.fixture
def costs(tmp_path):
    path = tmp_path / "costs.csv"
    path.write_text(COSTS, encoding="utf-8")
    return path


def read(text):
    return studies.read_costs(io.BytesIO(text.encode()))


def test_a_study_is_drafted_adopted_and_exported_without_a_page(tiger, tmp_path, costs):
    used(tmp_path, job(1, JANUARY, 500, 1000))
    add = ("rate_study", "add", "-f", "tiger", "--rate", "cpu", "--year", "2025", "--costs", costs)
    # First it is only asked what it would come to.
    data = command(*add, "--opening-balance", "-500.50", "--dry-run")
    assert (data["study"], data["dry_run"], data["costs"]) == (None, True, 4)
    assert data["figures"]["allowable"] == "84000.0000"
    assert not RateStudy.objects.exists()
    assert not CostPool.objects.exists()
    assert not AuditEvent.objects.filter(action__startswith="rate_study").exists()
    # Then it is stored, and comes to the same.
    stored = command(*add, "--opening-balance", "-500.50")
    assert stored["figures"] == data["figures"]
    study = RateStudy.objects.get(pk=stored["study"])
    assert study.opening_balance == Decimal("-500.50")
    assert [(each.name, each.kind) for each in study.pools.all()] == [
        ("Engineers", "staff"),
        ("Power", "facilities"),
        ("Nodes", "depreciation"),
        ("Reception", "unallowable"),
    ]
    event = AuditEvent.objects.get(action="rate_study.added")
    assert event.after["costs"][0] == {
        "name": "Engineers",
        "kind": "staff",
        "amount": "60000.00",
        "federally_funded": "0.00",
        "note": "Three of them",
    }
    command("rate_study", "adopt", study.pk)
    with pytest.raises(CommandError, match="was adopted, and does not change any more"):
        command("rate_study", "costs", study.pk, costs)


def test_costs_of_a_draft_are_replaced_and_never_those_of_another(tiger, tmp_path, costs):
    study = a_study(tiger)
    other = a_study(tiger, fiscal_year=2024)
    a_cost(study, "1")
    a_cost(other, "2")
    command("rate_study", "costs", study.pk, costs, "--dry-run")
    assert study.pools.get().amount == 1
    command("rate_study", "costs", study.pk, costs)
    assert study.pools.count() == 4
    assert other.pools.get().amount == 2
    event = AuditEvent.objects.get(action="rate_study.costs_replaced")
    assert [each["name"] for each in event.before["costs"]] == ["Engineers"]
    assert len(event.after["costs"]) == 4


def test_a_workbook_is_read_as_a_csv_file_is(tiger, tmp_path, costs):
    book = openpyxl.Workbook()
    book.active.append(["Cost", "Kind", "Amount"])
    book.active.append(["Engineers", "Staff", 60000.25])
    path = tmp_path / "costs.xlsx"
    book.save(path)
    with path.open("rb") as file:
        (cost,) = studies.read_costs(file)
    assert (cost.name, cost.kind, cost.amount) == ("Engineers", "staff", Decimal("60000.25"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Engineers,staff,many,,,,,", "line 2, amount: “many” is not a number"),
        ("Engineers,staff,,,,,,", "line 2, amount: Enter what it cost in the year."),
        ("Engineers,staff,-5,,,,,", "line 2, amount: “-5” is not a number"),
        ("Engineers,,5,,,,,", "line 2, kind: is empty"),
        ("Engineers,wages,5,,,,,", "line 2, kind: “wages” is not one of: Staff, Supplies"),
        (",staff,5,,,,,", "line 2, cost: This field cannot be blank."),
        ("Nodes,depreciation,5,120,,5,2024-10-15,", "line 2, amount: Depreciation follows from cost and useful life."),
        ("Nodes,depreciation,,120,,,2024-10-15,", "line 2, life_years: Its useful life has to be entered"),
        ("Nodes,depreciation,,120,,2.5,2024-10-15,", "line 2, life_years: “2.5” is not a whole number of years."),
        ("Nodes,depreciation,,120,,5,2024-13-01,", "line 2, in_service: “2024-13-01” is not a date"),
        ("Nodes,depreciation,,120,130,5,2024-10-15,", "line 2, federally_funded: It is more than the whole cost."),
        ("Engineers,staff,5,,,5,,", "line 2, life_years: This is for depreciation alone. Leave it empty."),
    ],
)
def test_a_mistake_is_told_by_its_line_and_column(line, message):
    heading = COSTS.splitlines()[0]
    with pytest.raises(studies.CostsRefused) as error:
        read(f"{heading}\n{line}\n")
    assert message in str(error.value)
    assert len(error.value.errors) == 1, error.value.errors


def test_all_mistakes_are_told_and_nothing_is_stored(tiger, tmp_path):
    path = tmp_path / "costs.csv"
    path.write_text("Cost,Kind,Amount\nEngineers,staff,x\nPower,facilities,9\nReception,none,3\n", encoding="utf-8")
    with pytest.raises(CommandError, match=r"No costs were read\.\nline 2, amount: .*\nline 4, kind: "):
        command("rate_study", "add", "-f", "tiger", "--rate", "cpu", "--year", "2025", "--costs", path)
    assert not RateStudy.objects.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Kind,Amount\nstaff,1\n", "The file has no column cost."),
        ("Cost,Kind,Sum\nEngineers,staff,1\n", "Unknown columns: sum."),
        ("Cost,Kind,Amount\n", "The file has no costs."),
    ],
)
def test_a_file_that_is_no_list_of_costs_is_refused(text, message):
    with pytest.raises(studies.CostsRefused, match=message):
        read(text)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--rate", "gpu", "--year", "2025"], "has no rate “gpu”. It has: cpu"),
        (["--rate", "cpu", "--year", "25"], "2000"),
        (["--rate", "cpu", "--year", "2025", "--expected-units", "some"], "--expected-units: “some” is not a number"),
        (["--rate", "cpu", "--year", "2025", "--expected-units", "-3"], "greater than or equal to 0"),
        (["--rate", "cpu", "--year", "2025", "--decimals", "9"], "less than or equal to 8"),
    ],
)
def test_what_the_options_say_is_checked(tiger, more, message):
    with pytest.raises(CommandError, match=message):
        command("rate_study", "add", "-f", "tiger", *more)
    assert not RateStudy.objects.exists()


def test_a_study_is_not_drafted_twice(tiger):
    study = a_study(tiger)
    with pytest.raises(CommandError, match=f"There is a draft already: study {study.pk}"):
        command("rate_study", "add", "-f", "tiger", "--rate", "cpu", "--year", "2025")
    assert RateStudy.objects.count() == 1
