"""Backups: what is in one, what makes one unfit, which go, and what is refused before anything is changed."""

import datetime
import json
import shutil
import stat
import zipfile
from collections import namedtuple
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from billing import safeguards
from billing.audit import anchors
from billing.files import received
from billing.models import AuditEvent, AuditHead, Charge, StoredFile
from openchargeback import backups, system, transfer
from openchargeback.backups import archive, making, restoring
from openchargeback.backups.archive import Archive
from tests import build
from tests.test_pages import with_events

pytestmark = pytest.mark.django_db

WHO = {"actor": build.SOMEBODY}


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere") / "backups"


@pytest.fixture
def filled(tmp_path):
    """An installation with charges, events, a file as it was received, and one that was made."""
    build.a_charge()
    with_events()
    path = tmp_path / "bill.csv"
    path.write_text("a,b\n1,2\n")
    stored = received.store(path=path, now=build.NOW)
    path.unlink()
    made = tmp_path / "statements" / "2025-01" / "one.pdf"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"%PDF")
    for name in ("cache/x", "working/worker", "exports/y", "uploads/z", "statements/.half.part"):
        other = tmp_path / name
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text("not in it")
    return stored


def backed_up(folder, *, now=build.NOW):
    return backups.back_up(folder, now=now, **WHO)


def everything():
    """Every row of the database, by table."""
    return {each.name: list(transfer.rows(connection, each)) for each in transfer.tables_of(connection)}


def load(counts, rows, last=None):
    """Load rows in place of all there are."""
    with transaction.atomic():
        safeguards.remove()
        transfer.load(connection, counts, lambda table: rows[table.name], last=last or {})
        safeguards.install()


def manage(*arguments):
    out = StringIO()
    call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


# What is in it --------------------------------------------------------------------------------------------------------


def test_a_backup_has_every_table_and_file_and_is_nobody_elses(filled, folder):
    before = everything()
    head = AuditHead.objects.get()
    made = backed_up(folder)
    assert made.path == folder / "openchargeback-20250203T093000Z.zip"
    assert [each.name for each in folder.iterdir()] == [made.path.name]
    assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(made.path.stat().st_mode)) == (0o700, 0o600)
    manifest = backups.verify(made.path)
    assert (manifest.events, manifest.head) == (head.events, head.hash)
    # Every table there is, but the list of migrations, which the tables are made by.
    tables = {*connection.introspection.table_names()} - {"django_migrations"}
    assert {each.table.name for each in manifest.rows} == tables
    with Archive(made.path) as opened:
        for part in manifest.rows:
            rows = [] if part.table.name in making.LEFT_OUT else before[part.table.name]
            assert [*opened.rows(part)] == rows, part.name
        assert [each.name for each in manifest.files] == [
            f"received/{filled.path}",
            "files/statements/2025-01/one.pdf",
            "audit-head",
        ]
        assert opened.content(f"received/{filled.path}") == b"a,b\n1,2\n"
    event = AuditEvent.objects.latest("pk")
    assert event.action == "installation.backed_up"
    assert event.after["sha256"] == made.sha256


def test_rows_that_are_loaded_again_are_the_same(filled):
    call_command("initialize", stdout=StringIO())
    before, tables = everything(), transfer.tables_of(connection)
    last = transfer.last_numbers(connection, tables)
    load({each: len(before[each.name]) for each in tables}, before, last)
    assert everything() == before
    assert transfer.last_numbers(connection, tables) == last
    # The next row gets a number that no other had.
    numbers = {*Charge.objects.values_list("pk", flat=True)}
    assert build.a_charge(resource_id="next").pk > max(numbers)


@pytest.mark.parametrize("missing", [0, 2])
def test_rows_that_are_not_as_many_as_expected_are_refused(filled, missing):
    tables, before = transfer.tables_of(connection), everything()
    counts = {each: len(before[each.name]) for each in tables}
    wrong = next(each for each in tables if each.name == "billing_auditevent")
    counts[wrong] += 1 - missing
    with pytest.raises(transfer.CannotLoad, match="billing_auditevent has"):
        load(counts, before)
    assert everything() == before


def test_rows_that_refer_to_nothing_are_refused(filled):
    tables, before = transfer.tables_of(connection), everything()
    rows = {**before, "billing_source": []}
    counts = {each: len(rows[each.name]) for each in tables}
    with pytest.raises(transfer.CannotLoad, match="refer to others that are not there"):
        load(counts, rows)
    assert everything() == before


def test_the_heads_in_it_are_those_up_to_its_moment(filled, folder, monkeypatch):
    """An event that commits while the backup runs is noted outside the database, and is not in the backup."""
    head = AuditHead.objects.get()
    anchors.note(events=head.events, hash=head.hash, at=build.NOW)
    anchors.note(events=head.events + 5, hash="later", at=build.NOW)
    made = backed_up(folder)
    with Archive(made.path) as opened:
        noted = [json.loads(line) for line in opened.content("audit-head").splitlines()]
    assert [(each["events"], each["hash"]) for each in noted][-1] == (head.events, head.hash)


