"""Whether a background worker is alive: it says so every few seconds, and pages ask when one last did."""

import datetime
import functools
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Case, Value, When
from django.db.models.functions import Now

from ..models import Worker

# How often a worker says that it runs, in seconds, and after how long without a word nobody works.
INTERVAL = 10
SILENT = datetime.timedelta(minutes=1)
FORGOTTEN = datetime.timedelta(days=1)

WAITS = "Waiting: no background worker is running."


@dataclass(frozen=True)
class Seen:
    """A worker: its machine and process, when it began where that is known, and when it last said that it runs."""

    name: str
    begun_at: datetime.datetime | None
    seen_at: datetime.datetime
    is_alive: bool


def beat() -> None:
    """Note that the worker of this process is alive, and since when.

    On SQLite, where all run on one machine, that is a file: a row would have to wait for whoever is writing, an
    import for minutes. Elsewhere it is a row with the database's time, which all machines share.
    """
    if connection.vendor == "sqlite":
        path = _mark()
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if path.exists() and path.read_text(encoding="utf-8") == _own_name():
            path.touch()
        else:
            path.write_text(_own_name(), encoding="utf-8")
        return
    _, is_new = Worker.objects.update_or_create(name=_own_name(), defaults={"seen_at": Now()})
    if is_new:
        Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN).delete()


def workers() -> list[Seen]:
    """Return the workers of the last day, the one heard of last first. SQLite knows the last one only."""
    if connection.vendor == "sqlite":
        try:
            seen_at = datetime.datetime.fromtimestamp(_mark().stat().st_mtime, datetime.UTC)
            name = _mark().read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [_seen(name, seen_at, is_alive=is_worker_alive())]
    is_alive = Case(When(seen_at__gt=Now() - SILENT, then=Value(True)), default=Value(False))
    found = Worker.objects.filter(seen_at__gt=Now() - FORGOTTEN).annotate(is_alive=is_alive).order_by("-seen_at")
    return [_seen(each.name, each.seen_at, is_alive=each.is_alive) for each in found]


def _seen(name: str, seen_at: datetime.datetime, *, is_alive: bool) -> Seen:
    host, _, rest = name.partition(" ")
    process, _, begun = rest.partition(" ")
    try:
        begun_at = datetime.datetime.fromtimestamp(int(begun), datetime.UTC)
    except (ValueError, OverflowError, OSError):
        begun_at = None
    return Seen(f"{host}, process {process}" if process else "Worker", begun_at, seen_at, is_alive)


def _own_name() -> str:
    """Return the machine, the number of the process and when it began: numbers are used again."""
    return f"{socket.gethostname()[:200]} {os.getpid()} {_begun_by(os.getpid())}"


@functools.lru_cache(maxsize=1)
def _begun_by(process: int) -> int:
    return int(time.time())


def is_worker_alive() -> bool:
    """Tell whether a worker, of any machine, was alive within the last minute."""
    if connection.vendor == "sqlite":
        try:
            seen = _mark().stat().st_mtime
        except FileNotFoundError:
            return False
        return time.time() - seen < SILENT.total_seconds()
    return Worker.objects.filter(seen_at__gt=Now() - SILENT).exists()


def _mark() -> Path:
    return Path(settings.VAR_DIR) / "working" / "worker"
