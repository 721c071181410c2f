"""Sign-ins, failed and refused ones and sign-outs, into the audit log; sessions begun without a password."""

import datetime
import hashlib
import time
from typing import Any

from axes.signals import user_locked_out
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.cache import cache
from django.db.models.signals import m2m_changed
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.crypto import salted_hmac

from billing import audit
from billing.audit import Actor
from billing.models import AuditEvent, User

from . import single_sign_on

# In a session: when it was begun and last used (seconds), and whom the proxy named where it began it.
BEGUN, SEEN, NAMED_BY_PROXY = "begun_at", "seen_at", "named_by_proxy"
# A person who is refused and tries again is told again, but written down once in so many seconds.
REFUSED_EVERY = 600
LONGEST_NAME = User._meta.get_field("username").max_length or 150


def signed_in(sender: object, request: HttpRequest | None, user: User, **kwargs: object) -> None:
    if request is not None and hasattr(request, "session"):
        request.session[BEGUN] = request.session[SEEN] = int(time.time())
    door = getattr(request, "sign_in_door", "")
    _record("session.signed_in", Actor.from_user(user), user, request, **({"door": door} if door else {}))


def signed_out(sender: object, request: HttpRequest | None, user: User | None, **kwargs: object) -> None:
    # None where the session had ended before.
    if user is not None:
        _record("session.signed_out", Actor.from_user(user), user, request)


def expired(request: HttpRequest) -> None:
    """Note that a session ends by itself: it was too old, or the proxy names somebody else or nobody."""
    if isinstance(request.user, User):
        _record("session.expired", Actor.from_user(request.user), request.user, request)


def sign_in_failed(
    sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: object
) -> None:
    # What is tried against a lock is told once, by `locked_out`: the audit log is no place to fill by guessing.
    if not getattr(request, "axes_locked_out", False):
        _record("session.failed", _typed(credentials.get("username")), None, request)


def locked_out(sender: object, request: HttpRequest, username: str | None, **kwargs: object) -> None:
    # As axes has it, which asked `name_kept`.
    actor = Actor(name=username or "nobody", via="web")
    since = timezone.now() - datetime.timedelta(seconds=settings.AXES_COOLOFF_TIME.total_seconds())
    if not AuditEvent.objects.filter(action="session.locked_out", actor_name=actor.name, at__gte=since).exists():
        _record("session.locked_out", actor, None, request)


def sign_in_as_told(request: HttpRequest, told: single_sign_on.Identity) -> User:
    """Begin a session for whom the institution names; raises single_sign_on.Refused."""
    user = single_sign_on.user_of(told, now=timezone.now())
    request.sign_in_door = told.door  # type: ignore[attr-defined]
    auth.login(request, user, backend="openchargeback.backends.RolesBackend")
    if told.door == "proxy":
        request.session[NAMED_BY_PROXY] = told.key
    return user


def refused(request: HttpRequest, told: single_sign_on.Identity, why: Exception) -> HttpResponse:
    """Say why somebody the institution knows may not come in, and write it down."""
    # Without an identity all refusals have one key: by address, so that a noisy client hides nobody else's.
    address = request.META.get("REMOTE_ADDR", "")
    mark = hashlib.sha256(f"{told.door} {told.key} {address}".encode()).hexdigest()
    if cache.add(f"sign-in-refused-{mark}", True, REFUSED_EVERY):
        # The institution's own word, not somebody's typing.
        with audit.gesture(actor=Actor(name=str(told)[:64] or "nobody", via="web"), now=timezone.now()) as gesture:
            gesture.record(
                "session.refused",
                None,
                after={"door": told.door} | ({"address": address} if address else {}),
                note=str(why),
            )
    return render(request, "registration/refused.html", {"why": str(why)}, status=403)


def name_kept(request: HttpRequest | None, credentials: dict[str, Any] | None = None) -> str | None:
    """Return under which name axes counts an attempt: see `kept_of`."""
    typed = (credentials or {}).get("username") or (request.POST.get("username") if request else None)
    return kept_of(typed) if typed else None


def kept_of(typed: object) -> str:
    """Return what is kept of a name that was typed at the sign-in: an account's name, or else its letters’ hash.

    What was typed may be a password in the wrong field, and what is kept is kept permanently. The first letters tell
    a person which of their typing errors it was; the hash, keyed with SECRET_KEY, tells the same name again.
    """
    name = str(typed or "")
    if not name or len(name) <= LONGEST_NAME and User.objects.filter(username=name).exists():
        return name
    # Of a short name nothing, else hardly anything would be left to guess.
    first = name[:2] if len(name) >= 8 and name[:2].isprintable() else ""
    return f"{first}…{salted_hmac('openchargeback.sign_ins.kept_of', name, algorithm='sha256').hexdigest()[:12]}"


def _typed(name: object) -> Actor:
    return Actor(name=kept_of(name) or "nobody", via="web")


def _record(action: str, actor: Actor, user: User | None, request: HttpRequest | None, **about: str) -> None:
    address = request.META.get("REMOTE_ADDR", "") if request else ""
    after = about | ({"address": address} if address else {})
    with audit.gesture(actor=actor, now=timezone.now()) as gesture:
        gesture.record(action, user, after=after or None)


def roles_changed(
    sender: Any, instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **kwargs: Any
) -> None:
    """End the sessions of whoever gains or loses a role or permission, by whichever door."""
    if action not in ("post_add", "post_remove", "pre_clear") or pk_set == set():
        return
    if not reverse:
        instance.end_sessions()
    else:
        # The role's end of the tie: who is added to it, taken from it, or (cleared) all that have it.
        (User.objects.filter(pk__in=pk_set) if pk_set else instance.user_set.all()).end_sessions()


def connect() -> None:
    """Listen to the signals of Django and of axes; called once, when the apps are ready."""
    m2m_changed.connect(roles_changed, sender=User.groups.through, dispatch_uid="sessions-roles")
    m2m_changed.connect(roles_changed, sender=User.user_permissions.through, dispatch_uid="sessions-permissions")
    user_logged_in.connect(signed_in, dispatch_uid="audit-signed-in")
    user_logged_out.connect(signed_out, dispatch_uid="audit-signed-out")
    user_login_failed.connect(sign_in_failed, dispatch_uid="audit-sign-in-failed")
    user_locked_out.connect(locked_out, dispatch_uid="audit-locked-out")
