"""Rows by the names of their fields, whether the file has them as a table or as JSON."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...readers import UnreadableFile
from ...readers.cells import Kind as CellKind
from ...readers.cells import text_of_cell
from ...readers.values import BadValue
from .json_rows import JsonRows, begins_json
from .table_rows import Cell, folded, open_table


@dataclass(frozen=True)
class FieldRow:
    """A row: its line, what else there is to say of where it is, and its values by the names of fields."""

    line: int
    place: str
    value: Mapping[str, Any]


@dataclass
class FieldRows:
    """The rows of a file by the names of their fields; a table needs a column for one of each group of `needed`.

    `lists` and `pages` are those of JsonRows. Names of a table's columns are as headings are compared (see `folded`),
    and those of JSON as they stand. Iterating raises UnreadableFile.
    """

    path: Path
    name: str
    needed: Collection[tuple[str, ...]]
    lists: Collection[str] = ()
    pages: list[dict[str, Any]] = field(default_factory=list)

    def __iter__(self) -> Iterator[FieldRow]:
        if begins_json(self.path):
            for row in JsonRows(self.path, lists=self.lists, pages=self.pages):
                yield FieldRow(row.line, row.place, row.value)
            return
        with contextlib.ExitStack() as stack:
            table = open_table(self.path, self.name, stack, lacks=self._lacking)
            positions = table.positions()
            for each in table.rows:
                yield FieldRow(
                    each.line, "", {name: _text_of(each.cells[at], name, each.line) for name, at in positions.items()}
                )

    def _lacking(self, headings: Collection[str]) -> list[str]:
        found = set(map(folded, headings))
        return [names[0] for names in self.needed if found.isdisjoint(map(folded, names))]


def _text_of(cell: Cell, name: str, line: int) -> str:
    try:
        return text_of_cell(cell, CellKind.TEXT)
    except BadValue as error:
        raise UnreadableFile(str(error), line=line, column=name) from None
