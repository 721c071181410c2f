"""What every page of the staff shows around its content: notices, the month worked on, and the navigation."""

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from billing import doors, notices
from billing.models import User

from .navigation import Group, list_label, navigation, page_of_month, related
from .working_period import working_period

# The screens that hand work to the background worker, by how the names of their addresses begin.
QUEUES_WORK = (
    "index",
    *("billing_import_", "billing_job_", "billing_heldcharge_", "billing_charge_", "billing_billingperiod_"),
    *("billing_fundingsource_load", "billing_person_load", "journals_accountingperiod_load"),
    *("journals_validvaluelist_load", "journals_lookuptable_load"),
    *("statements_statement_", "statements_email_", "journals_journal_"),
)


def context_for(request: HttpRequest) -> dict[str, Any]:
    """Return what the templates of the frame need.

    It is looked up when a template asks for it: pages without a frame, such as those in a popup, ask nothing.
    """
    return {
        "notices": SimpleLazyObject(partial(_notices_for, request)),
        "working": SimpleLazyObject(partial(working_period, request)),
        "period_page": SimpleLazyObject(partial(page_of_month, request)),
        "navigation": SimpleLazyObject(partial(_navigation_for, request)),
        "list_label": list_label(request),
        "related_lists": SimpleLazyObject(partial(related, request)),
    }


def _notices_for(request: HttpRequest) -> list[dict[str, Any]]:
    """Return what a member of staff is told on a page, with a link to what they may do about it."""
    user = request.user
    assert isinstance(user, User)
    url_name = (request.resolver_match.url_name if request.resolver_match else None) or ""
    return [
        {"text": notice.text, "tone": notice.tone, "link": doors.link_where_allowed(notice.then, user)}
        for notice in notices.notices_for(user, queues_work=url_name.startswith(QUEUES_WORK))
    ]


def _navigation_for(request: HttpRequest) -> list[Group]:
    return navigation(request, working_period(request).period)
