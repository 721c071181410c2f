"""List, add and set up usage feeds, and list or withdraw the files that were read."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import doors
from billing.commands import BillingCommand, day, subcommands, table
from billing.models import Source, UsageFeed, UsageFile
from billing.texts import long_month
from billing.usage import accounts, bringing, feeds, terms
from billing.usage.readers import KINDS


class NoSuchFile(CommandError):
    """A file of usage was named by a number that none has."""


class Command(BillingCommand):
    help = "List, add and set up usage feeds: where usage comes from, and the rate schedule that prices it."
    permission = {
        "list": "billing.view_usagefeed",
        "show": "billing.view_usagefeed",
        "add": "billing.add_usagefeed",
        "set": "billing.change_usagefeed",
        "withdraw": "billing.take_usage",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="show every usage feed and how far its months are priced")
        show = verbs.add_parser("show", help="show a usage feed, its files, and its months with their units")
        show.add_argument("name", metavar="FEED")
        add = verbs.add_parser("add", help="add a usage feed")
        add.add_argument("name", metavar="FEED", help="lower-case letters, digits, - and _; such as tiger")
        add.add_argument("-s", "--source", required=True, help="the source whose charges its usage becomes")
        add.add_argument("--kind", required=True, choices=sorted(KINDS), help="what kind of files it has")
        settings_of(add)
        change = verbs.add_parser("set", help="set up a usage feed; what is not named stays as it is")
        change.add_argument("name", metavar="FEED")
        change.add_argument("-s", "--source", help="another source, as long as no month was priced")
        change.add_argument(
            "--kind", choices=sorted(KINDS), help="another kind of files, as long as no month was priced"
        )
        settings_of(change)
        withdraw = verbs.add_parser("withdraw", help="have a file count no longer, and price its months again")
        withdraw.add_argument("number", type=int, metavar="N", help="the number of the usage file")
        withdraw.add_argument("--reason", required=True)

    def run(self, **options: Any) -> None:
        doing: dict[str, Callable[..., None]] = {
            "list": self.list,
            "show": self.show,
            "add": self.add,
            "set": self.set,
            "withdraw": self.withdraw,
        }
        doing[options.pop("verb")](**options)

    def list(self, **options: object) -> None:
        found = list(UsageFeed.objects.select_related("source"))
        months: dict[int, list[Any]] = {}
        for each in terms.standing_months():
            months.setdefault(each.feed_id, []).append(each.period.month)
        rows = [
            [
                feed.name,
                feed.label,
                feed.kind,
                str(feed.source),
                feed.schedule or "–",
                feed.time_zone,
                long_month(max(months[feed.pk])) if feed.pk in months else "never",
            ]
            for feed in found
        ]
        headings = ["feed", "name", "kind", "source", "rate schedule", "time zone", "priced until"]
        self.report(
            {"feeds": [described(feed) for feed in found]},
            table(rows, headings) if rows else "There is no usage feed yet. Next: `manage.py feeds add NAME`.",
        )

    def show(self, *, name: str, **options: object) -> None:
        feed = feeds.named(name)
        files = list(feed.files.all()[:50])
        months = sorted(terms.standing_months(feed), key=lambda each: each.period.month)
        lines = [f"{feed.label}: {feed.kind}, charges of {feed.source}, priced by {feed.schedule or 'nothing yet'}."]
        if files:
            headings = ["file", "name", "read", "records", "from", "until", "state"]
            lines += ["", table([file_row(each) for each in files], headings, {0, 3})]
        for month in months:
            lines += ["", f"{long_month(month.period.month)}: {accounts.charges_by(month.rows, str(month.schedule))}"]
            lines += [f"  {line}" for line in accounts.units_lines(month.units)]
        self.report(
            {
                **described(feed),
                "files": [file_data(each) for each in files],
                "months": [
                    {
                        "period": each.period.iso_month,
                        "schedule": str(each.schedule),
                        "rows": each.rows,
                        "units": each.units,
                        "drawn": each.drawn,
                    }
                    for each in months
                ],
            },
            "\n".join(lines),
        )

    def add(self, *, name: str, source: str, kind: str, **options: object) -> None:
        fields = {"source": Source.objects.named(source), "kind": kind, **fields_of(options)}
        feed = feeds.add(name=name, fields=fields, actor=self.actor, now=self.now)
        self.report(described(feed), f"Usage feed {feed} added.")

    def set(self, *, name: str, source: str | None, kind: str | None, **options: object) -> None:
        fields = fields_of(options)
        if source:
            fields["source"] = Source.objects.named(source)
        if kind:
            fields["kind"] = kind
        feed = feeds.change(feed=feeds.named(name), fields=fields, actor=self.actor, now=self.now)
        self.report(described(feed), f"Usage feed {feed} is set up.")

    def withdraw(self, *, number: int, reason: str, **options: object) -> None:
        file = UsageFile.objects.filter(pk=number).select_related("feed").first()
        if file is None:
            raise NoSuchFile(f"There is no usage file {number}.")
        brought = bringing.withdraw(file=file, reason=reason, actor=self.actor, now=self.now, progress=self.progress)
        told = f"Usage file {number} is withdrawn.\n{brought.as_text()}"
        self.report(brought.as_data(), doors.with_commands(told, brought.next_steps))
        if brought.failed:
            raise bringing.SomeMonthsFailed(brought)


def settings_of(parser: argparse.ArgumentParser) -> None:
    """Add the options that `add` and `set` share."""
    parser.add_argument("--display-name", help="as statements print it")
    parser.add_argument("--schedule", metavar="NAME", help="the rate schedule that prices it")
    parser.add_argument("--time-zone", metavar="ZONE", help="whose months count, such as America/New_York")
    # Not --settings: Django takes that from the whole line, before any command sees it.
    parser.add_argument("--reader-settings", metavar="FILE", help="a JSON file with the settings of its reader")


def fields_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that options name; raise CommandError for settings that are no JSON object."""
    names = ("display_name", "schedule", "time_zone")
    fields = {name: options[name].strip() for name in names if options.get(name) is not None}
    if path := options.get("reader_settings"):
        try:
            fields["settings"] = feeds.settings_of_text(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise CommandError(f"{path} is not UTF-8 text.") from error
        except feeds.SettingsNotUnderstood as error:
            raise CommandError(f"{path}: {error}") from error
    return fields


def described(feed: UsageFeed) -> dict[str, Any]:
    """Return a feed as --json has it."""
    return {"feed": feed.name, **feeds.facts(feed, feeds.FIELDS)}


def file_row(file: UsageFile) -> list[str]:
    """Return a usage file as a line of a table."""
    return [
        str(file.pk),
        file.name,
        day(file.read_at),
        f"{file.records:,}",
        day(file.first) if file.first else "–",
        day(file.last) if file.last else "–",
        file.get_state_display(),
    ]


def file_data(file: UsageFile) -> dict[str, Any]:
    """Return a usage file as --json has it."""
    return {
        "file": file.pk,
        "name": file.name,
        "sha256": file.original_sha256,
        "records": file.records,
        "first": file.first,
        "last": file.last,
        "left_out": file.left_out,
        "totals": file.totals,
        "state": file.state,
    }
