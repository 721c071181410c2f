"""What is kept of a submitted journal's file: where it lies, what lies beside it, and which lines it has."""

import datetime
from collections.abc import Sequence

from django.utils import timezone

from ..drafting import BATCH
from ..filing import Staged, beside, path_of
from ..formats import Document, Format, Written
from ..formats.layouts import LayoutFormat
from ..lookups import keep_lookups
from ..models import Journal, JournalFile, JournalFileLine, JournalLayout, JournalLine
from .records import sha256_of


def number_batch(journal: Journal, chosen: Format, now: datetime.datetime) -> None:
    """Give a journal that is submitted in a layout its version, and its number among that day's files in the layout.

    The version is locked, so that no two journals get one number: a loader refuses the second of them.
    """
    if not isinstance(chosen, LayoutFormat):
        return
    versions = JournalLayout.objects.select_for_update(no_key=True).filter(name=chosen.name).order_by("pk")
    (journal.layout,) = [each for each in versions if each.version == chosen.version]
    journal.batch = next_batch(chosen.name, now)


def next_batch(name: str, now: datetime.datetime) -> int:
    """Return which file of its layout the next one is today, from 1. A rejected journal keeps its number."""
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    today = Journal.objects.filter(
        layout__name=name, submitted_at__gte=midnight, submitted_at__lt=midnight + datetime.timedelta(days=1)
    )
    return (today.order_by("-batch").values_list("batch", flat=True).first() or 0) + 1


def keep(
    journal: Journal,
    lines: Sequence[JournalLine],
    chosen: Format,
    document: Document,
    written: Written,
    staged: Staged,
) -> None:
    """Stage a submitted journal's files, and record where they are.

    Which journal lines each line stands for is recorded, too, and the lookup tables that they were written with.
    """
    name = written.name or f"{journal.number}-{chosen.name}.{chosen.extension}"
    journal.format = chosen.name
    # Ledgers have names of their own for files, such as GlInterface.zip: a folder for each journal keeps them apart.
    own = f"{journal.number}/" if written.name else ""
    journal.file_path = f"{path_of(journal.period.iso_month)}/{own}{name}"
    journal.file_sha256 = sha256_of(written.content)
    staged.keep(journal.file_path, written.content)
    for each in written.beside:
        staged.keep(beside(journal.file_path, each.name), each.content)
    JournalFile.objects.bulk_create(
        JournalFile(journal=journal, name=each.name, sha256=sha256_of(each.content)) for each in written.beside
    )
    keep_lookups(journal, document.lookups)
    by_number = {line.number: line for line in lines}
    JournalFileLine.objects.bulk_create(
        (
            JournalFileLine(journal=journal, number=number, line=by_number[line])
            for number, group in enumerate(written.groups, 1)
            for line in group
        ),
        batch_size=BATCH,
    )
