"""What a report is asked for: which one, of which months, by what, and narrowed to what."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.db.models import Exists, OuterRef

from ..currencies import refusal
from ..errors import BillingError
from ..models import BillingPeriod, Department, PayerLine, Person, Policy, Project, Source
from ..models.periods import parse_month
from ..texts import code_of, iso_month, long_month, one_line, quoted

# The reports, by the name that commands and addresses give them.
TITLES = {
    "value": "Value delivered",
    "subsidy": "Subsidies",
    "years": "Year over year",
    "uncharged": "Not charged",
    "reconciliation": "Recovery",
    "transfers": "Cost transfers",
    "unposted": "Not posted",
}
# What there is nothing of where a report is empty.
WHEN_EMPTY = {
    "uncharged": "Nothing is held for review, rejected or charged to the center.",
    "transfers": "Nobody moved costs between fund/orgs.",
    "unposted": "Nothing waits to be posted.",
}
LABELS = {
    "month": "Month",
    "year": "Fiscal year",
    "pi": "PI",
    "project": "Project",
    "department": "Department",
    "college": "College",
    "source": "Source",
    "service": "Service",
    "fund": "Fund/org",
    "giver": "Funded by",
    "program": "Program",
    "recovery": "Recovery fund/org",
    "transfer": "Transfer",
}
# How a label reads in a sentence, where it is not the same in lower case.
NOUNS = {"pi": "PI", "giver": "who funded them"}
_OF_LINES = ("pi", "project", "department", "college", "source", "service", "fund")
# What each report can be by; the first is what it is by without a word.
WAYS: dict[str, tuple[str, ...]] = {
    "value": ("month", "year", *_OF_LINES),
    # A fund/org that is charged is not who paid the subsidy: that is the giver.
    "subsidy": ("giver", "program", "month", "year", *(by for by in _OF_LINES if by != "fund")),
    "years": ("college", *(by for by in _OF_LINES if by != "college")),
    "uncharged": ("month", "source", "service"),
    "reconciliation": ("recovery", "month", "source"),
    "transfers": ("transfer",),
    "unposted": ("fund", "month", "source"),
}
# What year over year compares.
MEASURES = {"charged": "Charged", "subsidy": "Subsidy", "listed": "List price"}
# What a report can be narrowed to, and what people call it.
NARROWING = {
    "source": "Source",
    "department": "Department",
    "pi": "PI",
    "project": "Project",
    "service": "Service",
    "fund": "Fund/org",
}
# What some reports cannot be narrowed to, and what to do instead.
NOT_NARROWED = {
    # A fund/org that is charged is not who paid the subsidy: that is the giver.
    "subsidy": (("fund",), "Show them by who funded them, or by project."),
    "reconciliation": (
        ("department", "pi", "project", "service", "fund"),
        "An invoice is of a source as a whole: narrow it to a source.",
    ),
    "unposted": (("department", "pi", "project", "service"), "Narrow it to a fund/org or a source."),
}
# What can be shown as of a day that is past.
DATED = ("unposted",)
# What a row of a report leads to: the same report, narrowed to the row and by what comes next.
WITHIN = {
    "college": "department",
    "department": "pi",
    "pi": "project",
    "project": "service",
    "source": "service",
    "service": "pi",
    "fund": "project",
}
MOST_MONTHS = 120


class ReportRefused(BillingError):
    """A report that cannot be made as it was asked for: an unknown name, month, PI or way to group."""


@dataclass(frozen=True)
class Asked:
    """A report to make: of months, both included, by something, narrowed to `only`: names as people write them."""

    name: str
    first: datetime.date
    last: datetime.date
    by: str
    show: str = "charged"
    currency: str = ""
    only: Mapping[str, str] = field(default_factory=dict)
    # What `only` names, found: the ids of rows, or a text.
    found: Mapping[str, Any] = field(default_factory=dict, compare=False)
    # The posting date up to which the ledger is looked at; today where there is none.
    as_of: datetime.date | None = None

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def when_empty(self) -> str:
        """Why the report may be empty."""
        return WHEN_EMPTY.get(self.name, "Reports show what statements charge: issue those of a month first.")

    @property
    def noun(self) -> str:
        """What it is by, as a sentence names it."""
        return NOUNS.get(self.by, LABELS[self.by].lower())

    @property
    def span(self) -> str:
        """The months as people write them: `July 2025 to June 2026`."""
        first, last = long_month(self.first), long_month(self.last)
        return first if first == last else f"{first} to {last}"

    @property
    def narrowed(self) -> list[tuple[str, str]]:
        """What it is narrowed to, each with what people call it: ("Source", "aws")."""
        return [(NARROWING[name], text) for name, text in self.only.items()]

    def as_params(self) -> dict[str, str]:
        """Return what an address says to ask for the same."""
        params = {"report": self.name, "from": iso_month(self.first), "to": iso_month(self.last), "by": self.by}
        if self.name == "years":
            params["show"] = self.show
        if self.currency:
            params["currency"] = self.currency
        if self.as_of:
            params["as_of"] = self.as_of.isoformat()
        return {**params, **self.only}

    def moved(self, months: int) -> "Asked":
        """Return the same of months so many later, or earlier."""
        return replace(self, first=moved(self.first, months), last=moved(self.last, months))


def moved(month: datetime.date, months: int) -> datetime.date:
    index = month.year * 12 + month.month - 1 + months
    return datetime.date(index // 12, index % 12 + 1, 1)


def read(said: Mapping[str, str]) -> Asked:
    """Return what is asked for in words: `report`, `from` and `to` or `year`, `by`, `show`, `currency`, `as_of`, and
    NARROWING.

    Without months it is the fiscal year of the newest month with payer lines, as far as there are any. Raises
    ReportRefused.
    """
    name = said.get("report") or "value"
    if name not in TITLES:
        raise ReportRefused(f"There is no report {quoted(name)}. These exist: {', '.join(TITLES)}.")
    first, last = _months(said)
    by = said.get("by") or WAYS[name][0]
    if by not in WAYS[name]:
        ways = ", ".join(WAYS[name])
        raise ReportRefused(f"“{TITLES[name]}” cannot be shown by {quoted(by)}. It can be by: {ways}.")
    show = said.get("show") or "charged"
    if show not in MEASURES:
        raise ReportRefused(f"There is no amount {quoted(show)}. These can be compared: {', '.join(MEASURES)}.")
    currency = (said.get("currency") or "").upper()
    if currency and (problem := refusal(currency)):
        raise ReportRefused(problem)
    only = {each: one_line(said[each]).strip() for each in NARROWING if (said.get(each) or "").strip()}
    no, instead = NOT_NARROWED.get(name, ((), ""))
    if refused := next((each for each in only if each in no), None):
        raise ReportRefused(f"“{TITLES[name]}” cannot be narrowed to a {NARROWING[refused].lower()}. {instead}")
    found = {each: _found(each, text) for each, text in only.items()}
    return Asked(name, first, last, by, show, currency, only, found, _as_of(name, said.get("as_of") or ""))


def years(policy: Policy) -> list[int]:
    """Return the fiscal years that have months with payer lines, the newest first."""
    months = with_lines().values_list("month", flat=True)
    return sorted({policy.fiscal_year_of(month) for month in months}, reverse=True)


def with_lines() -> "models.QuerySet[BillingPeriod]":
    """Return the months that have payer lines: asked month by month, whatever their number."""
    return BillingPeriod.objects.filter(Exists(PayerLine.objects.filter(period=OuterRef("pk"))))


def _months(said: Mapping[str, str]) -> tuple[datetime.date, datetime.date]:
    policy = Policy.objects.current()
    if year := (said.get("year") or "").strip():
        digits = year.upper().removeprefix("FY")
        if not (digits.isascii() and digits.isdigit() and 1900 <= int(digits[:5]) <= 2200):
            raise ReportRefused(f"{quoted(year)} is not a fiscal year. Write the year it ends in, such as 2026.")
        return policy.months_of_fiscal_year(int(digits))
    newest = newest_month()
    first, last = _month(said, "from"), _month(said, "to")
    if last is None:
        last = max(newest, first) if first else newest
    if first is None:
        first = policy.months_of_fiscal_year(policy.fiscal_year_of(last))[0]
    if first > last:
        raise ReportRefused(f"{long_month(first)} comes after {long_month(last)}. Name the earlier month first.")
    if moved(first, MOST_MONTHS - 1) < last:
        raise ReportRefused(f"From {long_month(first)} to {long_month(last)} are more than {MOST_MONTHS} months.")
    return first, last


def newest_month() -> datetime.date:
    """Return the newest month with payer lines; else the newest of all; else January 2025, where there is none."""
    newest = with_lines().order_by("-month").first() or BillingPeriod.objects.shown().order_by("-month").first()
    return newest.month if newest else datetime.date(2025, 1, 1)


def _month(said: Mapping[str, str], name: str) -> datetime.date | None:
    text = (said.get(name) or "").strip()
    if not text:
        return None
    try:
        return parse_month(text)
    except ValueError as error:
        raise ReportRefused(str(error)) from error


def _as_of(name: str, text: str) -> datetime.date | None:
    if not text.strip():
        return None
    if name not in DATED:
        raise ReportRefused(f"“{TITLES[name]}” cannot be shown as of a day. Only “{TITLES['unposted']}” can.")
    try:
        return datetime.date.fromisoformat(text.strip())
    except ValueError:
        raise ReportRefused(f"{quoted(text)} is not a day such as 2026-06-30.") from None


def _found(name: str, text: str) -> Any:
    """Return what a name to narrow to stands for: an id, or the text itself. Raises ReportRefused."""
    if name == "pi":
        try:
            return Person.objects.named(text).pk
        except ObjectDoesNotExist as error:
            raise ReportRefused(str(error)) from error
    if name == "service":
        return text
    if name == "fund":
        return code_of(text)
    models: dict[str, Any] = {
        "source": Source.objects.filter(name=text),
        "project": Project.objects.coded(text),
        "department": Department.objects.coded(text),
    }
    found = models[name].first()
    if found is None:
        raise ReportRefused(f"There is no {NARROWING[name].lower()} {quoted(text)}.")
    return found.pk
