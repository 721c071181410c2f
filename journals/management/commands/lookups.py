"""Lookup tables, such as worktags by fund/org: loaded, shown, removed."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import F

from billing.commands import BillingCommand, day, moment, subcommands, table
from billing.files import piped
from journals import lookups
from journals.models import LookupTable

VIEW, ADD = "journals.view_lookuptable", "journals.add_lookuptable"


class Command(BillingCommand):
    help = "Keep lookup tables of what the ledger needs beside the fund/org, such as worktags, for layouts to print."
    permission = {"list": VIEW, "show": VIEW, "load": ADD, "remove": ADD}

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="every version of every table")
        showing = verbs.add_parser("show", help="the rows of a table")
        showing.add_argument("table", metavar="TABLE")
        loading = verbs.add_parser("load", help="replace each table that a CSV or Excel file names")
        loading.add_argument(
            "file", metavar="FILE", help=f"columns: {', '.join(lookups.COLUMNS)}, what rows are found by, and values"
        )
        loading.add_argument("--dry-run", action="store_true", help="say what it would do; store nothing")
        removing = verbs.add_parser("remove", help="have nothing looked up in a table any more")
        removing.add_argument("table", metavar="TABLE")

    def run(self, **options: Any) -> None:
        getattr(self, f"run_{options.pop('verb')}")(**options)

    def run_list(self, **_: object) -> None:
        found = [described(each) for each in LookupTable.objects.order_by("name", "-version")]
        rows = [
            [each["table"], str(each["version"]), ", ".join(each["keys"]), ", ".join(each["columns"])]
            + [f"{each['rows']:,}", moment(each["loaded"]), "in force" if each["in_force"] else "replaced"]
            for each in found
        ]
        headings = ["table", "version", "found by", "has", "rows", "loaded", ""]
        none = "There is no lookup table. `manage.py lookups load FILE` loads one."
        self.report({"tables": found}, table(rows, headings, {1, 4}) if rows else none)

    def run_show(self, *, table: str, **_: object) -> None:
        found = lookups.table_named(table)
        lines = list(found.rows.order_by("key", F("valid_from").asc(nulls_first=True)))
        data = [
            {**dict(zip(found.keys, each.parts, strict=True)), **each.values}
            | {"valid_from": each.valid_from, "valid_until": each.valid_until}
            for each in lines
        ]
        rows = [
            [*each.parts, *(each.values.get(name, "") for name in found.columns)]
            + [day(each.valid_from), day(each.valid_until)]
            for each in lines
        ]
        headings = [*found.keys, *found.columns, "valid from", "valid until"]
        self.report(described(found) | {"lines": data}, columns(rows, headings))

    def run_load(self, *, file: str, dry_run: bool, **_: object) -> None:
        try:
            with piped.opened(file) as content:
                done = lookups.load_lookups(file=content, is_dry_run=dry_run, actor=self.actor, now=self.now)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        tables = [
            {
                "table": each.table,
                "rows": each.rows,
                "added": list(each.added),
                "removed": list(each.removed),
                "changed": list(each.changed),
            }
            for each in done.tables
        ]
        self.report({"dry_run": dry_run, "tables": tables}, str(done))

    def run_remove(self, *, table: str, **_: object) -> None:
        found = lookups.remove(name=table, actor=self.actor, now=self.now)
        self.report(described(found), f"Nothing is looked up in {table} any more.")


# As `table` is called where an option has that name.
columns = table


def described(found: LookupTable) -> dict[str, Any]:
    return {
        "table": found.name,
        "version": found.version,
        "keys": found.keys,
        "columns": found.columns,
        "rows": found.row_count,
        "loaded": found.loaded_at,
        "loaded_by": found.loaded_by_name,
        "in_force": found.replaced_at is None,
    }
