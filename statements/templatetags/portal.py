"""What the frame of the portal says: the institution, and for whom the reader is here."""

from django import template
from django.db import DatabaseError
from django.template import Context
from django.utils import timezone

from billing import mail_test_mode
from billing.models import Policy, User
from billing.models.scopes import scope_of

register = template.Library()


@register.simple_tag
def house() -> Policy:
    """Return the policy, with the institution and its contact; the built-in one while the database is away."""
    try:
        return Policy.objects.current()
    except DatabaseError:
        return Policy()


@register.simple_tag
def is_test_mode() -> bool:
    """Tell whether e-mails go to a test address, so that the reader gets none."""
    return bool(mail_test_mode.test_address())


@register.simple_tag(takes_context=True)
def acting_for(context: Context) -> str:
    """Say for how many PIs the reader is a delegate, "" for none."""
    user = context.get("user")
    if not isinstance(user, User):
        return ""
    try:
        seen = scope_of(user, on=timezone.localdate())
    except DatabaseError:
        return ""
    number = len(seen.pis - seen.own)
    return f"Delegate for {number:,} PI{'' if number == 1 else 's'}" if number else ""
