"""What every step of a journal needs: the journal locked in the state asked for, and its facts for the audit log."""

import hashlib
from collections.abc import Sequence
from typing import Any

from billing.errors import WrongState
from billing.models import BillingPeriod
from billing.money import ZERO, plain

from ..models import Journal, JournalLine


def locked(journal: Journal, state: Journal.State, participle: str) -> Journal:
    """Return a journal as it is now, locked. Raises WrongState where it is not in the state asked for."""
    locked = Journal.objects.select_for_update(of=("self",), no_key=True)
    fresh = locked.select_related("period", "reverses").get(pk=journal.pk)
    if fresh.state != state:
        raise WrongState(
            f"Journal {fresh} is {fresh.get_state_display().lower()}: "
            f"only a {state.label.lower()} one can be {participle}."
        )
    return fresh


def set_totals(journal: Journal, lines: Sequence[JournalLine]) -> None:
    journal.debits = sum((line.debit for line in lines), ZERO)
    journal.credits = sum((line.credit for line in lines), ZERO)
    journal.line_count = len(lines)


def next_number(period: BillingPeriod, letter: str) -> str:
    """Return the next free number of a month: J2025-01-3, or R2025-01-1 for a reversal."""
    prefix = f"{letter}{period.iso_month}-"
    taken = Journal.objects.filter(number__startswith=prefix).values_list("number", flat=True)
    return f"{prefix}{max((int(number.removeprefix(prefix)) for number in taken), default=0) + 1}"


def facts(journal: Journal) -> dict[str, Any]:
    """Return a journal as the audit log keeps it."""
    return {
        "state": journal.state,
        "posting_date": journal.posting_date.isoformat(),
        "lines": journal.line_count,
        "debits": plain(journal.debits),
        "credits": plain(journal.credits),
        "format": journal.format,
        "sha256": journal.file_sha256,
        **({"date_reason": journal.date_reason} if journal.date_reason else {}),
        **({"estimates": journal.estimates} if journal.estimates else {}),
    }


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
