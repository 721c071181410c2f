"""Machines that fail, for tests: processes of their own, a Redis of their own, and patience that ends early."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]

# As long as a slow machine with two cores may take for a step, in seconds; nobody waits for that where it is done.
PATIENCE = 90


def until(come: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Wait until something comes, and return it."""
    end = time.monotonic() + patience
    while not (found := come()):
        assert time.monotonic() < end, f"{what}: not within {patience:.0f} s"
        time.sleep(0.1)
    return found


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def parents() -> dict[int, int]:
    """Return the parent of every living process, by number."""
    found = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of the program, in parentheses, may hold anything.
            state, parent = each.read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state != "Z":
            found[int(each.parent.name)] = int(parent)
    return found


def descendants(of: int) -> set[int]:
    """Return the processes that a process started, and those that these did."""
    family, every = {of}, parents()
    while more := {child for child, parent in every.items() if parent in family} - family:
        family |= more
    return family - {of}


class Program:
    """A process in a group of its own, whose words go to a file; killed with its group when the test is over."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.arguments, self.log, self.environment = arguments, log, environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Program":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.arguments, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it and all it started at once, as the system does when memory runs out."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def scratch_database(folder: Path, name: str, vendor: str = "") -> tuple[str, Callable[[], None]]:
    """Make an empty database of the vendor that is tested, or of another; return its URL and how to drop it."""
    from django.db import connection

    if (vendor or connection.vendor) != "postgresql":
        return f"sqlite:///{folder / 'db.sqlite3'}", lambda: None
    import psycopg

    given = connection.settings_dict
    name = f"{name}_{os.getpid()}"
    server = {
        "host": given["HOST"],
        "port": given["PORT"] or 5432,
        "user": given["USER"],
        "password": given["PASSWORD"],
    }

    def run(statement: str) -> None:
        with psycopg.connect(dbname="postgres", autocommit=True, **server) as admin:
            admin.execute(statement)

    run(f"CREATE DATABASE {name}")
    secret = f":{quote(server['password'])}" if server["password"] else ""
    url = f"postgres://{quote(server['user'])}{secret}@{server['host']}:{server['port']}/{name}"
    return url, lambda: run(f"DROP DATABASE {name} WITH (FORCE)")


def manage(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", *arguments]
