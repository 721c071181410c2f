"""What a living process works on: imports, jobs and e-mails, each marked until its state says how it ended.

A mark is a locked file, which the system unlocks when the process ends, however it ends. That tells at once, on one
machine. On PostgreSQL, which several machines may share, the process also says every few seconds in the database
that it lives: by a connection of its own, since what it works on may be one transaction from its first row to its
last, and by the database's clock, which all share. SQLite is of one machine, and there the file tells all: a row
would have to wait for whoever is writing.
"""

import contextlib
import datetime
import logging
import socket
import threading
from pathlib import Path

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, Q, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone

from ..locks import FileLock
from ..models import AtWork

log = logging.getLogger(__name__)

# How often a process says that it lives, in seconds, and after how long without a word it is gone.
INTERVAL = 10
SILENT = datetime.timedelta(seconds=90)


class Mark(FileLock):
    """That this process works on something; a mark that another process holds is not held here."""

    def __init__(self, name: str) -> None:
        super().__init__(_mark_of(name))
        self.name = name

    def take(self) -> None:
        """Lock the file, and say in the database that somebody works on this."""
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not self.acquire():
            return
        try:
            _heart.begin(self.name)
        except BaseException:
            super().release()
            raise

    def release(self) -> None:
        """Work on it no more. The mark stays and tells that it was left, unless `end` takes it away."""
        if self.is_held:
            _heart.end(self.name)
        super().release()


def begin(number: int | str) -> Mark:
    """Mark an import as worked on, before anybody else can see it; `end` takes the mark away.

    A job is marked under a name of its own, such as `job-7`. Raises django.db.Error where the database is away.
    """
    mark = Mark(str(number))
    mark.take()
    return mark


def end(mark: Mark) -> None:
    """Take a mark away, once the state of what it stood for says how it ended."""
    mark.path.unlink(missing_ok=True)
    with contextlib.suppress(Error):
        _heart.forget(mark.name)
    mark.release()


def is_gone(number: int | str) -> bool:
    """Tell whether nobody works any more on what was begun and has not ended.

    Its state may say by now that it ended: ask that again before anything is made of the answer.
    """
    name = str(number)
    is_held = _is_held(_mark_of(name))
    if is_held:
        return False
    if connection.vendor == "sqlite":
        return True
    is_fresh = Case(When(Q(seen_at__gt=ago(SILENT)), then=Value(True)), default=Value(False))
    said = AtWork.objects.filter(name=name).annotate(is_fresh=is_fresh).first()
    if said is None or not said.is_fresh:
        return True
    # Of this machine the lock knows better: a killed process cannot take its word back.
    return is_held is False and said.host == _host()


def at_work() -> list[str]:
    """Return what living processes of this machine work on: `import 7`, `job 3`."""
    try:
        marks = sorted(path.name[1:] for path in (Path(settings.VAR_DIR) / "working").iterdir() if path.name[0] == ".")
    except OSError:
        return []
    busy = [mark for mark in marks if mark.removeprefix("job-").isdecimal() and _is_held(_mark_of(mark))]
    return [f"job {mark[4:]}" if mark.startswith("job-") else f"import {mark}" for mark in busy]


def forget(number: int | str) -> None:
    """Remove the mark that a dead process left."""
    _mark_of(str(number)).unlink(missing_ok=True)
    if connection.vendor != "sqlite":
        AtWork.objects.filter(name=str(number)).delete()


def ago(span: datetime.timedelta) -> datetime.datetime | Combinable:
    """Return the time so long ago by the clock that all who use this database share."""
    return timezone.now() - span if connection.vendor == "sqlite" else Now() - span


def _is_held(path: Path) -> bool | None:
    """Tell whether a process of this machine holds a mark; None where there is none."""
    if not path.exists():
        return None
    with FileLock(path) as lock:
        return not lock.acquire()


def _mark_of(name: str) -> Path:
    return Path(settings.VAR_DIR) / "working" / f".{name}"


def _host() -> str:
    return socket.gethostname()[:254]


class _Heart:
    """Says in the database what this process works on, as long as it works on anything."""

    def __init__(self) -> None:
        # Of the names and the connection, which the thread below shares with whoever begins and ends.
        self.lock = threading.Lock()
        self.names: set[str] = set()
        self.beside: BaseDatabaseWrapper | None = None
        self.stopped: threading.Event | None = None

    def begin(self, name: str) -> None:
        if connection.vendor == "sqlite":
            return
        with self.lock:
            self._say([name])
            self.names.add(name)
            if self.stopped is None:
                self.stopped = threading.Event()
                threading.Thread(target=self._beat, args=[self.stopped], name="heart", daemon=True).start()

    def forget(self, name: str) -> None:
        with self.lock:
            if name in self.names:
                self._execute("DELETE FROM billing_atwork WHERE name = %s", [name])

    def end(self, name: str) -> None:
        with self.lock:
            self.names.discard(name)
            if not self.names and self.stopped:
                self.stopped.set()
                self.stopped = None
                self._let_go()

    def beat(self) -> None:
        """Say it once; where it cannot be said now, with the next beat."""
        with self.lock, contextlib.suppress(Error):
            if self.names:
                self._say(sorted(self.names))

    def _beat(self, stopped: threading.Event) -> None:
        while not stopped.wait(INTERVAL):
            try:
                self.beat()
            except Exception:
                # Whatever it is: a heart that stops lets others close what this process works on.
                log.exception("This process could not say that it lives.")

    def _say(self, names: list[str]) -> None:
        rows = ", ".join(["(%s, %s, clock_timestamp())"] * len(names))
        self._execute(
            f"INSERT INTO billing_atwork (name, host, seen_at) VALUES {rows} "  # noqa: S608 (places for values alone)
            "ON CONFLICT (name) DO UPDATE SET host = EXCLUDED.host, seen_at = EXCLUDED.seen_at",
            [value for name in names for value in (name, _host())],
        )

    def _execute(self, sql: str, values: list[str]) -> None:
        # A connection that the server has closed meanwhile is noticed by its first use only.
        for is_last in (False, True):
            if self.beside is None:
                self.beside = connections[DEFAULT_DB_ALIAS].copy()
                self.beside.inc_thread_sharing()
            try:
                with self.beside.cursor() as cursor:
                    # Whoever closes what was left holds its row; nobody waits for that to do its work.
                    cursor.execute("SET lock_timeout = '2s'")
                    cursor.execute(sql, values)
                return
            # A connection that is closed already raises InterfaceError, which is no DatabaseError.
            except Error:
                self._let_go()
                if is_last:
                    raise

    def _let_go(self) -> None:
        if self.beside is not None:
            with contextlib.suppress(Error):
                self.beside.close()
            self.beside = None


_heart = _Heart()


def beat() -> None:
    """Say now that this process lives, as it does by itself every few seconds."""
    _heart.beat()
