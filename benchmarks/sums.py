"""Time the sum by PI and project of one month, as the dashboard and `show` ask for it: prints seconds.

The first figure is of a fresh connection, the second the best of five after it.
"""

import os
import sys
import time

import django

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openchargeback.settings")
django.setup()


from billing.models import BillingPeriod, Charge, MonthTotal  # noqa: E402


def sums(period: BillingPeriod) -> int:
    totals = MonthTotal.objects.of_month(period).filter(state__in=Charge.CHARGEABLE)
    return len(list(totals.summed("pi_id", "project_id", "currency")))


if __name__ == "__main__":
    month = BillingPeriod.objects.named(sys.argv[1])
    took = []
    groups = 0
    for _ in range(6):
        started = time.perf_counter()
        groups = sums(month)
        took.append(time.perf_counter() - started)
    print(f"{took[0]:.4f} {min(took[1:]):.4f} {groups}")
