"""What the list of statements shows, as a file."""

from tempfile import SpooledTemporaryFile

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils import timezone
from django.views.decorators.http import require_POST

from billing.admin.audited import actor_of
from billing.admin.chips import narrowing_of
from billing.admin.links import list_url
from billing.sheets import FORMATS

from .. import list_sheets
from ..models import Statement


@require_POST
def export_view(request: HttpRequest) -> FileResponse | HttpResponse:
    """Write the statements that the list shows for this address to a file of the format asked for."""
    if not request.user.has_perm("statements.view_statement"):
        raise PermissionDenied
    asked, form = narrowing_of(request.GET), request.POST.get("format", "")
    if form not in FORMATS:
        return HttpResponseRedirect(list_url(Statement, asked))
    request.GET = QueryDict(asked)
    listed = admin.site.get_model_admin(Statement).get_changelist_instance(request)
    file = SpooledTemporaryFile(max_size=4 * 1024**2)  # noqa: SIM115 (the response closes it)
    list_sheets.write(
        statements=listed.queryset, file=file, form=form, asked=asked, actor=actor_of(request), now=timezone.now()
    )
    file.seek(0)
    name = f"statements-{timezone.localdate().isoformat()}.{form}"
    return FileResponse(file, as_attachment=True, filename=name, content_type=FORMATS[form])
