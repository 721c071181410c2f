"""Files as received: kept once by their SHA-256, under a name made from it and never from theirs."""

import datetime
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePath
from typing import IO, BinaryIO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import QuerySet

from ..errors import BillingError
from ..file_names import shown
from ..models import StoredFile
from ..progress import Progress, unwatched
from ..readers import UnreadableFile
from ..readers.opening import open_file
from . import disposed
from .folders import own_folder
from .places import InStorage, OnDisk, Place
from .writing import whole

MIB = 1024 * 1024
CHUNK = MIB
MAX_NAME = 254
SHA256 = re.compile(r"[0-9a-f]{64}")
UNUSED_AFTER = datetime.timedelta(days=7)


class FileAltered(BillingError):
    """What a storage elsewhere has is not what was given to it."""


def store(
    *, path: Path, within: Path | None = None, now: datetime.datetime, progress: Progress = unwatched
) -> StoredFile:
    """Keep a copy of a file, by its hash; a file that is there already is not kept twice.

    With `within` it has to lie in that folder, links resolved. Raises UnreadableFile where it cannot be opened, and
    where it changed while it was copied.
    """
    if stored := _kept_at(path):
        return stored
    with open_file(path, within) as source:
        before = os.fstat(source.fileno())
        total = before.st_size // MIB
        return store_chunks(
            _unchanged(source, before), now=now, progress=lambda done, _, doing: progress(done, total, doing)
        )


