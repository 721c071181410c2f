"""Prepaid balances: the page that records a purchase, and what is done with a balance that was bought."""

import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminDateWidget
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone

from ... import prepayments
from ...corrections import Entered
from ...models import Allocation, BillingPeriod, Source, UsageFeed
from ...models.rates import SLUG
from ...usage import grants
from ..audited import actor_of
from ..corrections import LONG, PayerForm, amount_field, bearing_field
from ..entering import ENTER, EnteringMixin, said_of
from ..naming import NameInput
from ..verbs import Verb
from .fields import MonthField, TicksField

ADD = "billing.add_allocation"


class PurchaseForm(PayerForm):
    """Who buys how much of what, at what price."""

    code = forms.CharField(max_length=64, validators=[SLUG], help_text="Of the balance, such as lab-2026.")
    feed = forms.ModelChoiceField(
        UsageFeed.objects.filter(is_active=True).order_by("name"), to_field_name="name", label="Usage feed"
    )
    quantity = forms.DecimalField(
        min_value=Decimal("0.00000001"), localize=False, widget=forms.TextInput(attrs={"inputmode": "decimal"})
    )
    unit = forms.ChoiceField(required=False, help_text="Of the rates that it pays for, or money.")
    rates = TicksField(required=False, help_text="None ticked: all of its unit.")
    price = amount_field(help_text="What is paid for all of it.")
    pi = forms.CharField(label="PI", widget=NameInput("pi"), help_text="E-mail address.")
    project = forms.CharField(
        required=False, widget=NameInput("project"), help_text="Its code. Empty: all use of the PI is drawn from it."
    )
    fund_org = forms.CharField(label="Fund/org", widget=NameInput("fund_org"), help_text="Is charged now.")
    approved_by = forms.CharField(
        label="Approved by finance",
        required=False,
        max_length=128,
        help_text="Required where the fund/org is sponsored: who let it pay before use, and when.",
    )
    bought_on = forms.DateField(label="Bought on", widget=AdminDateWidget(attrs={"type": "date"}))
    valid_from = MonthField(label="First month", required=False, help_text="Empty: the month it is bought in.")
    valid_until = MonthField(label="Last month", required=False, help_text="Empty: until it is used up.")
    source = forms.ModelChoiceField(
        Source.objects.filter(holds_prepayments=True).order_by("name"),
        to_field_name="name",
        required=False,
        label="Deferred revenue",
        empty_label="The source that holds prepayments",
        help_text="Credited now. Use moves it to the recovery of the feed.",
    )
    reason = forms.CharField(widget=LONG, help_text="The order or agreement. For staff: no statement shows it.")
    charged_in = bearing_field()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial.setdefault("bought_on", timezone.localdate())
        units, rates = self.fields["unit"], self.fields["rates"]
        assert isinstance(units, forms.ChoiceField)
        assert isinstance(rates, TicksField)
        units.choices = [*((unit, unit) for unit in sorted(grants.units())), ("", "money")]
        rates.offer(grants.rate_codes(), ())


def _bought(data: dict[str, Any], **given: Any) -> Entered:
    return prepayments.buy(purchase=prepayments.Purchase(**data), **given)


class PurchaseMixin(EnteringMixin):
    """Has the page that records a purchase."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.purchase_view)
        return [path("purchase/", view, name="billing_allocation_purchase"), *super().get_urls()]

    def purchase_view(self, request: HttpRequest) -> HttpResponse:
        """Charge somebody for a balance that use is drawn from; shown first, then entered."""
        if not request.user.has_perm(ADD):
            raise PermissionDenied
        return self.entering(request, PurchaseForm, title="Record a purchase", run=_bought)


# What is done with a balance ------------------------------------------------------------------------------


class RefundForm(forms.Form):
    amount = amount_field(required=False, help_text="Empty: all that was not used.")
    reason = forms.CharField(widget=LONG, help_text="For staff. No statement and no page of a PI shows it.")
    printed_text = forms.CharField(label="Printed text", required=False, help_text="Printed on the statement.")
    charged_in = bearing_field()


class ExpireForm(forms.Form):
    reason = forms.CharField(widget=LONG, help_text="Such as the agreement that says so.")
    charged_in = bearing_field()


class RecognizeForm(forms.Form):
    period = forms.ModelChoiceField(
        BillingPeriod.objects.taking_changes().order_by("-month"), to_field_name="month", label="Month"
    )


def _acting(request: HttpRequest) -> dict[str, Any]:
    return {"actor": actor_of(request), "now": timezone.now()}


def _refund(request: HttpRequest, allocation: Allocation, data: dict[str, Any]) -> str:
    return said_of(prepayments.refund(allocation=allocation, **data, **_acting(request)).correction)


def _expire(request: HttpRequest, allocation: Allocation, data: dict[str, Any]) -> str:
    return said_of(prepayments.expire(allocation=allocation, **data, **_acting(request)).correction)


def _recognize(request: HttpRequest, allocation: Allocation, data: dict[str, Any]) -> str:
    entered = prepayments.recognize(**data, **_acting(request))
    if not entered:
        return f"All use of prepaid balances until {data['period']} is recognized."
    number = "1 correction" if len(entered) == 1 else f"{len(entered):,} corrections"
    return f"Use of prepaid balances until {data['period']} is recognized by {number}."


def _is_prepaid(allocation: Allocation) -> bool:
    return allocation.is_prepaid


def _has_unused(allocation: Allocation) -> bool:
    return allocation.is_prepaid and grants.unused(allocation) > 0


def _is_over(allocation: Allocation) -> bool:
    is_over = allocation.valid_until is not None and allocation.valid_until < _this_month()
    return is_over and _has_unused(allocation)


def _this_month() -> datetime.date:
    return timezone.localdate().replace(day=1)


VERBS = (
    Verb(
        name="recognize",
        label="Recognize use…",
        button="Recognize use",
        permission=ENTER,
        run=_recognize,
        form=RecognizeForm,
        offered=_is_prepaid,
        question="What was used of all prepaid balances until the end of the month moves from deferred revenue to "
        "recovery, in that month's journal. Closing a month does the same.",
    ),
    Verb(
        name="refund",
        label="Refund…",
        button="Refund",
        permission=ENTER,
        run=_refund,
        form=RefundForm,
        offered=_has_unused,
        question="What was paid for units that nobody used is given back out of deferred revenue. They are gone.",
        is_dangerous=True,
    ),
    Verb(
        name="expire",
        label="Expire…",
        button="Expire",
        permission=ENTER,
        run=_expire,
        form=ExpireForm,
        offered=_is_over,
        question="What is left moves from deferred revenue to the recovery of the usage feed. It is not given back.",
        is_dangerous=True,
    ),
)


def money_of(allocation: Allocation) -> list[tuple[str, Decimal]]:
    """Return where the money of a balance is: purchased = recognized + refunded + expired + left."""
    paid = grants.balances([allocation])[allocation.pk].paid
    if paid is None:
        return []
    found = [("Purchased", paid.purchased), ("Recognized", paid.recognized)]
    found += [(label, amount) for label, amount in (("Refunded", paid.refunded), ("Expired", paid.expired)) if amount]
    return [*found, ("Deferred", paid.left)]


def entries_of(allocation: Allocation) -> list[Any]:
    """Return the corrections of a balance that was bought, the latest first, with their kinds."""
    return list(allocation.entries.select_related("correction__charged_in").order_by("-pk"))
