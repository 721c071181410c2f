"""The HTML of e-mails on pages of the staff: in a frame that runs nothing, loads nothing and leads nowhere."""

import hashlib
from typing import Any

from csp.constants import NONE, SELF
from csp.decorators import csp_replace, csp_update
from django.contrib.sessions.backends.base import SessionBase
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.clickjacking import xframe_options_sameorigin

KEPT_AS = "letters"
# So many previews a person may have open at once.
KEPT = 6

# For a page that shows one.
shows_letter = csp_update({"frame-src": [SELF]})


@csp_replace(
    {
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
)
@xframe_options_sameorigin
def framed(request: HttpRequest, html: str) -> HttpResponse:
    """Answer with the HTML of an e-mail, for the frame of a page of the staff."""
    return HttpResponse(html)


def keep(session: SessionBase, html: str) -> str:
    """Keep the HTML of a preview for the frame that asks for it next; return the name to ask by."""
    name = hashlib.sha256(html.encode()).hexdigest()[:20]
    letters: dict[str, Any] = session.get(KEPT_AS, {})
    letters.pop(name, None)
    session[KEPT_AS] = {**dict(list(letters.items())[1 - KEPT :]), name: html}
    return name


def kept_view(request: HttpRequest, name: str) -> HttpResponse:
    """Show the HTML of a preview to whoever was shown its page."""
    html = request.session.get(KEPT_AS, {}).get(name)
    if html is None:
        raise Http404("There is no such preview any more.")
    return framed(request, html)
