"""Asking: about a line or a charge, or proposing who pays for a project; and writing more of it, or taking it back."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.utils import timezone

from .. import audit
from ..audit import Actor
from ..errors import BillingError, WrongState
from ..models import BillingPeriod, BillingReference, Message, Person, Policy, Project, Question
from ..models.periods import PeriodClosed
from ..months import closing
from ..texts import cleaned_lines
from . import marks, projects, rules, settling, telling

# What one person may ask and write within a day: more is no question any more.
MOST_QUESTIONS, MOST_MESSAGES = 20, 60
A_DAY = datetime.timedelta(days=1)


class TooManyQuestions(BillingError):
    """Somebody asks more in a day than anybody could answer."""


class AskedAlready(BillingError):
    """There is an open question about the same line, charge or project."""


@dataclass(frozen=True)
class Subject:
    """What a question is about, as it was shown: a line of a statement, or one of its charges."""

    period: BillingPeriod
    reference: BillingReference
    pi: Person
    project: Project | None
    payer_key: str
    line: str
    about: str
    amount: Decimal
    currency: str
    charge: int | None = None
    # The fund/orgs that pay, with their percents.
    paid_by: Mapping[str, Decimal] = field(default_factory=dict)


def ask(
    *,
    subject: Subject,
    reason: str,
    text: str,
    proposed: Mapping[str, Decimal] | None = None,
    basis: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Question:
    """Ask about a line or a charge of a month, and hold its charges where the policy says so and it is asked in time.

    1. What is written is checked, and a proposal against the funds that the PI may propose.
    2. A month that takes changes is held open: it cannot close before the charges are marked. One that closed
       meanwhile gets the question without a mark, as one that is asked later does.
    3. The question is stored. Of two who ask about the same line at once, the second hears of the first.
    4. The charges are marked, and those of a question in time are held. Nothing of a closed month changes.
    5. Staff are mailed once it is committed.

    Raises QuestionRefused, ProposalRefused, TooManyQuestions or AskedAlready.
    """
    text, basis = rules.message_text(text), cleaned_lines(basis).strip()
    if reason not in Question.OF_LINES:
        raise rules.QuestionRefused("Choose what the question is.")
    with audit.gesture(actor=actor, now=now) as gesture:
        policy = Policy.objects.current()
        period = _held_open(subject.period)
        shares = _checked(subject, dict(proposed or {}), reason)
        is_sponsored = bool(shares) and rules.moves_sponsored({*shares, *subject.paid_by})
        if is_sponsored:
            rules.require_grounds(text=text, basis=basis, is_split=len(shares) > 1)
        in_time = is_in_time(period, now)
        question = _stored(
            Question(
                kind=_kind(bool(shares) and in_time and policy.pis_propose),
                reason=reason,
                period=period,
                reference=subject.reference,
                pi=subject.pi,
                project=subject.project,
                payer_key=subject.payer_key,
                charge_id=subject.charge,
                line=subject.line,
                about=subject.about[:254],
                paid_by=", ".join(subject.paid_by)[:254],
                amount=subject.amount,
                currency=subject.currency,
                proposed=_texts(shares),
                basis=basis if shares else "",
                is_sponsored=is_sponsored,
                is_in_time=in_time,
            ),
            text,
            policy=policy,
            gesture=gesture,
        )
        if period.takes_changes:
            own = marks.own_charges(period, subject.payer_key, only=subject.charge)
            marks.mark(question, own, holds=in_time and policy.questions_hold_charges, gesture=gesture)
        return question


def propose(
    *,
    pi: Person,
    project: Project,
    reason: str,
    text: str,
    proposed: Mapping[str, Decimal],
    basis: str = "",
    starts_on: datetime.date,
    actor: Actor,
    now: datetime.datetime,
) -> Question:
    """Propose who pays for what a project of one's own uses from a day on: a default fund/org, or a split.

    Raises ProposalRefused, QuestionRefused, TooManyQuestions or AskedAlready.
    """
    text, basis = rules.message_text(text), cleaned_lines(basis).strip()
    policy = Policy.objects.current()
    if not policy.pis_propose:
        raise rules.ProposalRefused("The research computing group takes no proposals here. Write to it.")
    if project.pi_id not in (None, pi.pk):
        raise rules.ProposalRefused("This project is another PI's: only they propose who pays for it.")
    if reason not in Question.OF_PROJECTS:
        raise rules.QuestionRefused("Choose why the project should be paid otherwise.")
    if starts_on < timezone.localdate(now):
        raise rules.ProposalRefused("A proposal is for what comes: choose today or a later day.")
    allowed = rules.funds_for(pi=pi, project=project, first=starts_on, last=starts_on)
    paid_by = projects.paid_by(project, starts_on)
    shares = rules.proposed_shares(proposed, allowed=allowed, now_paid_by=paid_by)
    is_sponsored = rules.moves_sponsored({*shares, *paid_by})
    if is_sponsored:
        rules.require_grounds(text=text, basis=basis, is_split=len(shares) > 1)
    with audit.gesture(actor=actor, now=now) as gesture:
        return _stored(
            Question(
                kind=Question.Kind.PROPOSAL,
                reason=reason,
                pi=pi,
                project=project,
                about=project.display_name[:254],
                paid_by=", ".join(paid_by)[:254],
                proposed=_texts(shares),
                basis=basis,
                starts_on=starts_on,
                is_sponsored=is_sponsored,
                is_in_time=True,
            ),
            text,
            policy=policy,
            gesture=gesture,
        )


def write(*, question: Question, text: str, actor: Actor, now: datetime.datetime) -> Question:
    """Write another message about an open question; it waits for staff again, unless finance has it.

    Raises QuestionRefused, TooManyQuestions or AnsweredAlready.
    """
    text = rules.message_text(text)
    with audit.gesture(actor=actor, now=now) as gesture:
        question = settling.locked_open(question)
        _require_patience(actor, now, questions=MOST_QUESTIONS + 1)
        before = question.state
        if question.state == Question.State.REPLIED:
            settling.move(question, Question.State.ASKED)
        message = settling.say(question, text, is_from_staff=False, gesture=gesture)
        gesture.record("question.asked_again", question, before={"state": before}, after={"state": question.state})
        telling.tell(message, via=actor.via, now=now)
        return question


def withdraw(*, question: Question, actor: Actor, now: datetime.datetime) -> Question:
    """Take an open question back: its charges are as they were.

    Raises AnsweredAlready, or WrongState while it waits for approval.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        question = settling.locked_open(question)
        if Question.State.WITHDRAWN not in Question.TRANSITIONS[Question.State(question.state)]:
            raise WrongState("This waits for approval by now: write to the staff instead.")
        settling.let_go(question, gesture)
        settling.end(question, Question.State.WITHDRAWN, gesture=gesture)
        gesture.record("question.withdrawn", question, after={"state": question.state})
        return question


