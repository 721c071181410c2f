"""Allocations: balances that use is drawn from before it is charged, with what was drawn and what is left."""

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from ... import once_a_page
from ...models import Allocation, Policy
from ...money import plain, written
from ...quantities import counted
from ...usage import grants
from ...usage.grants import ALL, NEARLY, Balance
from ...usage.rate_schedules import words
from ..audited import BillingAdmin
from ..formatting import badge
from ..links import change_url
from ..naming import NameInput
from . import purchases
from .classes import AppliesFilter, ReadMixin, list_text, months_text, validity_badge
from .fields import MonthField, TicksField
from .purchases import PurchaseMixin


def told(quantity: Decimal, unit: str) -> str:
    """Write an amount of a balance: in its unit, or in money where it has none."""
    if unit:
        return counted(quantity, unit)
    currency = Policy.objects.current().currency
    return f"{written(quantity, currency)} {currency}"


def percent_badge(balance: Balance) -> SafeString:
    """Return how much of a balance is drawn, marked where little or nothing is left."""
    if balance.percent >= ALL:
        return badge("Used up", "bad")
    return badge(f"{balance.percent}% used", "warn" if balance.percent >= NEARLY else "")


def _balances() -> dict[int, Balance]:
    """Return every balance, asked once for a page."""
    return once_a_page.value("balances of allocations", lambda: grants.balances(Allocation.objects.order_by("pk")))


def _is_bought(allocation: Allocation | None) -> bool:
    return bool(allocation and allocation.entries.exists())


class UsedFilter(admin.SimpleListFilter):
    title = "used"
    parameter_name = "used"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("nearly", f"{NEARLY}% or more"), ("all", "Used up")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Allocation]) -> QuerySet[Allocation]:
        least = {"nearly": NEARLY, "all": ALL}.get(self.value() or "")
        if least is None:
            return queryset
        return queryset.filter(pk__in=[pk for pk, balance in _balances().items() if balance.percent >= least])


class AllocationForm(forms.ModelForm):
    """An allocation, checked as the engine does."""

    class Meta:
        widgets: ClassVar[dict[str, Any]] = {"reason": forms.Textarea(attrs={"rows": 3})}

    rates = TicksField(required=False, help_text="None ticked: all of its unit.")
    valid_from = MonthField(label="First month")
    valid_until = MonthField(label="Last month", required=False, help_text="Empty: until it is used up.")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if isinstance(field := self.fields.get("rates"), TicksField):
            field.offer(grants.rate_codes(), self.instance.rates)
        if self.instance.amount is not None:
            self.initial["amount"] = words.number_text(self.instance.amount)
        if self.instance.price is not None:
            self.initial["price"] = plain(self.instance.price, Policy.objects.current().currency)
        for name in ("fund_org", "deferred_fund_org"):
            if fund := self.fields.get(name):
                fund.widget = NameInput("fund_org")

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                grants.check_allocation(self.instance)
            except ValidationError as error:
                self.add_error(None, error)


