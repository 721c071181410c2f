"""What of a file that adds up still stands: a file counts as imported only as long as charges of it do."""

import datetime
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import QuerySet

from ..models import BillingPeriod, Charge, Import, ImportedFile, ImportTotal, Source

State = Import.State

# What was kept and brought no charge, because it waits for a decision or got one.
_WITHOUT_CHARGES = (State.DEFERRED, State.DISMISSED)


@dataclass(frozen=True)
class Recognized:
    """What of the files of an import that adds up is there already."""

    # Files of which nothing is left to import.
    skipped: frozenset[int] = frozenset()
    # Of the others the months that stand, by the number of the file.
    months: Mapping[int, frozenset[datetime.date]] = field(default_factory=dict)
    # The names of those that are skipped, with the import that brought each; and all imports that brought what stands.
    seen: tuple[str, ...] = field(default=(), compare=False)
    imports: tuple[int, ...] = field(default=(), compare=False)


NOTHING_STANDS = Recognized()


@dataclass
class Standing:
    """What became of a stored file: the import that brought what stands, by month, and whether that is all of it."""

    standing: dict[datetime.date, int] = field(default_factory=dict)
    is_all: bool = True

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left of the file to be imported."""
        return self.is_all and bool(self.standing)

    @property
    def number(self) -> int:
        """The import that brought what stands, the latest of several."""
        return max(self.standing.values())


def recognize(source: Source, files: Sequence[int], names: Sequence[str], *, is_again: bool) -> Recognized:
    """Return what of stored files, named so and numbered from 1, is there already; nothing but of files that add up.

    Somebody decides about what waits, and reads it again: of that, only what stands is left out.
    """
    if source.import_mode != Source.ImportMode.APPEND:
        return NOTHING_STANDS
    known = by_file(source, files)
    of = {number: known[file] for number, file in enumerate(files, start=1) if file in known}
    skipped = frozenset(number for number, each in of.items() if each.is_settled and not is_again)
    return Recognized(
        skipped=skipped,
        months={
            number: frozenset(each.standing) for number, each in of.items() if each.standing and number not in skipped
        },
        seen=tuple(f"{names[number - 1]} (import {of[number].number})" for number in sorted(skipped)),
        imports=tuple(sorted({each.number for each in known.values() if each.standing})),
    )


def by_file(source: Source, files: Collection[int]) -> dict[int, Standing]:
    """Return what became of stored files that an import of a source was about, by file.

    An import counts for a month of a file while a charge lives that it made of it there: not where the file was
    passed over, and not once its charges are withdrawn, in whatever way. What waits for a decision, or was
    dismissed, is settled while its month takes no imports.
    """
    found: dict[int, Standing] = defaultdict(Standing)
    without_rows: dict[int, int] = {}
    uses = ImportedFile.objects.filter(
        file__in=files,
        imported_in__source=source,
        imported_in__state__in=(State.APPLIED, State.WITHDRAWN, *_WITHOUT_CHARGES),
    ).select_related("imported_in")
    unsettled: dict[int, set[datetime.date]] = defaultdict(set)
    settled: dict[int, set[datetime.date]] = defaultdict(set)
    for use in uses.order_by("imported_in_id"):
        imported = use.imported_in
        if not use.rows:
            if imported.state == State.APPLIED:
                without_rows[use.file_id] = imported.pk
            continue
        _note_months(use, source, found[use.file_id].standing, settled[use.file_id], unsettled[use.file_id])
    for file, brought in found.items():
        brought.is_all = unsettled[file] <= settled[file] | brought.standing.keys()
    for file, number in without_rows.items():
        # A chunk that never had any rows: there is nothing of it that could be missing.
        if file not in found:
            found[file] = Standing({datetime.date.min: number})
    return dict(found)


def _note_months(
    use: ImportedFile,
    source: Source,
    standing: dict[datetime.date, int],
    settled: set[datetime.date],
    unsettled: set[datetime.date],
) -> None:
    """Sort the months of a file that an import was about: those that stand, are settled without charges, or are not."""
    imported = use.imported_in
    for period in _months_of(imported):
        if imported.state in _WITHOUT_CHARGES:
            waits = period.status != BillingPeriod.Status.OPEN
            (settled if waits else unsettled).add(period.month)
        elif _lives(use, period, source):
            standing[period.month] = imported.pk
        elif _made(use, source).filter(period=period).exists():
            unsettled.add(period.month)


def imported_in(files: Collection[int]) -> dict[int, Import]:
    """Return the import that brought what stands of stored files, whatever their source; the latest of several."""
    numbers: dict[int, int] = {}
    uses = ImportedFile.objects.filter(file__in=files, imported_in__state=State.APPLIED)
    for source in Source.objects.filter(pk__in=uses.values("imported_in__source")):
        for file, brought in by_file(source, files).items():
            if brought.standing:
                numbers[file] = max(brought.number, numbers.get(file, 0))
    imports = Import.objects.select_related("source").in_bulk(set(numbers.values()))
    return {file: imports[number] for file, number in numbers.items()}


def _months_of(imported: Import) -> list[BillingPeriod]:
    totals = ImportTotal.objects.filter(imported_in=imported, rows__gt=0)
    return list(BillingPeriod.objects.filter(pk__in=totals.values("period")).order_by("month"))


def _made(use: ImportedFile, source: Source) -> QuerySet[Charge]:
    """Return the charges that an import made of a file, those that are withdrawn among them."""
    made = Charge.objects.filter(imported_in=use.imported_in_id)
    # What is added up over several files bears the number of one of them.
    return made.filter(file_number=use.number) if source.grain == Source.Grain.LINE else made


def _lives(use: ImportedFile, period: BillingPeriod, source: Source) -> bool:
    made = _made(use, source)
    if made.filter(period=period, withdrawn_in__isnull=True).exists():
        return True
    # One that was matched and found all of its rows there stands for them as well.
    return (
        use.imported_in.state == State.APPLIED
        and use.imported_in.mode != Source.ImportMode.APPEND
        and not (made.exists())
    )
