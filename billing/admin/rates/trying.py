"""A draft of rates, tried on months that were charged: what each PI would pay, and what the ledger would have."""

import io
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from ... import doors
from ...background import heartbeat, jobs
from ...errors import BillingError
from ...models import Job, PayerLine, RateSchedule
from ...sheets import FORMATS
from ...texts import long_month
from ...usage import trying
from ...usage.trying import MonthTried, Owed, Subject, Trial, Tried
from ...usage.trying.words import REDUCING, notes_of, steps_of
from ..audited import actor_of
from ..links import change_url
from ..tried_links import ON
from ..usage.told import units_rows

# PIs, and lines of each, that a page shows; the files have all.
SHOWN, LINES = 50, 12


class MonthsForm(forms.Form):
    """The months to try rates on."""

    on = forms.MultipleChoiceField(label="Months", widget=forms.CheckboxSelectMultiple, required=False)

    def __init__(self, found: list[trying.Triable], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        has_several = len({each.feed.pk for each in found}) > 1
        field = self.fields["on"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(each.name, _label(each, has_several)) for each in found]


def _label(each: trying.Triable, has_several: bool) -> str:
    of = f" of {each.feed.label}" if has_several else ""
    return f"{long_month(each.period.month)}{of}, {each.period.get_status_display().lower()}"


class TryingMixin(admin.ModelAdmin):
    """Tries a version on months of its feeds."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:number>/try/", wrap(self.try_view), name="billing_rateschedule_try"),
            path("<int:number>/tried.<slug:form>", wrap(self.tried_view), name="billing_rateschedule_tried"),
        ]
        return [*own, *super().get_urls()]

    def try_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """Show what a version would charge for months; the worker tries it where they are large."""
        schedule = self._asked_for(request, number)
        context = {
            **self.admin_site.each_context(request),
            **months_tried(request, trying.of_schedule(schedule), "admin:billing_rateschedule_tried", number),
            "title": f"Try {schedule}",
            "opts": self.opts,
            "original": schedule,
            "by": "these rates",
            "back": change_url(schedule),
        }
        return TemplateResponse(request, "admin/billing/rateschedule/try.html", context)

    def tried_view(self, request: HttpRequest, number: int, form: str) -> HttpResponse | FileResponse:
        """Give what was tried as a file, as long as it is kept."""
        schedule = self._asked_for(request, number)
        name = f"{schedule.name}_v{schedule.version}_tried"
        page = reverse("admin:billing_rateschedule_try", args=[number])
        return file_tried(request, trying.of_schedule(schedule), form, name=name, page=page)

    def _asked_for(self, request: HttpRequest, number: int) -> RateSchedule:
        schedule = RateSchedule.objects.filter(pk=number).first() if self.has_view_permission(request) else None
        if schedule is None:
            raise Http404("There is no such rate schedule.")
        return schedule


# What every page that tries something does --------------------------------------------------------------


def months_tried(request: HttpRequest, subject: Subject, files: str, key: int | str) -> dict[str, Any]:
    """Return what a page shows of a trial on the months that its address names, or what keeps it from that.

    `files` is the name of the address of its files, which `key` is a part of.
    """
    names = request.GET.getlist(ON)
    try:
        asked = trying.named_months(subject, names)
    except BillingError as error:
        return {"refused": doors.for_page(error, request.user)}
    form = MonthsForm(trying.offered(asked), initial={ON: [each.name for each in asked.months]}, label_suffix="")
    query = urlencode({ON: [each.name for each in asked.months]}, doseq=True)
    return {
        "form": form,
        "downloads": [
            (label, f"{reverse(files, args=[key, form])}?{query}")
            for form, label in (("xlsx", "Excel"), ("csv", "CSV"))
        ],
        **tried_or_job(request, asked, is_wanted=bool(names)),
    }


def tried_or_job(request: HttpRequest, asked: Trial, *, is_wanted: bool) -> dict[str, Any]:
    """Return what is known of a trial, or what the worker says of it: it tries what is large."""
    found, job = trying.kept(asked), None
    if found is None and is_wanted:
        now = timezone.now()
        if trying.is_large(asked) and heartbeat.is_worker_alive():
            job = trying.job_of(asked)
            if job is None or job.state == Job.State.DONE:
                # It is not tried yet, or something changed since.
                trying.try_later(asked, actor=actor_of(request), now=now)
                job = trying.job_of(asked)
        else:
            found = trying.try_now(asked, now=now)
    return {"tried": shown(found) if found else None, "job": job, "told": jobs.told(job) if job else ""}


def file_tried(
    request: HttpRequest, subject: Subject, form: str, *, name: str, page: str
) -> HttpResponse | FileResponse:
    """Give what was tried as a file, as long as it is kept; else go to the `page` that tries it again."""
    if form not in FORMATS:
        raise Http404("There is no such file.")
    try:
        asked = trying.named_months(subject, request.GET.getlist(ON))
    except BillingError as error:
        raise Http404(str(error)) from error
    found = trying.kept(asked)
    if found is None:
        # Something changed since: the page tries it again first.
        query = urlencode({ON: [each.name for each in asked.months]}, doseq=True)
        return HttpResponseRedirect(f"{page}?{query}")
    file = io.BytesIO()
    trying.write(found, file, form)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=f"{name}.{form}", content_type=FORMATS[form])


# What was tried, as the page shows it ------------------------------------------------------------------


def shown(tried: Tried) -> dict[str, Any]:
    pis, totals, invoiced = tried.by_pi(), tried.totals(), tried.invoiced()
    return {
        "is": tried,
        "currency": tried.currency,
        "charged": tried.charged,
        "change": change_text(tried.charged),
        "months": [
            {"is": each, "notes": notes_of(each, tried.currency), "units": _units(each)} for each in tried.found
        ],
        "has_units": any(each.units_now or each.units_then for each in tried.found),
        "problems": tried.problems,
        "steps": [(label, owed, name in REDUCING, name == "cents") for name, label, owed in steps_of(totals)]
        if totals
        else [],
        "pis": [{"is": each, "change": change_text(each.charged), "lines": each.lines[:LINES]} for each in pis[:SHOWN]],
        "pis_number": len(pis),
        "unshown": max(len(pis) - SHOWN, 0),
        "others": [(PayerLine.Kind(line.payer.kind).label, line) for line in tried.others()],
        "journal": tried.journal(),
        "invoiced": invoiced if invoiced.now or invoiced.then else None,
    }


def _units(month: MonthTried) -> list[tuple[dict[str, Any] | None, dict[str, Any] | None, str]]:
    """Return the units of each rate, now and then, where any were delivered."""
    now, then = ({each["rate"]: each for each in units_rows(rows)} for rows in (month.units_now, month.units_then))
    codes = dict.fromkeys([*now, *then])
    return [
        (now.get(code), then.get(code), code)
        for code in codes
        if any(each and each["records"] for each in (now.get(code), then.get(code)))
    ]


def change_text(owed: Owed) -> str:
    """Say by how much an amount moves, in percent: `+12.5%`; of nothing there is no percentage."""
    if not owed.now or not owed.difference:
        return ""
    percent = (owed.difference * 100 / abs(owed.now)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{'+' if percent > 0 else '−'}{abs(percent)}%"
