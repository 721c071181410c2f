"""Give a month a past: `months.py MONTH 36` copies its payer lines and totals to the months before, in a checkout.

Reports read these, and neither charges nor statements; so that a past of three years costs no three years of imports.
"""

import os
import sys


def main() -> None:
    month, number = sys.argv[1], int(sys.argv[2])
    sys.path.insert(0, os.getcwd())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openchargeback.settings")
    import django

    django.setup()
    from django.db import connection

    from billing.models import BillingPeriod, BillingReference, Charge, MonthTotal, PayerLine
    from billing.reports import moved

    newest = BillingPeriod.objects.named(month)
    lines = list(PayerLine.objects.filter(period=newest))
    references = list(BillingReference.objects.filter(period=newest))
    totals = list(MonthTotal.objects.filter(charged_in=newest))
    for back in range(1, number):
        period = BillingPeriod.objects.create(month=moved(newest.month, -back), opened_at=newest.opened_at)
        known = {}
        for each in references:
            before = each.pk
            each.pk, each.period = None, period
            each.save(force_insert=True)
            known[before] = each.pk
            each.pk = before
        for line in lines:
            line.pk, line.period, line.for_period = None, period, period
        own = [line.reference_id for line in lines]
        for line in lines:
            line.reference_id = known[line.reference_id]
        PayerLine.objects.bulk_create(lines, batch_size=500)
        for line, reference in zip(lines, own, strict=True):
            line.reference_id = reference
        for total in totals:
            total.pk, total.charged_in, total.period = None, period, period
        MonthTotal.objects.bulk_create(totals, batch_size=500)
        # No month of a real past is without a charge.
        charge = Charge.objects.in_month(newest).latest("pk")
        charge.pk, charge.period, charge.charged_in = None, period, period
        charge.save(force_insert=True)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    count = f"{PayerLine.objects.count():,} payer lines and {MonthTotal.objects.count():,} totals"
    print(f"{number} months with {count}")


if __name__ == "__main__":
    main()
