"""Rate studies: the list, a study with its costs as a form, and its equation, findings and payers in sight."""

import io
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString

from ... import doors, once_a_page
from ...background import heartbeat
from ...errors import BillingError
from ...fiscal_years import label_of
from ...models import CostPool, Policy, RateStudy
from ...money import plain, rounded
from ...quantities import for_people
from ...sheets import FORMATS
from ...usage import studies, trying
from ...usage.rate_schedules import words
from ...usage.studies import Cost, Figures, Paid, Studied
from ..audited import BillingAdmin, actor_of
from ..formatting import badge
from ..links import change_url
from ..tried_links import PIS
from ..verbs import Verb
from .trying import tried_or_job

State = RateStudy.State
ADOPT = "billing.adopt_ratestudy"
QUANTITIES = ("delivered", "charged", "free", "held", "units")


class StudyForm(forms.ModelForm):
    """A study; numbers stand as people type them."""

    class Meta:
        widgets: ClassVar[dict[str, Any]] = {"note": forms.Textarea(attrs={"rows": 3})}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in ("expected_units", "proposed_rate"):
            if (value := getattr(self.instance, name)) is not None:
                self.initial[name] = words.number_text(value)
        if self.instance.opening_balance is not None:
            self.initial["opening_balance"] = plain(self.instance.opening_balance, Policy.objects.current().currency)

    def clean(self) -> dict[str, Any] | None:
        """Refuse a rate that the feed's schedule does not have, and say which it has."""
        data = super().clean()
        if not self.errors and self.cleaned_data.get("feed") and self.cleaned_data.get("rate"):
            study = RateStudy(**{name: self.cleaned_data[name] for name in ("feed", "rate", "fiscal_year")})
            try:
                studies.rate_of(study)
            except BillingError as error:
                self.add_error("rate", doors.for_page(error))
        return data


class PoolForm(forms.ModelForm):
    class Meta:
        widgets: ClassVar[dict[str, Any]] = {"note": forms.TextInput(attrs={"size": 20})}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        currency = Policy.objects.current().currency
        # What is locked is shown without these fields.
        for name in {"amount", "cost", "federally_funded"} & self.fields.keys():
            if (value := getattr(self.instance, name)) is not None:
                self.initial[name] = plain(value, currency) if value or name != "federally_funded" else ""
            self.fields[name].required = False


