"""Texts of a delivery into exact values: each distinct text is converted once and remembered."""

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from ..fields import MAX_UNITS, PLACES, WIDE, half_even
from ..texts import cleaned, quoted

# What exports write for "no value" (Oracle, Azure, the official sample), beside an empty field.
NOTHING = frozenset({"", "null", "(null)", "nan", "none", "n/a", "-", "--", "\u2013", "\u2014"})
# In texts only what can hardly be a name.
NO_TEXT = frozenset({"NULL", "null", "(null)"})
MAX_TEXT = 10_000
# Values of one tag that a message names.
SHOWN = 5
MAX_NAME = 200
MAX_TAGS = 1024 * 1024
# Beyond so many decimals an amount goes the long way, which has a limit of its own.
MAX_PLACES = 80
REMEMBERED = 100_000

# The fields of a tag that is a struct which tell that it comes from the project and not from the resource itself.
INHERITED_FIELDS = ("x_inherited", "inherited")
INHERITED = (True, "true")

NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# A sign, letters or a symbol of a currency, a number as people write it; or the currency after it.
_FIGURE = r"\d+([,.'’ \u00a0\u202f]\d+)*"
_CURRENCY = r"([A-Za-z]{1,3}\.?\s*)?[$€£¥₩₹₫฿₪₺]|[A-Za-z]{3}"
WITH_CURRENCY = re.compile(
    rf"[-+(−]?\s*({_CURRENCY})\s*[-+(−]?\s*{_FIGURE}\s*[-−)]?|[-+(−]?\s*{_FIGURE}\s*({_CURRENCY})\s*[-−)]?", re.ASCII
)
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


class BadValue(ValueError):
    """A text that is not of its column's type, with a message for the person who sent the file."""


class Memo(dict[Any, Any]):
    """A conversion that remembers: `memo[text]` converts a text the first time it comes.

    Values repeat thousands of times in a delivery, and a dict lookup is all that a known one costs.
    It forgets everything when it is full, so that a column of ever new values takes no memory.
    """

    def __init__(self, convert: Callable[[Any], Any], size: int = REMEMBERED) -> None:
        super().__init__()
        self.convert = convert
        self.size = size

    def __missing__(self, key: Any) -> Any:
        value = self.convert(key)
        if len(self) >= self.size:
            self.clear()
        self[key] = value
        return value

    def column(self, values: Sequence[Any]) -> list[Any]:
        """Convert a column; raises BadValue at the first text that cannot be."""
        # Most columns of a delivery hold one value all along; comparing is quicker than hashing.
        if values and values.count(values[0]) == len(values):
            return [self[values[0]]] * len(values)
        return list(map(self.__getitem__, values))


def is_nothing(text: str) -> bool:
    return text.strip().casefold() in NOTHING


def decimal_of(text: str) -> Decimal | None:
    """Return the exact number a FOCUS numeric field holds, or None for no value.

    Integers, decimals and `mEn` (FOCUS, Numeric Format); raises BadValue for anything else.
    """
    bare = text.strip()
    if not NUMBER.fullmatch(bare):
        if is_nothing(bare):
            return None
        if WITH_CURRENCY.fullmatch(bare):
            raise BadValue(
                f"{quoted(text)} has a currency in it. Write the plain number, such as 1234.56, and the currency in "
                "BillingCurrency."
            )
        if re.fullmatch(r"[-+(−]?\s*\d+([,.'’ \u00a0\u202f]\d+)*\s*[-−)]?", bare, re.ASCII):
            raise BadValue(f"{quoted(text)} is formatted for people. Write the plain number, such as 1234.56.")
        raise BadValue(f"{quoted(text)} is not a number.")
    try:
        number = Decimal(bare)
    except InvalidOperation:
        raise BadValue(f"{quoted(text)} is not a number.") from None
    if len(bare) > 90 or (number and abs(number.adjusted()) > 40):
        raise BadValue(f"{quoted(text)} is out of range.")
    return number


