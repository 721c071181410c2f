"""The list of journals: what it is narrowed by, what it comes to by state, and what months still have to journal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import capfirst

from billing.admin.chips import ANY, AllFiltersForm, ChipsMixin
from billing.admin.choice_chips import ChoiceChip, address_by, choice_chips
from billing.admin.filters import months_offered, period_filter, sources_offered
from billing.admin.links import list_url
from billing.admin.month import Shown, shown
from billing.fields import AmountSum
from billing.models import BillingPeriod
from billing.money import ZERO
from billing.months import checklist
from billing.months.checklist import Item

from ..models import Journal

State = Journal.State

TONES: dict[str, str] = {
    State.DRAFT: "info",
    State.SUBMITTED: "warn",
    State.POSTED: "good",
    State.REJECTED: "bad",
    State.REVERSED: "",
}
# The states in which a journal waits for somebody.
CHIP_TONES: dict[str, str] = {State.SUBMITTED: "warn", State.REJECTED: "bad"}
STATE = "state__exact"
# What the address says for all months.
ALL = "all"
# How the summary calls the states: a submitted journal is what somebody waits for.
SAID = dict(State.choices) | {str(State.SUBMITTED): "Waiting for the ledger"}
# What of a month's checklist is about its journals.
ITEMS = ("journal", "submitted", "answered")
# Months that a list of all months tells about.
MONTHS = 12

_ByPeriod: Any = period_filter("period")


class MonthFilter(_ByPeriod):
    """The month of a journal: the one worked on, where it has journals and the address says nothing else."""

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        self.default = "" if self.parameter_name in params else _worked_on(request, model_admin)
        super().__init__(request, params, model, model_admin)

    def value(self) -> str | None:
        given: str | None = super().value()
        return self.default if given is None else "" if given == ALL else given

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Offer all months by an address that says so."""
        for number, choice in enumerate(super().choices(changelist)):
            if number:
                yield choice
            else:
                url = changelist.get_query_string({self.parameter_name: ALL})
                yield choice | {"selected": not self.value(), "query_string": url}


class FilterForm(AllFiltersForm):
    """The form of all filters of the list; the month it opens in is shown as chosen."""

    period = forms.ChoiceField(label="Period")
    state__exact = forms.ChoiceField(label="State", choices=[ANY, *State.choices])
    kind__exact = forms.ChoiceField(label="Kind", choices=[ANY, *Journal.Kind.choices])
    source = forms.ChoiceField(label="Source")

    def __init__(self, request: HttpRequest, month: str) -> None:
        super().__init__(request, {"source": sources_offered("name")})
        period = self.fields["period"]
        assert isinstance(period, forms.ChoiceField)
        # An older month stays what is asked for.
        months = {ALL: "All months", **dict(months_offered())}
        period.choices = list({**months, month or ALL: months.get(month or ALL, month)}.items())
        self.initial["period"] = month or ALL


def _worked_on(request: HttpRequest, model_admin: admin.ModelAdmin) -> str:
    """Return the month worked on, if it has journals."""
    found: str | None = getattr(request, "journals_worked_on", None)
    if found is None:
        working = model_admin.admin_site.each_context(request).get("working")
        period = working.period if working else None
        found = period.iso_month if period and Journal.objects.filter(period=period).exists() else ""
        request.journals_worked_on = found  # type: ignore[attr-defined]
    return found


@dataclass(frozen=True)
class InCurrency:
    """How many journals there are in one currency, and their debits and credits."""

    currency: str
    count: int
    debits: Decimal
    credits: Decimal

    @property
    def is_balanced(self) -> bool:
        return self.debits == self.credits


