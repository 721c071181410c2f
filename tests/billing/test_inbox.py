"""The watched folder: complete arrivals are taken once, put away with a report, and lose nothing to a crash."""

import datetime
import errno
import io
import json
import os

import pytest
from django.core import management
from django.core.management.base import CommandError
from django.db import OperationalError

from billing.importing import inbox, ingestion
from billing.locks import FileLock
from billing.models import Charge, Import, Source, StoredFile
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


def test_an_arrival_is_imported_and_put_away_with_its_report(folder):
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


def test_hidden_files_and_links_are_no_arrivals(folder, tmp_path):
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


def test_a_folder_is_one_arrival_and_may_name_its_source(folder):
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


def test_a_refused_arrival_goes_to_failed_and_stops_no_other(folder):
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


def test_a_crash_of_the_program_does_not_stop_the_next_arrival(folder, monkeypatch):
    build.a_source("aws")
    a_file(folder, [a_row("1")], "aws_2025-01_a.csv")
    a_file(folder, [a_row("2")], "aws_2025-01_b.csv")

    def breaks(*, paths, **options):
        if paths[0].name.endswith("a.csv"):
            raise ZeroDivisionError("no")
        return ingestion.ingest(paths=paths, **options)

    monkeypatch.setattr(inbox, "ingest", breaks)
    assert [each.outcome for each in looked(folder).handled] == ["failed", "done"]


def test_an_arrival_stays_where_the_database_gave_up(folder, monkeypatch):
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
    build.a_source("aws", import_mode=Source.ImportMode.MERGE)
    for amount in ("1", "2", "3"):
        a_file(folder, [a_row(amount)])
        looked(folder)
    kept = list((folder / "done").rglob("*.csv"))
    assert sorted(path.name for path in kept) == ["aws_2025-01-2.csv", "aws_2025-01-3.csv", "aws_2025-01.csv"]
    assert len({path.read_text() for path in kept}) == 3


@pytest.mark.parametrize("mode", ["append", "snapshot", "merge"])
def test_a_crash_between_import_and_move_neither_doubles_nor_loses(folder, monkeypatch, mode):
    build.a_source("aws", import_mode=mode)
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
    assert data["arrivals"][0]["outcome"] == "failed"
    assert data["arrivals"][0]["result"]["errors"][0]["line"] == 2
    assert (data["busy"], data["waiting"]) == (False, [])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CommandError, match="There is no folder"):
        management.call_command("ingest", "--inbox", str(tmp_path / "nowhere"))


def test_files_and_an_inbox_do_not_go_together(folder):
    with pytest.raises(CommandError, match="--inbox goes with"):
        management.call_command("ingest", "a.csv", "--inbox", str(folder))
    with pytest.raises(CommandError, match="Name the files"):
        management.call_command("ingest")


# What lies in it is not trusted ----------------------------------------------------------------------


