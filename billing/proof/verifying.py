"""The files that were kept, read again: each has to be the one whose hash was recorded when it came or was made."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.db.models import Q

from ..files.received import MIB, chunks, local_copy
from ..models import BillingPeriod, Import, StoredFile
from ..progress import Progress, unwatched
from .findings import About


@dataclass(frozen=True)
class Kept:
    """A file as it was recorded. `what` names what it is of, which is what it is `about`."""

    what: str
    path: Path
    sha256: str
    about: About | None = None
    # A file that is made again from what is frozen, where it is gone: its absence is no loss.
    can_be_made_again: bool = False


@dataclass(frozen=True)
class Altered:
    """A file that is not the one that was recorded, and what is wrong with it."""

    what: str
    path: Path
    text: str
    about: About | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.text}"


@dataclass
class Verified:
    """What reading the files again found."""

    files: int = 0
    size: int = 0
    altered: list[Altered] = field(default_factory=list)


# The files of a month, or of all months.
Provider = Callable[[BillingPeriod | None], Iterable[Kept]]
_providers: dict[str, Provider] = {}

# What the file system says of a file, and its hash then: a page need not read a gigabyte again while nothing touched
# it. The time of the last change of its entry (ctime) is set by the system, whatever a program claims.
_Signature = tuple[str, int, int, int, int]
_known: dict[_Signature, str] = {}
_KNOWN = 10_000


def register(name: str, provider: Provider) -> None:
    """Have the files that `provider` names checked too; a second one of the same name replaces it."""
    _providers[name] = provider


def verify(period: BillingPeriod | None = None, *, progress: Progress = unwatched) -> Verified:
    """Read every file that was kept, or those of a month, and compare its SHA-256 with the one recorded."""
    found = Verified()
    for provider in _providers.values():
        for kept in provider(period):
            found.files += 1
            if altered := wrong(kept, trusts_signature=False):
                found.altered.append(altered)
            else:
                found.size += kept.path.stat().st_size if kept.path.exists() else 0
            progress(found.size // MIB, 0, "Reading MiB")
    return found


def received_of(period: BillingPeriod) -> list[Altered]:
    """Return the received files of a month that are not as they came; one that nothing touched since is read once."""
    return [altered for kept in received(period) if (altered := wrong(kept, trusts_signature=True))]


def received(period: BillingPeriod | None) -> Iterator[Kept]:
    """Yield the files as received: all, or those that a month has charges of; `priced` yields those of usage."""
    of_usage = Q(usage_files__isnull=False) | Q(priced_payers__isnull=False) | Q(priced_workings__isnull=False)
    files = StoredFile.objects.exclude(of_usage, imported_files__isnull=True).order_by("id")
    if period is not None:
        told = Q(scope_totals__period=period) | Q(booked_in=period) | Q(overlaps__borne_by=period)
        imports = Import.objects.filter(told, state=Import.State.APPLIED)
        files = files.filter(imported_files__imported_in__in=imports.values("pk")).distinct()
    for stored in files.prefetch_related("imported_files"):
        first = min(stored.imported_files.all(), key=lambda each: each.pk, default=None)
        name = f"{first.name} of import {first.imported_in_id}" if first else f"Upload {stored}"
        about = About("billing.import", first.imported_in_id) if first else None
        yield Kept(name, local_copy(stored, anew=True), stored.sha256, about)


def wrong(kept: Kept, *, trusts_signature: bool) -> Altered | None:
    """Return what is wrong with a file, None for nothing; a signature is trusted for a file that nothing touched."""
    try:
        sha256 = _sha256_of(kept.path, trusts_signature=trusts_signature)
    except FileNotFoundError:
        if kept.can_be_made_again:
            return None
        return Altered(kept.what, kept.path, f"its file is gone ({kept.path}). Put it back from a backup.", kept.about)
    except OSError as error:
        return Altered(kept.what, kept.path, f"its file cannot be read ({kept.path}: {error.strerror}).", kept.about)
    if sha256 == kept.sha256:
        return None
    told = f"its file is not the one that was recorded ({kept.path}): its SHA-256 is {sha256}, and was {kept.sha256}."
    return Altered(kept.what, kept.path, told, kept.about)


def _sha256_of(path: Path, *, trusts_signature: bool) -> str:
    with path.open("rb") as file:
        stat = path.stat()
        signature = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if trusts_signature and signature in _known:
            return _known[signature]
        digest = hashlib.sha256()
        for chunk in chunks(file):
            digest.update(chunk)
    if len(_known) >= _KNOWN:
        _known.clear()
    _known[signature] = digest.hexdigest()
    return _known[signature]
