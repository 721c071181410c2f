"""Subsidies of usage: what somebody need not pay, who had how much of it, and what is left."""

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from ... import once_a_page
from ...models import Policy, UsageFeed, UsageSubsidy
from ...money import plain, written
from ...usage import grants, rate_schedules
from ...usage.pricing.terms import Scope, Span
from ...usage.rate_schedules import words
from ..audited import BillingAdmin
from ..formatting import amount
from ..naming import NameInput
from .classes import AppliesFilter, ReadMixin, list_text, months_text, validity_badge
from .fields import LinesField, MonthField, TicksField
from .trying_subsidies import TryingSubsidiesMixin

# Of the recipients on a page.
SHOWN = 200


class SubsidyForm(forms.ModelForm):
    """A subsidy as people say it: lists are lines and ticks."""

    class Meta:
        labels: ClassVar[dict[str, str]] = {"scope": "Cap is for each", "span": "Over"}
        help_texts: ClassVar[dict[str, str]] = {"cap": "At most so much is taken off. Empty: no cap."}
        widgets: ClassVar[dict[str, Any]] = {"reason": forms.Textarea(attrs={"rows": 3})}

    recipients = LinesField(
        required=False,
        help_text="Addresses of PIs, or codes of projects or departments, one on each line. Empty: everybody.",
    )
    feeds = TicksField(required=False, label="Usage feeds", help_text="None ticked: all.")
    rates = TicksField(required=False, help_text="None ticked: all.")
    classes = TicksField(
        required=False, label="Rate classes", help_text="None ticked: all but those of external customers."
    )
    valid_from = MonthField(label="First month")
    valid_until = MonthField(label="Last month", required=False, help_text="Empty: until further notice.")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        offered = {
            "feeds": lambda: UsageFeed.objects.values_list("name", flat=True),
            "rates": grants.rate_codes,
            "classes": rate_schedules.class_names,
        }
        for name, names in offered.items():
            if isinstance(field := self.fields.get(name), TicksField):
                field.offer(names(), getattr(self.instance, name))
        if self.instance.percent is not None:
            self.initial["percent"] = words.number_text(self.instance.percent)
        if self.instance.cap is not None:
            self.initial["cap"] = plain(self.instance.cap, Policy.objects.current().currency)
        if fund := self.fields.get("fund_org"):
            fund.widget = NameInput("fund_org")

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                grants.check_subsidy(self.instance)
            except ValidationError as error:
                self.add_error(None, error)


@admin.register(UsageSubsidy)
class UsageSubsidyAdmin(TryingSubsidiesMixin, ReadMixin, BillingAdmin):
    when_empty = (
        "There are no subsidies yet. One takes a part of what usage costs off what somebody pays: forgone, or paid by "
        "a fund/org."
    )
    form = SubsidyForm
    actions = None
    list_display = ("name", "what", "who", "payer", "from_to", "applies", "granted_amount")
    list_filter = (AppliesFilter, "scope")
    search_fields = ("code", "name", "fund_org", "reason")
    search_help_text = "Code, name, fund/org or reason"
    fund_fields = ("fund_org",)
    change_form_template = "admin/billing/usagesubsidy/change_form.html"
    fieldsets = (
        (None, {"fields": ("code", "name", "percent", "cap", ("scope", "span"), "fund_org", "order")}),
        ("What it applies to", {"fields": ("recipients", "feeds", "rates", "classes")}),
        (None, {"fields": ("valid_from", "valid_until", "reason")}),
    )
    read_fieldsets = (
        (None, {"fields": ("code", "name", "what", "payer", "order", "from_to", "applies")}),
        ("What it applies to", {"fields": ("recipients_text", "feeds_text", "rates_text", "classes_text")}),
        (None, {"fields": ("reason",)}),
    )
    recipients_text = list_text("recipients", "recipients", "everybody")
    feeds_text = list_text("feeds", "usage feeds", "all")
    rates_text = list_text("rates", "rates", "all")
    classes_text = list_text("classes", "rate classes", "all that are not external")

    def has_delete_permission(self, request: HttpRequest, obj: UsageSubsidy | None = None) -> bool:
        # What months were priced by stays; its last month ends it.
        return super().has_delete_permission(request, obj) and not (obj and grants.had(obj))

    def get_readonly_fields(self, request: HttpRequest, obj: UsageSubsidy | None = None) -> list[str]:
        # Months know it by its code.
        return [*super().get_readonly_fields(request, obj), *(["code"] if obj else [])]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        subsidy = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if subsidy:
            had = grants.had(subsidy)
            context = {
                "had": had[:SHOWN],
                "unshown": max(len(had) - SHOWN, 0),
                "granted": grants.granted([subsidy.code])[subsidy.code],
                "currency": Policy.objects.current().currency,
                "scope_words": words.SCOPES[Scope(subsidy.scope)],
                "span_words": words.SPANS[Span(subsidy.span)],
                "has_span": subsidy.span in (Span.QUARTER, Span.FISCAL_YEAR),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    @admin.display(description="takes off")
    def what(self, subsidy: UsageSubsidy) -> str:
        percent = f"{words.number_text(subsidy.percent)}%"
        if subsidy.cap is None:
            return percent
        whose = "for all of the feed" if subsidy.scope == "feed" else f"for each {words.SCOPES[Scope(subsidy.scope)]}"
        currency, span = Policy.objects.current().currency, words.SPANS[Span(subsidy.span)]
        return f"{percent}, up to {written(subsidy.cap, currency)} {currency} {whose} and {span}"

    @admin.display(description="of")
    def who(self, subsidy: UsageSubsidy) -> str:
        count = len(subsidy.recipients)
        if not count:
            return "everybody"
        return ", ".join(subsidy.recipients) if count <= 2 else f"{count} {words.SCOPES[Scope(subsidy.scope)]}s"

    @admin.display(description="paid by", ordering="fund_org")
    def payer(self, subsidy: UsageSubsidy) -> str:
        return subsidy.fund_org or "forgone"

    @admin.display(description="months", ordering="valid_from")
    def from_to(self, subsidy: UsageSubsidy) -> str:
        return months_text(subsidy.valid_from, subsidy.valid_until)

    @admin.display(description="now")
    def applies(self, subsidy: UsageSubsidy) -> SafeString:
        return validity_badge(subsidy.valid_from, subsidy.valid_until)

    @admin.display(description="granted so far")
    def granted_amount(self, subsidy: UsageSubsidy) -> str | SafeString:
        return amount(_sums().get(subsidy.code, Decimal(0)), Policy.objects.current().currency)


def _sums() -> dict[str, Decimal]:
    """Return what each subsidy came to, asked once for a page."""
    return once_a_page.value(
        "what subsidies came to", lambda: grants.granted(UsageSubsidy.objects.values_list("code", flat=True))
    )
