"""A smaller or older full delivery never shrinks a month by itself: it waits, says why, and loses nothing."""

import datetime
import json
import os
import zipfile
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing import proof
from billing.files import received
from billing.importing import booking, doubts, ingestion, late, planning, withdrawing
from billing.importing import inbox as watching
from billing.importing.outcomes import WouldWithdraw
from billing.models import BillingPeriod, Charge, Import, Job, Source
from billing.months import checklist
from billing.progress import unwatched
from billing.readers.delivery import made_at
from tests import build
from tests.billing.deliveries import a_file, a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}

KEEP, REPLACE = Import.Missing.KEEP, Import.Missing.REPLACE


def on_day(day, billed="10", **columns):
    return a_row(
        billed,
        ChargePeriodStart=f"2025-01-{day:02}T00:00:00Z",
        ChargePeriodEnd=f"2025-01-{day + 1:02}T00:00:00Z",
        **columns,
    )


def days(last, billed="10", **columns):
    return [on_day(day, billed, **columns) for day in range(1, last + 1)]


def live():
    return sum(Charge.objects.live().values_list("billed_cost", flat=True))


def refused(folder, rows, **options):
    """Deliver rows that have to wait; return the import and what was said."""
    with pytest.raises(WouldWithdraw) as caught:
        delivered(folder, rows, **options)
    imported = caught.value.imported
    assert imported.state == "deferred"
    assert caught.value.waits
    return imported, str(caught.value)


def the_waiting():
    return Import.objects.get(state="deferred")


def january():
    return BillingPeriod.objects.named("2025-01")


def item():
    return checklist.of(january()).item("imports")


# Less than there was ------------------------------------------------------------------------------


def test_a_delivery_of_fewer_days_waits_and_says_which(tmp_path):
    delivered(tmp_path, days(28))
    imported, said = refused(tmp_path, days(20))
    assert (
        "January 2025: 8 of 28 days had charges and have no rows in these files: Jan 21, 2025 to Jan 28, 2025" in said
    )
    assert "(8 charges, 80.00 USD)" in said
    assert live() == 280
    assert (imported.withdrawn, imported.unchanged) == (8, 20)


def test_rows_that_are_written_otherwise_are_no_reason_to_keep_both(tmp_path, client, cast):
    """A provider renames a service: each row is another one, and keeping the old ones would double the month."""
    delivered(tmp_path, days(10, ServiceName="Compute"))
    renamed = [{**row, "ServiceName": "Compute Engine"} for row in days(10)[2:]]
    imported, said = refused(tmp_path, [*days(2, ServiceName="Compute"), *renamed])
    assert "8 of 10 charges of account acct-1 are not in the file and would be removed (80.00 USD)" in said
    assert "8 rows of account acct-1 of the same days are new (80.00 USD): this may be the same cost" in said
    assert late.next_step(imported).name == "look_at_import"
    client.force_login(cast.admin)
    page = client.get(f"/admin/billing/import/{imported.pk}/change/").content.decode()
    assert "Apply as delivered" in page
    assert "keep what is missing" not in page
    assert "If it is the same cost, apply the import as it is" in page
    out = StringIO()
    call_command("imports", "show", str(imported.pk), stdout=out)
    assert f"imports apply {imported.pk} --replace" in out.getvalue()
    assert "--keep" not in out.getvalue()
    ingestion.apply_deferred(imported=imported, missing=REPLACE, **BY)
    assert live() == 100


def test_what_comes_on_other_days_is_not_taken_for_what_is_missing(tmp_path):
    delivered(tmp_path, days(20))
    imported, said = refused(tmp_path, [on_day(day) for day in range(1, 31) if day not in (5, 6)])
    assert "2 of 30 days had charges and have no rows in these files" in said
    assert "written otherwise" not in said
    assert late.next_step(imported).name == "apply_keeping"


def test_charges_without_a_billing_account_are_named_so(tmp_path):
    rows = days(3)
    delivered(tmp_path, [*rows, *days(1, "1.50", BillingAccountId="")])
    _, said = refused(tmp_path, rows)
    assert "January 2025: 1 charge without a billing account (1.50 USD) has no row any more" in said


def test_sub_accounts_that_are_missing_are_named(tmp_path):
    rows = [on_day(5, SubAccountId=f"sub-{number}", ResourceId=f"i-{number}") for number in range(5)]
    delivered(tmp_path, rows)
    _, said = refused(tmp_path, rows[:4])
    assert "January 2025: sub account sub-4 had charges and has no rows in these files (1 charge, 10.00 USD)." in said
    _, said = refused(tmp_path, rows[:3])
    assert "2 sub accounts had charges and have no rows in these files: sub-3, sub-4 (2 charges, 20.00 USD)." in said
    assert live() == 50


