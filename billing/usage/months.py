"""Pricing a month of a feed: all its records, by the terms of the month, into FOCUS rows that are imported.

Tiers, free amounts and caps look at a whole month, so a month is priced whole, each time anew. What changed follows
from matching rows, as for any provider: the import is a snapshot. A month that is closed changes only by late changes.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import audit
from ..audit import Actor
from ..importing import ImportRefused, IngestResult, ingest, withdraw
from ..models import BillingPeriod, Import, PricedMonth, UsageFeed, UsageFile
from ..months import closing
from ..progress import Progress, unwatched
from ..texts import iso_month, long_month
from . import accounts, keeping, making, taking
from .keeping import KeptFiles
from .making import Made
from .terms import Terms, latest_of, terms_of


@dataclass(frozen=True)
class PricedUsage:
    """What pricing a month came to: `result` is that of its import, None where there was nothing to import."""

    feed: UsageFeed
    month: datetime.date
    schedule: str
    rows: int
    units: list[dict[str, Any]]
    drawn: list[dict[str, Any]]
    notes: tuple[str, ...]
    result: IngestResult | None
    refused: ImportRefused | None = None
    priced: PricedMonth | None = None

    def as_data(self) -> dict[str, Any]:
        """What it came to, as --json has it."""
        imported = self.result.as_data() if self.result else self.refused.result if self.refused else None
        return {
            "feed": self.feed.name,
            "period": iso_month(self.month),
            "schedule": self.schedule,
            "rows": self.rows,
            "units": self.units,
            "drawn": self.drawn,
            "notes": list(self.notes),
            "import": imported,
        }

    @property
    def headline(self) -> str:
        """What it came to, in a line."""
        charges = f"{self.rows:,} charge{'' if self.rows == 1 else 's'}"
        return f"{self.feed.label}, {long_month(self.month)}: {charges} by {self.schedule}."

    def as_text(self) -> str:
        """What it came to, for a person."""
        lines = [self.headline]
        lines += [f"  {line}" for line in map(accounts.units_line, self.units)]
        lines += [f"  {note}" for note in self.notes]
        if self.result:
            lines.append(self.result.as_text())
        if self.refused:
            lines.append(str(self.refused))
        return "\n".join(lines)


def run(
    *,
    feed: UsageFeed,
    month: datetime.date,
    extra: Sequence[Path] = (),
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> PricedUsage:
    """Price a month of a feed and import its charges; a dry run stores nothing, and counts the records of `extra` too.

    Raises NoSchedule, ScheduleNotUnderstood, BadSettings, what pricing cannot do, and what refuses an import.
    """
    terms = terms_of(feed, month)
    files = making.files_of(feed, month)
    acting: dict[str, Any] = {"actor": actor, "now": now}
    result, refused, kept = None, None, None
    with taking.scratch() as scratch:
        made = making.made(feed, month, terms, files, Path(scratch), extra=extra, progress=progress)
        progress(2, 3, "Importing")
        if made.count:
            result, refused = _imported(made.rows, feed, month, dry_run=dry_run, progress=progress, **acting)
        elif not dry_run:
            _emptied(feed, month, **acting)
        if not dry_run:
            stored = keeping.keep_files(made, Path(scratch), now=now)
            kept = _kept(feed, month, terms, files, made, stored, result, refused, **acting)
    return PricedUsage(
        feed=feed,
        month=month,
        schedule=str(terms.schedule),
        rows=made.count,
        units=accounts.units_data(made.priced),
        drawn=accounts.drawn_data(made.priced),
        notes=_notes(made, terms),
        result=result,
        refused=refused,
        priced=kept,
    )


def _notes(made: Made, terms: Terms) -> tuple[str, ...]:
    return (*made.notes, *accounts.notices(made.priced, terms))


def _imported(
    path: Path,
    feed: UsageFeed,
    month: datetime.date,
    *,
    dry_run: bool,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress,
) -> tuple[IngestResult | None, ImportRefused | None]:
    """Import the rows of a month; an import that waits for an answer is one that was made.

    The rows are made of everything that was ever read of the month. So what they lack is gone, and nobody is asked.
    """
    try:
        result = ingest(
            paths=[path],
            names=[path.name],
            source=feed.source,
            period=iso_month(month),
            dry_run=dry_run,
            replace=True,
            force=True,
            beside=False,
            actor=actor,
            now=now,
            progress=progress,
        )
    except ImportRefused as refused:
        if not refused.waits:
            raise
        return None, refused
    return result, None


def _emptied(feed: UsageFeed, month: datetime.date, *, actor: Actor, now: datetime.datetime) -> None:
    """Withdraw what was imported of a month that has no usage left, the latest first.

    Raises NotWithdrawable, or PeriodClosed.
    """
    of_month = Import.objects.filter(priced_usage__feed=feed, priced_usage__period__month=month)
    for imported in of_month.filter(state=Import.State.APPLIED).distinct().order_by("-pk"):
        withdraw(imported=imported, actor=actor, now=now)


def _kept(
    feed: UsageFeed,
    month: datetime.date,
    terms: Terms,
    files: Sequence[UsageFile],
    made: Made,
    stored: KeptFiles,
    result: IngestResult | None,
    refused: ImportRefused | None,
    *,
    actor: Actor,
    now: datetime.datetime,
) -> PricedMonth:
    """Keep by what the month was priced, and which import came of it."""
    imported = (result.deferred or result.imported) if result else refused.imported if refused else None
    previous = latest_of(feed, month)
    if imported is None and previous:
        # Nothing was new: the same rows stand, from an earlier import.
        imported = previous.imported
    with audit.gesture(actor=actor, now=now) as gesture:
        kept = PricedMonth(
            feed=feed,
            period=closing.ensure_period(month=month, actor=actor, now=now),
            schedule=terms.schedule,
            before=terms.came_after,
            terms=keeping.terms_data(feed, terms),
            used=made.priced.used.as_data(),
            units=accounts.units_data(made.priced),
            drawn=accounts.drawn_data(made.priced),
            notes=list(_notes(made, terms)),
            rows=made.count,
            focus_file=stored.rows,
            payers_file=stored.payers,
            workings_file=stored.workings,
            imported=imported,
            priced_at=now,
            priced_by_name=actor.name,
        )
        kept.digests = keeping.digests_of(kept, files)
        kept.digest = keeping.digest_of(kept.digests)
        if previous and previous.digest == kept.digest and (imported == previous.imported or _changed_nothing(result)):
            return previous
        kept.save()
        kept.files.set(files)
        after = {"feed": feed.name, "period": iso_month(month), "schedule": str(terms.schedule), "rows": kept.rows}
        gesture.record(keeping.PRICED, kept, after={**after, "digest": kept.digest})
    return kept


def _changed_nothing(result: IngestResult | None) -> bool:
    return result is not None and not (result.counts.new or result.counts.changed or result.counts.withdrawn)


def following(feed: UsageFeed, months: Sequence[datetime.date]) -> list[datetime.date]:
    """Return months, and those that were priced after the first of them and still take changes: they build on it."""
    if not months:
        return []
    later = PricedMonth.objects.filter(
        feed=feed,
        period__month__gt=min(months),
        period__status__in=(BillingPeriod.Status.OPEN, BillingPeriod.Status.REVIEW),
    )
    return sorted({*months, *later.values_list("period__month", flat=True)})


def bridged(feed: UsageFeed, months: Sequence[datetime.date]) -> list[datetime.date]:
    """Return the months before these that were priced when no later reading was there: a gap at their end ends now."""
    if not taking.shape_of(feed).are_levels:
        return []
    found = []
    for month in months:
        before = (month - datetime.timedelta(days=1)).replace(day=1)
        priced = latest_of(feed, before) if before not in months else None
        begins = taking.moment(taking.bounds(month, feed.time_zone)[0])
        if priced and not priced.files.filter(state=UsageFile.State.STANDING, last__gte=begins).exists():
            found.append(before)
    return found
