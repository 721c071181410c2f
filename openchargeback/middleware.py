"""What stands between a request and its view: who may speak for whom, how long a session lasts, how much is sent."""

import functools
import hashlib
import itertools
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django import db
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions import middleware as sessions
from django.core.files.uploadedfile import UploadedFile
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.formats import date_format
from whitenoise.middleware import WhiteNoiseMiddleware

from billing import incidents, once, once_a_page, safeguards
from billing.models import SentForm
from billing.models.periods import PeriodClosed
from billing.models.standing import KeptForEver

from . import errors, proxies, sign_ins, single_sign_on

# Forms of strangers (the sign-in page), and of people: review sheets and lists of funds. Only the page
# for imports takes more.
STRANGERS_BYTES = 1024**2
PEOPLES_BYTES = 65 * 1024**2
DELIVERIES = "/admin/billing/import/upload/"

# Signing in and out by hand works in spite of the header: these pages do not sign anybody in by themselves. Nor does
# the API, where only a token counts.
BY_HAND = ("/accounts/", errors.API)
# How often a session that is in use is written.
SEEN_EVERY = 60

FOR, PROTO = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"
# What may stand in a request about where and how it came. Two count, from a trusted proxy; the rest nobody here reads,
# but a web server may have: gunicorn calls a request https on the word of the last two.
FORWARDED = (
    *(FOR, PROTO, "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_SERVER", "HTTP_X_REAL_IP"),
    *("HTTP_FORWARDED", "HTTP_X_FORWARDED_PROTOCOL", "HTTP_X_FORWARDED_SSL"),
)
# What else a client sends stands in META without HTTP_ before its name.
SENT = ("CONTENT_TYPE", "CONTENT_LENGTH", "QUERY_STRING", "REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME")
SCHEMES = (PROTO, "HTTP_X_FORWARDED_PROTOCOL", "HTTP_X_FORWARDED_SSL")

Respond = Callable[[HttpRequest], HttpResponse]

log = logging.getLogger(__name__)

# Django's page that closes a window in which something was added or changed for the form behind it.
POPUP = "admin/popup_response.html"


def answering(respond: Callable[[Any, HttpRequest], Any]) -> Callable[[Any, HttpRequest], Any]:
    """Let a middleware that asks the database outside of any view answer 503 where that is out of order."""

    @functools.wraps(respond)
    def answer(middleware: object, request: HttpRequest) -> Any:
        try:
            return respond(middleware, request)
        except Exception as error:
            if page := errors.unavailable(request, error):
                return page
            raise

    return answer


class SessionMiddleware(sessions.SessionMiddleware):
    """Django's, which keeps the session when the page is made."""

    @answering
    def __call__(self, request: HttpRequest) -> Any:
        return super().__call__(request)


class OutageMiddleware:
    """Answer 503 where what was sent cannot be kept; it must stand before whoever reads a form first (CSRF)."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: object) -> HttpResponse | None:
        try:
            # Large uploads are written to the disk now.
            _ = request.POST
        except OSError as error:
            for handler in request.upload_handlers:
                # What was received until then is a file of its own, which goes when it is closed.
                if received := getattr(handler, "file", None):
                    received.close()
            return errors.unavailable(request, error)
        return None


class ReferenceMiddleware:
    """Give each request a reference, which its lines of the log carry and the page of an error shows; it stands first.

    `request.reference` is for what is logged when every middleware is through.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with incidents.named() as reference:
            request.reference = reference  # type: ignore[attr-defined]
            response = self.get_response(request)
        if response.status_code >= 400:
            response.headers["X-Reference"] = reference
        return response


class TrustedProxyMiddleware:
    """Take from a trusted proxy who asks and who they are; throw such headers of anybody else away.

    Nothing that reads a request stands before it. A server writes `X-Remote-User` and `X_Remote_User` to the same
    name, which is taken out under that name: nothing that a client sends under either reaches a view.
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
        sent = {header: request.META.pop(header) for header in FORWARDED if header in request.META}
        if not _ends_tls(request) and not sent.keys().isdisjoint(SCHEMES):
            # What the web server made of these headers for a peer that it trusts, and we may not.
            request.META["wsgi.url_scheme"] = "http"
            if isinstance(request, ASGIRequest):
                request.scope["scheme"] = "http"  # type: ignore[index]
        request.META["REMOTE_ADDR"] = proxies.client_of(peer, sent.get(FOR, ""), settings.TRUSTED_PROXIES)
        if trusted:
            if PROTO in sent:
                request.META[PROTO] = "https" if proxies.is_https(sent[PROTO]) else "http"
        else:
            name = email = ""
        request.told_by_proxy = (  # type: ignore[attr-defined]
            single_sign_on.Identity(name=name, email=email, door="proxy") if name else None
        )
        return self.get_response(request)


def _ends_tls(request: HttpRequest) -> bool:
    """Say whether this process itself talked TLS with the peer (gunicorn with a certificate)."""
    return isinstance(request.META.get("gunicorn.socket"), ssl.SSLSocket)


class PlainTextMiddleware:
    """Answer 400 to an address, header or cookie with a NUL or half a character in it: no database takes either."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        headers = (value for name, value in request.META.items() if name in SENT or name.startswith("HTTP_"))
        texts = itertools.chain([request.path], headers, _texts(request.GET), _texts(request.COOKIES))
        if not all(map(_is_storable, texts)):
            return errors.refused_as_bad(request, "a NUL or half a character in an address, header or cookie")
        return self.get_response(request)


