"""The files that were kept, read again: each has to be the one whose hash was recorded when it came or was made."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from django.db.models import Q

from ..files import disposed
from ..files.places import MIB, Place, Signature
from ..files.received import place_of
from ..models import BillingPeriod, Import, StoredFile
from ..progress import Progress, unwatched
from .findings import About


@dataclass(frozen=True)
class Kept:
    """A file as it was recorded. `what` names what it is of, which is what it is `about`."""

    what: str
    place: Place
    sha256: str
    about: About | None = None
    # A file that is made again from what is frozen, where it is gone: its absence is no loss.
    can_be_made_again: bool = False


@dataclass(frozen=True)
class Altered:
    """A file that is not the one that was recorded, and what is wrong with it."""

    what: str
    place: Place
    text: str
    about: About | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.text}"


@dataclass
class Verified:
    """What reading the files again found."""

    files: int = 0
    # Of these, how many were disposed of: they are gone, and are to be.
    disposed: int = 0
    size: int = 0
    altered: list[Altered] = field(default_factory=list)


# The files of a month, or of all months.
Provider = Callable[[BillingPeriod | None], Iterable[Kept]]
_providers: dict[str, Provider] = {}

# What a disk or storage says of a file, and its hash and size then: a page need not read a gigabyte again while nothing
# touched it.
_known: dict[Signature, tuple[str, int]] = {}
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
            altered, size = _looked_at(kept, trusts_signature=False)
            found.disposed += size is None
            found.size += size or 0
            if altered:
                found.altered.append(altered)
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
        yield Kept(name, place_of(stored), stored.sha256, about)


def wrong(kept: Kept, *, trusts_signature: bool) -> Altered | None:
    """Return what is wrong with a file, None for nothing; a signature is trusted for a file that nothing touched."""
    return _looked_at(kept, trusts_signature=trusts_signature)[0]


def _looked_at(kept: Kept, *, trusts_signature: bool) -> tuple[Altered | None, int | None]:
    """Return what is wrong with a file, and the size of one that is as recorded; None of one that was disposed of."""
    what, place = kept.what, kept.place
    try:
        sha256, size = _hashed(place, trusts_signature=trusts_signature)
    except FileNotFoundError:
        if disposed.said_by_hash(kept.sha256):
            return None, None
        if kept.can_be_made_again:
            return None, 0
        return Altered(what, place, f"its file is gone ({place}). Put it back from a backup.", kept.about), 0
    except OSError as error:
        return Altered(what, place, f"its file cannot be read ({place}: {error.strerror}).", kept.about), 0
    if sha256 == kept.sha256:
        return None, size
    told = f"its file is not the one that was recorded ({place}): its SHA-256 is {sha256}, and was {kept.sha256}."
    return Altered(what, place, told, kept.about), 0


def _hashed(place: Place, *, trusts_signature: bool) -> tuple[str, int]:
    signature = place.signature()
    if trusts_signature and signature in _known:
        return _known[signature]
    found = place.hashed()
    if signature is not None:
        if len(_known) >= _KNOWN:
            _known.clear()
        _known[signature] = found
    return found
