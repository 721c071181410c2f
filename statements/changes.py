"""What a revision changed: its lines beside those of the revision before, as PDF, pages and e-mails say it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.money import ZERO, plain

from .figures import money_with_currency

SAME_AMOUNTS = "The amounts are equal; what the lines are made of changed."
# Named one by one in a text; further ones are counted.
MOST_CHANGES = 12


@dataclass(frozen=True)
class Change:
    """A line that came, went, or has another amount; None where a revision does not have it."""

    what: str
    currency: str
    before: Decimal | None
    after: Decimal | None
    is_about_price: bool = False
    # As its revision numbers it; of a line that went, as the one before did.
    number: int = 0
    # How much was used, where that changed.
    used_before: str = ""
    used_after: str = ""

    @property
    def difference(self) -> Decimal:
        return (self.after or ZERO) - (self.before or ZERO)

    @property
    def is_new(self) -> bool:
        return self.before is None

    @property
    def is_gone(self) -> bool:
        return self.after is None

    @property
    def how(self) -> str:
        """How it changed, besides its amount."""
        if self.is_new or self.is_gone:
            return "New line" if self.is_new else "No longer charged"
        used = ""
        if self.used_before != self.used_after:
            used = f"Usage: {self.used_before or 'none'}, now {self.used_after or 'none'}"
        return " · ".join(filter(None, (used, "List price or discount changed" if self.is_about_price else "")))

    def __str__(self) -> str:
        if self.after is None:
            return f"{self.what}: no longer charged, was {self._money(self.before)}"
        if self.before is None:
            return f"{self.what}: {self._money(self.after)}, new"
        of = "list price or discount changed, still " if self.is_about_price else ""
        was = "" if self.is_about_price else f", was {self._money(self.before)}"
        return f"{self.what}: {of}{self._money(self.after)}{was}"

    def _money(self, amount: Decimal | None) -> str:
        return money_with_currency(amount or ZERO, self.currency)


@dataclass(frozen=True)
class Changes:
    """All that a revision changed since an earlier one: the number of that, what both charge, and each change."""

    since: str
    was: Decimal
    now: Decimal
    currency: str
    # The lines that came, went or have other amounts, in the order of the revision.
    lines: tuple[Change, ...] = ()
    # Whom the statement is about, where that changed: a sentence each.
    renamed: tuple[str, ...] = ()

    @property
    def difference(self) -> Decimal:
        return self.now - self.was

    @property
    def same_amounts(self) -> str:
        """Said where no line has another amount and no name changed."""
        return "" if self.lines or self.renamed or self.difference else SAME_AMOUNTS

    @property
    def summary(self) -> str:
        """What became of the total: `Total charged: $120.00, was $100.00 (+$20.00)`."""
        now = f"Total charged: {money_with_currency(self.now, self.currency)}"
        if not self.difference:
            return f"{now}, as before"
        by = f"{'+' if self.difference > 0 else ''}{money_with_currency(self.difference, self.currency)}"
        return f"{now}, was {money_with_currency(self.was, self.currency)} ({by})"

    @property
    def texts(self) -> list[str]:
        """Say what changed, the lines in the order of the statement; never empty."""
        told = [str(change) for change in self.lines[:MOST_CHANGES]]
        if len(self.lines) > MOST_CHANGES:
            told.append(f"and {len(self.lines) - MOST_CHANGES} further lines")
        return told or [SAME_AMOUNTS]

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return {
            "since": self.since,
            "was": plain(self.was),
            "renamed": list(self.renamed),
            "lines": [
                {
                    "what": each.what,
                    "number": each.number,
                    "before": None if each.before is None else plain(each.before),
                    "after": None if each.after is None else plain(each.after),
                    "is_about_price": each.is_about_price,
                    "used_before": each.used_before,
                    "used_after": each.used_after,
                }
                for each in self.lines
            ],
        }


def changes_from(data: Mapping[str, Any], *, now: Decimal, currency: str) -> Changes:
    """Read back what `as_data` wrote of a statement that charges `now`."""
    return Changes(
        since=data["since"],
        was=Decimal(data["was"]),
        now=now,
        currency=currency,
        renamed=tuple(data["renamed"]),
        lines=tuple(
            Change(**{**each, "before": _amount(each["before"]), "after": _amount(each["after"])}, currency=currency)
            for each in data["lines"]
        ),
    )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
