"""The rows of a month, made of its records by its terms: when it is priced, and again when that is checked."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from ..files.received import local_copy
from ..models import UsageFeed, UsageFile
from ..progress import Progress, unwatched
from ..texts import iso_month, long_month
from . import cutting, file_records, levels, taking
from .aside import Aside
from .focus_rows import NEEDED, focus_table
from .funders import with_funders
from .level_policies import LONGEST_GAP
from .paying import Paying, payers_as, payers_of
from .pricing.engine import Priced, price
from .records import Records, RecordsInMemory, Shape
from .terms import Terms, rates_of

# A gap between readings is bridged over the end of a month, if it is no longer.
NEAR = datetime.timedelta(days=LONGEST_GAP)
GONE = "Of earlier files, {} count no more: a later file of the same time does not have them."
# Rows that are read at once, where one of a million is asked for.
GROUP_ROWS = 16_384


@dataclass(frozen=True)
class Made:
    """A month priced, its FOCUS rows, how each came about, who pays, and notes of what was read.

    `rows` and `workings` are files (parquet) of `count` rows in the folder that was given.
    """

    priced: Priced
    count: int
    rows: Path
    workings: Path
    paying: Paying
    notes: tuple[str, ...]


def made(
    feed: UsageFeed,
    month: datetime.date,
    terms: Terms,
    files: Sequence[UsageFile],
    into: Path,
    *,
    extra: Sequence[Path] = (),
    paying: Paying | None = None,
    progress: Progress = unwatched,
) -> Made:
    """Price a month, and write its rows into a folder. Raises what `price` does.

    `paying` says who pays, where that is not to be found anew.
    """
    shape = taking.shape_of(feed)
    progress(0, 3, f"Reading usage of {long_month(month)}")
    records, shape, notes = records_of(feed, month, shape, files, into, extra)
    paid = payers_of(records, feed, month) if paying is None else payers_as(records, paying)
    progress(1, 3, f"Pricing {long_month(month)}")
    priced = price(
        records=paid,
        shape=shape,
        payers=paid.paying.payers,
        schedule=rates_of(terms.schedule),
        subsidies=terms.subsidies,
        balances=terms.balances,
        before=terms.before,
        month=month,
        fiscal_year_start=terms.fiscal_year_start,
        zone=ZoneInfo(feed.time_zone),
        scratch=into,
    )
    rows, workings = into / f"{feed.name}_{iso_month(month)}.parquet", into / "workings.parquet"
    with _Files(rows, workings) as written:
        for some_rows, some_workings in _tables(priced, terms, paid.paying, into):
            written.write(some_rows, some_workings)
    return Made(priced, written.count, rows, workings, paid.paying, notes)


def _tables(priced: Priced, terms: Terms, paying: Paying, scratch: Path) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield FOCUS rows with their workings: first those of all lines, then what further fund/orgs pay of them."""
    further, workings = Aside(scratch), Aside(scratch)
    for block in priced.blocks(NEEDED):
        own, others = with_funders(block.of.lines, block.of.reductions)
        # What further fund/orgs pay of a line came about with it.
        of_others = block.of.workings.take(others.column("line"))
        for lines, how, aside in ((own, block.of.workings, None), (others, of_others, (further, workings))):
            rows = focus_table(lines=lines, records=block.records, tags=paying.tags, issuer=terms.issuer)
            for name in ("rate", "rate_class", "kind", "fund_org"):
                how = how.append_column(name, lines.column(name))
            if aside is None:
                yield rows, how
            else:
                aside[0].put(0, rows)
                aside[1].put(0, how)
    yield from zip(further.pieces(0), workings.pieces(0), strict=True)


class _Files:
    """The files that rows and their workings are written to, so that one of a million is found at once."""

    def __init__(self, *paths: Path) -> None:
        self.paths, self.count = paths, 0
        self._writers: list[pq.ParquetWriter] = []

    def __enter__(self) -> "_Files":
        return self

    def write(self, rows: pa.Table, workings: pa.Table) -> None:
        """Append rows and how they came about."""
        if not self._writers:
            self._writers = [
                pq.ParquetWriter(path, table.schema, compression="zstd", store_schema=table is workings)
                for path, table in zip(self.paths, (rows, workings), strict=True)
            ]
        for writer, table, size in zip(self._writers, (rows, workings), (4 * GROUP_ROWS, GROUP_ROWS), strict=True):
            writer.write_table(table, row_group_size=size)
        self.count += rows.num_rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers:
            writer.close()


def files_of(feed: UsageFeed, month: datetime.date) -> list[UsageFile]:
    """Return the files of a feed that may have usage of a month, oldest first; of readings, those near it, too."""
    begins, ends = (taking.moment(second) for second in taking.bounds(month, feed.time_zone))
    assert begins
    assert ends
    near = NEAR if taking.shape_of(feed).are_levels else datetime.timedelta(0)
    standing = feed.files.filter(state=UsageFile.State.STANDING).select_related("records_file").order_by("pk")
    found = list(standing.filter(first__lt=ends + near, last__gte=begins - near))
    if found and taking.shape_of(feed).are_whole:
        # What these have from before the month may be gone by files that end before it.
        earliest = min(file.first for file in found if file.first)
        found = list(standing.filter(first__lt=ends + near, last__gte=min(earliest, begins - near)))
    return found


def records_of(
    feed: UsageFeed,
    month: datetime.date,
    shape: Shape,
    files: Sequence[UsageFile],
    scratch: Path,
    extra: Sequence[Path] = (),
) -> tuple[Records, Shape, tuple[str, ...]]:
    """Return a month's records, each once and cut to the month, with their shape and notes for a person."""
    begins, ends = taking.bounds(month, feed.time_zone)
    paths = [local_copy(file.records_file) for file in files] + list(extra)
    number = file_records.gone(paths, shape, begins, ends)
    left_out = (GONE.format("1 record" if number == 1 else f"{number:,} records"),) if number else ()
    if not shape.are_levels:
        return file_records.RecordsOfFiles(paths, shape, begins, ends, scratch), shape, left_out
    table = cutting.standing([shape.schema.empty_table(), *file_records.read(paths, shape, shape.schema.names)])
    policy = taking.settings_of(feed).policy
    following = (month + datetime.timedelta(days=32)).replace(day=1)
    amounts, notes = levels.amounts(
        table, shape, begin=month, end=following, policy=policy, zone=ZoneInfo(feed.time_zone)
    )
    return RecordsInMemory(amounts), levels.amounts_shape(shape, policy, month, following), (*left_out, *notes)
