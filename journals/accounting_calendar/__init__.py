"""The ledger's calendar: which posting dates are taken, and how it is made and changed."""

from .dates import Calendar, current, fiscal_place
from .keeping import (
    COLUMNS,
    CalendarRefused,
    FiscalYearRefused,
    LoadedCalendar,
    add_fiscal_year,
    crossed_by,
    load_calendar,
    period_named,
    set_dates,
)

__all__ = [
    "COLUMNS",
    "Calendar",
    "CalendarRefused",
    "FiscalYearRefused",
    "LoadedCalendar",
    "add_fiscal_year",
    "crossed_by",
    "current",
    "fiscal_place",
    "load_calendar",
    "period_named",
    "set_dates",
]
