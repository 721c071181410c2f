"""Links from charges, decisions and corrections to the questions of PIs that they are about."""

from typing import Any

from ..models import Charge, DisputedCharge, Question
from .links import change_url


def questions_of(charge: Charge) -> list[tuple[Question, str]]:
    """Return the questions about a charge, the newest first, each with its address."""
    marked = DisputedCharge.objects.filter(charge=charge.pk).values("question")
    found = Question.objects.filter(pk__in=marked) | Question.objects.filter(charge=charge.pk)
    return [(each, change_url(each)) for each in found.distinct().order_by("-pk")]


def answered_by(gestures: set[Any]) -> dict[Any, tuple[Question, str]]:
    """Return the questions that gestures answered, by gesture, each with its address."""
    return {each.gesture: (each, change_url(each)) for each in Question.objects.filter(gesture__in=gestures)}


def in_group(charges: list[int]) -> str:
    """Return the address of the open question that some of these charges wait for; "" for none."""
    mark = DisputedCharge.objects.filter(charge__in=charges, ended_at__isnull=True).select_related("question").first()
    return change_url(mark.question) if mark else ""
