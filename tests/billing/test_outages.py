"""What the machine cannot do for the moment is a sentence and exit 1 on the command line, never a traceback."""

import errno
import io
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django import db
from django.core.management import CommandError, call_command

from billing.background import outages, working
from billing.files import received
from billing.importing import applying, import_record, receiving
from billing.models import Charge, Import
from tests import build
from tests.billing.deliveries import a_file, a_row

ROOT = Path(__file__).resolve().parents[2]


def of_sqlite(code, message="…"):
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


def of_postgresql(name):
    return getattr(psycopg.errors, name)("…")


def raised(kind, cause, message="…"):
    try:
        raise kind(message) from cause
    except kind as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_BUSY)), "busy"),
        (raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_BUSY | 2 << 8)), "busy"),
        (raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_LOCKED)), "busy"),
        (raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_FULL)), "full"),
        (raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_READONLY)), "read_only"),
        (raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_IOERR)), "broken"),
        (raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_CANTOPEN)), "away"),
        (raised(db.DatabaseError, of_sqlite(sqlite3.SQLITE_CORRUPT)), "broken"),
        (db.OperationalError("database is locked"), "busy"),
        (db.OperationalError("attempt to write a readonly database"), "read_only"),
        (raised(db.OperationalError, of_postgresql("DiskFull")), "full"),
        (raised(db.OperationalError, of_postgresql("TooManyConnections")), "crowded"),
        (raised(db.OperationalError, of_postgresql("LockNotAvailable")), "busy"),
        (raised(db.OperationalError, of_postgresql("DeadlockDetected")), "busy"),
        (raised(db.OperationalError, of_postgresql("SerializationFailure")), "busy"),
        (raised(db.OperationalError, of_postgresql("QueryCanceled")), "slow"),
        (raised(db.OperationalError, of_postgresql("AdminShutdown")), "away"),
        (raised(db.OperationalError, of_postgresql("CannotConnectNow")), "away"),
        (raised(db.InternalError, of_postgresql("ReadOnlySqlTransaction")), "read_only"),
        (db.OperationalError("connection failed: Connection refused"), "away"),
        (db.OperationalError("FATAL: sorry, too many clients already"), "crowded"),
        (db.OperationalError("consuming input failed: server closed the connection unexpectedly"), "away"),
        (db.InterfaceError("the connection is closed"), "away"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
        (OSError(errno.EFBIG, "File too large"), "too_large"),
        (OSError(errno.EROFS, "Read-only file system"), "disk_read_only"),
        (OSError(errno.EIO, "Input/output error"), "disk_broken"),
        (raised(RuntimeError, OSError(errno.ENOSPC, "No space left on device")), "disk_full"),
    ],
)
def test_each_outage_is_told_in_sentences(error, kind):
    outage = outages.outage_of(error)
    assert outage.kind == kind
    assert outage.said.endswith(".")
    assert "What was asked for here was not done." in outage.said


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        db.IntegrityError("database is locked"),
        db.ProgrammingError("x"),
        raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_ERROR, "no such table: x")),
        raised(db.OperationalError, of_postgresql("UndefinedTable")),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError(errno.EACCES, "Permission denied", "/etc/shadow"),
        None,
    ],
)
def test_a_fault_of_the_program_is_no_outage(error):
    assert outages.outage_of(error) is None


def test_what_is_raised_from_nothing_is_no_outage():
    def fails(suppressed):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            if suppressed:
                raise ValueError from None
            raise ValueError  # noqa: B904

    found = []
    for suppressed in (True, False):
        with pytest.raises(ValueError) as failure:  # noqa: PT011
            fails(suppressed)
        found.append(outages.outage_of(failure.value) is not None)
    assert found == [False, True]


def test_a_file_of_our_own_that_may_not_be_used_is_one(settings):
    error = PermissionError(errno.EACCES, "Permission denied", str(settings.VAR_DIR / "files" / "x"))
    assert outages.outage_of(error).kind == "private"


def test_who_writes_is_told_where_it_is_known(db):
    mark = working.begin(17)
    try:
        assert "(import 17)" in outages.outage_of(raised_busy()).said
    finally:
        working.end(mark)
    assert "(" not in outages.outage_of(raised_busy()).said


def raised_busy():
    return raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_BUSY))


# Commands ------------------------------------------------------------------------------------------------------------


def refusal(*arguments):
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command(*arguments, stdout=out)
    assert caught.value.returncode == 1
    return str(caught.value)


