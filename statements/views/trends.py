"""The portal's page of trends: what the reader's statements came to over one to three years."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.trend_pages import Asked, Page, as_csv, page_of
from billing.trends import LABELS

from .. import overview
from .visible import scope, visible


@login_required
@require_safe
def trends(request: HttpRequest) -> HttpResponse:
    """Show months side by side by project, service or fund/org, or PI where there are several, or as a file."""
    ways = ["project", "service", "fund", *(["pi"] if len(scope(request).pis) > 1 else [])]
    labels = {way: LABELS[way] for way in ways}
    asked = Asked.of(request.GET, labels)
    found = overview.trend(
        visible(request).live(), asked.by, number=asked.number, measure=asked.measure, currency=asked.currency
    )
    page = page_of(asked, found, labels) if found else Page(asked)
    if page.trend and "csv" in request.GET:
        response = as_csv(page, page.trend)
        response["Cache-Control"] = "private, no-store"
        return response
    return render(request, "portal/trends.html", {"asked": page})
