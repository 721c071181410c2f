"""Files that were removed once their retention was over: they are said to be, and never taken for lost."""

import datetime
from collections.abc import Collection

from ..models import DisposedFile
from ..readers import UnreadableFile
from ..texts import iso_month


class DisposedOf(UnreadableFile, FileNotFoundError):
    """A file that was disposed of. It is gone as any other that is missing, and this says under which certificate."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        # What is told of an OSError.
        self.strerror = told


def said_of(names: Collection[str]) -> dict[str, str]:
    """Say of stored files (their paths) and documents, by their names, which were disposed of, when and by what."""
    found = DisposedFile.objects.filter(name__in=names).select_related("disposal").order_by("pk")
    return {each.name: each.disposal.said for each in found}


def said(name: str) -> str:
    """Say it of one; "" where it was not disposed of."""
    return said_of([name]).get(name, "")


def require_not(name: str, *, what: str = "") -> None:
    """Raise DisposedOf where a file that is missing was disposed of; `what` is how people call it."""
    if told := said(name):
        raise DisposedOf(f"{what or name} was {told}.")


def said_by_hash(sha256: str) -> str:
    """Say the same of a file by the hash that was recorded of it."""
    found = DisposedFile.objects.filter(sha256=sha256).select_related("disposal").order_by("pk").last()
    return found.disposal.said if found else ""


def told_of_month(month: datetime.date) -> list[str]:
    """Return sentences about what of a month was disposed of, one for each certificate."""
    found: dict[int, tuple[str, dict[str, int]]] = {}
    # A handful of disposals in the life of an installation, each of which knows its months.
    files = DisposedFile.objects.filter(disposal__first_kept__gt=month).select_related("disposal").order_by("pk")
    named = iso_month(month)
    for file in files:
        if named in file.months:
            _, kinds = found.setdefault(file.disposal_id, (file.disposal.said, {}))
            kinds[file.kind] = kinds.get(file.kind, 0) + 1
    labels = dict(DisposedFile.Kind.choices)
    return [
        f"Detail was {said}: " + ", ".join(f"{labels[kind]} ({count:,})" for kind, count in kinds.items()) + "."
        for said, kinds in found.values()
    ]