def test_each_billing_account_has_days_of_its_own(tmp_path):
    one, other = days(6), days(6, BillingAccountId="acct-2")
    delivered(tmp_path, [*one, *other])
    _, said = refused(tmp_path, [*one, *other[:4]])
    assert "2 of 6 days of account acct-2" in said


def test_a_correction_within_days_that_still_have_rows_asks_nothing(tmp_path):
    rows = [*days(5), *days(5, ResourceId="i-2")]
    delivered(tmp_path, rows)
    result = delivered(tmp_path, rows[:-1])
    assert (result.state, result.counts.withdrawn) == ("applied", 1)


def test_a_day_whose_charges_moved_to_another_row_of_that_day_asks_nothing(tmp_path):
    delivered(tmp_path, days(5))
    result = delivered(tmp_path, [*days(4), on_day(5, ServiceName="Renamed")])
    assert (result.state, result.counts.withdrawn, result.counts.new) == ("applied", 1, 1)


@pytest.mark.parametrize("grain", [Source.Grain.LINE, Source.Grain.DAY])
def test_what_is_added_up_by_day_is_looked_at_as_well(tmp_path, grain):
    source = build.a_source("aws", grain=grain)
    delivered(tmp_path, days(6), source=source)
    refused(tmp_path, days(4), source=source)
    assert live() == 60


def test_more_than_half_waits_too(tmp_path):
    rows = [on_day(5, ResourceId=f"i-{number}") for number in range(3)]
    delivered(tmp_path, rows)
    imported, said = refused(tmp_path, rows[:1])
    assert "2 of 3 charges of account acct-1 are not in the file and would be removed (20.00 USD)" in said
    assert [each["code"] for each in imported.doubts] == ["more_than_half"]


def test_an_account_that_is_missing_waits_too(tmp_path):
    rows = [on_day(5), on_day(5, BillingAccountId="acct-2")]
    delivered(tmp_path, rows)
    imported, said = refused(tmp_path, rows[:1])
    assert "January 2025: the account “acct-2” with 1 charge (10.00 USD) is missing from the file." in said
    assert [each["code"] for each in imported.doubts] == ["account"]
    ingestion.apply_deferred(imported=imported, missing=KEEP, **BY)
    assert live() == 20


def test_a_dry_run_says_so_and_keeps_nothing(tmp_path):
    delivered(tmp_path, days(6))
    with pytest.raises(WouldWithdraw, match="2 of 6 days") as caught:
        delivered(tmp_path, days(4), dry_run=True)
    assert (caught.value.imported, Import.objects.count()) == (None, 1)


def test_told_to_replace_it_is_applied_at_once(tmp_path):
    delivered(tmp_path, days(6))
    assert delivered(tmp_path, days(4), replace=True).counts.withdrawn == 2
    assert live() == 40


# Answers ------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(tmp_path):
    """A delivery that lacks two days, changes one and adds a resource."""
    delivered(tmp_path, days(6))
    imported, _ = refused(tmp_path, [*days(3), on_day(4, "11"), on_day(4, "5", ResourceId="new")])
    return imported


def test_without_an_answer_nothing_is_applied(waiting):
    with pytest.raises(WouldWithdraw) as caught:
        ingestion.apply_deferred(imported=waiting, **BY)
    assert caught.value.then.name == "apply_keeping"
    waiting.refresh_from_db()
    assert (waiting.state, live()) == ("deferred", 60)


def test_kept_it_changes_and_adds_and_withdraws_nothing(waiting):
    result = ingestion.apply_deferred(imported=waiting, missing=KEEP, **BY)
    assert (result.counts.changed, result.counts.new, result.counts.withdrawn) == (1, 1, 0)
    assert live() == 66
    waiting.refresh_from_db()
    assert (waiting.state, waiting.missing) == ("applied", "keep")
    assert proof.prove(january()).problems() == []


def test_the_same_files_are_not_asked_about_again_until_something_else_comes(tmp_path, waiting):
    rows = [*days(3), on_day(4, "11"), on_day(4, "5", ResourceId="new")]
    ingestion.apply_deferred(imported=waiting, missing=KEEP, **BY)
    for _ in range(2):
        assert delivered(tmp_path, rows).counts.withdrawn == 0
    delivered(tmp_path, [*days(6), on_day(4, "5", ResourceId="new")])
    refused(tmp_path, rows)
    assert live() == 65


