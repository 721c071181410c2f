"""Drafts of rate schedules: a form for a new version, for one that is there, and a page for a file."""

import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from ... import doors
from ...errors import BillingError, NoLongerKept
from ...models import RateSchedule
from ...models.rates import SLUG
from ...setup import kept_sheets
from ...setup.lists import ListRefused
from ...texts import number_in
from ...usage import rate_schedules
from ...usage.rate_schedules import Drafted
from ..audited import actor_of
from ..links import change_url, list_url
from .fields import MonthField
from .forms import DraftForms
from .standing import this_month

ADD, CHANGE = "billing.add_rateschedule", "billing.change_rateschedule"
# The buttons of the form, beside the one that saves.
ADD_RATE, ADD_CLASS = "_add_rate", "_add_class"
SALT = "rates"


class LoadForm(forms.Form):
    """A file with the rates of a version, and what the file does not say."""

    name = forms.CharField(
        label="Schedule", max_length=64, validators=[SLUG], help_text="A new name makes a new schedule."
    )
    valid_from = MonthField(label="First month", help_text="It prices months from this one on.")
    note = forms.CharField(
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Why: approved by whom, after which rate study.",
    )
    file = forms.FileField(
        label="CSV, Excel or JSON file", help_text="As a download of a schedule has it. Empty columns may be missing."
    )


