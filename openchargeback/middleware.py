"""What stands between a request and its view: who may speak for whom, how long a session lasts, how much is sent."""

import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from billing import walls
from billing.models.periods import PeriodClosed
from billing.models.standing import KeptForEver

from . import proxies, sign_ins, single_sign_on

# Forms of strangers (the sign-in page), and of people: review sheets and lists of funds. Only the page
# for deliveries takes more.
STRANGERS_BYTES = 1024**2
PEOPLES_BYTES = 65 * 1024**2
DELIVERIES = "/admin/billing/import/upload/"

# Signing in and out by hand works in spite of the header: these pages do not sign anybody in by themselves.
BY_HAND = "/accounts/"
# How often a session that is in use is written.
SEEN_EVERY = 60

FORWARDED = (
    *("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT"),
    "HTTP_FORWARDED",
)

Respond = Callable[[HttpRequest], HttpResponse]


class TrustedProxyMiddleware:
    """Take from a trusted proxy who asks and who they are; throw such headers of anybody else away.

    It must stand first. A server writes `X-Remote-User` and `X_Remote_User` to the same name, which is
    taken out under that name: nothing that a client sends under either reaches a view.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        peer = request.META.get("REMOTE_ADDR", "")
        trusted = proxies.is_trusted(peer, settings.TRUSTED_PROXIES)
        name, email = (
            request.META.pop(proxies.meta_name(header), "").strip() if header else ""
            for header in (settings.REMOTE_USER_HEADER, settings.REMOTE_USER_EMAIL_HEADER)
        )
        # `request.headers` reads META when it is first asked, which is after this.
        if trusted:
            request.META["REMOTE_ADDR"] = proxies.client_of(
                peer, request.META.get("HTTP_X_FORWARDED_FOR", ""), settings.TRUSTED_PROXIES
            )
        else:
            name = email = ""
            for header in FORWARDED:
                request.META.pop(header, None)
        request.told_by_proxy = (  # type: ignore[attr-defined]
            single_sign_on.Identity(name=name, email=email, door="proxy") if name else None
        )
        return self.get_response(request)


class SecurityHeadersMiddleware:
    """Say what a page needs of the browser, which is nothing special, and that no cache may keep it."""

    PERMISSIONS = ", ".join(
        f"{feature}=()"
        for feature in (
            *("accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media"),
            *("fullscreen", "geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment"),
            *("picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "usb", "xr-spatial-tracking"),
        )
    )

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", self.PERMISSIONS)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        # Style sheets and fonts say for themselves how long they keep.
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response


class SessionLifetimeMiddleware:
    """End a session that has lasted too long, or lain idle too long; it must stand behind authentication."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        session = request.session
        if SESSION_KEY in session:
            now = int(time.time())
            begun, seen = session.get(sign_ins.BEGUN), session.get(sign_ins.SEEN)
            if begun is None or seen is None:
                session[sign_ins.BEGUN] = session[sign_ins.SEEN] = now
            elif now - begun > settings.SESSION_COOKIE_AGE or now - seen > settings.SESSION_IDLE_SECONDS:
                sign_ins.expired(request)
                session.flush()
                request.user = AnonymousUser()
            elif now - seen > SEEN_EVERY:
                session[sign_ins.SEEN] = now
        return self.get_response(request)


class HeaderSignInMiddleware:
    """Sign in whom a trusted proxy names, for as long as it names them; it must stand behind authentication.

    A session begun with a password or by OpenID Connect stays what it is.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not settings.REMOTE_USER_HEADER:
            return self.get_response(request)
        told: single_sign_on.Identity | None = request.told_by_proxy  # type: ignore[attr-defined]
        before = request.session.get(sign_ins.NAMED_BY_PROXY)
        if before is not None and (told is None or told.key != before):
            sign_ins.expired(request)
            request.session.flush()
            request.user = AnonymousUser()
        if told and not request.path.startswith(BY_HAND) and not request.user.is_authenticated:
            try:
                sign_ins.sign_in_as_told(request, told)
            except single_sign_on.Refused as refusal:
                return sign_ins.refused(request, told, refusal)
        return self.get_response(request)


class UploadLimitMiddleware:
    """Refuse a body that is too large. It must stand behind authentication: only staff send large ones."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            length = 0
        if length <= STRANGERS_BYTES:
            # Nearly every request: asks nothing about who sends it.
            return self.get_response(request)
        limit = PEOPLES_BYTES if request.user.is_authenticated else STRANGERS_BYTES
        if request.path == DELIVERIES and request.user.is_authenticated and request.user.is_staff:
            # The form's other fields and the seams between files come on top.
            limit = settings.MAX_UPLOAD_BYTES + 1024**2
        if length > limit:
            return render(request, "413.html", {"limit": limit}, status=413)
        return self.get_response(request)


class RefusalMiddleware:
    """Show what a wall said, where a page did not: a closed month is no failure of the program."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 409 with the refusal; leave every other error alone. Nothing of the request was stored."""
        said = str(exception) if isinstance(exception, PeriodClosed | KeptForEver) else ""
        if isinstance(exception, IntegrityError):
            said = walls.said(exception)
        return render(request, "409.html", {"said": said}, status=409) if said else None
