"""Pricing a month of a feed: all its records, by the terms of the month, into FOCUS rows that are imported.

Tiers, free amounts and caps look at a whole month, so a month is priced whole, each time anew. What changed follows
from matching rows, as for any provider: the import is a snapshot. A month that is closed changes only by late changes.
"""

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from .. import audit
from ..audit import Actor
from ..errors import BillingError
from ..files.received import local_copy
from ..importing import ImportRefused, IngestResult, ingest, withdraw
from ..models import BillingPeriod, Import, ImportedFile, Policy, PricedMonth, UsageFeed, UsageFile
from ..months import closing
from ..progress import Progress, unwatched
from ..texts import iso_month, long_month
from . import accounts, cutting, levels, taking
from .focus_rows import Issuer, focus_table
from .level_policies import LONGEST_GAP
from .paying import with_payers
from .pricing.engine import price
from .pricing.lines import Priced
from .records import Shape
from .terms import Terms, latest_of, rates_of, terms_of

# A gap between readings is bridged over the end of a month, if it is no longer.
NEAR = datetime.timedelta(days=LONGEST_GAP)


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
    files = files_of(feed, month)
    priced, table, notes = made(feed, month, terms, files, extra, progress)
    progress(2, 3, "Importing")
    result, refused = None, None
    if table.num_rows:
        result, refused = _imported(table, feed, month, dry_run=dry_run, actor=actor, now=now, progress=progress)
    elif not dry_run:
        _emptied(feed, month, actor=actor, now=now)
    kept = None
    if not dry_run:
        kept = _kept(feed, month, terms, files, priced, notes, result, refused, actor=actor, now=now)
    return PricedUsage(
        feed=feed,
        month=month,
        schedule=str(terms.schedule),
        rows=table.num_rows,
        units=accounts.units_data(priced),
        drawn=accounts.drawn_data(priced),
        notes=(*notes, *accounts.notices(priced, terms)),
        result=result,
        refused=refused,
        priced=kept,
    )


def made(
    feed: UsageFeed,
    month: datetime.date,
    terms: Terms,
    files: Sequence[UsageFile],
    extra: Sequence[Path],
    progress: Progress,
) -> tuple[Priced, pa.Table, tuple[str, ...]]:
    """Return a month priced, its FOCUS rows, and notes of what was read."""
    shape = taking.shape_of(feed)
    progress(0, 3, f"Reading usage of {long_month(month)}")
    records, shape, notes = records_of(feed, month, shape, files, extra)
    records, paying = with_payers(records, shape, feed, month)
    progress(1, 3, f"Pricing {records.num_rows:,} records")
    priced = price(
        records=records,
        shape=shape,
        payers=paying.payers,
        schedule=rates_of(terms.schedule),
        subsidies=terms.subsidies,
        balances=terms.balances,
        before=terms.before,
        month=month,
        fiscal_year_start=terms.fiscal_year_start,
        zone=ZoneInfo(feed.time_zone),
    )
    table = focus_table(
        lines=priced.lines,
        reductions=priced.reductions,
        records=records,
        tags=paying.tags,
        issuer=issuer_of(feed, month, terms),
        funds=terms.funds,
    )
    return priced, table, notes


def files_of(feed: UsageFeed, month: datetime.date) -> list[UsageFile]:
    """Return the files of a feed that may have usage of a month, oldest first; of readings, those near it, too."""
    begins, ends = (taking.moment(second) for second in taking.bounds(month, feed.time_zone))
    assert begins
    assert ends
    near = NEAR if taking.shape_of(feed).are_levels else datetime.timedelta(0)
    found = feed.files.filter(state=UsageFile.State.STANDING, first__lt=ends + near, last__gte=begins - near)
    return list(found.select_related("records_file").order_by("pk"))


