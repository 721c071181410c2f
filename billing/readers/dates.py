"""Dates and times of billing periods and charge periods, also where they are not as FOCUS writes them."""

import datetime
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from zoneinfo import ZoneInfo

from ..texts import quoted
from .values import BadValue, is_nothing

DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?( ?(Z|UTC|[+-]\d{2}(:?\d{2})?))?)?", re.ASCII)
SLASHED = re.compile(r"\d{1,4}[/.]\d{1,2}[/.]\d{1,4}.*", re.ASCII)

DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
SECOND = datetime.timedelta(seconds=1)
EASTERNMOST = datetime.timedelta(hours=14)
# A month beyond is a slip of the pen or a default date, and would be a billing period for good.
BILLED_YEARS = range(2000, 2100)
# A commitment may be paid for years ahead; the years 1, 1970 and 9999 are what programs write for no date.
SERVICE_YEARS = range(2000, 2101)


def time_of(text: str) -> datetime.datetime | None:
    """Return a FOCUS date-time in UTC, None for no value.

    A date alone is midnight; a time without zone is UTC. Raises BadValue for what has two readings.
    """
    bare = text.strip()
    if not TIME.fullmatch(bare):
        if is_nothing(bare):
            return None
        if SLASHED.fullmatch(bare):
            raise BadValue(
                f"{quoted(text)} can be read as more than one date. Write year-month-day, such as 2025-01-31."
            )
        raise BadValue(f"{quoted(text)} is not a date. Write 2025-01-31 or 2025-01-31T00:00:00Z.")
    bare = bare.replace(" UTC", "Z").replace("UTC", "Z").replace(" Z", "Z").replace(" +", "+").replace(" -", "-")
    try:
        moment = datetime.datetime.fromisoformat(bare)
    except ValueError as error:
        raise BadValue(f"{quoted(text)} is not a date: {error}.") from error
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError:
        raise BadValue(f"{quoted(text)} is out of range.") from None


def service_time_of(text: str) -> datetime.datetime | None:
    """Return a time of service, None for no value; raise BadValue for years that no service is of."""
    moment = time_of(text)
    if moment is not None and moment.year not in SERVICE_YEARS:
        raise BadValue(
            f"“{text[:60]}” is out of range: service is of the years {SERVICE_YEARS[0]} to {SERVICE_YEARS[-1]}. "
            "Write the dates of service."
        )
    return moment


def is_date_only(text: str) -> bool:
    return bool(DATE.fullmatch(text.strip()))


class Rule(StrEnum):
    """How values of an import were understood where they are not as FOCUS writes them; see RULES for the words."""

    LAST_SECOND = "last_second"
    LAST_DAY = "last_day"
    PACIFIC = "pacific"
    EAST = "east"
    PERIOD_LAST_SECOND = "period_last_second"
    PERIOD_LAST_DAY = "period_last_day"
    NOT_A_MONTH = "not_a_month"
    CLOUD_PROJECT = "cloud_project"


RULES = {
    Rule.LAST_SECOND: "Charge periods end with the last second they name.",
    Rule.LAST_DAY: "End dates of charge periods read as inclusive.",
    Rule.PACIFIC: "Billing months begin at midnight Pacific time, and days of service are Pacific days.",
    Rule.EAST: "Billing months begin at midnight in a time zone east of UTC, which is the day before in UTC.",
    Rule.PERIOD_LAST_SECOND: "Billing periods end with the last second of the month.",
    Rule.PERIOD_LAST_DAY: "End dates of billing periods read as inclusive.",
    Rule.NOT_A_MONTH: "Billing periods are not calendar months; the day they begin on decides.",
    Rule.CLOUD_PROJECT: "The cloud project (x_Project) read as the sub account.",
}


# The clocks that a provider bills by, where its months tell.
ZONES = {Rule.PACIFIC: ZoneInfo("America/Los_Angeles")}


def zone_of(starts: Iterable[str]) -> datetime.tzinfo | None:
    """Return the time zone of the billing periods that begin at these times, None where they do not tell."""
    found = {rule for text in starts for rule in period_rules((text, ""))}
    return next((zone for rule, zone in ZONES.items() if rule in found), None)


