"""The same cost twice is noticed, whatever its packing, order and source, and the answer is remembered."""

import gzip
import zipfile
from decimal import Decimal

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from billing import review
from billing.importing import booking, duplicates
from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused
from billing.importing.withdrawing import withdraw
from billing.models import AuditEvent, Charge, Flag, Import, ReviewDecision, Source
from tests import build
from tests.billing.deliveries import a_file, a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}
CODE = Flag.Code.POSSIBLE_DUPLICATE

A, B, C = (a_row(amount, ResourceId=name) for amount, name in (("10", "i-a"), ("20", "i-b"), ("30", "i-c")))
FEE = a_row("5", ResourceId="", ServiceName="Support")


def adding_up(**fields):
    return build.a_source("oci", import_mode=Source.ImportMode.APPEND, **fields)


def brought(tmp_path, rows, name="oci_2.csv", source=None, **options):
    return delivered(tmp_path, rows, name, source or adding_up(), **options)


def live():
    return sorted(Charge.objects.live().values_list("resource__resource_id", "billed_cost", "state"))


def held():
    return sorted(Charge.objects.held().values_list("resource__resource_id", flat=True))


# Packed otherwise --------------------------------------------------------------------------------


def packed(tmp_path, how):
    """Write the rows of `oci_1.csv` once more, otherwise."""
    plain = a_file(tmp_path, [A, B, FEE, FEE], "oci_1.csv")
    text = plain.read_text()
    columns = list(A)
    path = tmp_path / f"oci_again.{how.partition(':')[0]}"
    if how == "csv.gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
    elif how == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(plain, "inside.csv")
    elif how == "csv:crlf":
        path.write_bytes(text.replace("\r\n", "\n").encode())
    elif how == "csv:bom":
        path.write_text(text, encoding="utf-8-sig")
    elif how == "csv:order":
        a_file(tmp_path, [FEE, B, A, FEE], path.name)
    elif how == "csv:columns":
        a_file(tmp_path, [dict(reversed(row.items())) | {"x_extra": "1"} for row in (A, B, FEE, FEE)], path.name)
    elif how == "csv:numbers":
        a_file(tmp_path, [row | {"BilledCost": f"{row['BilledCost']}.000"} for row in (A, B, FEE, FEE)], path.name)
    elif how == "xlsx":
        book = openpyxl.Workbook()
        for row in ([*columns], *([row[name] for name in columns] for row in (A, B, FEE, FEE))):
            book.active.append(row)
        book.save(path)
    elif how == "parquet":
        pq.write_table(pa.table({name: [row[name] for row in (A, B, FEE, FEE)] for name in columns}), path)
    return plain, path


@pytest.mark.parametrize(
    "how",
    [
        *("csv.gz", "zip", "csv:crlf", "csv:bom", "csv:order", "csv:columns", "csv:numbers"),
        *("xlsx", "parquet"),
    ],
)
def test_the_same_rows_packed_otherwise_are_already_imported(tmp_path, how):
    plain, again = packed(tmp_path, how)
    first = ingest(paths=[plain], source=adding_up(), **BY)
    before = live()
    assert [each.state for each in Charge.objects.live()] == ["clear"] * 4
    dry = ingest(paths=[again], source=adding_up(), dry_run=True, **BY)
    assert dry.as_text().startswith(f"Already imported: {dry.seen_before[0]}.")
    result = ingest(paths=[again], source=adding_up(), **BY)
    assert result.state == "applied"
    assert f"(import {first.imported.pk})" in result.as_text()
    assert (result.rows, result.counts.new, live()) == (0, 0, before)
    assert AuditEvent.objects.filter(action="import.seen_before").count() == 1


def test_a_withdrawn_import_does_not_stand_for_its_rows(tmp_path):
    first = brought(tmp_path, [A, B], "oci_1.csv")
    withdraw(imported=first.imported, **BY)
    result = brought(tmp_path, [B, A])
    assert (result.counts.new, result.flags, len(live())) == (2, {}, 2)


def test_a_file_that_was_passed_over_comes_in_once_what_stood_is_withdrawn(tmp_path):
    first = brought(tmp_path, [A, B], "oci_1.csv").imported
    assert brought(tmp_path, [B, A], "oci_2.csv").seen_before
    withdraw(imported=first, **BY)
    result = brought(tmp_path, [B, A], "oci_2.csv")
    assert (result.seen_before, result.counts.new, len(live())) == ((), 2, 2)
    assert brought(tmp_path, [A, B], "oci_1.csv").seen_before


