"""A file that adds up counts as imported as long as what it brought stands, and never twice."""

import datetime
import zipfile

import pytest

from billing import proof
from billing.importing import booking, comparing, ingestion, late, planning, standing, withdrawing
from billing.importing import inbox as watching
from billing.importing.outcomes import ImportRefused
from billing.models import BillingPeriod, Charge, Import, Source
from billing.months import closing
from tests import build
from tests.billing.deliveries import a_file, a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}


@pytest.fixture
def oci():
    return build.a_source("oci", import_mode=Source.ImportMode.APPEND)


def of_month(month, billed="5", **columns):
    following = {"01": "02", "02": "03", "03": "04"}[month]
    return a_row(
        billed,
        BillingPeriodStart=f"2025-{month}-01T00:00:00Z",
        BillingPeriodEnd=f"2025-{following}-01T00:00:00Z",
        ChargePeriodStart=f"2025-{month}-05T00:00:00Z",
        ChargePeriodEnd=f"2025-{month}-06T00:00:00Z",
        **columns,
    )


JANUARY = of_month("01", "25", ResourceId="jan")
FEBRUARY = of_month("02", "7", ResourceId="feb")


def withdraw(number):
    return withdrawing.withdraw(imported=Import.objects.get(pk=number), **BY)


def live():
    return sorted(int(billed) for billed in Charge.objects.live().values_list("billed_cost", flat=True))


def again(result):
    return result.seen_before and not result.rows


def test_the_same_file_twice_stays_once(tmp_path, oci):
    delivered(tmp_path, [JANUARY], "oci.csv", oci)
    assert again(delivered(tmp_path, [JANUARY], "oci.csv", oci))
    assert again(delivered(tmp_path, [JANUARY], "renamed.csv", oci))
    assert live() == [25]


def test_a_withdrawn_file_comes_back_whatever_did_nothing_in_between(tmp_path, oci):
    first = delivered(tmp_path, [JANUARY], "oci.csv", oci)
    nothing = delivered(tmp_path, [JANUARY], "oci.csv", oci)
    assert again(nothing)
    withdraw(first.imported.pk)
    assert live() == []
    back = delivered(tmp_path, [JANUARY], "oci.csv", oci)
    assert (back.counts.new, live()) == (1, [25])
    # Taking back the import that did nothing leaves what stands.
    withdraw(nothing.imported.pk)
    assert delivered(tmp_path, [JANUARY], "oci.csv", oci).seen_before == (f"oci.csv (import {back.imported.pk})",)
    assert live() == [25]
    assert proof.prove(BillingPeriod.objects.named("2025-01")).problems() == []


def test_it_can_be_withdrawn_and_imported_as_often_as_wanted(tmp_path, oci):
    for _ in range(3):
        result = delivered(tmp_path, [JANUARY], "oci.csv", oci)
        assert again(delivered(tmp_path, [JANUARY], "oci.csv", oci))
        assert live() == [25]
        withdraw(result.imported.pk)
        assert live() == []


def test_a_file_passed_over_beside_a_new_one_is_not_that_imports(tmp_path, oci):
    first = delivered(tmp_path, [JANUARY], "a.csv", oci)
    paths = [a_file(tmp_path, [JANUARY], "a.csv"), a_file(tmp_path, [a_row("3", ResourceId="b")], "b.csv")]
    both = ingestion.ingest(paths=paths, source=oci, **BY)
    assert (live(), both.seen_before) == ([3, 25], (f"a.csv (import {first.imported.pk})",))
    # The later import goes, then the first, and the second one is put back.
    withdraw(both.imported.pk)
    withdraw(first.imported.pk)
    both = ingestion.ingest(paths=paths, source=oci, **BY)
    assert (live(), both.seen_before) == ([3, 25], ())
    assert again(ingestion.ingest(paths=paths, source=oci, **BY))


def test_a_failed_import_counts_for_nothing(tmp_path, oci):
    path = a_file(tmp_path, [JANUARY | {"BilledCost": "x"}], "oci.csv")
    for _ in range(2):
        with pytest.raises(ImportRefused, match="BilledCost"):
            ingestion.ingest(paths=[path], source=oci, **BY)


def test_what_was_withdrawn_in_another_way_does_not_stand(tmp_path, oci):
    delivered(tmp_path, [JANUARY], "oci.csv", oci)
    Source.objects.filter(pk=oci.pk).update(import_mode=Source.ImportMode.SNAPSHOT)
    oci.refresh_from_db()
    delivered(tmp_path, [a_row("4", ResourceId="other")], "full.csv", oci, replace=True)
    assert live() == [4]
    Source.objects.filter(pk=oci.pk).update(import_mode=Source.ImportMode.APPEND)
    oci.refresh_from_db()
    delivered(tmp_path, [JANUARY], "oci.csv", oci)
    assert live() == [4, 25]


def test_what_a_snapshot_found_there_stands_when_its_source_adds_up_since(tmp_path, oci):
    Source.objects.filter(pk=oci.pk).update(import_mode=Source.ImportMode.SNAPSHOT)
    oci.refresh_from_db()
    delivered(tmp_path, [JANUARY], "oci.csv", oci)
    delivered(tmp_path, [JANUARY | {"ServiceName": "Compute"}], "same.csv", oci)
    Source.objects.filter(pk=oci.pk).update(import_mode=Source.ImportMode.APPEND)
    oci.refresh_from_db()
    assert again(delivered(tmp_path, [JANUARY], "oci.csv", oci))
    assert live() == [25]


