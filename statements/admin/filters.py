"""How the list of statements is narrowed: by state, who pays, source and what is charged; each named in its address."""

from typing import ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from billing.admin.charges.filters import PiFilter, ProjectFilter, TypedFilter
from billing.admin.chips import ANY, AllFiltersForm
from billing.admin.filters import months_offered, period_filter, source_filter, sources_offered
from billing.admin.naming import NameInput
from billing.errors import BillingError
from billing.models import BillingPeriod
from billing.models.periods import parse_month

from .. import emails, issuing
from ..models import Statement, StatementLine

State = Statement.State

# What the list shows where its address says nothing else.
LIVE = ""
# In one word of the address: what is in force and not current, what an e-mail failed to bring, what is out of force.
OUTDATED, TROUBLE, OUT_OF_FORCE, ALL = "outdated", "trouble", "out", "all"
OUT = (State.SUPERSEDED, State.VOID)


class StateFilter(admin.SimpleListFilter):
    """In force, unless something else is asked for."""

    title = "state"
    parameter_name = "state"

    CHOICES: ClassVar[list[tuple[str, str]]] = [
        (ALL, "All"),
        (str(State.ISSUED), "To send"),
        (OUTDATED, "Outdated"),
        (TROUBLE, "E-mail not delivered"),
        (str(State.WRITTEN), "Only written to file"),
        (str(State.PORTAL), "Portal only"),
        (str(State.SENT), "Sent"),
        (OUT_OF_FORCE, "Superseded or void"),
        (str(State.SUPERSEDED), "Superseded"),
        (str(State.VOID), "Void"),
    ]

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return self.CHOICES

    @property
    def chosen(self) -> str:
        return self.value() or LIVE

    def queryset(self, request: HttpRequest, queryset: QuerySet[Statement]) -> QuerySet[Statement]:
        live = queryset.filter(state__in=Statement.LIVE)
        match self.chosen:
            case "":
                return live
            case "all":
                return queryset
            case "outdated":
                known = outdated_of(request)
                return live.filter(pk__in=known.ids if known else ())
            case "trouble":
                return live.filter(pk__in=emails.troubled_statements())
            case "out":
                return queryset.filter(state__in=OUT)
        return queryset.filter(state=self.chosen)


class FundFilter(TypedFilter):
    """Statements with a line that a fund/org pays."""

    title, parameter_name = "fund/org", "fund"

    def matching(self, value: str) -> Q:
        return Q(pk__in=StatementLine.objects.filter(fund_org=value).order_by().values("statement"))


class TotalChargedFilter(admin.SimpleListFilter):
    title = "total charged"
    parameter_name = "charged"

    CHOICES: ClassVar[list[tuple[str, str]]] = [
        ("more", "Charged"),
        ("nothing", "Nothing charged"),
        ("credit", "Credit"),
    ]

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return self.CHOICES

    def queryset(self, request: HttpRequest, queryset: QuerySet[Statement]) -> QuerySet[Statement]:
        conditions = {"more": {"charged__gt": 0}, "nothing": {"charged": 0}, "credit": {"charged__lt": 0}}
        return queryset.filter(**conditions.get(self.value() or "", {}))


FILTERS = (
    period_filter("period"),
    StateFilter,
    PiFilter,
    ProjectFilter,
    FundFilter,
    source_filter("lines__source_name"),
    TotalChargedFilter,
)


class FilterForm(AllFiltersForm):
    period = forms.ChoiceField(label="Period")
    state = forms.ChoiceField(label="State", choices=[("", "In force"), *StateFilter.CHOICES])
    pi = forms.CharField(label="PI", widget=NameInput("pi"))
    project = forms.CharField(label="Project code", widget=NameInput("project"))
    fund = forms.CharField(label="Fund/org", widget=NameInput("fund_org"))
    source = forms.ChoiceField(label="Source")
    charged = forms.ChoiceField(label="Total charged", choices=[ANY, *TotalChargedFilter.CHOICES])

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request, {"period": months_offered(), "source": sources_offered("name")})


class KnownOutdated:
    """Which statements of a month are not current; or why nobody can say."""

    def __init__(self, period: BillingPeriod) -> None:
        self.problem = ""
        self.is_checked = True
        self.found: dict[int, issuing.Outdated] = {}
        try:
            found = issuing.outdated_kept(period, instead=BEING_CHECKED)
        except BillingError as error:
            self.problem = str(error)
            return
        self.is_checked = found is not BEING_CHECKED
        self.found = {each.statement: each for each in found}

    @property
    def ids(self) -> list[int]:
        return list(self.found)


# Shown of a large month until the worker has looked: nothing is known to be outdated.
BEING_CHECKED: list[issuing.Outdated] = []


def outdated_of(request: HttpRequest) -> KnownOutdated | None:
    """Return which statements of the month in the address are not current; None where it names no month."""
    try:
        month = parse_month(request.GET.get("period", ""))
    except ValueError:
        return None
    period = BillingPeriod.objects.filter(month=month).first()
    return outdated_in(request, period) if period else None


def outdated_in(request: HttpRequest, period: BillingPeriod) -> KnownOutdated:
    """Return which statements of a month are not current, asked once for a page."""
    known: dict[int, KnownOutdated] = request.__dict__.setdefault("known_outdated", {})
    if period.pk not in known:
        known[period.pk] = KnownOutdated(period)
    return known[period.pk]
