"""What one PI used, by project and source, and their shares of shared costs."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from billing import usage
from billing.commands import BillingCommand, amount, amounts, figure, period_named, table
from billing.models import Person
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
        used = usage.of_pi(pi=pi, period=period)
        named = {"pi": pi.email, "name": pi.name, "period": str(period) if period else None}
        if used.rows or used.shares:
            text = "\n\n".join([shown(str(pi)), *_paragraphs(used)])
        else:
            text = f"{shown(str(pi))} has no charges" + (f" in {period}." if period else ".")
        self.report(named | _data(used), text)


def _data(used: usage.UsageOfPI) -> dict[str, Any]:
    return {
        "projects": [
            {
                "period": row.period,
                "project": row.project,
                "source": row.source,
                "currency": row.currency,
                "charges": row.charges,
                "list": row.list_cost,
                "discount": row.discount,
                "subsidy": row.subsidy,
                "billed": row.billed,
                "held": row.held,
                "held_billed": row.held_billed,
                "rejected": row.rejected,
                "absorbed": row.absorbed,
            }
            for row in used.rows
        ],
        "billed": used.total("billed"),
        "held": used.total("held_billed"),
        "shares": [
            {
                "period": share.period,
                "project": share.project,
                "source": share.source,
                "name": share.name,
                "currency": share.currency,
                "charged": share.charged,
            }
            for share in used.shares
        ],
        "shared": used.shared(),
    }


def _paragraphs(used: usage.UsageOfPI) -> Iterator[str]:
    """Yield the tables of own use and of shares, each with its sum below."""
    if used.rows:
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
            for row in used.rows
        ]
        held = sum(row.held for row in used.rows)
        waiting = f"; {held:,} held, {amounts(used.total('held_billed'))} billed" if held else ""
        yield table(rows, HEADINGS, {3, 4, 5, 6, 7, 8})
        yield f"{amounts(used.total('billed'))} billed{waiting}."
    if used.shares:
        shares = [
            [share.period, share.project or "–", share.source, share.name, amount(share.charged, share.currency)]
            for share in used.shares
        ]
        yield table(shares, SHARE_HEADINGS, {4})
        yield f"{amounts(used.shared())} charged for shared costs, as statements were last made."
