"""manage.py exchange_rates: what foreign currencies are worth, month by month."""

from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.charging.exchange_rates import set_rate
from billing.commands import BillingCommand, period_named, subcommands, table
from billing.models import ExchangeRate, Policy
from billing.money import plain
from billing.readers.amounts import decimal_of
from billing.readers.values import BadValue, currency_of
from billing.texts import month_name


class Command(BillingCommand):
    help = "List exchange rates, or set what one unit of a currency is worth in the institution's own in a month."
    permission = {
        "list": "billing.view_exchangerate",
        "set": "billing.change_exchangerate",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        listing = verbs.add_parser("list", help="the rates, latest month first")
        listing.add_argument("-p", "--period", help="of this month only")
        setting = verbs.add_parser("set", help="set the rate of a month that is not closed, or one that is missing")
        setting.add_argument("month", metavar="MONTH", help="such as 2025-01")
        setting.add_argument("currency", metavar="CURRENCY", help="its three letters, such as EUR")
        setting.add_argument("rate", metavar="RATE", help="what one unit is worth, such as 1.0831")

    def run(self, **options: object) -> None:
        getattr(self, f"run_{options.pop('verb')}")(**options)

    def run_list(self, *, period: str | None, **_: object) -> None:
        rates = ExchangeRate.objects.select_related("period").order_by("-period__month", "currency")
        if period:
            rates = rates.filter(period=period_named(period))
        found = [as_data(rate) for rate in rates]
        rows = [[each["period"], each["currency"], each["rate"], "yes" if each["frozen"] else ""] for each in found]
        text = table(rows, ["month", "currency", "rate", "locked"], right={2}) if rows else "No exchange rates yet."
        self.report({"rates": found}, text)

    def run_set(self, *, month: str, currency: str, rate: str, **_: object) -> None:
        try:
            code, worth = currency_of(currency), decimal_of(rate)
        except BadValue as error:
            raise CommandError(str(error)) from error
        done = set_rate(
            period=period_named(month), currency=code, rate=worth or Decimal(0), actor=self.actor, now=self.now
        )
        data = as_data(done.rate) | {"before": None if done.before is None else plain(done.before)}
        home = Policy.objects.current().currency
        was = f"; it was {data['before']}" if data["before"] else ""
        self.report(
            data,
            f"One {code} is worth {data['rate']} {home} in {month_name(data['period'])}{was}. "
            f"Next: `manage.py generate -p {data['period']}`.",
        )


def as_data(rate: ExchangeRate) -> dict[str, Any]:
    """One rate, as --json holds it."""
    return {
        "period": rate.period.iso_month,
        "currency": rate.currency,
        "rate": plain(rate.rate),
        "frozen": not rate.period.takes_changes,
    }
