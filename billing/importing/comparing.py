"""Comparing what was read with what is charged: what is new, changed, unchanged and removed, and what waits."""

import contextlib
import datetime
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..models import BillingPeriod, Charge, Import, Source
from ..readers.facts import month_number
from ..texts import iso_month
from . import bearing, differences, doubts, duplicates, late, live_charges, other_sources, reading, removals
from .doubts import Doubt
from .duplicates import Asked
from .live_charges import live_partitions
from .matching import Matched, further, match
from .outcomes import Counts, WouldWithdraw, error_of
from .partitions import Partitions, together
from .reading import Read
from .receiving import Received
from .staging import Stage, figures, likeness

Numbers = npt.NDArray[np.int64]


class StandsAlready(Exception):
    """All rows of files that add up are those of imports in force: there is nothing to compare."""

    def __init__(self, received: Received, file_rows: Mapping[int, int]) -> None:
        super().__init__("; ".join(received.recognized.seen))
        self.received = received
        self.file_rows = file_rows


@dataclass(frozen=True)
class Compared:
    """What files change; which rows become charges, and which charges leave, is in the stage.

    As long as nothing is matched, all of it is new.
    """

    months: tuple[datetime.date, ...]
    # Those of the months that there are periods of.
    periods: Mapping[datetime.date, BillingPeriod]
    # Months where something changes: only these have to take changes.
    touched: frozenset[datetime.date]
    counts: Counts
    # What it was compared with: how many imports there were of the source, and which of other sources, each with it.
    imports_before: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Mapping[int, Source] = field(default_factory=dict)
    # Of files that add up, the months whose rows stand, by the number of the file; and the imports they stand in.
    left_out: Mapping[int, Collection[datetime.date]] = field(default_factory=dict)
    # Rows that are charges already, of this source or another.
    asked: Asked = Asked()
    # Why somebody has to be asked first, and what was answered about charges that the files lack.
    doubts: tuple[Doubt, ...] = ()
    missing: str = ""
    # Month → currency → rows and money (see `differences`).
    difference: Mapping[str, Any] = field(default_factory=dict)
    # Months with changes that wait.
    late: tuple[datetime.date, ...] = ()

    @property
    def taking(self) -> frozenset[datetime.date]:
        """The months of which nothing waits."""
        return frozenset(self.months) - frozenset(self.late)


@contextlib.contextmanager
def read_and_compared(received: Received) -> Iterator[tuple[Stage, Read, Compared]]:
    """Read files into a stage and compare them with what is charged; the stage lasts as long as the context.

    Raises FileError, ImportRefused, or StandsAlready.
    """
    to_match = is_matched(received)
    with Stage(remembers=to_match) as stage:
        read = reading.read(received, stage)
        compared = doubt_age(received, read, _match(received, read, stage))
        yield stage, read, measure(received, read, compared, stage)


def is_matched(received: Received) -> bool:
    """Tell whether there will be charges to match with, as far as that is known before reading."""
    if received.adds_up:
        return False
    live = Charge.objects.live().filter(source=received.source)
    return (live.filter(period__month__in=received.expected) if received.expected else live).exists()


def survey(received: Received, read: Read) -> Compared:
    """Return which months the files are about, with all of them new. Raises OfAnotherSource."""
    periods = {period.month: period for period in BillingPeriod.objects.filter(month__in=read.months)}
    other_sources.require_own(received, read)
    return Compared(
        months=read.months,
        periods=periods,
        touched=frozenset(read.months),
        counts=Counts(new=read.rows),
        missing=received.request.missing,
    )


def doubt_age(received: Received, read: Read, compared: Compared) -> Compared:
    """Doubt files that would put an older run of an export over a newer one."""
    if received.adds_up or received.request.replace or compared.missing or not compared.touched:
        return compared
    scopes = {
        (compared.periods[month].pk, account)
        for month, account, _ in read.totals
        if month in compared.touched and month in compared.periods
    }
    older = doubts.of_age(received.source, received.made_at, scopes, received.request.own_imports)
    return replace(compared, doubts=(*compared.doubts, *older))


