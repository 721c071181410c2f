"""A watched folder: every complete arrival in it is imported once and put away with a report beside it."""

import contextlib
import datetime
import errno
import json
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django import db
from django.utils import timezone

from ..audit import Actor
from ..background.outages import outage_of, said_of_file
from ..errors import BillingError
from ..file_names import is_fit, shortened, shown
from ..files.writing import write_whole_in
from ..locks import held
from ..models import Source
from ..progress import Progress, unwatched
from ..readers import FileError, Problem, open_delivery
from ..readers.delivery import made_at, oldest_run_first
from ..readers.opening import THROUGH, real_path
from ..texts import long_moment
from .ingestion import ingest
from .outcomes import ImportRefused

log = logging.getLogger(__name__)

DONE, FAILED = "done", "failed"
# It was received and waits for a decision: it lies in done, for nothing has to be done about its files.
WAITING = "waiting"
LOCK = ".openchargeback.lock"
# What the names of an arrival's reports add to its own, and how much room they and a number need.
REPORTS = (".report.txt", ".report.json")
ROOM = max(len(each) for each in REPORTS) + len("-999999")
REPLACED = "\N{REPLACEMENT CHARACTER}"
# Endings under which programs write what is not whole yet.
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", "~")
SETTLE = datetime.timedelta(seconds=60)
# What a manifest names may take so long to arrive; after that the arrival is refused, naming what is missing.
PATIENCE = datetime.timedelta(hours=24)


class NoInbox(BillingError):
    """The folder to watch is not there, or cannot be written."""


@dataclass(frozen=True)
class Arrival:
    """What arrived in the inbox to be imported at once: a file, or a folder of files; and the source its folder names.

    `within` is where it lies in truth. Nothing else is opened, whatever its manifest or links in it say: whoever may
    put files into the inbox may not thereby read what the program can. `unread` says why it cannot be looked at.
    """

    path: Path
    files: tuple[Path, ...]
    source: Source | None
    changed_at: float
    within: Path
    unread: OSError | None = None

    @property
    def name(self) -> str:
        name = shown(self.path.name)
        return f"{self.source.name}/{name}" if self.source else name

    @property
    def is_folder(self) -> bool:
        return not self.path.is_symlink() and self.path.is_dir()


@dataclass(frozen=True)
class Handled:
    """What came of one arrival: `outcome` is done, waiting (for a decision), failed, or kept.

    What is kept stays in the inbox and is tried again.
    """

    name: str
    outcome: str
    moved_to: str
    text: str
    result: dict[str, Any]

    def as_data(self) -> dict[str, Any]:
        return {"name": self.name, "outcome": self.outcome, "moved_to": self.moved_to, "result": self.result}


@dataclass
class Taken:
    """What one look into the inbox did. `waiting` names what is still being written."""

    inbox: Path
    is_busy: bool = False
    handled: list[Handled] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    @property
    def unsuccessful(self) -> list[Handled]:
        return [each for each in self.handled if each.outcome != DONE]

    def as_data(self) -> dict[str, Any]:
        """What was done, as --json holds it."""
        return {
            "inbox": shown(str(self.inbox)),
            "busy": self.is_busy,
            "arrivals": [each.as_data() for each in self.handled],
            "waiting": self.waiting,
        }

    def as_text(self) -> str:
        """What was done, for a person."""
        if self.is_busy:
            return f"Another run is at work in {shown(str(self.inbox))}. Nothing to do."
        lines = [
            f"{each.name}: {each.outcome}{f', now {each.moved_to}' if each.moved_to else ''}\n  "
            + each.text.replace("\n", "\n  ")
            for each in self.handled
        ]
        if self.waiting:
            lines.append(f"Not complete yet, left for the next run: {', '.join(self.waiting)}.")
        return "\n".join(lines) or f"Nothing new in {shown(str(self.inbox))}."