class JournalList(ChipsMixin, ChangeList):
    """A page of journals, with what all that the list holds comes to."""

    clear_url = f"?period={ALL}"

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # By state, whichever of them the list shows.
        self.by_state = _by_state(self.get_queryset(request, exclude_parameters=[STATE, "state__isnull"]))
        asked = self.get_filters_params().get(STATE)
        self.sums = _sums(rows[1:] for rows in self.by_state if not asked or rows[0] in asked)

    @cached_property
    def state_chips(self) -> list[ChoiceChip]:
        """What there is in each state, whichever of them the list shows."""
        asked = {name: values for name, values in self.get_filters_params().items() if name.startswith("state")}
        by_state = {state: _sums(rows[1:] for rows in self.by_state if rows[0] == state) for state in State.values}
        choices = [("", "All", _sums(rows[1:] for rows in self.by_state))]
        choices += [(state, SAID[state], sums) for state, sums in by_state.items()]
        return choice_chips(
            [
                ChoiceChip(
                    state,
                    label,
                    sum(each.count for each in sums),
                    {each.currency: each.debits for each in sums},
                    CHIP_TONES.get(state, ""),
                )
                for state, label, sums in choices
            ],
            chosen=asked.get(STATE, [None])[0] if asked else "",
            url_of=address_by(self, STATE),
        )

    @cached_property
    def is_narrowed(self) -> bool:
        return any(values != [ALL] for values in self.narrowed_by.values())

    @cached_property
    def narrowed_by(self) -> dict[str, list[str]]:
        """The filters of its address, and the month also where the address says nothing of it."""
        return {**self.get_filters_params(), MonthFilter.parameter_name: [self.month or ALL]}

    @cached_property
    def month(self) -> str:
        """The month that the list is narrowed to, "" for all."""
        return next((spec.value() or "" for spec in self.filter_specs if isinstance(spec, MonthFilter)), "")


Row = tuple[str, str, int, Decimal, Decimal]


def _by_state(journals: "QuerySet[Journal]") -> list[Row]:
    # By their numbers: a search through lines names a journal as often as it has such lines.
    chosen = Journal.objects.filter(pk__in=journals.order_by().values("pk"))
    rows = chosen.order_by().values_list("state", "currency")
    return list(rows.annotate(count=Count("pk"), debits=AmountSum("debits"), credits=AmountSum("credits")))


def _sums(rows: Iterable[tuple[str, int, Decimal, Decimal]]) -> tuple[InCurrency, ...]:
    added: dict[str, tuple[int, Decimal, Decimal]] = {}
    for currency, count, debits, credits in rows:
        number, debited, credited = added.get(currency, (0, ZERO, ZERO))
        added[currency] = (number + count, debited + debits, credited + credits)
    return tuple(InCurrency(currency, *added[currency]) for currency in sorted(added))


@dataclass(frozen=True)
class ToJournal:
    """What of a month is next for its journals; without an item nobody has looked since it changed."""

    period: BillingPeriod
    shown: Shown | None
    url: str

    @property
    def waits(self) -> bool:
        return self.shown is None or self.shown.item.is_to_do

    @property
    def is_checking(self) -> bool:
        """Whether the worker is about to tell."""
        return self.shown is not None and self.shown.item.state == checklist.State.CHECKING


def to_journal(month: str, months: Sequence[BillingPeriod], user: AbstractBaseUser | AnonymousUser) -> list[ToJournal]:
    """Return what is next for the journals of a month, or of all months that are not finalized.

    Of several months only what is known already is told: working each of them out would keep the page waiting. Of
    these, months that nothing waits for are left out.
    """
    if month:
        found = [period for period in months if period.iso_month == month]
        listed = {period.pk: list(checklist.of(period, only=ITEMS, waits=False).items) for period in found}
    else:
        unfinished = [
            period
            for period in months
            if period.has_charges and period.status != BillingPeriod.Status.FINALIZED  # type: ignore[attr-defined]
        ]
        found = unfinished[:MONTHS]
        listed = checklist.known(found, *ITEMS) if found else {}
    told = []
    for period in found:
        items = listed.get(period.pk)
        item = _next(items) if items else None
        told.append(
            ToJournal(
                period,
                shown(item, user, is_next=True) if item else None,
                list_url(Journal, f"period={period.iso_month}"),
            )
        )
    return [each for each in told if each.waits or month]


def _next(items: list[Item]) -> Item:
    """Return the item to do now; of those that are done, the one that says most."""
    return next((item for item in items if item.is_to_do), items[-1])


def outdated(journal: Journal) -> str:
    """Say that a draft is not what would be drafted today, where that is known; else ""."""
    if journal.state != State.DRAFT or journal.kind != Journal.Kind.JOURNAL:
        return ""
    items = checklist.known([journal.period], "journal").get(journal.period_id, [])
    return next((capfirst(item.text) for item in items if item.then and item.then.name == "draft_again"), "")
