"""manage.py rates: rate schedules, the prices for usage, version by version."""

import argparse
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from billing.commands import BillingCommand, subcommands, table
from billing.files import piped
from billing.files.writing import whole
from billing.management import tried
from billing.models import Policy, RateSchedule
from billing.models.periods import parse_month
from billing.texts import iso_month, long_month
from billing.usage import rate_schedules, trying
from billing.usage.pricing.schedules import as_data
from billing.usage.pricing.terms import Schedule
from billing.usage.rate_schedules import words

ADD, RELEASE = "billing.add_rateschedule", "billing.release_rateschedule"


class Command(BillingCommand):
    help = "List rate schedules, show their rates, take them to a spreadsheet and back, and put versions in force."
    permission = {
        "list": "billing.view_rateschedule",
        "show": "billing.view_rateschedule",
        "export": "billing.view_rateschedule",
        "import": ADD,
        "release": RELEASE,
        "retire": RELEASE,
        "try": "billing.view_rateschedule",
        "discard": "billing.delete_rateschedule",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="every version of every rate schedule, with the feeds it prices")
        show = verbs.add_parser("show", help="the rates of a version, and what differs from the one before")
        which(show)
        export = verbs.add_parser("export", help="write a version to a file: .csv, .xlsx or .json")
        which(export)
        export.add_argument("-o", "--output", required=True, metavar="FILE", help="its ending says its form")
        bring = verbs.add_parser("import", help="draft a version from a file that export wrote, or one like it")
        bring.add_argument("file", metavar="FILE", help=".csv, .xlsx or .json; - reads standard input")
        bring.add_argument("--name", required=True, metavar="NAME", help="the rate schedule; a new name makes one")
        bring.add_argument("--from", dest="month", required=True, metavar="2026-07", help="the first month it prices")
        bring.add_argument("--note", default="", help="why: approved by whom, after which rate study")
        bring.add_argument("--release", action="store_true", help="put it in force, too")
        bring.add_argument("--dry-run", action="store_true", help="say what would differ; store nothing")
        attempt = verbs.add_parser("try", help="say what a version would have charged for months that were priced")
        which(attempt, period=False)
        tried.add_arguments(attempt)
        for name, said in (
            ("release", "put a draft in force from its first month on"),
            ("retire", "have a version price no month any more"),
            ("discard", "delete a draft"),
        ):
            verb = verbs.add_parser(name, help=said)
            verb.add_argument("name", metavar="NAME")
            verb.add_argument("version", metavar="VERSION", type=version_number)
            if name == "retire":
                verb.add_argument("--reason", required=True, help="stays in the audit log")

    def permissions(self, options: Any) -> tuple[str, ...]:
        releases = options["verb"] == "import" and options["release"]
        return (*super().permissions(options), *([RELEASE] if releases else []))

    def run(self, **options: Any) -> None:
        doing: dict[str, Callable[..., None]] = {
            "list": self.list,
            "show": self.show,
            "export": self.export,
            "import": self.bring_in,
            "release": self.release,
            "retire": self.retire,
            "try": self.attempt,
            "discard": self.discard,
        }
        doing[options.pop("verb")](**options)

    def list(self, **options: object) -> None:
        versions = list(RateSchedule.objects.select_related("released_by"))
        feeds = {name: rate_schedules.feeds_of(name) for name in {each.name for each in versions}}
        rows = [
            [
                each.name,
                str(each.version),
                each.get_state_display(),
                iso_month(each.valid_from),
                str(len(each.content.get("rates", ()))),
                ", ".join(feed.name for feed in feeds[each.name]) or "–",
                each.note,
            ]
            for each in versions
        ]
        headings = ["schedule", "version", "state", "from", "rates", "feeds", "note"]
        self.report(
            {"schedules": [described(each) for each in versions]},
            table(rows, headings, {1, 4}) if rows else "There is no rate schedule yet. Next: `manage.py rates import`.",
        )

    def show(self, *, name: str, version: int | None, period: str | None, **options: object) -> None:
        schedule = asked_for(name, version, period)
        rates = rate_schedules.content_of(schedule)
        compared = rate_schedules.compared(schedule)
        state = schedule.get_state_display().lower()
        currency = Policy.objects.current().currency
        lines = [f"{schedule}: {state}, from {long_month(schedule.valid_from)} on. Prices are in {currency}."]
        if schedule.note:
            lines.append(schedule.note)
        for rate in rates.rates:
            lines += ["", f"{rate.code}: {rate.service}"]
            lines += [f"  {each}" for each in words.price_lines(rate, rate.tiers)]
            for of_class, tiers in rate.prices.items():
                lines += [f"  {of_class}: {each}" for each in words.price_lines(rate, tiers)]
            lines += [f"  counts {each}" for each in words.counts_text(rate.counts).splitlines()]
            lines += [f"  where {each}" for each in words.where_text(rate.when).splitlines()]
            lines += [f"  {each}." for each in words.conditions_of(rate)]
        lines += ["", *class_lines(rates)] if rates.classes else []
        if compared.before:
            lines += ["", f"Since {compared.before}: {rate_schedules.told(compared.changes)}."]
            lines += [f"  {each}" for each in compared.changes]
        data = described(schedule) | {"content": as_data(rates)}
        self.report(data | changed(compared), "\n".join(lines))

    def export(self, *, name: str, version: int | None, period: str | None, output: str, **options: object) -> None:
        form = tried.form_of(output, rate_schedules.FORMATS)
        schedule = asked_for(name, version, period)
        try:
            with whole(Path(output)) as file:
                rate_schedules.write(rate_schedules.content_of(schedule), file, form)
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}.") from error
        self.report(
            {"schedule": schedule.name, "version": schedule.version, "file": output}, f"{schedule} is in {output}."
        )

    def bring_in(self, *, file: str, name: str, month: str, note: str, **options: Any) -> None:
        valid_from = month_named(month)
        try:
            with piped.opened(file) as content:
                rates = rate_schedules.read(content, name=name)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        given: dict[str, Any] = {
            "name": name,
            "valid_from": valid_from,
            "rates": rates,
            "note": note,
            "is_dry_run": options["dry_run"],
            "actor": self.actor,
            "now": self.now,
        }
        released = None
        if options["release"]:
            drafted, released = rate_schedules.draft_and_release(**given)
        else:
            drafted = rate_schedules.draft(**given)
        schedule = drafted.schedule
        since = f" since {drafted.before}" if drafted.before else ""
        would = "would be drafted" if drafted.is_dry_run else "is drafted"
        lines = [
            f"{schedule} {would}, from {long_month(valid_from)} on: {rate_schedules.told(drafted.changes)}{since}."
        ]
        lines += [f"  {each}" for each in drafted.changes]
        data = described(schedule) | changed(drafted) | {"dry_run": drafted.is_dry_run}
        if released:
            data |= released_data(released)
            lines += released_lines(released)
        elif not drafted.is_dry_run:
            lines.append(f"Next: `manage.py rates release {schedule.name} {schedule.version}`.")
        self.report(data, "\n".join(lines))

    def attempt(
        self, *, name: str, version: int | None, on: Sequence[str], output: str | None, **options: object
    ) -> None:
        schedule = rate_schedules.named(name, version)
        tried.report(self, trying.of_schedule(schedule), on=on, output=output)

    def release(self, *, name: str, version: int, **options: object) -> None:
        found = rate_schedules.named(name, version)
        done = rate_schedules.release(schedule=found, actor=self.actor, now=self.now)
        self.report(released_data(done), "\n".join(released_lines(done)))

    def retire(self, *, name: str, version: int, reason: str, **options: object) -> None:
        found = rate_schedules.named(name, version)
        done = rate_schedules.retire(schedule=found, reason=reason, actor=self.actor, now=self.now)
        self.report(described(done), f"{done} is retired, and prices no month.")

    def discard(self, *, name: str, version: int, **options: object) -> None:
        found = rate_schedules.named(name, version)
        data = described(found)
        rate_schedules.discard(schedule=found, actor=self.actor, now=self.now)
        self.report(data, f"The draft {found} is discarded.")


