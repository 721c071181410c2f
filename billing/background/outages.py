"""What the machine cannot do for the moment, in a sentence: the database is busy or away, the disk is full."""

import errno
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django import db
from django.conf import settings

from ..file_names import shown
from ..files import StorageAway
from . import working

# Errors of a lost connection, and those that Django raises itself, come without a number.
_WORDS = re.compile(
    r"(?P<busy>database (table |schema )?is locked)"
    r"|(?P<full>database or disk is full|no space left on device)"
    r"|(?P<read_only>readonly database|read-only transaction)"
    r"|(?P<broken>disk i/o error|malformed|not a database)"
    r"|(?P<crowded>too many (clients|connections)|remaining connection slots)"
    r"|(?P<away>unable to open database|connection (failed|refused|is closed|is lost|already closed|timeout|bad)"
    r"|could not connect|server closed the connection|consuming input failed|terminating connection"
    r"|the database system is|connection to server)",
    re.IGNORECASE,
)
_BY_SQLITE = {
    sqlite3.SQLITE_BUSY: "busy",
    sqlite3.SQLITE_LOCKED: "busy",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_CANTOPEN: "away",
    sqlite3.SQLITE_IOERR: "broken",
    sqlite3.SQLITE_CORRUPT: "broken",
    sqlite3.SQLITE_NOTADB: "broken",
}
_BY_SQLSTATE = {
    "53100": "full",
    "53300": "crowded",
    "55P03": "busy",
    "40P01": "busy",
    "40001": "busy",
    "57014": "slow",
    "25006": "read_only",
    "58030": "broken",
    "XX001": "broken",
    "28P01": "away",
    "28000": "away",
    "3D000": "away",
}
_BY_ERRNO = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "quota",
    errno.EFBIG: "too_large",
    errno.EROFS: "disk_read_only",
    errno.EIO: "disk_broken",
    errno.EMFILE: "files",
    errno.ENFILE: "files",
    errno.ENOMEM: "memory",
}
_SAID = {
    "busy": "The database is busy: something else has been writing to it for too long{who}. What was asked for here "
    "was not done. Try again once that has ended.",
    "slow": "The database was stopped before it was done, because it took too long. What was asked for here was not "
    "done. Try again when less is going on.",
    "crowded": "The database takes no more connections. What was asked for here was not done. Try again in a minute.",
    "away": "The database cannot be reached. What was asked for here was not done. Try again once it is up.",
    "full": "The disk of the database is full. What was asked for here was not done. Free some space, and try again.",
    "read_only": "The database can be read but not written: it is a standby, or its files belong to somebody else. "
    "What was asked for here was not done.",
    "broken": "The database's files cannot be read or written as they should be. What was asked for here was not done. "
    "Look at the disk, and at the last backup.",
    "disk_full": "The disk is full. What was asked for here was not done. Free some space, and try again.",
    "quota": "The disk quota of the user that runs this program is used up. What was asked for here was not done. Free "
    "some space, and try again.",
    "too_large": "A file became larger than the system lets this program write. What was asked for here was not done.",
    "disk_read_only": "The disk can be read but not written. What was asked for here was not done.",
    "disk_broken": "The disk could not be read or written. What was asked for here was not done. Look at the disk.",
    "storage": "The object storage that keeps the files cannot be reached, or refuses. What was asked for here was not "
    "done. Try again once it answers.",
    "files": "This program has too many files open. What was asked for here was not done. Try again in a minute.",
    "memory": "The machine has no memory left. What was asked for here was not done. Try again in a minute.",
    "private": "The program has no access to one of its own files. What was asked for here was not done. The "
    "administrator must correct the owner of its folder.",
}


@dataclass(frozen=True)
class Outage:
    """What is out of order, for everybody (`said`), and for whoever runs the installation (`detail`)."""

    kind: str
    said: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.said} ({self.detail})" if self.detail else self.said


def outage_of(error: BaseException | None) -> Outage | None:
    """Return what is out of order where an error, or one that led to it, comes from there; None for a fault of ours."""
    for each in _causes(error):
        if isinstance(each, db.Error):
            kind, detail = _kind_of_database(each), " ".join(shown(str(each)).split())[:300]
        elif isinstance(each, StorageAway):
            kind, detail = "storage", _where(each)
        elif isinstance(each, OSError):
            kind, detail = _kind_of_disk(each), _where(each)
        else:
            continue
        if kind:
            return Outage(kind, _SAID[kind].replace("{who}", _who() if kind == "busy" else ""), detail)
    return None


def said_of_file(error: OSError) -> str:
    """Say in a sentence what the system would not let a command do."""
    if outage := outage_of(error):
        return str(outage)
    what = shown(str(error.filename)) if error.filename is not None else ""
    return f"{what}: {error.strerror or error}." if what else f"{error.strerror or error}."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # What is raised `from None` says that the error before it did not lead to it.
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _kind_of_database(error: db.Error) -> str:
    if isinstance(error, db.IntegrityError | db.DataError | db.ProgrammingError):
        return ""
    cause = error.__cause__
    if code := getattr(cause, "sqlite_errorcode", None):
        return _BY_SQLITE.get(code & 0xFF, "")
    if state := getattr(cause, "sqlstate", None):
        # Of these classes every state is one: connections, resources, operators.
        return _BY_SQLSTATE.get(state) or {"08": "away", "53": "memory", "57": "away"}.get(state[:2], "")
    found = _WORDS.search(str(error))
    return found.lastgroup or "" if found else ""


def _kind_of_disk(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM) and error.filename is not None:
        own = Path(settings.VAR_DIR)
        try:
            return "private" if Path(str(error.filename)).is_relative_to(own) else ""
        except ValueError:
            return ""
    return _BY_ERRNO.get(error.errno or 0, "")


def _where(error: OSError) -> str:
    name = f": {shown(str(error.filename))}" if error.filename is not None else ""
    return f"{error.strerror or error}{name}"


def _who() -> str:
    at_work = working.at_work()
    return f" ({', '.join(at_work)})" if at_work else ""
