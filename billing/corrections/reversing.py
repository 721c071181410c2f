"""Reversing a correction by one of the opposite lines."""

import datetime

from .. import audit
from ..audit import Actor
from ..errors import WrongState
from ..models import BillingPeriod, Correction, CorrectionLine
from .approving import lock
from .dates import month_for
from .limits import require_charged, require_reversible, require_untouched
from .plan import Entered, Plan


def reverse(
    *,
    correction: Correction,
    reason: str,
    printed_text: str = "",
    charged_in: BillingPeriod | None = None,
    justification: str = "",
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Entered:
    """Take an approved correction back, once, by one of the opposite lines in an open month.

    1. Lock the months that it corrected and the one its reversal is charged in, as `Plan.start` says.
    2. Lock the correction: of two who reverse it, the second is refused.
    3. Compare with what is charged now: what it charged must not be corrected since.

    What it had reversed of payer lines can be corrected again. Raises WrongState, closing.PeriodClosed,
    ReasonMissing, NotCorrectable where what it charged was corrected since, or JustificationMissing.
    """
    plan = Plan(
        kind=Correction.Kind(correction.kind),
        charged_in=charged_in or _month_of_reversal(correction),
        reason=reason,
        printed_text=printed_text,
        justification=justification,
        charge=correction.charge,
        dry_run=dry_run,
        actor=actor,
        now=now,
    )
    with audit.gesture(actor=actor, now=now) as gesture:
        lines = correction.lines.select_related("pi", "project", "source", "customer", "corrects_period")
        own: list[CorrectionLine] = list(lines.order_by("number"))
        months = [correction.charged_in_id, *(line.corrects_period_id for line in own)]
        plan.start(correction.for_period, corrected=months)
        correction = _locked_approved(correction)
        require_reversible(correction)
        for line in own:
            require_untouched(line, correction)
        plan.amount = -correction.amount
        plan.reverses = correction
        plan.lines = [_opposite(line) for line in own]
        require_charged(plan.lines, beside=plan.lines)
        entered = plan.enter(gesture)
        if not dry_run:
            after = {"reversal": entered.correction.pk}
            gesture.record("correction.reversed", correction, after=after, note=reason.strip())
        return entered


def _month_of_reversal(correction: Correction) -> BillingPeriod:
    """Return the month a reversal is charged in: the correction's own while it is open."""
    return correction.charged_in if correction.charged_in.takes_changes else month_for([correction])


def _locked_approved(correction: Correction) -> Correction:
    correction = lock(correction)
    if correction.state != Correction.State.APPROVED:
        raise WrongState(f"{str(correction).capitalize()} is not charged: {correction.get_state_display().lower()}.")
    if earlier := correction.reversed_by.standing().first():
        raise WrongState(f"{str(correction).capitalize()} is reversed already, by {earlier}.")
    return correction


def _opposite(line: CorrectionLine) -> CorrectionLine:
    return CorrectionLine(
        kind=line.kind,
        pi=line.pi,
        project=line.project,
        fund_org=line.fund_org,
        customer=line.customer,
        source=line.source,
        natural_account=line.natural_account,
        service_name=line.service_name,
        amount=-line.amount,
        corrects_period=line.corrects_period,
        corrects_key=line.corrects_key,
    )
