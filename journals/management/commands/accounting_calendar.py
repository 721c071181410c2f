"""The ledger's calendar: a fiscal year added by the policy, periods loaded from a list, or changed one by one."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from billing.commands import BillingCommand, day, day_named, subcommands, table
from billing.files import piped
from billing.fiscal_years import label_of
from journals import accounting_calendar
from journals.models import AccountingPeriod

# What `set` takes for a date that is to be none.
NONE = "none"
DATES = {"opens": "opens_on", "cutoff": "cutoff_on", "closes": "closes_on"}


class Command(BillingCommand):
    help = "Say when the ledger takes journals for each accounting period: list, add, load or change periods."
    permission = {
        "list": "journals.view_accountingperiod",
        "add": "journals.add_accountingperiod",
        "load": "journals.add_accountingperiod",
        "set": "journals.change_accountingperiod",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="show the periods with their dates")
        adding = verbs.add_parser("add", help="add the twelve months of a fiscal year, which begins as the policy says")
        adding.add_argument("fiscal_year", type=int, metavar="2026")
        adding.add_argument("--days-to-cutoff", type=int, metavar="DAYS", help="after each month; else no cutoff")
        adding.add_argument("--days-to-close", type=int, metavar="DAYS", help="after each month; else open until set")
        loading = verbs.add_parser("load", help="load periods from CSV or Excel")
        loading.add_argument("file", metavar="FILE", help=f"columns: {', '.join(accounting_calendar.COLUMNS)}")
        loading.add_argument("--dry-run", action="store_true", help="say what it would do; store nothing")
        setting = verbs.add_parser("set", help="change the dates of a period")
        setting.add_argument("fiscal_year", type=int, metavar="2026")
        setting.add_argument("number", type=int, metavar="7")
        for name, told in (
            ("opens", "the first day on which journals for it are taken"),
            ("cutoff", "the last day on which one needs no reason"),
            ("closes", "the last day on which the ledger takes any"),
        ):
            setting.add_argument(f"--{name}", metavar="YYYY-MM-DD", help=f"{told}; `{NONE}` for no such date")

    def run(self, **options: Any) -> None:
        getattr(self, f"run_{options.pop('verb')}")(**options)

    def run_list(self, **_: object) -> None:
        periods = list(AccountingPeriod.objects.order_by("fiscal_year", "number"))
        rows = [
            [
                label_of(each.fiscal_year),
                str(each.number),
                *(day(value) for value in (each.first_day, each.last_day)),
                *(day(getattr(each, field)) for field in DATES.values()),
                state(each),
            ]
            for each in periods
        ]
        headings = ["year", "period", "first day", "last day", "opens", "cutoff", "closes", "today"]
        none = "There is no accounting calendar. `manage.py accounting_calendar add YEAR` adds a fiscal year."
        self.report({"periods": [described(each) for each in periods]}, table(rows, headings, {1}) if rows else none)

    def run_add(self, *, fiscal_year: int, days_to_cutoff: int | None, days_to_close: int | None, **_: object) -> None:
        made = accounting_calendar.add_fiscal_year(
            fiscal_year=fiscal_year,
            days_to_cutoff=days_to_cutoff,
            days_to_close=days_to_close,
            actor=self.actor,
            now=self.now,
        )
        self.report(
            {"periods": [described(each) for each in made]},
            f"{label_of(fiscal_year)} is added: {len(made)} periods, from {day(made[0].first_day)} to "
            f"{day(made[-1].last_day)}.",
        )

    def run_load(self, *, file: str, dry_run: bool, **_: object) -> None:
        try:
            with piped.opened(file) as content:
                done = accounting_calendar.load_calendar(
                    file=content, is_dry_run=dry_run, actor=self.actor, now=self.now
                )
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        data = {"dry_run": dry_run, "added": done.added, "changed": done.changed, "unchanged": done.unchanged}
        self.report(data, str(done))

    def run_set(self, *, fiscal_year: int, number: int, **options: Any) -> None:
        given = {field: options[name] for name, field in DATES.items() if options[name] is not None}
        if not given:
            raise CommandError("Give at least one of --opens, --cutoff and --closes.", returncode=2)
        period = accounting_calendar.set_dates(
            period=accounting_calendar.period_named(fiscal_year, number),
            dates={field: None if text == NONE else day_named(text) for field, text in given.items()},
            actor=self.actor,
            now=self.now,
        )
        self.report(described(period), f"P{str(period)[1:]} is {state(period)} today.")


def state(period: AccountingPeriod) -> str:
    today = timezone.localdate()
    if not period.is_open(today):
        return "not open yet" if period.opens_on and today < period.opens_on else "closed"
    if today < period.first_day:
        return "to come"
    return "past its cutoff" if period.is_past_cutoff(today) else "open"


def described(period: AccountingPeriod) -> dict[str, Any]:
    return {
        "fiscal_year": period.fiscal_year,
        "period": period.number,
        "first_day": period.first_day,
        "last_day": period.last_day,
        **{name: getattr(period, field) for name, field in DATES.items()},
        "today": state(period),
    }
