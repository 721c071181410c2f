"""Mailing a message about a question to the other side: staff at their address, or whoever asked."""

import datetime
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse
from django.utils import timezone

from billing import audit, mail_test_mode
from billing.addresses import ascii_address
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import Job, Message, Policy, Question
from billing.models.scopes import scope_of
from billing.progress import Progress
from billing.questions import is_to_be_told
from billing.texts import long_date, one_line

from ..emails import outbox

# As much of a message as an e-mail brings; the page has all of it.
SHOWN = 1_000


class NotMailed(BillingError):
    """A message about a question could not be mailed."""


def tell(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Mail the message `arguments["message"]` (an id) to the other side; as a file where e-mail is not configured.

    Raises NotMailed with the mail server's words: then the job can be retried.
    """
    message = Message.objects.select_related("question__pi", "question__period", "question__asked_by").get(
        pk=arguments["message"]
    )
    question = message.question
    if not is_to_be_told(message):
        return {"message": f"Not mailed: {question} was withdrawn."}
    recipient = recipient_of(message, on=timezone.localdate(now))
    if not recipient:
        return {"message": "Not mailed: the policy names no address for questions, and no contact."}
    mail = letter_of(message, recipient)
    try:
        path = outbox.send_one(mail, folder="questions", name=f"question-{message.question_id}-{message.pk}.eml")
    except (SMTPException, OSError, BillingError, ValueError) as problem:
        with audit.gesture(actor=actor, now=now) as gesture:
            words = outbox.words_of(problem)
            gesture.record("question.mail_failed", question, after={"to": recipient, "error": words})
        raise NotMailed(f"{recipient} was not mailed about {question}. {words}") from problem
    with audit.gesture(actor=actor, now=now) as gesture:
        is_file, turned_to = outbox.writes_files(), mail_test_mode.test_address()
        what = {"to": recipient, "message": path, "written": is_file}
        gesture.record("question.mailed", question, after=what | ({"sent_to": turned_to} if turned_to else {}))
    verb = "Written to a file, not mailed" if is_file else "Mailed"
    return {"message": f"{verb}: {question}, to {recipient}."}


def recipient_of(message: Message, *, on: datetime.date) -> str:
    """Return where a message goes: to staff, or to who asked; a delegate who was revoked since gets nothing.

    Then the PI gets it, whose costs it is about.
    """
    question = message.question
    if not message.is_from_staff:
        policy = Policy.objects.current()
        return policy.questions_email or policy.contact_email
    asker = question.asked_by
    is_reader = asker and asker.is_active and scope_of(asker, on=on).may_act(question.pi_id, question.project_id)
    return asker.email if asker and is_reader and asker.email else question.pi.email


def letter_of(message: Message, recipient: str) -> EmailMultiAlternatives:
    """Return the e-mail that brings a message: who wrote what about which line, and where to answer."""
    question, policy = message.question, Policy.objects.current()
    if message.is_from_staff:
        address = reverse("portal:question", args=[question.pk])
        answers_to = policy.questions_email or policy.contact_email
    else:
        address = reverse("admin:billing_question_change", args=[question.pk])
        answers_to = ""
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    return EmailMultiAlternatives(
        subject=subject_of(message)[:200],
        body=text_of(message, f"{settings.SITE_URL}{address}", policy),
        to=[ascii_address(recipient)],
        reply_to=[answers_to] if answers_to else None,
        headers={"Message-ID": f"<question-{question.pk}-{message.pk}@{domain}>", "Auto-Submitted": "auto-generated"},
    )


def subject_of(message: Message) -> str:
    """Return the subject: what came of the question, and what it is about."""
    question = message.question
    about = one_line(question.line and f"statement {question.line_text}" or question.about)
    noun = question.get_kind_display().lower()
    if not message.is_from_staff:
        is_first = not question.messages.filter(pk__lt=message.pk).exists()
        return f"{'New' if is_first else 'More about a'} {noun} about {about}"
    if question.state == Question.State.ANSWERED:
        return f"Your {noun} about {about} is answered"
    return f"A reply to your {noun} about {about}"


def text_of(message: Message, address: str, policy: Policy) -> str:
    """Return the text of the e-mail, signed where it goes to whoever asked; the thread itself is on the page."""
    question = message.question
    shown = message.text if len(message.text) <= SHOWN else f"{message.text[:SHOWN]}…"
    lines = [f"{message.written_by_name} wrote:", "", shown, ""]
    lines += [f"About: {one_line(question.about)}"]
    if question.period:
        lines += [f"Statement line: {question.line_text}, {question.period}"]
    is_over = message.is_from_staff and question.state == Question.State.ANSWERED
    if is_over:
        lines += [f"Outcome: {question.get_outcome_display()}"]
    if not message.is_from_staff:
        lines += [f"Reason: {question.get_reason_display()}"]
        lines += [f"Proposed: {question.proposed_text}"] if question.proposed else []
        lines += [f"Answer due: {long_date(question.respond_by)}"]
    lines += ["", "Read it here:" if is_over else "Read and answer it here:", address]
    lines += ["", *filter(None, (policy.institution, policy.department))] if message.is_from_staff else []
    return "\n".join([*lines, ""])
