"""What the program makes and keeps by name: statements, journals, proofs, sent e-mails, exports.

A name such as `statements/2025-01/2025-01-0001.pdf` is a path below VAR_DIR or, where an object storage is set, the
name of an object. Each is written whole or not at all.
"""

import contextlib
import datetime
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from django.conf import settings
from django.core.files.storage import default_storage

from . import disposed
from .folders import own_folder
from .places import InStorage, OnDisk, Place
from .writing import Pending, publish_all, whole, whole_if_absent, write_whole

if TYPE_CHECKING:
    from .objects import ObjectStorage


# What is kept for years; what is made for a day is apart.
FOLDERS = ("journals", "mail", "proofs", "receivables", "statements")


def bucket() -> "ObjectStorage | None":
    """Return the object storage, where one is set; documents are on this disk otherwise."""
    return cast("ObjectStorage", default_storage) if hasattr(default_storage, "put_bytes") else None


def write(name: str, content: bytes) -> None:
    """Put content in place of a document, made if there is none."""
    if there := bucket():
        there.put_bytes(name, content)
    else:
        write_whole(_made(name), content)


@contextlib.contextmanager
def writing(name: str) -> Iterator[IO[bytes]]:
    """Give a file to write to, which becomes the document once the block ends well. Raises FileExistsError."""
    if there := bucket():
        ready = Ready(name)
        try:
            yield ready.file
            ready.complete()
            there.put(name, ready.temporary, if_absent=True)
        finally:
            ready.discard()
    else:
        with whole_if_absent(_made(name)) as kept:
            yield kept


def read(name: str) -> bytes:
    """Return a document. Raises FileNotFoundError, and of those DisposedOf where it was disposed of."""
    try:
        return there.read(name) if (there := bucket()) else _path(name).read_bytes()
    except FileNotFoundError:
        disposed.require_not(name)
        raise


def opened(name: str) -> IO[bytes]:
    """Open a document, to be read from any place in it. Raises FileNotFoundError."""
    return cast(IO[bytes], there.open(name).file) if (there := bucket()) else _path(name).open("rb")


def exists(name: str) -> bool:
    return there.exists(name) if (there := bucket()) else _path(name).is_file()


def written_at(name: str) -> datetime.datetime | None:
    """Return when a document was written; None where there is none."""
    if there := bucket():
        entry = there.entry(name)
        return entry.modified_at if entry else None
    try:
        return datetime.datetime.fromtimestamp(_path(name).stat().st_mtime, datetime.UTC)
    except FileNotFoundError:
        return None


def size(name: str) -> int | None:
    """Return the size of a document in bytes; None where there is none."""
    if there := bucket():
        entry = there.entry(name)
        return entry.size if entry else None
    try:
        return _path(name).stat().st_size
    except FileNotFoundError:
        return None


def remove(name: str) -> None:
    """Remove a document, if it is there, and a copy that was fetched of it."""
    if there := bucket():
        there.delete(name)
        (Path(settings.VAR_DIR) / "fetched" / PurePosixPath(name).name).unlink(missing_ok=True)
    else:
        _path(name).unlink(missing_ok=True)


def names_in(folder: str) -> set[str]:
    """Return the names of all documents below a folder: one question, where there are many."""
    if there := bucket():
        return {name for name, _ in there.entries(folder)}
    root = Path(settings.VAR_DIR)
    found = (each for each in (root / folder).rglob("*") if each.name[0] != "." and each.is_file())
    return {each.relative_to(root).as_posix() for each in found}


def in_bucket() -> Iterator[tuple[str, int]]:
    """Yield the name and size of each document that is kept for years in the object storage; none where none is set."""
    if there := bucket():
        for folder in FOLDERS:
            yield from ((name, entry.size) for name, entry in there.entries(folder))


def put_back(name: str, content: Iterable[bytes]) -> None:
    """Write a document from a stream, whole or not at all, in place of what is there."""
    ready = Ready(name)
    try:
        for chunk in content:
            ready.file.write(chunk)
        ready.complete()
        publish([ready])
    finally:
        ready.discard()


def local(name: str) -> Path:
    """Return where a document can be read on this machine, fetched if need be. Raises FileNotFoundError."""
    if not (there := bucket()):
        path = _path(name)
        if not path.is_file():
            raise FileNotFoundError(path)
        return path
    copy = own_folder("fetched") / PurePosixPath(name).name
    if not copy.exists():
        with whole(copy) as target:
            there.fetch(name, target)
    return copy


def place(name: str) -> Place:
    """Return where a document is, or would be."""
    return InStorage(default_storage, name) if bucket() else OnDisk(_path(name))


def where(name: str) -> Path | Place:
    """Return the same, as a path where there is one."""
    there = place(name)
    return there.path if isinstance(there, OnDisk) else there


class Ready:
    """A document that is written, and gets its name when all else is done; see `publish`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._pending = Pending(own_folder("fetched") / secrets.token_hex(8) if bucket() else _made(name))

    @property
    def file(self) -> IO[bytes]:
        return self._pending.file

    @property
    def temporary(self) -> Path:
        return self._pending.temporary

    def complete(self) -> None:
        """Have all of it on this disk."""
        self._pending.complete()

    def discard(self) -> None:
        """Leave nothing of it but what has its name already."""
        self._pending.discard()

    def pending(self) -> Pending:
        return self._pending


def publish(ready: Iterable[Ready]) -> None:
    """Put documents in place of what is there."""
    if there := bucket():
        for each in ready:
            there.put(each.name, each.temporary)
            each.discard()
    else:
        publish_all(each.pending() for each in ready)


def _path(name: str) -> Path:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ValueError(f"{name} is no name of a document: it leads out of their folder.")
    return Path(settings.VAR_DIR, name)


def _made(name: str) -> Path:
    own_folder(*PurePosixPath(name).parent.parts)
    return _path(name)
