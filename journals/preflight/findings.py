"""What a preflight finds: errors and warnings, each of a line, with the step that mends it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from billing.errors import BillingError, NextStep

from ..models import WarningAcknowledgement

# Findings that a message names; pages and files have all of them.
MOST = 20

# What is checked, as pages and commands call it.
CHECKS: Mapping[str, str] = {
    "accounting": "Accounting",
    "pattern": "Form of the fund/org",
    "valid_values": "Valid values",
    "fund_dates": "Dates of funds",
    "posting_date": "Posting date",
    "balance": "Balance",
    "duplicate": "Possible duplicates",
    "lookups": "Lookup tables",
    "format": "Fields of the file",
    "validator": "Validator",
}


class PreflightFailed(BillingError):
    """A journal has errors, or warnings that nobody acknowledged. `findings` are all of them."""

    def __init__(self, message: str, findings: "tuple[Finding, ...]", *, then: NextStep | None = None) -> None:
        super().__init__(message, then=then)
        self.findings = findings


@dataclass(frozen=True)
class Finding:
    """Something about a journal that the ledger would refuse, or that somebody has to look at."""

    check: str
    message: str
    is_warning: bool = False
    # The line of the journal, and that of its file; 0 for the journal as a whole.
    line: int = 0
    file_line: int = 0
    # What of the line: a segment or a field, and what it holds.
    field: str = ""
    value: str = ""
    # Which payer line it is about, so that it is the same in the next draft.
    about: str = ""
    then: NextStep | None = None

    @property
    def key(self) -> str:
        """What it is, whatever the numbers of its lines are in the next draft."""
        said = "\x1f".join((self.check, self.about, self.field, self.value, self.message))
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def title(self) -> str:
        return CHECKS.get(self.check, self.check)

    @property
    def place(self) -> str:
        """Where it is, in words: `Line 3`, `Line 2 of the file (journal line 3)`; "" for the whole journal."""
        if self.file_line:
            return f"Line {self.file_line:,} of the file" + (f" (journal line {self.line:,})" if self.line else "")
        return f"Line {self.line:,}" if self.line else ""

    def __str__(self) -> str:
        named = ", ".join(filter(None, (self.place, self.field)))
        return f"{named}: {self.message}" if named else self.message


@dataclass(frozen=True)
class Report:
    """What the preflight of a journal in a format found, and which warnings somebody acknowledged."""

    format: str
    findings: tuple[Finding, ...]
    acknowledged: Mapping[str, WarningAcknowledgement] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        return [each for each in self.findings if not each.is_warning]

    @property
    def warnings(self) -> list[Finding]:
        return [each for each in self.findings if each.is_warning]

    @property
    def open_warnings(self) -> list[Finding]:
        """The warnings that keep the journal from being submitted."""
        return [each for each in self.warnings if each.key not in self.acknowledged]

    @property
    def has_passed(self) -> bool:
        return not self.errors and not self.open_warnings

    @property
    def summary(self) -> str:
        """What it comes to, in words: `2 errors, 1 warning to acknowledge`."""
        parts = [
            f"{len(found):,} {noun}{'' if len(found) == 1 else 's'}{rest}"
            for found, noun, rest in (
                (self.errors, "error", ""),
                (self.open_warnings, "warning", " to acknowledge"),
            )
            if found
        ]
        done = len(self.warnings) - len(self.open_warnings)
        if done:
            parts.append(f"{done:,} warning{'' if done == 1 else 's'} acknowledged")
        return ", ".join(parts) or "nothing to mend"


def failure(report: Report, journal: str, then: NextStep) -> PreflightFailed:
    """Return the refusal of a journal that has not passed."""
    found = tuple(report.errors + report.open_warnings)
    told = "".join(f"\n- {each}{' (a warning)' if each.is_warning else ''}" for each in found[:MOST])
    more = f"\n- and {len(found) - MOST:,} more" if len(found) > MOST else ""
    return PreflightFailed(f"{journal} cannot be submitted: {report.summary}.{told}{more}", found, then=then)