def take_in(
    *,
    inbox: Path,
    settle: datetime.timedelta = SETTLE,
    source: Source | None = None,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Taken:
    """Import every complete arrival in `inbox`, oldest first, and move each to done/ or failed/ with a report.

    Runs of an export are taken in the order in which their manifests say they were made. What waits for a decision
    goes to done/: its files are stored.

    A file is an arrival, and so is a folder with its files; a folder named after a source holds
    arrivals of that source. One is complete when nothing in it changed for `settle` and nothing has
    an unfinished name. `source` is for what lies outside such folders (None: by name).

    One process at a time works in a folder; to another, the result says `is_busy`. An arrival that is
    refused goes to failed/ and does not stop the others; where it cannot be read, or the database or the
    disk gives up, it stays and is tried again. A process that dies between import and move leaves the
    arrival where it is: importing it again changes nothing, whatever the source's import mode. Raises
    NoInbox.
    """
    if not inbox.is_dir():
        raise NoInbox(f"There is no folder {shown(str(inbox))}. Make it, or name another.")
    taken = Taken(inbox)
    try:
        with held(inbox / LOCK) as is_ours:
            if not is_ours:
                taken.is_busy = True
                return taken
            for outcome in (DONE, FAILED):
                # Before anything is imported: what cannot be put away would be imported again and again.
                with _opened(inbox, outcome):
                    pass
            complete: list[Arrival] = []
            still_written: list[Arrival] = []
            is_older = _Clock(inbox / LOCK, settle)
            for arrival in arrivals(inbox, source):
                try:
                    if arrival.unread:
                        raise arrival.unread
                    (complete if is_older(arrival) else still_written).append(arrival)
                except OSError as error:
                    taken.handled.append(_unread(arrival, error))
            taken.waiting += [each.name for each in still_written]
            complete.sort(key=lambda each: (each.changed_at, each.name))
            # The time of a file is that of its copying: runs that were copied together bear their own in the manifest.
            for arrival in oldest_run_first(complete, lambda each: made_at(each.path, each.within)):
                try:
                    handled = _handle(arrival, inbox=inbox, actor=actor, now=now, progress=progress)
                except OSError as error:
                    handled = _unread(arrival, error)
                taken.handled.append(handled)
    except OSError as error:
        raise NoInbox(f"The folder {shown(str(inbox))} cannot be used: {said_of_file(error)}") from error
    return taken


@contextlib.contextmanager
def _opened(inbox: Path, *names: str, makes: bool = True) -> Iterator[int]:
    """Open a folder of the inbox, by default made where there is none; raise NoInbox unless it can be used.

    Each folder is taken from the one it lies in, which is open: whoever may write in the inbox may replace any of them
    by a link at any moment, and nothing is moved through that.
    """
    at = real_path(inbox)
    handle = os.open(at, THROUGH)
    try:
        for name in names:
            at = at / name
            inner = _step(handle, name, at, makes)
            os.close(handle)
            handle = inner
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=handle):
            raise NoInbox(f"The folder {shown(str(at))} cannot be written by this user.")
        yield handle
    finally:
        os.close(handle)


def _step(handle: int, name: str, at: Path, makes: bool) -> int:
    try:
        if makes:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o750, dir_fd=handle)
        return os.open(name, THROUGH, dir_fd=handle)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            verb = "made" if makes else "opened"
            raise NoInbox(f"The folder {shown(str(at))} cannot be {verb}: {said_of_file(error)}") from error
        if stat.S_ISLNK(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
            raise NoInbox(
                f"{shown(str(at))} is a link. What is put away stays in the inbox: make it a folder."
            ) from None
        raise NoInbox(f"{shown(str(at))} is a file. The inbox needs a folder of this name: rename the file.") from None


def arrivals(inbox: Path, source: Source | None = None) -> Iterator[Arrival]:
    """Yield what lies in the inbox, complete or not."""
    sources = {each.name: each for each in Source.objects.filter(is_active=True)}
    base = real_path(inbox)
    for entry in sorted(inbox.iterdir()):
        if entry.name.startswith(".") or entry.is_symlink() or entry.name in (DONE, FAILED):
            continue
        if entry.is_dir() and entry.name in sources:
            try:
                inside = [each for each in sorted(entry.iterdir()) if each.name[0] != "." and not each.is_symlink()]
            except OSError as error:
                yield Arrival(entry, (entry,), source, 0, base / entry.name, unread=error)
                continue
            for inner in inside:
                yield from _arrival(inner, sources[entry.name], base / entry.name / inner.name)
        else:
            yield from _arrival(entry, source, base / entry.name)


def _arrival(path: Path, source: Source | None, within: Path) -> Iterator[Arrival]:
    try:
        if path.is_dir():
            files = tuple(_files_below(path))
            if not files:
                return
        else:
            files = (path,)
        yield Arrival(path, files, source, max(each.lstat().st_mtime for each in files), within)
    except FileNotFoundError:
        # Removed, or renamed to its final name, while we looked.
        return
    except OSError as error:
        yield Arrival(path, (path,), source, 0, within, unread=error)


def _files_below(folder: Path) -> list[Path]:
    """Return what is in a folder and is no folder, sorted; and a folder that cannot be read, so that it is refused."""
    found: list[Path] = []
    unread: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=unread.append):
        links = [each for each in folders if Path(here, each).is_symlink()]
        found += [Path(here, each) for each in (*names, *links) if not each.startswith(".")]
    return sorted([*found, *(Path(error.filename) for error in unread)])