@admin.register(Allocation)
class AllocationAdmin(PurchaseMixin, ReadMixin, BillingAdmin):
    when_empty = (
        "There are no allocations yet. One is a balance of hours, terabytes or money that use is drawn from before "
        "anything is charged: granted, or paid before."
    )
    form = AllocationForm
    actions = None
    list_display = ("code", "who", "size_amount", "drawn_amount", "left_amount", "used", "kind", "from_to", "applies")
    list_filter = (UsedFilter, AppliesFilter, "is_prepaid")
    list_select_related = ("pi", "project", "department")
    search_fields = ("code", "pi__email", "pi__name", "project__code", "department__code", "fund_org", "reason")
    search_help_text = "Code, PI, project, department, fund/org or reason"
    autocomplete_fields = ("pi", "project", "department")
    fund_fields = ("fund_org", "deferred_fund_org")
    change_form_template = "admin/billing/allocation/change_form.html"
    change_list_template = "admin/billing/allocation/change_list.html"
    verbs = purchases.VERBS
    fieldsets = (
        (None, {"fields": ("code", "amount", "unit", "feed", "rates", "order", "valid_from", "valid_until", "reason")}),
        ("Whose it is", {"fields": ("pi", "project", "department"), "description": "One of the three."}),
        (
            "Paid before",
            {
                "fields": ("is_prepaid", "price", "fund_org", "deferred_fund_org", "deferred_account", "approved_by"),
                "description": "Only for what was charged elsewhere, such as before this system. Record a purchase "
                "instead to charge it here. A sponsored fund buys no balance before use, unless finance approves.",
            },
        ),
    )

    read_fieldsets = (
        (None, {"fields": ("code", "who", "kind", "unit", "feed", "rates_text", "order", "from_to", "applies")}),
        (
            "Paid before",
            {"fields": ("price_amount", "fund_org", "deferred_fund_org", "deferred_account", "approved_by")},
        ),
        (None, {"fields": ("reason",)}),
    )
    # What its purchase says stays.
    bought_fieldsets: tuple[Any, ...] = (
        (
            None,
            {
                "fields": (
                    *("code", "who", "size_amount", "feed", "price_amount", "fund_org", "bought_on"),
                    *("deferred_fund_org", "deferred_account", "approved_by"),
                )
            },
        ),
        (None, {"fields": ("rates", "order", "valid_from", "valid_until", "reason")}),
    )
    rates_text = list_text("rates", "rates", "all of its unit")

    def get_fieldsets(self, request: HttpRequest, obj: Allocation | None = None) -> Any:
        if _is_bought(obj) and self.has_change_permission(request, obj):
            return self.bought_fieldsets
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Allocation | None = None) -> Any:
        names = super().get_readonly_fields(request, obj)
        return [*names, *self.bought_fieldsets[0][1]["fields"]] if _is_bought(obj) else names

    def has_delete_permission(self, request: HttpRequest, obj: Allocation | None = None) -> bool:
        # What was drawn from stays; its last month ends it.
        is_drawn = bool(obj and (grants.balances([obj])[obj.pk].drawn or obj.entries.exists()))
        return super().has_delete_permission(request, obj) and not is_drawn

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        allocation = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if allocation:
            balance = grants.balances([allocation])[allocation.pk]
            unit = allocation.unit
            context = {
                "figures": [
                    ("Amount", told(allocation.amount, unit)),
                    ("Drawn", told(balance.drawn, unit)),
                    ("Left", told(balance.left, unit)),
                ],
                "used": percent_badge(balance),
                "months": [(each, told(each.quantity, unit)) for each in balance.months],
                "prepaid": [(label, told(amount, "")) for label, amount in purchases.money_of(allocation)],
                "waits": bool(balance.paid and balance.paid.waits),
                "entries": [
                    (each, change_url(each.correction), told(each.correction.total, ""))
                    for each in purchases.entries_of(allocation)
                ],
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    @admin.display(description="whose")
    def who(self, allocation: Allocation) -> str:
        return str(allocation.pi or allocation.project or allocation.department or "–")

    @admin.display(description="amount")
    def size_amount(self, allocation: Allocation) -> str:
        return told(allocation.amount, allocation.unit)

    @admin.display(description="price")
    def price_amount(self, allocation: Allocation) -> str:
        return told(allocation.price, "") if allocation.price is not None else "–"

    @admin.display(description="drawn")
    def drawn_amount(self, allocation: Allocation) -> str:
        return told(_balances()[allocation.pk].drawn, allocation.unit)

    @admin.display(description="left")
    def left_amount(self, allocation: Allocation) -> str:
        return told(_balances()[allocation.pk].left, allocation.unit)

    @admin.display(description="used")
    def used(self, allocation: Allocation) -> SafeString:
        return percent_badge(_balances()[allocation.pk])

    @admin.display(description="is", ordering="is_prepaid")
    def kind(self, allocation: Allocation) -> str:
        if not allocation.is_prepaid:
            return "granted"
        paid = _balances()[allocation.pk].paid
        return "waits for approval" if paid and paid.waits else "paid before"

    @admin.display(description="months", ordering="valid_from")
    def from_to(self, allocation: Allocation) -> str:
        return months_text(allocation.valid_from, allocation.valid_until)

    @admin.display(description="now")
    def applies(self, allocation: Allocation) -> SafeString:
        return validity_badge(allocation.valid_from, allocation.valid_until)