def end_and_rule(times: tuple[str, str, str]) -> tuple[datetime.datetime | None, Rule | None]:
    """Return the exclusive end of a charge period from its start, its end and the billing period's end.

    FOCUS ends are exclusive, but some exports name the last day or second instead: an end a second or
    less before midnight (Oracle) or before the hour, where the period began on one; or a bare date
    where the billing period's end is a bare date on the last day of a month (the lenient form), or
    one that is not after its start. Which it was, is told; None where the times are as FOCUS writes them.
    """
    start_text, end_text, billing_end_text = times
    end = service_time_of(end_text)
    if end is None:
        return None, None
    if (end + SECOND).date() != end.date():
        return (end + DAY).replace(hour=0, minute=0, second=0, microsecond=0), Rule.LAST_SECOND
    start = None
    if end.minute == end.second == 59:
        start = time_of(start_text)
        # Google's usage may really end at any second; a period that began on the hour ends on one.
        if start is not None and start.minute == start.second == start.microsecond == 0:
            return end.replace(minute=0, second=0, microsecond=0) + HOUR, Rule.LAST_SECOND
    if not is_date_only(end_text):
        return end, None
    start = time_of(start_text)
    if start is not None and end <= start:
        return end + DAY, Rule.LAST_DAY
    if is_date_only(billing_end_text):
        billing_end = time_of(billing_end_text)
        is_far = billing_end is None or billing_end.year == datetime.MAXYEAR
        if billing_end is not None and not is_far and billing_end.day != 1 and (billing_end + DAY).day == 1:
            return end + DAY, Rule.LAST_DAY
    return end, None


def end_of(times: tuple[str, str, str]) -> datetime.datetime | None:
    """Return the exclusive end of a charge period, None for no value; see `end_and_rule`."""
    return end_and_rule(times)[0]


def month_of(text: str) -> datetime.date | None:
    """Return the month a billing period starts in, None for no value.

    It is the UTC month, except that a month may begin at midnight of another time zone: at 07:00Z or
    08:00Z for Google, which is the same day, but on the day before in UTC for a zone east of it.
    """
    moment = time_of(text)
    if moment is None:
        return None
    month = _local_start(moment).date().replace(day=1)
    if month.year not in BILLED_YEARS:
        raise BadValue(f"{quoted(text)} is out of range: no cloud bills for {month.year}.")
    return month


def _local_start(moment: datetime.datetime) -> datetime.datetime:
    """Return the start of a month as the clocks of its zone showed it, for zones up to 14 hours east."""
    try:
        eastern = moment + EASTERNMOST
    except OverflowError:
        return moment
    return eastern.replace(hour=0, minute=0) if eastern.day == 1 and moment.day != 1 else moment


def period_rules(times: tuple[str, str]) -> tuple[Rule, ...]:
    """Return the rules by which a billing period that starts and ends with these texts is taken.

    The end of a billing period decides nothing; it is told where it shows that the provider's ends are
    inclusive. A text that is no time is no rule's: whoever reads it refuses it.
    """
    try:
        begins, ends = time_of(times[0]), time_of(times[1])
    except BadValue:
        return ()
    if begins is None:
        return ()
    rules: list[Rule] = []
    local = _local_start(begins)
    if local.day != 1:
        rules.append(Rule.NOT_A_MONTH)
    elif local is not begins:
        rules.append(Rule.EAST)
    elif _is_pacific(begins):
        rules.append(Rule.PACIFIC)
    if ends is not None and local.day == 1 and ends > begins and ends.year < datetime.MAXYEAR:
        if (ends + SECOND).date() != ends.date():
            rules.append(Rule.PERIOD_LAST_SECOND)
        elif ends.day != 1 and (ends + DAY).day == 1 and ends.hour in (0, 7, 8):
            rules.append(Rule.PERIOD_LAST_DAY)
    return tuple(rules)


def _is_pacific(begins: datetime.datetime) -> bool:
    """Tell whether a month begins at midnight Pacific time; 07:00Z is Denver's in winter, 08:00Z Alaska's in summer."""
    if begins.hour not in (7, 8) or begins.year not in BILLED_YEARS:
        return False
    local = begins.astimezone(ZONES[Rule.PACIFIC])
    return local.day == 1 and local.time() == datetime.time(0)


def rule_lines(counts: Mapping[str, int]) -> list[str]:
    """Say which rules were used for how many rows, most rows first; `counts` has them by code."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return [f"{RULES[Rule(code)]} ({number:,} {'row' if number == 1 else 'rows'})" for code, number in ordered]
