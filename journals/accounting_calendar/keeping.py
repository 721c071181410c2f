"""The calendar made and changed: a fiscal year by the policy, a list loaded, the dates of one period."""

import datetime
from dataclasses import dataclass
from typing import IO, Any

from django.core.exceptions import ValidationError

from billing import audit
from billing.audit import Actor
from billing.audit.snapshots import differences, snapshot
from billing.errors import BillingError
from billing.fiscal_years import label_of
from billing.models import Policy
from billing.models.periods import last_day_of
from billing.readers.cells import Kind
from billing.setup.lists import ListRefused, Loaded, Loading, read_list, require_as_shown
from billing.texts import number_in

from ..models import AccountingPeriod

COLUMNS = {
    "fiscal_year": Kind.TEXT,
    "period": Kind.TEXT,
    "first_day": Kind.DATE,
    "last_day": Kind.DATE,
    "opens": Kind.DATE,
    "cutoff": Kind.DATE,
    "closes": Kind.DATE,
}
# The days of a period that its posting dates have, and those on which journals for it are taken.
DAYS = ("first_day", "last_day")
DATES = {"opens": "opens_on", "cutoff": "cutoff_on", "closes": "closes_on"}
MONTHS = 12


class CalendarRefused(ListRefused):
    """A calendar that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No accounting period was loaded."


class FiscalYearRefused(BillingError):
    """A fiscal year cannot be added, or a period not be changed so."""


@dataclass(frozen=True)
class LoadedCalendar(Loaded):
    """What a calendar changed. Periods that it does not name stay as they are."""

    NOUNS = ("accounting period", "accounting periods")


def load_calendar(
    *, file: IO[bytes], is_dry_run: bool = False, expected: str = "", actor: Actor, now: datetime.datetime
) -> LoadedCalendar:
    """Add and change accounting periods from a CSV or Excel file with the columns of COLUMNS.

    A period is named by its fiscal year and number. A column that the file lacks leaves that date as it is; an empty
    cell clears it. A new period has a first and a last day. A dry run stores nothing; with `expected`, its digest,
    nothing is stored unless the list would do just that.

    Raises CalendarRefused with every mistake by line and column, and PreviewOutdated.
    """
    rows = read_list(file, columns=COLUMNS, refused=CalendarRefused, nobody="The file names no accounting period.")
    with audit.gesture(actor=actor, now=now) as gesture:
        loading = _loading(rows)
        loading.require_right(CalendarRefused)
        done = LoadedCalendar(
            len(loading.added), len(loading.changed), loading.unchanged, is_dry_run=is_dry_run, digest=loading.digest
        )
        require_as_shown(done.digest, expected)
        if is_dry_run:
            return done
        AccountingPeriod.objects.bulk_create(loading.added)
        AccountingPeriod.objects.bulk_update(
            [period for period, _ in loading.changed] or [], [*DAYS, *DATES.values()], batch_size=500
        )
        loading.record(gesture, kind="accounting_period")
        gesture.record("accounting_calendar.loaded", after=loading.counts)
        return done


def add_fiscal_year(
    *,
    fiscal_year: int,
    days_to_cutoff: int | None = None,
    days_to_close: int | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> list[AccountingPeriod]:
    """Add the twelve months of a fiscal year, which begins as the policy says.

    Each has its cutoff and closes so many days after its last day; None leaves that empty. Raises FiscalYearRefused.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        if AccountingPeriod.objects.filter(fiscal_year=fiscal_year).exists():
            raise FiscalYearRefused(f"{label_of(fiscal_year)} is in the calendar already. Change its periods there.")
        month, _ = Policy.objects.current().months_of_fiscal_year(fiscal_year)
        made = []
        for number in range(1, MONTHS + 1):
            last = last_day_of(month)
            made.append(
                AccountingPeriod(
                    fiscal_year=fiscal_year,
                    number=number,
                    first_day=month,
                    last_day=last,
                    cutoff_on=None if days_to_cutoff is None else last + datetime.timedelta(days_to_cutoff),
                    closes_on=None if days_to_close is None else last + datetime.timedelta(days_to_close),
                )
            )
            month = last + datetime.timedelta(1)
        _require_apart([*AccountingPeriod.objects.all(), *made])
        for each in made:
            _require_valid(each)
            each.save()
            gesture.record("accounting_period.added", each, after=snapshot(each, with_links=False))
        return made