def test_files_of_one_import_are_known_one_by_one_and_joined(tmp_path):
    files = [a_file(tmp_path, [A, FEE], "oci_1.csv"), a_file(tmp_path, [B, C], "oci_2.csv")]
    ingest(paths=files, source=adding_up(), **BY)
    assert brought(tmp_path, [C, B], "oci_3.csv").seen_before
    assert brought(tmp_path, [C, B, A, FEE], "oci_4.csv").seen_before
    both = [a_file(tmp_path, [FEE, A], "oci_5.csv"), a_file(tmp_path, [C, B], "oci_6.csv")]
    assert len(ingest(paths=both, source=adding_up(), **BY).seen_before) == 2
    assert len(live()) == 4


def test_a_file_that_is_new_beside_one_that_stands_is_imported(tmp_path):
    brought(tmp_path, [A, B], "oci_1.csv")
    both = [a_file(tmp_path, [B, A], "oci_2.csv"), a_file(tmp_path, [C], "oci_3.csv")]
    result = ingest(paths=both, source=adding_up(), **BY)
    assert (result.counts.new, result.counts.unchanged, result.flags) == (1, 2, {})
    assert len(live()) == 3


@pytest.mark.parametrize("mode", ["append", "snapshot", "merge"])
def test_two_files_of_the_same_rows_in_one_delivery_are_refused(tmp_path, mode):
    files = [a_file(tmp_path, [A, B], "oci_1.csv"), a_file(tmp_path, [B, A], "oci_2.csv")]
    with pytest.raises(ImportRefused, match=r"oci_2\.csv has the same rows as oci_1\.csv\. Name one of them\."):
        ingest(paths=files, source=build.a_source("oci", import_mode=mode), **BY)
    assert live() == []


def test_a_source_kept_by_month_knows_the_same_rows_again(tmp_path):
    source = adding_up(grain=Source.Grain.MONTH)
    brought(tmp_path, [A, B], "oci_1.csv", source)
    assert brought(tmp_path, [B, A], "oci_2.csv", source).seen_before
    assert len(live()) == 2


# Parts and overlaps ------------------------------------------------------------------------------


def test_a_part_of_an_earlier_file_is_imported_and_held(tmp_path):
    first = brought(tmp_path, [A, B, FEE], "oci_1.csv")
    result = brought(tmp_path, [FEE, B])
    assert (result.counts.new, result.flagged, result.flags) == (2, 2, {"possible_duplicate": 2})
    assert held() == ["", "i-b"]
    charge = Charge.objects.get(imported_in=first.imported, resource__resource_id="i-b")
    flag = Flag.objects.get(charge__imported_in=result.imported, charge__resource__resource_id="i-b")
    assert flag.detail == f"The same row is charge {charge.pk}, of import {first.imported.pk}."
    assert not flag.is_blocking


def test_two_earlier_files_joined_are_imported_and_held(tmp_path):
    brought(tmp_path, [A], "oci_1.csv")
    brought(tmp_path, [B, FEE], "oci_2.csv")
    assert brought(tmp_path, [FEE, A, B], "oci_3.csv").flags == {"possible_duplicate": 3}


def test_of_an_overlap_what_is_a_resources_cost_is_held_and_the_rest_is_clear(tmp_path):
    nothing = a_row("0", ResourceId="i-free")
    brought(tmp_path, [A, B, FEE, nothing], "oci_1.csv")
    result = brought(tmp_path, [B, C, FEE, nothing])
    assert (held(), result.flags) == (["i-b"], {"possible_duplicate": 1})
    assert len(live()) == 8


def test_equal_fees_of_one_file_stay_two_and_only_as_many_are_asked_about_as_are_there(tmp_path):
    brought(tmp_path, [FEE, FEE, A], "oci_1.csv")
    assert [state for _, _, state in live()] == ["clear"] * 3
    brought(tmp_path, [A, A, A, C])
    assert held() == ["i-a"]


def test_a_reversal_and_a_correction_are_no_duplicates(tmp_path):
    brought(tmp_path, [A, B], "oci_1.csv")
    negative = a_row("-10", ResourceId="i-a")
    corrected = a_row("20", ResourceId="i-b", ChargeClass="Correction")
    assert brought(tmp_path, [negative, corrected]).flags == {}
    assert held() == []