@pytest.mark.django_db
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_is_full_while_a_file_is_stored_is_told_and_leaves_the_attempt(
    tmp_path, monkeypatch, number, settings
):
    build.a_source("aws")
    path = a_file(tmp_path, [a_row("1")], "aws_2025-01.csv")

    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(received.os, "fsync", full)
    said = refusal("ingest", str(path))
    assert os.strerror(number) in said
    assert Import.objects.get().state == Import.State.FAILED
    assert "disk" in Import.objects.get().errors[0]["message"]
    assert not Charge.objects.exists()
    assert [each for each in (Path(settings.MEDIA_ROOT)).rglob("*") if each.is_file()] == []


@pytest.mark.django_db
def test_a_database_that_is_full_while_charges_are_applied_is_told(tmp_path, monkeypatch):
    build.a_source("aws")
    path = a_file(tmp_path, [a_row("1")], "aws_2025-01.csv")

    def full(*_, **__):
        raise raised(db.OperationalError, of_sqlite(sqlite3.SQLITE_FULL, "database or disk is full"))

    monkeypatch.setattr(applying, "apply", full)
    assert "The disk of the database is full." in refusal("ingest", str(path))
    assert Import.objects.get().state == Import.State.FAILED
    assert not Charge.objects.exists()


@pytest.mark.django_db
def test_where_not_even_the_failure_can_be_recorded_the_cause_is_told(tmp_path, monkeypatch, caplog):
    build.a_source("aws")
    path = a_file(tmp_path, [a_row("1")], "aws_2025-01.csv")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def away(*_, **__):
        raise db.OperationalError("the connection is closed")

    monkeypatch.setattr(receiving, "keep_files", full)
    monkeypatch.setattr(import_record, "fail", away)
    assert "The disk is full." in refusal("ingest", str(path))
    assert "could not be recorded" in caplog.text
    monkeypatch.undo()
    # The next import says so of it.
    call_command("ingest", str(path), stdout=io.StringIO())
    assert [each.state for each in Import.objects.order_by("pk")][-1] == Import.State.APPLIED


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("imports", "list"), PermissionError(errno.EACCES, "Permission denied", "/x/y"), "/x/y: Permission denied."),
        (("imports", "list"), IsADirectoryError(errno.EISDIR, "Is a directory", "/x"), "/x: Is a directory."),
        (("periods", "list"), OSError(errno.ENOSPC, "No space left on device"), "The disk is full."),
        (("version",), db.OperationalError("the connection is closed"), "The database cannot be reached."),
    ],
)
def test_no_command_ends_in_a_traceback_of_the_system(monkeypatch, arguments, error, says):
    from billing.commands import BillingCommand

    def breaks(*_, **__):
        raise error

    monkeypatch.setattr(BillingCommand, "handle", breaks)
    if arguments == ("version",):
        arguments = ("imports", "list")
    assert says in refusal(*arguments)


# Whole processes -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """An installation of its own on SQLite, made once."""
    folder = tmp_path_factory.mktemp("installation")
    made = manage(folder, "initialize", before="umask 000")
    assert made.returncode == 0, made.stderr
    return folder


def environment_of(folder, **more):
    """An installation on SQLite in a folder, whatever database the tests themselves use."""
    return os.environ | {"VAR_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3"} | more


def manage(folder, *arguments, before="", env=None):
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    if before:
        command = ["bash", "-c", f'{before}; exec "$@"', "bash", *command]
    return subprocess.run(
        command,
        env=environment_of(folder, **(env or {})),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def files_below(folder):
    return {path.relative_to(folder) for path in (folder / "files").rglob("*") if path.is_file()}


def modes_below(folder):
    return {str(path.relative_to(folder)): path.lstat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}


@pytest.mark.slow
def test_whatever_the_umask_files_are_private(installation, tmp_path):
    a_file(tmp_path, [a_row("1")], "aws_2025-01.csv")
    (tmp_path / "inbox").mkdir()
    a_file(tmp_path / "inbox", [a_row("2")], "azure_2025-01.csv")
    a_file(tmp_path / "inbox", [a_row("x")], "gcp_2025-01.csv")
    assert manage(installation, "ingest", str(tmp_path / "aws_2025-01.csv"), before="umask 000").returncode == 0
    manage(installation, "ingest", "--inbox", str(tmp_path / "inbox"), "--settle", "0", before="umask 000")
    manage(installation, "review", "export", str(installation / "sheet.xlsx"), before="umask 000")
    manage(installation, "audit", "export", "-o", str(installation / "trail.jsonl"), before="umask 000")
    modes = modes_below(installation)
    assert {"db.sqlite3", "audit-head", "sheet.xlsx", "trail.jsonl"} <= modes.keys()
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o027} == {}
    put_away = modes_below(tmp_path / "inbox")
    reports = {name: oct(mode) for name, mode in put_away.items() if ".report." in name}
    assert set(reports.values()) == {"0o640"}
    assert len(reports) == 4
    assert put_away["done"] & 0o027 == 0


