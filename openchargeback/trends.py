"""The staff's page of trends, to the month worked on."""

from django.http import HttpRequest

from billing import trends
from billing.trend_pages import Asked, Page, page_of
from billing.trends import LABELS

from .working_period import working_period

PERMISSION = "billing.view_charge"


def asked(request: HttpRequest) -> Page:
    """Return what an address asks for, to the month worked on."""
    working = working_period(request)
    said = Asked.of(request.GET, LABELS)
    if working.period is None:
        return Page(said)
    found = trends.trend(
        trends.months_until(working.period, said.number, working.months),
        said.by,
        measure=said.measure,
        currency=said.currency,
    )
    return page_of(said, found, LABELS)
