"""The funds that the reader's statements charge: how long their money lasts, and what goes on after them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from .. import overview
from .visible import visible

# The meter is two years long, ten units a month.
MONTHS, UNIT = 24, 10


@dataclass(frozen=True)
class Meter:
    """A fund with the length of its bar, and where the mark of its last day stands; None beyond the meter."""

    fund: overview.FundLeft
    width: int | None
    mark: int | None


def meters(funds: Sequence[overview.FundLeft]) -> list[Meter]:
    """Return funds with what their meters show."""
    found = []
    for fund in funds:
        left = None if fund.months_left is None else int(min(fund.months_left, Decimal(MONTHS)) * UNIT)
        mark = None
        if fund.ends:
            months = (fund.ends.year - fund.until.year) * 12 + fund.ends.month - fund.until.month
            mark = months * UNIT if 0 <= months <= MONTHS else None
        found.append(Meter(fund, left, mark))
    return found


@login_required
@require_safe
def funds(request: HttpRequest) -> HttpResponse:
    """Show every fund/org with an end date or a budget that the reader's statements charge."""
    found = overview.funds(visible(request).live(), today=timezone.localdate())
    return render(request, "portal/funds.html", {"funds": meters(found)})
