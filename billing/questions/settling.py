"""The state of a question and its thread: locked, moved, ended once; and what a correction makes of it."""

from typing import Any

from .. import audit
from ..audit import Actor
from ..errors import BillingError
from ..models import Correction, Message, Question
from ..money import plain
from ..months import closing
from . import marks, telling

State = Question.State
Outcome = Question.Outcome


class AnsweredAlready(BillingError):
    """A question was to be answered that somebody answered, or took back."""


def locked_open(question: Question) -> Question:
    """Return a question as it stands, locked for the rest of the transaction: of two who answer at once, one waits.

    Raises AnsweredAlready.
    """
    # Before its month, always: a close never waits for a question.
    fresh = Question.objects.select_for_update(of=("self",), no_key=True).select_related("period", "pi", "project")
    locked = fresh.get(pk=question.pk)
    if not locked.is_open:
        raise AnsweredAlready(f"{str(locked).capitalize()} was {_how(locked)} by {locked.ended_by_name} already.")
    return locked


def _how(question: Question) -> str:
    return "withdrawn" if question.state == State.WITHDRAWN else "answered"


def move(question: Question, state: State) -> None:
    """Take a locked question to another open state."""
    assert state in Question.TRANSITIONS[State(question.state)], (question.state, state)
    question.state = state
    question.save(update_fields=["state"])


def end(question: Question, state: State, *, outcome: str = "", gesture: audit.Gesture) -> None:
    """End a locked question, once and permanently."""
    assert state in Question.TRANSITIONS[State(question.state)], (question.state, state)
    question.state, question.outcome = state, outcome
    question.ended_at, question.ended_by = gesture.now, gesture.actor.user
    question.ended_by_name, question.gesture = name_of(gesture.actor), gesture.id
    question.save(update_fields=list(Question.FREE))


def say(question: Question, text: str, *, is_from_staff: bool, gesture: audit.Gesture) -> Message:
    """Add a message to the thread."""
    return Message.objects.create(
        question=question,
        text=text,
        is_from_staff=is_from_staff,
        written_at=gesture.now,
        written_by=gesture.actor.user,
        written_by_name=name_of(gesture.actor),
    )


def name_of(actor: Actor) -> str:
    """Return the name of who acts, as the other side knows them: of a PI, that on their statements."""
    pi = getattr(actor.user, "person", None)
    full = actor.user.get_full_name() if actor.user else ""
    return ((pi.name if pi else "") or full or actor.name)[:254]


def let_go(question: Question, gesture: audit.Gesture) -> None:
    """Let the charges of a locked question go, with their months held open."""
    held = marks.held_marks(question)
    charges = list(held.values_list("charge", flat=True))
    if charges:
        closing.require_open(*marks.months_of(question, charges))
        marks.end(held, gesture=gesture)


def answer(question: Question, outcome: Outcome, text: str, *, gesture: audit.Gesture, via: str) -> Question:
    """End a locked question with an answer that its asker is mailed."""
    before = question.state
    message = say(question, text, is_from_staff=True, gesture=gesture)
    end(question, State.ANSWERED, outcome=outcome, gesture=gesture)
    gesture.record(
        "question.answered", question, before={"state": before}, after={"state": question.state, "outcome": outcome}
    )
    telling.tell(message, via=via, now=gesture.now)
    return question


def facts_of(question: Question) -> dict[str, Any]:
    """Return a question as the audit log keeps it."""
    return {
        "kind": question.kind,
        "reason": question.reason,
        "about": question.line or question.about,
        "pi": question.pi.email,
        **({"project": question.project.code} if question.project else {}),
        **({"charge": question.charge_id} if question.charge_id else {}),
        **({"amount": plain(question.amount, question.currency)} if question.amount is not None else {}),
        **({"proposed": question.proposed} if question.proposed else {}),
        "in_time": question.is_in_time,
    }


def require_to_correct(question: Question) -> Question:
    """Lock a question that a correction is to answer. Raises AnsweredAlready."""
    return locked_open(question)


def correction_entered(question: Question, correction: Correction, gesture: audit.Gesture) -> None:
    """Have a correction answer the question it points to, or have the question wait where it needs a second person."""
    if correction.state == Correction.State.APPROVED:
        _corrected(question, correction, gesture)
        return
    before = question.state
    move(question, State.APPROVAL)
    gesture.record(
        "question.approval_asked",
        question,
        before={"state": before},
        after={"state": question.state, "correction": correction.pk},
    )


def correction_decided(correction: Correction, gesture: audit.Gesture) -> None:
    """Answer the question of an approved correction; that of a rejected one waits for staff again."""
    if correction.question is None:
        return
    question = Question.objects.select_for_update(of=("self",), no_key=True).get(pk=correction.question.pk)
    if not question.is_open:
        return
    if correction.state == Correction.State.APPROVED:
        _corrected(question, correction, gesture)
    elif question.state == State.APPROVAL:
        move(question, State.ASKED)
        gesture.record("question.declined", question, after={"state": question.state, "correction": correction.pk})


def _corrected(question: Question, correction: Correction, gesture: audit.Gesture) -> None:
    let_go(question, gesture)
    said = correction.printed_text or f"{correction.get_kind_display()} entered."
    text = f"{said} It is on your next statement of {correction.charged_in}."
    answer(question, Outcome.CORRECTED, text, gesture=gesture, via=gesture.actor.via)
