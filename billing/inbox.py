"""A watched folder: every complete delivery in it is imported once and put away with a report beside it."""

import datetime
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django import db
from django.utils import timezone

from .audit import Actor
from .errors import BillingError
from .ingestion import ingest
from .locks import held
from .models import Source
from .outcomes import ImportRefused
from .progress import Progress, unwatched
from .readers import FileError, open_delivery

log = logging.getLogger(__name__)

DONE, FAILED = "done", "failed"
LOCK = ".openchargeback.lock"
# Endings under which programs write what is not whole yet.
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", "~")
SETTLE = datetime.timedelta(seconds=60)
# What a manifest names may take so long to arrive; after that the delivery is refused, naming what is missing.
PATIENCE = datetime.timedelta(hours=24)


class NoInbox(BillingError):
    """The folder to watch is not there, or cannot be written."""


@dataclass(frozen=True)
class Delivery:
    """What lies in the inbox and is one delivery: a file, or a folder of files; and the source its folder names."""

    path: Path
    files: tuple[Path, ...]
    source: Source | None
    changed_at: float

    @property
    def name(self) -> str:
        return f"{self.source.name}/{self.path.name}" if self.source else self.path.name


@dataclass(frozen=True)
class Handled:
    """What came of one delivery: `outcome` is done, failed, or kept (it stays in the inbox and is tried again)."""

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
            "inbox": str(self.inbox),
            "busy": self.is_busy,
            "deliveries": [each.as_data() for each in self.handled],
            "waiting": self.waiting,
        }

    def as_text(self) -> str:
        """What was done, for a person."""
        if self.is_busy:
            return f"Another run is at work in {self.inbox}. Nothing to do."
        lines = [
            f"{each.name}: {each.outcome}{f', now {each.moved_to}' if each.moved_to else ''}\n  "
            + each.text.replace("\n", "\n  ")
            for each in self.handled
        ]
        if self.waiting:
            lines.append(f"Not complete yet, left for the next run: {', '.join(self.waiting)}.")
        return "\n".join(lines) or f"Nothing new in {self.inbox}."


def take_in(
    *,
    inbox: Path,
    settle: datetime.timedelta = SETTLE,
    source: Source | None = None,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Taken:
    """Import every complete delivery in `inbox`, oldest first, and move each to done/ or failed/ with a report.

    A file is a delivery, and so is a folder with its files; a folder named after a source holds
    deliveries of that source. One is complete when nothing in it changed for `settle` and nothing has
    an unfinished name. `source` is for what lies outside such folders (None: by name).

    One process at a time works in a folder; to another, the result says `is_busy`. A delivery that is
    refused goes to failed/ and does not stop the others; where the database or the disk gives up, it
    stays and is tried again. A process that dies between import and move leaves the delivery where it
    is: importing it again changes nothing, whatever the source's delivery mode. Raises NoInbox.
    """
    if not inbox.is_dir():
        raise NoInbox(f"There is no folder {inbox}. Make it, or name another with --inbox.")
    taken = Taken(inbox)
    try:
        with held(inbox / LOCK) as is_ours:
            if not is_ours:
                taken.is_busy = True
                return taken
            complete = []
            is_older = _Clock(inbox / LOCK, settle)
            for delivery in deliveries(inbox, source):
                if is_older(delivery):
                    complete.append(delivery)
                else:
                    taken.waiting.append(delivery.name)
            for delivery in sorted(complete, key=lambda each: (each.changed_at, each.name)):
                taken.handled.append(_handle(delivery, inbox=inbox, actor=actor, now=now, progress=progress))
    except PermissionError as error:
        raise NoInbox(f"The folder {inbox} cannot be used: {error.strerror} ({error.filename}).") from error
    return taken


def deliveries(inbox: Path, source: Source | None = None) -> Iterator[Delivery]:
    """Yield what lies in the inbox, complete or not."""
    sources = {each.name: each for each in Source.objects.filter(is_active=True)}
    for entry in sorted(inbox.iterdir()):
        if entry.name.startswith(".") or entry.is_symlink() or entry.name in (DONE, FAILED):
            continue
        if entry.is_dir() and entry.name in sources:
            for inner in sorted(entry.iterdir()):
                if not inner.name.startswith(".") and not inner.is_symlink():
                    yield from _delivery(inner, sources[entry.name])
        else:
            yield from _delivery(entry, source)


def _delivery(path: Path, source: Source | None) -> Iterator[Delivery]:
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if not each.is_dir())
        files = tuple(each for each in found if not each.name.startswith("."))
        if not files:
            return
    else:
        files = (path,)
    try:
        yield Delivery(path, files, source, max(each.stat().st_mtime for each in files))
    except FileNotFoundError:
        # Taken away, or renamed to its final name, while we looked.
        return


class _Clock:
    """Tells whether a delivery is at rest, by the clock of the file system that it lies on."""

    def __init__(self, lock: Path, settle: datetime.timedelta) -> None:
        # A share's clock may differ from ours; what we touch there now bears its time.
        os.utime(lock)
        self.now = lock.stat().st_ctime
        self.before = self.now - settle.total_seconds()

    def __call__(self, delivery: Delivery) -> bool:
        if any(each.name.casefold().endswith(UNFINISHED) for each in (delivery.path, *delivery.files)):
            return False
        # ctime moves with every write, and unlike mtime no copying program sets it back.
        try:
            last = max(each.stat().st_ctime for each in (delivery.path, *delivery.files))
        except FileNotFoundError:
            return False
        if last > self.before:
            return False
        return self.now - last > PATIENCE.total_seconds() or not _lacks_files(delivery)