def which(parser: argparse.ArgumentParser, *, period: bool = True) -> None:
    """Add the arguments that name a version."""
    parser.add_argument("name", metavar="NAME")
    otherwise = "else the one in force" if period else "else the latest, be it a draft"
    parser.add_argument("version", metavar="VERSION", type=version_number, nargs="?", help=otherwise)
    if not period:
        return
    parser.add_argument("-p", "--period", metavar="2026-01", help="the version that prices this month")


def version_number(text: str) -> int:
    """Return the number of a version, written `2` or `v2`."""
    digits = text.removeprefix("v")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise argparse.ArgumentTypeError(f"“{text}” is not the number of a version, such as 2")
    return int(digits)


def asked_for(name: str, version: int | None, period: str | None) -> RateSchedule:
    """Return the version that is named, or prices a month; else the one in force now, or the latest of all."""
    if version is not None and period:
        raise CommandError("Name a version or a month, not both.", returncode=2)
    if version is not None:
        return rate_schedules.named(name, version)
    if period:
        return rate_schedules.in_force(name, month_named(period))
    latest = rate_schedules.named(name)
    this_month = timezone.localdate().replace(day=1)
    return RateSchedule.objects.in_force(latest.name, this_month) or latest


def month_named(text: str) -> datetime.date:
    try:
        return parse_month(text)
    except ValueError as error:
        raise CommandError(str(error), returncode=2) from error


