"""Warnings acknowledged: somebody says why a journal can go to the ledger in spite of them."""

import datetime
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from billing import audit
from billing.audit import Actor
from billing.errors import BillingError, ReasonMissing, WrongState

from ..models import Journal, WarningAcknowledgement
from .findings import CHECKS, Finding
from .running import check


class NothingToAcknowledge(BillingError):
    """A journal has no open warning of what was to be acknowledged."""


@dataclass(frozen=True)
class Acknowledged:
    """The warnings that were acknowledged, and how many are still open."""

    findings: tuple[Finding, ...]
    left: int


def acknowledge(
    *,
    journal: Journal,
    format: str,
    checks: Collection[str] = (),
    reason: str,
    actor: Actor,
    now: datetime.datetime,
) -> Acknowledged:
    """Acknowledge the open warnings of a draft, of some checks or all, for a reason that is kept with each.

    A warning that says something else in the next draft is open again. Raises WrongState, ReasonMissing,
    NothingToAcknowledge and UnknownFormat.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        journal = (
            Journal.objects.select_for_update(of=("self",), no_key=True).select_related("period").get(pk=journal.pk)
        )
        if journal.state != Journal.State.DRAFT:
            raise WrongState(
                f"{journal} is {journal.get_state_display().lower()}: warnings are acknowledged on drafts."
            )
        if not reason.strip():
            raise ReasonMissing(f"Say why {journal} can go to the ledger in spite of its warnings.")
        report = check(journal=journal, format=format, now=now)
        # The same twice, such as two lines of one payer line, is acknowledged once.
        chosen = {each.key: each for each in report.open_warnings if not checks or each.check in checks}
        if not chosen:
            named = ", ".join(CHECKS.get(name, name).lower() for name in checks)
            raise NothingToAcknowledge(f"{journal} has no open warning{f' of {named}' if named else ''}.")
        WarningAcknowledgement.objects.bulk_create(
            WarningAcknowledgement(
                journal=journal,
                key=key,
                check_name=each.check,
                message=str(each)[:1000],
                reason=reason.strip(),
                acknowledged_at=now,
                acknowledged_by=actor.user,
                acknowledged_by_name=actor.name,
            )
            for key, each in chosen.items()
        )
        gesture.record(
            "journal.warnings_acknowledged",
            journal,
            after={"warnings": dict(Counter(each.check for each in chosen.values()))},
            note=reason.strip(),
        )
        return Acknowledged(
            tuple(chosen.values()), len(report.open_warnings) - sum(each.key in chosen for each in report.open_warnings)
        )