def plain_decimal(text: str) -> str:
    """Return a number in its one plain form (no exponent, no trailing zeros), "" for no value."""
    number = decimal_of(text)
    if number is None:
        return ""
    plain = format(number, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("", "-0") else plain


def units_of(text: str) -> int | None:
    """Return an amount in units of 10⁻⁸ (half-even beyond), None for no value; see fields.AmountField."""
    number = decimal_of(text)
    if number is None:
        return None
    units = int(half_even(number).scaleb(PLACES, context=WIDE))
    if abs(units) > MAX_UNITS:
        raise BadValue(f"{text.strip()} is beyond the ±92 billion an amount can hold.")
    return units


@dataclass(frozen=True)
class Amounts:
    """A column of amounts: in units of 10⁻⁸, in the text they are compared by, and their exact sum."""

    units: list[int | None]
    canonical: list[str]
    exact: Decimal


def amounts_of(texts: Sequence[str]) -> Amounts:
    """Convert a column of amounts exactly; raises BadValue at the first that is none.

    Amounts hardly repeat and have more than 8 decimals as often as not, so this is whole-number
    arithmetic: half a microsecond each, where Decimal and a memo take five.
    """
    # One `6.123E-7` among them must not send the others the long way.
    joined = "".join(texts)
    # A sign behind the point, which is no number, would read as one once the point is left out.
    is_plain = _is_plain(joined) and ".-" not in joined
    if is_plain and texts and joined.count(".") == len(texts) and (alike := _amounts_alike(texts)):
        return alike
    units: list[int | None] = []
    canonical: list[str] = []
    sums: dict[int, int] = {}
    slow = Decimal(0)
    for text in texts:
        whole, _, decimals = text.partition(".")
        places = len(decimals)
        if places > PLACES:
            decimals = decimals.rstrip("0")
            places = len(decimals)
        try:
            if (
                len(whole) > 10
                or places > MAX_PLACES
                or not (is_plain or text.isascii() and text.strip("-").replace(".", "", 1).isdigit())
            ):
                raise ValueError
            exact = int(whole + decimals)
        except ValueError:
            value = units_of(text)
            units.append(value)
            number = decimal_of(text)
            if number is None:
                canonical.append("")
            else:
                slow = WIDE.add(slow, number)
                canonical.append(_canonical(number))
            continue
        sums[places] = sums.get(places, 0) + exact
        if places <= PLACES:
            value = exact * _TENS[PLACES - places]
            canonical.append(str(value))
        else:
            value = _rounded(exact, _TENS[places - PLACES])
            canonical.append(f"{exact}e-{places}")
        units.append(value)
    return Amounts(units, canonical, WIDE.add(slow, _total(sums)))


def _is_plain(numbers: str) -> bool:
    """Tell whether there is nothing but digits, points and signs, which is quicker than asking for one of these."""
    return numbers.isascii() and numbers.replace(".", "").replace("-", "").isdigit()


def _rounded(exact: int, divisor: int) -> int:
    """Divide by a power of ten, half-even."""
    value, rest = divmod(exact, divisor)
    half = 2 * rest - divisor
    return value + 1 if half > 0 or (half == 0 and value & 1) else value


def _amounts_alike(texts: Sequence[str]) -> Amounts | None:
    """Convert amounts of digits, signs and a point each that all have as many decimals, as most exports write them.

    None where they have not: then each is looked at by itself.
    """
    places = len(texts[0]) - texts[0].find(".") - 1
    point = -places - 1
    longest = max(map(len, texts))
    # Ten digits before the point, or a sign among them, at the most: what is longer is seldom and may be too much.
    if (
        not 0 < places < min(len(texts[0]), MAX_PLACES)
        or longest > 10 - point
        or {text[point:-places] for text in texts} != {"."}
    ):
        return None
    try:
        numbers = list(map(int, "\n".join(texts).replace(".", "").split("\n")))
    except ValueError:
        return None
    total = Decimal(sum(numbers)).scaleb(-places, context=WIDE)
    if places <= PLACES:
        factor = _TENS[PLACES - places]
        exact = [number * factor for number in numbers]
        return Amounts([*exact], list(map(str, exact)), total)
    canonical = [f"{number}e-{places}" for number in numbers]
    for row, number in enumerate(numbers):
        if not number % 10:
            # Zeros at the end are none of the digits it is compared by.
            canonical[row] = _shortened(number, places)
    divisor = _TENS[places - PLACES]
    return Amounts([_rounded(number, divisor) for number in numbers], canonical, total)


def _shortened(number: int, places: int) -> str:
    while places > PLACES and not number % 10:
        number, places = number // 10, places - 1
    return f"{number}e-{places}" if places > PLACES else str(number)


def kept_amounts(column: Amounts, chosen: Sequence[bool]) -> Amounts:
    """Return the amounts of a column that were chosen, with their own exact sum."""
    canonical = [text for text, keep in zip(column.canonical, chosen, strict=True) if keep]
    sums: dict[int, int] = {}
    for text in filter(None, canonical):
        digits, _, below = text.partition("e-")
        places = int(below or PLACES)
        sums[places] = sums.get(places, 0) + int(digits)
    return Amounts([each for each, keep in zip(column.units, chosen, strict=True) if keep], canonical, _total(sums))


def _total(sums: Mapping[int, int]) -> Decimal:
    """Add up whole numbers of 10^-places, by places."""
    total = Decimal(0)
    for places, number in sums.items():
        total = WIDE.add(total, Decimal(number).scaleb(-places, context=WIDE))
    return total


_TENS = [10**power for power in range(120)]


def _canonical(number: Decimal) -> str:
    """Write an amount as amounts_of compares it: in units where it is exact in them, else every digit."""
    sign, digits, exponent = number.normalize(context=WIDE).as_tuple()
    if not isinstance(exponent, int):
        raise BadValue("The amount is not a number.")
    exact = int("".join(map(str, digits))) * (-1 if sign else 1)
    if exponent >= -PLACES:
        return str(exact * 10 ** (exponent + PLACES))
    return f"{exact}e-{-exponent}"


def plain_decimals_of(texts: Sequence[str]) -> list[str]:
    """Convert a column of numbers to their one plain form, as plain_decimal does."""
    if not _is_plain("".join(texts)):
        return list(map(plain_decimal, texts))
    plain = []
    for text in texts:
        whole, point, decimals = text.partition(".")
        # Only what is written as plainly as can be; the rest goes the long way.
        if point and decimals.isdecimal() and (whole == "0" or (whole.isdecimal() and whole[0] != "0")):
            decimals = decimals.rstrip("0")
            plain.append(f"{whole}.{decimals}" if decimals else whole)
        else:
            plain.append(plain_decimal(text))
    return plain


def text_of(text: str, clean: Callable[[str], str] = cleaned) -> str:
    """Return a text cleaned, as a name or otherwise, "" for a null token; NUL cannot be stored and is refused."""
    # As `clean` itself begins: one call less for nearly every text.
    if text.isascii() and text.isprintable():
        bare = text.strip()
    elif "\0" in text:
        raise BadValue("The text has a NUL byte in it.")
    else:
        bare = clean(text)
    if len(bare) > MAX_TEXT:
        raise BadValue(f"The text has {len(bare):,} characters; {MAX_TEXT:,} is the limit.")
    return "" if bare in NO_TEXT else bare


def name_of(text: str) -> str:
    """Return a text that charges are grouped by, of at most 200 characters."""
    bare = text_of(text)
    if len(bare) > MAX_NAME:
        raise BadValue(f"The name has {len(bare):,} characters; {MAX_NAME} is the limit.")
    return bare


CHARGE_CATEGORIES = frozenset({"Usage", "Purchase", "Tax", "Credit", "Adjustment"})
# The values of FOCUS enumerations that exports write in another case or with other hyphens:
# charge category, class and frequency, pricing category, commitment discount status.
ENUMERATED = (
    "Usage",
    "Purchase",
    "Tax",
    "Credit",
    "Adjustment",
    "Correction",
    "One-Time",
    "Recurring",
    "Usage-Based",
    "Standard",
    "Dynamic",
    "Committed",
    "Other",
    "Used",
    "Unused",
)
_FOLDED = str.maketrans("", "", "-_ ")
_BY_FOLDED_VALUE = {value.casefold().translate(_FOLDED): value for value in ENUMERATED}


def category_of(text: str) -> str:
    """Return a value of a FOCUS enumeration as the specification writes it.

    Google sends the ChargeCategory `usage`, Oracle the ChargeFrequency `Usage-based`. A value that FOCUS does not
    know stays as it is, with a capital.
    """
    bare = text_of(text)
    known = _BY_FOLDED_VALUE.get(bare.casefold().translate(_FOLDED))
    if known:
        return known
    return bare[:1].upper() + bare[1:] if bare.islower() else bare


def currency_of(text: str) -> str:
    """Return an ISO 4217 code in capitals, "" for none."""
    bare = text_of(text).upper()
    if bare and not re.fullmatch(r"[A-Z]{3}", bare):
        raise BadValue(f"{quoted(text)} is not a currency. Write its three letters, such as USD.")
    return bare


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
    """How values of a delivery were understood where they are not as FOCUS writes them; see RULES for the words."""

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


class Tags:
    """The tags of a row: `pairs` as delivered, `canonical` for comparing, `problem` if they are unreadable."""

    __slots__ = ("canonical", "pairs", "problem")

    def __init__(self, pairs: dict[str, str], canonical: str, problem: str = "") -> None:
        self.pairs = pairs
        self.canonical = canonical
        self.problem = problem


def tags_of(text: str) -> Tags:
    """Read a Tags field: one flat JSON object (FOCUS, Key-Value Format) or no value.

    Never raises for what a provider may send: unreadable tags are flagged, not dropped.
    """
    bare = text.strip()
    if is_nothing(bare) or bare == "{}":
        return Tags({}, "")
    if "\0" in bare:
        raise BadValue("The tags have a NUL byte in them.")
    if len(bare) > MAX_TAGS:
        raise BadValue(f"The tags have {len(bare):,} characters; {MAX_TAGS:,} is the limit.")
    try:
        found = json.loads(bare, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_merged)
        if isinstance(found, list):
            # As BigQuery writes its list of keys and values: [{"key": "pi", "value": "ada"}].
            found = _merged(own_first([_key_and_value(each) for each in found]))
        if not isinstance(found, dict):
            raise ValueError
        pairs: dict[str, str] = {}
        nested, unstorable = [], []
        for key, value in found.items():
            if isinstance(value, bool):
                # A map of texts, as parquet has it, knows no other true.
                value = found[key] = str(value).lower()
            if isinstance(value, str):
                # Escaped, JSON can write what PostgreSQL cannot store.
                if "\0" in key or "\0" in value:
                    unstorable.append(key.replace("\0", "\ufffd"))
                else:
                    pairs[key] = value
            elif value is not None:
                nested.append(key)
        canonical = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if found else ""
        # A lone half of a surrogate pair, which JSON can write, cannot be stored.
        canonical.encode()
    except (ValueError, RecursionError):
        return Tags({}, bare, "The tags are not a JSON object.")
    problem = ""
    if nested:
        key, values = nested[0], found[nested[0]]
        named = quoted(key.replace("\0", "\ufffd"))
        problem = f"The tag {named} holds more than one value."
        if isinstance(values, list) and all(isinstance(value, str) for value in values):
            # In one order, whatever that of the file.
            told = " and ".join(map(quoted, sorted(values)[:SHOWN]))
            problem = f"The tag {named} holds more than one value: {told}."
    elif unstorable:
        problem = f"The tag {quoted(unstorable[0])} has a NUL byte in it."
    return Tags(pairs, canonical, problem)


def _merged(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of pairs; a key with several different values keeps them all, as a list."""
    found = dict(pairs)
    if len(found) < len(pairs):
        several: dict[str, list[Any]] = {}
        for key, value in pairs:
            values = several.setdefault(key, [])
            if value not in values:
                values.append(value)
        found = {key: values[0] if len(values) == 1 else values for key, values in several.items()}
    return found


def own_first(tags: Sequence[tuple[str, Any, bool]]) -> list[tuple[str, Any]]:
    """Leave out what a resource inherits where it has a tag of its own under the same key, as Google marks it."""
    own = {key for key, _, is_inherited in tags if not is_inherited}
    return [(key, value) for key, value, is_inherited in tags if not (is_inherited and key in own)]


def _key_and_value(item: Any) -> tuple[str, Any, bool]:
    if not isinstance(item, dict):
        raise ValueError
    folded = {str(name).casefold(): value for name, value in item.items()}
    if not isinstance(folded.get("key"), str) or "value" not in folded:
        raise ValueError
    return folded["key"], folded["value"], any(folded.get(name) in INHERITED for name in INHERITED_FIELDS)
