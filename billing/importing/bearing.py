"""Other months that bear what an import changes: what was booked, carried or reversed there stays there."""

from collections.abc import Collection

from django.db import connection
from django.db.models import Exists, F, OuterRef

from ..models import BillingPeriod, Charge, MonthTotal, Source
from ..models.periods import PeriodClosed
from ..readers.facts import month_number
from ..texts import month_names
from .staging import Stage, figures


def stage_elsewhere(rows: Stage, source: Source, periods: Collection[BillingPeriod]) -> bool:
    """Have other months bear what comes back of costs that late changes reversed there; tell whether any bears some.

    A month that was reopened has these costs still, and the late changes that reversed them stand where they were
    booked: charged here again, a cost would be in two months. Staged again, it is what stands now.
    """
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM stage_elsewhere")
    if not MonthTotal.objects.filter(source=source, period__in=periods).exclude(charged_in=F("period")).exists():
        return False
    by_id = {period.pk: month_number(period.month) for period in periods}
    followed = Charge.objects.live().filter(replaces=OuterRef("reverses"))
    reversals = (
        Charge.objects.live()
        .filter(source=source, period__in=by_id, reverses__isnull=False)
        .filter(charged_in__in=BillingPeriod.objects.taking_changes())
        .exclude(Exists(followed))
        .order_by("pk")
        .values_list("period_id", "reverses__identity_hash", "charged_in_id")
    )
    bearing = {(by_id[period_id], bytes(identity)): charged_in for period_id, identity, charged_in in reversals}
    if bearing:
        rows.choose_all()
        rows.fill_rows(
            "stage_elsewhere",
            (
                (row, bearing[month, identity])
                for row, month, identity in figures.new_rows(rows)
                if (month, identity) in bearing
            ),
        )
    return True


def others(rows: Stage, touched: Collection[BillingPeriod]) -> list[BillingPeriod]:
    """Return the other months that bear what changes of these, in their order."""
    own = {each.pk for each in touched}
    return list(BillingPeriod.objects.filter(pk__in=set(figures.bearing(rows, own)) - own).order_by("month"))


def require_taking(rows: Stage, touched: Collection[BillingPeriod]) -> None:
    """Refuse where another month bears some of what changes, and takes no changes itself. Raises PeriodClosed."""
    if not (shut := [each for each in others(rows, touched) if not each.takes_changes]):
        return
    own = month_names(sorted(each.iso_month for each in touched), " and ")
    named = " and ".join(f"{each} is {each.get_status_display().lower()}" for each in shut)
    raise PeriodClosed(
        f"{named}, and some of what changes in {own} was booked there. Reopen that month, if it is not finalized. "
        f"Or close {own} again and import the files then: what changes is booked in an open month."
    )
