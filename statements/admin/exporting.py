"""What the list of statements shows, as a file: at once, or by the worker where there are many."""

import datetime
from tempfile import SpooledTemporaryFile
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils import timezone
from django.views.decorators.http import require_POST

from billing.admin.audited import actor_of
from billing.admin.chips import narrowing_of
from billing.admin.links import change_url, list_url
from billing.audit import Actor
from billing.background import jobs
from billing.files import exports
from billing.models import Job
from billing.sheets import FORMATS

from .. import list_sheets
from ..models import Statement

PERMISSION = "statements.view_statement"


@require_POST
def export_view(request: HttpRequest) -> FileResponse | HttpResponse:
    """Write the statements that the list shows for this address to a file of the format asked for."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    asked, form = narrowing_of(request.GET), request.POST.get("format", "")
    if form not in FORMATS:
        return HttpResponseRedirect(list_url(Statement, asked))
    listed = _listed(request, asked)
    acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
    if listed.result_count > jobs.LARGE:
        job = jobs.enqueue(kind=Job.Kind.STATEMENTS, arguments={"format": form, "filters": asked}, **acting)
        return HttpResponseRedirect(change_url(job))
    file = SpooledTemporaryFile(max_size=4 * 1024**2)  # noqa: SIM115 (the response closes it)
    list_sheets.write(statements=listed.queryset, file=file, form=form, asked=asked, **acting)
    file.seek(0)
    name = f"statements-{timezone.localdate().isoformat()}.{form}"
    return FileResponse(file, as_attachment=True, filename=name, content_type=FORMATS[form])


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: list_sheets.Tell
) -> dict[str, Any]:
    """Write the statements that an address of the list names to a file for who asked, as the list itself finds them."""
    request = HttpRequest()
    assert job.created_by is not None
    request.user = job.created_by
    asked, form = arguments["filters"], arguments["format"]
    statements = _listed(request, asked).queryset
    options: dict[str, Any] = {"form": form, "asked": asked, "tell": progress, "actor": actor, "now": now}
    name, count = exports.keep(form, lambda file: list_sheets.write(statements=statements, file=file, **options))
    told = "1 statement" if count == 1 else f"{count:,} statements"
    return {"message": f"{told} exported. {exports.KEPT}", "kept": name}


def _listed(request: HttpRequest, asked: str) -> Any:
    """Return the list of statements for an address, as it is shown to whoever asks."""
    request.GET = QueryDict(asked)
    return admin.site.get_model_admin(Statement).get_changelist_instance(request)


jobs.register(Job.Kind.STATEMENTS, run_job, permission=PERMISSION)
