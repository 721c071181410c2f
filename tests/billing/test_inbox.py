"""The watched folder: complete deliveries are taken once, put away with a report, and lose nothing to a crash."""

import datetime
import io
import json
import os

import pytest
from django.core import management
from django.core.management.base import CommandError
from django.db import OperationalError

from billing import inbox, ingestion
from billing.locks import FileLock
from billing.models import Charge, Import, Source
from tests import build
from tests.billing.deliveries import a_file, a_row

pytestmark = pytest.mark.django_db

NOW = datetime.timedelta(0)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "inbox"
    path.mkdir()
    return path


def looked(folder, settle=NOW, **options):
    return inbox.take_in(inbox=folder, settle=settle, actor=build.SOMEBODY, now=build.NOW, **options)


def names_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


def test_a_delivery_is_imported_and_put_away_with_its_report(folder):
    build.a_source("aws")
    a_file(folder, [a_row("1.5")])
    taken = looked(folder)
    assert [each.outcome for each in taken.handled] == ["done"]
    day = taken.handled[0].moved_to.rpartition("/")[0]
    assert names_below(folder) == [
        f"{day}/aws_2025-01.csv",
        f"{day}/aws_2025-01.csv.report.json",
        f"{day}/aws_2025-01.csv.report.txt",
    ]
    report = json.loads((folder / day / "aws_2025-01.csv.report.json").read_text())
    assert report["result"]["totals"]["USD"]["BilledCost"] == "1.50"
    assert "1 row of aws" in (folder / day / "aws_2025-01.csv.report.txt").read_text()
    assert looked(folder).handled == []
    assert Charge.objects.count() == 1


def test_what_changed_a_moment_ago_waits(folder):
    build.a_source("aws")
    path = a_file(folder, [a_row("1.5")])
    # A program that copies may set the time of the last change back.
    os.utime(path, (1, 1))
    taken = looked(folder, settle=datetime.timedelta(seconds=60))
    assert taken.handled == []
    assert taken.waiting == ["aws_2025-01.csv"]
    assert path.exists()


@pytest.mark.parametrize("name", ["aws_2025-01.csv.part", "aws_2025-01.csv.tmp", "aws_2025-01.csv.FILEPART"])
def test_unfinished_names_wait(folder, name):
    build.a_source("aws")
    a_file(folder, [a_row("1.5")], name)
    assert looked(folder).waiting == [name]


def test_hidden_files_and_links_are_no_deliveries(folder, tmp_path):
    build.a_source("aws")
    a_file(folder, [a_row("1.5")], ".aws_2025-01.csv")
    (folder / "aws_2025-01.csv").symlink_to(a_file(tmp_path, [a_row("1.5")]))
    taken = looked(folder)
    assert (taken.handled, taken.waiting) == ([], [])


def test_a_folder_with_an_unfinished_file_waits_as_a_whole(folder):
    build.a_source("aws")
    (folder / "aws_2025-01").mkdir()
    a_file(folder / "aws_2025-01", [a_row("1")], "a.csv")
    a_file(folder / "aws_2025-01", [a_row("2")], "b.csv.part")
    assert looked(folder).waiting == ["aws_2025-01"]
    assert not Import.objects.exists()


def test_a_folder_is_one_delivery_and_may_name_its_source(folder):
    build.a_source("aws")
    (folder / "aws_2025-01").mkdir()
    a_file(folder / "aws_2025-01", [a_row("1")], "a.csv")
    a_file(folder / "aws_2025-01", [a_row("2", ResourceId="i-2")], "b.csv")
    taken = looked(folder)
    assert [each.outcome for each in taken.handled] == ["done"], taken.as_text()
    assert Import.objects.get().rows == 2
    assert not (folder / "aws_2025-01").exists()


def test_a_folder_waits_for_what_its_manifest_names(folder):
    build.a_source("azure")
    export = folder / "azure_2025-01"
    export.mkdir()
    a_file(export, [a_row("1")], "part_0.csv")
    blobs = [{"blobName": "exports/part_0.csv"}, {"blobName": "exports/part_1.csv"}]
    (export / "manifest.json").write_text(json.dumps({"blobCount": 2, "blobs": blobs}))
    assert looked(folder).waiting == ["azure_2025-01"]
    a_file(export, [a_row("2", ResourceId="i-2")], "part_1.csv")
    taken = looked(folder)
    assert [each.outcome for each in taken.handled] == ["done"], taken.as_text()
    assert Import.objects.get().rows == 2


def test_what_a_manifest_names_and_does_not_come_is_refused_after_a_day(folder, monkeypatch):
    build.a_source("azure")
    export = folder / "azure_2025-01"
    export.mkdir()
    (export / "manifest.json").write_text(json.dumps({"blobCount": 1, "blobs": [{"blobName": "part_0.csv"}]}))
    monkeypatch.setattr(inbox, "PATIENCE", -datetime.timedelta(seconds=1))
    (failed,) = looked(folder).handled
    assert failed.outcome == "failed"
    assert "part_0.csv" in failed.text


def test_a_manifest_by_itself_takes_nothing_that_lies_beside_it(folder):
    build.a_source("azure")
    a_file(folder, [a_row("1")], "azure_2025-01.csv")
    (folder / "manifest.json").write_text(json.dumps({"blobCount": 1, "blobs": [{"blobName": "azure_2025-01.csv"}]}))
    taken = looked(folder)
    assert {each.name: each.outcome for each in taken.handled} == {
        "azure_2025-01.csv": "done",
        "manifest.json": "failed",
    }
    assert Charge.objects.count() == 1