def test_as_delivered_the_missing_rows_are_withdrawn(waiting):
    result = ingestion.apply_deferred(imported=waiting, missing=REPLACE, **BY)
    assert (result.counts.withdrawn, live()) == (2, 46)
    assert proof.prove(january()).problems() == []


def test_dismissed_it_changes_nothing_and_does_not_ask_again(tmp_path, waiting):
    late.dismiss(imported=waiting, reason="Half an export.", **BY)
    again = delivered(tmp_path, [*days(3), on_day(4, "11"), on_day(4, "5", ResourceId="new")])
    assert (again.state, live()) == ("dismissed", 60)
    assert "2 of 6 days" in again.as_text()


def test_a_complete_delivery_takes_its_place(tmp_path, waiting):
    assert item().state == "open"
    delivered(tmp_path, days(7))
    waiting.refresh_from_db()
    assert (waiting.state, live()) == ("superseded", 70)
    assert item().state == "done"


def test_the_same_files_again_wait_once(tmp_path, waiting):
    again, _ = refused(tmp_path, [*days(3), on_day(4, "11"), on_day(4, "5", ResourceId="new")])
    assert list(Import.objects.filter(state="deferred")) == [again]


def test_it_stands_on_the_checklist_with_its_reason(waiting):
    assert item().details == (f"Import {waiting.pk} of aws: {waiting.doubts[0]['message']}",)
    assert "Jan 5, 2025 to Jan 6, 2025 (2 charges, 20.00 USD)" in item().details[0]


def test_for_a_closed_month_it_waits_and_is_booked_as_somebody_answers(tmp_path):
    delivered(tmp_path, days(6))
    build.shut("2025-01")
    imported, _ = refused(tmp_path, [*days(3), on_day(4, "11")])
    march = build.a_period("2025-03")
    with pytest.raises(WouldWithdraw) as caught:
        booking.book(imported=imported, into=march, **BY)
    assert caught.value.then.name == "book_keeping"
    booking.book(imported=imported, into=march, missing=KEEP, **BY)
    assert live() == 61
    assert sum(Charge.objects.in_month(march).values_list("billed_cost", flat=True)) == 1


def test_a_partial_delivery_does_not_take_the_place_of_a_late_change_that_waits(tmp_path):
    delivered(tmp_path, days(6))
    build.shut("2025-01")
    complete = delivered(tmp_path, days(6, "12")).deferred
    partial, _ = refused(tmp_path, days(4, "12"))
    complete.refresh_from_db()
    assert complete.state == "deferred"
    # The next complete one takes the place of both.
    delivered(tmp_path, days(6, "13"))
    assert {each.state for each in Import.objects.filter(pk__in=[complete.pk, partial.pk])} == {"superseded"}


def test_of_several_months_the_whole_delivery_waits(tmp_path):
    february = a_row(
        "7",
        BillingPeriodStart="2025-02-01T00:00:00Z",
        BillingPeriodEnd="2025-03-01T00:00:00Z",
        ChargePeriodStart="2025-02-01T00:00:00Z",
        ChargePeriodEnd="2025-02-02T00:00:00Z",
    )
    delivered(tmp_path, days(6), name="aws.csv")
    imported, _ = refused(tmp_path, [*days(4), february], name="aws.csv")
    assert live() == 60
    ingestion.apply_deferred(imported=imported, missing=KEEP, **BY)
    assert live() == 67


# Every door ---------------------------------------------------------------------------------------


def command(*arguments):
    out = StringIO()
    call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


def test_the_command_ends_with_1_and_names_the_answer(tmp_path):
    build.a_source("aws")
    command("ingest", a_file(tmp_path, days(6)))
    with pytest.raises(CommandError, match="2 of 6 days") as caught:
        command("ingest", a_file(tmp_path, days(4)))
    number = the_waiting().pk
    assert caught.value.returncode == 1
    assert f"imports apply {number} --keep" in str(caught.value)
    shown = command("imports", "show", number)
    assert f"imports apply {number} --keep" in shown
    assert f"imports apply {number} --replace" in shown
    command("imports", "apply", number, "--keep")
    assert live() == 60


