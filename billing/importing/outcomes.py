"""What came of an import, for programs and for people: done, booked, or refused with the problems."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from ..attribution import newcomers
from ..errors import BillingError, NextStep
from ..models import Import, Source
from ..readers import FileError, Problem
from ..readers.dates import rule_lines
from ..texts import month_name, month_names
from . import differences, doubts, late


@dataclass(frozen=True)
class Counts:
    """What an import does to the charges."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    unseen: int = 0


class ImportRefused(BillingError):
    """Files that cannot be imported: `errors` holds file, line, column and message of each problem."""

    # What would let it in: the name of the step, which the first error tells, too.
    step = ""

    def __init__(
        self,
        errors: list[dict[str, Any]],
        imported: Import | None = None,
        *,
        then: NextStep | None = None,
        source: Source | None = None,
    ) -> None:
        if self.step:
            errors = [{**error, "step": self.step} for error in errors]
        self.errors = errors
        self.source = source
        self.warnings: tuple[str, ...] = ()
        self.kept_as(imported)
        shown = [describe(error) for error in errors[:20]]
        if len(errors) > len(shown):
            shown.append(f"… and {len(errors) - len(shown)} more.")
        self._shown = shown
        super().__init__("", then=then)

    def __str__(self) -> str:
        waits = (
            f"Import {self.imported.pk} waits, and nothing of it is applied:" if self.imported and self.waits else ""
        )
        return "\n".join([waits or "Nothing was imported.", *self._shown])

    def kept_as(self, imported: Import | None) -> None:
        """Note the failed import that keeps the attempt, and what comes next of it."""
        self.imported = imported
        if imported and self.waits:
            self.then = late.next_step(imported)
        elif self.step:
            number = str(imported.pk) if imported else ""
            self.then = NextStep(self.step, {"import": number, "source": self.source.name if self.source else "SOURCE"})

    @property
    def waits(self) -> bool:
        """Whether the import was stored and waits for a decision."""
        return self.imported is not None and self.imported.state == Import.State.DEFERRED

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
            "unread": [],
            "new_pis": [],
            "deferred": {
                "import": imported.pk,
                "state": imported.state,
                "periods": [period.iso_month for period in late.months_of(imported)],
            }
            if imported and self.waits
            else None,
            "seen_before": [],
            "warnings": list(self.warnings),
            "errors": self.errors,
        }


class WouldWithdraw(ImportRefused):
    """An import that lacks what was there, or is older than what was applied, and of which nobody said what to do.

    That is more than half of a scope, a whole account, or days or sub accounts that had charges. It waits.
    """

    step = "import_replacing"


class OfAnotherSource(ImportRefused):
    """A file whose rows look like another source's, and that was not confirmed to be of this one."""

    step = "import_confirmed"


class SourceUnknown(ImportRefused):
    """A file whose name fits no source, or several, and that came without one."""

    step = "name_source"