def _unchanged(source: BinaryIO, before: os.stat_result) -> Iterator[bytes]:
    """Yield what is in a file; raise UnreadableFile if it was written meanwhile, for that is neither old nor new."""
    yield from chunks(source)
    after = os.fstat(source.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise UnreadableFile("The file changed while it was read. Wait until it is complete, and import it again.")


def store_chunks(content: Iterable[bytes], *, now: datetime.datetime, progress: Progress = unwatched) -> StoredFile:
    """Keep what comes as a stream, by its hash, which is taken while it is written.

    The copy is complete before it gets its name, so that a crash leaves no half file under a hash.
    """
    incoming = Path(settings.MEDIA_ROOT) / "incoming"
    incoming.mkdir(mode=0o750, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    handle, temporary = tempfile.mkstemp(dir=incoming)
    try:
        copied = 0
        fcntl.flock(handle, fcntl.LOCK_EX)
        with os.fdopen(handle, "wb") as copy, ThreadPoolExecutor(max_workers=1, thread_name_prefix="hash") as hashing:
            hashed = None
            for chunk in content:
                # Hashing takes as long as reading and writing, and goes beside them.
                if hashed:
                    hashed.result()
                hashed = hashing.submit(digest.update, chunk)
                copy.write(chunk)
                copied += len(chunk)
                progress(copied // MIB, 0, "Storing MiB")
            copy.flush()
            os.fsync(copy.fileno())
        sha256 = digest.hexdigest()
        name = f"received/{sha256[:2]}/{sha256}"
        known = StoredFile.objects.filter(sha256=sha256).first()
        if known and default_storage.exists(known.path):
            # It is received anew where nothing came of it before, and not to be cleared away meanwhile.
            unused().filter(pk=known.pk).update(received_at=now)
            return known
        if known:
            disposed.require_not(known.path, what="This file was received before. It")
        if not default_storage.exists(name):
            with Path(temporary).open("rb") as complete:
                default_storage.save(name, _Movable(complete, temporary))
        stored, _ = StoredFile.objects.get_or_create(
            sha256=sha256, defaults={"size": copied, "path": name, "received_at": now}
        )
        return stored
    finally:
        Path(temporary).unlink(missing_ok=True)


def _kept_at(path: Path) -> StoredFile | None:
    """Return the stored file that a path is a local copy of: its name is its hash."""
    if not SHA256.fullmatch(path.name):
        return None
    stored = StoredFile.objects.filter(sha256=path.name).first()
    return stored if stored and path in (_path_of(stored), _fetched_path(stored)) else None


def unused() -> "QuerySet[StoredFile]":
    """Return stored files that neither an import nor usage that was read is kept in."""
    kept_in = ("imported_files", "usage_files", "priced_usage", "priced_payers", "priced_workings")
    return StoredFile.objects.filter(**{f"{each}__isnull": True for each in kept_in})


def clear_unused(*, files: Collection[int], now: datetime.datetime) -> int:
    """Remove uploads that nothing came of in a week, and return how many.

    Those are stored files that nothing is kept in, except `files` (ids) that a job still waits for.
    """
    removed = 0
    before = now - UNUSED_AFTER
    for stored in unused().filter(received_at__lt=before).exclude(pk__in=files):
        with transaction.atomic():
            locked = StoredFile.objects.select_for_update().filter(pk=stored.pk, received_at__lt=before).first()
            if locked is None or not unused().filter(pk=stored.pk).exists():
                continue
            locked.delete()
            transaction.on_commit(partial(default_storage.delete, stored.path))
            removed += 1
    return removed


def local_copy(stored: StoredFile) -> Path:
    """Return where a stored file can be read on this machine; where it is gone, nothing is at that path.

    A storage on this disk has a path already. From any other the file is fetched once, and kept for a day after it was
    last asked for. Raises FileAltered where what was fetched is not what was received, and DisposedOf.
    """
    if path := _path_of(stored):
        if not path.exists():
            disposed.require_not(stored.path, what=f"The file {stored}")
        return path
    own_folder("fetched")
    copy = _fetched_path(stored)
    if copy.exists():
        copy.touch()
        return copy
    try:
        with whole(copy) as target:
            _require(stored, _fetched(stored, target))
    except FileNotFoundError:
        disposed.require_not(stored.path, what=f"The file {stored}")
    return copy


def remove(path: str) -> None:
    """Remove what the storage has at a path, and the copy of it on this machine."""
    default_storage.delete(path)
    (Path(settings.VAR_DIR) / "fetched" / PurePath(path).name).unlink(missing_ok=True)


def size_at(path: str) -> int | None:
    """Return the size of what the storage has at a path, in bytes; None where there is nothing."""
    return default_storage.size(path) if default_storage.exists(path) else None


def opened_at(path: str) -> IO[bytes]:
    """Open what the storage has at a path, to be copied as it is. Raises FileNotFoundError."""
    return default_storage.open(path)


def put_back(path: str, content: Iterable[bytes], *, sha256: str) -> None:
    """Keep content at the path in the storage that it had, whole or not at all; what is there already stays.

    Raises FileExistsError where something else is there.
    """
    if default_storage.exists(path):
        digest = hashlib.sha256()
        with opened_at(path) as there:
            for chunk in chunks(there):
                digest.update(chunk)
        if digest.hexdigest() == sha256:
            return
        raise FileExistsError(path)
    incoming = Path(settings.MEDIA_ROOT) / "incoming"
    incoming.mkdir(mode=0o750, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=incoming, delete=False) as copy:
        try:
            fcntl.flock(copy, fcntl.LOCK_EX)
            for chunk in content:
                copy.write(chunk)
            copy.flush()
            os.fsync(copy.fileno())
            with Path(copy.name).open("rb") as complete:
                default_storage.save(path, _Movable(complete, copy.name))
        finally:
            Path(copy.name).unlink(missing_ok=True)


def opened(stored: StoredFile) -> IO[bytes]:
    """Open a stored file to hand it out. Raises FileNotFoundError, and FileAltered for one from elsewhere."""
    return local_copy(stored).open("rb")


def place_of(stored: StoredFile) -> Place:
    """Return where the storage itself keeps a file."""
    path = _path_of(stored)
    return OnDisk(path) if path else InStorage(default_storage, stored.path)


def _fetched(stored: StoredFile, target: IO[bytes]) -> str:
    """Write what the storage has to a file, and return its SHA-256."""
    if fetch := getattr(default_storage, "fetch", None):
        sha256: str = fetch(stored.path, target)[0]
        return sha256
    digest = hashlib.sha256()
    with default_storage.open(stored.path) as source:
        for chunk in source.chunks():
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()


def _require(stored: StoredFile, sha256: str) -> None:
    if sha256 != stored.sha256:
        raise FileAltered(
            f"The stored file {place_of(stored)} is not what was received: its SHA-256 is {sha256}. Put it back from a "
            "backup, or from an older version where the bucket keeps them."
        )


def _path_of(stored: StoredFile) -> Path | None:
    """Return where the storage itself keeps a file on this disk; None for a storage elsewhere."""
    try:
        return Path(default_storage.path(stored.path))
    except NotImplementedError:
        return None


def _fetched_path(stored: StoredFile) -> Path:
    return Path(settings.VAR_DIR) / "fetched" / stored.sha256


def display_name(name: str) -> str:
    """Return the last part of a file's name as it came, fit to show; it never becomes a path."""
    return shown(PurePath(name.replace("\\", "/").replace("\0", "")).name)[:MAX_NAME] or "unnamed"


def chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk


class _Movable(File):
    """A complete file that a storage on this disk may take by renaming instead of copying."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        super().__init__(file, name=path)
        self._path = path

    def temporary_file_path(self) -> str:
        return self._path