def test_a_zip_and_a_folder_wait_as_a_file_does(tmp_path):
    delivered(tmp_path, days(6))
    source = build.a_source("aws")
    archive = tmp_path / "aws_2025-01.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.write(a_file(tmp_path, days(4), "part.csv"), "part.csv")
    folder = tmp_path / "aws_2025-01_folder"
    folder.mkdir()
    a_file(folder, days(3), "part.csv")
    for path in (archive, folder):
        with pytest.raises(WouldWithdraw):
            ingestion.ingest(paths=[path], source=source, **BY)
    assert live() == 60
    ingestion.apply_deferred(imported=Import.objects.get(state="deferred"), missing=KEEP, **BY)
    assert live() == 60


def test_the_inbox_puts_it_to_what_is_done_with_a_report_that_it_waits(tmp_path):
    build.a_source("aws")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    delivered(tmp_path, days(6))
    a_file(inbox, days(4))
    taken = watching.take_in(inbox=inbox, settle=datetime.timedelta(0), **BY)
    (handled,) = taken.handled
    assert (handled.outcome, handled.moved_to.split("/")[0]) == ("waiting", "done")
    assert taken.unsuccessful == [handled]
    assert handled.result["deferred"]["import"] == the_waiting().pk
    (report,) = (inbox / "done").rglob("*.report.txt")
    assert "2 of 6 days" in report.read_text()
    assert f"stored as import {the_waiting().pk} and waits for a decision" in report.read_text()


def test_the_job_of_an_upload_says_why_and_leads_to_the_answer(client, tmp_path):
    source = build.a_source("aws")
    delivered(tmp_path, days(6))
    stored = received.store(path=a_file(tmp_path, days(4)), now=build.NOW)
    arguments = {"files": [stored.pk], "names": ["aws_2025-01.csv"], "source": source.name, "period": "2025-01"}
    with pytest.raises(WouldWithdraw) as caught:
        planning.run_job(job=Job(), arguments=arguments, progress=unwatched, **BY)
    assert (caught.value.then.name, caught.value.then.about) == ("apply_keeping", {"import": str(the_waiting().pk)})
    client.force_login(build.the_cast().finance)
    imported = the_waiting()
    page = client.get(f"/admin/billing/import/{imported.pk}/change/").content.decode()
    assert "2 of 6 days" in page
    assert "Apply, keep what is missing…" in page
    response = client.post(f"/admin/billing/import/{imported.pk}/apply_keeping/", follow=True)
    assert response.status_code == 200
    imported.refresh_from_db()
    assert (imported.state, live()) == ("applied", 60)


def test_the_page_applies_a_delivery_as_it_is(client, waiting):
    client.force_login(build.the_cast().finance)
    client.post(f"/admin/billing/import/{waiting.pk}/apply_replacing/")
    assert live() == 46


# Older than there is ------------------------------------------------------------------------------


def a_run(folder: Path, day: int, rows, name=""):
    """Write a run of an Azure export made on a day of January."""
    run = folder / (name or f"azure_run_{day}")
    run.mkdir(parents=True)
    a_file(run, rows, "part_0_0001.csv")
    manifest = {
        "blobCount": 1,
        "dataRowCount": len(rows),
        "exportConfig": {"type": "FocusCost"},
        "runInfo": {"submittedTime": f"2025-01-{day:02}T05:00:00.1234567Z"},
        "blobs": [{"blobName": f"x/{run.name}/part_0_0001.csv", "dataRowCount": len(rows)}],
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    return run


@pytest.fixture
def azure():
    return build.a_source("azure")


def take(path, source):
    return ingestion.ingest(paths=[path], source=source, **BY)


@pytest.mark.parametrize("mode", [Source.ImportMode.SNAPSHOT, Source.ImportMode.MERGE])
def test_an_older_run_waits_whatever_it_changes(tmp_path, azure, mode):
    Source.objects.update(import_mode=mode)
    azure.refresh_from_db()
    newer = take(a_run(tmp_path, 26, days(20, "12")), azure).imported
    with pytest.raises(WouldWithdraw) as caught:
        take(a_run(tmp_path, 21, days(20, "10")), azure)
    assert f"the provider made these files on Jan 21, 2025, 05:00 UTC, before that of import {newer.pk}," in str(
        caught.value
    )
    assert "made on Jan 26, 2025, 05:00 UTC" in str(caught.value)
    # What is offered first never puts older amounts over newer ones.
    assert caught.value.then.name == "dismiss_import"
    assert live() == 240
    assert doubts.is_older(the_waiting())


def test_an_older_run_that_says_the_same_asks_nothing(tmp_path, azure):
    take(a_run(tmp_path, 26, days(5)), azure)
    assert take(a_run(tmp_path, 21, days(5)), azure).state == "applied"


def test_a_run_of_a_time_to_come_makes_no_later_one_older(tmp_path, azure):
    first = take(a_run(tmp_path, 26, days(5, "12")), azure).imported
    early = {"actor": build.SOMEBODY, "now": datetime.datetime(2025, 1, 20, tzinfo=datetime.UTC)}
    ahead = ingestion.ingest(paths=[a_run(tmp_path, 27, days(5, "13"))], source=azure, **early).imported
    assert (str(first.made_at), ahead.made_at) == ("2025-01-26 05:00:00+00:00", None)


def test_after_the_newer_run_is_withdrawn_the_older_one_is_applied(tmp_path, azure):
    newer = take(a_run(tmp_path, 26, days(20)), azure)
    withdrawing.withdraw(imported=newer.imported, **BY)
    assert take(a_run(tmp_path, 21, days(15)), azure).state == "applied"


def test_an_older_run_does_not_take_the_place_of_a_newer_one_that_waits(tmp_path, azure):
    take(a_run(tmp_path, 20, days(5)), azure)
    build.shut("2025-01")
    newer = take(a_run(tmp_path, 26, days(5, "12")), azure).deferred
    with pytest.raises(WouldWithdraw, match="which waits and was made on Jan 26, 2025"):
        take(a_run(tmp_path, 21, days(5, "11")), azure)
    newer.refresh_from_db()
    assert newer.state == "deferred"


def test_the_inbox_takes_runs_in_the_order_they_were_made(tmp_path, azure):
    inbox = tmp_path / "inbox"
    a_run(inbox, 26, days(25), "azure_a")
    a_run(inbox, 21, days(20), "azure_b")
    # Copying gave the older run the later times.
    for path in (inbox / "azure_b").iterdir():
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 60))
    taken = watching.take_in(inbox=inbox, settle=datetime.timedelta(0), **BY)
    assert [(each.name, each.outcome) for each in taken.handled] == [("azure_b", "done"), ("azure_a", "done")]
    assert live() == 250


