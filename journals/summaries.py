"""What a journal comes to before its lines are read: by fund/org, by source and by account code."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, QuerySet

from billing.fields import AmountSum
from billing.models import Source
from billing.money import ZERO

from .models import JournalLine

# How many rows of a kind are told apart. The others are added up in one, so that the table comes to the whole.
MOST = 100

# The column of a line that each table adds up by, with what it is called. The longest table is last.
KINDS = {"source_name": "Source", "natural_account": "Account code", "fund_org": "Fund/org"}


@dataclass(frozen=True)
class Row:
    """Debits and credits of the lines that share a value; `others` values are in the row that has none."""

    key: str
    label: str
    lines: int
    debits: Decimal
    credits: Decimal
    others: int = 0

    @property
    def net(self) -> Decimal:
        return self.debits - self.credits


@dataclass(frozen=True)
class Summary:
    """One table of a journal: its rows, the largest first, and what they come to."""

    kind: str
    rows: tuple[Row, ...]
    lines: int
    debits: Decimal
    credits: Decimal

    @property
    def title(self) -> str:
        return KINDS[self.kind]

    @property
    def net(self) -> Decimal:
        return self.debits - self.credits


# Source, account code and fund/org, with the debits, the credits and the number of lines that have them.
Grouped = tuple[str, str, str, Decimal, Decimal, int]


def grouped(lines: "QuerySet[JournalLine]") -> list[Grouped]:
    """Return what stored lines come to, added up by the database, in one query."""
    rows = lines.order_by().values_list(*KINDS)
    return list(rows.annotate(debits=AmountSum("debit"), credits=AmountSum("credit"), count=Count("pk")))


def grouped_lines(lines: Iterable[JournalLine]) -> list[Grouped]:
    """Return what lines come to that are not stored."""
    return [(line.source_name, line.natural_account, line.fund_org, line.debit, line.credit, 1) for line in lines]


def summaries(rows: Iterable[Grouped], *, kinds: Iterable[str] = KINDS) -> list[Summary]:
    """Add rows up by each kind. Every table comes to the same debits and credits: those of all rows."""
    rows = list(rows)
    labels = {source.name: source.label for source in Source.objects.all()}
    return [_summary(kind, rows, labels) for kind in kinds]


def _summary(kind: str, rows: list[Grouped], labels: dict[str, str]) -> Summary:
    at = list(KINDS).index(kind)
    added: dict[str, tuple[int, Decimal, Decimal]] = {}
    for row in rows:
        key = str(row[at])
        count, debits, credits = added.get(key, (0, ZERO, ZERO))
        added[key] = (count + row[5], debits + row[3], credits + row[4])
    found = [
        Row(key, (labels.get(key, key) if kind == "source_name" else key) or "none", count, debits, credits)
        for key, (count, debits, credits) in added.items()
    ]
    found.sort(key=lambda row: (-max(row.debits, row.credits), row.key))
    shown, rest = (found, []) if len(found) <= MOST + 1 else (found[:MOST], found[MOST:])
    if rest:
        shown = [*shown, _together(rest)]
    every = _together(found)
    return Summary(kind, tuple(shown), every.lines, every.debits, every.credits)


def _together(rows: list[Row]) -> Row:
    debits = sum((row.debits for row in rows), ZERO)
    credits = sum((row.credits for row in rows), ZERO)
    return Row("", "", sum(row.lines for row in rows), debits, credits, others=len(rows))
