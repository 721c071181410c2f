"""manage.py imports: the deliveries, and taking one back."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from billing.commands import BillingCommand, period_named, subcommands, table
from billing.ingestion import describe, withdraw
from billing.models import Import, Source


class Command(BillingCommand):
    help = "List deliveries, show one, or take one back."

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        listing = verbs.add_parser("list", help="the latest deliveries")
        listing.add_argument("-s", "--source", help="of this source only")
        listing.add_argument("-p", "--period", help="with rows of this period only")
        listing.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
        showing = verbs.add_parser("show", help="one delivery, whole")
        showing.add_argument("number", type=int, metavar="N")
        withdrawing = verbs.add_parser("withdraw", help="take back the latest delivery of its source and periods")
        withdrawing.add_argument("number", type=int, metavar="N")

    def run(self, **options: Any) -> None:
        getattr(self, f"run_{options.pop('verb')}")(**options)

    def run_list(self, *, source: str | None, period: str | None, limit: int, **_: Any) -> None:
        imports = Import.objects.select_related("source")
        if source:
            imports = imports.filter(source=Source.objects.named(source))
        if period:
            imports = imports.filter(scope_totals__period=period_named(period)).distinct()
        found = list(imports[:limit])
        rows = [
            [
                str(each.pk),
                timezone.localtime(each.created_at).strftime("%Y-%m-%d %H:%M"),
                each.source.name if each.source else "?",
                each.get_state_display(),
                f"{each.rows:,}",
                f"{each.flagged:,}",
                each.name,
            ]
            for each in found
        ]
        headings = ["import", "when", "source", "state", "rows", "flagged", "files"]
        self.report(
            {"imports": [as_data(each) for each in found]},
            table(rows, headings, right={0, 4, 5}) if rows else "No deliveries yet: manage.py ingest FILE.",
        )

    def run_show(self, *, number: int, **_: Any) -> None:
        each = import_numbered(number)
        data = as_data(each)
        width = max(len(key) for key in data)
        lines = [f"{key.ljust(width)}  {value}" for key, value in data.items() if key != "errors"]
        lines += [describe(error) for error in each.errors]
        self.report(data, "\n".join(lines))

    def run_withdraw(self, *, number: int, **_: Any) -> None:
        result = withdraw(imported=import_numbered(number), actor=self.actor, now=self.now)
        self.report(
            {"import": number, "withdrawn": result.withdrawn, "revived": result.revived},
            f"Import {number} taken back: {result.withdrawn:,} charges withdrawn, {result.revived:,} revived.",
        )


def import_numbered(number: int) -> Import:
    """Return an import by its number; raise CommandError where there is none."""
    try:
        return Import.objects.select_related("source").get(pk=number)
    except Import.DoesNotExist:
        raise CommandError(f"There is no import {number}. See manage.py imports list.") from None


def as_data(each: Import) -> dict[str, Any]:
    """One delivery, as --json holds it."""
    return {
        "import": each.pk,
        "state": each.state,
        "source": each.source.name if each.source else None,
        "files": each.name,
        "mode": each.mode,
        "created_at": each.created_at,
        "created_by": each.created_by_name,
        "rows": each.rows,
        "new": each.new,
        "changed": each.changed,
        "unchanged": each.unchanged,
        "withdrawn": each.withdrawn,
        "unseen": each.unseen,
        "flagged": each.flagged,
        "flags": each.flags,
        "totals": each.totals,
        "stored": each.stored,
        "errors": each.errors,
    }
