"""Scratch installations that are measured: a database of one vendor, and the checkout whose commands work on it."""

import contextlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processes import Measured, measured

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


class Installation:
    """A scratch installation of a checkout."""

    def __init__(self, scratch: Path, *, checkout: Path = ROOT, postgres_url: str = "") -> None:
        self.scratch = scratch
        self.checkout = checkout
        self.var = scratch / "var"
        self.postgres_url = postgres_url
        self.vendor = "PostgreSQL" if postgres_url else "SQLite"
        self.python = python_of(checkout)
        self.env = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "DEBUG": "false",
            "SECRET_KEY": "only-for-a-scratch-database-of-the-benchmark-0123456789",
            "VAR_DIR": str(self.var),
            "EMAIL_URL": "",
            "ALLOWED_HOSTS": "localhost",
            "DATABASE_URL": postgres_url or f"sqlite:///{self.var / 'db.sqlite3'}",
        }

    def run(self, *command: str) -> Measured:
        """Run Python in the checkout."""
        return measured([self.python, *command], self.env, self.checkout)

    def manage(self, *arguments: str) -> Measured:
        return self.run("manage.py", *arguments)

    def ingest(self, file: Path, source: str = "aws") -> tuple[Measured, dict[str, Any]]:
        run = self.manage("ingest", str(file), "-s", source, "--json")
        return run, json.loads(run.output)

    def sums(self, month: str) -> dict[str, float]:
        """Time the sum by PI and project, by the checkout's own script: it knows its models."""
        first, best, groups = self.run("benchmarks/sums.py", month).output.split()
        return {"first": float(first), "best": float(best), "groups": int(groups)}

    def pages(self, file: Path, month: str) -> dict[str, Any]:
        """Time the pages of the admin that show the charges of a file."""
        pages: dict[str, Any] = json.loads(self.run(str(HERE / "pages.py"), str(file), month).output)
        return pages

    def disk_bytes(self) -> int:
        """Return what billing takes on the disk, indexes and dimensions included.

        On SQLite, that is the whole database: what is not billing's is the same in an empty one.
        """
        if not self.postgres_url:
            with contextlib.closing(sqlite3.connect(self.var / "db.sqlite3")) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return int(pragma(connection, "page_count")) * int(pragma(connection, "page_size"))
        import psycopg

        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute("VACUUM")
            sizes = connection.execute(
                "SELECT pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind IN ('r', 'm') AND n.nspname = 'public' AND c.relname LIKE 'billing\\_%'"
            ).fetchall()
        return sum(size for (size,) in sizes)


def pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def python_of(checkout: Path) -> str:
    """Return the Python of a checkout's own environment, or else this one."""
    own = checkout / ".venv" / "bin" / "python"
    return str(own) if checkout != ROOT and own.exists() else sys.executable


@contextlib.contextmanager
def installation(scratch: Path, *, checkout: Path = ROOT, postgres_url: str = "") -> Iterator[Installation]:
    """Give a fresh installation, and remove it afterwards; `postgres_url` names a server and who may make databases."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        with scratch_database(postgres_url) as url:
            fresh = Installation(folder, checkout=checkout, postgres_url=url)
            # As in the image: no command that is measured compiles the program first.
            fresh.run("-m", "compileall", "-q", "openchargeback", "billing", "statements", "journals")
            fresh.manage("initialize")
            yield fresh
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def scratch_database(server: str) -> Iterator[str]:
    """Give the URL of an empty database on a PostgreSQL server, and drop it afterwards; "" where none is named."""
    if not server:
        yield ""
        return
    import psycopg

    name = f"bench_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield urllib.parse.urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
