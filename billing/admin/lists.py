"""Loading a list kept elsewhere: what the file would do is shown first, and done once confirmed. And lists as files."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from .. import doors
from ..background import jobs
from ..errors import BillingError, NoLongerKept, PreviewOutdated
from ..models import Job
from ..setup import kept_sheets, registers
from ..setup.registers import Register
from ..texts import number_in
from .audited import BillingAdmin, actor_of
from .chips import narrowing_of
from .links import change_url, list_url
from .list_exports import ListExport

SALT = "list"
# The lists that are exported, by the name of their register: one kind of job writes each of them.
EXPORTED: dict[str, ListExport] = {}


class ListAdmin(BillingAdmin):
    """A screen of what is loaded from a list; its list page has a button that leads to the upload."""

    loaded_columns: ClassVar[Sequence[str]] = ()
    # How many of the columns, from the left, a file must have.
    loaded_keys = 1
    load_permissions: ClassVar[Sequence[str]] = ()
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
        may = request.user.has_perms(self.load_permissions)
        url = reverse(f"admin:{self._load_name}") if may else ""
        return super().changelist_view(request, {"load_url": url, **(extra_context or {})})

    def load_view(self, request: HttpRequest) -> HttpResponse:
        """Take a list, show what it would do, and do that once confirmed; the worker does both with a large one."""
        if not request.user.has_perms(self.load_permissions):
            raise PermissionDenied
        form = self._form(request)
        context: dict[str, Any] = {}
        if request.method == "POST" and "kept" in request.POST:
            done = self._load_kept(request, request.POST["kept"])
            if isinstance(done, HttpResponse):
                return done
            context, form = done, self._form(request, is_asked=False)
        elif request.method == "POST" and form.is_valid():
            file = form.cleaned_data["file"]
            if file.size > kept_sheets.LARGE_BYTES:
                return self._by_worker(request, kept_sheets.keep(file), file.name, is_dry_run=True)
            try:
                planned = self._load(request, file, is_dry_run=True)
            except BillingError as error:
                form.add_error("file", doors.lines_for_page(error, request.user))
            else:
                context = self._plan(request, planned, kept_sheets.keep(file), file.name)
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

    def _load(self, request: HttpRequest, file: Any, **options: Any) -> Any:
        return type(self).load_list(file=file, **options, actor=actor_of(request), now=timezone.now())

    def _plan(self, request: HttpRequest, planned: object, kept: str, file_name: str) -> dict[str, Any]:
        """Return what the page shows of what a list would do."""
        return self._shown(request, {"planned": str(planned)} | kept_sheets.shown_of(planned), kept, file_name)

    def _shown(self, request: HttpRequest, found: dict[str, Any], kept: str, file_name: str) -> dict[str, Any]:
        token = kept_sheets.token_of(kept, owner=request.user.pk, about=SALT)
        return {**found, "file_name": file_name, "kept": token}

    def _planned_by(self, request: HttpRequest, number: str) -> dict[str, Any]:
        """Return what the job of this number found that a list would do."""
        asked_for = number_in(number)
        job = Job.objects.filter(pk=asked_for).first() if asked_for is not None else None
        found = kept_sheets.preview_by(job, kind=self.load_kind, owner=request.user.pk) if job else None
        if not job or not found:
            messages.warning(request, kept_sheets.GONE)
            return {}
        return self._shown(request, found, job.arguments["kept"], job.arguments["file"])

    def _by_worker(
        self, request: HttpRequest, kept: str, file_name: str, *, is_dry_run: bool, expected: str = ""
    ) -> HttpResponse:
        job = kept_sheets.load_by_job(
            kind=self.load_kind,
            kept=kept,
            file_name=file_name,
            is_dry_run=is_dry_run,
            expected=expected,
            actor=actor_of(request),
            now=timezone.now(),
        )
        messages.info(request, "The list is long: the worker reads it. This page shows how far it has come.")
        return HttpResponseRedirect(change_url(job))

    def _form(self, request: HttpRequest, *, is_asked: bool = True) -> forms.Form:
        musts = " and ".join(self.loaded_columns[: self.loaded_keys])

        class LoadForm(forms.Form):
            file = forms.FileField(
                label="CSV or Excel file",
                help_text=f"Columns: {', '.join(self.loaded_columns)}. Only {musts} "
                f"{'is a must' if self.loaded_keys == 1 else 'are musts'}.",
            )

        form = LoadForm(request.POST, request.FILES) if is_asked and request.method == "POST" else LoadForm()
        form.label_suffix = ""
        return form

    def _load_kept(self, request: HttpRequest, token: str) -> HttpResponse | dict[str, Any]:
        """Load what was previewed; return what its page shows now, where it would do something else by now."""
        again = HttpResponseRedirect(reverse(f"admin:{self._load_name}"))
        file_name, expected = request.POST.get("file_name", ""), request.POST.get("expected", "")
        try:
            name = kept_sheets.name_of(token, owner=request.user.pk, about=SALT)
            with kept_sheets.opened(name) as file:
                if kept_sheets.is_large(file):
                    return self._by_worker(request, name, file_name, is_dry_run=False, expected=expected)
                try:
                    loaded = self._load(request, file, is_dry_run=False, expected=expected)
                except PreviewOutdated as error:
                    messages.warning(request, str(error))
                    file.seek(0)
                    return self._plan(request, self._load(request, file, is_dry_run=True), name, file_name)
        except NoLongerKept as error:
            messages.error(request, str(error))
            return again
        except BillingError as error:
            messages.error(request, f"{str(error)[:1000]} Choose the file again to see every line.")
            return again
        kept_sheets.drop(name)
        messages.success(request, str(loaded))
        return HttpResponseRedirect(list_url(self.model))


class RegisterAdmin(ListAdmin):
    """A screen of a register: its list is a file for whoever may see it, to edit and load again."""

    register: ClassVar[Register]
    export: ClassVar[ListExport]
    # What else there is to know of its lines.
    load_hint = ""
    change_list_template = "admin/billing/register_list.html"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register = cls.register
        cls.loaded_columns = tuple(register.kinds)
        cls.loaded_keys = register.keys
        cls.load_permissions = register.permissions
        cls.load_list = staticmethod(partial(registers.load, register))
        cls.load_kind = register.job
        cls.export = ListExport(
            model=register.model,
            kind=Job.Kind.LIST,
            permission=register.view_permission,
            nouns=register.nouns,
            stem=register.name.replace("_", "-"),
            write=lambda objects, **options: registers.write(register, objects=objects, **options),
            arguments={"register": register.name},
        )
        EXPORTED[register.name] = cls.export
        cls.load_question = (
            f"Adds and changes the {register.nouns[1]} that the file names; the others stay as they are. "
            f"{cls.load_hint} A file with a mistake is not loaded at all."
        )

    @property
    def _export_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_export"

    def get_urls(self) -> list[URLPattern]:
        own = path("export/", self.admin_site.admin_view(self.export.view), name=self._export_name)
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        narrowing = narrowing_of(request.GET)
        url = f"{reverse(f'admin:{self._export_name}')}?{narrowing}"
        return super().changelist_view(request, {"export_url": url, **(extra_context or {})})


def run_export(*, arguments: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Write the list that the arguments of a job name."""
    return EXPORTED[arguments["register"]].run_job(arguments=arguments, **given)


# Whoever may see jobs asks; each list has a permission of its own besides.
jobs.register(Job.Kind.LIST, run_export, permission="billing.view_job")
