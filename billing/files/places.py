"""Where one file is kept: told, looked at and read again without knowing whether that is this disk."""

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from django.core.files.storage import Storage

MIB = 1024 * 1024
# What a place says of its content without handing it out; equal as long as nobody wrote there.
Signature = tuple[Any, ...]


class Place(Protocol):
    """A place as people are told (`str`)."""

    def signature(self) -> Signature | None:
        """Return what changes with the content; None where nothing does. Raises FileNotFoundError."""

    def hashed(self) -> tuple[str, int]:
        """Read all of it; return its SHA-256 and size. Raises FileNotFoundError and OSError."""


@dataclass(frozen=True)
class OnDisk:
    """A file of this disk."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def signature(self) -> Signature:
        # The time of the last change of its entry (ctime) is set by the system, whatever a program claims.
        stat = self.path.stat()
        return (str(self.path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def hashed(self) -> tuple[str, int]:
        with self.path.open("rb") as file:
            return _hashed(file)


@dataclass(frozen=True)
class InStorage:
    """A file of a storage elsewhere."""

    storage: Storage
    name: str

    def __str__(self) -> str:
        told = getattr(self.storage, "told", None)
        return told(self.name) if told else self.name

    def signature(self) -> Signature | None:
        look = getattr(self.storage, "entry", None)
        if look is None:
            return None
        if (entry := look(self.name)) is None:
            raise FileNotFoundError(str(self))
        modified_at: datetime.datetime = entry.modified_at
        return (str(self), entry.tag, entry.size, modified_at.timestamp())

    def hashed(self) -> tuple[str, int]:
        if fetch := getattr(self.storage, "fetch", None):
            found: tuple[str, int] = fetch(self.name)
            return found
        with self.storage.open(self.name) as file:
            return _hashed(file)


def _hashed(file: Any) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(MIB):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
