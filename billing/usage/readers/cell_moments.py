"""Dates and times as people write them into tables, and how long something took: cells into seconds.

A moment without a zone is of the clocks of a zone, and a date may be without a time of day.
"""

import datetime
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel

from ...readers.amounts import decimal_of
from ...readers.cells import check_error, shows_hours
from ...readers.dates import SERVICE_YEARS, TIME
from ...readers.values import BadValue, is_nothing
from ...texts import quoted
from .cell_values import EPOCH, SECOND

DAY = datetime.timedelta(days=1)
MIDNIGHT = datetime.time(0)
HOUR = 3_600


class DateForm(StrEnum):
    """How a text or a number says a date; an ISO date is understood beside any of them."""

    ISO = "year-month-day"
    MONTH_FIRST = "month/day/year"
    DAY_FIRST = "day/month/year"
    # Days since the end of 1899, or since 1904 in workbooks from an old Mac, as cells without a format of dates.
    EXCEL = "excel days"
    EXCEL_1904 = "excel days from 1904"
    UNIX = "seconds since 1970"


class Moment(NamedTuple):
    """A moment of the clocks of some zone, and whether it is a date alone."""

    clock: datetime.datetime
    is_date: bool


_ISO_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
_SLASHED = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})(?:(?:,? +|T)(\S.*))?", re.ASCII)
_TIME_OF_DAY = re.compile(r"(\d{1,2})(?::(\d{2})(?::(\d{2})(?:[.,]\d+)?)?)?(?: ?([AaPp])\.?[Mm]\.?)?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,5}):(\d{2})(?::(\d{2}))?", re.ASCII)
_EPOCHS = {DateForm.EXCEL: CALENDAR_WINDOWS_1900, DateForm.EXCEL_1904: CALENDAR_MAC_1904}
_EXAMPLES = {
    DateForm.ISO: "2026-01-31",
    DateForm.MONTH_FIRST: "1/31/2026",
    DateForm.DAY_FIRST: "31/1/2026",
    DateForm.EXCEL: "46053",
    DateForm.EXCEL_1904: "44591",
    DateForm.UNIX: "1769817600",
}