def set_dates(
    *, period: AccountingPeriod, dates: dict[str, datetime.date | None], actor: Actor, now: datetime.datetime
) -> AccountingPeriod:
    """Change when a period opens, has its cutoff or closes: `dates` by field, None for no such date.

    Raises FiscalYearRefused.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = AccountingPeriod.objects.select_for_update(no_key=True).get(pk=period.pk)
        before = snapshot(period, with_links=False)
        for name, day in dates.items():
            setattr(period, name, day)
        _require_valid(period)
        period.save()
        old, new = differences(before, snapshot(period, with_links=False))
        if new:
            gesture.record("accounting_period.changed", period, before=old, after=new)
        return period


def period_named(fiscal_year: int, number: int) -> AccountingPeriod:
    """Return a period of the calendar. Raises FiscalYearRefused where it has none such."""
    found = AccountingPeriod.objects.filter(fiscal_year=fiscal_year, number=number).first()
    if found is None:
        raise FiscalYearRefused(f"The accounting calendar has no period {number} of {label_of(fiscal_year)}.")
    return found


def crossed_by(period: AccountingPeriod, others: list[AccountingPeriod]) -> AccountingPeriod | None:
    """Return another period that shares some days with this one, and not all of either's."""
    return next((each for each in others if each is not period and each.crosses(period)), None)


def _require_apart(periods: list[AccountingPeriod]) -> None:
    for each in periods:
        if other := crossed_by(each, periods):
            raise FiscalYearRefused(f"The days of {each} ({each.days}) cross those of {other} ({other.days}).")


def _require_valid(period: AccountingPeriod) -> None:
    try:
        period.full_clean()
    except ValidationError as error:
        raise FiscalYearRefused(" ".join(error.messages)) from error


def _loading(rows: list[tuple[int, dict[str, str]]]) -> Loading[AccountingPeriod]:
    loading: Loading[AccountingPeriod] = Loading()
    stored = {(each.fiscal_year, each.number): each for each in AccountingPeriod.objects.all()}
    named: list[tuple[int, AccountingPeriod]] = []
    for line, row in rows:
        numbers = [_number(line, row, name, loading) for name in ("fiscal_year", "period")]
        values: dict[str, Any] = {name: loading.day(line, row, name) for name in DAYS if name in row}
        values |= {field: loading.day(line, row, name) for name, field in DATES.items() if name in row}
        if None in numbers:
            continue
        year, number = numbers
        assert year is not None
        assert number is not None
        if not loading.is_first(line, "period", key=f"{year}/{number}", name=f"period {number} of {label_of(year)}"):
            continue
        period = stored.setdefault((year, number), AccountingPeriod(fiscal_year=year, number=number))
        # A line that is wrong already says so once.
        is_right = not any(error.line == line for error in loading.errors)
        loading.fill(line, period, values, wrong=_wrong if is_right else lambda _: [])
        named.append((line, period))
    if not loading.errors:
        for line, period in named:
            if other := crossed_by(period, list(stored.values())):
                loading.refuse(line, "first_day", f"its days ({period.days}) cross those of {other} ({other.days})")
    return loading


def _number(line: int, row: dict[str, str], column: str, loading: Loading[AccountingPeriod]) -> int | None:
    text = row.get(column, "")
    # FY2026 is how people write it.
    found = number_in(text.upper().removeprefix("FY").strip())
    if found is None or found > 2999:
        loading.refuse(line, column, "is empty" if not text else f"“{text}” is not a whole number, such as 2026 or 7")
        return None
    return found


def _wrong(period: AccountingPeriod) -> list[tuple[str, str]]:
    """Return what is wrong with a period's days, by column."""
    empty = [(name, "is empty") for name in DAYS if getattr(period, name) is None]
    if empty:
        return empty
    try:
        period.clean_fields()
        # Whether it is there already was asked by its number.
        for constraint in period._meta.constraints[1:]:
            constraint.validate(AccountingPeriod, period)
    except ValidationError as error:
        return [("", message) for message in error.messages]
    return []