def measure(received: Received, read: Read, compared: Compared, stage: Stage) -> Compared:
    """Say what the files change in rows and money, where, and which of the months they change take no more."""
    source, periods = received.source, compared.periods
    by_hand = received.request.is_by_hand
    waiting = sorted(month for month in compared.touched if late.waits(periods.get(month), is_by_hand=by_hand))
    # What waits is booked in a month that somebody chooses.
    taking = {month: period for month, period in periods.items() if month not in waiting}
    is_elsewhere = bearing.stage_elsewhere(stage, source, list(taking.values()))
    measures = {month: str(source.measure_in(month)) for month in compared.months}
    difference = differences.difference(
        totals=read.totals, periods=periods, measures=measures, is_matched=stage.is_chosen
    )
    if is_elsewhere and stage.is_chosen:
        differences.add_elsewhere(difference, taking, measures)
    for month in waiting:
        for currency, found in difference[iso_month(month)].items():
            found |= differences.charged_and_booked(source, periods[month], currency, measures[month])
    return replace(compared, difference=difference, late=tuple(waiting))


def only(compared: Compared, own: Collection[datetime.date]) -> Compared:
    """Return what changes in these months alone."""
    return replace(
        compared,
        months=tuple(sorted(own)),
        touched=compared.touched & frozenset(own),
        late=tuple(month for month in compared.late if month in own),
    )


def would_withdraw(received: Received, compared: Compared, imported: Import | None = None) -> WouldWithdraw:
    """Return the refusal of files that are doubtful as a whole: somebody has to say what becomes of them."""
    error = error_of(" ".join(each.message for each in compared.doubts))
    if received.request.force:
        error["confirmed"] = True
    return WouldWithdraw([error], imported, source=received.source)


def leave_out_others(stage: Stage, compared: Compared, own: Collection[datetime.date]) -> None:
    """Stage nothing of months that are not an import's own."""
    others = [month for month in compared.months if month not in own]
    if others:
        stage.choose_all()
        stage.leave_out(
            [month_number(month) for month in others],
            [compared.periods[month] for month in others if month in compared.periods],
        )


def _match(received: Received, read: Read, stage: Stage) -> Compared:
    """Decide what is new, changed, unchanged and removed, by the import mode of the source."""
    compared = survey(received, read)
    if received.adds_up or not compared.periods:
        compared = replace(compared, imports_before=live_charges.imports_so_far(received.source))
        if received.adds_up and compared.periods:
            compared = _match_files(received, read, stage, compared)
        elif received.recognized.months:
            compared = _leave_out_standing(stage, compared, received.recognized.months)
    else:
        compared = _match_rows(received, read, stage, compared)
    return _ask_elsewhere(received, read, stage, compared)


def _match_rows(received: Received, read: Read, stage: Stage, compared: Compared) -> Compared:
    """Match rows with charges: equal ones are unchanged, those of one identity changed, the rest new or removed."""
    compared = replace(compared, imports_before=live_charges.imports_so_far(received.source))
    live = live_partitions(received.source.pk, [period.pk for period in compared.periods.values()])
    if not len(live):
        return compared
    received.request.progress(0, 0, "Matching")
    is_merge = received.source.import_mode == Source.ImportMode.MERGE
    months = [month_number(month) for month in compared.periods]
    # In a merge, without a ResourceId nothing says that one row is another one changed.
    found = match(stage.hashes(), live, months=months, only_with_resource=is_merge)
    found = _match_invoices(stage, compared, found, only_with_resource=is_merge)
    stage.keep(_kept(found))
    changed = len(found.changed)
    compared = replace(
        compared,
        touched=_kept_months(stage),
        counts=Counts(
            new=read.rows - found.unchanged - changed,
            changed=changed,
            unchanged=found.unchanged,
            unseen=len(found.gone) if is_merge else 0,
        ),
    )
    return compared if is_merge else _remove(received, read, stage, compared, found.gone)


def _remove(received: Received, read: Read, stage: Stage, compared: Compared, gone: Partitions) -> Compared:
    """Stage the removal of what a snapshot no longer has, and note where it may not be whole."""
    removed = removals.stage_removals(received, read, stage, gone, periods=compared.periods, counts=compared.counts)
    withdrawn = sum(removed.by_period.values())
    return replace(
        compared,
        # Said, for an account whose name has changed would be charged twice.
        counts=replace(compared.counts, withdrawn=withdrawn, unseen=len(gone) - withdrawn),
        missing=removed.missing,
        doubts=removed.doubts,
        touched=compared.touched
        | {month for month, period in compared.periods.items() if removed.by_period.get(period.pk)},
    )


