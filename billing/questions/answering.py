"""Answers of staff: a reply, as it is, a decision about the charges, or what was proposed; once for each question."""

import datetime

from .. import audit, review
from ..audit import Actor
from ..errors import BillingError, WrongState
from ..models import Question
from ..review import Reassignment
from . import marks, projects, rules, settling, telling

State = Question.State
Outcome = Question.Outcome
APPROVE = "billing.approve_move"


class NothingDone(BillingError):
    """An answer that would have done nothing to the charges it is about."""


def reply(*, question: Question, text: str, actor: Actor, now: datetime.datetime) -> Question:
    """Write to whoever asked; the question waits for them. Raises QuestionRefused or AnsweredAlready."""
    text = rules.message_text(text)
    with audit.gesture(actor=actor, now=now) as gesture:
        question = settling.locked_open(question)
        before = question.state
        if question.state == State.ASKED:
            settling.move(question, State.REPLIED)
        message = settling.say(question, text, is_from_staff=True, gesture=gesture)
        gesture.record("question.replied", question, before={"state": before}, after={"state": question.state})
        telling.tell(message, via=actor.via, now=now)
        return question


def leave(*, question: Question, text: str, actor: Actor, now: datetime.datetime) -> Question:
    """Answer that everything stays as it is: charges that were held for the question are charged as before.

    Raises QuestionRefused or AnsweredAlready.
    """
    text = rules.message_text(text)
    with audit.gesture(actor=actor, now=now) as gesture:
        question = _undecided(question)
        settling.let_go(question, gesture)
        return settling.answer(question, Outcome.STAYS, text, gesture=gesture, via=actor.via)


def charge_as_it_is(*, question: Question, text: str, actor: Actor, now: datetime.datetime) -> Question:
    """Approve the charges that are held for a question: a decision on record that they are right.

    Raises QuestionRefused, AnsweredAlready, NothingDone, and the errors of `review.approve`.
    """
    text = rules.message_text(text)
    with audit.gesture(actor=actor, now=now) as gesture:
        question = _undecided(question)
        charges = _charges_of(question)
        decided = review.approve(charges=charges, note=_note(question, text), actor=actor, now=now)
        return _decided(question, decided, Outcome.APPROVED, text, gesture)


def reject(
    *,
    question: Question,
    reason: str,
    text: str,
    provider_credits: bool | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> Question:
    """Answer that its PI does not pay the charges, for a reason of ReviewDecision: nobody does, or the center.

    As `review.reject` has it of what an outside provider bills. Raises as `charge_as_it_is` does.
    """
    text = rules.message_text(text)
    with audit.gesture(actor=actor, now=now) as gesture:
        question = _undecided(question)
        charges = _charges_of(question)
        decided = review.reject(
            charges=charges,
            reason=reason,
            note=_note(question, text),
            provider_credits=provider_credits,
            actor=actor,
            now=now,
        )
        return _decided(question, decided, Outcome.REJECTED, text, gesture)


def apply(*, question: Question, text: str = "", actor: Actor, now: datetime.datetime) -> Question:
    """Do what was proposed: the charges go to the proposed fund/orgs, or the project is paid by them from its day on.

    A move to or from a sponsored award is approved by somebody who may: until then the question waits for them.
    Raises AnsweredAlready, WrongState where nothing is proposed, NothingDone, and the errors of `review.reattribute`.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        question = _undecided(question)
        _require_proposal(question)
        if question.is_sponsored and not may_approve(actor):
            before = question.state
            settling.move(question, State.APPROVAL)
            gesture.record(
                "question.approval_asked",
                question,
                before={"state": before},
                after={"state": question.state, "proposed": question.proposed},
                note=text.strip(),
            )
            return question
        return _apply(question, text, actor, gesture)


def approve_move(*, question: Question, text: str = "", actor: Actor, now: datetime.datetime) -> Question:
    """Approve a move to or from a sponsored award that waits for it, and do it. Raises as `apply` does."""
    with audit.gesture(actor=actor, now=now) as gesture:
        question = _waiting_for_approval(question)
        _require_proposal(question)
        return _apply(question, text, actor, gesture)


def decline_move(*, question: Question, text: str, actor: Actor, now: datetime.datetime) -> Question:
    """Hand a move back that was to be approved, with a message that both sides read. Raises QuestionRefused."""
    text = rules.message_text(text)
    with audit.gesture(actor=actor, now=now) as gesture:
        question = _waiting_for_approval(question)
        before = question.state
        settling.move(question, State.ASKED)
        message = settling.say(question, text, is_from_staff=True, gesture=gesture)
        gesture.record("question.declined", question, before={"state": before}, after={"state": question.state})
        telling.tell(message, via=actor.via, now=now)
        return question


def may_approve(actor: Actor) -> bool:
    """Tell whether somebody approves moves of sponsored awards; the system does what a person let it."""
    return actor.user is None or actor.user.has_perm(APPROVE)


def _undecided(question: Question) -> Question:
    """Lock a question that staff may answer. Raises AnsweredAlready, or WrongState where it waits for approval."""
    question = settling.locked_open(question)
    if question.state == State.APPROVAL:
        raise WrongState(f"{str(question).capitalize()} waits for approval: approve or decline that first.")
    return question


def _waiting_for_approval(question: Question) -> Question:
    question = settling.locked_open(question)
    if question.state != State.APPROVAL:
        raise WrongState(f"{str(question).capitalize()} does not wait for approval.")
    if correction := question.corrections.proposed().first():
        raise WrongState(f"{str(correction).capitalize()} answers it: approve or reject that.")
    return question


def _require_proposal(question: Question) -> None:
    if not question.proposed:
        raise WrongState(f"{str(question).capitalize()} proposes nothing that could be done.")


def _apply(question: Question, text: str, actor: Actor, gesture: audit.Gesture) -> Question:
    if question.is_of_project:
        said = projects.change(question, gesture)
        text = rules.message_text(text) if text.strip() else said
        return settling.answer(question, Outcome.CHANGED, text, gesture=gesture, via=actor.via)
    shares = question.shares
    (first, *others) = shares
    reassignment = Reassignment(shares=tuple(shares.items())) if others else Reassignment(fund_org=first)
    said = f"It is charged to {question.proposed_text} as you proposed."
    text = rules.message_text(text) if text.strip() else said
    charges = _charges_of(question)
    decided = review.reattribute(
        charges=charges,
        reassignment=reassignment,
        approve=False,
        note=_note(question, text),
        actor=actor,
        now=gesture.now,
    )
    return _decided(question, decided, Outcome.MOVED, text, gesture)


def _charges_of(question: Question) -> list[int]:
    """Return the charges to decide about, once their flags for this question are answered and they are as before."""
    if question.period is None or not question.period.takes_changes:
        raise WrongState("The month is closed, and its charges are locked: enter a correction instead.")
    charges = marks.charges_of(question)
    if not charges:
        raise NothingDone("No charge of the line is its alone. Decide about its charges in the review, or correct it.")
    return charges


def _decided(
    question: Question, decided: review.Decided, outcome: Outcome, text: str, gesture: audit.Gesture
) -> Question:
    if not decided.count:
        raise NothingDone(str(decided))
    # What the decision left alone is charged as before; it says so.
    settling.let_go(question, gesture)
    return settling.answer(question, outcome, text, gesture=gesture, via=gesture.actor.via)


def _note(question: Question, text: str) -> str:
    return f"{str(question).capitalize()}: {text}"
