"""The projects that somebody has statements of, and what each came to month by month."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from billing.models import Project
from billing.texts import long_month

from ..document import Figures, money
from ..models import Statement
from .visible import visible

PER_PAGE = 50
# Months in a project's history.
HISTORY = 24
CHART_HEIGHT, BAR_WIDTH, BAR_STEP = 120, 32, 48


@login_required
@require_safe
def projects(request: HttpRequest) -> HttpResponse:
    """List the projects a person has statements of, with the latest month of each."""
    of_mine = visible(request).live().filter(project__isnull=False)
    found = (
        Project.objects.filter(pk__in=of_mine.values("project"))
        .annotate(
            months=Count("statements__period", filter=Q(statements__in=of_mine), distinct=True),
            latest=Max("statements__period__month", filter=Q(statements__in=of_mine)),
        )
        .order_by("code")
    )
    return render(
        request, "portal/projects.html", {"page": Paginator(found, PER_PAGE).get_page(request.GET.get("page"))}
    )


@dataclass(frozen=True)
class Month:
    """A project's month: its list price, what is charged with corrections, and where its bars stand in the chart."""

    month: datetime.date
    currency: str
    list_cost: Decimal
    charged: Decimal
    x: int = 0
    list_height: int = 0
    list_y: int = 0
    charged_height: int = 0
    charged_y: int = 0

    @property
    def middle(self) -> int:
        return self.x + BAR_WIDTH // 2

    @property
    def summary(self) -> str:
        listed, charged = money(self.list_cost, self.currency), money(self.charged, self.currency)
        return f"{long_month(self.month)}: list price {listed}, charged {charged}"


@login_required
@require_safe
def project(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a project cost month by month, as a table and as bars."""
    # A project without a statement of theirs does not exist for them.
    found = get_object_or_404(Project.objects.filter(pk__in=visible(request).live().values("project")), pk=pk)
    mine = (
        visible(request)
        .live()
        .filter(project=found)
        .select_related("period", "pi")
        .order_by("-period__month", "number")
    )
    by_month: dict[datetime.date, list[Statement]] = {}
    for each in mine:
        if each.period.month not in by_month and len(by_month) == HISTORY:
            break
        by_month.setdefault(each.period.month, []).append(each)
    if not by_month:
        raise Http404("No Project matches the given query.")
    currencies = {each.currency for own in by_month.values() for each in own}
    # Amounts of two currencies have no common scale.
    rows = [each for own in by_month.values() for each in own]
    months = _with_bars(rows, min(currencies)) if len(currencies) == 1 else []
    return render(
        request,
        "portal/project.html",
        {
            "project": found,
            "months": months,
            "statements": rows,
            "has_corrections": any(each.corrections for each in rows),
            "currency": min(currencies),
            "total": Figures.total(
                Figures(each.month_list_cost, each.month_contracted_cost, each.charged - each.corrections)
                for each in rows
            ),
            "total_corrections": sum((each.corrections for each in rows), Decimal(0)),
            "total_charged": sum((each.charged for each in rows), Decimal(0)),
            "chart_width": len(months) * BAR_STEP + 8,
            "chart_height": CHART_HEIGHT,
            "bar_width": BAR_WIDTH,
        },
    )


def _with_bars(statements: Iterable[Statement], currency: str) -> list[Month]:
    """Return the months, oldest first, with bars from a base line; what is below zero has no bar."""
    amounts: dict[datetime.date, list[Decimal]] = {}
    for each in sorted(statements, key=lambda each: each.period.month):
        of_month = amounts.setdefault(each.period.month, [Decimal(0), Decimal(0)])
        of_month[0] += each.month_list_cost
        of_month[1] += each.charged
    highest = max((max(both) for both in amounts.values()), default=Decimal(0))

    def height(amount: Decimal) -> int:
        return int(max(amount, Decimal(0)) * CHART_HEIGHT / highest) if highest > 0 else 0

    return [
        Month(
            month=month,
            currency=currency,
            list_cost=list_cost,
            charged=charged,
            x=4 + number * BAR_STEP,
            list_height=(list_height := height(list_cost)),
            list_y=CHART_HEIGHT - list_height,
            charged_height=(charged_height := height(charged)),
            charged_y=CHART_HEIGHT - charged_height,
        )
        for number, (month, (list_cost, charged)) in enumerate(amounts.items())
    ]
