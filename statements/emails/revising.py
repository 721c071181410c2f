"""What a revised statement changed: against the revision its PI has, line by line."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from .. import issuing
from ..document import ZERO, money_with_currency
from ..models import Statement, StatementLine
from .outbox import writes_files

SAME_AMOUNTS = "The amounts are equal; what the lines are made of changed."
# Named one by one; further ones are counted.
MOST_CHANGES = 12


# What of the names of a statement revises it (see `issuing.snapshots.IN_DIGEST`), as people call it.
RENAMED = {"pi_email": "PI", "project_code": "Project", "showback": "Sources that are not charged to the ledger"}


@dataclass(frozen=True)
class Change:
    """A line that came, went, or has another amount; None where a revision does not have it."""

    what: str
    currency: str
    before: Decimal | None
    after: Decimal | None
    is_about_price: bool = False

    @property
    def difference(self) -> Decimal:
        return (self.after or ZERO) - (self.before or ZERO)

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
class Revised:
    """A statement beside the revision that its PI was e-mailed before."""

    statement: Statement
    before: Statement

    @property
    def was(self) -> Decimal:
        return self.before.charged

    def lines_changed(self) -> list[Change]:
        """Return the lines that came, went or have other amounts, in the order of the statement."""
        before = {line.payer_key: line for line in self.before.lines.all()}
        found = []
        for line in self.statement.lines.all():
            found += _changes(before.pop(line.payer_key, None), line, self.statement)
        for line in before.values():
            found += _changes(line, None, self.statement)
        return found

    def renamed(self) -> list[str]:
        """Say what changed of whom the statement is about: the PI's address, the project's code, the ledger."""
        found = []
        for name, label in RENAMED.items():
            old, new = (self._said(of, name) for of in (self.before, self.statement))
            if old != new:
                found.append(f"{label}: {new}, was {old}")
        return found

    @staticmethod
    def _said(of: Statement, name: str) -> str:
        said = of.document.get(name, "")
        return (said if isinstance(said, str) else ", ".join(said)) or "none"

    def changes(self) -> list[str]:
        """Say what changed, the lines in the order of the statement; never empty."""
        found = self.lines_changed()
        told = [str(change) for change in found[:MOST_CHANGES]]
        if len(found) > MOST_CHANGES:
            told.append(f"and {len(found) - MOST_CHANGES} further lines")
        return told or [SAME_AMOUNTS]


def mailed_before(statements: Sequence[Statement]) -> dict[int, Revised]:
    """Return, by id, the statements whose PIs were mailed an earlier revision, beside the last of these.

    A revision that was issued and never mailed is nothing a PI has to compare with. Where mail goes to
    files, one that was written to a file counts.
    """
    to_files = writes_files()
    earlier: dict[int, list[Statement]] = {}
    of = {statement.reference_id for statement in statements if statement.revision > 1}
    if not of:
        return {}
    for each in Statement.objects.filter(reference__in=of).order_by("revision").prefetch_related("lines"):
        if each.sent_at or (to_files and each.written_at):
            earlier.setdefault(each.reference_id, []).append(each)
    found = {}
    for statement in statements:
        mailed = [each for each in earlier.get(statement.reference_id, ()) if each.revision < statement.revision]
        if mailed:
            found[statement.pk] = Revised(statement, mailed[-1])
    return found


def _changes(before: StatementLine | None, after: StatementLine | None, statement: Statement) -> list[Change]:
    line = after or before
    assert line
    details = [line.what or line.source_label, line.fund_org, issuing.for_what(line)]
    what = ", ".join(part for part in details if part)
    old, new = (each.charged if each else None for each in (before, after))
    if old != new:
        return [Change(what, statement.currency, old, new)]
    if before and after and (before.list_cost, before.contracted_cost) != (after.list_cost, after.contracted_cost):
        return [Change(what, statement.currency, old, new, is_about_price=True)]
    return []