def test_files_in_a_folder_named_after_a_source_are_of_that_source(folder):
    source = build.a_source("hpc")
    (folder / "hpc").mkdir()
    a_file(folder / "hpc", [a_row("1")], "part-0.csv")
    a_file(folder / "hpc", [a_row("2", BillingAccountId="acct-2")], "part-1.csv")
    taken = looked(folder)
    assert [each.outcome for each in taken.handled] == ["done", "done"], taken.as_text()
    assert set(Import.objects.values_list("source", flat=True)) == {source.pk}
    assert (folder / "hpc").is_dir()
    assert taken.handled[0].moved_to.endswith("hpc/part-0.csv")


def test_a_refused_delivery_goes_to_failed_and_stops_no_other(folder):
    build.a_source("aws")
    a_file(folder, [a_row("12,50")], "aws_2025-01_a.csv")
    a_file(folder, [a_row("2")], "aws_2025-01_b.csv")
    taken = looked(folder)
    assert {each.name: each.outcome for each in taken.handled} == {
        "aws_2025-01_a.csv": "failed",
        "aws_2025-01_b.csv": "done",
    }
    failed = next(each for each in taken.handled if each.outcome == "failed")
    report = (folder / f"{failed.moved_to}.report.txt").read_text()
    assert "line 2, column ListCost" in report
    assert Charge.objects.count() == 1


def test_a_crash_of_the_program_does_not_stop_the_next_delivery(folder, monkeypatch):
    build.a_source("aws")
    a_file(folder, [a_row("1")], "aws_2025-01_a.csv")
    a_file(folder, [a_row("2")], "aws_2025-01_b.csv")

    def breaks(*, paths, **options):
        if paths[0].name.endswith("a.csv"):
            raise ZeroDivisionError("no")
        return ingestion.ingest(paths=paths, **options)

    monkeypatch.setattr(inbox, "ingest", breaks)
    assert [each.outcome for each in looked(folder).handled] == ["failed", "done"]


def test_a_delivery_stays_where_the_database_gave_up(folder, monkeypatch):
    build.a_source("aws")
    path = a_file(folder, [a_row("1")])

    def breaks(**options):
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(inbox, "ingest", breaks)
    assert [each.outcome for each in looked(folder).handled] == ["kept"]
    monkeypatch.undo()
    assert path.exists()
    assert [each.outcome for each in looked(folder).handled] == ["done"]


def test_nothing_in_done_is_overwritten(folder):
    build.a_source("aws", delivery=Source.Delivery.MERGE)
    for amount in ("1", "2", "3"):
        a_file(folder, [a_row(amount)])
        looked(folder)
    kept = list((folder / "done").rglob("*.csv"))
    assert sorted(path.name for path in kept) == ["aws_2025-01-2.csv", "aws_2025-01-3.csv", "aws_2025-01.csv"]
    assert len({path.read_text() for path in kept}) == 3


@pytest.mark.parametrize("mode", ["append", "snapshot", "merge"])
def test_a_crash_between_import_and_move_neither_doubles_nor_loses(folder, monkeypatch, mode):
    build.a_source("aws", delivery=mode)
    path = a_file(folder, [a_row("1.5"), a_row("1.5")])

    def dies(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(inbox, "_put_away", dies)
    with pytest.raises(KeyboardInterrupt):
        looked(folder)
    assert path.exists()
    monkeypatch.undo()
    taken = looked(folder)
    assert [each.outcome for each in taken.handled] == ["done"]
    assert not path.exists()
    assert Charge.objects.live().count() == 2
    assert Charge.objects.count() == 2


def test_a_file_that_changes_while_it_is_imported_stays_for_the_next_run(folder, monkeypatch):
    build.a_source("aws")
    path = a_file(folder, [a_row("1")])

    def grows(**options):
        result = ingestion.ingest(**options)
        a_file(folder, [a_row("1"), a_row("2", ResourceId="i-2")])
        return result

    monkeypatch.setattr(inbox, "ingest", grows)
    assert [each.outcome for each in looked(folder).handled] == ["kept"]
    monkeypatch.undo()
    looked(folder)
    assert not path.exists()
    assert Charge.objects.live().count() == 2


def test_the_second_run_at_once_says_so_and_ends_well(folder):
    build.a_source("aws")
    path = a_file(folder, [a_row("1")])
    out = io.StringIO()
    with FileLock(folder / inbox.LOCK) as lock:
        assert lock.acquire()
        management.call_command("ingest", "--inbox", str(folder), "--settle", "0", stdout=out)
    assert "Another run is at work" in out.getvalue()
    assert path.exists()
    management.call_command("ingest", "--inbox", str(folder), "--settle", "0", stdout=out)
    assert not path.exists()


def test_the_command_prints_json_and_fails_when_one_failed(folder):
    build.a_source("aws")
    a_file(folder, [a_row("x")])
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"aws_2025-01\.csv"):
        management.call_command("ingest", "--inbox", str(folder), "--settle", "0", "--json", stdout=out)
    data = json.loads(out.getvalue())
    assert data["deliveries"][0]["outcome"] == "failed"
    assert data["deliveries"][0]["result"]["errors"][0]["line"] == 2
    assert (data["busy"], data["waiting"]) == (False, [])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CommandError, match="There is no folder"):
        management.call_command("ingest", "--inbox", str(tmp_path / "nowhere"))


def test_files_and_an_inbox_do_not_go_together(folder):
    with pytest.raises(CommandError, match="--inbox goes with"):
        management.call_command("ingest", "a.csv", "--inbox", str(folder))
    with pytest.raises(CommandError, match="Name the files"):
        management.call_command("ingest")
