"""The HTML of e-mails on pages of the staff: in a frame that runs nothing, loads nothing and leads nowhere."""

import hashlib
from typing import Any, TypeVar

from csp.constants import NONE, SELF
from django.contrib.sessions.backends.base import SessionBase
from django.http import Http404, HttpRequest, HttpResponse

KEPT_AS = "letters"
# So many previews a person may have open at once.
KEPT = 6

LETTER = {
    "default-src": [NONE],
    "script-src": [NONE],
    "style-src": ["'unsafe-inline'"],
    # Images would tell their server that somebody looks.
    "img-src": ["data:"],
    "font-src": [NONE],
    "connect-src": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [SELF],
    "sandbox": True,
}

Page = TypeVar("Page", bound=HttpResponse)


def showing_letter(page: Page) -> Page:
    """Let a page show an e-mail in a frame."""
    page._csp_update = {"frame-src": [SELF]}  # type: ignore[attr-defined]  # noqa: SLF001 (what csp_update sets)
    return page


def framed(html: str) -> HttpResponse:
    """Return the HTML of an e-mail, for the frame of a page of the staff."""
    answer = HttpResponse(html, headers={"X-Frame-Options": "SAMEORIGIN"})
    answer._csp_replace = LETTER  # type: ignore[attr-defined]  # noqa: SLF001 (what csp_replace sets)
    return answer


def keep(session: SessionBase, html: str) -> str:
    """Keep the HTML of a preview for the frame that asks for it next; return the name to ask by."""
    name = hashlib.sha256(html.encode()).hexdigest()[:20]
    letters: dict[str, Any] = session.get(KEPT_AS, {})
    # What is there already is not written again.
    if name not in letters:
        session[KEPT_AS] = {**dict(list(letters.items())[1 - KEPT :]), name: html}
    return name


def kept_view(request: HttpRequest, name: str) -> HttpResponse:
    """Show the HTML of a preview to whoever was shown its page."""
    html = request.session.get(KEPT_AS, {}).get(name)
    if html is None:
        raise Http404("There is no such preview any more.")
    return framed(html)
