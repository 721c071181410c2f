"""Tokens for programs: making them, revoking them, and telling whose a request is."""

import datetime
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from . import audit
from .audit import Actor
from .errors import BillingError
from .models import ApiToken, Department, Person, Project, User
from .models.api_tokens import START, WINDOW, hashed
from .texts import long_date

# How long a token may last, and how many one person may have that work.
LONGEST = datetime.timedelta(days=366)
MOST = 20
# ocb_1a2b3c4d_ and 43 characters that hold 256 random bits.
TOKEN = re.compile(rf"({START}_[0-9a-f]{{8}})_[A-Za-z0-9_-]{{43}}")
# What a secret that nobody has is compared with.
NOBODYS = hashed("nobody")
MAKES_SERVICE_TOKENS = "billing.add_apitoken"


class NoSuchLife(BillingError):
    """A token is to expire on a day that is past, or too far ahead."""


class TooManyTokens(BillingError):
    """Somebody has as many tokens as one person may have."""


class NoScope(BillingError):
    """A service token is to see nothing, or everything and a part of it."""


class NameTaken(BillingError):
    """Somebody has a token of this name that is not revoked."""


class AlreadyRevoked(BillingError):
    """A token that was revoked is to be revoked again."""


class TokenRefused(BillingError):
    """A request has no token that works. The message says why, and nothing of what was sent."""


class TooManyRequests(BillingError):
    """A token has asked as often as it may in a minute."""

    def __init__(self, *, limit: int, seconds: int) -> None:
        super().__init__(f"This token may ask {limit} times a minute.")
        self.seconds = seconds


@dataclass(frozen=True)
class Scope:
    """What a service token sees: everything, or statements of these PIs, projects and departments."""

    everything: bool = False
    people: Collection[Person] = field(default=())
    projects: Collection[Project] = field(default=())
    departments: Collection[Department] = field(default=())

    @property
    def is_of_parts(self) -> bool:
        return any(map(len, (self.people, self.projects, self.departments)))


def make(*, token: ApiToken, actor: Actor, now: datetime.datetime) -> str:
    """Make a token that sees what its owner sees, and return its secret, which nothing keeps.

    `token` is new and has a name, an owner and a last day. Raises what `require_makeable` raises.
    """
    token.kind = ApiToken.Kind.PORTAL
    return _make(token=token, scope=Scope(), actor=actor, now=now)


def make_for_service(*, token: ApiToken, scope: Scope, actor: Actor, now: datetime.datetime) -> str:
    """Make a token of a chosen scope, and return its secret. Raises what `require_makeable` raises."""
    token.kind, token.sees_everything = ApiToken.Kind.SERVICE, scope.everything
    return _make(token=token, scope=scope, actor=actor, now=now)


def require_makeable(*, token: ApiToken, scope: Scope, now: datetime.datetime) -> None:
    """Raise NoSuchLife, NoScope, NameTaken or TooManyTokens if a new token cannot be made."""
    today = timezone.localdate(now)
    if not today <= token.valid_until <= today + LONGEST:
        raise NoSuchLife("Choose a last day from today on, at most a year ahead.")
    if token.kind == ApiToken.Kind.SERVICE and scope.everything == scope.is_of_parts:
        raise NoScope("Choose either all statements, or PIs, projects or departments.")
    own = ApiToken.objects.filter(owner=token.owner_id)
    if own.filter(name=token.name, revoked_at__isnull=True).exists():
        raise NameTaken("You have a token with this name. Choose another name, or revoke that token first.")
    if own.in_force(on=today).count() >= MOST:
        raise TooManyTokens(f"You have {MOST} tokens that work. Revoke one that is not used any more.")


def _make(*, token: ApiToken, scope: Scope, actor: Actor, now: datetime.datetime) -> str:
    with audit.gesture(actor=actor, now=now) as gesture:
        # Whoever makes two at once waits here, so that both are counted.
        User.objects.select_for_update().get(pk=token.owner_id)
        require_makeable(token=token, scope=scope, now=now)
        token.prefix = f"{START}_{secrets.token_hex(4)}"
        secret = f"{token.prefix}_{secrets.token_urlsafe(32)}"
        token.secret_hash, token.created_at = hashed(secret), now
        token.save()
        token.people.set(scope.people)
        token.projects.set(scope.projects)
        token.departments.set(scope.departments)
        gesture.record("api_token.made", token, after=_told(token, scope))
    return secret


def _told(token: ApiToken, scope: Scope) -> dict[str, object]:
    told: dict[str, object] = {
        "kind": token.kind,
        "owner": token.owner.get_username(),
        "valid_until": token.valid_until,
    }
    if token.kind == ApiToken.Kind.SERVICE:
        told |= {
            "sees_everything": scope.everything,
            "people": [each.email for each in scope.people],
            "projects": [each.code for each in scope.projects],
            "departments": [each.code for each in scope.departments],
        }
    return told


def revoke(*, token: ApiToken, actor: Actor, now: datetime.datetime) -> None:
    """Have a token work no longer, from this moment on. Raises AlreadyRevoked."""
    with audit.gesture(actor=actor, now=now) as gesture:
        of_it = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True)
        if not of_it.update(revoked_at=now, revoked_by_name=actor.name):
            raise AlreadyRevoked(f"The token {token} was revoked before.")
        token.refresh_from_db()
        gesture.record("api_token.revoked", token, after={"owner": token.owner.get_username()})


def token_of(authorization: str, *, now: datetime.datetime) -> ApiToken:
    """Return the token of a request by its header `Authorization: Bearer …`, and count the request.

    Raises TokenRefused and TooManyRequests.
    """
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise TokenRefused("Send a token: Authorization: Bearer ocb_…")
    match = TOKEN.fullmatch(secret.strip())
    found = ApiToken.objects.select_related("owner").filter(prefix=match[1]).first() if match else None
    # In a time that does not tell how much of it was right. The prefix is no secret.
    is_right = constant_time_compare(hashed(match[0] if match else ""), found.secret_hash if found else NOBODYS)
    if found is None or not is_right:
        raise TokenRefused("There is no such token.")
    _require_working(found, on=timezone.localdate(now))
    limit = settings.API_REQUESTS_PER_MINUTE
    if not ApiToken.objects.filter(pk=found.pk).count_request(limit=limit, now=now):
        found.refresh_from_db(fields=["window_began_at"])
        left = (found.window_began_at or now) + WINDOW - now
        raise TooManyRequests(limit=limit, seconds=max(1, -int(-left.total_seconds() // 1)))
    return found


def _require_working(token: ApiToken, *, on: datetime.date) -> None:
    if token.revoked_at is not None:
        raise TokenRefused("This token was revoked.")
    if token.valid_until < on:
        raise TokenRefused(f"This token expired: its last day was {long_date(token.valid_until)}.")
    if not token.owner.is_active:
        raise TokenRefused("The account that this token belongs to is switched off.")
    if token.kind == ApiToken.Kind.SERVICE and not token.owner.has_perm(MAKES_SERVICE_TOKENS):
        raise TokenRefused("Whoever made this token may no longer make such tokens.")