class PoolInline(admin.StackedInline):
    model = CostPool
    form = PoolForm
    extra = 0
    verbose_name = "cost"
    verbose_name_plural = "costs"
    fields = (("name", "kind", "amount"), ("cost", "federally_funded", "life_years", "in_service"), "note")

    def _is_open(self, request: HttpRequest, study: RateStudy | None) -> bool:
        return study is None or study.state == State.DRAFT

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open(request, obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open(request, obj) and super().has_delete_permission(request, obj)


def _adopt(request: HttpRequest, study: RateStudy, data: dict[str, Any]) -> str:
    done = studies.adopt(study=study, actor=actor_of(request), now=timezone.now())
    rate = done.figures.rate
    assert rate is not None
    return f"Adopted. The rate is {words.number_text(rate)}: draft a version of the rate schedule with it."


@admin.register(RateStudy)
class RateStudyAdmin(BillingAdmin):
    when_empty = (
        "There are no rate studies yet. One says what a service costs, what was used of it, and the rate at which the "
        "costs are recovered. Federal rules ask for one at least every two years."
    )
    form = StudyForm
    actions = None
    list_display = ("name", "feed", "year", "standing", "rate_amount", "verdict")
    list_filter = ("state", "feed", "fiscal_year")
    list_select_related = ("feed__source",)
    search_fields = ("rate", "note", "feed__name", "feed__display_name")
    search_help_text = "Rate, feed or note"
    sortable_by = ("year",)
    change_form_template = "admin/billing/ratestudy/change_form.html"
    inlines = (PoolInline,)
    fieldsets = (
        (None, {"fields": ("feed", ("rate", "fiscal_year"), "note")}),
        ("What is entered", {"fields": (("opening_balance", "expected_units"), ("places", "proposed_rate"))}),
    )
    verbs = (
        Verb(
            name="adopt",
            label="Adopt…",
            button="Adopt",
            permission=ADOPT,
            run=_adopt,
            offered=lambda study: study.state == State.DRAFT,
            question="Its figures are kept as they are now, and it never changes. Its balance is carried forward into "
            "the study of the next year.",
            is_primary=True,
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:number>/study.xlsx", wrap(self.workbook_view), name="billing_ratestudy_xlsx"),
            path("<int:number>/study.pdf", wrap(self.pdf_view), name="billing_ratestudy_pdf"),
            *super().get_urls(),
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (obj is None or obj.state == State.DRAFT) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (obj is None or obj.state == State.DRAFT) and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: RateStudy, form: Any, change: bool) -> None:
        if not change:
            obj.created_at, obj.created_by = timezone.now(), actor_of(request).user
        super().save_model(request, obj, form, change)

    @admin.display(description="study of", ordering="rate")
    def name(self, study: RateStudy) -> str:
        return study.rate

    @admin.display(description="year", ordering="fiscal_year")
    def year(self, study: RateStudy) -> str:
        return label_of(study.fiscal_year)

    @admin.display(description="state")
    def standing(self, study: RateStudy) -> SafeString:
        is_adopted = study.state == State.ADOPTED
        return badge(study.get_state_display(), "good" if is_adopted else "warn")

    @admin.display(description="rate")
    def rate_amount(self, study: RateStudy) -> str:
        found = _studied(study)
        rate = found.figures.rate if found else None
        return words.number_text(rate) if rate is not None else "–"

    @admin.display(description="findings")
    def verdict(self, study: RateStudy) -> SafeString:
        found = _studied(study)
        if found is None:
            return badge("Cannot be worked out", "bad")
        if found.is_failing:
            return badge("Fails", "bad")
        return badge("To look at", "warn") if found.findings else badge("Holds", "good")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        study = self.get_object(request, object_id)
        context = self._about(request, study) if study else {}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def _about(self, request: HttpRequest, study: RateStudy) -> dict[str, Any]:
        try:
            found = studies.studied(study)
        except BillingError as error:
            return {"refused": doors.for_page(error, request.user)}
        context: dict[str, Any] = {"studied": _shown(found), "earlier": studies.before(study)}
        if PIS in request.GET:
            asked = studies.asked_of(found)
            context |= tried_or_job(request, asked, is_wanted=True) if asked else {"nothing_tried": True}
        return context

    def workbook_view(self, request: HttpRequest, number: int) -> FileResponse:
        """Give a study as a workbook with formulas."""
        found = self._found(request, number)
        file = io.BytesIO()
        studies.write_workbook(found, file)
        file.seek(0)
        name = studies.file_name(found.study, "xlsx")
        return FileResponse(file, as_attachment=True, filename=name, content_type=FORMATS["xlsx"])

    def pdf_view(self, request: HttpRequest, number: int) -> HttpResponse | FileResponse:
        """Give a study as a PDF to file, with what each PI would have paid."""
        found, now = self._found(request, number), timezone.now()
        asked = studies.asked_of(found)
        if asked and trying.kept(asked) is None and trying.is_large(asked) and heartbeat.is_worker_alive():
            # The page has the worker try the rate first.
            return HttpResponseRedirect(f"{change_url(found.study)}?{PIS}=1")
        tried = studies.try_proposed(found, now=now)
        file = io.BytesIO(studies.as_pdf(found, tried, today=timezone.localdate(now)))
        name = studies.file_name(found.study, "pdf")
        return FileResponse(file, as_attachment=True, filename=name, content_type="application/pdf")

    def _found(self, request: HttpRequest, number: int) -> Studied:
        study = RateStudy.objects.select_related("feed__source", "adopted_by").filter(pk=number).first()
        if study is None or not self.has_view_permission(request, study):
            raise Http404("There is no such rate study.")
        try:
            return studies.studied(study)
        except BillingError as error:
            raise Http404(str(error)) from error


def _studied(study: RateStudy) -> Studied | None:
    """Return a study worked out, once for a page; None where its rate is not known any more."""

    def work_out() -> Studied | None:
        try:
            return studies.studied(study)
        except BillingError:
            return None

    return once_a_page.value(f"rate study {study.pk}", work_out)


def _shown(found: Studied) -> dict[str, Any]:
    """Return a study as its page shows it."""
    figures = found.figures
    return {
        "is": found,
        "figures": figures,
        "currency": figures.currency,
        "rate": _number(figures.rate),
        "break_even": _number(figures.break_even),
        "present": _number(figures.present),
        "proposed": _number(figures.proposed),
        "units": for_people(figures.units),
        "used": for_people(figures.used),
        "excluded": rounded(figures.excluded, figures.currency),
        "charged": rounded(figures.charged, figures.currency),
        "balance_said": _balance_said(figures),
        "costs": [(each, CostPool.Kind(each.kind).label, _rests_on(each, figures)) for each in figures.costs],
        "use": [
            (
                each,
                {name: for_people(getattr(each, name)) for name in ("delivered", "charged", "free", "held", "units")},
            )
            for each in figures.use
        ],
        "payers": [
            ("Federal awards", *_paid(figures.sponsored, figures)),
            ("Other internal users", *_paid(figures.others, figures)),
        ],
    }


def _rests_on(cost: Cost, figures: Figures) -> str:
    """Say what a cost rests on: of depreciation its equipment, and the note."""
    said = []
    if cost.cost is not None:
        federal = rounded(cost.federally_funded, figures.currency)
        of_it = f", of which {federal} federally funded" if cost.federally_funded else ""
        years = f"{cost.life_years} year{'' if cost.life_years == 1 else 's'}"
        months = f"{cost.months} month{'' if cost.months == 1 else 's'} of the year"
        said.append(f"{rounded(cost.cost, figures.currency)}{of_it}, over {years}: {months}")
    return ". ".join(filter(None, [*said, studies.of_whole(cost, figures), cost.note]))


def _number(number: Any) -> str:
    return "" if number is None else words.number_text(number)


def _paid(paid: Paid, figures: Figures) -> tuple[str, Any, str]:
    return for_people(paid.units), paid.charged, _number(paid.rate(figures.places)) or "–"


def _balance_said(figures: Figures) -> str:
    """Say what is carried forward, in words."""
    if not figures.balance:
        return "Nothing is carried forward."
    amount = f"{rounded(abs(figures.balance), figures.currency)} {figures.currency}"
    if figures.balance > 0:
        return f"{amount} more than the cost was recovered. It lowers the rate."
    return f"{amount} less than the cost was recovered. It raises the rate."
