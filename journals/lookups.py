"""Lookup tables: loaded as a whole, replaced as a whole, and read for the journals that are written with them."""

import datetime
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO

from django.db.models import F, Max

from billing import audit
from billing.audit import Actor
from billing.errors import BillingError
from billing.readers.cells import Kind
from billing.setup.lists import LineError, ListRefused, day_of, digest_of, read_list, require_as_shown
from billing.texts import code_of, odd_characters, quoted

from .formats.layouts import Layout
from .formats.lookups import KEYS, Key, Lookups, Row, Table
from .models import Journal, JournalLookup, LookupRow, LookupTable
from .models.lookups import BETWEEN
from .spans import Span, overlap

COLUMNS = {"table": Kind.CODE, "valid_from": Kind.DATE, "valid_until": Kind.DATE}
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
SEGMENT = re.compile(r"segments\.[A-Za-z_]\w*")
LENGTH = 200
BATCH = 2_000
# Rows that a preview names.
NAMED = 20


class LookupsRefused(ListRefused):
    """A file of lookup tables that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No lookup table was loaded."


class UnknownTable(BillingError):
    """There is no lookup table of this name."""


@dataclass(frozen=True)
class Replaced:
    """What a file changed of one table, by the keys of its rows."""

    table: str
    rows: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.table}: {self.rows:,} row{'' if self.rows == 1 else 's'} ({len(self.added):,} added, "
            f"{len(self.removed):,} removed, {len(self.changed):,} changed)"
        )


@dataclass(frozen=True)
class LoadedTables:
    """What a file changed, table by table. Tables that it does not name stay as they are."""

    tables: tuple[Replaced, ...]
    is_dry_run: bool = False

    @property
    def digest(self) -> str:
        """What is equal as long as the list would do the same."""
        return digest_of(self.tables)

    def __str__(self) -> str:
        verb = "Would replace" if self.is_dry_run else "Replaced"
        return f"{verb} {'; '.join(map(str, self.tables))}."

    @property
    def examples(self) -> list[str]:
        """What a preview names of each table."""
        found = []
        for each in self.tables:
            for verb, keys in (("adds", each.added), ("removes", each.removed), ("changes", each.changed)):
                if keys:
                    more = f" and {len(keys) - NAMED:,} more" if len(keys) > NAMED else ""
                    found.append(f"{each.table} {verb} {'; '.join(keys[:NAMED])}{more}")
        return found


@dataclass(frozen=True)
class _Line:
    """A line of the file that is right."""

    key: Key
    values: tuple[tuple[str, str], ...]
    span: Span


@dataclass(frozen=True)
class _Read:
    """A table as the file has it."""

    keys: tuple[str, ...]
    columns: tuple[str, ...]
    lines: list[_Line]


def load_lookups(
    *, file: IO[bytes], is_dry_run: bool = False, expected: str = "", actor: Actor, now: datetime.datetime
) -> LoadedTables:
    """Replace each lookup table that a CSV or Excel file names, as a whole.

    A column named like what a line says (see KEYS, and segments.NAME) is one that rows are found by; any other but
    those of COLUMNS is a value. A table has the columns in which any of its lines says something. A key may be on
    several lines, for days that do not overlap. A dry run stores nothing; with `expected`, its digest,
    nothing is stored unless the list would do just that. Raises LookupsRefused with every mistake by line and column,
    and PreviewOutdated.
    """
    rows = read_list(
        file, columns=COLUMNS, others=Kind.CODE, refused=LookupsRefused, nobody="The file names no lookup table."
    )
    with audit.gesture(actor=actor, now=now) as gesture:
        # Who loads at the same time takes turns.
        in_force = LookupTable.objects.select_for_update(no_key=True).filter(replaced_at__isnull=True)
        current = {each.name: each for each in in_force}
        done = []
        for name, read in _tables_in(rows).items():
            before = current.get(name)
            done.append(_compared(name, before, read))
            if is_dry_run:
                continue
            made = _replace(name, read, before, actor=actor, now=now)
            counts = {each: len(getattr(done[-1], each)) for each in ("added", "removed", "changed")}
            after = {"table": name, "version": made.version, "rows": made.row_count, **counts}
            gesture.record("lookup_table.loaded", made, after=after)
        loaded = LoadedTables(tuple(done), is_dry_run)
        # What was written already is undone with the transaction.
        require_as_shown(loaded.digest, expected)
        return loaded


def remove(*, name: str, actor: Actor, now: datetime.datetime) -> LookupTable:
    """Have nothing looked up in a table any more. Its versions are kept. Raises UnknownTable."""
    with audit.gesture(actor=actor, now=now) as gesture:
        found = table_named(name)
        found.replaced_at = now
        found.save(update_fields=["replaced_at"])
        gesture.record("lookup_table.removed", found, after={"table": name, "version": found.version})
        return found


def table_named(name: str) -> LookupTable:
    """Return the version of a table that is in force. Raises UnknownTable."""
    found = LookupTable.objects.filter(name=name, replaced_at__isnull=True).first()
    if found is None:
        names = ", ".join(LookupTable.objects.filter(replaced_at__isnull=True).values_list("name", flat=True))
        raise UnknownTable(f"There is no lookup table “{name}”. There are: {names or 'none yet'}.")
    return found


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
        for key, values, first, last in _rows_of(found):
            rows[key].append(Row((first, last), values))
        return Table(found.name, tuple(found.keys), tuple(found.columns), rows)


def keep_lookups(journal: Journal, lookups: Lookups) -> None:
    """Keep which versions a submitted journal's file was written with."""
    asked = lookups.asked if isinstance(lookups, KeptLookups) else []
    JournalLookup.objects.bulk_create(JournalLookup(journal=journal, table=each) for each in asked)


