"""Why this number: the page that follows a line of a document to the rows of files, and back."""

from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from .. import doors, tracing
from ..models import Charge, PayerLine
from ..texts import number_in
from .links import change_url

PERMISSION = "billing.view_charge"


def why_url(what: object) -> str:
    """Return the address of the page that says why this number (see tracing.trace for what can be asked)."""
    return f"{reverse('admin:billing_charge_why')}?{urlencode({'what': str(what)})}"


def why_view(request: HttpRequest) -> HttpResponse:
    """Show where a number comes from, top down: document, payer line, charges, decisions, file and line."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    what = request.GET.get("what", "").strip()
    page = number_in(request.GET.get("page", "1"))
    traced, problem = None, ""
    if what:
        try:
            traced = tracing.trace(what, page=page or 1)
        except tracing.NothingFound as error:
            problem = doors.for_page(error, request.user)
    context = {
        **admin.site.each_context(request),
        "title": "Trace a number",
        "opts": Charge._meta,
        # It lies below the list of charges, and is no part of it in the navigation.
        "is_page_of_its_own": True,
        "what": what,
        "traced": traced,
        "problem": problem,
        "notations": tracing.NOTATIONS,
        "correctable": PayerLine.CHARGED,
    }
    if traced:
        subject = traced.asked.subject if traced.asked else traced.document.subject if traced.document else None
        context |= {
            "document_url": change_url(subject) if subject else "",
            "choices": [(*choice, why_url(choice[0])) for choice in traced.choices],
            "lines": [
                {
                    "traced": line,
                    "url": why_url(f"{line.period.iso_month}@{line.key}"),
                    "documents": [(each, why_url(each.name)) for each in line.documents],
                    "entered": [(each, change_url(each.correction)) for each in line.entered],
                    "corrected_by": [(each, change_url(each.correction)) for each in line.corrected_by],
                }
                for line in traced.lines
            ],
            "charges": [
                {
                    "traced": each,
                    "url": why_url(each.charge.pk),
                    "charge_url": change_url(each.charge),
                    "import_url": change_url(each.imported),
                    "file_url": why_url(_place(each)) if each.file else "",
                }
                for each in traced.charges
            ],
            "related": [(how, charge, why_url(charge.pk)) for how, charge in traced.related],
        }
    return TemplateResponse(request, "admin/billing/charge/why.html", context)


def _place(charge: tracing.TracedCharge) -> str:
    """Return the line of a charge's file as it can be asked for."""
    assert charge.file is not None
    member = f":{charge.file.member}" if charge.file.member else ""
    return f"{charge.file.file.sha256[:16]}{member}:{charge.line}"