def _lacks_files(delivery: Delivery) -> bool:
    """Tell whether a folder with a manifest still lacks something of what it names."""
    if not any("manifest" in each.name.casefold() for each in delivery.files if each != delivery.path):
        return False
    try:
        open_delivery([delivery.path], [delivery.path.name])
    except FileError:
        return True
    return False


def _handle(delivery: Delivery, *, inbox: Path, actor: Actor, now: datetime.datetime, progress: Progress) -> Handled:
    """Import one delivery and put it away."""
    before = _marks(delivery)
    outcome = DONE
    try:
        result = ingest(
            paths=[delivery.path],
            source=delivery.source or _source_of_folder(delivery),
            # A manifest by itself must not fetch what lies beside it and is a delivery of its own.
            beside=delivery.path.is_dir(),
            actor=actor,
            now=timezone.now(),
            progress=progress,
        )
        data, text = result.as_data(), result.as_text()
    except ImportRefused as refused:
        outcome, data, text = FAILED, refused.result, str(refused)
    except BillingError as error:
        outcome, data, text = FAILED, _told(str(error)), str(error)
    except (db.Error, OSError) as error:
        text = f"It stays in the inbox and is tried again: {error}"
        log.exception("the inbox could not import %s", delivery.name)
        return Handled(delivery.name, "kept", "", text, _told(text))
    except Exception as error:
        log.exception("the inbox could not import %s", delivery.name)
        text = f"The program broke off, nothing was imported: {error}. The log says more."
        outcome, data = FAILED, _told(text)
    if _marks(delivery) != before:
        text += "\nIt changed while it was imported. It stays in the inbox, and the next run takes what it is then."
        return Handled(delivery.name, "kept", "", text, data)
    target = _put_away(delivery, inbox / outcome, inbox=inbox, outcome=outcome, text=text, data=data, now=now)
    return Handled(delivery.name, outcome, str(target.relative_to(inbox)), text, data)


def _source_of_folder(delivery: Delivery) -> Source | None:
    """Return the source that a folder's name fits where its files' names fit none; None leaves it to their names."""
    if not delivery.path.is_dir() or any(Source.objects.for_file_name(each.name) for each in delivery.files):
        return None
    return Source.objects.for_file_name(delivery.path.name)


def _marks(delivery: Delivery) -> dict[str, tuple[int, int]]:
    """Return what shows a change of the files: those there now, each with size and time."""
    found = [delivery.path]
    if delivery.path.is_dir():
        found += [each for each in delivery.path.rglob("*") if not each.name.startswith(".")]
    marks = {}
    for each in found:
        try:
            status = each.stat()
        except FileNotFoundError:
            continue
        marks[str(each)] = (0 if each.is_dir() else status.st_size, status.st_mtime_ns)
    return marks


def _put_away(
    delivery: Delivery,
    folder: Path,
    *,
    inbox: Path,
    outcome: str,
    text: str,
    data: dict[str, Any],
    now: datetime.datetime,
) -> Path:
    """Write the report, then move the delivery beside it; what lies there already is never overwritten."""
    folder = folder / timezone.localtime(now).strftime("%Y-%m-%d")
    if delivery.source is not None and delivery.path.parent != inbox:
        folder = folder / delivery.source.name
    folder.mkdir(parents=True, exist_ok=True)
    target = _free(folder, delivery.path.name)
    head = f"{delivery.name}: {outcome} {timezone.localtime(timezone.now()):%Y-%m-%d %H:%M %Z}\n"
    tail = f"\nThe delivery lies beside this report: {target.relative_to(inbox)}\n"
    if outcome == FAILED:
        tail += "Correct it and put it into the inbox again, or import it from here with manage.py ingest.\n"
    # The report comes first: a delivery that lies in done or failed has one, even after a crash.
    _write(target.with_name(f"{target.name}.report.txt"), f"{head}{text}\n{tail}")
    report = {"name": delivery.name, "outcome": outcome, "moved_to": str(target.relative_to(inbox)), "result": data}
    _write(
        target.with_name(f"{target.name}.report.json"),
        json.dumps(report, indent=2, ensure_ascii=False, default=str) + "\n",
    )
    delivery.path.rename(target)
    return target


def _free(folder: Path, name: str) -> Path:
    """Return a path in a folder that nothing has, nor its reports: NAME, NAME-2, NAME-3 …"""
    stem, dot, ending = name.partition(".")
    for number in range(1, 1_000_000):
        target = folder / (name if number == 1 else f"{stem}-{number}{dot}{ending}")
        if not any(target.with_name(f"{target.name}{more}").exists() for more in ("", ".report.txt", ".report.json")):
            return target
    raise NoInbox(f"{folder} holds too many files named {name}. Empty it.")


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
    Path(temporary).chmod(0o640)
    Path(temporary).rename(path)


def _told(message: str) -> dict[str, Any]:
    return {
        "import": None,
        "state": "refused",
        "errors": [{"file": "", "line": None, "column": None, "message": message}],
    }
