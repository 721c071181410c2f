"""The page that shows what a month has to journal and makes the draft, and the list of journals as a file."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from billing import doors
from billing.admin import walk
from billing.admin.audited import actor_of
from billing.admin.links import change_url, list_url
from billing.errors import BillingError
from billing.months import checklist

from .. import journal_sheets, posting
from ..models import Journal
from .forms import ExportForm


def export_view(request: HttpRequest) -> HttpResponse:
    """Show what a period has to journal, with its problems, and make the draft."""
    if not request.user.has_perm("journals.export_journal"):
        raise PermissionDenied
    asked = (request.POST if request.method == "POST" else request.GET).copy()
    # A link from the dashboard names the period only.
    asked.setdefault("format", "gl")
    form = ExportForm(asked if "period" in asked else None)
    form.label_suffix = ""
    shown: dict[str, Any] = {}
    if form.is_bound and form.is_valid():
        try:
            if request.method == "POST":
                return _exported(request, form.cleaned_data)
            shown = _shown(form.cleaned_data)
        except BillingError as error:
            form.add_error(None, doors.for_page(error, request.user))
    back = reverse("admin:journals_journal_changelist")
    context = {
        **admin.site.each_context(request),
        "title": "Draft a journal",
        "opts": Journal._meta,
        "form": form,
        "is_walking": walk.is_walking(request),
        "back": back,
        "leave": walk.left(request, form.cleaned_data["period"], otherwise=back) if form.is_valid() else back,
        **shown,
    }
    return TemplateResponse(request, "admin/journals/journal/export.html", context)


def _shown(data: dict[str, Any]) -> dict[str, Any]:
    """Return what would be drafted; of a large month how far the worker is with it, until that is known."""
    period = data["period"]
    found = posting.kept_prospect(period, waits=False)
    if found is None:
        return {"is_pending": True, "period": period, "progress": checklist.progress_of(period)}
    seen = posting.preview_of(
        found, period=period, format=data["format"], posting_date=data["posting_date"], now=timezone.now()
    )
    return {
        "seen": seen,
        "period": period,
        "prospect": found,
        "tables": found.summaries,
        "difference": found.difference,
        "is_foreseen": True,
    }


def _exported(request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
    asked = {name: data[name] for name in ("period", "format", "posting_date", "date_reason")}
    asked |= {"actor": actor_of(request), "now": timezone.now()}
    if checklist.is_large(data["period"]):
        job = posting.export_later(**asked)
        return HttpResponseRedirect(walk.left(request, data["period"], otherwise=change_url(job)))
    exported = posting.export(**asked)
    if exported.journal is None:
        messages.info(request, exported.told)
        return HttpResponseRedirect(reverse("admin:journals_journal_changelist"))
    messages.success(request, exported.told)
    return HttpResponseRedirect(walk.after(request, data["period"], otherwise=change_url(exported.journal)))


@require_POST
def list_view(request: HttpRequest) -> HttpResponse:
    """Write the journals that the list shows for this address to a file of the format asked for."""
    if not request.user.has_perm("journals.view_journal"):
        raise PermissionDenied
    form = request.POST.get("format", "")
    asked = request.GET.urlencode()
    if form not in journal_sheets.FORMATS:
        return HttpResponseRedirect(list_url(Journal, asked))
    journals = admin.site.get_model_admin(Journal).get_changelist_instance(request).queryset
    content = journal_sheets.write(
        journals=journals, form=form, asked=asked, actor=actor_of(request), now=timezone.now()
    )
    response = HttpResponse(content, content_type=journal_sheets.FORMATS[form])
    response["Content-Disposition"] = f'attachment; filename="journals-{timezone.localdate().isoformat()}.{form}"'
    return response