# Answers -----------------------------------------------------------------------------------------


def test_what_was_rejected_as_the_same_stays_rejected_in_another_file(tmp_path):
    brought(tmp_path, [A, B], "oci_1.csv")
    brought(tmp_path, [A, C], "oci_2.csv")
    (asked,) = Charge.objects.held()
    review.reject(provider_credits=True, charges=[asked.pk], reason="duplicate", **BY)
    result = brought(tmp_path, [a_row("40", ResourceId="i-d"), A], "oci_3.csv")
    assert result.flags == {}
    again = Charge.objects.get(imported_in=result.imported, resource__resource_id="i-a")
    decision = ReviewDecision.objects.get(charge=again)
    assert (again.state, decision.action, decision.before["charge"]) == ("rejected", "inherit", asked.pk)
    assert sum(cost for _, cost, state in live() if state == "clear") == 100
    review.undo(charges=[again.pk], **BY)
    assert Charge.objects.get(pk=again.pk).state == "held"


def test_a_row_of_another_packing_is_not_asked_about_twice(tmp_path):
    brought(tmp_path, [A, B], "oci_1.csv")
    brought(tmp_path, [A], "oci_2.csv")
    review.approve(charges=Charge.objects.held(), **BY)
    before = live()
    result = brought(tmp_path, [dict(reversed(A.items()))], "oci_3.csv")
    assert (result.seen_before != (), live()) == (True, before)


def test_what_was_told_apart_takes_its_place_again_and_one_more_is_another_question(tmp_path):
    brought(tmp_path, [A, B], "oci_1.csv")
    second = brought(tmp_path, [A, C], "oci_2.csv").imported
    review.approve(charges=Charge.objects.held(), **BY)
    withdraw(imported=second, **BY)
    third = brought(tmp_path, [C, A, a_row("40", ResourceId="i-d")], "oci_3.csv")
    assert (third.flags, held()) == ({}, [])
    fourth = brought(tmp_path, [A, a_row("50", ResourceId="i-e")], "oci_4.csv")
    assert (fourth.flags, held()) == ({"possible_duplicate": 1}, ["i-a"])


def test_a_row_whose_like_was_rejected_as_the_same_alone_is_charged(tmp_path):
    first = brought(tmp_path, [A, B], "oci_1.csv").imported
    brought(tmp_path, [A, C], "oci_2.csv")
    review.reject(provider_credits=True, charges=Charge.objects.held(), reason="duplicate", **BY)
    Charge.objects.filter(imported_in=first).update(withdrawn_in=first)
    Import.objects.filter(pk=first.pk).update(state="withdrawn", withdrawn_at=build.NOW)
    brought(tmp_path, [A, B, FEE], "oci_3.csv")
    assert ("i-a", Decimal(10), "clear") in live()


# Across sources ----------------------------------------------------------------------------------


def together(tmp_path, source, *lots):
    """Import files as one delivery, which no manifest names."""
    paths = [a_file(tmp_path, rows, f"{source.name}_{number}.csv") for number, rows in enumerate(lots, start=1)]
    return ingest(paths=paths, source=source, **BY)


@pytest.mark.parametrize("mode", ["append", "snapshot", "merge"])
def test_files_of_one_delivery_that_overlap_are_asked_about(tmp_path, mode):
    result = together(tmp_path, build.a_source("cloud", import_mode=mode), [A, B, FEE], [B, C, FEE])
    assert (held(), result.flags["possible_duplicate"]) == (["i-b"], 1)
    assert Flag.objects.get(code=CODE).detail == "The same row is in cloud_1.csv, too."
    # Equal rows of one file are as many as they are, and of the file with the most of them none is asked about.
    other = a_row("40", ResourceId="i-d")
    again = together(tmp_path, build.a_source("other", import_mode=mode), [other], [other, other])
    assert Charge.objects.filter(imported_in=again.imported, state="held", flags__detail__contains="csv").count() == 1


@pytest.mark.parametrize("grain", ["day", "month"])
@pytest.mark.parametrize("mode", ["append", "snapshot"])
def test_the_same_rows_twice_in_a_delivery_that_is_added_up_are_refused(tmp_path, mode, grain):
    source = build.a_source("cloud", import_mode=mode, grain=grain)
    with pytest.raises(ImportRefused, match="cloud_2.csv has the same rows as cloud_1.csv"):
        together(tmp_path, source, [A, B, FEE], [FEE, B, A])
    assert not Charge.objects.exists()
    together(tmp_path, source, [A, B, FEE], [C, B, FEE])
    assert sum(Charge.objects.live().values_list("billed_cost", flat=True)) == 90