@pytest.mark.slow
@pytest.mark.parametrize("redirected", ["| head -n 1", "| true"])
def test_a_reader_that_has_enough_is_no_error(installation, redirected):
    done = subprocess.run(
        ["bash", "-c", f'"$0" manage.py sources list {redirected}; echo "${{PIPESTATUS[0]}}"', sys.executable],
        env=environment_of(installation),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_told(installation):
    done = subprocess.run(
        ["bash", "-c", '"$0" manage.py sources list >/dev/full', sys.executable],
        env=environment_of(installation),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 1
    assert "The disk is full." in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_told_and_leaves_no_half_copy(installation, tmp_path):
    path = a_file(tmp_path, [a_row("1", ResourceId=f"i-{n}" * 20) for n in range(8_000)], "aws_2025-01.csv")
    assert path.stat().st_size > 1_500 * 1024
    before = files_below(installation)
    # Python ignores the signal that comes with the limit, as it does for pipes.
    done = manage(installation, "ingest", str(path), before="ulimit -f 1500")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "A file became larger than the system lets this program write" in done.stderr
    assert files_below(installation) == before
    assert "Failed" in manage(installation, "imports", "list").stdout


@pytest.mark.slow
def test_a_database_that_stays_locked_is_told_and_the_attempt_is_kept(installation, tmp_path):
    path = a_file(tmp_path, [a_row("1")], "aws_2025-02.csv")
    holder = sqlite3.connect(installation / "db.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        done = manage(installation, "ingest", str(path), env={"DATABASE_WAIT_SECONDS": "1"})
    finally:
        holder.rollback()
        holder.close()
    assert done.returncode == 1
    assert "The database is busy" in done.stderr
    assert "Traceback" not in done.stderr
    # Looked at while nothing writes any more, it is there.
    listed = manage(installation, "imports", "list").stdout
    assert "Failed" in next(line for line in listed.splitlines() if "aws_2025-02.csv" in line)
    assert manage(installation, "verify_audit").returncode == 0
    assert manage(installation, "ingest", str(path)).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["version", "check", "sources list", "imports list", "review list", "jobs list", "verify_audit"]
)
def test_a_command_starts_without_a_warning(installation, command):
    """Of what runs every night: a line of stderr is an e-mail of cron's."""
    done = manage(installation, *command.split(), env={"PYTHONWARNINGS": "default"})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_an_interrupted_command_ends_with_130(installation):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env=environment_of(installation),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


# Ctrl+C in the middle of a command, as the terminal sends it.
INTERRUPTED = """
import os, signal, sys
# A shell that starts something in the background has it ignore Ctrl+C.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["manage.py", "sources", "list"]
import manage
from django.core.management import ManagementUtility
ManagementUtility.execute = lambda self: os.kill(os.getpid(), signal.SIGINT)
manage.main()
"""


@pytest.mark.slow
def test_a_read_only_database_is_told(installation, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root writes what it may not")
    path = a_file(tmp_path, [a_row("1")], "aws_2025-03.csv")
    (installation / "db.sqlite3").chmod(0o400)
    try:
        done = manage(installation, "ingest", str(path))
    finally:
        (installation / "db.sqlite3").chmod(0o640)
    assert done.returncode == 1
    assert "can be read but not written" in done.stderr


@pytest.fixture
def small_disk(installation, tmp_path):
    """The installation on a disk of its own with 1.5 MB to spare; making one takes root, and a system that lets it."""
    place = tmp_path / "small"
    place.mkdir()
    taken = sum(path.stat().st_size for path in installation.rglob("*") if path.is_file()) // 1024
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={taken + 1_800}k", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    subprocess.run(["cp", "-r", f"{installation}/.", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_is_told_and_all_recovers(small_disk, tmp_path):
    before = files_below(small_disk)
    path = a_file(tmp_path, [a_row("1", ResourceId=f"i-{n}") for n in range(20_000)], "aws_2025-04.csv")
    done = manage(small_disk, "ingest", str(path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "full" in done.stderr
    assert files_below(small_disk) == before
    # There is room again: nothing is left over, the audit log is whole, and the same file comes in.
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    listed = manage(small_disk, "imports", "list")
    assert "aws_2025-04.csv" in listed.stdout
    assert manage(small_disk, "verify_audit").returncode == 0
    done = manage(small_disk, "ingest", str(path))
    assert (done.returncode, "20,000 rows of aws" in done.stdout) == (0, True), done.stderr
