"""What a mapping makes of a file, for a page: its first records beside the rows they are from, and what is wrong."""

import contextlib
import datetime
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from ...fields import WIDE
from ...readers import FileError, Problem
from ...readers.batches import MAX_PROBLEMS
from ...readers.values import BadValue
from .cell_values import EPOCH, SECOND
from .kinds import Tally
from .mapped_rows import MappedRows, missing_columns
from .mapping import ColumnMapping, mapping_of
from .table_rows import MAX_COLUMNS, Cell, folded, open_table

# Rows of a file that are looked at, so that a page need not wait for the end of a long one.
LOOKED_AT = 1_000
# Numbers, dates and times.
_NO_HEADING = re.compile(r"[-+$(]?\d[\d.,:/ -]*(?:[ap]m)?\)?$")


@dataclass(frozen=True)
class Look:
    """A table as it is: its headings, the line of them, its first rows as texts, and the sheets of its workbook."""

    headings: tuple[str, ...]
    line: int
    rows: tuple[tuple[str, ...], ...]
    sheet: str = ""
    sheets: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreviewRecord:
    """A record: its line, the cells of its row as texts, and its values by the names of a record's fields.

    `start` and `end` are moments of the mapping's zone, and measures exact Decimals of their own unit.
    """

    line: int
    cells: tuple[str, ...]
    values: Mapping[str, Any]


@dataclass
class Preview:
    """What a mapping makes of a file. `is_whole` says whether its problems and what was left out are of all its rows.

    `units` has the unit of each measure. What cannot be read at all has problems, and neither headings nor records.
    """

    headings: tuple[str, ...] = ()
    sheet: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    records: list[PreviewRecord] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    rows: int = 0
    is_whole: bool = True


def look(path: Path, name: str = "", *, sheet: str = "", rows: int = 20) -> Look:
    """Return the headings and first rows of a table; raises FileError where there is none.

    The header is the first row, within the first 20, that has the most headings: different texts, and no numbers.
    """
    with contextlib.ExitStack() as stack:
        found = open_table(path, name, stack, lacks=_lacking, sheet=sheet, takes_best=True)
        first = tuple(tuple(map(_shown, row.cells)) for row in islice(found.rows, rows))
        return Look(found.headings, found.line, first, sheet=found.sheet, sheets=found.sheets)


def _lacking(headings: Sequence[str]) -> list[str]:
    """Return as many texts as a row lacks to the widest header."""
    filled = [folded(heading) for heading in headings if heading]
    is_header = not any(map(_NO_HEADING.match, filled))
    return [""] * (MAX_COLUMNS - len(set(filled)) * is_header)


def preview(path: Path, mapping: Mapping[str, Any], rows: int = 20, *, name: str = "") -> Preview:
    """Return the first records of a file by a mapping that a feed would have as its settings, and what is wrong.

    Nothing is raised for the file or the mapping: what is wrong with them are problems. Of a mapping, `column` names
    the setting. The first thousand rows are looked at.
    """
    result = Preview()
    try:
        chosen = mapping_of(mapping)
        with contextlib.ExitStack() as stack:
            table = open_table(
                path, name, stack, lacks=lambda headings: missing_columns(chosen, headings), sheet=chosen.sheet
            )
            result.headings, result.sheet = table.headings, table.sheet
            result.units = {each.measure.name: each.unit for each in chosen.quantities}
            tally = Tally(left_out=result.left_out, notes=result.notes)
            reader = MappedRows(table, chosen, tally)
            for row in table.rows:
                if result.rows == LOOKED_AT or len(result.problems) >= MAX_PROBLEMS:
                    result.is_whole = False
                    break
                result.rows += 1
                try:
                    record = reader.record(row)
                except (FileError, BadValue) as error:
                    result.problems += _problems(error, row.line)
                    continue
                if record is not None and len(result.records) < rows:
                    cells = tuple(map(_shown, row.cells))
                    result.records.append(PreviewRecord(row.line, cells, _values(record, chosen)))
            reader.note()
    except FileError as error:
        result.problems += error.problems
    return result


def _problems(error: FileError | BadValue, line: int) -> list[Problem]:
    if isinstance(error, FileError):
        return [Problem(each.message, line, each.column) for each in error.problems]
    return [Problem(str(error), line)]


def _values(record: tuple[Any, ...], mapping: ColumnMapping) -> dict[str, Any]:
    values = dict(zip(mapping.shape.schema.names, record, strict=True))
    for name in ("start", "end"):
        values[name] = (EPOCH + values[name] * SECOND).astimezone(mapping.dates.zone)
    for quantity in mapping.quantities:
        size = quantity.measure.units[quantity.unit]
        values[quantity.measure.name] = WIDE.divide(Decimal(values[quantity.measure.name]), Decimal(size))
    return values


def _shown(cell: Cell) -> str:
    value = cell if cell is None or isinstance(cell, str) else cell.value
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    return "" if value is None else str(value)
