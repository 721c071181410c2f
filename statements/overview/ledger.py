"""Where the lines of a statement are in the general ledger: which journals post them, under which document."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from billing import tracing
from billing.money import ZERO

from ..models import Statement


@dataclass
class InJournal:
    """A journal in the ledger's hands that holds lines of a statement, by their numbers, and what it posts of them."""

    number: str
    state: str
    # As the ledger numbers what it posted; "" until it has answered.
    document: str
    lines: list[int] = field(default_factory=list)
    amount: Decimal = ZERO
    # What these lines are, "" for all there are.
    told: str = ""


@dataclass(frozen=True)
class Ledger:
    journals: tuple[InJournal, ...]
    # The numbers of lines that no journal holds yet, and of those that none ever will.
    missing: tuple[int, ...]
    never: tuple[int, ...]
    # What each line is, by its number.
    names: dict[int, str]

    @property
    def missing_told(self) -> str:
        return _told(self.missing, self.names)

    @property
    def never_told(self) -> str:
        return _told(self.never, self.names)

    @property
    def posted(self) -> Decimal:
        return sum((journal.amount for journal in self.journals), ZERO)


def in_ledger(statement: Statement) -> Ledger:
    """Return which journals of its month hold the lines of a statement. A later journal holds what changed since."""
    lines = list(statement.lines.all())
    showback = set(statement.document.get("showback", ()))
    never = {line.number for line in lines if line.source_name in showback}
    numbers = {line.payer_key: line.number for line in lines}
    journals: dict[str, InJournal] = {}
    amounts: dict[int, Decimal] = defaultdict(Decimal)
    for held in tracing.holding(statement.period, sorted(numbers)):
        if held.kind != "journal" or not held.stands or not held.is_payer:
            continue
        journal = journals.setdefault(held.number, InJournal(held.number, held.state, held.document))
        number = numbers[held.payer_key]
        journal.lines = sorted({*journal.lines, number})
        journal.amount += held.amount
        amounts[number] += held.amount
    # Of a line that was revised since, the difference is still to be posted.
    missing = [line.number for line in lines if line.number not in never and amounts[line.number] != line.charged]
    has_funds = len({line.fund_org for line in lines}) > 1
    names = {
        line.number: f"{line.what or line.source_label}{f' ({line.fund_org})' if has_funds else ''}" for line in lines
    }
    for journal in journals.values():
        journal.told = _told(journal.lines, names)
    # The tenth comes after the ninth.
    ordered = sorted(journals.values(), key=lambda journal: (len(journal.number), journal.number))
    return Ledger(tuple(ordered), tuple(missing), tuple(sorted(never)), names)


def _told(numbers: Sequence[int], names: Mapping[int, str]) -> str:
    """Name lines, once for each name; "" for all there are."""
    return "" if len(numbers) == len(names) else ", ".join(dict.fromkeys(names[number] for number in numbers))
