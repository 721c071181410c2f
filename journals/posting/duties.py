"""Separation of duties: where the policy asks for it, another person submits a journal than the one who drafted it."""

from django.db.models import Q
from django.utils.text import get_text_list

from billing.audit import Actor
from billing.errors import BillingError, NextStep
from billing.models import Policy, User

from ..models import Journal

SUBMIT = "submit_journal"
# People that a refusal names.
NAMED = 10


class SamePerson(BillingError):
    """A journal was to be submitted by the person who drafted it, or without naming anybody."""


def require_second_person(journal: Journal, actor: Actor) -> None:
    """Raise SamePerson where the policy asks for a second person to submit a journal, and this is none."""
    if told := refusal(journal, actor.user):
        about = {"period": journal.period.iso_month, "journal": str(journal.pk), "number": journal.number}
        raise SamePerson(told, then=NextStep("submit_by_another", about))


def refusal(journal: Journal, user: User | None) -> str:
    """Say why a person may not submit a journal, and who may; "" where they may, or the policy does not ask."""
    if not Policy.objects.current().journals_need_second_person:
        return ""
    if user is None:
        return f"The policy asks for a second person to submit {journal}: say in whose name. {_others(journal)}"
    if journal.drafted_by_id == user.pk:
        return f"{user} drafted {journal}, and the policy asks for another person to submit it. {_others(journal)}"
    return ""


def others(journal: Journal) -> list[str]:
    """Return the names of those who may submit a journal: they have the permission, and did not draft it."""
    allowed = Q(is_superuser=True) | Q(groups__permissions__codename=SUBMIT) | Q(user_permissions__codename=SUBMIT)
    found = User.objects.filter(allowed, is_active=True).exclude(pk=journal.drafted_by_id).distinct()
    return sorted(str(each) for each in found)


def _others(journal: Journal) -> str:
    names = others(journal)
    if not names:
        return "Nobody else may: give somebody the role finance."
    more = [f"{len(names) - NAMED:,} more"] if len(names) > NAMED else []
    return f"{get_text_list([*names[:NAMED], *more], 'or')} may."