def test_what_was_rejected_as_the_same_is_asked_about_again_once_the_other_is_withdrawn(tmp_path):
    """A file is imported under the wrong source, then under the right one, and then the first import is withdrawn."""
    wrong = delivered(tmp_path, [A, B])
    right = cloud(tmp_path, [A, B])
    assert held() == ["i-a", "i-b"]
    review.reject(
        provider_credits=True,
        charges=Charge.objects.filter(resource__resource_id="i-a", state="held"),
        reason="duplicate",
        **BY,
    )
    review.reject(
        provider_credits=True,
        charges=Charge.objects.filter(resource__resource_id="i-b", state="held"),
        reason="not_ours",
        note="x",
        **BY,
    )
    done = withdraw(imported=wrong.imported, **BY)
    assert done.asked_again == 1
    assert "1 charge that was rejected as the same cost is held again" in str(done)
    assert held() == ["i-a"]
    assert Charge.objects.get(resource__resource_id="i-a", imported_in=right.imported).state == "held"


def cloud(tmp_path, rows, name="cloud_1.csv", mode="snapshot", **options):
    return delivered(tmp_path, rows, name, build.a_source("cloud", import_mode=mode), **options)


@pytest.mark.parametrize("mode", ["append", "snapshot", "merge"])
def test_the_same_cost_of_another_source_is_imported_and_held(tmp_path, mode):
    first = delivered(tmp_path, [A, B, FEE])
    result = cloud(tmp_path, [A | {"Tags": "{}", "ListCost": "99", "ResourceName": "a"}, C, FEE], mode=mode)
    assert (held(), result.flags["possible_duplicate"]) == (["i-a"], 1)
    charge = Charge.objects.get(imported_in=first.imported, resource__resource_id="i-a")
    flag = Flag.objects.get(charge__imported_in=result.imported, code=CODE)
    assert flag.detail == (
        f"The same cost is charge {charge.pk}, of import {first.imported.pk} of the source {charge.source.name}."
    )


@pytest.fixture
def overtaken(tmp_path, monkeypatch):
    """Another source's import of A that is only seen when the next one is about to be applied."""
    delivered(tmp_path, [A])
    found = duplicates.imports_elsewhere
    turns = []
    monkeypatch.setattr(duplicates, "imports_elsewhere", lambda *asked: found(*asked) if turns else {})
    monkeypatch.setattr(duplicates, "take_turns", lambda: turns.append(1))


def test_a_cost_that_another_source_brings_at_this_moment_is_noticed(tmp_path, overtaken):
    """The import is compared once more, and then somebody is asked."""
    cloud(tmp_path, [A])
    assert held() == ["i-a"]


def test_a_cost_that_is_no_others_goes_on_beside_an_import_of_another_source(tmp_path, overtaken):
    cloud(tmp_path, [B])
    assert live() == [("i-a", Decimal(10), "clear"), ("i-b", Decimal(20), "clear")]


@pytest.mark.parametrize(
    "other",
    [
        {"BilledCost": "-10"},
        {"ChargeClass": "Correction"},
        {"ChargeCategory": "Credit"},
        {"BillingCurrency": "EUR"},
        {"ServiceName": "Disk"},
        {"ResourceId": ""},
        {"ResourceId": "I-A"},
        {"BillingAccountId": "acct-2"},
        {"SubAccountId": "7"},
        {"ChargePeriodStart": "2025-01-05T01:00:00Z"},
    ],
    ids=lambda each: "-".join(*each.items()),
)
def test_what_differs_in_what_makes_it_a_cost_is_another(tmp_path, other):
    delivered(tmp_path, [A])
    assert "possible_duplicate" not in cloud(tmp_path, [A | other]).flags


def test_azure_ids_are_the_same_cost_in_any_spelling(tmp_path):
    resource = "/subscriptions/A/resourceGroups/RG/providers/Microsoft.Compute/virtualMachines/VM"
    delivered(tmp_path, [A | {"ResourceId": resource}], source=build.a_source("azure"))
    assert cloud(tmp_path, [A | {"ResourceId": f"{resource.lower()}/"}]).flags == {"possible_duplicate": 1}