class PlainFormMiddleware:
    """Answer 400 to a form with such a text in it. It reads the form: it must stand behind the limit of its size."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: object) -> HttpResponse | None:
        if request.method == "POST":
            names = (each.name or "" for files in request.FILES.lists() for each in files[1])
            if not all(map(_is_storable, itertools.chain(_texts(request.POST), names))):
                return errors.refused_as_bad(request, "a NUL or half a character in a form")
        return None


def _texts(given: Mapping[str, Any]) -> Iterator[str]:
    for name, values in given.lists() if isinstance(given, QueryDict) else given.items():
        yield name
        yield from values if isinstance(values, list) else [values]


def _is_storable(text: object) -> bool:
    # Nearly every text is one of few letters that a look at its bytes tells.
    if not isinstance(text, str) or text.isascii():
        return not isinstance(text, str) or "\0" not in text
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """Serves style sheets and fonts from where they lie; STATIC_ROOT exists only where somebody collected them."""

    def add_files(self, root: str | Path, prefix: str | None = None) -> None:
        if Path(root).is_dir():
            super().add_files(root, prefix)


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

    @answering
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

    @answering
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

    @answering
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
            return errors.too_large(request, limit=filesizeformat(limit), sent=filesizeformat(length))
        return self.get_response(request)


class OnceMiddleware:
    """Do what a page asks for once, however often it is sent; a second time leads to what the first made.

    It must stand behind messages, which tell what was refused. Forms that carry no token pass.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    @answering
    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        claimed: SentForm | None = getattr(request, "sent_form", None)
        if claimed is None:
            return response
        led_to = _led_to(response)
        try:
            if led_to and not _is_refused(request):
                once.done(claimed, led_to=led_to, now=timezone.now())
            elif response.status_code < 500 or response.status_code == errors.UNAVAILABLE:
                once.release(claimed)
            # What failed half-way stays claimed: nobody knows what of it was done.
        except db.Error:
            # The answer says what came of the form; that it cannot be noted changes nothing about that.
            log.exception("What came of a form could not be noted: %s", request.path)
        return response

    # Behind the checks of forms, which read them first.
    def process_view(self, request: HttpRequest, *view: object) -> HttpResponse | None:
        user = request.user
        if request.method != "POST" or not user.is_authenticated:
            return None
        token = once.token_in(request.POST.get("once", "")) or once.token_in(request.POST.get("confirmed", ""))
        if not token:
            return None
        key = once.key_of(token=token, user=user, sent=_as_sent(request))
        try:
            claimed = once.claim(key=key, user=user, now=timezone.now())
            if claimed is None:
                return self._sent_before(request, key)
        except Exception as error:
            if page := errors.unavailable(request, error):
                return page
            raise
        request.sent_form = claimed  # type: ignore[attr-defined]
        return None

    def _sent_before(self, request: HttpRequest, key: str) -> HttpResponse:
        before = once.sent_before(key)
        if before is None:
            said = "This was sent twice at the same time, and refused."
            return errors.conflict(request, said, then="Go back, and look at it again.")
        at = date_format(timezone.localtime(before.sent_at), "H:i:s")
        if not before.done_at:
            said = f"This was sent at {at} already, and is not done yet."
            then = "See what came of it before you send it again."
            return errors.conflict(request, said, heading="Not done yet", then=then)
        if before.led_to.startswith(POPUP):
            # The window that opened the form closes it, and has what was added once.
            return render(request, POPUP, {"popup_response_data": before.led_to.removeprefix(POPUP).strip()})
        messages.warning(request, f"This was done already, at {at}. It was not done again.")
        return HttpResponseRedirect(before.led_to)


def _as_sent(request: HttpRequest) -> Iterator[str]:
    yield request.get_full_path()
    for name, values in sorted(request.POST.lists()):
        if name != "csrfmiddlewaretoken":
            yield from (name, *values)
    for name, files in sorted(request.FILES.lists()):
        yield from (name, *(f"{file.name} {_digest(file)}" for file in files))


def _digest(file: UploadedFile) -> str:
    """Return what tells a file from another of its name and size: a corrected one is another form."""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def _led_to(response: HttpResponse) -> str:
    """Return where a page leads that did what was asked for; "" for one that did not."""
    if response.status_code in (301, 302, 303):
        return response["Location"]
    # A form in a window of its own leads back to the window that opened it, in a page that is shown.
    added = (getattr(response, "context_data", None) or {}).get("popup_response_data")
    return f"{POPUP} {added}" if added else ""


def _is_refused(request: HttpRequest) -> bool:
    """Say whether a page said so in a message: a refusal may lead on, too."""
    # To iterate over messages by their public name would mark them as shown.
    queued = request._messages._queued_messages  # type: ignore[attr-defined]  # noqa: SLF001 (see above)
    return any(message.level >= messages.ERROR for message in queued)


class RefusalMiddleware:
    """Show what a safeguard or the machine said, where a page did not: neither is a failure of the program."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 409 with the refusal, 503 with an outage; leave every other error alone. Nothing was stored."""
        if page := errors.unavailable(request, exception):
            return page
        said = str(exception) if isinstance(exception, PeriodClosed | KeptForEver) else ""
        if isinstance(exception, db.IntegrityError):
            said = safeguards.said(exception)
        if not said and settings.DEBUG and errors.is_of_api(request):
            # In debug mode Django would show its page for developers.
            log.exception("Internal Server Error: %s", request.path)
            return errors.broke(request)
        return errors.conflict(request, said) if said else None


class OnceAPageMiddleware:
    """Have a page that changes nothing ask once for what it needs often: the policy, and who holds a permission."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return self.get_response(request)
        with once_a_page.reading():
            return self.get_response(request)
