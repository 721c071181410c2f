"""Corrections: their list, each with its lines, and the pages that enter, approve and reverse them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .. import charging, corrections, doors, once
from ..errors import BillingError
from ..models import BillingPeriod, Correction, CorrectionLine, PayerLine, Person, Policy, Question, Source
from ..money import named, plain
from ..texts import number_in
from .audited import FrozenAdmin, actor_of
from .filters import period_filter, source_filter
from .formatting import amount_column, badge_column
from .links import change_url, link, list_url
from .naming import NameInput
from .tracing import why_url
from .verbs import Verb

ENTER, APPROVE = "billing.enter_corrections", "billing.approve_correction"
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


def _bearing() -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        BillingPeriod.objects.taking_changes().order_by("-month"),
        to_field_name="month",
        required=False,
        empty_label="The next open month",
        label="Charged in",
        help_text="The month whose statements and journal it is on.",
    )


def _amount(**options: Any) -> forms.DecimalField:
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
    amount = _amount(required=False, help_text="Of one line. Empty: all that is left of it.")
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
    charged_in = _bearing()
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
    amount = _amount()
    for_period = forms.ModelChoiceField(
        BillingPeriod.objects.shown().order_by("-month"),
        to_field_name="month",
        required=False,
        empty_label="The month it is charged in",
        label="For",
        help_text="The month of the service.",
    )
    charged_in = _bearing()
    field_order = (
        *("pi", "project", "fund_org", "source", "service_name", "natural_account", "amount"),
        *("reason", "printed_text", "justification", "for_period", "charged_in"),
    )


class NoteForm(forms.Form):
    note = forms.CharField(required=False, widget=SHORT, help_text="Kept with the correction.")


class RejectForm(forms.Form):
    note = forms.CharField(label="Reason", widget=SHORT, help_text="Kept with the correction.")


class ReverseForm(ReasonForm):
    charged_in = _bearing()


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
class CorrectionAdmin(FrozenAdmin):
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
        return self._entering(
            request,
            CorrectForm,
            title="Enter a correction",
            run=enter_correction,
            initial={"which": which} | _answering(request),
            context=context,
        )

    def manual_view(self, request: HttpRequest) -> HttpResponse:
        """Charge somebody by hand; shown first, then entered."""
        return self._entering(request, ManualForm, title="Manual charge", run=enter_manual)

    def _entering(
        self,
        request: HttpRequest,
        form_class: type[forms.Form],
        *,
        title: str,
        run: Callable[..., corrections.Entered],
        initial: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not request.user.has_perm(ENTER):
            raise PermissionDenied
        is_posted = request.method == "POST"
        form = form_class(request.POST) if is_posted else form_class(initial=initial)
        form.label_suffix = ""
        planned = None
        # “Change” comes back to the form as it was filled in.
        if is_posted and form.is_valid() and "again" not in request.POST:
            given = {"actor": actor_of(request), "now": timezone.now()}
            try:
                planned = run(form.cleaned_data, dry_run=True, **given)
                if "confirmed" in request.POST:
                    confirmed = request.POST["confirmed"]
                    token = once.token_in(confirmed)
                    # Without its token it could be entered twice: it is shown again, with one.
                    if token and confirmed == f"{token}/{seen_of(planned)}":
                        entered = run(form.cleaned_data, **given)
                        messages.success(request, said_of(entered.correction))
                        return HttpResponseRedirect(change_url(entered.correction))
                    changed = "What it comes to changed meanwhile. Look at it again."
                    messages.warning(request, changed if token else "Look at it once more, then enter it.")
            except BillingError as error:
                planned = None
                form.add_error(None, doors.lines_for_page(error, request.user))
            except ValidationError as error:
                planned = None
                form.add_error(None, error.messages)
        if planned:
            for field in form.fields.values():
                field.widget = field.hidden_widget()
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "planned": planned,
            "seen": f"{once.token()}/{seen_of(planned)}" if planned else "",
            "second": Policy.objects.current().corrections_need_second_person,
            "back": list_url(Correction),
            "media": self.media + form.media,
            **(context or {}),
        }
        return TemplateResponse(request, "admin/billing/correction/enter.html", context)


def _answering(request: HttpRequest) -> dict[str, Any]:
    """Return what a link from a question of a PI fills the form in with."""
    number = number_in(request.GET.get("question", ""))
    question = Question.objects.open().filter(pk=number).first() if number else None
    if question is None:
        return {}
    kind = request.GET.get("kind", "")
    reason = f"{str(question).capitalize()}: {question.get_reason_display().lower()}"
    return {"question": question, "kind": kind, "to": request.GET.get("to", ""), "reason": reason}


def seen_of(entered: corrections.Entered) -> str:
    """Return what somebody saw who confirms a correction: the month it is charged in and its amounts."""
    return "/".join([entered.correction.charged_in.iso_month, *(plain(line.amount) for line in entered.lines)])


def said_of(correction: Correction) -> str:
    if correction.state == State.PROPOSED:
        return f"{str(correction).capitalize()} is entered. It is charged once somebody else has approved it."
    return (
        f"{str(correction).capitalize()} is entered. "
        f"It is on the next statements and journal of {correction.charged_in}."
    )


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
