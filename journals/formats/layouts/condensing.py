"""The lines of a file: one for each journal line, or one for several, in the file only.

Lines are only ever put together with lines of the same side (debits are never netted against credits), of the same
month, and of the same class: charges, late changes, funded subsidies and each kind of correction stay by themselves.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from operator import attrgetter
from typing import Any

from ..documents import Line
from .terms import Condense

# Kinds of payer lines that are ordinary charges; any other is a class of its own.
CHARGES = frozenset({"charge", "shared", "charged_to_center"})

Group = tuple[int, ...]


@dataclass(frozen=True)
class FileLine:
    """A line of a file for the ledger, and the journal lines it stands for."""

    number: int
    lines: tuple[Line, ...]

    @cached_property
    def debit(self) -> Decimal:
        return sum((line.debit for line in self.lines[1:]), self.lines[0].debit)

    @cached_property
    def credit(self) -> Decimal:
        return sum((line.credit for line in self.lines[1:]), self.lines[0].credit)

    @property
    def is_debit(self) -> bool:
        return bool(self.debit)

    @property
    def is_payer(self) -> bool:
        return self.lines[0].is_payer

    @property
    def numbers(self) -> Group:
        """The numbers of its journal lines."""
        return tuple(line.number for line in self.lines)

    def common(self, name: str) -> Any:
        """Return what all of its journal lines say; "" where they differ."""
        first = getattr(self.lines[0], name)
        return first if all(getattr(line, name) == first for line in self.lines[1:]) else ""


def condensed(lines: Iterable[Line], condense: Condense) -> list[FileLine]:
    """Return the lines of a file, payers before recoveries where any are put together, else in the journal's order."""
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(_key(line, condense), []).append(line)
    found: Sequence[list[Line]] = list(groups.values())
    if condense.is_any:
        found = sorted(found, key=lambda group: not group[0].is_payer)
    return _numbered(found)


def regrouped(lines: Iterable[Line], groups: Iterable[Group]) -> list[FileLine]:
    """Return the lines of a file that was written before, by the numbers of their journal lines."""
    by_number = {line.number: line for line in lines}
    return _numbered([[by_number[number] for number in group] for group in groups])


def _numbered(groups: Iterable[Sequence[Line]]) -> list[FileLine]:
    return [FileLine(number, tuple(group)) for number, group in enumerate(groups, 1)]


_CHARTSTRING = attrgetter("fund_org", "natural_account")
_BY: dict[str, Callable[[Line], tuple[Any, ...]]] = {
    "chartstring": _CHARTSTRING,
    "chartstring_and_reference": attrgetter("fund_org", "natural_account", "reference"),
    "chartstring_and_source": attrgetter("fund_org", "natural_account", "source"),
    "source": attrgetter("source", "fund_org", "natural_account"),
}


def _key(line: Line, condense: Condense) -> tuple[Any, ...]:
    by = condense.payers if line.is_payer else condense.recoveries
    if by == "line":
        return (line.number,)
    # An award's auditor reads its statement: what it was charged stays one line for each.
    own = line.reference if line.is_payer and line.is_sponsored and condense.sponsored == "statement" else ""
    kind = "charge" if line.kind in CHARGES else line.kind
    return (line.is_payer, bool(line.debit), line.month, kind, by, _BY[by](line), own)