def everything_below(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.parametrize("name", ["../../secret/.env", "s3://b/secret/.env", "secret/.env"])
def test_a_manifest_does_not_reach_out_of_its_folder(folder, name, settings):
    build.a_source("aws")
    secret = folder.parent / "secret" / ".env"
    secret.parent.mkdir()
    secret.write_text("DB_PASSWORD=hunter2\n")
    for place in (folder / "aws_x", folder / "aws" / "y"):
        place.mkdir(parents=True)
        (place / "aws-manifest.json").write_text(json.dumps({"dataFiles": [name]}))
    taken = looked(folder)
    # It waits for what is named, as for any other, and is refused a day later.
    assert taken.waiting == ["aws/y", "aws_x"]
    inbox.PATIENCE, patience = -datetime.timedelta(seconds=1), inbox.PATIENCE
    try:
        taken = looked(folder)
    finally:
        inbox.PATIENCE = patience
    assert [each.outcome for each in taken.handled] == ["failed", "failed"]
    assert b"hunter2" not in everything_below(folder)
    assert "hunter2" not in taken.as_text() + json.dumps(taken.as_data())
    assert not StoredFile.objects.exists()


def test_a_link_in_an_arrival_is_not_followed_out_of_it(folder):
    build.a_source("aws")
    place = folder / "aws_2025-01"
    place.mkdir()
    (place / "aws.csv").symlink_to("/etc/passwd")
    (failed,) = looked(folder).handled
    assert failed.outcome == "failed"
    assert "It is a link that leads out of the folder" in failed.text
    assert b"root:" not in everything_below(folder)
    assert not StoredFile.objects.exists()


def test_a_link_in_the_place_of_a_file_that_was_looked_at_is_not_followed(folder, monkeypatch):
    build.a_source("aws")
    path = a_file(folder, [a_row("1")])

    def swapped(**options):
        path.unlink()
        path.symlink_to("/etc/passwd")
        return ingestion.ingest(**options)

    monkeypatch.setattr(inbox, "ingest", swapped)
    (handled,) = looked(folder).handled
    assert handled.outcome == "kept"
    assert "leads out of the folder" in handled.text
    assert not StoredFile.objects.exists()


def test_a_pipe_is_put_aside_and_waits_for_nobody(folder):
    build.a_source("aws")
    os.mkfifo(folder / "aws_2025-01.csv")
    place = folder / "aws_2025-02"
    place.mkdir()
    os.mkfifo(place / "aws.csv")
    taken = looked(folder)
    assert [each.outcome for each in taken.handled] == ["failed", "failed"]
    assert all("no ordinary file" in each.text for each in taken.handled)


@pytest.mark.parametrize("name", ["done", "failed"])
def test_nothing_is_put_away_outside_of_the_inbox(folder, tmp_path, name):
    build.a_source("aws")
    path = a_file(folder, [a_row("1")])
    (tmp_path / "elsewhere").mkdir()
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(inbox.NoInbox, match=f"{name} is a link"):
        looked(folder)
    assert path.exists()
    assert not Import.objects.exists()


@pytest.fixture
def secret(tmp_path):
    """A folder of the program's own, which whoever may write in the inbox cannot reach."""
    path = tmp_path / "var"
    path.mkdir()
    (path / "db.sqlite3").write_text("the database")
    return path


def during_the_first_import(monkeypatch, act):
    def acts(**options):
        monkeypatch.undo()
        act()
        return ingestion.ingest(**options)

    monkeypatch.setattr(inbox, "ingest", acts)


def test_nothing_is_moved_through_a_link_in_the_place_of_a_folder(folder, secret, monkeypatch):
    build.a_source("aws")
    os.utime(a_file(folder, [a_row("1")]), (1, 1))
    bait = folder / "aws"
    bait.mkdir()
    (bait / "db.sqlite3").write_text("bait")

    def swap():
        bait.rename(secret.parent / "gone")
        bait.symlink_to(secret)

    during_the_first_import(monkeypatch, swap)
    taken = looked(folder)
    assert [each.outcome for each in taken.handled] == ["done", "kept"]
    assert "aws is a link" in taken.handled[1].text
    assert [path.name for path in secret.iterdir()] == ["db.sqlite3"]
    assert not [name for name in names_below(folder) if "db.sqlite3" in name]


@pytest.mark.parametrize("place", ["done", "done/2025-02-03"])
def test_nothing_is_put_away_through_a_link_that_was_made_meanwhile(folder, secret, monkeypatch, place):
    build.a_source("aws")
    path = a_file(folder, [a_row("1")])

    def swap():
        (folder / "done").rename(secret.parent / "gone")
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).symlink_to(secret)

    during_the_first_import(monkeypatch, swap)
    (handled,) = looked(folder).handled
    assert handled.outcome == "kept"
    assert "is a link" in handled.text
    assert path.exists()
    assert [path.name for path in secret.iterdir()] == ["db.sqlite3"]


@pytest.mark.parametrize("error", [PermissionError, NotADirectoryError])
@pytest.mark.parametrize(
    ("call", "refused"), [("iterdir", "azure"), ("lstat", "azure/2025-01"), ("lstat", "azure/2025-01/part.csv")]
)
def test_what_cannot_be_read_stops_no_other(folder, monkeypatch, error, call, refused):
    build.a_source("azure")
    build.a_source("aws")
    for name in ("azure", "azure/2025-01"):
        (folder / name).mkdir()
    a_file(folder / "azure" / "2025-01", [a_row("1")], "part.csv")
    a_file(folder, [a_row("1")])
    real = getattr(inbox.Path, call)

    def refuses(path, *given):
        if path == folder / refused:
            raise error(13, "It is not for you", str(path))
        return real(path, *given)

    monkeypatch.setattr(inbox.Path, call, refuses)
    taken = looked(folder)
    assert [each.outcome for each in taken.handled] == ["kept", "done"]
    assert "It is not for you" in taken.handled[0].text
    monkeypatch.undo()
    assert [each.outcome for each in looked(folder).handled] == ["done"]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("waiting", "Waits for a decision: aws.csv. See `manage.py imports list --deferred`."),
        ("kept", "Still in the inbox, and tried again by the next run: aws.csv."),
        ("failed", "Not imported: aws.csv. The report beside each says why."),
    ],
)
def test_the_command_says_what_comes_of_what_was_not_imported(folder, monkeypatch, outcome, said):
    handled = inbox.Handled("aws.csv", outcome, "", "Because.", {})
    monkeypatch.setattr(inbox, "take_in", lambda **given: inbox.Taken(folder, handled=[handled]))
    with pytest.raises(CommandError) as failure:
        management.call_command("ingest", "--inbox", str(folder), stdout=io.StringIO())
    assert str(failure.value) == said


def test_a_file_where_a_folder_is_needed_is_told_before_anything_is_imported(folder):
    build.a_source("aws")
    a_file(folder, [a_row("1")])
    (folder / "failed").write_text("x")
    with pytest.raises(inbox.NoInbox, match="failed is a file"):
        looked(folder)
    assert not Import.objects.exists()


