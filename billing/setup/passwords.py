"""Links with which people set their own password, and what follows when they have."""

import datetime
import logging
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

from axes.utils import reset as unlock
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import send_mail
from django.db import connections, transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from .. import audit
from ..addresses import normalized_email
from ..audit import Actor
from ..errors import BillingError
from ..models import AuditEvent
from ..models.people import User, users_addressed

log = logging.getLogger(__name__)

HOUR = datetime.timedelta(hours=1)
# How many links an address may ask for, and an account is sent, in an hour.
ASKED_AN_HOUR = 20
SENT_AN_HOUR = 3
# How many requests for a link wait for the mail server; beyond that, further ones are dropped.
WAITING = 50

# Strangers ask for links. They are sent by a thread of the web server, and never by the worker: a mail server that
# stalls holds up no import, and no page.
_sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="password-links")
_places = BoundedSemaphore(WAITING)


class LinkTokens(PasswordResetTokenGenerator):
    """The tokens of links: one made before its account was switched off is none after it is switched on again."""

    def _make_hash_value(self, user: AbstractBaseUser, timestamp: int) -> str:
        assert isinstance(user, User)
        return f"{super()._make_hash_value(user, timestamp)} {user.sessions_ended}"


link_tokens = LinkTokens()


class TooManyAsked(BillingError):
    """So many links were asked for from one address that the next has to wait."""


def make_link(*, user: User, actor: Actor, now: datetime.datetime) -> str:
    """Return a link that sets a user's password once, for PASSWORD_LINK_HOURS."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("user.password_link_made", user)
    url = reverse("password_reset_confirm", args=[uid, link_tokens.make_token(user)])
    return f"{settings.SITE_URL}{url}"


def ask_for_link(*, email: str, address: str, actor: Actor, now: datetime.datetime) -> None:
    """Have a link sent to whoever has this e-mail address, if anybody has.

    That is looked up afterwards: what is answered, and how soon, is the same for an address that
    nobody has. Raises TooManyAsked beyond 20 an hour from one address.
    """
    recent = AuditEvent.objects.filter(action="user.password_link_asked", at__gt=now - HOUR)
    if recent.filter(after__address=address).count() >= ASKED_AN_HOUR:
        raise TooManyAsked("Too many links were asked for from here. Try again in an hour.")
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("user.password_link_asked", None, after={"address": address})
        transaction.on_commit(lambda: send_beside(normalized_email(email)))


def send_beside(email: str) -> bool:
    """Have a link sent beside this request; say whether there was room for it."""
    if not _places.acquire(blocking=False):
        log.error("A password link was not sent: %s requests wait for the mail server already.", WAITING)
        return False
    _sender.submit(_send_and_close, email)
    return True


def _send_and_close(email: str) -> None:
    try:
        send_link(email=email, actor=Actor(name="system", via="task"), now=timezone.now())
    except Exception:
        log.exception("A password link could not be sent.")
    finally:
        _places.release()
        connections.close_all()


def send_link(*, email: str, actor: Actor, now: datetime.datetime) -> bool:
    """Send a link to the account with this address; say whether there was one to send to.

    Accounts that are switched off, or never had a password (they sign in at the institution, or get
    their first link from the billing office), get none; nobody gets more than 3 an hour.
    """
    user = users_addressed(normalized_email(email)).filter(is_active=True).first()
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
