"""Fiscal years: which one a month is in, and which months one has.

A fiscal year is named for the calendar year in which it ends, as US universities do: where it starts in July, July
2025 is in FY2026. `start` is the month, 1 to 12, in which fiscal years start. Fiscal years that start in January are
calendar years.
"""

import datetime


def fiscal_year_of(month: datetime.date, *, start: int) -> int:
    """Return the fiscal year that a month, given by any day of it, is in."""
    return month.year + (1 if 1 < start <= month.month else 0)


def months_of(fiscal_year: int, *, start: int) -> tuple[datetime.date, datetime.date]:
    """Return the first and the last month of a fiscal year, each by its first day."""
    if start == 1:
        return datetime.date(fiscal_year, 1, 1), datetime.date(fiscal_year, 12, 1)
    return datetime.date(fiscal_year - 1, start, 1), datetime.date(fiscal_year, start - 1, 1)


def period_of(month: datetime.date, *, start: int) -> int:
    """Return which month of its fiscal year a month is, given by any day of it: 1 to 12."""
    return (month.month - start) % 12 + 1


def label_of(fiscal_year: int) -> str:
    """Return a fiscal year as people write it: `FY2026`."""
    return f"FY{fiscal_year}"