# Names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"aws_2025-01_k\xf6ln.csv", "aws_2025-01_k�ln.csv"),
        (b"aws_2025-01_a\nb.csv", "aws_2025-01_a�b.csv"),
        (b"aws_2025-01_\x1b[31m.csv", "aws_2025-01_�[31m.csv"),
    ],
)
def test_a_name_that_cannot_be_shown_is_put_aside_and_stops_no_other(folder, name, shown):
    build.a_source("aws")
    build.a_source("azure")
    a_file(folder, [a_row("1")], "given.csv").rename(folder / os.fsdecode(name))
    a_file(folder, [a_row("2")], "azure_2025-01.csv")
    taken = looked(folder)
    assert {each.name: each.outcome for each in taken.handled} == {shown: "failed", "azure_2025-01.csv": "done"}
    (failed,) = (each for each in taken.handled if each.outcome == "failed")
    assert failed.moved_to.endswith(f"/{shown}")
    assert (folder / failed.moved_to).is_file()
    assert "Rename it" in (folder / f"{failed.moved_to}.report.txt").read_text()
    assert json.loads((folder / f"{failed.moved_to}.report.json").read_text())["name"] == shown
    json.dumps(taken.as_data(), ensure_ascii=False).encode()
    # Nothing is left of reports that were begun.
    assert not [each for each in folder.rglob(".*") if each.name != inbox.LOCK]
    assert looked(folder).handled == []


def test_such_a_name_within_a_folder_is_put_aside_with_it(folder):
    build.a_source("aws")
    place = folder / "aws_2025-01"
    place.mkdir()
    a_file(place, [a_row("1")], "given.csv").rename(place / os.fsdecode(b"k\xf6ln.csv"))
    (failed,) = looked(folder).handled
    assert failed.outcome == "failed"
    assert "aws_2025-01/k�ln.csv: The name has characters" in failed.text


@pytest.mark.parametrize("name", ["aws_2025-01_" + "x" * 239 + ".csv", "aws_2025-01_" + "ü" * 119 + ".csv"])
@pytest.mark.parametrize("amount", ["1", "x"])
def test_a_name_as_long_as_names_can_be_has_its_reports(folder, name, amount):
    assert len(name.encode()) in (254, 255)
    build.a_source("aws")
    for _ in range(2):
        a_file(folder, [a_row(amount)], name)
        (handled,) = looked(folder).handled
        assert handled.outcome == ("done" if amount == "1" else "failed")
        assert (folder / handled.moved_to).is_file()
        assert (folder / f"{handled.moved_to}.report.txt").is_file()


def test_names_that_differ_in_case_or_composition_are_put_away_apart(folder):
    build.a_source("aws", import_mode=Source.ImportMode.MERGE)
    names = [
        "aws_2025-01.csv",
        "AWS_2025-01.csv",
        "aws_2025-01_\u00fc.csv",
        "aws_2025-01_u\u0308.csv",
        "-aws_2025-01.csv",
    ]
    for number, name in enumerate(names):
        a_file(folder, [a_row(str(number), ResourceId=f"i-{number}")], name)
    taken = looked(folder)
    assert {each.outcome for each in taken.handled} == {"done"}, taken.as_text()
    assert len({each.moved_to for each in taken.handled}) == 5


# The disk gives up -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".report.txt", ".report.json", ".csv"])
def test_what_cannot_be_put_away_stays_whole_and_without_half_a_report(folder, monkeypatch, ending):
    build.a_source("aws", import_mode=Source.ImportMode.MERGE)
    a_file(folder, [a_row("1")], "aws_2025-01.csv")
    a_file(folder, [a_row("2", ResourceId="i-2")], "aws_2025-01_more.csv")

    def full_for(move):
        def moved(path, target, **folders):
            if str(target).endswith(f"aws_2025-01.csv{ending}".replace(".csv.csv", ".csv")):
                raise OSError(errno.ENOSPC, "No space left on device")
            return move(path, target, **folders)

        return moved

    monkeypatch.setattr(os, "rename", full_for(os.rename))
    monkeypatch.setattr(os, "replace", full_for(os.replace))
    taken = looked(folder)
    assert {each.name: each.outcome for each in taken.handled} == {
        "aws_2025-01.csv": "kept",
        "aws_2025-01_more.csv": "done",
    }
    kept = next(each for each in taken.handled if each.outcome == "kept")
    assert "The disk is full" in kept.text
    assert [path for path in names_below(folder) if "2025-01.csv" in path] == ["aws_2025-01.csv"]
    assert not [each for each in folder.rglob(".*") if each.name != inbox.LOCK]
    monkeypatch.undo()
    assert [each.outcome for each in looked(folder).handled] == ["done"]
    assert Charge.objects.live().count() == 2
