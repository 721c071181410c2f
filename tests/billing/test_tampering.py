"""Somebody with the database in hand bends the audit log; verifying finds each way of doing so."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing import audit
from billing.audit import anchors
from billing.audit.anchors import Anchor
from billing.models import AuditEvent, AuditHead
from tests import build

pytestmark = pytest.mark.django_db

TABLE = AuditEvent._meta.db_table
HEAD = AuditHead._meta.db_table


@pytest.fixture
def path(settings):
    return settings.VAR_DIR / "audit-head"


@pytest.fixture
def chain(path, django_capture_on_commit_callbacks):
    """Make six gestures of one or two events, nine events in all, each head noted as after a commit."""
    _without_safeguards()
    fay = build.User.objects.create_user("fay")
    for number in range(6):
        with (
            django_capture_on_commit_callbacks(execute=True),
            audit.gesture(actor=audit.Actor.from_user(fay), now=build.NOW) as gesture,
        ):
            gesture.record(
                "period.closed",
                fay,
                before={"status": "open", "n": number},
                after={"by": "é"},
                note=f"gesture {number}",
            )
            if number % 2:
                gesture.record("policy.changed", after={"list": [1, {"a": None}]})
    assert AuditEvent.objects.count() == 9
    return list(AuditEvent.objects.order_by("pk").values_list("pk", flat=True))


def _without_safeguards():
    """Take the database's own safeguards off, as somebody with all its rights can."""
    try:
        from billing import safeguards
    except ImportError:
        return
    safeguards.remove(connection)


def sql(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement.format(events=TABLE, head=HEAD), parameters)


def kinds(anchor=None):
    return [(each.kind, each.event) for each in audit.verify(anchor=anchor).breaks]


def recompute(since=0):
    """Give every event from an id on a hash and a place that fit, and the head too, as an attacker would."""
    previous = AuditEvent.objects.filter(pk__lt=since).order_by("pk").values_list("hash", flat=True).last() or ""
    for event in AuditEvent.objects.filter(pk__gte=since).order_by("pk"):
        event.previous_hash = previous
        previous = audit.event_hash(event)
        sql("UPDATE {events} SET previous_hash = %s, hash = %s WHERE id = %s", event.previous_hash, previous, event.pk)
    sql("UPDATE {head} SET events = %s, hash = %s", AuditEvent.objects.count(), previous)


def test_an_untouched_log_is_whole_and_agrees_with_the_noted_head(chain, path):
    found = audit.verify(anchor=path)
    assert found.breaks == []
    assert (found.events, found.lag) == (9, 0)
    assert found.anchor == anchors.read(path).anchors[-1]


def test_an_empty_log_is_whole(path):
    assert audit.verify(anchor=path).is_whole


COLUMNS = {
    "at": "2024-01-01 00:00:00+00:00",
    "actor_id": None,
    "actor_name": "mallory",
    "via": "task",
    "action": "period.opened",
    "object_type": "policy",
    "object_id": "77",
    "object_label": "another",
    "before": '{"status": "closed"}',
    "after": None,
    "note": "another",
    "gesture": "0" * 32,
    "previous_hash": "0" * 64,
    "hash": "0" * 64,
}


def test_the_edits_below_are_of_every_column():
    assert {field.column for field in AuditEvent._meta.concrete_fields} == {"id", *COLUMNS}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("place", [0, 4, 8])
def test_an_edit_of_any_column_of_any_event_is_found(chain, column, place):
    sql(f"UPDATE {{events}} SET {column} = %s WHERE id = %s", COLUMNS[column], chain[place])
    assert kinds() == [("edited", chain[place])]


def test_two_edits_are_both_found(chain):
    sql("UPDATE {events} SET note = 'x' WHERE id IN (%s, %s)", chain[1], chain[6])
    assert kinds() == [("edited", chain[1]), ("edited", chain[6])]


