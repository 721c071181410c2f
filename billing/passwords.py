"""Links with which people set their own password, and what follows when they have."""

import datetime
import logging

from axes.utils import reset as unlock
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django_q.tasks import async_task

from . import audit
from .audit import Actor
from .errors import BillingError
from .models import AuditEvent, User
from .models.people import normalized_email

log = logging.getLogger(__name__)

HOUR = datetime.timedelta(hours=1)
# How many links an address may ask for, and an account is sent, in an hour.
ASKED_AN_HOUR = 20
SENT_AN_HOUR = 3


class TooManyAsked(BillingError):
    """So many links were asked for from one address that the next has to wait."""


def make_link(*, user: User, actor: Actor, now: datetime.datetime) -> str:
    """Return a link that sets a user's password once, for PASSWORD_LINK_HOURS."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("user.password_link_made", user)
    url = reverse("password_reset_confirm", args=[uid, default_token_generator.make_token(user)])
    return f"{settings.SITE_URL}{url}"


def ask_for_link(*, email: str, address: str, actor: Actor, now: datetime.datetime) -> None:
    """Have a link sent to whoever has this e-mail address, if anybody has.

    The worker looks that up: what is answered, and how soon, is the same for an address that
    nobody has. Raises TooManyAsked beyond 20 an hour from one address.
    """
    recent = AuditEvent.objects.filter(action="user.password_link_asked", at__gt=now - HOUR)
    if recent.filter(after__address=address).count() >= ASKED_AN_HOUR:
        raise TooManyAsked("Too many links were asked for from here. Try again in an hour.")
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("user.password_link_asked", None, after={"address": address})
        transaction.on_commit(lambda: async_task("billing.tasks.send_password_link", normalized_email(email)))


def send_link(*, email: str, actor: Actor, now: datetime.datetime) -> bool:
    """Send a link to the account with this address; say whether there was one to send to.

    Accounts that are switched off, or never had a password (they sign in at the institution, or get
    their first link from the billing office), get none; nobody gets more than 3 an hour.
    """
    user = User.objects.filter(email__iexact=email, is_active=True).first()
    if user is None or not user.has_usable_password():
        return False
    recent = AuditEvent.objects.filter(
        action="user.password_link_made", object_type="user", object_id=str(user.pk), at__gt=now - HOUR
    )
    if recent.count() >= SENT_AN_HOUR:
        log.warning("No further password link for user %s: three in an hour.", user.pk)
        return False
    link = make_link(user=user, actor=actor, now=now)
    words = {"user": user, "link": link, "hours": settings.PASSWORD_RESET_TIMEOUT // 3600}
    send_mail(
        render_to_string("registration/password_reset_subject.txt", words).strip(),
        render_to_string("registration/password_reset_email.txt", words),
        None,
        # The stored address, never the typed one: two may look alike and be different.
        [user.email],
    )
    return True


def password_was_set(*, user: User, actor: Actor, now: datetime.datetime) -> None:
    """Record a new password, and unlock the account for its owner. Other sessions end with the old one."""
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("user.password_changed", user)
        unlock(username=user.get_username())
