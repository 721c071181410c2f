"""The one search of the staff: PIs, projects, funds, documents and charges, by words, numbers and amounts.

Words are looked for as the lists look for them, so that a hit here is a hit there. What could take long in a database
of millions is looked for in the month worked on alone.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite, ModelAdmin
from django.db.models import Model
from django.http import HttpRequest

from billing.admin.formatting import amount
from billing.admin.links import change_url, list_url
from billing.admin.tracing import PERMISSION, why_url
from billing.models import BillingPeriod, Charge, Customer, FundingSource, Person, Project
from billing.texts import long_month, number_in
from journals.models import Journal
from statements.models import Statement

# Hits shown of each kind; the list shows all.
SHOWN = 6
# An amount as people write it: $1,234.50 or -12.
AMOUNT = re.compile(r"([-−]?)\s*\$?\s*(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?:\s*[A-Za-z]{3})?", re.ASCII)
HALF_A_CENT = Decimal("0.005")


@dataclass(frozen=True)
class Hit:
    """What was found: its name, its page, and what tells it from others."""

    name: str
    url: str
    told: Any = ""
    amount: Any = ""


@dataclass(frozen=True)
class Found:
    """The hits of one kind. `more_url` leads to the list of all, and is empty where all are shown."""

    title: str
    hits: list[Hit]
    more_url: str = ""


def search(request: HttpRequest, site: AdminSite, text: str, period: BillingPeriod | None) -> list[Found]:
    """Return what this person may see of what fits a text, by kind; kinds without a hit are left out."""
    text = text.strip()
    if not text:
        return []
    return [found for found in _all(request, site, text, period) if found and found.hits]


def amount_in(text: str) -> Decimal | None:
    """Return the amount that a text is, None where it is none."""
    if not (match := AMOUNT.fullmatch(text.strip())):
        return None
    try:
        value = Decimal(match[2].replace(",", "") + (match[3] or ""))
    except InvalidOperation:
        return None
    # No more digits than an amount of a database has.
    return None if value >= 10**12 else -value if match[1] else value


def _all(request: HttpRequest, site: AdminSite, text: str, period: BillingPeriod | None) -> Iterator[Found | None]:
    def by_words(model: type[Model], title: str, hit: Callable[[Any], Hit], **asked: str) -> Found | None:
        return _by_words(request, site, model, title, {"q": text, **asked}, hit)

    yield by_words(Person, "People", lambda each: Hit(each.display_name, change_url(each), each.email))
    yield by_words(Project, "Projects", _project)
    yield by_words(Customer, "Customers", lambda each: Hit(each.name, change_url(each), each.number))
    yield by_words(FundingSource, "Funds", lambda each: Hit(each.fund_org, change_url(each), each.name))
    # Also what is no longer in force, which their list shows when it is asked for.
    yield by_words(Statement, "Statements", _statement, state="all")
    yield by_words(Journal, "Journals", _journal)
    if request.user.has_perm(PERMISSION):
        yield _charges(request, site, text, period)
    if (value := amount_in(text)) is not None:
        if request.user.has_perm("statements.view_statement"):
            yield _statements_of(value)
        if period and request.user.has_perm(PERMISSION):
            yield _charges_of(value, period)


def _by_words(
    request: HttpRequest,
    site: AdminSite,
    model: type[Model],
    title: str,
    asked: dict[str, str],
    hit: Callable[[Any], Hit],
) -> Found | None:
    screen: ModelAdmin[Any] = site.get_model_admin(model)
    if not screen.has_view_permission(request):
        return None
    rows, may_repeat = screen.get_search_results(request, screen.get_queryset(request), asked["q"])
    related = screen.list_select_related
    rows = rows.select_related(*related) if isinstance(related, tuple) else rows
    found = list((rows.distinct() if may_repeat else rows).order_by(*screen.get_ordering(request))[: SHOWN + 1])
    return _found(title, found, hit, list_url(model, urlencode(asked)))


def _found(title: str, rows: list[Any], hit: Callable[[Any], Hit], more_url: str) -> Found:
    return Found(title, [hit(each) for each in rows[:SHOWN]], more_url if len(rows) > SHOWN else "")


def _charges(request: HttpRequest, site: AdminSite, text: str, period: BillingPeriod | None) -> Found:
    """Look for a charge by its number in all months, and by words in the month worked on."""
    number = number_in(text)
    rows: list[Charge] = []
    title = "Charges"
    related = ("resource", "product", "charged_in", "pi")
    if number is not None:
        rows = list(Charge.objects.filter(pk=number).select_related(*related))
    if not rows and period and amount_in(text) is None:
        title = f"Charges of {long_month(period.month)}"
        screen = site.get_model_admin(Charge)
        of_month = Charge.objects.filter(charged_in=period, withdrawn_in__isnull=True).select_related(*related)
        rows = list(screen.get_search_results(request, of_month, text)[0].order_by("-pk")[: SHOWN + 1])
    more = list_url(Charge, urlencode({"q": text, "period": period.iso_month})) if period else ""
    return _found(title, rows, _charge, more)


def _charges_of(value: Decimal, period: BillingPeriod) -> Found:
    rows = (
        Charge.objects.filter(charged_in=period, withdrawn_in__isnull=True)
        .filter(billed_cost__gte=value - HALF_A_CENT, billed_cost__lte=value + HALF_A_CENT)
        .select_related("resource", "product", "charged_in", "pi")
        .order_by("-pk")
    )
    return _found(f"Charges of this amount in {long_month(period.month)}", list(rows[:SHOWN]), _charge, "")


def _statements_of(value: Decimal) -> Found:
    rows = Statement.objects.filter(charged=value).select_related("period", "pi", "project").order_by("-pk")
    return _found("Statements of this amount", list(rows[:SHOWN]), _statement, "")


def _project(project: Project) -> Hit:
    told = " · ".join(filter(None, (project.code, project.pi.display_name if project.pi else "")))
    return Hit(project.display_name, change_url(project), told)


def _statement(statement: Statement) -> Hit:
    pi, project = statement.pi, statement.project
    names = (pi.display_name if pi else "", project.display_name if project else "", statement.get_state_display())
    told = " · ".join(filter(None, names))
    return Hit(statement.number, change_url(statement), told, amount(statement.charged, statement.currency))


def _journal(journal: Journal) -> Hit:
    return Hit(
        journal.number, change_url(journal), journal.get_state_display(), amount(journal.debits, journal.currency)
    )


def _charge(charge: Charge) -> Hit:
    told = " · ".join(filter(None, (charge.resource_label, charge.service_name, long_month(charge.charged_in.month))))
    return Hit(f"Charge {charge.pk}", change_url(charge), told, amount(charge.billed_cost, charge.currency))


def trace_url(request: HttpRequest, text: str) -> str:
    """Return where a number is traced that this person may trace, "" for anything without a digit in it."""
    may = request.user.has_perm(PERMISSION)
    return why_url(text) if may and any(letter.isdecimal() for letter in text) else ""