def _rows_of(table: LookupTable) -> Iterable[tuple[Key, dict[str, str], datetime.date | None, datetime.date | None]]:
    rows = LookupRow.objects.filter(table=table).order_by("key", F("valid_from").asc(nulls_first=True))
    for key, values, first, last in rows.values_list("key", "values", "valid_from", "valid_until"):
        yield tuple(key.split(BETWEEN)), values, first, last


# From a file -----------------------------------------------------------------------------------------


def _tables_in(rows: list[tuple[int, dict[str, str]]]) -> dict[str, _Read]:
    """Return the tables that a file has. Raises LookupsRefused."""
    errors = [
        LineError(1, name, "is no name of a column. Write it in letters a–z, digits and _")
        for name in rows[0][1]
        if name not in COLUMNS and not _is_key(name) and not NAME.fullmatch(name)
    ]
    by_table: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
    for line, row in rows:
        name = row["table"]
        if NAME.fullmatch(name):
            by_table[name].append((line, row))
        else:
            what = f"{quoted(name)} is no name of a table" if name else "is empty"
            errors.append(LineError(line, "table", f"{what}. Write it in letters a–z, digits and _"))
    found = {name: _read(name, lines, errors) for name, lines in by_table.items()}
    if errors:
        raise LookupsRefused(sorted(errors, key=lambda error: error.line))
    return found


def _is_key(name: str) -> bool:
    return name in KEYS or SEGMENT.fullmatch(name) is not None


def _read(name: str, rows: list[tuple[int, dict[str, str]]], errors: list[LineError]) -> _Read:
    said = [each for each in rows[0][1] if each not in COLUMNS and any(row.get(each) for _, row in rows)]
    keys = tuple(each for each in said if _is_key(each))
    columns = tuple(each for each in said if not _is_key(each))
    first_line = rows[0][0]
    if not keys:
        allowed = ", ".join((*KEYS, "segments.NAME"))
        errors.append(LineError(first_line, "", f"{name} has no column to find rows by. There may be: {allowed}"))
    if not columns:
        errors.append(LineError(first_line, "", f"{name} has no column of values beside those its rows are found by"))
    found: list[_Line] = []
    lines: dict[Key, list[tuple[int, Span]]] = defaultdict(list)
    for line, row in rows:
        for column in (*keys, *columns):
            _require_code(line, column, row.get(column, ""), errors, is_key=column in keys)
        key = tuple(code_of(row.get(each, "")) for each in keys)
        span = _span(line, row, errors)
        told = ", ".join(key)
        for other, days in lines[key]:
            if all(key) and overlap(span, days):
                errors.append(LineError(line, keys[0], f"{told} is on line {other} already, for days that overlap"))
                break
        lines[key].append((line, span))
        found.append(_Line(key, tuple((each, code_of(row.get(each, ""))) for each in columns), span))
    return _Read(keys, columns, found)


def _require_code(line: int, column: str, text: str, errors: list[LineError], *, is_key: bool) -> None:
    code = code_of(text)
    if is_key and not code:
        errors.append(LineError(line, column, "is empty"))
    elif odd := odd_characters(code):
        errors.append(LineError(line, column, f"{quoted(text)}: {odd}"))
    elif len(code) > LENGTH:
        errors.append(LineError(line, column, f"has more than {LENGTH} characters"))


def _span(line: int, row: Mapping[str, str], errors: list[LineError]) -> Span:
    days: list[datetime.date | None] = []
    for name in ("valid_from", "valid_until"):
        try:
            days.append(day_of(row.get(name, "")))
        except ValueError as error:
            errors.append(LineError(line, name, str(error)))
            days.append(None)
    first, last = days
    if first and last and last < first:
        errors.append(LineError(line, "valid_until", "The last day is before the first."))
        return first, None
    return first, last


def _compared(name: str, before: LookupTable | None, after: _Read) -> Replaced:
    old: dict[str, set[object]] = defaultdict(set)
    new: dict[str, set[object]] = defaultdict(set)
    for key, values, first, last in _rows_of(before) if before else ():
        old[", ".join(key)].add((tuple(sorted(values.items())), first, last))
    for each in after.lines:
        new[", ".join(each.key)].add((tuple(sorted(each.values)), *each.span))
    return Replaced(
        name,
        len(after.lines),
        added=tuple(sorted(set(new) - set(old))),
        removed=tuple(sorted(set(old) - set(new))),
        changed=tuple(sorted(key for key in set(old) & set(new) if old[key] != new[key])),
    )


def _replace(
    name: str, read: _Read, before: LookupTable | None, *, actor: Actor, now: datetime.datetime
) -> LookupTable:
    if before:
        before.replaced_at = now
        before.save(update_fields=["replaced_at"])
    latest = LookupTable.objects.filter(name=name).aggregate(latest=Max("version"))["latest"] or 0
    made = LookupTable.objects.create(
        name=name,
        version=latest + 1,
        keys=list(read.keys),
        columns=list(read.columns),
        row_count=len(read.lines),
        loaded_at=now,
        loaded_by=actor.user,
        loaded_by_name=actor.name,
    )
    LookupRow.objects.bulk_create(
        (
            LookupRow(
                table=made,
                key=BETWEEN.join(each.key),
                values=dict(each.values),
                valid_from=each.span[0],
                valid_until=each.span[1],
            )
            for each in read.lines
        ),
        batch_size=BATCH,
    )
    return made
