"""Rate schedules: the list of their versions, and the page of one with its rates and what differs from the last."""

import io
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString

from ...models import Policy, RateSchedule
from ...sheets import FORMATS as TYPES
from ...texts import long_month
from ...usage import rate_schedules, studies
from ...usage.pricing.schedules import ScheduleNotUnderstood
from ...usage.pricing.terms import Rate, Schedule
from ...usage.rate_schedules import Drafted, words
from ..audited import FrozenAdmin, actor_of
from ..formatting import count
from ..links import change_url
from ..verbs import Verb
from .editing import ADD, CHANGE, EditingMixin
from .standing import feeds_by_schedule, sentence, state_badge, state_words
from .trying import TryingMixin

State = RateSchedule.State
RELEASE = "billing.release_rateschedule"
TYPES_OF_FILES = {**TYPES, "json": "application/json"}


class RetireForm(forms.Form):
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="It stays in the audit log.")


def _release(request: HttpRequest, schedule: RateSchedule, data: dict[str, Any]) -> str:
    done = rate_schedules.release(schedule=schedule, actor=actor_of(request), now=timezone.now())
    place = f" It takes the place of {done.replaces}." if done.replaces else ""
    months = ", ".join(f"{period} of {feed}" for feed, period in done.months)
    again = f" Price again what the version before priced: {months}." if months else ""
    return f"Put in force {done.schedule}, from {long_month(schedule.valid_from)} on.{place}{again}"


