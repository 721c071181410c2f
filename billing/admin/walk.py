"""The walk through the close of a month: the page that confirms a step leads on to that of the next."""

from django.http import HttpRequest
from django.urls import reverse

from .. import doors
from ..errors import NextStep
from ..models import BillingPeriod, User
from ..months import checklist

# In an address: whoever is on it walks.
WALK = "walk"
# The steps of the walk that have a page which asks first and then does it. All else is done at its own place.
STEPS = (
    *("issue_statements", "send_statements", "close_period"),
    *("export_journal", "draft_again", "submit_journal", "answer_journal", "finalize_period"),
)


def is_walking(request: HttpRequest) -> bool:
    return WALK in request.GET


def month_url(period: BillingPeriod) -> str:
    """Return the address of the month's own page, where the walk begins and ends."""
    return f"{reverse('admin:index')}?period={period.iso_month}"


def url_of(step: NextStep) -> str:
    """Return the page of a step, on the walk where it is one of it."""
    if step.name not in STEPS:
        return doors.url_of(step)
    # A journal's own page has two answers; the walk goes on by the one.
    posted = step.name == "answer_journal"
    url = reverse("admin:journals_journal_posted", args=[step.about["journal"]]) if posted else doors.url_of(step)
    return f"{url}{'&' if '?' in url else '?'}{WALK}=on"


def after(request: HttpRequest, period: BillingPeriod, *, otherwise: str) -> str:
    """Return where a step that was done leads: on the walk to the page of the next step, if this person may do it.

    Where it is for somebody else, at another place, or not known yet, that is the page of the month. Who does not
    walk goes `otherwise`.
    """
    if not is_walking(request):
        return otherwise
    period = BillingPeriod.objects.get(pk=period.pk)
    item = checklist.of(period, waits=False).next
    assert isinstance(request.user, User)
    if item and item.then and item.then.name in STEPS and item.state == checklist.State.OPEN:
        permission = doors.permission_of(item.then)
        if request.user.has_perm(permission):
            return url_of(item.then)
    return month_url(period)


def left(request: HttpRequest, period: BillingPeriod, *, otherwise: str) -> str:
    """Return where a step that is canceled, or is at work in the background, leads."""
    return month_url(period) if is_walking(request) else otherwise