def test_an_edit_that_also_sets_the_hash_is_found_by_the_event_after_it(chain):
    sql("UPDATE {events} SET note = 'x' WHERE id = %s", chain[3])
    sql(
        "UPDATE {events} SET hash = %s WHERE id = %s",
        audit.event_hash(AuditEvent.objects.get(pk=chain[3])),
        chain[3],
    )
    assert kinds() == [("missing", chain[4])]


def test_a_deleted_first_event_is_found(chain):
    sql("DELETE FROM {events} WHERE id = %s", chain[0])
    assert kinds() == [("missing", chain[1])]


def test_deleted_events_in_the_middle_are_found_once_per_gap(chain):
    sql("DELETE FROM {events} WHERE id IN (%s, %s, %s)", chain[2], chain[3], chain[6])
    assert kinds() == [("missing", chain[4]), ("missing", chain[7])]


def test_a_deleted_last_event_is_found(chain):
    sql("DELETE FROM {events} WHERE id = %s", chain[8])
    assert kinds() == [("tail", chain[7])]


def test_all_events_deleted_are_found(chain):
    sql("DELETE FROM {events}")
    assert kinds() == [("tail", None)]


def insert(event_id, previous, fitting=True):
    template = AuditEvent.objects.order_by("pk").first()
    template.pk, template.note, template.previous_hash = event_id, "forged", previous
    template.hash = audit.event_hash(template) if fitting else "f" * 64
    AuditEvent.objects.bulk_create([template])


@pytest.fixture
def room(chain):
    """Leave a free id behind the fourth event: the order of the others stays."""
    for pk in reversed(chain[4:]):
        sql("UPDATE {events} SET id = id + 1 WHERE id = %s", pk)
    assert kinds() == []
    return chain[3] + 1


def test_an_inserted_event_with_a_fitting_hash_is_found(chain, room):
    insert(room, AuditEvent.objects.get(pk=chain[3]).hash)
    assert kinds() == [("inserted", room)]


def test_an_inserted_event_with_any_hash_is_found(chain, room):
    insert(room, "", fitting=False)
    assert ("inserted", room) in kinds()


def test_events_appended_beside_the_head_are_found(chain):
    insert(chain[8] + 1, AuditEvent.objects.get(pk=chain[8]).hash)
    assert kinds() == [("inserted", chain[8] + 1)]


def test_two_events_that_changed_places_are_found(chain):
    for old, new in ((chain[3], 10_000), (chain[4], chain[3]), (10_000, chain[4])):
        sql("UPDATE {events} SET id = %s WHERE id = %s", new, old)
    assert kinds() == [("reordered", chain[3]), ("reordered", chain[4]), ("reordered", chain[5])]


def test_the_first_event_moved_to_the_end_is_found(chain):
    sql("UPDATE {events} SET id = %s WHERE id = %s", 10_000, chain[0])
    assert ("reordered", 10_000) in kinds()


def test_a_head_that_was_edited_is_found(chain):
    sql("UPDATE {head} SET hash = %s", "0" * 64)
    assert kinds() == [("head", chain[8])]


def test_a_head_whose_count_was_edited_is_found(chain):
    sql("UPDATE {head} SET events = 12")
    assert kinds() == [("head", chain[8])]


def test_a_head_that_was_removed_is_found(chain):
    sql("DELETE FROM {head}")
    assert kinds() == [("head", None)]


def test_a_tail_cut_off_with_the_head_set_back_is_found_by_the_noted_head(chain, path):
    sql("DELETE FROM {events} WHERE id IN (%s, %s)", chain[7], chain[8])
    recompute()
    assert kinds() == []
    assert kinds(path) == [("tail", chain[6])]


def test_a_tail_cut_off_and_grown_again_is_found_by_the_noted_head(chain, path, django_capture_on_commit_callbacks):
    sql("DELETE FROM {events} WHERE id IN (%s, %s)", chain[7], chain[8])
    recompute()
    for _ in range(5):
        with (
            django_capture_on_commit_callbacks(execute=True),
            audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture,
        ):
            gesture.record("later")
    assert kinds() == []
    assert kinds(path) == [("anchor", None)]


