"""The page of a resource: what it is, and who paid for it month by month."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse

from ... import resources, review
from ...models import Charge, ResourceText, Source
from ...texts import iso_month
from ..links import list_url

# Rows of one page, as many as a person reads.
MOST = 500


def resource_url(charge: Charge) -> str:
    """Return the address of the page of a charge's resource; the charge has its source."""
    return reverse("admin:billing_charge_resource", args=[charge.source.name, charge.resource_key])


def resource_view(request: HttpRequest, source: str, number: int) -> HttpResponse:
    """Show a resource of a source by the number of any of its texts."""
    if not request.user.has_perm("billing.view_charge"):
        raise PermissionDenied
    text = get_object_or_404(ResourceText, pk=number)
    found = get_object_or_404(Source, name=source)
    history = resources.history_of(source=found, text=text)
    if history is None:
        raise Http404(f"{found} has no charges of this resource.")
    shown = history.rows[:MOST]
    splits = review.shares_of({row.split for row in shown if row.split})
    own = {"resource": text.pk, "source__id__exact": found.pk, "standing": "live"}
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": history.name,
        "opts": Charge._meta,
        "history": history,
        "rows": [
            {
                "paid": row,
                "fund_org": review.shares_text(splits[row.split]) if row.split else row.fund_org,
                "charges_url": list_url(Charge, urlencode(own | {"period": iso_month(row.month)})),
            }
            for row in shown
        ],
        "unshown": len(history.rows) - len(shown),
        "totals": history.totals(),
        "uncharged": history.totals(charged=False),
        "charges_url": list_url(Charge, urlencode(own)),
    }
    return TemplateResponse(request, "admin/billing/charge/resource.html", context)