class EditingMixin(admin.ModelAdmin):
    """Adds and changes drafts. A version that was in force is never a form."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("load/", wrap(self.load_view), name="billing_rateschedule_load"),
            path("<int:number>/edit/", wrap(self.edit_view), name="billing_rateschedule_edit"),
        ]
        return [*own, *super().get_urls()]

    # The form ------------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Draft a version: of a new schedule, or with the rates of the one that the address names."""
        if not request.user.has_perm(ADD):
            raise PermissionDenied
        number = number_in(request.GET.get("from", ""))
        copied = RateSchedule.objects.filter(pk=number).first() if number is not None else None
        initial = {"name": copied.name if copied else "", "valid_from": _next_month()}
        is_posted = request.method == "POST"
        sent = DraftForms.sent(request.POST, name_is_fixed=False) if is_posted else None
        if sent is None or _adds_a_row(request):
            rates = rate_schedules.content_of(copied) if copied else None
            shown = _longer(request, False) or DraftForms.of(rates, name_is_fixed=False, initial=initial)
            return self._form_page(request, shown, None, copied)
        if sent.is_valid():
            head = sent.head.cleaned_data
            given = {name: head[name] for name in ("name", "valid_from", "note")}
            try:
                done = rate_schedules.draft(rates=sent.schedule(), **given, actor=actor_of(request), now=timezone.now())
            except (BillingError, ValidationError) as error:
                _show(request, error, sent.head)
            else:
                messages.success(request, f"Drafted {done.schedule}: {said_of(done)}.")
                return HttpResponseRedirect(change_url(done.schedule))
        return self._form_page(request, sent, None, copied)

    def edit_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """Change a draft."""
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        schedule = RateSchedule.objects.filter(pk=number).first()
        if schedule is None:
            raise Http404("There is no such rate schedule.")
        if schedule.state != RateSchedule.State.DRAFT:
            messages.error(
                request, f"The version {schedule} was put in force, and does not change any more. Draft a new one."
            )
            return HttpResponseRedirect(change_url(schedule))
        if request.method != "POST" or _adds_a_row(request):
            initial = {
                "valid_from": schedule.valid_from,
                "note": schedule.note,
                "seen": rate_schedules.digest_of(schedule),
            }
            rates = rate_schedules.content_of(schedule)
            shown = _longer(request, True) or DraftForms.of(rates, name_is_fixed=True, initial=initial)
            return self._form_page(request, shown, schedule)
        sent = DraftForms.sent(request.POST, name_is_fixed=True)
        if sent.is_valid():
            head = sent.head.cleaned_data
            given = {name: head[name] for name in ("valid_from", "note", "seen")}
            try:
                done = rate_schedules.change(
                    schedule=schedule, rates=sent.schedule(), **given, actor=actor_of(request), now=timezone.now()
                )
            except (BillingError, ValidationError) as error:
                _show(request, error, sent.head)
            else:
                messages.success(request, f"Saved {schedule}: {said_of(done)}.")
                return HttpResponseRedirect(change_url(schedule))
        return self._form_page(request, sent, schedule)

    def _form_page(
        self,
        request: HttpRequest,
        shown: DraftForms,
        schedule: RateSchedule | None,
        copied: RateSchedule | None = None,
    ) -> HttpResponse:
        shown_from = schedule or copied
        title = f"Change {schedule}" if schedule else f"New version of {copied.name}" if copied else "New rate schedule"
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "forms": shown,
            "original": schedule,
            "back": change_url(shown_from) if shown_from else list_url(RateSchedule),
        }
        return TemplateResponse(request, "admin/billing/rateschedule/edit.html", context)

    # A file --------------------------------------------------------------------------------------------

    def load_view(self, request: HttpRequest) -> HttpResponse:
        """Take a file, show what differs rate by rate, and draft it once that is confirmed."""
        if not request.user.has_perm(ADD):
            raise PermissionDenied
        if request.method == "POST" and "kept" in request.POST:
            return self._load_kept(request)
        initial = {"name": request.GET.get("name", "")[:64], "valid_from": _next_month()}
        is_posted = request.method == "POST"
        form = LoadForm(request.POST, request.FILES) if is_posted else LoadForm(initial=initial)
        form.label_suffix = ""
        planned, kept = None, ""
        problems: list[Any] = []
        if is_posted and form.is_valid():
            file: UploadedFile = form.cleaned_data["file"]
            try:
                planned = _drafted(request, form.cleaned_data, file, is_dry_run=True)
                kept = kept_sheets.token_of(kept_sheets.keep(file), owner=request.user.pk, about=SALT)
            except ListRefused as error:
                problems = error.errors or [str(error)]
            except (BillingError, ValidationError) as error:
                _show(request, error, form)
        context = {
            **self.admin_site.each_context(request),
            "title": "Draft from a file",
            "opts": self.opts,
            "form": form,
            "planned": planned,
            "said": said_of(planned) if planned else "",
            "problems": problems,
            "kept": kept,
            "file_name": form.cleaned_data["file"].name if planned else "",
            "back": list_url(RateSchedule),
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/billing/rateschedule/load.html", context)

    def _load_kept(self, request: HttpRequest) -> HttpResponse:
        """Draft the file that was previewed."""
        again = HttpResponseRedirect(f"{list_url(RateSchedule)}load/")
        form = LoadForm(request.POST)
        del form.fields["file"]
        try:
            name = kept_sheets.name_of(request.POST["kept"], owner=request.user.pk, about=SALT)
            if not form.is_valid():
                raise NoLongerKept(kept_sheets.GONE)
            with kept_sheets.opened(name) as file:
                done = _drafted(request, form.cleaned_data, file, is_dry_run=False)
        except (BillingError, ValidationError) as error:
            messages.error(request, str(error)[:1000] if isinstance(error, BillingError) else " ".join(error.messages))
            return again
        kept_sheets.drop(name)
        messages.success(request, f"Drafted {done.schedule}: {said_of(done)}.")
        return HttpResponseRedirect(change_url(done.schedule))


def _drafted(request: HttpRequest, data: dict[str, Any], file: Any, *, is_dry_run: bool) -> Drafted:
    return rate_schedules.draft(
        name=data["name"],
        valid_from=data["valid_from"],
        rates=rate_schedules.read(file, name=data["name"]),
        note=data["note"],
        is_dry_run=is_dry_run,
        actor=actor_of(request),
        now=timezone.now(),
    )


def _show(request: HttpRequest, error: BillingError | ValidationError, form: forms.Form) -> None:
    lines = doors.lines_for_page(error, request.user) if isinstance(error, BillingError) else error.messages
    form.add_error(None, [*lines])


def _adds_a_row(request: HttpRequest) -> bool:
    return ADD_RATE in request.POST or ADD_CLASS in request.POST


def _longer(request: HttpRequest, name_is_fixed: bool) -> DraftForms | None:
    if not _adds_a_row(request):
        return None
    return DraftForms.longer(
        request.POST,
        name_is_fixed=name_is_fixed,
        rates=int(ADD_RATE in request.POST),
        classes=int(ADD_CLASS in request.POST),
    )


def _next_month() -> datetime.date:
    return (this_month() + datetime.timedelta(days=31)).replace(day=1)


def said_of(drafted: Drafted) -> str:
    """Say what a draft changes, and of which version."""
    since = f" since {drafted.before}" if drafted.before else ""
    return f"{rate_schedules.told(drafted.changes)}{since}"
