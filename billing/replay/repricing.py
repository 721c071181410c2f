"""Usage priced again as it was: from the files it was reduced to, the schedule and the terms, all as they were kept."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.db.models import Q

from ..errors import BillingError
from ..files.received import local_copy
from ..models import BillingPeriod, Import, PricedMonth, StoredFile
from ..usage import accounts, keeping, making, taking
from ..usage.aside import BLOCK
from ..usage.records import in_blocks
from .figures import Difference
from .recording import NotReplayable, as_stored

# What tells people which record a row is of.
RECORD = "x_UsageId"


@dataclass(frozen=True)
class Repriced:
    """What came of pricing usage again: how often it was priced, from how many files, into how many rows."""

    months: int
    files: int
    rows: int
    differences: list[Difference]

    def as_data(self) -> dict[str, Any]:
        return {"priced": self.months, "files": self.files, "rows": self.rows, "differences": len(self.differences)}

    def as_text(self) -> str:
        """What came of it, in a line; empty where nothing was priced."""
        if not self.months:
            return ""
        months = "1 month" if self.months == 1 else f"{self.months:,} pricings of months"
        files = "1 usage file" if self.files == 1 else f"{self.files:,} usage files"
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"Usage priced again as it was: {months} from {files}, {rows}."


def reprice(period: BillingPeriod, imports: Sequence[Import]) -> Repriced:
    """Price again the usage that a month's rows come from, and compare rows, workings and units with what is kept.

    Raises NotReplayable where something that it was priced from is not what it was, naming it.
    """
    wanted = Q(imported__in=imports) | Q(period=period)
    ids = set(PricedMonth.objects.filter(wanted).values_list("pk", flat=True))
    months = [each for each in keeping.pricings_of() if each.pk in ids]
    for priced, text in keeping.altered(months):
        raise NotReplayable(f"The usage of {priced} cannot be priced again: {text}")
    files, rows = set(), 0
    differences: list[Difference] = []
    for priced in months:
        for what, stored in _files_of(priced):
            as_stored(stored, what)
        files |= {each.pk for each in keeping.files_of(priced)}
        rows += priced.rows
        differences += _differing(priced)
    return Repriced(len(months), len(files), rows, differences)


def _files_of(priced: PricedMonth) -> Iterator[tuple[str, StoredFile]]:
    for each in keeping.files_of(priced):
        yield f"of usage file {each.pk}, {each.name}", each.records_file
    for what, stored in (
        ("rows", priced.focus_file),
        ("payers", priced.payers_file),
        ("workings", priced.workings_file),
    ):
        if stored:
            yield f"of {what} of {priced}", stored


def _differing(priced: PricedMonth) -> list[Difference]:
    """Return what is not the same once a month is priced again; of its rows the first that differs."""
    named = f"usage of {priced}"
    with taking.scratch() as folder:
        try:
            made = making.made(
                keeping.feed_of(priced),
                priced.period.month,
                keeping.terms_of(priced),
                keeping.files_of(priced),
                Path(folder),
                paying=keeping.paying_as_kept(priced),
            )
        except BillingError as error:
            raise NotReplayable(f"The usage of {priced} cannot be priced again: {error}") from error
        found = []
        if priced.focus_file:
            found += _first_row(named, local_copy(priced.focus_file), made.rows)
        elif made.count:
            found.append(Difference(named, "rows", "0", str(made.count)))
        if not found and priced.workings_file and not _are_equal(local_copy(priced.workings_file), made.workings):
            found.append(Difference(named, "how its rows came about", "kept so", "otherwise"))
    for figure, was, now in (
        ("units", priced.units, accounts.units_data(made.priced)),
        ("what was drawn", priced.drawn, accounts.drawn_data(made.priced)),
        ("what was used by its end", priced.used, made.priced.used.as_data()),
    ):
        if was != now:
            found.append(Difference(named, figure, str(was), str(now)))
    return found


def _plain(table: pa.Table) -> pa.Table:
    """Return a table with texts as texts: whether they are coded is not what they say."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.string()))
    return table.combine_chunks()


def _in_step(*paths: Path) -> Iterator[tuple[int, list[pa.Table]]]:
    """Yield some rows at a time of files (parquet) as far as all have them, after the place of their first."""
    first = 0
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(pq.ParquetFile(path)) for path in paths]
        blocks = [in_blocks(pa.Table.from_batches([batch]) for batch in each.iter_batches(BLOCK)) for each in files]
        for tables in zip(*blocks, strict=False):
            both = min(table.num_rows for table in tables)
            yield first, [_plain(table[:both]) for table in tables]
            first += both


def _are_equal(one: Path, other: Path) -> bool:
    """Tell whether two files have the same rows."""
    if pq.read_metadata(one).num_rows != pq.read_metadata(other).num_rows:
        return False
    return all(some.equals(others) for _, (some, others) in _in_step(one, other))


def _first_row(named: str, stored: Path, made: Path) -> list[Difference]:
    """Return the first row and column that is not the same, named by its record."""
    columns = [pq.read_schema(each).names for each in (stored, made)]
    if set(columns[0]) != set(columns[1]):
        return [Difference(named, "columns", *(", ".join(sorted(each)) for each in columns))]
    for first, (some, others) in _in_step(stored, made):
        firsts = {name: _first(some.column(name), others.column(name)) for name in columns[0]}
        differing = {name: at for name, at in firsts.items() if at is not None}
        if differing:
            at = min(differing.values())
            # Another record, before what it costs.
            name = min(
                (name for name, place in differing.items() if place == at), key=lambda each: (each != RECORD, each)
            )
            record = some.column(RECORD)[at].as_py()
            of = f"{named}, row {first + at + 1}" + (f", record {record}" if record else "")
            values = (each.column(name)[at].as_py() for each in (some, others))
            return [Difference(of, name, *("" if value is None else str(value) for value in values))]
    counts = [pq.read_metadata(each).num_rows for each in (stored, made)]
    return [Difference(named, "rows", *map(str, counts))] if counts[0] != counts[1] else []


def _first(one: pa.ChunkedArray, other: pa.ChunkedArray) -> int | None:
    """Return the first place at which two columns differ."""
    other = other.cast(one.type)
    differs = pc.fill_null(pc.not_equal(one, other), False)  # noqa: FBT003 (its only way)
    differs = pc.or_(differs, pc.xor(pc.is_null(one), pc.is_null(other)))
    places = np.flatnonzero(differs.to_numpy())
    return int(places[0]) if len(places) else None
