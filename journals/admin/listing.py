"""The list of journals: what it is narrowed by, what it comes to by state, and what months still have to journal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import capfirst

from billing.admin.filters import period_filter
from billing.admin.links import list_url
from billing.admin.month import Shown, shown
from billing.errors import NextStep
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
# How the summary calls the states: a submitted journal is what somebody waits for.
SAID = dict(State.choices) | {str(State.SUBMITTED): "Waiting for the ledger"}
# What of a month's checklist is about its journals.
ITEMS = ("journal", "submitted", "answered")
# Months that a list of all months tells about.
MONTHS = 12

_ByPeriod: Any = period_filter("period")


class MonthFilter(_ByPeriod):
    """The month of a journal: the one worked on, where it has journals and the address says nothing else.

    `?period=` without a month stands for all of them.
    """

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        self.default = "" if self.parameter_name in params else _worked_on(request, model_admin)
        super().__init__(request, params, model, model_admin)

    def value(self) -> str | None:
        given: str | None = super().value()
        return self.default if given is None else given

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Offer all months by an address that says so."""
        for number, choice in enumerate(super().choices(changelist)):
            if number:
                yield choice
            else:
                url = changelist.get_query_string({self.parameter_name: ""})
                yield choice | {"selected": not self.value(), "query_string": url}


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


@dataclass(frozen=True)
class OfState:
    """The journals of one state, or of all, by currency, and the address of the list of them alone."""

    label: str
    url: str
    is_current: bool
    sums: tuple[InCurrency, ...]

    @property
    def count(self) -> int:
        return sum(each.count for each in self.sums)


class JournalList(ChangeList):
    """A page of journals, with what all that the list holds comes to."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.sums = _sums(rows[1:] for rows in _by_state(self.queryset))
        specs = [spec for spec in self.filter_specs if "state__exact" in (spec.expected_parameters() or ())]
        parameters = specs[0].expected_parameters() if specs else None
        self.of_states = _by_state(self.get_queryset(request, exclude_parameters=parameters))

    @cached_property
    def states(self) -> list[OfState]:
        """What there is in each state, whichever of them the list shows."""
        asked = self.get_filters_params()
        chosen = {name: values for name, values in asked.items() if name.startswith("state")}
        found = [
            OfState(
                SAID[state],
                self.get_query_string({"state__exact": state}, remove=["state"]),
                chosen == {"state__exact": [state]},
                _sums(rows[1:] for rows in self.of_states if rows[0] == state),
            )
            for state in State.values
        ]
        every = _sums(rows[1:] for rows in self.of_states)
        return [OfState("All", self.get_query_string(remove=["state"]), not chosen, every), *found]

    @cached_property
    def chips(self) -> list[Any]:
        """The filters that are shown as chips: the states are links of their own."""
        return [spec for spec in self.filter_specs if "state__exact" not in (spec.expected_parameters() or ())]

    @cached_property
    def is_narrowed(self) -> bool:
        """Whether a filter keeps journals off the list."""
        return bool(self.month) or any(any(values) for values in self.get_filters_params().values())

    @cached_property
    def narrowing(self) -> str:
        """How the list is narrowed and searched, as an address that says so: the month too."""
        asked = self.filter_params | {"period": [self.month]}
        return urlencode(sorted(asked.items()), doseq=True)

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


def to_journal(month: str, months: Sequence[BillingPeriod], user: AbstractBaseUser | AnonymousUser) -> list[ToJournal]:
    """Return what is next for the journals of a month, or of all months that are not finalized.

    Of several months only what is known already is told: working each of them out would keep the page waiting.
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
    return told


def _next(items: list[Item]) -> Item:
    """Return the item to do now; of those that are done, the one that says most."""
    return next((item for item in items if item.is_to_do), items[-1])


def outdated(journal: Journal) -> str:
    """Say that a draft is not what would be drafted today, where that is known; else ""."""
    if journal.state != State.DRAFT:
        return ""
    items = checklist.known([journal.period], "journal").get(journal.period_id, [])
    again = NextStep("export_journal", {"period": journal.period.iso_month, "id": str(journal.period_id)})
    return next((capfirst(item.text) for item in items if item.is_to_do and item.then == again), "")
