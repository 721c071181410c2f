"""Lookup tables: what a file has of them, and how they are read for the journals that are written with them."""

import datetime
import re
from collections import defaultdict
from functools import partial
from typing import IO

from billing.readers.cells import Kind
from billing.setup.lists import ListRefused, read_list
from billing.texts import quoted

from . import ledger_lists
from .formats.layouts import Layout
from .formats.lookups import KEYS, Key, Lookups, Row, Table
from .ledger_lists import ListKind, Reading
from .models import Journal, JournalLookup, LookupRow, LookupTable
from .models.lookups import BETWEEN

COLUMNS = {"table": Kind.CODE, "valid_from": Kind.DATE, "valid_until": Kind.DATE}
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
SEGMENT = re.compile(r"segments\.[A-Za-z_]\w*")
LENGTH = 200


class LookupsRefused(ListRefused):
    """A file of lookup tables that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No lookup table was loaded."


def problems_of(layout: Layout) -> list[str]:
    """Return which lookup tables and columns a layout asks for that are not there, in sentences."""
    tables = {each.name: each for each in LookupTable.objects.filter(replaced_at__isnull=True)}
    found = []
    for name in layout.lookups:
        table, _, column = name.partition(".")
        if table not in tables:
            found.append(f"There is no lookup table {table}. There are: {', '.join(sorted(tables)) or 'none yet'}.")
        elif column not in tables[table].columns:
            has = ", ".join(tables[table].columns)
            found.append(f"The lookup table {table} has no column {column}. It has: {has}.")
    return list(dict.fromkeys(found))


# Read for a journal ----------------------------------------------------------------------------------


def lookups_for(journal: Journal) -> Lookups:
    """Return what a journal is written with: of one whose file is kept, the versions that was written with.

    A reversal looks up what its journal did, on the day of that, so that it undoes it on the same worktags.
    """
    written = journal if journal.file_sha256 and journal.state != Journal.State.DRAFT else journal.reverses
    return KeptLookups((journal.reverses or journal).posting_date, written)


def sample_lookups() -> Lookups:
    """Return what a made-up journal is written with: values of any row of the tables in force."""
    return KeptLookups(datetime.date.min, is_sample=True)


class KeptLookups(Lookups):
    """Lookups in the tables of the database: as a journal was `written` with them, else those in force.

    `asked` are the versions that were read.
    """

    def __init__(self, day: datetime.date, written: Journal | None = None, *, is_sample: bool = False) -> None:
        super().__init__(day, self._read_table, is_sample)
        self._written = written
        self.asked: list[LookupTable] = []

    def _read_table(self, name: str) -> Table | None:
        tables = LookupTable.objects.filter(name=name)
        found = tables.filter(journals__journal=self._written).first() if self._written else None
        found = found or tables.filter(replaced_at__isnull=True).first()
        if found is None:
            return None
        self.asked.append(found)
        rows: dict[Key, list[Row]] = defaultdict(list)
        for line in LOOKUPS.content_of(found).lines:
            rows[tuple(line.fields["key"].split(BETWEEN))].append(Row(line.span, line.fields["values"]))
        return Table(found.name, tuple(found.keys), tuple(found.columns), rows)


def keep_lookups(journal: Journal, lookups: Lookups) -> None:
    """Keep which versions a submitted journal's file was written with."""
    asked = lookups.asked if isinstance(lookups, KeptLookups) else []
    JournalLookup.objects.bulk_create(JournalLookup(journal=journal, table=each) for each in asked)


# From a file -----------------------------------------------------------------------------------------


def _read(file: IO[bytes]) -> Reading:
    """Read the tables that a file names.

    A column named like what a line says (see KEYS, and segments.NAME) is one that rows are found by; any other but
    those of COLUMNS is a value. A table has the columns in which any of its lines says something.
    """
    rows = read_list(
        file, columns=COLUMNS, others=Kind.CODE, refused=LookupsRefused, nobody="The file names no lookup table."
    )
    reading = Reading()
    for name in rows[0][1]:
        if name not in COLUMNS and not _is_key(name) and not NAME.fullmatch(name):
            reading.refuse(1, name, "is no name of a column. Write it in letters a–z, digits and _")
    by_table: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
    for line, row in rows:
        name = row["table"]
        if NAME.fullmatch(name):
            by_table[name].append((line, row))
        else:
            what = f"{quoted(name)} is no name of a table" if name else "is empty"
            reading.refuse(line, "table", f"{what}. Write it in letters a–z, digits and _")
    for name, lines in by_table.items():
        _read_table(reading, name, lines)
    return reading


def _is_key(name: str) -> bool:
    return name in KEYS or SEGMENT.fullmatch(name) is not None


def _read_table(reading: Reading, name: str, rows: list[tuple[int, dict[str, str]]]) -> None:
    said = [each for each in rows[0][1] if each not in COLUMNS and any(row.get(each) for _, row in rows)]
    keys = [each for each in said if _is_key(each)]
    columns = [each for each in said if not _is_key(each)]
    first_line = rows[0][0]
    if not keys:
        allowed = ", ".join((*KEYS, "segments.NAME"))
        reading.refuse(first_line, "", f"{name} has no column to find rows by. There may be: {allowed}")
    if not columns:
        reading.refuse(first_line, "", f"{name} has no column of values beside those its rows are found by")
    reading.lists[name].fields = {"keys": keys, "columns": columns}
    for line, row in rows:
        key = [reading.code(line, each, row.get(each, ""), length=LENGTH) for each in keys]
        values = {each: reading.code(line, each, row.get(each, ""), length=LENGTH, is_must=False) for each in columns}
        fields = {"key": BETWEEN.join(key), "values": values}
        column = keys[0] if keys else ""
        reading.take(name, line, row, column=column, told=", ".join(key), is_whole=all(key), fields=fields)


LOOKUPS = ListKind(
    versions=LookupTable,
    rows=LookupRow,
    fields=("key", "values"),
    told=lambda row: row["key"].replace(BETWEEN, ", "),
    read=_read,
    refused=LookupsRefused,
    event="lookup_table",
    what="table",
    nouns=("row", "rows"),
    called="lookup table",
    between="; ",
)
load_lookups = partial(ledger_lists.load, LOOKUPS)
remove = partial(ledger_lists.remove, LOOKUPS)