@pytest.fixture
def mixed(tmp_path, oci):
    """Deliver a file of January, which is closed, and of February."""
    build.shut("2025-01")
    return lambda: delivered(tmp_path, [JANUARY, FEBRUARY], "both.csv", oci)


def test_while_its_closed_month_waits_a_file_is_not_asked_about_twice(mixed):
    first = mixed()
    assert (first.state, first.deferred.state, live()) == ("applied", "deferred", [7])
    assert again(mixed())
    assert list(Import.objects.filter(state="deferred")) == [first.deferred]


def test_of_a_file_whose_open_month_was_withdrawn_that_month_comes_back(mixed):
    first = mixed()
    booking.book(imported=first.deferred, into=build.a_period("2025-03"), **BY)
    assert live() == [7, 25]
    withdraw(first.imported.pk)
    assert live() == [25]
    back = mixed()
    assert (back.counts.new, back.counts.unchanged, live()) == (1, 1, [7, 25])
    assert again(mixed())
    assert proof.prove(BillingPeriod.objects.named("2025-02")).problems() == []


def test_a_booking_that_was_withdrawn_can_be_booked_again(mixed):
    first = mixed()
    booking.book(imported=first.deferred, into=build.a_period("2025-03"), **BY)
    withdraw(first.deferred.pk)
    assert live() == [7]
    back = mixed()
    assert (back.state, live()) == ("deferred", [7])
    booking.book(imported=back.deferred, into=build.a_period("2025-03"), **BY)
    assert live() == [7, 25]
    assert again(mixed())


def test_what_was_dismissed_stays_so_until_its_month_takes_imports_again(mixed):
    first = mixed()
    late.dismiss(imported=first.deferred, reason="Not ours.", **BY)
    assert again(mixed())
    closing.reopen(period=BillingPeriod.objects.named("2025-01"), reason="After all.", **BY)
    back = mixed()
    assert (back.counts.new, back.counts.unchanged, live()) == (1, 1, [7, 25])


def test_a_whole_file_that_was_dismissed_and_whose_month_is_reopened_is_imported(tmp_path, oci):
    build.shut("2025-01")
    waiting = delivered(tmp_path, [JANUARY], "oci.csv", oci)
    late.dismiss(imported=waiting.deferred, reason="Not ours.", **BY)
    assert delivered(tmp_path, [JANUARY], "oci.csv", oci).state == "dismissed"
    closing.reopen(period=BillingPeriod.objects.named("2025-01"), reason="After all.", **BY)
    delivered(tmp_path, [JANUARY], "oci.csv", oci)
    assert live() == [25]


@pytest.mark.parametrize("grain", Source.Grain.values)
def test_members_of_an_archive_come_back_whatever_is_added_up(tmp_path, grain):
    source = build.a_source("oci", import_mode=Source.ImportMode.APPEND, grain=grain)
    archive = tmp_path / "oci.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name, row in (("a.csv", JANUARY), ("b.csv", a_row("4", ResourceId="jan"))):
            out.write(a_file(tmp_path, [row], name), name)
    first = ingestion.ingest(paths=[archive], source=source, **BY)
    before = sum(live())
    assert again(ingestion.ingest(paths=[archive], source=source, **BY))
    withdraw(first.imported.pk)
    ingestion.ingest(paths=[archive], source=source, **BY)
    assert (sum(live()), before) == (29, 29)


def test_the_inbox_takes_a_withdrawn_file_again(tmp_path, oci):
    folder = tmp_path / "inbox" / "oci"
    folder.mkdir(parents=True)

    def drop():
        a_file(folder, [JANUARY], "oci.csv")
        (handled,) = watching.take_in(inbox=folder.parent, settle=datetime.timedelta(0), **BY).handled
        return handled.result

    first = drop()
    assert drop()["seen_before"]
    withdraw(first["import"])
    assert drop()["new"] == 1
    assert live() == [25]


def test_of_several_files_in_one_job_each_is_judged_by_itself(tmp_path, oci):
    first = delivered(tmp_path, [JANUARY], "oci_2025-01.csv", oci)
    delivered(tmp_path, [FEBRUARY], "oci_2025-02.csv", oci)
    withdraw(first.imported.pk)
    given = [
        planning.guessed(path=tmp_path / f"oci_2025-{month}.csv", name=f"oci_2025-{month}.csv", source=oci)
        for month in ("01", "02")
    ]
    january, february = planning.run(planned=planning.plan(given), **BY)
    assert (january.result.counts.new, february.result.counts.new) == (1, 0)
    assert live() == [7, 25]


def test_the_page_of_uploads_warns_only_of_what_stands(tmp_path, oci):
    first = delivered(tmp_path, [JANUARY], "oci.csv", oci)
    delivered(tmp_path, [JANUARY], "oci.csv", oci)
    file = first.imported.files.get().pk
    assert standing.imported_in([file]) == {file: first.imported}
    withdraw(first.imported.pk)
    assert standing.imported_in([file]) == {}


def test_a_withdrawal_while_a_file_is_read_is_noticed(tmp_path, oci, monkeypatch):
    first = delivered(tmp_path, [JANUARY], "a.csv", oci)
    measure = comparing.measure

    def withdrawn_meanwhile(*compared, **options):
        monkeypatch.setattr(comparing, "measure", measure)
        withdraw(first.imported.pk)
        return measure(*compared, **options)

    monkeypatch.setattr(comparing, "measure", withdrawn_meanwhile)
    paths = [a_file(tmp_path, [JANUARY], "a.csv"), a_file(tmp_path, [a_row("3", ResourceId="b")], "b.csv")]
    # Compared once more, the file that stood is as new as the other.
    assert ingestion.ingest(paths=paths, source=oci, **BY).counts.new == 2
