"""Which dates the ledger takes: the calendar as it is, and what a posting date needs."""

import datetime
from dataclasses import dataclass

from billing import once_a_page
from billing.fiscal_years import label_of
from billing.models import Policy
from billing.texts import long_date

from ..models import AccountingPeriod


@dataclass(frozen=True)
class Calendar:
    """The accounting periods there are, by their days. Without any, the ledger takes whatever the policy allows."""

    periods: tuple[AccountingPeriod, ...]

    def __bool__(self) -> bool:
        return bool(self.periods)

    def period_of(self, day: datetime.date, today: datetime.date) -> AccountingPeriod | None:
        """Return the period that a posting date is in. Of several, the first that takes journals: one for adjustments
        shares its days with the last month of its year."""
        holding = [each for each in self.periods if each.holds(day)]
        for is_chosen in (AccountingPeriod.takes_journals, AccountingPeriod.is_open):
            if found := next((each for each in holding if is_chosen(each, today)), None):
                return found
        return holding[0] if holding else None

    def default_date(self, own: datetime.date, today: datetime.date) -> datetime.date:
        """Return a journal's own date while its period takes journals, else a day of the first period that does.

        That day is its last one, or today if that is earlier. Where no period takes any, it is the own date again.
        """
        period = self.period_of(own, today)
        if period and period.takes_journals(today):
            return own
        for each in self.periods:
            if each.takes_journals(today) and own <= each.last_day and each.first_day <= today:
                return min(each.last_day, today)
        return own

    def refusal(self, day: datetime.date, today: datetime.date) -> str:
        """Say why the ledger does not take a journal of this posting date today; "" where it does."""
        period = self.period_of(day, today)
        if period is None:
            return (
                f"The accounting calendar has no period for the posting date {long_date(day)}. "
                "Add its fiscal year to the calendar, or choose another date."
            )
        if period.is_open(today):
            return ""
        closed = period.closes_on and today > period.closes_on
        told = f"closed on {long_date(period.closes_on)}" if closed and period.closes_on else "is not open yet"
        if not closed and period.opens_on:
            told = f"opens on {long_date(period.opens_on)}"
        other = self.default_date(day, today)
        instead = f" Today the ledger takes {long_date(other)}." if other != day else ""
        return f"The posting date {long_date(day)} is in {period}, which {told}.{instead}"

    def reason_needed(self, day: datetime.date, *, own: datetime.date, today: datetime.date) -> str:
        """Say for what a journal of this posting date needs a reason; "" for nothing.

        `own` is the last day of the month that it is for.
        """
        period = self.period_of(day, today)
        if period is None:
            return ""
        of_month = self.period_of(own, today)
        year = of_month.fiscal_year if of_month else Policy.objects.current().fiscal_year_of(own)
        if period.fiscal_year != year:
            return (
                f"The posting date {long_date(day)} is in {label_of(period.fiscal_year)}, and the month is in "
                f"{label_of(year)}."
            )
        if period.is_past_cutoff(today) and period.cutoff_on:
            return f"The cutoff of {period} was on {long_date(period.cutoff_on)}."
        return ""


def current() -> Calendar:
    """Return the calendar as it is now; a page that changes nothing asks for it once."""
    periods = AccountingPeriod.objects.order_by("first_day", "fiscal_year", "number")
    return once_a_page.value("accounting_calendar", lambda: Calendar(tuple(periods)))


def fiscal_place(day: datetime.date, today: datetime.date) -> tuple[int, int]:
    """Return the fiscal year and period that a posting date is in, by the calendar, else by the policy."""
    if period := current().period_of(day, today):
        return period.fiscal_year, period.number
    policy = Policy.objects.current()
    return policy.fiscal_year_of(day), policy.fiscal_period_of(day)
