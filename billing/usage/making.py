"""The rows of a month, made of its records by its terms: when it is priced, and again when that is checked."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BillingError
from ..files.received import local_copy
from ..models import UsageFeed, UsageFile
from ..progress import Progress, unwatched
from ..texts import long_month
from . import cutting, levels, taking
from .focus_rows import focus_table
from .funders import with_funders
from .level_policies import LONGEST_GAP
from .paying import Paying, with_payers, with_payers_as
from .pricing.engine import price
from .pricing.lines import Priced
from .records import Shape
from .terms import Terms, rates_of

# A gap between readings is bridged over the end of a month, if it is no longer.
NEAR = datetime.timedelta(days=LONGEST_GAP)


@dataclass(frozen=True)
class Made:
    """A month priced, its FOCUS rows, how each came about, who pays, and notes of what was read."""

    priced: Priced
    rows: pa.Table
    workings: pa.Table
    paying: Paying
    notes: tuple[str, ...]


def made(
    feed: UsageFeed,
    month: datetime.date,
    terms: Terms,
    files: Sequence[UsageFile],
    *,
    extra: Sequence[Path] = (),
    paying: Paying | None = None,
    progress: Progress = unwatched,
) -> Made:
    """Price a month; `paying` says who pays, where that is not to be found anew. Raises what `price` does."""
    shape = taking.shape_of(feed)
    progress(0, 3, f"Reading usage of {long_month(month)}")
    records, shape, notes = records_of(feed, month, shape, files, extra)
    if paying is None:
        records, paying = with_payers(records, shape, feed, month)
    else:
        records = with_payers_as(records, paying)
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
    lines = with_funders(priced.lines, priced.reductions, terms.funds)
    rows = focus_table(lines=lines, records=records, tags=paying.tags, issuer=terms.issuer)
    workings = priced.workings
    if lines.num_rows > workings.num_rows:
        # What further fund/orgs pay of a line came about with it.
        workings = workings.take(lines.column("line"))
    for name in ("rate", "rate_class", "kind", "fund_org"):
        workings = workings.append_column(name, lines.column(name))
    return Made(priced, rows, workings, paying, notes)


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
