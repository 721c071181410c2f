"""The month that somebody of the staff works on: chosen by a link, kept in the session, else the one that waits."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from billing.models import BillingPeriod, Charge
from billing.models.periods import parse_month

# In a session, as `2025-01`; and in an address, where lists narrow themselves by the same name.
KEY = "period"
# How many months the top bar offers; the list of months has all.
OFFERED = 12

Status = BillingPeriod.Status


@dataclass(frozen=True)
class Working:
    """The month worked on, and those to choose from, the newest first; no month where there is none yet."""

    period: BillingPeriod | None
    offered: Sequence[BillingPeriod] = ()
    # All there are, the newest first.
    months: Sequence[BillingPeriod] = ()


def working_period(request: HttpRequest) -> Working:
    """Return the month this person works on, asking the database once for a page.

    A month that the address names is kept in the session. What names no month is ignored, and so is one that was
    removed since.
    """
    found: Working | None = getattr(request, "working_period", None)
    if found is None:
        found = _found(request)
        request.working_period = found  # type: ignore[attr-defined]
    return found


def default_of(months: Sequence["BillingPeriod"]) -> BillingPeriod | None:
    """Return the oldest month with charges that is not finalized; else the oldest that takes changes, or the newest.

    The months come with `has_charges`, the newest first.
    """
    oldest_first = months[::-1]
    waiting = (each for each in oldest_first if each.has_charges and each.status != Status.FINALIZED)  # type: ignore[attr-defined]
    taking = (each for each in oldest_first if each.takes_changes)
    return next(waiting, None) or next(taking, None) or next(iter(months), None)


def _found(request: HttpRequest) -> Working:
    # By the charges themselves: totals of a month that was withdrawn come to nothing only when added up.
    months = list(months_with_charges())
    asked = _named(request.GET.get(KEY, ""), months)
    if asked and request.session.get(KEY) != asked.iso_month:
        request.session[KEY] = asked.iso_month
    period = asked or _named(request.session.get(KEY, ""), months) or default_of(months)
    offered: list[BillingPeriod] = list(months[:OFFERED])
    if period and period not in offered:
        offered.append(period)
    return Working(period, offered, months)


def months_with_charges() -> "QuerySet[BillingPeriod]":
    """Return the months, the newest first; `has_charges` is null for those without.

    The order is that of an index, which is asked for one row. Asked whether there is any, SQLite would read all
    charges where the statistics are of one month: then every charge is in it, and an index seems to be of no use.
    """
    charges = Charge.objects.live().filter(charged_in=OuterRef("pk")).order_by("pi_id", "project_id")
    first = Subquery(charges.values("charged_in")[:1])
    return BillingPeriod.objects.shown().annotate(has_charges=first).order_by("-month")


def _named(text: str, months: Sequence[BillingPeriod]) -> BillingPeriod | None:
    try:
        month = parse_month(text)
    except ValueError:
        return None
    return next((each for each in months if each.month == month), None)
