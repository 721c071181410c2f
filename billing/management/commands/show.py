"""What one PI spent, by project and source, and their shares of shared costs."""

from typing import Any

from django.core.management.base import CommandParser

from billing import spending
from billing.commands import BillingCommand, amount, amounts, figure, period_named, table
from billing.models import Person
from billing.reports import fields_of
from billing.texts import shown

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
        data = {
            "pi": pi.email,
            "name": pi.name,
            "period": str(period) if period else None,
            "projects": [
                {
                    **fields_of(row, "period", "project", "source", "currency", "charges"),
                    "list": row.list_cost,
                    **fields_of(row, "discount", "subsidy", "billed", "held", "held_billed", "rejected", "absorbed"),
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
        if not (spent.rows or spent.shares):
            self.report(data, f"{shown(str(pi))} has no charges" + (f" in {period}." if period else "."))
            return
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
        paragraphs = [shown(str(pi))]
        if spent.rows:
            paragraphs.append(table(rows, HEADINGS, {3, 4, 5, 6, 7, 8}))
            paragraphs.append(f"{amounts(spent.total('billed'))} billed{waiting}.")
        if spent.shares:
            shares = [
                [share.period, share.project or "–", share.source, share.name, amount(share.charged, share.currency)]
                for share in spent.shares
            ]
            paragraphs.append(table(shares, SHARE_HEADINGS, {4}))
            paragraphs.append(f"{amounts(spent.shared())} charged for shared costs, as statements were last made.")
        self.report(data, "\n\n".join(paragraphs))