def test_a_file_that_is_gone_or_altered_is_named_and_all_else_is_backed_up(filled, folder, tmp_path):
    (tmp_path / "files" / filled.path).unlink()
    with pytest.raises(CommandError, match=rf"{filled.path} is missing\. All else is in the backup"):
        manage("backup", folder)
    (path,) = folder.iterdir()
    assert backups.verify(path).lacking == (f"{filled.path} is missing.",)
    (tmp_path / "files" / filled.path).write_text("another")
    made = backed_up(folder, now=build.NOW + datetime.timedelta(days=1))
    assert "is not what was received" in made.manifest.lacking[0]


def test_an_unused_file_that_is_cleared_away_meanwhile_is_not_missed(filled, folder, tmp_path, monkeypatch):
    def cleared(path):
        StoredFile.objects.all().delete()
        raise FileNotFoundError(path)

    monkeypatch.setattr(making, "opened_at", cleared)
    manifest = backed_up(folder).manifest
    assert manifest.lacking == ()
    assert next(each.count for each in manifest.rows if each.table.name == "billing_storedfile") == 0


# What is refused before anything is written ---------------------------------------------------------------------------


def test_a_backup_is_not_made_where_it_would_be_lost_too(filled, tmp_path):
    with pytest.raises(backups.NotBackedUp, match="lies in VAR_DIR"):
        backed_up(tmp_path / "backups")
    assert not (tmp_path / "backups").exists()


def test_a_backup_is_not_begun_without_room(filled, folder, monkeypatch):
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 100))
    with pytest.raises(backups.NotBackedUp, match="may take .* has 100.bytes left"):
        backed_up(folder)
    assert [*folder.iterdir()] == []


def test_a_backup_that_is_not_as_written_gets_no_name(filled, folder, monkeypatch):
    monkeypatch.setattr(making.Writer, "add_file", lambda self, name, content: archive.Part(name, 3, "0" * 64))
    with pytest.raises(backups.Damaged):
        backed_up(folder)
    assert [*folder.iterdir()] == []
    assert not AuditEvent.objects.filter(action="installation.backed_up").exists()


def test_what_a_killed_backup_left_goes_and_what_another_writes_stays(filled, folder):
    folder.mkdir()
    left = folder / ".openchargeback-abc.part"
    left.write_text("half")
    pending = making.Pending(folder / "other.zip", prefix=".openchargeback-")
    pending.lock()
    made = backed_up(folder)
    assert {*folder.iterdir()} == {made.path, pending.temporary}
    pending.discard()


# What makes one unfit -------------------------------------------------------------------------------------------------


