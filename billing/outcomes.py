"""What came of a delivery, for programs and for people: done, booked, or refused with the problems."""

from dataclasses import dataclass, field
from typing import Any

from . import differences, late
from .errors import BillingError
from .models import Import, Source
from .readers import Problem
from .readers.values import rule_lines


@dataclass
class Counts:
    """What a delivery does to the charges."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    unseen: int = 0


class ImportRefused(BillingError):
    """A delivery that cannot be brought in: `errors` holds file, line, column and message of each problem."""

    def __init__(self, errors: list[dict[str, Any]], imported: Import | None = None) -> None:
        self.errors = errors
        self.imported = imported
        shown = [describe(error) for error in errors[:20]]
        if len(errors) > len(shown):
            shown.append(f"… and {len(errors) - len(shown)} more.")
        super().__init__("\n".join(["Nothing was imported.", *shown]))

    @property
    def result(self) -> dict[str, Any]:
        """The refusal in the form of `IngestResult.as_data`."""
        imported = self.imported
        return {
            "import": imported.pk if imported else None,
            "state": imported.state if imported else "refused",
            "source": imported.source.name if imported and imported.source else None,
            "periods": [],
            "rows": 0,
            **vars(Counts()),
            "flagged": 0,
            "flags": {},
            "totals": {},
            "stored": {},
            "difference": {},
            "rules": {},
            "deferred": None,
            "seen_before": [],
            "errors": self.errors,
        }


class WouldWithdraw(ImportRefused):
    """A snapshot that would withdraw more than half of a scope, or lacks a whole account: --replace says go."""


@dataclass(frozen=True)
class IngestResult:
    """What came of a delivery; `imported` is None for a dry run. Totals are exact decimal texts."""

    imported: Import | None
    state: str
    source: Source
    periods: tuple[str, ...]
    rows: int
    counts: Counts
    flagged: int
    flags: dict[str, int]
    totals: dict[str, dict[str, str]]
    stored: dict[str, dict[str, str]]
    # How values were taken that are not as FOCUS writes them: the rule's code → rows.
    rules: dict[str, int] = field(default_factory=dict)
    seen_before: tuple[str, ...] = ()
    # Month → currency → rows and money new, changed, gone and unchanged (see `differences`).
    difference: dict[str, Any] = field(default_factory=dict)
    # The months that take no more, and the import that waits with what it changes there.
    deferred_periods: tuple[str, ...] = ()
    deferred: Import | None = None

    def as_data(self) -> dict[str, Any]:
        """What came of the delivery, as --json and the page of its job hold it."""
        return {
            "import": self.imported.pk if self.imported else None,
            "state": self.state,
            "source": self.source.name,
            "periods": list(self.periods),
            "rows": self.rows,
            **vars(self.counts),
            "flagged": self.flagged,
            "flags": self.flags,
            "totals": self.totals,
            "stored": self.stored,
            "difference": self.difference,
            "rules": self.rules,
            "deferred": {
                "import": self.deferred.pk if self.deferred else None,
                "state": self.deferred.state if self.deferred else "dry run",
                "periods": list(self.deferred_periods),
            }
            if self.deferred_periods
            else None,
            "seen_before": list(self.seen_before),
            "errors": [],
        }

    def as_text(self) -> str:
        """What came of the delivery, for a person, with the next step."""
        if self.seen_before and not self.rows:
            return f"Already imported: {'; '.join(self.seen_before)}. Nothing to do."
        counts = self.counts
        head = f"Import {self.imported.pk}: " if self.imported else "Dry run, nothing was stored: "
        lines = [
            f"{head}{_rows(self.rows)} of {self.source}"
            + (f" for {', '.join(self.periods)}." if self.periods else ": the delivery is empty, nothing changes."),
            f"  new {counts.new:,}, changed {counts.changed:,}, unchanged {counts.unchanged:,}, "
            f"withdrawn {counts.withdrawn:,}",
        ]
        if counts.unseen:
            lines.append(f"  {counts.unseen:,} earlier charges are not in this delivery and were left as they are.")
        lines += [
            f"  BilledCost {columns['BilledCost']} {currency}"
            + ("" if self.stored[currency] == columns else f" (stored {self.stored[currency]['BilledCost']})")
            for currency, columns in self.totals.items()
        ]
        lines += [f"  {line}" for line in rule_lines(self.rules)]
        if self.seen_before:
            lines.append(f"  passed over, imported before: {'; '.join(self.seen_before)}")
        if self.imported is None or self.deferred:
            lines += differences.lines_of(self.difference)
        lines += self._deferred_text()
        if self.flagged:
            reasons = ", ".join(f"{code} {count:,}" for code, count in self.flags.items())
            lines.append(f"  {_rows(self.flagged)} with reasons for a look: {reasons}")
            if counts.new or counts.changed:
                lines.append("  Next: manage.py review list, or the review queue in the admin.")
        return "\n".join(lines)

    def _deferred_text(self) -> list[str]:
        if not self.deferred_periods:
            return []
        why = late.why_waiting(self.deferred_periods)
        if self.deferred is None:
            return [f"  {why}: what changes there would wait for a decision."]
        number = self.deferred.pk
        if self.deferred.state == Import.State.DISMISSED:
            return [f"  {why}. Import {number} is dismissed: {self.deferred.reason}"]
        return [
            f"  {why}: import {number} is deferred, nothing of it was charged.",
            f"  Next: {late.next_step(self.deferred)}, or imports dismiss {number} --reason WHY.",
        ]


@dataclass(frozen=True)
class Booked:
    """What booking a deferred import did: `difference` is what `into` bears of it, exactly and by currency."""

    number: int
    into: str
    periods: tuple[str, ...]
    charged: int
    taken_back: int
    held: int
    difference: dict[str, Any]

    @property
    def summary(self) -> str:
        """What was booked, in a sentence or two."""
        return self.as_text().split("\n")[0] + (f" {self.held:,} new rows are held for review." if self.held else "")

    def as_data(self) -> dict[str, Any]:
        """What was booked, as --json and the page of its job hold it."""
        return {
            "import": self.number,
            "booked_in": self.into,
            "periods": list(self.periods),
            "charged": self.charged,
            "taken_back": self.taken_back,
            "held": self.held,
            "difference": self.difference,
        }

    def as_text(self) -> str:
        """What was booked, for a person, with the next step."""
        lines = [
            f"Import {self.number} is booked in {self.into}. Charges of {' and '.join(self.periods)} taken back: "
            f"{self.taken_back:,}; charged as they are now: {self.charged:,}.",
            *differences.lines_of(self.difference),
        ]
        if self.held:
            lines.append(f"  New rows held for review: {self.held:,}. Next: manage.py review list -p {self.into}.")
        else:
            lines.append(f"  Next: manage.py generate -p {self.into}.")
        return "\n".join(lines)


def describe(error: dict[str, Any]) -> str:
    """Write one error as people read it: file, line, column, message."""
    return str(Problem(error["message"], error.get("line"), error.get("column"), error.get("file") or ""))


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
