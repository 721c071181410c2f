"""The page that shows what a month has that the ledger has not, and drafts its accrual."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.utils import timezone

from billing import doors
from billing.admin.audited import actor_of
from billing.admin.links import change_url, list_url
from billing.errors import BillingError

from .. import estimates, posting, summaries
from ..models import Journal
from .forms import AccrualForm


def accrue_view(request: HttpRequest) -> HttpResponse:
    """Show what a month has to accrue, with what is left out, and make the draft."""
    if not request.user.has_perm("journals.export_journal"):
        raise PermissionDenied
    asked = (request.POST if request.method == "POST" else request.GET).copy()
    asked.setdefault("format", "gl")
    # A link from a report names the month only: then the day of the reversal is asked for first.
    _enter_estimates(asked)
    form = AccrualForm(asked) if "reversal_date" in asked else AccrualForm(initial=asked.dict())
    form.label_suffix = ""
    shown: dict[str, Any] = {}
    if form.is_bound and form.is_valid():
        data = form.cleaned_data
        try:
            if request.method == "POST":
                return _accrued(request, data)
            seen = posting.preview_accrual(
                **{name: data[name] for name in ("period", "posting_date", "reversal_date", "estimates")},
                now=timezone.now(),
            )
            entered = estimates.told(seen.estimates, seen.currency)
            shown = {
                "seen": seen,
                "entered": entered,
                "tables": summaries.summaries(summaries.grouped_lines(seen.lines)),
            }
        except BillingError as error:
            form.add_error(None, doors.for_page(error, request.user))
    context = {
        **admin.site.each_context(request),
        "title": "Accrue a month",
        "opts": Journal._meta,
        "form": form,
        "back": list_url(Journal),
        **shown,
    }
    return TemplateResponse(request, "admin/journals/journal/accrue.html", context)


def _enter_estimates(asked: QueryDict) -> None:
    """Enter the estimates of the draft that a month has, and what it lacks as it was the month before, where asked."""
    try:
        period = AccrualForm().fields["period"].clean(asked.get("period", ""))
    except ValidationError:
        # The form says what is wrong with it.
        return
    if "estimates" not in asked:
        asked["estimates"] = "\n".join(map(str, posting.estimates_of(period)))
    if "as_last_month" in asked:
        lines = str(asked["estimates"]).splitlines()
        named = {tuple(value.strip() for value in line.split(",")[:2]) for line in lines}
        more = [each for each in estimates.as_last_month(period) if (each.source, each.fund_org) not in named]
        asked["estimates"] = "\n".join([*filter(str.strip, lines), *map(str, more)])


def _accrued(request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
    names = ("period", "format", "posting_date", "reversal_date", "date_reason", "estimates")
    journal = posting.accrue(**{name: data[name] for name in names}, actor=actor_of(request), now=timezone.now())
    messages.success(
        request, f"Accrual {journal} is drafted. Check it, then submit it: its reversal is submitted with it."
    )
    return HttpResponseRedirect(change_url(journal))