@dataclass(frozen=True)
class IngestResult:
    """What came of an import; `imported` is None for a dry run. Totals are exact decimal texts."""

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
    # Columns that look like money and are not read.
    unread: tuple[str, ...] = ()
    seen_before: tuple[str, ...] = ()
    # What is odd about it and stopped nothing, a sentence each.
    warnings: tuple[str, ...] = ()
    # Month → currency → rows and money new, changed, gone and unchanged (see `differences`).
    difference: dict[str, Any] = field(default_factory=dict)
    new_pis: tuple[newcomers.NewPI, ...] = ()
    # The months that take no more, and the import that waits with what it changes there.
    deferred_periods: tuple[str, ...] = ()
    deferred: Import | None = None

    def as_data(self) -> dict[str, Any]:
        """What came of the files, as --json and the page of its job hold it."""
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
            "unread": list(self.unread),
            "new_pis": [each.as_data() for each in self.new_pis],
            "deferred": {
                "import": self.deferred.pk if self.deferred else None,
                "state": self.deferred.state if self.deferred else "dry run",
                "periods": list(self.deferred_periods),
            }
            if self.deferred_periods
            else None,
            "seen_before": list(self.seen_before),
            "warnings": list(self.warnings),
            "errors": [],
        }

    @property
    def next_steps(self) -> list[NextStep]:
        """What a person does next, first things first; nothing after a dry run."""
        steps = []
        if self.deferred and self.deferred.state == Import.State.DEFERRED:
            steps += [late.next_step(self.deferred), NextStep("dismiss_import", {"import": str(self.deferred.pk)})]
        if self.imported and self.flagged and (self.counts.new or self.counts.changed):
            steps.append(NextStep("review", {"period": self.periods[0] if self.periods else ""}))
        if self.imported and any(each.is_known is False for each in self.new_pis):
            steps.append(NextStep("confirm_pis"))
        elif self.imported and any(each.is_known is None for each in self.new_pis):
            steps.append(NextStep("own_domains"))
        return steps

    def as_text(self) -> str:
        """What came of the files, for a person; `next_steps` come after it."""
        warned = [f"  Warning: {warning}" for warning in self.warnings]
        if self.seen_before and not self.rows:
            return "\n".join([f"Already imported: {'; '.join(self.seen_before)}. Nothing to do.", *warned])
        counts = self.counts
        head = f"Import {self.imported.pk}: " if self.imported else "Dry run, nothing was stored: "
        lines = [
            f"{head}{_rows(self.rows)} of {self.source}"
            + (f" for {month_names(self.periods)}." if self.periods else ": the file is empty, nothing changes."),
            *warned,
            f"  new {counts.new:,}, changed {counts.changed:,}, unchanged {counts.unchanged:,}, "
            f"withdrawn {counts.withdrawn:,}",
        ]
        if counts.unseen:
            were = "earlier charge is" if counts.unseen == 1 else "earlier charges are"
            left = "it was left as it is" if counts.unseen == 1 else "they were left as they are"
            lines.append(f"  {counts.unseen:,} {were} not in this import; {left}.")
        lines += [
            f"  BilledCost {_amount(columns['BilledCost'])} {currency}"
            + ("" if self.stored[currency] == columns else f" (stored {_amount(self.stored[currency]['BilledCost'])})")
            for currency, columns in self.totals.items()
        ]
        lines += [f"  {line}" for line in rule_lines(self.rules)]
        lines += [f"  {line}" for line in unread_lines(self.unread)]
        if self.seen_before:
            lines.append(f"  passed over, imported before: {'; '.join(self.seen_before)}")
        if self.imported is None or self.deferred:
            lines += differences.lines_of(self.difference)
        else:
            lines += differences.elsewhere_lines(self.difference)
        lines += self._deferred_text()
        if self.flagged:
            reasons = ", ".join(f"{code} {count:,}" for code, count in self.flags.items())
            lines.append(f"  {_rows(self.flagged)} held for review: {reasons}")
        lines += [f"  {line}" for line in newcomers.lines_of(self.new_pis)]
        return "\n".join(lines)

    def _deferred_text(self) -> list[str]:
        if not self.deferred_periods:
            return []
        why = late.why_waiting(self.deferred_periods)
        if self.deferred is None:
            return [f"  {why}: what changes there would wait for a decision."]
        number = self.deferred.pk
        if self.deferred.doubts:
            why = " ".join(doubts.messages(self.deferred)).rstrip(".")
        if self.deferred.state == Import.State.DISMISSED:
            return [f"  {why}. Import {number} is dismissed: {self.deferred.reason}"]
        return [f"  {why}: import {number} is deferred, nothing of it was charged."]


@dataclass(frozen=True)
class Booked:
    """What booking a deferred import did: `difference` is what `into` bears of it, exactly and by currency."""

    number: int
    into: str
    periods: tuple[str, ...]
    charged: int
    taken_back: int
    # Charges that were held, so that nobody was charged them, and are removed or replaced.
    withdrawn: int
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
            "withdrawn": self.withdrawn,
            "held": self.held,
            "difference": self.difference,
        }

    @property
    def next_steps(self) -> list[NextStep]:
        """What a person does next."""
        return [NextStep("review" if self.held else "issue_statements", {"period": self.into})]

    def as_text(self) -> str:
        """What was booked, for a person; `next_steps` come after it."""
        lines = [
            f"Import {self.number} is booked in {month_name(self.into)}. "
            f"Charges of {month_names(self.periods, ' and ')} reversed: {self.taken_back:,}; "
            f"charged as they are now: {self.charged:,}.",
            *differences.lines_of(self.difference),
        ]
        if self.withdrawn:
            lines.append(f"  Withdrawn from the review, never charged: {self.withdrawn:,}.")
        if self.held:
            lines.append(f"  New rows held for review: {self.held:,}.")
        return "\n".join(lines)


def unread_lines(columns: Sequence[str]) -> list[str]:
    """Say which columns that look like money are not read."""
    shown = ", ".join(column[:60] for column in columns[:20])
    more = f" and {len(columns) - 20} more" if len(columns) > 20 else ""
    return [f"Not read: {shown}{more}. They look like money and are not columns of FOCUS."] if columns else []


@contextmanager
def in_file(name: str) -> Iterator[None]:
    """Have problems that name no file name this one."""
    try:
        yield
    except FileError as error:
        error.problems = [replace(each, file=each.file or name) for each in error.problems]
        raise


def errors_of(error: FileError) -> list[dict[str, Any]]:
    """Return the problems of files as an import keeps them."""
    return [
        {"file": each.file, "line": each.line, "column": each.column, "message": each.message}
        for each in error.problems
    ]


def error_of(message: str) -> dict[str, Any]:
    """Return what is wrong with an import as a whole, as it keeps it."""
    return {"file": "", "line": None, "column": None, "message": message}


def describe(error: dict[str, Any]) -> str:
    """Write one error as people read it: file, line, column, message."""
    return str(Problem(error["message"], error.get("line"), error.get("column"), error.get("file") or ""))


def _amount(exact: str) -> str:
    return f"{Decimal(exact):,f}"


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
