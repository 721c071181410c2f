"""What the list of charges shows, as a file: at once, or by the worker where there are many."""

import datetime
from tempfile import SpooledTemporaryFile
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils import timezone
from django.views.decorators.http import require_POST

from ... import charge_sheets, sheets
from ...audit import Actor
from ...background import jobs
from ...files import exports
from ...models import Charge, Job
from ..audited import actor_of
from ..chips import narrowing_of
from ..links import change_url, list_url
from .all_list import AllChargesList

PERMISSION = "billing.view_charge"


@require_POST
def export_view(request: HttpRequest) -> FileResponse | HttpResponse:
    """Write the charges that the list shows for this address to a file of the format asked for."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    asked = narrowing_of(request.GET)
    form = request.POST.get("format", "")
    if form not in sheets.FORMATS:
        return HttpResponseRedirect(list_url(Charge, asked))
    found = listed(request, asked)
    acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
    if found.result_count > jobs.LARGE:
        job = jobs.enqueue(kind=Job.Kind.EXPORT, arguments={"format": form, "filters": asked}, **acting)
        return HttpResponseRedirect(change_url(job))
    file = SpooledTemporaryFile(max_size=4 * 1024**2)  # noqa: SIM115 (the response closes it)
    charge_sheets.write(charges=found.queryset, file=file, form=form, asked=asked, **acting)
    file.seek(0)
    return FileResponse(
        file,
        as_attachment=True,
        filename=f"charges-{timezone.localdate():%Y-%m-%d}.{form}",
        content_type=sheets.FORMATS[form],
    )


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: charge_sheets.Tell
) -> dict[str, Any]:
    """Write the charges that an address of the list names to a file for who asked, as the list itself finds them."""
    request = HttpRequest()
    assert job.created_by is not None
    request.user = job.created_by
    asked, form = arguments["filters"], arguments["format"]
    charges = listed(request, asked).queryset
    options: dict[str, Any] = {"form": form, "asked": asked, "tell": progress, "actor": actor, "now": now}
    name, count = exports.keep(form, lambda file: charge_sheets.write(charges=charges, file=file, **options))
    told = "1 charge" if count == 1 else f"{count:,} charges"
    return {
        "message": f"{told} exported. {exports.KEPT}",
        "kept": name,
    }


def listed(request: HttpRequest, asked: str) -> AllChargesList:
    """Return the list of charges for an address, as it is shown to whoever asks."""
    request.GET = QueryDict(asked)
    found = admin.site.get_model_admin(Charge).get_changelist_instance(request)
    assert isinstance(found, AllChargesList)
    return found


jobs.register(Job.Kind.EXPORT, run_job, permission=PERMISSION)