def _match_files(received: Received, read: Read, stage: Stage, compared: Compared) -> Compared:
    """Know files that add up by their rows: what stands is left out, and rows that are there are asked about.

    Raises StandsAlready where nothing is left, unless somebody decides about what waits.
    """
    received.request.progress(0, 0, "Matching")
    source, periods, standing = received.source, compared.periods, received.recognized.months
    both = duplicates.sides(stage, source, periods)
    same_rows = duplicates.same_files(stage, both, periods) if both else {}
    left_out = {
        number: standing.get(number, frozenset()) | same_rows.get(number, {}).keys()
        for number in {*standing, *same_rows}
    }
    compared = replace(compared, left_out=left_out)
    if left_out:
        compared = _leave_out_standing(stage, compared, left_out)
        if not compared.counts.new and not received.request.is_again:
            raise StandsAlready(_seen_by_rows(received, same_rows), read.file_rows)
    if both:
        again = duplicates.of_own_source(stage, both, source, periods, left_out)
        compared = replace(compared, asked=duplicates.ask(stage, compared.asked, again))
    return compared


def _seen_by_rows(received: Received, same_rows: Mapping[int, Mapping[datetime.date, int]]) -> Received:
    """Note which import brought the rows of each file."""
    seen = []
    for number, name in enumerate(received.part_names, start=1):
        imports = sorted({*same_rows.get(number, {}).values()})
        seen += [f"{name} (import {', '.join(map(str, imports))})"] if imports else []
    recognized = replace(received.recognized, seen=(*received.recognized.seen, *seen))
    return replace(received, recognized=recognized)


def _leave_out_standing(
    stage: Stage, compared: Compared, months_of: Mapping[int, Collection[datetime.date]]
) -> Compared:
    """Of a file that adds up, take only the months whose charges were withdrawn or never made."""
    stage.choose_all()
    for number, months in months_of.items():
        stage.leave_out_of_file(number, [month_number(month) for month in months])
    kept = figures.kept_rows(stage)
    return replace(
        compared,
        counts=Counts(new=kept, unchanged=compared.counts.new - kept),
        touched=_kept_months(stage),
    )


def _ask_elsewhere(received: Received, read: Read, stage: Stage, compared: Compared) -> Compared:
    """Have somebody look at new rows that are charges of another source, or stand in several files."""
    elsewhere = duplicates.imports_elsewhere(received.source, read.totals)
    asked = compared.asked
    if not stage.is_chosen or compared.counts.new:
        others = set(elsewhere.values())
        asked = duplicates.ask(
            stage, asked, duplicates.of_other_sources(stage, received.source, others, compared.periods)
        )
        if len(loose := received.loose_files) > 1:
            asked = duplicates.ask(stage, asked, duplicates.of_several_files(stage, received.source, loose))
    return replace(compared, elsewhere=elsewhere, asked=asked)


def _match_invoices(stage: Stage, compared: Compared, found: Matched, *, only_with_resource: bool) -> Matched:
    """Know a charge again whose invoice id was filled in since, as some providers do at the end of a month.

    First what is equal in all but that, whatever the mode; then what has the same identity but for it.
    """
    if not (len(found.new) and len(found.gone)):
        return found
    periods = {month_number(month): period.pk for month, period in compared.periods.items()}
    keys = likeness.without_invoice(stage, found.new, found.gone, periods)
    return further(found, *keys, only_with_resource=only_with_resource) if keys else found


def _kept(found: Matched) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield which rows become charges, in file order, and which charge each replaces, or 0."""
    for parts in together(found.changed, found.new, found.apart):
        kept = np.concatenate(parts)
        kept = kept[np.argsort(kept["number"])]
        yield kept["number"], kept["other"]


def _kept_months(stage: Stage) -> frozenset[datetime.date]:
    return frozenset(datetime.date(month // 100, month % 100, 1) for month in figures.kept_months(stage))
