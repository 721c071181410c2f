"""Charges: the queue of those to review, all of them as delivered, and the verbs of the review."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from tempfile import SpooledTemporaryFile
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import F, Q, QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .. import doors, review
from ..attribution import naming
from ..background import jobs
from ..errors import BillingError, NoLongerKept, ReasonMissing
from ..importing import delivered
from ..models import AttributionRule, Charge, Flag, HeldCharge, ReviewDecision
from ..review import deciding, learning, review_sheets, selections
from ..setup import kept_sheets
from .attribution import MOST, RANGES, rule_url, rule_url_of, sharing_url
from .base import (
    FrozenAdmin,
    LargeTableMixin,
    Verb,
    actor_of,
    amount_column,
    badge,
    change_url,
    differences,
    link,
    period_filter,
)
from .naming import CreateField, NameInput, key_of, suggest_view
from .tracing import why_url, why_view

State = Charge.State
RULE_NUMBER = re.compile(r"rule (\d+) ")
PERMISSION = "billing.review_charges"
TONES = {
    State.CLEAR: "good",
    State.HELD: "warn",
    State.APPROVED: "good",
    State.REJECTED: "bad",
    State.ABSORBED: "info",
}
SHEET = "review-sheet"
MAX_SHEET_BYTES = 64 * 1024**2
SHOWN_ROWS = 500

FACTS = (
    ("What it was for", ("service_name", "service_category", "charge_category", "charge_class", "charge_frequency")),
    ("Resource", ("resource_name", "resource_id", "resource_type", "region_id", "sku_id", "sku_price_id")),
    (
        "Price and quantity",
        (
            "pricing_category",
            "pricing_quantity",
            "pricing_unit",
            "pricing_currency",
            "list_unit_price",
            "contracted_unit_price",
            "consumed_quantity",
            "consumed_unit",
            "commitment_discount_id",
            "commitment_discount_status",
        ),
    ),
    (
        "Provider",
        (
            "provider_name",
            "publisher_name",
            "invoice_id",
            "billing_account_id",
            "billing_account_name",
            "sub_account_id",
            "sub_account_name",
        ),
    ),
)


class NoteForm(forms.Form):
    note = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept with the decision."
    )


class RejectForm(NoteForm):
    reason = forms.ChoiceField(choices=[("", "Choose…"), *ReviewDecision.Reason.choices], label="Why nobody should pay")
    field_order = ("reason", "note")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if reason := data.get("reason"):
            try:
                review.check_reason(reason, data.get("note", ""))
            except ReasonMissing as error:
                self.add_error("note", doors.for_page(error))
        return data


class CorrectForm(NoteForm):
    pi = forms.CharField(
        label="PI",
        required=False,
        widget=NameInput("pi"),
        help_text="E-mail address. Fields left empty stay as they are.",
    )
    project = forms.CharField(required=False, widget=NameInput("project"), help_text="Its code.")
    fund_org = forms.CharField(label="Fund/org", required=False, widget=NameInput("fund_org"))
    split = forms.CharField(
        required=False, help_text="Instead of one fund/org: several with their percentages, such as A=60; B=40."
    )
    natural_account = forms.CharField(label="Account code", required=False)
    cost_center = forms.CharField(required=False)
    approve = forms.BooleanField(label="Approve at the same time", required=False, initial=True)
    field_order = (
        *("pi", "project", "fund_org", "split", "create"),
        *("natural_account", "cost_center", "approve", "note"),
    )

    def show_current(self, charges: "QuerySet[Charge]") -> None:
        """Say at each field what stands there now, where all of some charges agree."""
        columns = {"pi": "pi__email", "project": "project__code"}
        for name in ("pi", "project", "fund_org", "natural_account", "cost_center"):
            values = charges.order_by().values_list(columns.get(name, name), flat=True).distinct()[:2]
            if len(found := list(values)) == 1 and found[0]:
                field = self.fields[name]
                field.help_text = f"Now {found[0]}. {field.help_text}".strip()
            elif len(found) > 1:
                self.fields[name].help_text = f"Now not the same for all. {self.fields[name].help_text}".strip()

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        shares: tuple[Any, ...] = ()
        if data.get("split"):
            try:
                shares = tuple(review.parse_shares(data["split"]).items())
            except review.BadSplit as error:
                self.add_error("split", doors.for_page(error))
                return data
        correction = review.Correction(
            shares=shares,
            **{name: data.get(name, "") for name in ("pi", "project", "fund_org", "natural_account", "cost_center")},
        )
        try:
            data["correction"] = correction.checked()
        except review.BadPI as error:
            self.add_error("pi", doors.for_page(error))
        except BillingError as error:
            self.add_error(None, doors.for_page(error))
        else:
            data["create"] = self._is_meant(data["correction"].unknown())
        return data

    def _is_meant(self, unknown: list[naming.Unknown]) -> bool:
        """Tell whether each name that does not exist is ticked; ask for those that are not."""
        if not unknown:
            return False
        field = CreateField()
        field.ask(unknown)
        self.fields["create"] = field
        self.order_fields(self.field_order)
        ticked = self.fields["create"].widget.value_from_datadict(self.data, self.files, "create") or []
        for each in unknown:
            if key_of(each) not in ticked:
                where = "split" if each.kind == "fund_org" and self.data.get("split") else each.kind
                self.add_error(where, f"{each} If it is new, tick it below.")
        return not self.errors


@dataclass(frozen=True)
class Step:
    """A verb of the review as the admin offers it: for one charge or for many."""

    name: str
    label: str
    button: str
    question: str
    states: frozenset[str]
    form: type[forms.Form] = NoteForm
    # What the form proposes for a selection.
    initial: Callable[["QuerySet[Charge]"], dict[str, Any]] = lambda charges: {}
    is_dangerous: bool = False
    is_primary: bool = False


def _proposed(charges: "QuerySet[Charge]") -> dict[str, Any]:
    return {"pi": review.proposed_pi(charges)}


STEPS = {
    step.name: step
    for step in (
        Step(
            name="approve",
            label="Approve…",
            button="Approve",
            question="The PI's fund/orgs pay what is approved.",
            states=frozenset({State.HELD}),
            is_primary=True,
        ),
        Step(
            name="correct",
            label="Correct…",
            button="Correct",
            question="Choose who pays. The imported data and all earlier decisions are kept.",
            states=frozenset({State.CLEAR, State.HELD, State.APPROVED}),
            form=CorrectForm,
            initial=_proposed,
        ),
        Step(
            name="reject",
            label="Reject…",
            button="Reject",
            question="Nobody pays for what is rejected. It is on no statement and in no journal.",
            states=frozenset({State.CLEAR, State.HELD}),
            form=RejectForm,
            is_dangerous=True,
        ),
        Step(
            name="absorb",
            label="Charge to center…",
            button="Charge to center",
            question="The center's own fund/org pays, through the journal.",
            states=frozenset({State.CLEAR, State.HELD}),
        ),
        Step(
            name="undo",
            label="Undo…",
            button="Undo the last decision",
            question="Reverses the last decision: the charge is held again, or assigned as before.",
            states=frozenset(State),
        ),
    )
}


def _verb(step: Step) -> Verb:
    def run(request: HttpRequest, charge: Charge, data: dict[str, Any]) -> str:
        acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
        decided = deciding.decide(step=step.name, charges=[charge.pk], options=data, **acting)
        if not decided.count:
            raise deciding.NothingDecided(str(decided))
        return with_rule_offered(request, decided)

    return Verb(
        name=step.name,
        label=step.label,
        button=step.button,
        permission=PERMISSION,
        question=step.question,
        form=step.form,
        initial=lambda charge: step.initial(Charge.objects.filter(pk=charge.pk)),
        run=run,
        offered=lambda charge: (
            charge.state in step.states and not charge.withdrawn_in_id and charge.charged_in.takes_changes
        ),
        details="admin/billing/charge/selection.html",
        facts=lambda request, charge, form: facts_of(request, Charge.objects.filter(pk=charge.pk), step, form),
        is_dangerous=step.is_dangerous,
        is_primary=step.is_primary,
    )


def facts_of(request: HttpRequest, charges: "QuerySet[Charge]", step: Step, form: forms.Form) -> dict[str, Any]:
    """Return what a page shows of the charges that a step is about to decide: amounts, reasons and payers."""
    acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
    selection = selections.weigh(charges, approving=step.name == "approve", **acting)
    if isinstance(form, CorrectForm):
        form.show_current(charges)
    shown = (
        charges.select_related("source", "pi", "project", "charged_in")
        .prefetch_related(review_sheets.open_flags(), "payer_split__shares")
        .order_by("-id")[: selection.count if selection.is_small else selections.SHOWN]
    )
    why = selection.why_blocked or {}
    rows = [
        {"charge": charge, "payers": payers_text(charge), "why_blocked": why.get(charge.pk, "")} for charge in shown
    ]
    return {"selection": selection, "rows": rows}


def _action(step: Step) -> Callable[..., HttpResponse | None]:
    @admin.action(description=step.label, permissions=["review"])
    def action(modeladmin: "ReviewMixin", request: HttpRequest, queryset: "QuerySet[Charge]") -> HttpResponse | None:
        return modeladmin.decide(request, queryset, step)

    action.__name__ = step.name
    return action


@admin.action(description="Make a rule…", permissions=["rule"])
def make_rule(modeladmin: "ReviewMixin", request: HttpRequest, queryset: "QuerySet[Charge]") -> HttpResponse | None:
    """Lead to the form for a rule, filled in with what the corrected charges of a selection have in common."""
    chosen = learning.still_corrected(Charge.objects.filter(pk__in=queryset.order_by().values("pk")))
    ids = list(chosen.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
    url = rule_url(charges=ids)
    if not ids:
        messages.error(request, "None of these charges was corrected. Say who pays for them first.")
    elif len(ids) > MOST or len(url) > RANGES:
        messages.error(request, f"{review.counted(len(ids))} are too many for one rule. Choose fewer that are alike.")
    else:
        return HttpResponseRedirect(url)
    return None


class ReasonFilter(admin.SimpleListFilter):
    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(code), str(label)) for code, label in Flag.Code.choices]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        if not self.value():
            return queryset
        flagged = Flag.objects.filter(code=self.value(), is_resolved=False)
        return queryset.filter(pk__in=flagged.values("charge"))


class AmountFilter(admin.SimpleListFilter):
    title = "amount billed"
    parameter_name = "amount"
    RANGES: ClassVar[dict[str, tuple[str, Q]]] = {
        "credit": ("Below 0 (credits)", Q(billed_cost__lt=0)),
        "zero": ("0", Q(billed_cost=0)),
        "cents": ("Up to 1", Q(billed_cost__gt=0, billed_cost__lte=1)),
        "tens": ("1 to 100", Q(billed_cost__gt=1, billed_cost__lte=100)),
        "hundreds": ("100 to 1,000", Q(billed_cost__gt=100, billed_cost__lte=1_000)),
        "thousands": ("More than 1,000", Q(billed_cost__gt=1_000)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in self.RANGES.items()]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        chosen = self.RANGES.get(self.value() or "")
        return queryset.filter(chosen[1]) if chosen else queryset


class PresenceFilter(admin.SimpleListFilter):
    """Who pays: known, or missing something."""

    title = "who pays"
    parameter_name = "payer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("no-pi", "No PI"),
            ("no-fund", "No fund/org or split"),
            ("known", "PI and fund/org known"),
            ("shared", "Shared over the source's payers"),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        unfunded = Q(fund_org="", payer_split__isnull=True)
        match self.value():
            case "no-pi":
                return queryset.filter(pi__isnull=True, shared_as="")
            case "no-fund":
                return queryset.filter(unfunded, shared_as="")
            case "known":
                return queryset.filter(~unfunded, pi__isnull=False)
            case "shared":
                return queryset.exclude(shared_as="")
        return queryset


class StandingFilter(admin.SimpleListFilter):
    title = "in force"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "In force"), ("withdrawn", "Withdrawn or replaced")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        if self.value() in ("live", "withdrawn"):
            return queryset.filter(withdrawn_in__isnull=self.value() == "live")
        return queryset


class ReviewMixin(FrozenAdmin):
    """Columns and actions that the queue and the list of all charges share."""

    list_select_related = ("source", "pi", "project", "charged_in")
    search_fields = (
        "pi__email",
        "pi__name",
        "project__code",
        "resource_id",
        "resource_name",
        "fund_org",
        "reference_1",
        "reference_2",
    )
    search_help_text = "PI, project, resource, fund/org, grant number or request id"
    ordering = ("-id",)
    list_display_links = None

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["openchargeback/review.css"]}

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.view_charge")

    def has_rule_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_attributionrule")

    def has_review_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).prefetch_related(review_sheets.open_flags(), "payer_split__shares")

    @admin.display(description="charge")
    def charge_link(self, charge: Charge) -> SafeString:
        return link(reverse("admin:billing_charge_change", args=[charge.pk]), f"{charge.pk}")

    @admin.display(description="reasons")
    def reasons(self, charge: Charge) -> SafeString | str:
        return reason_badges(charge.open_flags)  # type: ignore[attr-defined]

    @admin.display(description="PI and project")
    def owner(self, charge: Charge) -> SafeString | str:
        if charge.shared_as:
            return format_html('shared<br><span class="quiet small">as {}</span>', charge.shared_as)
        if not charge.pi and not charge.project:
            return "–"
        return format_html(
            '<span title="{}">{}</span><br><span class="quiet small">{}</span>',
            charge.pi.email if charge.pi else "",
            charge.pi.display_name if charge.pi else "no PI",
            charge.project.code if charge.project else "no project",
        )

    @admin.display(description="fund/org")
    def payers(self, charge: Charge) -> str:
        return payers_text(charge) or "–"

    @admin.display(description="service and resource")
    def used(self, charge: Charge) -> SafeString | str:
        name = charge.resource
        short = f"…{name[-28:]}" if len(name) > 30 else name
        return format_html(
            '{}<br><span class="quiet small" title="{}">{}</span>', charge.service_name or "–", name, short
        )

    @admin.display(description="period")
    def month(self, charge: Charge) -> str:
        return str(charge.charged_in)

    def decide(self, request: HttpRequest, queryset: "QuerySet[Charge]", step: Step) -> HttpResponse | None:
        """Ask about a selection on a page of its own, then call the step's verb once for all of it."""
        chosen = Charge.objects.filter(pk__in=queryset.order_by().values("pk"))
        number = chosen.count()
        is_confirmed = "confirmed" in request.POST
        form = step.form(request.POST) if is_confirmed else step.form(initial=step.initial(chosen))
        if is_confirmed and request.POST["confirmed"] != str(number):
            messages.warning(request, f"The selection changed meanwhile: it has {review.counted(number)} now.")
        elif is_confirmed and form.is_valid():
            asked: dict[str, Any] = {"step": step.name, "charges": chosen, "options": form.cleaned_data}
            acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
            if number > jobs.LARGE:
                job = deciding.decide_later(**asked, **acting)
                messages.info(request, "This takes a while. This page says when it is done.")
                return HttpResponseRedirect(change_url(job))
            try:
                decided = deciding.decide(**asked, **acting)
            except BillingError as error:
                messages.error(request, doors.for_page(error, request.user))
            else:
                self._tell(request, decided)
                return None
        context = {
            **self.admin_site.each_context(request),
            "title": step.button,
            "opts": self.opts,
            "form": form,
            "step": step,
            "number": number,
            **facts_of(request, chosen, step, form),
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "back": request.get_full_path(),
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/billing/charge/decide.html", context)

    def _tell(self, request: HttpRequest, decided: review.Decided) -> None:
        level = messages.ERROR if not decided.count else messages.WARNING if decided.skipped else messages.SUCCESS
        messages.add_message(request, level, with_rule_offered(request, decided))


class SheetForm(forms.Form):
    file = forms.FileField(label="Spreadsheet", help_text="The .xlsx that “Export to spreadsheet” wrote, filled in.")

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > MAX_SHEET_BYTES:
            raise forms.ValidationError(f"The file exceeds {MAX_SHEET_BYTES // 1024**2} MB. Apply it in parts.")
        return file


@admin.register(HeldCharge)
class HeldChargeAdmin(ReviewMixin):
    when_empty = "Nothing waits for review."
    list_display = (
        "charge_link",
        "reasons",
        amount_column("billed_cost", "billed"),
        "owner",
        "payers",
        "source",
        "used",
        "month",
    )
    list_filter = (period_filter("charged_in"), ReasonFilter, "source", AmountFilter, PresenceFilter)
    sortable_by = ("charge_link", "billed_cost_amount")
    change_list_template = "admin/billing/charge/queue.html"
    actions: Any = tuple(_action(STEPS[name]) for name in ("approve", "correct", "reject", "absorb", "undo"))

    def get_urls(self) -> list[Any]:
        return [
            path("suggest/", self.admin_site.admin_view(suggest_view), name="billing_heldcharge_suggest"),
            path("export/", self.admin_site.admin_view(self.export_view), name="billing_heldcharge_export"),
            path("apply/", self.admin_site.admin_view(self.apply_view), name="billing_heldcharge_apply"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the charge's own page, which it keeps when it leaves the queue."""
        return HttpResponseRedirect(reverse("admin:billing_charge_change", args=[object_id]))

    def export_view(self, request: HttpRequest) -> FileResponse:
        """Write the queue, as filtered, to a spreadsheet."""
        if not self.has_review_permission(request):
            raise PermissionDenied
        charges = self.get_changelist_instance(request).get_queryset(request)
        file = SpooledTemporaryFile(max_size=4 * 1024**2)  # noqa: SIM115 (the response closes it)
        chosen = Charge.objects.filter(pk__in=charges.order_by().values("pk"))
        review_sheets.export(charges=chosen, file=file, actor=actor_of(request), now=timezone.now())
        file.seek(0)
        return FileResponse(
            file,
            as_attachment=True,
            filename=f"charges-to-review-{timezone.localdate():%Y-%m-%d}.xlsx",
            content_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        )

    def apply_view(self, request: HttpRequest) -> HttpResponse:
        """Take a spreadsheet, show what it would do, and do that once confirmed."""
        if not self.has_review_permission(request):
            raise PermissionDenied
        if request.method == "POST" and "kept" in request.POST:
            return self._apply_kept(request, request.POST["kept"])
        form = SheetForm(request.POST, request.FILES) if request.method == "POST" else SheetForm()
        context: dict[str, Any] = {}
        if request.method == "POST" and form.is_valid():
            file = form.cleaned_data["file"]
            try:
                planned = review_sheets.apply(file=file, dry_run=True, actor=actor_of(request), now=timezone.now())
            except review_sheets.SheetRefused as error:
                context = {"errors": error.errors[:SHOWN_ROWS], "error_count": len(error.errors)}
            except BillingError as error:
                form.add_error("file", doors.for_page(error, request.user))
            else:
                context = {"planned": planned, "shown": planned.rows[:SHOWN_ROWS], "file_name": file.name}
                if planned.rows:
                    context["kept"] = kept_sheets.token_of(kept_sheets.keep(file), owner=request.user.pk, about=SHEET)
        return TemplateResponse(
            request,
            "admin/billing/charge/apply.html",
            {
                **self.admin_site.each_context(request),
                "title": "Apply a spreadsheet",
                "opts": self.opts,
                "form": form,
                "back": reverse("admin:billing_heldcharge_changelist"),
                "media": self.media,
                **context,
            },
        )

    def _apply_kept(self, request: HttpRequest, token: str) -> HttpResponse:
        again = HttpResponseRedirect(reverse("admin:billing_heldcharge_apply"))
        try:
            name = kept_sheets.name_of(token, owner=request.user.pk, about=SHEET)
            with kept_sheets.opened(name) as file:
                applied = review_sheets.apply(file=file, actor=actor_of(request), now=timezone.now())
        except NoLongerKept as error:
            messages.error(request, str(error))
            return again
        except BillingError as error:
            messages.error(request, f"{str(error)[:1000]} Upload it again to see every line.")
            return again
        kept_sheets.drop(name)
        messages.success(request, str(applied))
        return HttpResponseRedirect(reverse("admin:billing_heldcharge_changelist"))


@admin.register(Charge)
class ChargeAdmin(LargeTableMixin, ReviewMixin):
    when_empty = "There are no charges yet. Import files, and each of their rows is one."
    list_display = (
        "charge_link",
        "state_badge",
        amount_column("billed_cost", "billed"),
        "owner",
        "payers",
        "source",
        "used",
        "month",
    )
    linked_by = ("charged_in", "period", "project")
    list_filter = (
        period_filter("charged_in"),
        "state",
        "source",
        ReasonFilter,
        AmountFilter,
        PresenceFilter,
        StandingFilter,
    )
    fields: ClassVar[Any] = ()
    change_form_template = "admin/billing/charge/change_form.html"
    verbs = tuple(_verb(step) for step in STEPS.values())
    actions: Any = (*(_action(STEPS[name]) for name in ("correct", "reject", "absorb", "undo")), make_rule)

    def get_urls(self) -> list[Any]:
        return [path("why/", self.admin_site.admin_view(why_view), name="billing_charge_why"), *super().get_urls()]

    @admin.display(description="state")
    def state_badge(self, charge: Charge) -> SafeString:
        if charge.withdrawn_in_id:
            return badge("Withdrawn")
        return badge(charge.get_state_display(), TONES[State(charge.state)])

    def buttons(self, request: HttpRequest, subject: Any) -> list[dict[str, Any]]:
        is_decided = ReviewDecision.objects.filter(charge=subject.pk).exists()
        return [each for each in super().buttons(request, subject) if is_decided or not each["url"].endswith("/undo/")]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        charge = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if charge:
            context = {
                "tone": "" if charge.withdrawn_in_id else TONES[State(charge.state)],
                "payers": payers_text(charge),
                "deciders": deciders_of(charge),
                "rule_url": rule_url_of(charge) if may_make_rule(request, charge) else "",
                "sharing_url": sharing_url(charge) if may_make_sharing_rule(request, charge) else "",
                "flags": Flag.objects.filter(charge=charge.pk).order_by("is_resolved", "pk"),
                "decisions": decisions_of(charge),
                "amounts": [
                    (charge._meta.get_field(name).verbose_name, getattr(charge, name))
                    for name in ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
                ],
                "facts": [
                    (title, [(_label(name), getattr(charge, name)) for name in names if getattr(charge, name)])
                    for title, names in FACTS
                ],
                "counted": counted_of(charge),
                "imported": charge.imported_in,
                "why_url": why_url(charge.pk),
                "delivered": delivered.row_of(charge),
                "replaced": _linked(charge.replaces),
                "replaced_by": [_linked(each) for each in charge.replaced_by.order_by("pk")],
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))


def counted_of(charge: Charge) -> list[tuple[str, Decimal | None]]:
    """Return what a charge counts for, by the names statements use: exact, and none where it lacks EffectiveCost."""
    prices = Charge.objects.filter(pk=charge.pk).with_prices()
    listed, contracted, charged = prices.values_list(F("exact_list"), F("exact_contracted"), F("exact_charged")).get()
    return [
        ("list price", listed),
        ("provider discount", None if listed is None or contracted is None else listed - contracted),
        ("subsidy", None if contracted is None or charged is None else contracted - charged),
        ("charged", charged),
    ]


def with_rule_offered(request: HttpRequest, decided: review.Decided) -> str | SafeString:
    """Return what came of a decision, and after a correction the link that makes a rule of it."""
    is_correction = decided.done.startswith(review.DONE[ReviewDecision.Action.REATTRIBUTE])
    if not (decided.count and is_correction and request.user.has_perm("billing.add_attributionrule")):
        return str(decided)
    return format_html('{} <a href="{}">Make a rule of this</a>', decided, rule_url(gesture=decided.gesture))


def payers_text(charge: Charge) -> str:
    """Return the fund/org that pays, or the shares of several."""
    if split := charge.payer_split:
        return review.shares_text({share.fund_org: share.percent for share in split.shares.all()})
    return charge.fund_org


def deciders_of(charge: Charge) -> list[tuple[str, str]]:
    """Return the rules and the account that said who pays, each with its page; a deleted rule has none."""
    if charge.attributed_by in Charge.SETTLED or not charge.deciders:
        return []
    numbers = {int(number) for number in RULE_NUMBER.findall(charge.deciders)}
    rules = AttributionRule.objects.in_bulk(numbers)
    found = []
    for text in charge.deciders.split("; "):
        named = RULE_NUMBER.match(text)
        rule = rules.get(int(named[1])) if named else None
        found.append((text, change_url(rule) if rule else ""))
    return found


def may_make_rule(request: HttpRequest, charge: Charge) -> bool:
    """Tell whether a charge's correction is offered as a rule: somebody said who pays, and may make rules."""
    return charge.attributed_by == Charge.AttributedBy.DECISION and request.user.has_perm("billing.add_attributionrule")


def may_make_sharing_rule(request: HttpRequest, charge: Charge) -> bool:
    """Tell whether a rule that shares such costs is offered: the charge is nobody's, and the user may make rules."""
    is_nobodys = not (charge.pi_id or charge.shared_as or charge.withdrawn_in_id)
    return is_nobodys and charge.charged_in.takes_changes and request.user.has_perm("billing.add_attributionrule")


def reason_badges(flags: list[Flag]) -> SafeString | str:
    return format_html_join(
        " ",
        '<span class="badge {}" title="{}">{}</span>',
        (
            (
                "badge-bad" if flag.code in Flag.BLOCKING else "badge-warn",
                f"{flag.get_code_display()}: {flag.detail}" if flag.detail else flag.get_code_display(),
                flag.get_code_display(),
            )
            for flag in flags
        ),
    )


def decisions_of(charge: Charge) -> list[dict[str, Any]]:
    """Return what was decided about a charge, the latest first, with what each decision changed."""
    decisions = []
    for decision in ReviewDecision.objects.filter(charge=charge.pk).order_by("-pk"):
        before, after = differences(decision.before, decision.after)
        shown = [name for name in after if not name.endswith("_id") and name != "undone"]
        decisions.append(
            {
                "decision": decision,
                "changes": [(_label(name), before.get(name) or "–", after[name] or "–") for name in shown],
            }
        )
    return decisions


def _label(name: str) -> str:
    """Return a column's name as people write it: `sku_price_id` as “SKU price ID”."""
    words = [{"id": "ID", "sku": "SKU", "pi": "PI"}.get(word, word) for word in name.split("_")]
    label = " ".join(words).replace("fund org", "fund/org")
    return label[0].upper() + label[1:]


def _linked(charge: Charge | None) -> dict[str, Any] | None:
    return {"charge": charge, "url": change_url(charge)} if charge else None
