"""The steps of a billing period, and the question every change asks first: does it take changes?"""

from django.db import connection

from .errors import BillingError
from .models import BillingPeriod


class PeriodClosed(BillingError):
    """A change was asked of a period that takes none."""


def require_open(*periods: BillingPeriod) -> list[BillingPeriod]:
    """Return the periods, locked against closing for the rest of the transaction.

    Charges, decisions and entries may change while a period is open or in review. On PostgreSQL the
    rows are locked FOR SHARE: changes do not wait for each other, a close waits for all of them. On
    SQLite the transaction that asks holds the only write lock already.

    Raises PeriodClosed, naming each period that takes no changes.
    """
    ids = sorted({period.pk for period in periods})
    if connection.vendor == "postgresql" and ids:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM billing_billingperiod WHERE id = ANY(%s) ORDER BY id FOR SHARE", [ids])
    fresh = list(BillingPeriod.objects.filter(pk__in=ids).order_by("month"))
    if shut := [period for period in fresh if not period.takes_changes]:
        names = ", ".join(f"{period} is {period.get_status_display().lower()}" for period in shut)
        raise PeriodClosed(f"Billing period {names}: it takes no changes. Reopen it, or use an open month.")
    return fresh
