"""The files a research computing group gave us: 59 charges, 20,227.00, to the cent, from file to ledger.

They lie beside the checkout and are not part of it; without them these tests are left out.
"""

from decimal import Decimal
from pathlib import Path

import pytest

from billing.models import Charge, Import, ImportTotal, Person, Project
from openchargeback import reference
from tests.build import NOW, SOMEBODY

from .stage import command

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "samples"
GIVEN = SAMPLES / "openchargeback"
OFFICIAL = SAMPLES / "focus_official" / "focus_sample_1.0_1000.csv"

pytestmark = pytest.mark.django_db

# File name without month -> rows and exact sum of BilledCost.
EXPECTED = {
    "aws": (25, "19086.75"),
    "azure": (4, "735.25"),
    "hpc": (9, "0.00"),
    "it_storage": (6, "360.00"),
    "storage": (15, "45.00"),
}


@pytest.fixture
def january(db):
    if not GIVEN.is_dir():
        pytest.skip(f"The given samples are not at {GIVEN}.")
    reference.load_reference(actor=SOMEBODY, now=NOW)
    return {name: command("ingest", GIVEN / f"{name}_2025-01.csv") for name in EXPECTED}


def approve_all():
    if Charge.objects.held().exists():
        command("review", "approve", "-p", "2025-01", "--note", "as given")


def test_each_file_finds_its_source_by_the_longest_pattern(january):
    assert {name: result["source"] for name, result in january.items()} == {name: name for name in EXPECTED}


def test_rows_and_sums_are_those_of_the_files(january):
    found = {name: (result["rows"], result["totals"]["USD"]["BilledCost"]) for name, result in january.items()}
    assert found == EXPECTED
    assert {name: result["stored"] for name, result in january.items()} == {
        name: result["totals"] for name, result in january.items()
    }


def test_there_are_59_charges_of_7_pis_and_10_projects(january):
    charges = Charge.objects.live()
    assert charges.count() == 59
    assert sum(charges.values_list("billed_cost", flat=True)) == Decimal("20227.00")
    assert Person.objects.filter(charges__in=charges).distinct().count() == 7
    assert Project.objects.filter(charges__in=charges).distinct().count() == 10


def test_ten_statements_come_to_all_that_was_billed(january):
    approve_all()
    generated = command("generate", "-p", "2025-01")
    assert len(generated["statements"]) == 10
    assert sum(Decimal(each["due"]) for each in generated["statements"]) == Decimal("20227.00")


def test_the_ledger_gets_all_of_it_once_the_sources_have_accounting(january):
    approve_all()
    for number, name in enumerate(EXPECTED):
        command(
            *("sources", "set", name, "--recovery-fund-org", f"RC-{number}00"),
            *("--recovery-account", "4900", "--debit-account", "6500"),
        )
    exported = command("export_journal", "-p", "2025-01", "-f", "gl", "--submit")
    assert (exported["debits"], exported["credits"]) == ("20227.00", "20227.00")


def test_both_given_months_import_twice_without_a_change(january):
    for name in EXPECTED:
        command("ingest", GIVEN / f"{name}_2025-12.csv")
    before = Charge.objects.live().count()
    for path in sorted(GIVEN.glob("*.csv")):
        again = command("ingest", path)
        assert (again["new"], again["changed"], again["withdrawn"]) == (0, 0, 0)
    assert Charge.objects.live().count() == before
    assert Charge.objects.count() == before


# Provider -> rows and the exact sums, to the file's last digit, published with the FOCUS sample.
OFFICIAL_TOTALS = {
    "AWS": (942, "18.00663861840", "13.00000000000", "18.14931764060", "13.00000000000"),
    "Microsoft": (51, "1.97651418586", "1.97651418586", "1.97651418586", "1.97626039326"),
    "Oracle": (7, "0.53707392473", "0", "0.26507392473", "0"),
}


def test_the_official_sample_is_kept_to_the_last_digit_with_what_rounding_took(db):
    if not OFFICIAL.is_file():
        pytest.skip(f"The official sample is not at {OFFICIAL}.")
    reference.load_reference(actor=SOMEBODY, now=NOW)
    result = command("ingest", OFFICIAL, "-s", "aws")
    columns = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
    exact = {
        column: sum(Decimal(totals[position]) for totals in OFFICIAL_TOTALS.values())
        for position, column in enumerate(columns, start=1)
    }
    assert result["rows"] == 1000
    assert {column: Decimal(result["totals"]["USD"][column]) for column in columns} == exact
    imported = Import.objects.get(pk=result["import"])
    assert {column: Decimal(imported.totals["USD"][column]) for column in columns} == exact
    stored = sum(Charge.objects.filter(product__provider_name="AWS").values_list("billed_cost", flat=True))
    # 942 rows of at most 11 decimals, each to 8: never off by more than half a unit a row.
    assert abs(stored - Decimal(OFFICIAL_TOTALS["AWS"][1])) <= 942 * Decimal("0.000000005")
    scopes = ImportTotal.objects.filter(imported_in=imported)
    assert sum(Decimal(scope.billed_exact) for scope in scopes) == exact["BilledCost"]
    assert sum(scope.billed_stored for scope in scopes) == sum(Charge.objects.values_list("billed_cost", flat=True))
