"""What one PI spent, by project and source, and their shares of shared costs."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from billing import spending
from billing.commands import BillingCommand, amount, amounts, figure, period_named, table
from billing.models import Person
from billing.texts import shown
from billing.told import fields_of

SHARE_HEADINGS = ["period", "project", "source", "share of", "charged"]
HEADINGS = ["period", "project", "source", "charges", "list", "discount", "subsidy", "billed", "held"]


class Command(BillingCommand):
    help = "Show one PI's charges by project and source."
    permission = "billing.view_charge"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pi", metavar="PI", help="the PI's e-mail address or an alias of it")
        parser.add_argument("-p", "--period", metavar="2025-01", help="only this billing period")

    def run(self, **options: Any) -> None:
        pi = Person.objects.named(options["pi"])
        period = period_named(options["period"]) if options["period"] else None
        spent = spending.of_pi(pi=pi, period=period)
        named = {"pi": pi.email, "name": pi.name, "period": period.iso_month if period else None}
        if spent.rows or spent.shares:
            text = "\n\n".join([shown(str(pi)), *_paragraphs(spent)])
        else:
            text = f"{shown(str(pi))} has no charges" + (f" in {period}." if period else ".")
        self.report(named | _data(spent), text)


def _data(spent: spending.SpendingOfPI) -> dict[str, Any]:
    return {
        "projects": [
            {
                **fields_of(row, "period", "project", "source", "currency", "charges"),
                "list": row.list_cost,
                **fields_of(
                    row, "discount", "subsidy", "billed", "held", "held_billed", "rejected", "charged_to_center"
                ),
            }
            for row in spent.rows
        ],
        "billed": spent.total("billed"),
        "held": spent.total("held_billed"),
        "shares": [
            fields_of(share, "period", "project", "source", "name", "currency", "charged") for share in spent.shares
        ],
        "shared": spent.shared(),
    }


def _paragraphs(spent: spending.SpendingOfPI) -> Iterator[str]:
    """Yield the tables of own use and of shares, each with its sum below."""
    if spent.rows:
        rows = [
            [
                row.period,
                row.project or "–",
                row.source,
                f"{row.charges:,}",
                figure(row.list_cost, row.currency),
                figure(row.discount, row.currency),
                figure(row.subsidy, row.currency),
                amount(row.billed, row.currency),
                f"{row.held:,}" if row.held else "",
            ]
            for row in spent.rows
        ]
        held = sum(row.held for row in spent.rows)
        waiting = f"; {held:,} held, {amounts(spent.total('held_billed'))} billed" if held else ""
        yield table(rows, HEADINGS, {3, 4, 5, 6, 7, 8})
        yield f"{amounts(spent.total('billed'))} billed{waiting}."
    if spent.shares:
        shares = [
            [share.period, share.project or "–", share.source, share.name, amount(share.charged, share.currency)]
            for share in spent.shares
        ]
        yield table(shares, SHARE_HEADINGS, {4})
        yield f"{amounts(spent.shared())} charged for shared costs, as statements were last made."