def records_of(
    feed: UsageFeed, month: datetime.date, shape: Shape, files: Sequence[UsageFile], extra: Sequence[Path] = ()
) -> tuple[pa.Table, Shape, tuple[str, ...]]:
    """Return a month's records, each once and cut to the month, with their shape and notes for a person."""
    begins, ends = taking.bounds(month, feed.time_zone)
    paths = [local_copy(file.records_file) for file in files] + list(extra)
    tables = [_read(path, shape) for path in paths]
    table = cutting.standing(tables) if tables else shape.schema.empty_table()
    if not shape.are_levels:
        return cutting.within(table, shape, begins, ends), shape, ()
    policy = taking.settings_of(feed).policy
    following = (month + datetime.timedelta(days=32)).replace(day=1)
    made, notes = levels.amounts(table, shape, begin=month, end=following, policy=policy, zone=ZoneInfo(feed.time_zone))
    return made, levels.amounts_shape(shape, policy, month, following), tuple(notes)


def _read(path: Path, shape: Shape) -> pa.Table:
    table = pq.read_table(path)
    missing = [name for name in shape.schema.names if name not in table.column_names]
    if missing:
        raise BillingError(
            f"Usage that was read before lacks {', '.join(missing)}: the feed's settings changed since. "
            "Withdraw its files and read them again."
        )
    return table.select(shape.schema.names).cast(shape.schema)


def issuer_of(feed: UsageFeed, month: datetime.date, terms: Terms) -> Issuer:
    """Return what the rows of a feed's month say of where they come from."""
    policy = Policy.objects.current()
    begins, ends = taking.bounds(month, "UTC")
    return Issuer(
        account=feed.name,
        account_name=feed.label,
        currency=policy.currency,
        issuer=policy.institution,
        provider=str(feed.settings.get("provider") or policy.institution),
        service_category=str(feed.settings.get("service_category") or taking.kind_of(feed).service_category),
        schedule=str(terms.schedule),
        begins=begins,
        ends=ends,
    )


def _imported(
    table: pa.Table,
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
    with taking.scratch() as folder:
        path = Path(folder) / f"{feed.name}_{iso_month(month)}.parquet"
        pq.write_table(table, path, compression="zstd", store_schema=False)
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
    priced: Priced,
    notes: Sequence[str],
    result: IngestResult | None,
    refused: ImportRefused | None,
    *,
    actor: Actor,
    now: datetime.datetime,
) -> PricedMonth:
    """Keep by what the month was priced, and which import came of it."""
    imported = (result.deferred or result.imported) if result else refused.imported if refused else None
    stored = ImportedFile.objects.filter(imported_in=imported).select_related("file").first() if imported else None
    previous = latest_of(feed, month)
    if imported is None or stored is None:
        # Nothing was new: the same rows stand, from an earlier import.
        stored_file, imported = (previous.focus_file, previous.imported) if previous else (None, None)
    else:
        stored_file = stored.file
    told = accounts.terms_data(terms)
    digest = hashlib.sha256(
        json.dumps(
            [terms.schedule.pk, told, sorted(file.original_sha256 for file in files), priced.used.as_data()],
            sort_keys=True,
        ).encode()
    ).hexdigest()
    with audit.gesture(actor=actor, now=now) as gesture:
        period = closing.ensure_period(month=month, actor=actor, now=now)
        if previous and previous.digest == digest and (imported == previous.imported or _changed_nothing(result)):
            return previous
        kept = PricedMonth(
            feed=feed,
            period=period,
            schedule=terms.schedule,
            digest=digest,
            terms=told,
            used=priced.used.as_data(),
            units=accounts.units_data(priced),
            drawn=accounts.drawn_data(priced),
            notes=[*notes, *accounts.notices(priced, terms)],
            rows=priced.lines.num_rows,
            focus_file=stored_file,
            imported=imported,
            priced_at=now,
            priced_by_name=actor.name,
        )
        kept.save()
        kept.files.set(files)
        gesture.record(
            "usage.priced",
            kept,
            after={"feed": feed.name, "period": iso_month(month), "schedule": str(terms.schedule), "rows": kept.rows},
        )
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
