"""What a list of many rows shows, as a file: at once, or by the worker where there are many."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils import timezone
from django.views.decorators.http import require_POST

from ..audit import Actor
from ..background import jobs
from ..files import exports
from ..models import Job
from ..sheets import FORMATS
from .audited import actor_of
from .chips import narrowing_of
from .links import change_url, list_url

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ListExport:
    """The export of one list: of a model, for who has a permission, written by a job of a kind where it is long.

    `write` writes the rows of a queryset to a file and returns how many those are.
    """

    model: type[Model]
    permission: str
    kind: Job.Kind
    # What a row is called: one, and several, which is also how its files begin unless `stem` says so.
    nouns: tuple[str, str]
    write: Callable[..., int]
    stem: str = ""
    # What its job is told besides the format and what narrows the list.
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def view(self) -> Callable[[HttpRequest], HttpResponse | FileResponse]:
        """The page that writes what the list shows for its address to a file of the format asked for."""
        return require_POST(self._written)

    def _written(self, request: HttpRequest) -> FileResponse | HttpResponse:
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        asked, form = narrowing_of(request.GET), request.POST.get("format", "")
        if form not in FORMATS:
            return HttpResponseRedirect(list_url(self.model, asked))
        found = self.listed(request, asked)
        acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
        if found.result_count > jobs.LARGE:
            job = jobs.enqueue(kind=self.kind, arguments={**self.arguments, "format": form, "filters": asked}, **acting)
            return HttpResponseRedirect(change_url(job))
        file = SpooledTemporaryFile(max_size=4 * 1024**2)  # noqa: SIM115 (the response closes it)
        self.write(found.queryset, file=file, form=form, asked=asked, **acting)
        file.seek(0)
        name = self._file_name(acting["now"], form)
        return FileResponse(file, as_attachment=True, filename=name, content_type=FORMATS[form])

    def run_job(
        self, *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Tell
    ) -> dict[str, Any]:
        """Write what an address of the list names to a file for who asked, as the list itself finds it.

        Raises jobs.NoLongerAllowed.
        """
        request = HttpRequest()
        assert job.created_by is not None
        request.user = job.created_by
        if not request.user.has_perm(self.permission):
            raise jobs.NoLongerAllowed(f"{request.user} asked for this and is no longer allowed to see it.")
        asked, form = arguments["filters"], arguments["format"]
        rows = self.listed(request, asked).queryset
        options: dict[str, Any] = {"form": form, "asked": asked, "tell": progress, "actor": actor, "now": now}

        def write(file: IO[bytes]) -> int:
            return self.write(rows, file=file, **options)

        name, count = exports.keep(form, write)
        told = f"{count:,} {self.nouns[count != 1]}"
        return {"message": f"{told} exported. {exports.KEPT}", "kept": name, "file_name": self._file_name(now, form)}

    def _file_name(self, now: datetime.datetime, form: str) -> str:
        return f"{self.stem or self.nouns[1]}-{timezone.localdate(now).isoformat()}.{form}"

    def listed(self, request: HttpRequest, asked: str) -> Any:
        """Return the list for an address, as it is shown to whoever asks."""
        request.GET = QueryDict(asked)
        return admin.site.get_model_admin(self.model).get_changelist_instance(request)

    def register(self) -> None:
        """Have the worker know the job."""
        jobs.register(self.kind, self.run_job, permission=self.permission)
