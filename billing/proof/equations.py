"""Equations: figures that add up to the same on both sides, and whether they do."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ..errors import NextStep
from ..fields import WIDE
from ..money import ZERO, named, plain
from .findings import About

STATED, JOURNALED, INVOICED = "stated", "journaled", "invoiced"

TITLES = {
    "delivered": "Delivered is accounted for",
    "charged": "What is to be charged is in payer lines",
    "stated": "Payer lines are on statements",
    "journaled": "Payer lines are in the ledger",
    "invoiced": "Receivables are on invoices",
}


class Verdict(StrEnum):
    """Whether an equation reconciles: it does, it does not yet because a step is still to come, or it does not."""

    OK = "ok"
    OPEN = "open"
    OFF = "off"


@dataclass(frozen=True)
class Term:
    """One figure of an equation: an exact amount and the number of rows behind it, and which these are."""

    code: str
    label: str
    amount: Decimal
    count: int
    about: About | None = None


@dataclass(frozen=True)
class Equation:
    """Figures that add up to the same on both sides, of one source and in one currency.

    `delivered` is in the currency of the files and counts their rows; the others are in the institution's, of what
    was delivered in `of_currency` where that says more. `unequal` is how many payers differ even where sums do not.
    """

    code: str
    source: str
    currency: str
    left: tuple[Term, ...]
    right: tuple[Term, ...]
    verdict: Verdict
    note: str = ""
    of_currency: str = ""
    unequal: int = 0
    # What brings an open one to its end.
    then: NextStep | None = None

    @property
    def title(self) -> str:
        return TITLES[self.code]

    @property
    def left_sum(self) -> Decimal:
        return sum_of(term.amount for term in self.left)

    @property
    def right_sum(self) -> Decimal:
        return sum_of(term.amount for term in self.right)

    @property
    def difference(self) -> Decimal:
        """Left less right: what is missing on the right."""
        return WIDE.subtract(self.left_sum, self.right_sum)

    @property
    def left_count(self) -> int:
        return sum(term.count for term in self.left)

    @property
    def right_count(self) -> int:
        return sum(term.count for term in self.right)

    def term(self, code: str) -> Term | None:
        return next((term for term in (*self.left, *self.right) if term.code == code), None)

    @property
    def scope(self) -> tuple[str, str, str, str]:
        return (self.code, self.source, self.currency, self.of_currency)

    @property
    def problem(self) -> str:
        """What does not reconcile, in a line."""
        off = self.left_count - self.right_count
        rows = f" and {abs(off):,} {'row' if abs(off) == 1 else 'rows'}" if self.code == "delivered" and off else ""
        return f"{self.title} ({self.source}): off by {named(self.difference, self.currency)}{rows}"

    def marked(self, verdict: Verdict, note: str, then: NextStep | None = None) -> "Equation":
        """Return it with another verdict, and why."""
        return replace(self, verdict=verdict, note=note, then=then)

    def as_data(self) -> dict[str, Any]:
        """As JSON keeps it: amounts as exact decimal text."""

        def terms(of: Iterable[Term]) -> list[dict[str, Any]]:
            return [
                {"code": t.code, "label": t.label, "amount": exact_text(t.amount, self.currency), "count": t.count}
                for t in of
            ]

        return {
            "code": self.code,
            "title": self.title,
            "source": self.source,
            "currency": self.currency,
            "of_currency": self.of_currency,
            "left": terms(self.left),
            "right": terms(self.right),
            "difference": exact_text(self.difference, self.currency),
            "verdict": self.verdict.value,
            "note": self.note,
        }


def exact_text(amount: Decimal, currency: str | None) -> str:
    """Write an amount to its last digit, without an exponent and with at least the decimals of its currency."""
    return plain(amount.normalize(context=WIDE) if amount else ZERO, currency)


def sum_of(amounts: Iterable[Decimal]) -> Decimal:
    """Return the sum of amounts, exactly."""
    total = ZERO
    for amount in amounts:
        total = WIDE.add(total, amount)
    return total