def is_in_time(period: BillingPeriod, now: datetime.datetime) -> bool:
    """Tell whether a question is asked in time: the month takes changes, and its review date has not passed."""
    return period.takes_changes and (period.review_until is None or timezone.localdate(now) <= period.review_until)


def _held_open(period: BillingPeriod) -> BillingPeriod:
    """Return the month as it stands: held open where it takes changes."""
    try:
        return closing.require_open(period)[0]
    except PeriodClosed:
        return BillingPeriod.objects.get(pk=period.pk)


def _checked(subject: Subject, proposed: dict[str, Decimal], reason: str) -> dict[str, Decimal]:
    """Return the shares that are proposed for a line, none where nothing is. Raises ProposalRefused."""
    if not proposed:
        return {}
    if reason != Question.Reason.FUND:
        raise rules.ProposalRefused(f"To propose a fund/org, choose “{Question.Reason.FUND.label}”.")
    allowed = rules.funds_for(
        pi=subject.pi, project=subject.project, first=subject.period.month, last=subject.period.last_day
    )
    return rules.proposed_shares(proposed, allowed=allowed, now_paid_by=subject.paid_by)


def _stored(question: Question, text: str, *, policy: Policy, gesture: audit.Gesture) -> Question:
    """Store a question with its first message, record it, and have staff mailed. Raises AskedAlready."""
    now, actor = gesture.now, gesture.actor
    _require_patience(actor, now, questions=MOST_QUESTIONS)
    question.respond_by = timezone.localdate(now) + datetime.timedelta(days=policy.question_days)
    question.asked_at, question.asked_by, question.asked_by_name = now, actor.user, settling.name_of(actor)
    if same := _same_open(question):
        raise AskedAlready(f"There is an open {same} about this already. Write to it instead.")
    try:
        with transaction.atomic():
            question.save()
    except IntegrityError as error:
        raise AskedAlready("Somebody asked about this at the same moment. Look at your questions.") from error
    message = settling.say(question, text, is_from_staff=False, gesture=gesture)
    gesture.record("question.asked", question, after=settling.facts_of(question))
    telling.tell(message, via=actor.via, now=now)
    return question


def _same_open(question: Question) -> Question | None:
    found = Question.objects.open().filter(payer_key=question.payer_key, charge=question.charge_id)
    if question.is_of_project:
        return found.filter(pi=question.pi_id, project=question.project_id).first()
    return found.filter(period=question.period_id).first()


def _require_patience(actor: Actor, now: datetime.datetime, *, questions: int) -> None:
    """Raise TooManyQuestions where somebody asked or wrote too much within a day."""
    asked = Question.objects.filter(asked_by=actor.user, asked_at__gt=now - A_DAY).count()
    written = Message.objects.filter(written_by=actor.user, written_at__gt=now - A_DAY).count()
    if asked >= questions or written >= MOST_MESSAGES:
        raise TooManyQuestions(
            f"You asked {MOST_QUESTIONS} questions or wrote {MOST_MESSAGES} messages within a day. "
            "Go on tomorrow, or write to the research computing group."
        )


def _kind(is_proposal: bool) -> str:
    return Question.Kind.PROPOSAL if is_proposal else Question.Kind.QUESTION


def _texts(shares: Mapping[str, Decimal]) -> dict[str, str]:
    return {fund_org: f"{percent.normalize():f}" for fund_org, percent in shares.items()}
