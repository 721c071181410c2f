"""Documents that print payer lines: statements, journals, whatever an app further on registers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Model

from ..models import BillingPeriod

# Lines of documents looked up at once.
BATCH = 500


@dataclass(frozen=True)
class DocumentLine:
    """A line of a statement or a journal: what it says of a payer line.

    `amount` is what it charges: the total charged, or debit less credit. `stands` tells whether it is in force.
    `subject` is the document, for a link to its page.
    """

    kind: str
    number: str
    line: int
    state: str
    stands: bool
    payer_key: str
    period: BillingPeriod
    text: str
    amount: Decimal
    currency: str
    subject: Model
    # The recovery side of a journal's pairs says the same with the other sign.
    is_payer: bool = True
    # As the ledger numbers what it posted; "" for what is not posted.
    document: str = ""

    @property
    def name(self) -> str:
        """As it can be traced: `2026-01-0007-2:3`."""
        return f"{self.number}:{self.line}"

    def as_data(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "line": self.name,
            "state": self.state,
            "stands": self.stands,
            "text": self.text,
            "amount": self.amount,
            "currency": self.currency,
        }


@dataclass(frozen=True)
class Document:
    """A statement or a journal with its lines."""

    kind: str
    number: str
    state: str
    lines: tuple[DocumentLine, ...]
    subject: Model


@dataclass(frozen=True)
class Provider:
    """How an app further on finds its documents: by what people call them, and by the payer lines they hold.

    `find(what)` returns the document of that number, or None where it is no number of its own.
    `holding(period, keys)` returns its lines of those payer lines, those in force first.
    """

    find: Callable[[str], Document | None]
    holding: Callable[[BillingPeriod, Sequence[str]], list[DocumentLine]]


_providers: dict[str, Provider] = {}


def register_documents(name: str, provider: Provider) -> None:
    """Have documents of an app found and shown; a second one of the same name replaces it."""
    _providers[name] = provider


def document_of(number: str) -> Document | None:
    """Return the document of a number, None where no app has one."""
    return next(
        (document for name in sorted(_providers) if (document := _providers[name].find(number)) is not None), None
    )


def holding(period: BillingPeriod, keys: Sequence[str]) -> list[DocumentLine]:
    """Return the lines of all documents of a month that are of these payer lines, those in force first."""
    found = [line for name in sorted(_providers) for line in _providers[name].holding(period, keys)]
    return sorted(found, key=lambda line: not line.stands)
