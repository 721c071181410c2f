"""Sign-ins, failed ones and sign-outs, into the audit trail."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest
from django.utils import timezone

from billing import audit
from billing.audit import Actor
from billing.models import User


def signed_in(sender: Any, request: HttpRequest | None, user: User, **kwargs: Any) -> None:
    _record("session.signed_in", Actor.from_user(user), user, request)


def signed_out(sender: Any, request: HttpRequest | None, user: User | None, **kwargs: Any) -> None:
    # None where the session had ended before.
    if user is not None:
        _record("session.signed_out", Actor.from_user(user), user, request)


def sign_in_failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any) -> None:
    # What was typed may be a password in the wrong field: it is cut short.
    name = str(credentials.get("username", ""))[:64]
    _record("session.failed", Actor(name=name or "nobody", via="web"), None, request)


def _record(action: str, actor: Actor, user: User | None, request: HttpRequest | None) -> None:
    address = request.META.get("REMOTE_ADDR", "") if request else ""
    with audit.gesture(actor=actor, now=timezone.now()) as gesture:
        gesture.record(action, user, after={"address": address} if address else None)


def connect() -> None:
    """Listen to Django's signals; called once, when the apps are ready."""
    user_logged_in.connect(signed_in, dispatch_uid="audit-signed-in")
    user_logged_out.connect(signed_out, dispatch_uid="audit-signed-out")
    user_login_failed.connect(sign_in_failed, dispatch_uid="audit-sign-in-failed")
