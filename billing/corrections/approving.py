"""Approving or rejecting what somebody else entered."""

import datetime

from .. import audit, questions
from ..audit import Actor
from ..errors import ReasonMissing, WrongState
from ..models import Correction
from ..months import closing
from .limits import require_charged
from .plan import SecondPersonNeeded


def is_own(correction: Correction, actor: Actor) -> bool:
    """Tell whether a correction was entered by who acts, who cannot be its second person then."""
    return (
        actor.user is not None and actor.user.pk == correction.entered_by_id
    ) or actor.name == correction.entered_by_name


def approve(*, correction: Correction, note: str = "", actor: Actor, now: datetime.datetime) -> Correction:
    """Have a proposed correction charged; by another person than the one who entered it.

    1. Lock its month against the close, then the correction: two who decide about it decide once.
    2. Compare what it reverses with what is charged now: charges may have changed since it was entered.

    Raises WrongState, closing.PeriodClosed, SecondPersonNeeded, or AmountRefused where what it reverses
    is not charged any more.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        correction = _locked_proposal(correction, "approved")
        if actor.user is None:
            raise SecondPersonNeeded(
                f"{str(correction).capitalize()} is approved by a person: say which user approves it."
            )
        if is_own(correction, actor):
            raise SecondPersonNeeded(
                f"{correction.entered_by_name} entered {correction}: somebody else has to approve it (see the policy)."
            )
        require_charged(correction.lines.all())
        return _decided(correction, Correction.State.APPROVED, note, gesture)


def reject(*, correction: Correction, note: str, actor: Actor, now: datetime.datetime) -> Correction:
    """Decide that a proposed correction is not charged, for a reason; who entered it may take it back so.

    Raises WrongState, closing.PeriodClosed or ReasonMissing.
    """
    if not note.strip():
        raise ReasonMissing("Say why the correction is rejected: the reason stays with it.")
    with audit.gesture(actor=actor, now=now) as gesture:
        correction = _locked_proposal(correction, "rejected")
        return _decided(correction, Correction.State.REJECTED, note, gesture)


def lock(correction: Correction) -> Correction:
    """Lock a correction and read it again."""
    locked = Correction.objects.select_for_update(of=("self",), no_key=True)
    return locked.select_related("charged_in", "for_period").get(pk=correction.pk)


def _locked_proposal(correction: Correction, participle: str) -> Correction:
    closing.require_open(correction.charged_in)
    fresh = lock(correction)
    if fresh.state != Correction.State.PROPOSED:
        raise WrongState(
            f"{str(fresh).capitalize()} is {fresh.get_state_display().lower()}: "
            f"only one that waits for approval can be {participle}."
        )
    return fresh


def _decided(correction: Correction, state: Correction.State, note: str, gesture: audit.Gesture) -> Correction:
    before = {"state": correction.state}
    correction.state = state
    correction.decided_at = gesture.now
    correction.decided_by, correction.decided_by_name = gesture.actor.user, gesture.actor.name
    correction.decision_note = note.strip()
    correction.save(update_fields=Correction.DECIDED)
    gesture.record(
        f"correction.{state.value}", correction, before=before, after={"state": state.value}, note=note.strip()
    )
    questions.correction_decided(correction, gesture)
    return correction