@dataclass(frozen=True)
class Dates:
    """How a table says its moments: the form of dates, or a pattern of Python's strptime, and the zone of clocks."""

    form: str
    zone: ZoneInfo

    def moment(self, value: Any, cell: Any, time: Any = None) -> Moment | None:
        """Return the moment of a cell, with its time of day from another cell if any, None where the cell is empty.

        Raises BadValue for what is no date, or has two readings.
        """
        found = self._moment(value, cell)
        if found is None or time is None or time == "":
            return found
        if not found.is_date:
            raise BadValue("The date has a time of day already. Name one column for it, not two.")
        return Moment(datetime.datetime.combine(found.clock.date(), _time_of(time)), False)

    def seconds(self, clock: datetime.datetime) -> int:
        """Return a moment in seconds since 1970; one without a zone is of the clocks of the table's."""
        moment = clock if clock.tzinfo else clock.replace(tzinfo=self.zone)
        if moment.year not in SERVICE_YEARS:
            raise BadValue(f"The year {moment.year} is out of range.")
        return (moment - EPOCH) // SECOND

    def _moment(self, value: Any, cell: Any) -> Moment | None:
        if value is None:
            return None
        if isinstance(value, datetime.datetime):
            return Moment(value, value.time() == MIDNIGHT and not shows_hours(cell))
        if isinstance(value, datetime.date):
            return Moment(datetime.datetime.combine(value, MIDNIGHT), True)
        if isinstance(value, str):
            check_error(value)
            return None if is_nothing(value) else self._of_text(" ".join(value.split()))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._of_number(Decimal(repr(value)), repr(value))
        raise BadValue(f"{quoted(str(value))} is no date.")

    def _of_text(self, text: str) -> Moment:
        if "%" in self.form:
            return self._by_pattern(text)
        if self.form in (*_EPOCHS, DateForm.UNIX) and (number := _number_of(text)) is not None:
            return self._of_number(number, text)
        if _ISO_MONTH.fullmatch(text):
            text += "-01"
        if TIME.fullmatch(text):
            return _iso(text)
        slashed = _SLASHED.fullmatch(text)
        if slashed is None or self.form not in (DateForm.MONTH_FIRST, DateForm.DAY_FIRST):
            raise self._no_date(text)
        first, second, year, time = slashed.groups()
        month, day = (first, second) if self.form == DateForm.MONTH_FIRST else (second, first)
        try:
            date = datetime.date(int(year) + (2000 if len(year) == 2 else 0), int(month), int(day))
        except ValueError:
            raise self._no_date(text) from None
        return Moment(datetime.datetime.combine(date, _time_of(time) if time else MIDNIGHT), not time)

    def _by_pattern(self, text: str) -> Moment:
        try:
            clock = datetime.datetime.strptime(text, self.form)  # noqa: DTZ007 (the pattern may have a zone)
        except (ValueError, OverflowError):
            if TIME.fullmatch(text):
                return _iso(text)
            raise self._no_date(text) from None
        return Moment(clock, not re.search(r"%[HIMScXsf]", self.form))

    def _of_number(self, number: Decimal, text: str) -> Moment:
        try:
            if self.form == DateForm.UNIX:
                return Moment(EPOCH + int(number) * SECOND, False)
            if self.form in _EPOCHS:
                found = from_excel(float(number), epoch=_EPOCHS[DateForm(self.form)])
                if isinstance(found, datetime.datetime):
                    return Moment(found, found.time() == MIDNIGHT)
        except (OverflowError, ValueError):
            pass
        raise self._no_date(text)

    def _no_date(self, text: str) -> BadValue:
        example = _EXAMPLES.get(DateForm(self.form), "") if "%" not in self.form else self.form
        return BadValue(f"{quoted(text)} is no date as the settings say that dates are written, such as {example}.")


def _number_of(text: str) -> Decimal | None:
    try:
        return decimal_of(text)
    except BadValue:
        return None


def _iso(text: str) -> Moment:
    bare = text.replace(" UTC", "Z").replace("UTC", "Z").replace(" Z", "Z").replace(" +", "+").replace(" -", "-")
    try:
        return Moment(datetime.datetime.fromisoformat(bare), len(text) == len("2026-01-31"))
    except ValueError as error:
        raise BadValue(f"{quoted(text)} is no date: {error}.") from None


def _time_of(value: Any) -> datetime.time:
    """Return the time of day of a cell."""
    if isinstance(value, datetime.time):
        return value.replace(microsecond=0)
    if isinstance(value, datetime.datetime):
        return value.time().replace(microsecond=0)
    found = _TIME_OF_DAY.fullmatch(" ".join(value.split())) if isinstance(value, str) else None
    if found:
        hour, minute, second, half = found.groups()
        number = int(hour)
        if half and 1 <= number <= 12:
            number = number % 12 + (12 if half in "pP" else 0)
        if (minute or half) and number < 24 and int(minute or 0) < 60 and int(second or 0) < 60:
            return datetime.time(number, int(minute or 0), int(second or 0))
    raise BadValue(f"{quoted(str(value))} is no time of day. Write 14:30, or 2:30 PM.")


def length_of(value: Any) -> int | None:
    """Return how many seconds a cell says in hours, minutes and seconds (1:30 is an hour and a half); None for none."""
    if value is None:
        return None
    if isinstance(value, datetime.timedelta):
        return round(value / SECOND)
    if isinstance(value, datetime.time):
        return value.hour * HOUR + value.minute * 60 + value.second
    if isinstance(value, str):
        check_error(value)
        if is_nothing(value):
            return None
        found = _CLOCK.fullmatch(value.strip())
        if found and int(found[2]) < 60 and int(found[3] or 0) < 60:
            return int(found[1]) * HOUR + int(found[2]) * 60 + int(found[3] or 0)
    raise BadValue(f"{quoted(str(value))} is no time. Write hours and minutes, such as 1:30.")