def rewritten(path, target, change):
    """Copy a backup with its members changed: `change` gets them by name."""
    with zipfile.ZipFile(path) as whole:
        members = {each: whole.read(each) for each in whole.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as written:
        for name, content in members.items():
            written.writestr(name, content)
    return target


def with_manifest(members, **changes):
    said = json.loads(members["manifest.json"]) | changes
    members["manifest.json"] = json.dumps(said).encode()


def alter(members):
    members["rows/billing_charge.jsonl"] = members["rows/billing_charge.jsonl"].replace(b"USD", b"EUR")


UNFIT = {
    "a row that was altered": (alter, "rows/billing_charge.jsonl is not what was written"),
    "a member that is missing": (lambda it: it.pop("audit-head"), "audit-head is missing"),
    "a member too many": (lambda it: it.update({"files/x": b""}), "has files/x, of which its manifest knows nothing"),
    "no manifest": (lambda it: it.pop("manifest.json"), "has no manifest.json"),
    "half a manifest": (lambda it: it.update({"manifest.json": b"{"}), "manifest cannot be read"),
    "a newer form": (lambda it: with_manifest(it, format=2, version="9.1"), "made by version 9.1, in a newer form"),
    "another program": (lambda it: with_manifest(it, program="x"), "a backup of another program"),
    "a newer version": (
        lambda it: with_manifest(it, version="9.1", migrations=[["billing", "0099_more"]]),
        r"made by version 9.1, whose tables this version .* does not know \(billing.0099_more\)",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_restore_refuses_what_is_unfit_and_changes_nothing(filled, folder, monkeypatch, settings, what):
    change, said = UNFIT[what]
    path = rewritten(backed_up(folder).path, folder / "unfit.zip", change)
    monkeypatch.setattr(transfer, "is_unused", lambda connection: True)
    settings.VAR_DIR = folder.parent / "empty"
    settings.MEDIA_ROOT = settings.VAR_DIR / "files"
    settings.MEDIA_ROOT.mkdir(parents=True)
    before = everything()
    with pytest.raises((backups.NotABackup, backups.Damaged, backups.NotRestored), match=said):
        backups.restore(path)
    assert everything() == before
    assert [*settings.VAR_DIR.rglob("*")] == [settings.MEDIA_ROOT]
    if what != "a newer version":
        with pytest.raises(CommandError, match=said):
            manage("backup", path, "--verify")


def test_half_a_backup_and_an_encrypted_one_are_no_backups(filled, folder):
    path = backed_up(folder).path
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(backups.NotABackup, match="only the beginning of one. An encrypted one has to be decrypted"):
        backups.verify(path)


def test_bytes_that_the_disk_lost_are_noticed_wherever_they_were(filled, folder):
    path = backed_up(folder).path
    whole = path.read_bytes()
    noticed = 0
    for at in range(50, len(whole), len(whole) // 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            manifest = backups.verify(path)
        except (backups.NotABackup, backups.Damaged):
            noticed += 1
        else:
            # A time of a member, say: nothing that is restored.
            assert manifest.row_count
    assert noticed > 30


def test_a_list_of_members_that_the_disk_changed_is_no_backup(filled, folder):
    path = backed_up(folder).path
    whole = path.read_bytes()
    refused = 0
    for at in range(whole.index(b"PK\x01\x02"), len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            with backups.Archive(path):
                pass
        except (backups.NotABackup, backups.Damaged):
            refused += 1
    assert refused > 10


def test_no_file_of_a_backup_leads_out_of_its_folder(filled, folder, settings, tmp_path):
    def lead_out(members):
        members["files/../../out"] = members.pop("files/statements/2025-01/one.pdf")
        said = json.loads(members["manifest.json"])
        for each in said["files"]:
            if each["name"].startswith("files/statements"):
                each["name"] = "files/../../out"
        with_manifest(members, files=said["files"])

    path = rewritten(backed_up(folder).path, folder / "unfit.zip", lead_out)
    settings.VAR_DIR = folder.parent / "empty" / "var"
    settings.MEDIA_ROOT = settings.VAR_DIR / "files"
    settings.MEDIA_ROOT.mkdir(parents=True)
    with Archive(path) as opened, pytest.raises(backups.Damaged, match="is no name of a file in a backup"):
        restoring._write_files(opened, lambda *_: None)
    assert not (folder.parent / "out").exists()


# Where it is not restored ---------------------------------------------------------------------------------------------


def test_nothing_is_restored_over_what_is_there(filled, folder, monkeypatch, settings, tmp_path):
    path = backed_up(folder).path
    with pytest.raises(CommandError, match="is not empty, and nothing is restored over what is there"):
        manage("restore", path)
    monkeypatch.setattr(transfer, "is_unused", lambda connection: True)
    # The heads of this log go further than the backup: what was done since would be lost.
    head = AuditHead.objects.get()
    anchors.note(events=head.events, hash=head.hash, at=build.NOW)
    with pytest.raises(CommandError, match="The others are lost. Move the file away and keep it"):
        manage("restore", path)
    anchors.default_path().unlink()
    (tmp_path / "statements" / "other.pdf").write_text("other")
    with pytest.raises(CommandError, match=r"other\.pdf is there, and not from this backup"):
        manage("restore", path)


# Which go -------------------------------------------------------------------------------------------------------------


def on_days(folder, *days):
    return [backed_up(folder, now=build.NOW + datetime.timedelta(days=day)).path for day in days]


def removed(folder, **options):
    installation = AuditEvent.objects.order_by("pk").first().hash
    now = build.NOW + datetime.timedelta(days=100)
    return backups.remove_old(folder, installation=installation, now=now, **options)


def test_the_newest_stay_and_the_last_whole_one_always(filled, folder):
    first, second, third, last = on_days(folder, 0, 1, 2, 3)
    assert removed(folder, number=3) == [first]
    last.write_bytes(b"PK")
    # It is not whole: it does not count, and somebody has to look at it.
    assert removed(folder, number=1) == [second]
    assert removed(folder, days=7) == []
    assert {*folder.iterdir()} == {third, last}
    listed = json.loads(manage("backup", folder, "--list", "--json"))["backups"]
    assert [each["whole"] for each in listed] == [False, True]
    assert "not whole" in manage("backup", folder, "--list")


def test_those_of_other_installations_stay(filled, folder):
    other, *_ = on_days(folder, 0, 1)

    def of_another(members):
        with_manifest(members, installation="another")

    rewritten(other, other, of_another)
    assert removed(folder, number=1) == []


def test_a_backup_by_command_removes_old_ones_once_it_is_made(filled, folder):
    old, older = on_days(folder, 0, 1)
    answer = json.loads(manage("backup", folder, "--keep", "1", "--json"))
    assert sorted(answer["removed"]) == [str(old), str(older)]
    assert [str(each) for each in folder.iterdir()] == [answer["file"]]
    assert "is as it was written" in manage("backup", answer["file"], "--verify")


# What is said of it ---------------------------------------------------------------------------------------------------


def test_the_doctor_and_the_figures_say_how_old_the_last_backup_is(filled, folder, client):
    def fact(now):
        (found,) = [each for group in system.gather(now=now) for each in group.facts if each.code == "backup"]
        return found

    now = timezone.now()
    assert (fact(now).state, fact(now).value) == ("warn", "none was made by this program")
    assert "openchargeback_backup_timestamp_seconds" not in client.get("/metrics").content.decode()
    backed_up(folder, now=now)
    assert fact(now).state == "ok"
    assert fact(now + datetime.timedelta(days=3)).state == "warn"
    assert (
        f"openchargeback_backup_timestamp_seconds {now.timestamp():.6}"[:40] in client.get("/metrics").content.decode()
    )
