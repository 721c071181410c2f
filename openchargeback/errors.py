"""Pages of errors: what happened, what to do next, and the reference that finds the event in the log.

Staff see the frame of the admin, everybody else that of the portal. Where the database may be the reason (500, 503),
or nobody knows yet who asks, the frame is a plain one that asks the database nothing.
"""

import logging
import sys
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import get_template
from django.urls import reverse
from django.utils.log import log_response

from billing import incidents
from billing.background import outages
from statements.api import refusals

log = logging.getLogger(__name__)

API = "/api/"
UNAVAILABLE = 503
# When a browser, or a program, may ask again: a lock or a restart takes about as long.
RETRY_AFTER = 60


@dataclass(frozen=True)
class Told:
    """What a page of an error says: a heading, what happened, and what to do next."""

    heading: str
    said: str
    then: str


NOT_UNDERSTOOD = Told(
    "Not understood",
    "The program does not answer to this address, or could not read what was sent. Nothing was changed.",
    "Check the address. If it is right, ask an administrator.",
)
NOT_ALLOWED = Told(
    "Not allowed",
    "Your role does not allow this. Nothing was changed.",
    "If it should, ask an administrator for the role.",
)
OPEN_TOO_LONG = Told(
    "The page was open too long",
    "The form could not be matched to your session. Nothing was changed.",
    "Go back, reload the page and try again. Your browser has to accept cookies.",
)
NOT_FOUND = Told(
    "Not found",
    "There is no such page, or it is not yours to see.",
    "Check the address, or look for it from the start.",
)
BROKE = Told(
    "Something broke",
    "The program failed while it made this page. Nothing is half done: a change was made whole, or not at all.",
    "Try again. If it happens again, give an administrator the reference below.",
)


def is_of_api(request: HttpRequest) -> bool:
    """Tell whether a program asks, which reads JSON whatever happens, and has a token in place of a session."""
    return request.path.startswith(API)


def page(request: HttpRequest, status: int, told: Told, *, asks_nothing: bool = False) -> HttpResponse:
    """Return the page of an error, or one JSON object for the API and for a script that asks for JSON.

    With `asks_nothing` it asks the database nothing, not even who is signed in.
    """
    reference = incidents.reference()
    wants = request.get_preferred_type(["text/html", "application/json"])
    if wants == "application/json" or is_of_api(request):
        return JsonResponse(refusals.body(told.heading, told.said, told.then), status=status)
    user = None if asks_nothing else getattr(request, "user", None)
    is_staff = user is not None and admin.site.has_permission(request)
    context: dict[str, Any] = {"status": status, "told": told, "reference": reference}
    if user is None:
        context["back"] = _way_back(request, user=getattr(request, "_cached_user", None))
        return HttpResponse(get_template("errors/plain.html").render(context), status=status)
    context["back"] = _way_back(request, user=user)
    if not is_staff:
        return render(request, "errors/portal.html", context, status=status)
    frame = {**admin.site.each_context(request), "title": told.heading, "is_popup": "_popup" in request.GET}
    return render(request, "errors/staff.html", {**frame, **context}, status=status)


def _way_back(request: HttpRequest, *, user: Any) -> dict[str, str]:
    """Return where to go on: the admin's start for staff, the portal's for PIs, the front door for a stranger."""
    if user is None or not user.is_authenticated:
        # Where an address is for staff, whoever asked for it will be asked to sign in there.
        is_admin = request.path.startswith(reverse("admin:index"))
        url, label = (reverse("admin:index"), "Back to the dashboard") if is_admin else (reverse("home"), "")
        return {"url": url, "label": label or "Back to the start"}
    if user.is_staff:
        return {"url": reverse("admin:index"), "label": "Back to the dashboard"}
    return {"url": reverse("portal:statements"), "label": "Back to my statements"}


def bad_request(request: HttpRequest, exception: BaseException | None = None) -> HttpResponse:
    """Answer 400; what could not be read is not shown."""
    return page(request, 400, NOT_UNDERSTOOD)


def refused_as_bad(request: HttpRequest, why: str) -> HttpResponse:
    """Answer 400, and note it in one line of the log."""
    response = bad_request(request, SuspiciousOperation(why))
    log_response("Refused: %s: %s", request.path, why, response=response, request=request)
    return response


def forbidden(request: HttpRequest, exception: BaseException | None = None) -> HttpResponse:
    """Answer 403 to who lacks a permission."""
    return page(request, 403, NOT_ALLOWED)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403 to a form without its token."""
    return page(request, 403, OPEN_TOO_LONG)


def not_found(request: HttpRequest, exception: BaseException | None = None) -> HttpResponse:
    """Answer 404; it does not say whether there is such a thing that somebody else may see."""
    return page(request, 404, NOT_FOUND)


def conflict(request: HttpRequest, said: str, *, heading: str = "Nothing was changed", then: str = "") -> HttpResponse:
    """Answer 409 with what was refused and why, and note it in one line of the log."""
    told = Told(heading, said, then or "Go back, look at it as it is now, and decide again.")
    response = page(request, 409, told)
    log_response("Refused: %s: %s", request.path, said, response=response, request=request)
    return response


def too_large(request: HttpRequest, *, limit: str, sent: str) -> HttpResponse:
    """Answer 413 to a body of more than `limit`, both in words, and note it in one line of the log."""
    told = Told(
        "Too large",
        f"You sent {sent}. At most {limit} can be sent at once. Nothing was changed.",
        "Send fewer files at a time.",
    )
    response = page(request, 413, told)
    log_response("Refused: %s: %s of at most %s", request.path, sent, limit, response=response, request=request)
    return response


def unavailable(request: HttpRequest, error: BaseException) -> HttpResponse | None:
    """Return the page that says what is out of order (503) where an error comes from there; None for a fault of ours.

    It asks the database nothing: not even who is signed in.
    """
    outage = outages.outage_of(error)
    if outage is None:
        return None
    log.error("A page could not be shown. %s", outage)
    told = Told("Not available for the moment", outage.said, "If it lasts, give an administrator the reference below.")
    response = page(request, UNAVAILABLE, told, asks_nothing=True)
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def broke(request: HttpRequest) -> HttpResponse:
    """Answer for an error that nothing else answered: 503 where the database or the disk is out of order, else 500."""
    error = sys.exc_info()[1]
    return (unavailable(request, error) if error else None) or page(request, 500, BROKE, asks_nothing=True)
