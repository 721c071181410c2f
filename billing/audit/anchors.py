"""The head of the audit log, noted in a file outside the database: what a cut or rewritten log is held against."""

import contextlib
import datetime
import errno
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings

from ..files import whole
from ..locks import FileLock
from ..texts import long_moment

# Beyond this size the file is thinned: of older days one note each, and all of the latest.
LIMIT = 1024 * 1024
LATEST_KEPT = 1_000


@dataclass(frozen=True)
class Anchor:
    """That the audit log had this many events at a time, the last of them with this hash."""

    events: int
    hash: str
    at: str

    @property
    def when(self) -> str:
        """The time, as people read it; as it is written where a person wrote something else."""
        try:
            return long_moment(datetime.datetime.fromisoformat(self.at))
        except ValueError:
            return self.at

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True)
class Notes:
    """What a file of anchors holds, the numbers of lines that cannot be read, and of those that were torn off.

    A line that is the beginning of a note, and no more, is what a full disk or a power cut leaves. It says
    nothing, and the notes before and after it say what they said.
    """

    anchors: tuple[Anchor, ...]
    unreadable: tuple[int, ...]
    torn: tuple[int, ...] = ()


def default_path() -> Path:
    """Return where this installation notes the head: AUDIT_ANCHOR, else VAR_DIR/audit-head."""
    return Path(settings.AUDIT_ANCHOR or Path(settings.VAR_DIR) / "audit-head")


def note(*, events: int, hash: str, at: datetime.datetime, path: Path | None = None) -> bool:
    """Add a note of the head after its commit; False where a later head is noted already.

    Several processes may commit in one order and come here in another: a later head speaks for all before it.
    """
    path = path or default_path()
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    anchor = Anchor(events, hash, at.astimezone(datetime.UTC).isoformat(timespec="seconds"))
    with FileLock(path.with_name(path.name + ".lock")) as lock:
        lock.acquire(wait=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(handle).st_size
            end = os.pread(handle, 4096, max(0, size - 4096))
            last = next((each for line in reversed(end.splitlines()) if (each := _read(line))), None)
            if last and last.events >= events:
                return False
            # A note that was torn off by a power cut stays a line of its own.
            start = b"" if not end or end.endswith(b"\n") else b"\n"
            _append(handle, start + anchor.line(), size)
        finally:
            os.close(handle)
        if size > LIMIT:
            _thin(path)
    return True


def read(path: Path) -> Notes | None:
    """Return the notes of a file, oldest first; None where there is no such file."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return None
    found = [(number, line, _read(line)) for number, line in enumerate(lines, start=1) if line.strip()]
    unread = [(number, _is_torn(line)) for number, line, anchor in found if anchor is None]
    return Notes(
        tuple(anchor for _, _, anchor in found if anchor),
        tuple(number for number, is_torn in unread if not is_torn),
        tuple(number for number, is_torn in unread if is_torn),
    )


def _append(handle: int, line: bytes, size: int) -> None:
    """Add a line to a file of `size` bytes, whole or not at all; raise OSError where the disk has no room for it."""
    try:
        written = os.write(handle, line)
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except BaseException:
        # Not where nobody may shorten it (`chattr +a`): then the line is seen to be torn.
        with contextlib.suppress(OSError):
            os.ftruncate(handle, size)
        raise


# How a note is written, and of what each part may be.
_WRITTEN = (
    (b'{"events": ', rb"\d*"),
    (b', "hash": "', rb"[^\"\\]*"),
    (b'", "at": "', rb"[^\"\\]*"),
    (b'"}', b""),
)


def _is_torn(line: bytes) -> bool:
    """Tell whether a line is the beginning of a note and no more; some file systems fill up with NUL what was lost."""
    rest = line.rstrip(b"\0")
    if not rest:
        return False
    for text, value in _WRITTEN:
        if len(rest) < len(text):
            return text.startswith(rest)
        if not rest.startswith(text):
            return False
        found = re.match(value, rest[len(text) :])
        rest = rest[len(text) + (found.end() if found else 0) :]
    return False


def _read(line: bytes) -> Anchor | None:
    try:
        anchor = Anchor(**json.loads(line))
    except (ValueError, TypeError):
        return None
    is_whole = type(anchor.events) is int and isinstance(anchor.hash, str) and isinstance(anchor.at, str)
    return anchor if is_whole else None


def _thin(path: Path) -> None:
    notes = read(path)
    if notes is None or notes.unreadable:
        # Somebody has to look at it first.
        return
    older, latest = notes.anchors[:-LATEST_KEPT], notes.anchors[-LATEST_KEPT:]
    of_days = {anchor.at[:10]: anchor for anchor in older}
    with whole(path) as thinned:
        thinned.writelines(anchor.line() for anchor in (*of_days.values(), *latest))