def test_only_as_many_are_asked_about_as_the_other_source_has(tmp_path):
    delivered(tmp_path, [A])
    assert cloud(tmp_path, [A, A]).flags == {"possible_duplicate": 1}


@pytest.mark.parametrize("mode", ["snapshot", "merge"])
@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_redelivery_keeps_the_answer(tmp_path, mode, decision):
    delivered(tmp_path, [A])
    cloud(tmp_path, [A, C], mode=mode)
    options = {"reason": "duplicate", "provider_credits": True} if decision == "reject" else {}
    getattr(review, decision)(charges=Charge.objects.held(), **options, **BY)
    decided = Charge.objects.live().get(resource__resource_id="i-a", source__name="cloud")
    cloud(tmp_path, [C, A], "cloud_2.csv", mode=mode)
    cloud(tmp_path, [C, A | {"ResourceName": "renamed"}], "cloud_3.csv", mode=mode)
    now = Charge.objects.live().get(resource__resource_id="i-a", source__name="cloud")
    assert (now.state, now.replaces_id, held()) == (decided.state, decided.pk, [])


def test_the_first_source_is_not_asked_when_its_file_comes_again(tmp_path):
    delivered(tmp_path, [A])
    cloud(tmp_path, [A])
    delivered(tmp_path, [A | {"ResourceName": "renamed"}], "aws_2.csv")
    assert list(Charge.objects.held().values_list("source__name", flat=True)) == ["cloud"]


def test_a_question_stays_open_while_its_charge_changes(tmp_path):
    delivered(tmp_path, [A])
    cloud(tmp_path, [A])
    cloud(tmp_path, [A | {"BilledCost": "12"}], "cloud_2.csv")
    (charge,) = Charge.objects.held()
    assert (charge.billed_cost, Flag.objects.get(charge=charge).code) == (12, CODE)


@pytest.mark.parametrize("what", ["withdrawn", "rejected as the same"])
def test_what_is_no_cost_any_more_asks_nothing(tmp_path, what):
    first = delivered(tmp_path, [A]).imported
    if what == "withdrawn":
        withdraw(imported=first, **BY)
    else:
        cloud(tmp_path, [A])
        review.reject(provider_credits=True, charges=Charge.objects.held(), reason="duplicate", **BY)
        withdraw(imported=first, **BY)
        # It was asked about once more.
        review.reject(provider_credits=True, charges=Charge.objects.held(), reason="duplicate", **BY)
    assert delivered(tmp_path, [A], "aws_9.csv").flags == {}


# Months that wait --------------------------------------------------------------------------------


def test_a_booking_does_not_charge_rows_twice_in_silence(tmp_path):
    brought(tmp_path, [A, B], "oci_1.csv")
    build.shut("2025-01")
    waiting = [brought(tmp_path, rows, name).imported for rows, name in (([C], "oci_2.csv"), ([C, FEE], "oci_3.csv"))]
    for imported in waiting:
        booking.book(imported=Import.objects.get(pk=imported.pk), into=build.a_period("2025-02"), **BY)
    assert held() == ["i-c"]
    assert Charge.objects.live().filter(resource__resource_id="i-c").count() == 2


def test_a_late_change_is_no_duplicate_of_what_it_takes_back(tmp_path):
    source = build.a_source("aws")
    delivered(tmp_path, [A, B])
    build.shut("2025-01")
    build.a_period("2025-02")
    waiting = delivered(tmp_path, [A | {"BilledCost": "11"}, B], "aws_2.csv", source).imported
    booking.book(imported=waiting, into=build.a_period("2025-02"), **BY)
    assert held() == []
    assert cloud(tmp_path, [A], period="2025-01").flags == {}


def test_a_row_without_a_resource_id_is_never_a_change_of_another(tmp_path):
    source = build.a_source("hpc", import_mode=Source.ImportMode.MERGE)
    named = a_row("5", ResourceId="", ResourceName="disk")
    delivered(tmp_path, [named, FEE], "hpc_1.csv", source)
    result = delivered(tmp_path, [named, named | {"BilledCost": "6"}, FEE | {"BilledCost": "7"}], "hpc_2.csv", source)
    assert (result.counts.new, result.counts.changed, result.counts.unchanged) == (2, 0, 1)