def test_everything_removed_head_and_all_is_found_by_the_noted_head(chain, path):
    sql("DELETE FROM {events}")
    sql("DELETE FROM {head}")
    assert kinds() == []
    assert kinds(path) == [("tail", None)]


def test_a_chain_computed_anew_is_found_by_the_noted_head_and_narrowed_down(chain, path):
    sql("UPDATE {events} SET note = 'bent' WHERE id = %s", chain[4])
    recompute(since=chain[4])
    assert kinds() == []
    found = audit.verify(anchor=path)
    assert [each.kind for each in found.breaks] == ["anchor"]
    # Gestures end at events 1, 3, 4, 6, 7 and 9; the fifth event was bent.
    assert "after event 4 and up to" in found.breaks[0].message
    assert "event 6 had the hash" in found.breaks[0].message


def test_a_missing_file_of_heads_is_said(chain, path):
    path.unlink()
    assert kinds(path) == [("anchor", None)]


def test_a_line_of_the_file_that_cannot_be_read_is_said(chain, path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\0\0\0\n", *lines[2:]]))
    assert kinds(path) == [("anchor", None)]


def test_an_event_that_cannot_be_read_is_found_and_the_rest_is_read_on(chain):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL takes no such value")
    sql("UPDATE {events} SET at = 'never' WHERE id = %s", chain[3])
    sql("UPDATE {events} SET note = 'x' WHERE id = %s", chain[6])
    assert kinds() == [("unreadable", chain[3]), ("edited", chain[6])]


def test_events_beyond_one_batch_are_read_in_bounded_batches(chain, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr("billing.audit.chaining.BATCH", 2)
    # Head, five batches, the empty one, and the head again.
    with django_assert_num_queries(8):
        assert audit.verify().events == 9


def test_breaks_without_number_are_counted_and_only_some_are_told(chain, monkeypatch):
    monkeypatch.setattr("billing.audit.chaining.SHOWN", 3)
    sql("UPDATE {events} SET note = 'x'")
    found = audit.verify()
    assert (len(found.breaks), found.further) == (3, 6)


def test_events_added_while_it_reads_are_no_break(chain, path, monkeypatch):
    added = []

    def add(*_):
        if not added:
            added.append(1)
            with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture:
                gesture.record("meanwhile")

    found = audit.verify(anchor=path, progress=add)
    assert found.breaks == []
    assert (found.events, found.lag) == (10, 1)


# The commands --------------------------------------------------------------------------------------------------------


def test_verify_audit_says_that_the_audit_log_is_whole_and_that_the_notes_lag(chain):
    with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture:
        gesture.record("not noted yet")
    out = StringIO()
    call_command("verify_audit", stdout=out)
    assert "whole: 10 events" in out.getvalue()
    assert "The notes lag: 1 events came after" in out.getvalue()


def test_verify_audit_ends_with_1_and_names_each_break(chain):
    sql("UPDATE {events} SET note = 'x' WHERE id = %s", chain[2])
    out = StringIO()
    with pytest.raises(CommandError, match="1 break") as refused:
        call_command("verify_audit", stdout=out)
    assert refused.value.returncode == 1
    assert f"edited: Event #{chain[2]} was edited" in out.getvalue()


def test_verify_audit_prints_its_breaks_as_json(chain, path):
    sql("DELETE FROM {events} WHERE id = %s", chain[8])
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("verify_audit", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert told["whole"] is False
    assert {each["kind"] for each in told["breaks"]} == {"tail"}
    assert told["anchor"]["file"] == str(path)


def test_a_copy_of_the_heads_kept_elsewhere_finds_what_the_own_file_no_longer_shows(chain, path, tmp_path):
    copy = tmp_path / "shipped"
    copy.write_bytes(path.read_bytes())
    sql("DELETE FROM {events} WHERE id IN (%s, %s)", chain[7], chain[8])
    recompute()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    call_command("verify_audit", stdout=StringIO())
    with pytest.raises(CommandError):
        call_command("verify_audit", "--anchor", str(copy), stdout=StringIO())


def check_as_an_outsider(lines):
    """The recipe of docs/security/audit-log.md, with nothing of the program."""
    previous = ""
    for line in lines:
        event = json.loads(line)
        del event["id"]
        claimed = event.pop("hash")
        text = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if event["previous"] != previous or hashlib.sha256(text.encode()).hexdigest() != claimed:
            return False
        previous = claimed
    return True


def test_an_outsider_can_check_an_export_by_the_documented_recipe(chain, tmp_path):
    file = tmp_path / "chain.jsonl"
    call_command("audit", "export", "-o", str(file), stdout=StringIO())
    lines = file.read_text().splitlines()
    assert len(lines) == 9
    assert file.stat().st_mode & 0o777 == 0o600
    assert check_as_an_outsider(lines)
    assert not check_as_an_outsider([*lines[:3], lines[3].replace("period.closed", "period.opened"), *lines[4:]])
    assert not check_as_an_outsider([*lines[:3], *lines[4:]])
    assert AuditEvent.objects.order_by("pk").last().action == "audit.exported"


def test_an_export_can_be_of_some_days_and_one_action(chain):
    out = StringIO()
    call_command("audit", "export", "--since", "2025-02-03", "--until", "2025-02-03", "--action", "policy", stdout=out)
    assert {json.loads(line)["action"] for line in out.getvalue().splitlines()} == {"policy.changed"}
    out = StringIO()
    call_command("audit", "export", "--until", "2025-02-02", stdout=out)
    assert out.getvalue() == ""


def test_audit_list_shows_the_latest_events_oldest_first(chain):
    out = StringIO()
    call_command("audit", "list", "--last", "2", "--json", stdout=out)
    assert [event["id"] for event in json.loads(out.getvalue())["events"]] == chain[-2:]


# The file of noted heads ---------------------------------------------------------------------------------------------


def test_heads_noted_out_of_turn_leave_the_later_one(path):
    assert anchors.note(events=5, hash="five", at=build.NOW, path=path)
    assert not anchors.note(events=3, hash="three", at=build.NOW, path=path)
    assert [each.events for each in anchors.read(path).anchors] == [5]


def test_a_note_cut_off_by_a_crash_spoils_no_other(path):
    anchors.note(events=5, hash="five", at=build.NOW, path=path)
    path.write_bytes(path.read_bytes() + b'{"events": 6, "ha')
    anchors.note(events=7, hash="seven", at=build.NOW, path=path)
    notes = anchors.read(path)
    assert [each.events for each in notes.anchors] == [5, 7]
    assert (notes.torn, notes.unreadable) == ((2,), ())


@pytest.mark.same_on_either
@pytest.mark.parametrize(
    "line",
    [
        *(Anchor(12, "ab" * 32, "2025-01-02T00:00:00+00:00").line()[:length] for length in range(1, 118)),
        b'{"events": 12, "hash": "abab' + b"\0" * 40,
    ],
)
def test_the_beginning_of_a_note_is_torn(path, line):
    path.write_bytes(Anchor(5, "five", "2025-01-01").line() + line)
    notes = anchors.read(path)
    assert notes.unreadable == ()
    assert [each.events for each in notes.anchors][:1] == [5]


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b'{"events": "12", "hash": "abab", "at": "2025-01-01"}',
        b'{"events": 12, "hash": "abab", "at": "2025-01-01", "more": 1}',
        b'{"events": 12, "hash": "abab"}',
        b'{"events": 12, "hash: "abab',
        b'"hash": "abab", "at": "2025-01-01"}',
        b'{"hash": "abab", "events": 12',
    ],
)
def test_any_other_line_is_bent(path, line):
    path.write_bytes(line)
    assert (anchors.read(path).unreadable, anchors.read(path).torn) == ((1,), ())


def test_a_torn_note_is_a_warning_and_a_bent_one_a_break(chain, path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    found = audit.verify(anchor=path)
    assert found.is_whole
    assert f"Line {len(lines)} of {path} ends in the middle" in found.warnings[0]
    assert found.lag == 9 - found.anchor.events > 0
    # The next note stands on a line of its own, and the audit log agrees with it.
    anchors.note(events=found.events, hash=found.hash, at=build.NOW, path=path)
    found = audit.verify(anchor=path)
    assert (found.is_whole, found.lag, len(found.warnings)) == (True, 0, 1)
    out = StringIO()
    call_command("verify_audit", "--anchor", str(path), stdout=out)
    assert "The audit log is whole" in out.getvalue()
    assert "ends in the middle" in out.getvalue()
    # One digit of a whole note is another chain.
    last = Anchor(**json.loads(path.read_bytes().splitlines()[-1]))
    bent = last.hash[:-1] + ("0" if last.hash[-1] != "0" else "1")
    path.write_bytes(path.read_bytes().replace(last.hash.encode(), bent.encode()))
    assert kinds(path) == [("anchor", None)]


def test_notes_that_are_all_torn_vouch_for_nothing(chain, path):
    path.write_bytes(b'{"events": 9, "ha')
    assert kinds(path) == [("anchor", None)]


@pytest.mark.parametrize("taken", [0, 10, None])
def test_a_full_disk_leaves_no_part_of_a_note(path, monkeypatch, taken):
    anchors.note(events=5, hash="five", at=build.NOW, path=path)
    before = path.read_bytes()
    honest = os.write

    def full(handle, data):
        if taken is None:
            honest(handle, data[:7])
            raise OSError(errno.ENOSPC, "No space left on device")
        return honest(handle, data[:taken])

    monkeypatch.setattr(anchors.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        anchors.note(events=6, hash="six", at=build.NOW, path=path)
    assert path.read_bytes() == before
    monkeypatch.undo()
    anchors.note(events=7, hash="seven", at=build.NOW, path=path)
    assert [each.events for each in anchors.read(path).anchors] == [5, 7]
    assert anchors.read(path).torn == ()


def test_a_process_that_is_killed_while_it_notes_leaves_notes_that_can_be_read(path):
    """A real process writes one note after the other until it is killed."""
    program = (
        "import datetime, pathlib, sys, django; django.setup()\n"
        "from billing.audit import anchors\n"
        "for number in range(10**9):\n"
        "    anchors.note(events=number, hash='ab' * 32, at=datetime.datetime.now(datetime.UTC), "
        "path=pathlib.Path(sys.argv[1]))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "DJANGO_SETTINGS_MODULE": "openchargeback.settings"}
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], env=environment)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and (not path.exists() or path.stat().st_size < 2_000):
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    notes = anchors.read(path)
    assert notes.unreadable == ()
    written = notes.anchors[-1].events
    assert anchors.note(events=written + 2, hash="later", at=build.NOW, path=path)
    assert anchors.read(path).anchors[-1].events == written + 2


def test_the_file_is_thinned_to_one_note_a_day_and_the_latest(path, monkeypatch):
    monkeypatch.setattr(anchors, "LIMIT", 500)
    monkeypatch.setattr(anchors, "LATEST_KEPT", 2)
    path.write_bytes(
        b"".join(
            Anchor(number, "0" * 64, f"2025-01-{number // 3 + 1:02d}T00:00:00+00:00").line() for number in range(9)
        )
    )
    anchors.note(events=9, hash="nine", at=build.NOW, path=path)
    assert [each.events for each in anchors.read(path).anchors] == [2, 5, 7, 8, 9]


def test_the_file_lies_where_the_setting_says(settings, tmp_path):
    settings.AUDIT_ANCHOR = str(tmp_path / "elsewhere" / "heads")
    anchors.note(events=1, hash="one", at=build.NOW)
    assert (tmp_path / "elsewhere" / "heads").is_file()


def test_a_disk_that_takes_no_note_undoes_nothing(settings, tmp_path, caplog, django_capture_on_commit_callbacks):
    (tmp_path / "file").write_text("")
    settings.AUDIT_ANCHOR = str(tmp_path / "file" / "heads")
    with (
        django_capture_on_commit_callbacks(execute=True),
        audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture,
    ):
        gesture.record("done")
    assert AuditEvent.objects.count() == 1
    assert "could not be noted" in caplog.text
