"""What a racer asks and answers: each function returns what came of it, in a word."""

from typing import Any

from django.utils import timezone

from billing import questions
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import BillingPeriod, Charge, Question
from billing.months import closing
from statements.models import Statement
from statements.questions import lines


def ask(month: str) -> str:
    """Ask about the first line of a month's statement."""
    statement = Statement.objects.live().get(period__month=f"{month}-01")
    by: dict[str, Any] = {"actor": Actor(name="ada", via="test"), "now": timezone.now()}
    try:
        asked = questions.ask(subject=lines.subject_of(statement, 1), reason="usage", text="Too much.", **by)
    except BillingError as error:
        return type(error).__name__
    return f"asked {asked.pk}"


def answer(pk: int, verb: str, name: str) -> str:
    """Answer a question: `leave`, or `reject` its charges."""
    by: dict[str, Any] = {"text": f"{name} says so.", "actor": Actor(name=name, via="test"), "now": timezone.now()}
    more = {"reason": "duplicate", "provider_credits": True} if verb == "reject" else {}
    try:
        getattr(questions, verb)(question=Question.objects.get(pk=pk), **more, **by)
    except BillingError as error:
        return type(error).__name__
    return "answered"


def close(month: str) -> str:
    """Close a month."""
    by: dict[str, Any] = {"actor": Actor(name="fay", via="test"), "now": timezone.now()}
    return closing.close(period=BillingPeriod.objects.named(month), **by).status


def states(month: str) -> list[str]:
    return sorted(Charge.objects.live().filter(charged_in__month=f"{month}-01").values_list("state", flat=True))
