"""The file of a backup: a ZIP with a member for each table and each file, and at its end a manifest of them all.

The manifest is written last: of what was broken off there is none.
"""

import datetime
import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from billing.errors import BillingError

from ..transfer import Column, Row, Table

# What has to be raised once a backup can no longer be read by the version before.
FORMAT = 1
PROGRAM = "openchargeback"
MANIFEST = "manifest.json"
HEADS = "audit-head"
# Members: rows of a table, files as received (by their place in the storage), and files below VAR_DIR.
ROWS, RECEIVED, OWN = "rows/", "received/", "files/"
CHUNK = 1024 * 1024


class NotABackup(BillingError):
    """A file that is no backup, or one that this version of the program cannot read."""


class Damaged(BillingError):
    """A backup that is not as it was written."""


@dataclass(frozen=True)
class Part:
    """A member of a backup: its name there, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Rows(Part):
    """The rows of a table, a JSON list in each line."""

    columns: tuple[Column, ...]
    key: str
    is_numbered: bool
    count: int
    # The last number that was given to a row.
    last: int = 0

    @property
    def table(self) -> Table:
        return Table(self.name.removeprefix(ROWS).removesuffix(".jsonl"), self.columns, self.key, self.is_numbered)


@dataclass(frozen=True)
class Manifest:
    """What a backup holds, and of which moment."""

    version: str
    # When the database was as it is in the backup.
    moment: datetime.datetime
    # The hash of the first event of the audit log, by which one installation is told from another.
    installation: str
    site: str
    # SQLite or PostgreSQL.
    database: str
    migrations: tuple[tuple[str, str], ...]
    rows: tuple[Rows, ...]
    files: tuple[Part, ...]
    # How many events the audit log had, and the hash of the last.
    events: int
    head: str
    # Tables whose rows are left out.
    left_out: tuple[str, ...]
    # Files that the database names and the backup lacks, each with what was wrong.
    lacking: tuple[str, ...] = field(default=())

    @property
    def row_count(self) -> int:
        return sum(each.count for each in self.rows)

    @property
    def file_size(self) -> int:
        return sum(each.size for each in self.files)

    def as_json(self) -> bytes:
        said = {"format": FORMAT, "program": PROGRAM, **asdict(self), "moment": self.moment.isoformat()}
        return json.dumps(said, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Read a manifest. Raises NotABackup for one of another program or a newer format, Damaged for half a one."""
        try:
            said = json.loads(text)
            if said.pop("program") != PROGRAM:
                raise NotABackup("It is a backup of another program.")
            format = said.pop("format")
            if format > FORMAT:
                raise NotABackup(
                    f"It was made by version {said['version']}, in a newer form ({format}) than this version knows "
                    f"({FORMAT}). Install that version, and restore it there."
                )
            said["moment"] = datetime.datetime.fromisoformat(said["moment"])
            said["migrations"] = tuple((app, name) for app, name in said["migrations"])
            said["rows"] = tuple(
                Rows(**{**each, "columns": tuple(Column(**column) for column in each["columns"])})
                for each in said["rows"]
            )
            said["files"] = tuple(Part(**each) for each in said["files"])
            said["left_out"], said["lacking"] = tuple(said["left_out"]), tuple(said["lacking"])
            return cls(**said)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"Its manifest cannot be read: {error}") from error


class Writer:
    """A backup that is being written; `finish` makes it whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w")

    def add_rows(self, table: Table, rows: Iterable[Row], *, last: int) -> Rows:
        """Write the rows of a table."""
        count = 0

        def lines() -> Iterator[bytes]:
            nonlocal count
            for row in rows:
                count += 1
                yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

        part = self._add(f"{ROWS}{table.name}.jsonl", _joined(lines()))
        return Rows(
            **asdict(part), columns=table.columns, key=table.key, is_numbered=table.is_numbered, count=count, last=last
        )

    def add_file(self, name: str, content: Iterable[bytes]) -> Part:
        """Write a file, in chunks."""
        return self._add(name, content)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, after which nothing comes."""
        self._zip.writestr(MANIFEST, manifest.as_json())
        self._zip.close()

    def _add(self, name: str, content: Iterable[bytes]) -> Part:
        digest, size = hashlib.sha256(), 0
        told = zipfile.ZipInfo(name)
        told.compress_type = zipfile.ZIP_DEFLATED
        with self._zip.open(told, "w", force_zip64=True) as member:
            for chunk in content:
                digest.update(chunk)
                size += len(chunk)
                member.write(chunk)
        return Part(name, size, digest.hexdigest())


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines in chunks of some size."""
    waiting, size = [], 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


class Archive:
    """A backup that is there, opened to be read; a context. Raises NotABackup, Damaged and OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError:
            raise
        except Exception as error:  # The reader of ZIPs complains of what is damaged in many ways.
            raise NotABackup(
                f"{path} is not a backup, or only the beginning of one. An encrypted one has to be decrypted first."
            ) from error
        try:
            self.names = {each.filename for each in self._zip.infolist()}
            if MANIFEST not in self.names:
                raise NotABackup(f"{path} is not a backup: it has no {MANIFEST}.")
            self.manifest = self._manifest()
        except BaseException:
            self._zip.close()
            raise

    def _manifest(self) -> Manifest:
        try:
            return Manifest.from_json(self._zip.read(MANIFEST))
        except BillingError as error:
            raise type(error)(f"{self.path} cannot be restored. {error}") from error
        except Exception as error:
            raise Damaged(f"{self.path} is damaged: its manifest cannot be read.") from error

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def chunks(self, part: Part) -> Iterator[bytes]:
        """Yield what is in a member. Raises Damaged where it is not what was written."""
        digest, size = hashlib.sha256(), 0
        try:
            with self._zip.open(part.name) as member:
                while chunk := member.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
        except KeyError:
            raise Damaged(f"{self.path} is damaged: {part.name} is missing.") from None
        except Exception as error:
            if isinstance(error, BillingError | GeneratorExit):
                raise
            raise Damaged(f"{self.path} is damaged: {part.name} cannot be read ({error}).") from error
        if (size, digest.hexdigest()) != (part.size, part.sha256):
            raise Damaged(f"{self.path} is damaged: {part.name} is not what was written.")

    def rows(self, part: Rows) -> Iterator[Row]:
        """Yield the rows of a table. Raises Damaged."""
        rest = b""
        for chunk in self.chunks(part):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield tuple(json.loads(line))

    def content(self, name: str) -> bytes:
        """Return a small member whole."""
        return self._zip.read(name)