def class_lines(rates: Schedule) -> list[str]:
    """Return what each rate class pays, a line each."""
    return [
        f"Class {each.name} ({words.CLASS_KINDS[each.kind]}): {words.number_text(each.percent)}% of the list price"
        + (f", and {words.number_text(each.indirect_percent)}% indirect cost" if each.indirect_percent else "")
        for each in rates.classes
    ]


def described(schedule: RateSchedule) -> dict[str, Any]:
    """Return a version as --json has it."""
    return {
        "schedule": schedule.name,
        "version": schedule.version,
        "state": schedule.state,
        "valid_from": iso_month(schedule.valid_from),
        "rates": len(schedule.content.get("rates", ())),
        "feeds": [feed.name for feed in rate_schedules.feeds_of(schedule.name)],
        "note": schedule.note,
        "released_at": schedule.released_at,
    }


def released_data(done: rate_schedules.Released) -> dict[str, Any]:
    """Return what was put in force, as --json has it."""
    return {
        **described(done.schedule),
        "replaces": done.replaces.version if done.replaces else None,
        "to_price_again": [{"feed": feed.name, "period": period.iso_month} for feed, period in done.months],
    }


def released_lines(done: rate_schedules.Released) -> list[str]:
    """Say what was put in force, and which months are to be priced again."""
    place = f" It takes the place of {done.replaces}." if done.replaces else ""
    return [
        f"{done.schedule} is in force from {long_month(done.schedule.valid_from)} on.{place}",
        *(
            f"Another version priced {period} of {feed}. Next: `manage.py usage -f {feed.name} -p {period.iso_month}`."
            for feed, period in done.months
        ),
    ]


def changed(drafted: rate_schedules.Drafted) -> dict[str, Any]:
    """Return what differs from the version before, as --json has it."""
    return {
        "compared_with": drafted.before.version if drafted.before else None,
        "changes": [
            {
                "what": each.what,
                "name": each.name,
                "how": each.how,
                "differences": [vars(difference) for difference in each.differences],
            }
            for each in drafted.changes
        ],
    }