def _retire(request: HttpRequest, schedule: RateSchedule, data: dict[str, Any]) -> str:
    rate_schedules.retire(schedule=schedule, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"Retired {schedule}: it prices no month any more."


def _discard(request: HttpRequest, schedule: RateSchedule, data: dict[str, Any]) -> str:
    rate_schedules.discard(schedule=schedule, actor=actor_of(request), now=timezone.now())
    return f"Discarded the draft {schedule}."


def _what_release_does(schedule: RateSchedule) -> str:
    feeds = ", ".join(str(feed) for feed in rate_schedules.feeds_of(schedule.name)) or "no usage feed yet"
    return (
        f"{schedule} prices months from {long_month(schedule.valid_from)} on, of {feeds}. It never changes after that; "
        "a later version takes its place."
    )


def _differences(request: HttpRequest, schedule: RateSchedule, form: forms.Form) -> dict[str, Any]:
    return {"compared": rate_schedules.compared(schedule)}


def _is_draft(schedule: RateSchedule) -> bool:
    return schedule.state == State.DRAFT


@admin.register(RateSchedule)
class RateScheduleAdmin(TryingMixin, EditingMixin, FrozenAdmin):
    when_empty = (
        "There are no rate schedules yet. One says what usage costs: of a cluster, of storage, of an AI gateway. "
        "Add one here, or draft one from a file."
    )
    list_display = ("version_label", "standing", "first_month", "rates_count", "feeds", "note_line", "released")
    list_filter = ("state", "name")
    list_select_related = ("released_by",)
    search_fields = ("name", "note")
    search_help_text = "Name or note"
    sortable_by = ()
    ordering = ("name", "-version")
    change_list_template = "admin/billing/rateschedule/change_list.html"
    change_form_template = "admin/billing/rateschedule/change_form.html"
    fields = ()
    verbs = (
        Verb(
            name="release",
            label="Put in force…",
            button="Put in force",
            permission=RELEASE,
            run=_release,
            offered=_is_draft,
            question=_what_release_does,
            details="admin/billing/rateschedule/differences.html",
            facts=_differences,
            is_primary=True,
        ),
        Verb(
            name="retire",
            label="Retire…",
            button="Retire",
            permission=RELEASE,
            run=_retire,
            form=RetireForm,
            offered=lambda schedule: schedule.state == State.RELEASED,
            question="It prices no month any more. Open months go by the version before it, once they are priced "
            "again.",
            is_dangerous=True,
        ),
        Verb(
            name="discard",
            label="Discard…",
            button="Discard the draft",
            permission="billing.delete_rateschedule",
            run=_discard,
            offered=_is_draft,
            question="Deletes this draft. The audit log keeps what it said.",
            is_dangerous=True,
            removes=True,
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        own = path("<int:number>/export/<slug:form>/", view, name="billing_rateschedule_export")
        return [own, *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(ADD))

    # The list ------------------------------------------------------------------------------------------

    @admin.display(description="version", ordering="name")
    def version_label(self, schedule: RateSchedule) -> str:
        return str(schedule)

    @admin.display(description="state")
    def standing(self, schedule: RateSchedule) -> SafeString:
        return state_badge(schedule)

    @admin.display(description="first month")
    def first_month(self, schedule: RateSchedule) -> str:
        return long_month(schedule.valid_from)

    @admin.display(description="rates")
    def rates_count(self, schedule: RateSchedule) -> str:
        return count(len(schedule.content.get("rates", ())))

    @admin.display(description="prices")
    def feeds(self, schedule: RateSchedule) -> str:
        return ", ".join(feed.name for feed in feeds_by_schedule().get(schedule.name, ())) or "–"

    @admin.display(description="note")
    def note_line(self, schedule: RateSchedule) -> str:
        text = " ".join(schedule.note.split())
        return f"{text[:59]}…" if len(text) > 60 else text or "–"

    @admin.display(description="put in force by")
    def released(self, schedule: RateSchedule) -> str:
        return str(schedule.released_by) if schedule.released_by else "–"

    # The page of a version -----------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        schedule = self.get_object(request, object_id)
        context = self._about(request, schedule) if schedule else {}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def _about(self, request: HttpRequest, schedule: RateSchedule) -> dict[str, Any]:
        try:
            rates, compared = rate_schedules.content_of(schedule), rate_schedules.compared(schedule)
        except ScheduleNotUnderstood as error:
            # Written under other rules: nothing can be priced by it, and it can still be seen and retired.
            messages.error(request, f"{schedule} cannot be read. {error}")
            rates, compared = Schedule(schedule.name, schedule.version, ()), Drafted(schedule, None, ())
        versions = list(RateSchedule.objects.filter(name=schedule.name).select_related("released_by", "created_by"))
        tab = request.GET.get("tab", "")
        tabs = [("", "Rates", len(rates.rates)), ("versions", "Versions", len(versions))]
        if compared.before:
            tabs.insert(1, ("changes", f"Changes since {compared.before}", len(compared.changes)))
        tab = tab if tab in [each for each, _, _ in tabs] else ""
        url = change_url(schedule)
        return {
            "tab": tab,
            "tabs": [
                {
                    "label": label,
                    "count": count(number),
                    "url": self.in_list(request, f"{url}?tab={each}" if each else url),
                    "is_current": each == tab,
                }
                for each, label, number in tabs
            ],
            "state": state_words(schedule),
            "sentence": sentence(schedule),
            "old": studies.age_of(schedule, timezone.localdate()) if state_words(schedule)[0] == "In force" else "",
            "feeds": feeds_by_schedule().get(schedule.name, ()),
            "rows": [_row(rate) for rate in rates.rates],
            "currency": Policy.objects.current().currency,
            "classes": _classes(rates),
            "compared": compared,
            "versions": [(each, state_badge(each), change_url(each)) for each in versions],
            "may_edit": _is_draft(schedule) and request.user.has_perm(CHANGE),
            "may_add": request.user.has_perm(ADD),
        }

    def export_view(self, request: HttpRequest, number: int, form: str) -> HttpResponse | FileResponse:
        """Give a version as a file that can be changed and loaded again."""
        schedule = RateSchedule.objects.filter(pk=number).first() if self.has_view_permission(request) else None
        if schedule is None or form not in rate_schedules.FORMATS:
            raise Http404("There is no such file.")
        file = io.BytesIO()
        rate_schedules.write(rate_schedules.content_of(schedule), file, form)
        file.seek(0)
        name = f"{schedule.name}_v{schedule.version}.{form}"
        return FileResponse(file, as_attachment=True, filename=name, content_type=TYPES_OF_FILES[form])


def _row(rate: Rate) -> dict[str, Any]:
    """Return a rate as its row on the page shows it."""
    prices = [("", words.price_lines(rate, rate.tiers))]
    prices += [(name, words.price_lines(rate, tiers)) for name, tiers in rate.prices.items()]
    return {
        "rate": rate,
        "prices": prices,
        "counts": words.counts_text(rate.counts).splitlines(),
        "where": words.where_text(rate.when).splitlines(),
        "conditions": words.conditions_of(rate),
    }


def _classes(rates: Schedule) -> list[dict[str, str]]:
    return [
        {
            "name": each.name,
            "kind": words.CLASS_KINDS[each.kind],
            "pays": f"{words.number_text(each.percent)}% of the list price",
            "indirect": f"{words.number_text(each.indirect_percent)}%" if each.indirect_percent else "–",
        }
        for each in rates.classes
    ]
