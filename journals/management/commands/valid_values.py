"""Lists of the values that the ledger knows, by segment of the chartstring: loaded, shown, removed."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import F

from billing.commands import BillingCommand, day, moment, subcommands, table
from billing.files import piped
from journals import valid_values
from journals.models import ValidValueList

VIEW, ADD = "journals.view_validvaluelist", "journals.add_validvaluelist"


class Command(BillingCommand):
    help = "Keep lists of the funds, orgs, accounts and other values that the ledger knows, for the preflight."
    permission = {"list": VIEW, "show": VIEW, "load": ADD, "remove": ADD}

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="every version of every list")
        showing = verbs.add_parser("show", help="the values of a segment")
        showing.add_argument("segment", metavar="SEGMENT")
        loading = verbs.add_parser("load", help="replace the values of each segment that a CSV or Excel file names")
        loading.add_argument("file", metavar="FILE", help=f"columns: {', '.join(valid_values.COLUMNS)}")
        loading.add_argument("--dry-run", action="store_true", help="say what it would do; store nothing")
        removing = verbs.add_parser("remove", help="check a segment against no list any more")
        removing.add_argument("segment", metavar="SEGMENT")

    def run(self, **options: Any) -> None:
        getattr(self, f"run_{options.pop('verb')}")(**options)

    def run_list(self, **_: object) -> None:
        found = [described(each) for each in ValidValueList.objects.order_by("segment", "-version")]
        rows = [
            [each["segment"], str(each["version"]), f"{each['values']:,}", moment(each["loaded"]), each["loaded_by"]]
            + ["in force" if each["in_force"] else "replaced"]
            for each in found
        ]
        headings = ["segment", "version", "values", "loaded", "by", ""]
        none = "There is no list of valid values. `manage.py valid_values load FILE` loads one."
        self.report({"lists": found}, table(rows, headings, {1, 2}) if rows else none)

    def run_show(self, *, segment: str, **_: object) -> None:
        found = valid_values.list_of(segment)
        values = list(found.values.order_by("value", F("valid_from").asc(nulls_first=True)))
        rows = [[each.value, each.name, day(each.valid_from), day(each.valid_until)] for each in values]
        data = [
            {"value": each.value, "name": each.name, "valid_from": each.valid_from, "valid_until": each.valid_until}
            for each in values
        ]
        headings = ["value", "name", "valid from", "valid until"]
        self.report(described(found) | {"rows": data}, table(rows, headings))

    def run_load(self, *, file: str, dry_run: bool, **_: object) -> None:
        try:
            with piped.opened(file) as content:
                done = valid_values.load_values(file=content, is_dry_run=dry_run, actor=self.actor, now=self.now)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        segments = [
            {
                "segment": each.segment,
                "values": each.values,
                "added": list(each.added),
                "removed": list(each.removed),
                "changed": list(each.changed),
            }
            for each in done.segments
        ]
        self.report({"dry_run": dry_run, "segments": segments}, str(done))

    def run_remove(self, *, segment: str, **_: object) -> None:
        found = valid_values.remove(segment=segment, actor=self.actor, now=self.now)
        self.report(described(found), f"The values of {segment} are checked against no list any more.")


def described(found: ValidValueList) -> dict[str, Any]:
    return {
        "segment": found.segment,
        "version": found.version,
        "values": found.value_count,
        "loaded": found.loaded_at,
        "loaded_by": found.loaded_by_name,
        "in_force": found.replaced_at is None,
    }