class _Clock:
    """Tells whether an arrival is at rest, by the clock of the file system that it lies on."""

    def __init__(self, lock: Path, settle: datetime.timedelta) -> None:
        # A share's clock may differ from ours; what we touch there now bears its time.
        os.utime(lock)
        self.now = lock.stat().st_ctime
        self.before = self.now - settle.total_seconds()

    def __call__(self, arrival: Arrival) -> bool:
        if any(each.name.casefold().endswith(UNFINISHED) for each in (arrival.path, *arrival.files)):
            return False
        # ctime moves with every write, and unlike mtime no copying program sets it back.
        try:
            last = max(each.lstat().st_ctime for each in (arrival.path, *arrival.files))
        except FileNotFoundError:
            return False
        if last > self.before:
            return False
        return self.now - last > PATIENCE.total_seconds() or not _lacks_files(arrival)


def _lacks_files(arrival: Arrival) -> bool:
    """Tell whether a folder with a manifest still lacks something of what it names."""
    if not any("manifest" in each.name.casefold() for each in arrival.files if each != arrival.path):
        return False
    try:
        open_delivery([arrival.path], [arrival.path.name], within=arrival.within)
    except FileError:
        return True
    return False


def _handle(arrival: Arrival, *, inbox: Path, actor: Actor, now: datetime.datetime, progress: Progress) -> Handled:
    """Import one arrival and put it away."""
    before = _marks(arrival)
    outcome = DONE
    try:
        _require_names(arrival)
        result = ingest(
            paths=[arrival.path],
            source=arrival.source or _source_of_folder(arrival),
            in_its_folder=arrival.path.parent != inbox,
            # A manifest by itself must not fetch what lies beside it and is an arrival of its own.
            beside=arrival.is_folder,
            within=arrival.within,
            actor=actor,
            now=timezone.now(),
            progress=progress,
        )
        data, text = result.as_data(), result.as_text()
    except ImportRefused as refused:
        outcome, data, text = WAITING if refused.waits else FAILED, refused.result, str(refused)
    except BillingError as error:
        outcome, data, text = FAILED, _told(str(error)), str(error)
    except (db.Error, OSError) as error:
        text = f"It stays in the inbox and is tried again: {outage_of(error) or shown(str(error))}"
        log.exception("the inbox could not import %s", arrival.name)
        return Handled(arrival.name, "kept", "", text, _told(text))
    except Exception as error:
        log.exception("the inbox could not import %s", arrival.name)
        text = f"The program broke off, nothing was imported: {shown(str(error))}. The log says more."
        outcome, data = FAILED, _told(text)
    if _marks(arrival) != before:
        text += "\nIt changed while it was imported. It stays in the inbox, and the next run takes what it is then."
        return Handled(arrival.name, "kept", "", text, data)
    try:
        moved_to = _put_away(arrival, inbox=inbox, outcome=outcome, text=text, data=data, now=now)
    except (NoInbox, OSError) as error:
        why = said_of_file(error) if isinstance(error, OSError) else str(error)
        log.error("the inbox could not put %s away: %s", arrival.name, why)
        text += f"\nIt could not be put away and stays in the inbox; taking it again changes nothing. {why}"
        return Handled(arrival.name, "kept", "", text, data)
    return Handled(arrival.name, outcome, moved_to, text, data)


def _unread(arrival: Arrival, error: OSError) -> Handled:
    text = f"It cannot be read. It stays in the inbox and is tried again: {said_of_file(error)}"
    log.error("the inbox could not read %s: %s", arrival.name, error)
    return Handled(arrival.name, "kept", "", text, _told(text))


