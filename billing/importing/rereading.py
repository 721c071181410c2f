"""Reading the stored files of an import once more, to look at their rows; nothing is changed."""

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from ..audit import Actor
from ..fields import moment_of
from ..models import Import
from ..readers import FileError
from ..readers.columns import AMOUNTS
from ..readers.dimensions import DIMENSIONS, FIELDS
from ..readers.facts import FACTS
from . import reading, receiving
from .outcomes import ImportRefused, error_of
from .standing import Recognized

if TYPE_CHECKING:
    from .converting import Converted

# A file and a line of an import, by their numbers.
Place = tuple[int, int]


class ReadRow(NamedTuple):
    """A row of a stored file as it would become a charge; amounts in units of 10⁻⁸, as `AMOUNTS` orders them."""

    file_number: int
    line_number: int
    month: int
    currency: str
    content_hash: bytes
    units: tuple[int | None, ...]


class _AllRows:
    """Gathers all rows."""

    def __init__(self) -> None:
        self.rows: list[ReadRow] = []

    def add(self, converted: "Converted") -> None:
        of = dict(zip(FACTS, converted.said.columns, strict=True))
        amounts = zip(*(of[field] for field in AMOUNTS.values()), strict=True)
        self.rows += map(
            ReadRow,
            converted.file_numbers,
            of["line_number"],
            converted.months.tolist(),
            of["currency"],
            of["content_hash"],
            amounts,
        )


class _FactsAt:
    """Gathers all that the rows at some places say."""

    def __init__(self, places: Collection[Place]) -> None:
        self.places = places
        self.facts: dict[Place, dict[str, Any]] = {}
        # The texts of dimensions, by their numbers.
        self.texts: dict[str, dict[int, tuple[str, ...]]] = {name: {} for name in DIMENSIONS}

    def add(self, converted: "Converted") -> None:
        of = dict(zip(FACTS, converted.said.columns, strict=True))
        for name, new in converted.said.dimensions.items():
            self.texts[name].update({each.number: each.texts for each in new})
        for row, place in enumerate(zip(converted.file_numbers, of["line_number"], strict=True)):
            if place in self.places:
                self.facts[place] = self._said({name: column[row] for name, column in of.items()})

    def _said(self, facts: dict[str, Any]) -> dict[str, Any]:
        for name, fields in FIELDS.items():
            facts |= dict(zip(fields, self.texts[name][facts.pop(name)], strict=True))
        for name in ("charge_period_start", "charge_period_end"):
            facts[name] = moment_of(facts[name])
        return facts


def reread(imported: Import) -> list[ReadRow]:
    """Return the rows of the stored files of an import.

    Raises ImportRefused where they cannot be read any more.
    """
    found = _AllRows()
    _read(imported, found)
    return found.rows


def facts_of(imported: Import, places: Collection[Place]) -> dict[Place, dict[str, Any]]:
    """Return all that these lines of the stored files of an import say, as the fields of Charge are named.

    Amounts are units of 10⁻⁸. Raises ImportRefused.
    """
    found = _FactsAt(places)
    _read(imported, found)
    return found.facts


def _read(imported: Import, rows: reading.Rows) -> None:
    try:
        # Nothing is done in anybody's name.
        received = receiving.again(imported, actor=Actor(name="", via=""), now=imported.created_at)
        # A file that was imported before was passed over; its rows are another import's.
        passed_over = frozenset(imported.imported_files.filter(rows=0).values_list("number", flat=True))
        reading.read(dataclasses.replace(received, recognized=Recognized(skipped=passed_over)), rows)
    except FileError as error:
        raise ImportRefused([error_of(str(error))], imported) from error
