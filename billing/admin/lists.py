"""Loading a list kept elsewhere: what the file would do is shown first, and done once confirmed."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from .. import doors
from ..errors import BillingError, NoLongerKept
from ..models import Job
from ..setup import kept_sheets
from ..texts import number_in
from .audited import BillingAdmin, actor_of
from .links import change_url, list_url

SALT = "list"


class ListAdmin(BillingAdmin):
    """A screen of what is loaded from a list; its list page has a button that leads to the upload."""

    loaded_columns: ClassVar[tuple[str, ...]] = ()
    load_permission = ""
    load_title = ""
    load_question = ""

    # Loads the list or says what that would do, and the job that does so with a large one.
    load_list: ClassVar[kept_sheets.Load]
    load_kind: ClassVar[Job.Kind]

    @property
    def _load_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_load"

    def get_urls(self) -> list[URLPattern]:
        own = path("load/", self.admin_site.admin_view(self.load_view), name=self._load_name)
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may = request.user.has_perm(self.load_permission)
        url = reverse(f"admin:{self._load_name}") if may else ""
        return super().changelist_view(request, {"load_url": url, **(extra_context or {})})

    def load_view(self, request: HttpRequest) -> HttpResponse:
        """Take a list, show what it would do, and do that once confirmed; the worker does both with a large one."""
        if not request.user.has_perm(self.load_permission):
            raise PermissionDenied
        if request.method == "POST" and "kept" in request.POST:
            return self._load_kept(request, request.POST["kept"])
        form = self._form(request)
        context: dict[str, Any] = {}
        if request.method == "POST" and form.is_valid():
            file = form.cleaned_data["file"]
            if file.size > kept_sheets.LARGE_BYTES:
                return self._by_worker(request, kept_sheets.keep(file), file.name, is_dry_run=True)
            try:
                planned = type(self).load_list(file=file, is_dry_run=True, actor=actor_of(request), now=timezone.now())
            except BillingError as error:
                form.add_error("file", doors.lines_for_page(error, request.user))
            else:
                context = self._plan(
                    request, planned, getattr(planned, "examples", ()), kept_sheets.keep(file), file.name
                )
        elif number := request.GET.get("job"):
            context = self._planned_by(request, number)
        return TemplateResponse(
            request,
            "admin/billing/load.html",
            {
                **self.admin_site.each_context(request),
                "title": self.load_title,
                "question": self.load_question,
                "opts": self.opts,
                "form": form,
                "back": list_url(self.model),
                "media": self.media,
                **context,
            },
        )

    def _plan(
        self, request: HttpRequest, planned: object, examples: Sequence[str], kept: str, file_name: str
    ) -> dict[str, Any]:
        token = kept_sheets.token_of(kept, owner=request.user.pk, about=SALT)
        return {"planned": str(planned), "examples": examples, "file_name": file_name, "kept": token}

    def _planned_by(self, request: HttpRequest, number: str) -> dict[str, Any]:
        """Return what the job of this number found that a list would do."""
        asked_for = number_in(number)
        job = Job.objects.filter(pk=asked_for).first() if asked_for is not None else None
        found = kept_sheets.preview_by(job, kind=self.load_kind, owner=request.user.pk) if job else None
        if not job or not found:
            messages.warning(request, kept_sheets.GONE)
            return {}
        asked = job.arguments
        return self._plan(request, found["planned"], found["examples"], asked["kept"], asked["file"])

    def _by_worker(self, request: HttpRequest, kept: str, file_name: str, *, is_dry_run: bool) -> HttpResponse:
        job = kept_sheets.load_by_job(
            kind=self.load_kind,
            kept=kept,
            file_name=file_name,
            is_dry_run=is_dry_run,
            actor=actor_of(request),
            now=timezone.now(),
        )
        messages.info(request, "The list is long: the worker reads it. This page shows how far it has come.")
        return HttpResponseRedirect(change_url(job))

    def _form(self, request: HttpRequest) -> forms.Form:
        class LoadForm(forms.Form):
            file = forms.FileField(
                label="CSV or Excel file",
                help_text=f"Columns: {', '.join(self.loaded_columns)}. Only {self.loaded_columns[0]} is a must.",
            )

        form = LoadForm(request.POST, request.FILES) if request.method == "POST" else LoadForm()
        form.label_suffix = ""
        return form

    def _load_kept(self, request: HttpRequest, token: str) -> HttpResponse:
        again = HttpResponseRedirect(reverse(f"admin:{self._load_name}"))
        try:
            name = kept_sheets.name_of(token, owner=request.user.pk, about=SALT)
            with kept_sheets.opened(name) as file:
                if kept_sheets.is_large(file):
                    return self._by_worker(request, name, request.POST.get("file_name", ""), is_dry_run=False)
                loaded = type(self).load_list(file=file, is_dry_run=False, actor=actor_of(request), now=timezone.now())
        except NoLongerKept as error:
            messages.error(request, str(error))
            return again
        except BillingError as error:
            messages.error(request, f"{str(error)[:1000]} Choose the file again to see every line.")
            return again
        kept_sheets.drop(name)
        messages.success(request, str(loaded))
        return HttpResponseRedirect(list_url(self.model))
