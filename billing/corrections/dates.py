"""Which month a correction is charged in, and on which days the service was."""

import datetime
from collections.abc import Iterable

from django.db.models import Max, Min, Q

from ..clocks import days_of, zone_named
from ..errors import BillingError, NextStep
from ..models import BillingPeriod, Charge, Correction, PayerLine, saying
from ..texts import iso_month


class NoOpenMonth(BillingError):
    """No month takes changes that a correction could be charged in."""


def month_for(corrected: Iterable[PayerLine | Correction] = ()) -> BillingPeriod:
    """Return the month to charge a correction in: the first that takes changes after those of what it corrects.

    Where none comes after, the newest that takes changes. Raises NoOpenMonth.
    """
    taking = list(BillingPeriod.objects.taking_changes().order_by("month"))
    if not taking:
        raise _no_open_month(corrected)
    months = [each.charged_in if isinstance(each, Correction) else each.period for each in corrected]
    last = max((period.month for period in months), default=None)
    return next((period for period in taking if last and period.month > last), taking[-1])


def _no_open_month(corrected: Iterable[PayerLine | Correction]) -> NoOpenMonth:
    last = BillingPeriod.objects.shown().order_by("month").last()
    step = NextStep("open_period", {"period": iso_month(last.next_month)}) if last else None
    return NoOpenMonth(
        "No billing period takes changes. Open the month that the correction is to be charged in.", then=step
    )


def service_days(line: PayerLine) -> tuple[datetime.date, datetime.date]:
    """Return the first and the last day of service of what a payer line charged, by its charges.

    Of a line without charges of its own (a correction's), these are the days of the month it is for.
    """
    month = (line.for_period.month, line.for_period.last_day)
    if line.kind in PayerLine.ENTERED:
        return month
    of = saying(service_name=line.service_name) & Q(shared_as="")
    if line.shared_total is not None:
        of = Q(shared_as=line.service_name)
    # Charges without a PI or a project are somebody's by a default: the days of all of them are looked at.
    spans = (
        Charge.objects.in_month(line.period)
        .chargeable()
        .filter(Q(pi=line.pi_id) | Q(pi__isnull=True), Q(project=line.project_id) | Q(project__isnull=True))
        .filter(of, period=line.for_period_id, source=line.source_id)
        .order_by()
        .values_list("imported_in__billing_zone")
        .annotate(start=Min("charge_period_start"), end=Max("charge_period_end"))
    )
    days = [days_of(*(each.astimezone(zone_named(name)) for each in span)) for name, *span in spans]
    return (min(first for first, _ in days), max(last for _, last in days)) if days else month
