"""What every page of the staff shows around its content: notices, the month worked on, and the navigation."""

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from billing import doors, notices
from billing.models import User

from .navigation import Group, list_label, navigation, page_of_month, related
from .working_period import working_period


def context_for(request: HttpRequest) -> dict[str, Any]:
    """Return what the templates of the frame need.

    It is looked up when a template asks for it: pages without a frame, such as those in a popup, ask nothing.
    """
    return {
        "notices": SimpleLazyObject(partial(_notices_for, request.user)),  # type: ignore[arg-type]
        "working": SimpleLazyObject(partial(working_period, request)),
        "period_page": SimpleLazyObject(partial(page_of_month, request)),
        "navigation": SimpleLazyObject(partial(_navigation_for, request)),
        "list_label": list_label(request),
        "related_lists": SimpleLazyObject(partial(related, request)),
    }


def _notices_for(user: User) -> list[dict[str, Any]]:
    """Return what a member of staff is told on every page, with a link to what they may do about it."""
    return [
        {"text": notice.text, "tone": notice.tone, "link": doors.link_where_allowed(notice.then, user)}
        for notice in notices.notices_for(user)
    ]


def _navigation_for(request: HttpRequest) -> list[Group]:
    return navigation(request, working_period(request).period)