def test_runs_given_together_are_taken_in_the_order_they_were_made(tmp_path, azure):
    runs = [a_run(tmp_path, 26, days(25)), a_run(tmp_path, 21, days(20))]
    for paths in (runs, [run / "manifest.json" for run in runs]):
        given = [planning.guessed(path=path, name=path.name, source=azure, period="2025-01") for path in paths]
        assert [planned.files[0].path for planned in planning.plan(given)] == paths[::-1]
    planning.run(planned=planning.plan(given), **BY)
    assert live() == 250


@pytest.mark.parametrize(
    ("content", "time"),
    [
        (
            {"dataFiles": ["s3://b/data/BILLING_PERIOD=2025-01/20250121T050000Z-0a1b/x.csv"]},
            "2025-01-21T05:00:00+00:00",
        ),
        (
            {"dataFiles": ["s3://b/data/BILLING_PERIOD=2025-01/2025-01-21T05:00:00.000Z-0a1b/x.csv"]},
            "2025-01-21T05:00:00+00:00",
        ),
        ({"dataFiles": ["s3://b/data/BILLING_PERIOD=2025-01/x.csv"]}, None),
        (
            {"blobs": [{"blobName": "x.csv"}], "runInfo": {"submittedTime": "2025-01-21T05:00:00+02:00"}},
            "2025-01-21T03:00:00+00:00",
        ),
        ({"blobs": [{"blobName": "x.csv"}], "runInfo": {"submittedTime": "2025-13-41T05:00:00Z"}}, None),
        ({"blobs": [{"blobName": "x.csv"}], "runInfo": {"submittedTime": "0001-01-01T00:00:00+02:00"}}, None),
        ({"blobs": [{"blobName": "x.csv"}], "runInfo": {"submittedTime": 5}}, None),
        ({"blobs": [{"blobName": "x.csv"}], "runInfo": []}, None),
    ],
)
def test_the_time_of_a_run_is_that_of_its_manifest(tmp_path, content, time):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    archive = tmp_path / "run.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.write(path, "run/manifest.json")
    expected = datetime.datetime.fromisoformat(time) if time else None
    assert [made_at(path), made_at(tmp_path / "manifest.json"), made_at(archive)] == [expected] * 3


def test_an_archive_with_its_manifest_knows_its_time(tmp_path, azure):
    take(a_run(tmp_path, 26, days(5, "12")), azure)
    run = a_run(tmp_path, 21, days(5))
    archive = tmp_path / "azure.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in run.iterdir():
            out.write(path, f"run/{path.name}")
    with pytest.raises(WouldWithdraw, match="before that of import"):
        take(archive, azure)