def _require_names(arrival: Arrival) -> None:
    """Refuse names that cannot be shown or stored: nobody could say afterwards which file an import was of."""
    names = [str(each.relative_to(arrival.path.parent)) for each in (arrival.path, *arrival.files)]
    unfit = dict.fromkeys(shown(name) for name in names if not is_fit(name))
    if not unfit:
        return
    raise FileError(
        [
            Problem(
                "The name has characters that cannot be shown: bytes that are no UTF-8, or control characters. "
                f"Each is shown as {REPLACED} here. Rename it.",
                file=name,
            )
            for name in unfit
        ]
    )


def _source_of_folder(arrival: Arrival) -> Source | None:
    """Return the source that a folder's name fits where its files' names fit none; None leaves it to their names."""
    if not arrival.is_folder or any(Source.objects.for_file_name(each.name) for each in arrival.files):
        return None
    return Source.objects.for_file_name(arrival.path.name)


def _marks(arrival: Arrival) -> dict[str, tuple[int, int]]:
    """Return what shows a change of the files: those there now, each with size and time."""
    found = [arrival.path]
    if arrival.is_folder:
        for here, folders, names in os.walk(arrival.path):
            found += [Path(here, each) for each in (*folders, *names) if not each.startswith(".")]
    marks = {}
    for each in found:
        try:
            status = each.lstat()
        except OSError:
            continue
        marks[str(each)] = (0 if stat.S_ISDIR(status.st_mode) else status.st_size, status.st_mtime_ns)
    return marks


def _put_away(
    arrival: Arrival,
    *,
    inbox: Path,
    outcome: str,
    text: str,
    data: dict[str, Any],
    now: datetime.datetime,
) -> str:
    """Write the report, then move the arrival beside it, and return where; nothing there is overwritten.

    A name that cannot be shown, or leaves no room for a report's, is put away under one that can.
    Raises NoInbox or OSError; then the arrival is where it was, and no report tells of it.
    """
    folders = [FAILED if outcome == FAILED else DONE, timezone.localtime(now).strftime("%Y-%m-%d")]
    came_from = [] if arrival.path.parent == inbox else [arrival.path.parent.name]
    if arrival.source is not None and came_from:
        folders.append(arrival.source.name)
    with _opened(inbox, *folders) as there, _opened(inbox, *came_from, makes=False) as here:
        name = _free(there, shortened(shown(arrival.path.name), ROOM), folders)
        moved_to = "/".join([*folders, name])
        reports = _reports(arrival, name, outcome=outcome, moved_to=moved_to, text=text, data=data)
        try:
            # The report comes first: an arrival that lies in done or failed has one, even after a crash.
            for report, content in reports.items():
                write_whole_in(there, report, content.encode(errors="replace"))
            os.rename(arrival.path.name, name, src_dir_fd=here, dst_dir_fd=there)
        except OSError:
            for report in reports:
                with contextlib.suppress(OSError):
                    os.unlink(report, dir_fd=there)
            raise
    return moved_to


def _reports(
    arrival: Arrival, name: str, *, outcome: str, moved_to: str, text: str, data: dict[str, Any]
) -> dict[str, str]:
    """Return the reports that lie beside an arrival named `name`, for people and for programs, by their names."""
    head = f"{arrival.name}: {outcome} on {long_moment(timezone.localtime(timezone.now()))}\n"
    tail = f"\nThe files are beside this report: {moved_to}\n"
    if outcome == FAILED:
        tail += "Correct it and put it into the inbox again, or import it yourself.\n"
    elif outcome == WAITING:
        tail += f"It is stored as import {data['import']} and waits for a decision. Leave the files where they are.\n"
    report = {"name": arrival.name, "outcome": outcome, "moved_to": moved_to, "result": data}
    return {
        f"{name}{REPORTS[0]}": f"{head}{text}\n{tail}",
        f"{name}{REPORTS[1]}": json.dumps(report, indent=2, ensure_ascii=False, default=str) + "\n",
    }


def _free(folder: int, name: str, folders: list[str]) -> str:
    """Return a name in an open folder that nothing has, nor its reports: NAME, NAME-2, NAME-3 …"""
    stem, dot, ending = name.partition(".")
    for number in range(1, 1_000_000):
        free = name if number == 1 else f"{stem}-{number}{dot}{ending}"
        if not any(_is_there(folder, f"{free}{more}") for more in ("", *REPORTS)):
            return free
    raise NoInbox(f"{'/'.join(folders)} holds too many files named {name}. Empty it.")


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _told(message: str) -> dict[str, Any]:
    return {
        "import": None,
        "state": "refused",
        "errors": [{"file": "", "line": None, "column": None, "message": message}],
    }
