"""Corrections: their list, each with its lines, and the pages that enter, approve and reverse them."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .. import charging, corrections, doors
from ..errors import BillingError
from ..models import BillingPeriod, Correction, CorrectionLine, PayerLine, Person, Question, Source
from ..money import named
from ..texts import number_in
from .audited import FrozenAdmin, actor_of
from .entering import ENTER, EnteringMixin
from .filters import period_filter, source_filter
from .formatting import amount_column, badge_column
from .links import change_url, link
from .naming import NameInput
from .tracing import why_url
from .verbs import Verb

APPROVE = "billing.approve_correction"
State = Correction.State
TONES: dict[Any, str] = {State.PROPOSED: "warn", State.APPROVED: "good", State.REJECTED: "bad"}
SHORT = forms.Textarea(attrs={"rows": 2})
LONG = forms.Textarea(attrs={"rows": 3})
MOVED = "Only a transfer moves the cost: leave this empty, or choose “Transfer”."


def correct_url(*lines: object) -> str:
    """Return the address of the page that corrects payer lines, named as `corrections.line_named` takes them."""
    return f"{reverse('admin:billing_correction_enter')}?{urlencode([('line', str(line)) for line in lines])}"


class PayerForm(forms.Form):
    """Who pays, as people write it: checked against what there is."""

    def clean_pi(self) -> Person | None:
        if not (text := self.cleaned_data["pi"]):
            return None
        try:
            return Person.objects.named(text)
        except ObjectDoesNotExist as error:
            raise ValidationError(str(error)) from error

    def clean_project(self) -> Any:
        try:
            return corrections.project_coded(self.cleaned_data["project"])
        except BillingError as error:
            raise ValidationError(doors.for_page(error)) from error


def bearing_field() -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        BillingPeriod.objects.taking_changes().order_by("-month"),
        to_field_name="month",
        required=False,
        empty_label="The next open month",
        label="Charged in",
        help_text="The month whose statements and journal it is on.",
    )


def amount_field(**options: Any) -> forms.DecimalField:
    return forms.DecimalField(
        # How many decimals the currency has, the engine says.
        max_digits=20,
        decimal_places=4,
        localize=False,
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
        **options,
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(widget=LONG, help_text="For staff. No statement and no page of a PI shows it.")
    printed_text = forms.CharField(
        label="Printed text",
        required=False,
        widget=SHORT,
        help_text="Printed on the statement of every PI concerned; for a transfer, on both. May be empty.",
    )
    justification = forms.CharField(
        required=False,
        widget=SHORT,
        help_text="Required where a sponsored award pays long after the service. Kept, not printed.",
    )


class CorrectForm(PayerForm, ReasonForm):
    which = forms.CharField(
        label="What is corrected",
        widget=SHORT,
        help_text="Lines of statements (2025-01-0007-1:3), one below the other, or a reference: all of 2025-01-0007.",
    )
    kind = forms.ChoiceField(
        choices=[
            ("transfer", "Transfer: somebody else pays it"),
            ("refund", "Refund: the recovery gives it back"),
            ("write_off", "Write-off: charged to the center"),
        ]
    )
    amount = amount_field(required=False, help_text="Of one line. Empty: all that is left of it.")
    to = forms.CharField(
        label="To fund/org",
        required=False,
        widget=NameInput("fund_org"),
        help_text="For a transfer: one, or several with their percentages, such as A=60; B=40.",
    )
    pi = forms.CharField(
        label="To PI", required=False, widget=NameInput("pi"), help_text="E-mail address. Empty: no change."
    )
    project = forms.CharField(
        label="To project", required=False, widget=NameInput("project"), help_text="Its code. Empty: no change."
    )
    natural_account = forms.CharField(label="To account code", required=False, help_text="Empty: no change.")
    charged_in = bearing_field()
    # The question of a PI that it answers.
    question = forms.ModelChoiceField(Question.objects.open(), required=False, widget=forms.HiddenInput)
    field_order = (
        *("which", "kind", "amount", "to", "pi", "project", "natural_account"),
        *("reason", "printed_text", "justification", "charged_in"),
    )

    def clean_to(self) -> Any:
        try:
            return corrections.shares_from(self.cleaned_data["to"])
        except BillingError as error:
            raise ValidationError(doors.for_page(error)) from error

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("kind") != "transfer":
            for name in ("to", "pi", "project", "natural_account"):
                if data.get(name):
                    self.add_error(name, MOVED)
        return data


class ManualForm(PayerForm, ReasonForm):
    pi = forms.CharField(label="PI", widget=NameInput("pi"), help_text="E-mail address.")
    project = forms.CharField(required=False, widget=NameInput("project"), help_text="Its code.")
    fund_org = forms.CharField(label="Fund/org", widget=NameInput("fund_org"), help_text="Pays.")
    source = forms.ModelChoiceField(
        Source.objects.order_by("name"), to_field_name="name", help_text="Whose recovery it goes to."
    )
    service_name = forms.CharField(label="Service", required=False, max_length=254)
    natural_account = forms.CharField(label="Account code", required=False, help_text="Empty: the source's.")
    amount = amount_field()
    for_period = forms.ModelChoiceField(
        BillingPeriod.objects.shown().order_by("-month"),
        to_field_name="month",
        required=False,
        empty_label="The month it is charged in",
        label="For",
        help_text="The month of the service.",
    )
    charged_in = bearing_field()
    field_order = (
        *("pi", "project", "fund_org", "source", "service_name", "natural_account", "amount"),
        *("reason", "printed_text", "justification", "for_period", "charged_in"),
    )


class NoteForm(forms.Form):
    note = forms.CharField(required=False, widget=SHORT, help_text="Kept with the correction.")


class RejectForm(forms.Form):
    note = forms.CharField(label="Reason", widget=SHORT, help_text="Kept with the correction.")


class ReverseForm(ReasonForm):
    charged_in = bearing_field()


def approve(request: HttpRequest, correction: Correction, data: dict[str, Any]) -> str:
    corrections.approve(correction=correction, note=data["note"], actor=actor_of(request), now=timezone.now())
    return f"{str(correction).capitalize()} is approved: it is charged in {correction.charged_in}."


def reject(request: HttpRequest, correction: Correction, data: dict[str, Any]) -> str:
    corrections.reject(correction=correction, note=data["note"], actor=actor_of(request), now=timezone.now())
    return f"{str(correction).capitalize()} is rejected."


def reverse_(request: HttpRequest, correction: Correction, data: dict[str, Any]) -> str:
    done = corrections.reverse(correction=correction, **data, actor=actor_of(request), now=timezone.now())
    return f"{str(correction).capitalize()} is reversed by {done.correction}, in {done.correction.charged_in}."


def is_reversible(correction: Correction) -> bool:
    return (
        correction.state == State.APPROVED and not Correction.objects.standing().filter(reverses=correction.pk).exists()
    )


def enter_manual(data: dict[str, Any], **given: Any) -> corrections.Entered:
    return corrections.add_manual_charge(**data, **given)


def enter_correction(data: dict[str, Any], **given: Any) -> corrections.Entered:
    lines = corrections.lines_named(data["which"].splitlines())
    asked = {
        name: data[name] for name in ("amount", "reason", "printed_text", "justification", "charged_in", "question")
    }
    if data["kind"] == Correction.Kind.TRANSFER:
        payer = {name: data[name] for name in ("to", "pi", "project", "natural_account")}
        return corrections.add_transfer(lines=lines, **payer, **asked, **given)
    verb = corrections.add_refund if data["kind"] == Correction.Kind.REFUND else corrections.add_write_off
    return verb(lines=lines, **asked, **given)


@admin.register(Correction)
class CorrectionAdmin(EnteringMixin, FrozenAdmin):
    when_empty = (
        "There are no corrections yet. A transfer, refund, write-off or manual charge is entered here or "
        "from the line of a statement."
    )
    list_display = (
        "number",
        "kind",
        amount_column("amount"),
        "moves",
        "for_period",
        "charged_in",
        badge_column("state", TONES),
        "entered_by_name",
        "why",
    )
    list_filter = (
        period_filter("charged_in"),
        period_filter("for_period", "month corrected"),
        "state",
        "kind",
        source_filter("lines__source__name"),
    )
    list_select_related = ("charged_in", "for_period")
    search_fields = (
        *("=id", "reason", "printed_text", "lines__fund_org", "lines__pi__email", "lines__pi__name"),
        *("lines__project__code", "entered_by_name"),
    )
    search_help_text = "Number, PI, project, fund/org, reason or who entered it"
    sortable_by = ("number",)
    fields = ()
    change_form_template = "admin/billing/correction/change_form.html"
    change_list_template = "admin/billing/correction/change_list.html"
    verbs = (
        Verb(
            name="approve",
            label="Approve…",
            button="Approve",
            permission=APPROVE,
            run=approve,
            form=NoteForm,
            offered=lambda correction: correction.state == State.PROPOSED,
            question=lambda correction: (
                f"{correction.get_kind_display()} of {named(correction.amount, correction.currency)} "
                f"for {correction.for_period}, entered by {correction.entered_by_name}: {correction.reason}\n"
                f"It is on the next statements and journal of {correction.charged_in}."
            ),
            is_primary=True,
        ),
        Verb(
            name="reject",
            label="Reject…",
            button="Reject",
            permission=APPROVE,
            run=reject,
            form=RejectForm,
            offered=lambda correction: correction.state == State.PROPOSED,
            question="It does not take effect, and its lines can be corrected again.",
            is_dangerous=True,
        ),
        Verb(
            name="reverse",
            label="Reverse…",
            button="Reverse",
            permission=ENTER,
            run=reverse_,
            form=ReverseForm,
            offered=is_reversible,
            question="Opposite lines in an open month reverse it. This can be done once.",
            is_dangerous=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).prefetch_related("lines__pi")

    def buttons(self, request: HttpRequest, subject: Correction) -> list[dict[str, Any]]:
        # Nobody is their own second person; the page says whom it waits for.
        url = self.verb_url(self.verbs[0], subject) if corrections.is_own(subject, actor_of(request)) else ""
        return [button for button in super().buttons(request, subject) if button["url"] != url]

    @admin.display(description="correction", ordering="id")
    def number(self, correction: Correction) -> str:
        return str(correction).capitalize()

    @admin.display(description="from and to")
    def moves(self, correction: Correction) -> str | SafeString:
        less = dict.fromkeys(line.fund_org for line in correction.lines.all() if line.amount < 0)
        more = dict.fromkeys(line.fund_org for line in correction.lines.all() if line.amount > 0)
        pis = dict.fromkeys(line.pi.display_name for line in correction.lines.all() if line.pi)
        return format_html(
            '{} → {}<br><span class="quiet small">{}</span>',
            ", ".join(less) or "recovery",
            ", ".join(more) or "recovery",
            ", ".join(pis) or "the center",
        )

    @admin.display(description="reason")
    def why(self, correction: Correction) -> str:
        text = " ".join(correction.reason.split())
        return f"{text[:59]}…" if len(text) > 60 else text

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("enter/", wrap(self.enter_view), name="billing_correction_enter"),
            path("manual/", wrap(self.manual_view), name="billing_correction_manual"),
        ]
        return own + super().get_urls()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        correction = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if correction:
            lines = correction.lines.select_related(
                "pi", "project", "source", "corrects_period", "correction__for_period"
            )
            context = {
                "tone": TONES[correction.state],
                "waits_for_others": correction.state == State.PROPOSED
                and corrections.is_own(correction, actor_of(request)),
                "reversals": list(correction.reversed_by.order_by("pk")),
                "rows": [_row(line, correction) for line in lines.order_by("number")],
                "charge_url": change_url(correction.charge) if correction.charge else "",
                "question_url": change_url(correction.question) if correction.question else "",
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def enter_view(self, request: HttpRequest) -> HttpResponse:
        """Correct lines that were charged: what, how much, where it goes and why; shown first, then entered."""
        which = request.POST.get("which") or "\n".join(request.GET.getlist("line"))
        context: dict[str, Any] = {"lines": []}
        try:
            context["lines"] = corrections.correctable(corrections.lines_named(which.splitlines())) if which else []
        except BillingError as error:
            if request.method == "GET":
                messages.error(request, doors.for_page(error, request.user))
        return self.entering(
            request,
            CorrectForm,
            title="Enter a correction",
            run=enter_correction,
            initial={"which": which} | _answering(request),
            context=context,
        )

    def manual_view(self, request: HttpRequest) -> HttpResponse:
        """Charge somebody by hand; shown first, then entered."""
        return self.entering(request, ManualForm, title="Manual charge", run=enter_manual)


def _answering(request: HttpRequest) -> dict[str, Any]:
    """Return what a link from a question of a PI fills the form in with."""
    number = number_in(request.GET.get("question", ""))
    question = Question.objects.open().filter(pk=number).first() if number else None
    if question is None:
        return {}
    kind = request.GET.get("kind", "")
    reason = f"{str(question).capitalize()}: {question.get_reason_display().lower()}"
    return {"question": question, "kind": kind, "to": request.GET.get("to", ""), "reason": reason}


def _row(line: CorrectionLine, correction: Correction) -> dict[str, Any]:
    """Return a line of a correction with where to see what it corrects and what it makes."""
    makes = (
        _shown(correction.charged_in, charging.key_of_correction(line)) if correction.state == State.APPROVED else []
    )
    return {
        "line": line,
        "kind": line.get_kind_display(),
        "corrects": _shown(line.corrects_period, line.corrects_key) if line.corrects_period else [],
        "makes": makes,
    }


def _shown(period: BillingPeriod, key: str) -> list[SafeString]:
    """Return links to the statement and the journals that show a payer line, and to the line itself."""
    if not PayerLine.objects.filter(period=period, key=key).exists():
        return []
    places = [
        link(f"{change_url(place.subject)}?tab=lines", place.label) for place in corrections.places_of(period, key)
    ]
    return [*places, link(why_url(f"{period.iso_month}@{key}"), f"payer line of {period}")]
