"""The navigation of the staff: by task, of what one may see, with the number of what waits in the month worked on."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, IntegerField, QuerySet, Sum, Value
from django.http import HttpRequest
from django.urls import reverse

from billing.admin.formatting import count
from billing.admin.large_tables import COUNTED
from billing.models import BillingPeriod, Correction, Import, MonthTotal, Question, User
from journals.models import Journal
from statements.models import Email, Statement

# Pages of their own that show one month, or end with it.
BY_MONTH = ("index", "trends")


@dataclass(frozen=True)
class List:
    """A list of the admin: a registered model, under the name of the task."""

    model: str
    label: str
    app: str = "billing"
    # Whether its address can name a month to narrow it by.
    is_by_month: bool = False

    @property
    def name(self) -> str:
        return f"{self.app}_{self.model.lower()}"

    @property
    def permission(self) -> str:
        # What is held is seen with all charges.
        return f"{self.app}.view_{'charge' if self.model == 'HeldCharge' else self.model.lower()}"


@dataclass(frozen=True)
class Item:
    """An item of the navigation: a page, and the lists that are reached from it.

    `page` is a URL name in the admin; where it is empty, it is that of the first list.
    """

    label: str
    lists: tuple[List, ...] = ()
    page: str = ""
    permission: str = ""
    # Further pages that are reached from its own.
    beside: tuple[str, ...] = ()

    @property
    def is_by_month(self) -> bool:
        """Whether its address names the month worked on."""
        return self.page in BY_MONTH or bool(self.lists and not self.page and self.lists[0].is_by_month)


NAVIGATION: dict[str, tuple[Item, ...]] = {
    "Overview": (
        Item("Month", (List("BillingPeriod", "All months"),), page="index"),
        Item("Reports", page="reports", permission="billing.view_payerline", beside=("trends",)),
    ),
    "Billing": (
        Item(
            "Imports",
            (
                List("Import", "Imports"),
                List("UsageFile", "Usage files"),
                List("PricedMonth", "Priced months", is_by_month=True),
            ),
        ),
        Item("Review", (List("HeldCharge", "Review", is_by_month=True), List("Question", "Questions"))),
        Item(
            "Charges", (List("Charge", "Charges", is_by_month=True), List("PayerLine", "Payer lines", is_by_month=True))
        ),
        Item("Corrections", (List("Correction", "Corrections", is_by_month=True),)),
    ),
    "Output": (
        Item("Statements", (List("Statement", "Statements", "statements", is_by_month=True),)),
        Item("E-mails", (List("Email", "E-mails", "statements", is_by_month=True),)),
        Item(
            "Journals",
            (
                List("Journal", "Journals", "journals", is_by_month=True),
                List("ReceivablesExport", "Receivables", "journals", is_by_month=True),
                List("AccountRule", "Account rules", "journals"),
                List("AccountingPeriod", "Accounting calendar", "journals"),
                List("ValidValueList", "Valid values", "journals"),
                List("LookupTable", "Lookup tables", "journals"),
                List("AnswerMapping", "Ledger's answers", "journals"),
                List("JournalLayout", "Journal layouts", "journals"),
                List("JournalTemplate", "Journal templates", "journals"),
            ),
        ),
    ),
    "Who pays": (
        Item("People", (List("Person", "People"), List("Department", "Departments"), List("Customer", "Customers"))),
        Item("Projects", (List("Project", "Projects"), List("CloudAccount", "Cloud accounts"))),
        Item("Funds", (List("FundingSource", "Funds"),)),
        Item("Attribution rules", (List("AttributionRule", "Attribution rules"),)),
    ),
    "Settings": (
        Item(
            "Sources",
            (
                List("Source", "Sources"),
                List("UsageFeed", "Usage feeds"),
                List("RateSchedule", "Rate schedules"),
                List("RateStudy", "Rate studies"),
                List("SharedCost", "Shared costs"),
                List("RateClassMember", "Rate classes"),
                List("UsageSubsidy", "Subsidies"),
                List("Allocation", "Allocations"),
                List("ExchangeRate", "Exchange rates", is_by_month=True),
                List("InvoiceTotal", "Provider invoices", is_by_month=True),
            ),
        ),
        Item("Policy", (List("Policy", "Policy"), List("LegalHold", "Legal holds"), List("Disposal", "Disposals"))),
        Item("Users", (List("User", "Users"), List("Group", "Roles", "auth"), List("ApiToken", "API tokens"))),
    ),
    "Logs": (
        Item("Activity", (List("AuditEvent", "Activity"), List("Job", "Background jobs"))),
        Item("Trace a number", page="billing_charge_why", permission="billing.view_charge"),
    ),
}
LISTS = {each.name: each for items in NAVIGATION.values() for item in items for each in item.lists}
# Pages that are named like one of a list, and are none of it.
_OF_THEIR_OWN = {page for items in NAVIGATION.values() for item in items for page in (item.page, *item.beside) if page}


@dataclass(frozen=True)
class Shown:
    """An item as a page shows it. `waits` is how much waits there, in words, and empty for nothing."""

    label: str
    url: str
    is_current: bool = False
    waits: str = ""


@dataclass(frozen=True)
class Group:
    name: str
    items: list[Shown] = field(default_factory=list)


def navigation(request: HttpRequest, period: BillingPeriod | None) -> list[Group]:
    """Return the items this person may see, in their groups, with the current one marked and what waits counted."""
    user = request.user
    assert isinstance(user, User)
    waiting = waits(period)
    groups = []
    for name, items in NAVIGATION.items():
        shown = [
            Shown(item.label, _url_of(item, user, period), _is_at(request, item), _said(waiting.get(item.label, 0)))
            for item in items
            if _may_see(item, user)
        ]
        if shown:
            groups.append(Group(name, shown))
    return groups


def related(request: HttpRequest) -> list[Shown]:
    """Return the lists beside the one that is shown, itself included; nothing where it has no neighbors."""
    listed = _list_at(request)
    item = _item_of(listed)
    if not listed or not item or len(item.lists) + bool(item.page) < 2:
        return []
    asked = _said(Question.objects.waiting().count()) if item.label == "Review" else ""
    found = [
        Shown(each.label, reverse(f"admin:{each.name}_changelist"), each == listed, asked * (each.model == "Question"))
        for each in item.lists
        if request.user.has_perm(each.permission)
    ]
    return found if len(found) > 1 else []


def list_label(request: HttpRequest) -> str:
    """Return what the navigation calls the list that a page is of, "" for none."""
    listed = _list_at(request)
    return listed.label if listed else ""


def page_of_month(request: HttpRequest) -> str:
    """Return the page to see another month on: this one where it is a list by month, else the month itself."""
    found = request.resolver_match
    if found and found.url_name in BY_MONTH:
        return request.path
    listed = _list_at(request) if found and str(found.url_name).endswith("_changelist") else None
    return request.path if listed and listed.is_by_month else reverse("admin:index")


def waits(period: BillingPeriod | None) -> dict[str, int]:
    """Return how much waits for somebody, by item, in one query whose time does not grow with the charges."""
    if period is None:
        return {}
    undecided: QuerySet[Import] = Import.objects.filter(state__in=(Import.State.CHECKED, Import.State.DEFERRED))
    counted = [
        _counted("Imports", undecided),
        # Whatever month they are about: nobody else reminds anybody of them.
        _counted("Review", Question.objects.waiting()),
        _counted("Corrections", Correction.objects.proposed().filter(charged_in=period)),
        _counted("Statements", Statement.objects.filter(period=period, state=Statement.State.ISSUED)),
        _counted("E-mails", Email.objects.filter(period=period, state__in=Email.TROUBLED)),
        _counted("Journals", Journal.objects.filter(period=period, state=Journal.State.SUBMITTED)),
    ]
    held = MonthTotal.objects.held().filter(charged_in=period).order_by()
    first = held.values(item=Value("Review")).annotate(number=Sum("charges", output_field=IntegerField()))
    found: dict[str, int] = defaultdict(int)
    for row in first.union(*counted, all=True):
        found[row["item"]] += int(row["number"] or 0)
    return found


def _counted(item: str, rows: "QuerySet[Any]") -> "QuerySet[Any]":
    return rows.order_by().values(item=Value(item)).annotate(number=Count("pk"))


def _said(number: int) -> str:
    return f"{count(COUNTED)}+" if number > COUNTED else count(number) if number else ""


def _may_see(item: Item, user: User) -> bool:
    permission = item.permission or item.lists[0].permission
    return user.has_perm(permission)


def _url_of(item: Item, user: User, period: BillingPeriod | None) -> str:
    url = reverse(f"admin:{item.page or f'{item.lists[0].name}_changelist'}")
    return f"{url}?period={period.iso_month}" if item.is_by_month and period else url


def _list_at(request: HttpRequest) -> List | None:
    """Return the list that a page of the admin is of, or of whose objects it is one."""
    found = request.resolver_match
    name = found.url_name if found else None
    if not name or name in _OF_THEIR_OWN:
        return None
    return next((each for prefix, each in LISTS.items() if name.startswith(f"{prefix}_")), None)


def _item_of(listed: List | None) -> Item | None:
    return next((item for items in NAVIGATION.values() for item in items if listed in item.lists), None)


def _is_at(request: HttpRequest, item: Item) -> bool:
    found = request.resolver_match
    if found and found.url_name in _OF_THEIR_OWN:
        return found.url_name in (item.page, *item.beside)
    return _list_at(request) in item.lists
