"""Parts of a rate as people write and read them: tiers, what is counted, what is priced, and prices of classes.

Each part has a text that says the same: `tiers_of(tiers_text(tiers)) == tiers`. A text has a line for each thing it
lists; semicolons may stand for the ends of lines, as in a cell of a spreadsheet.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from ...quantities import unit_of
from ..pricing.terms import ClassKind, Combine, Count, Rate, Scope, Span, Threshold, Tier, Tiering

Chosen = TypeVar("Chosen", bound=StrEnum)
Found = TypeVar("Found")

SCOPES = {
    Scope.PI: "PI",
    Scope.PROJECT: "project",
    Scope.DEPARTMENT: "department",
    Scope.ACCOUNT: "account",
    Scope.USER: "user",
    Scope.FEED: "all of the feed",
}
SPANS = {
    Span.DAY: "day",
    Span.MONTH: "month",
    Span.QUARTER: "quarter of the fiscal year",
    Span.FISCAL_YEAR: "fiscal year",
}
TIERINGS = {
    Tiering.GRADUATED: "graduated: each part at the price of its tier",
    Tiering.VOLUME: "volume: all at the price of the tier reached",
}
THRESHOLDS = {Threshold.QUANTITY: "units used", Threshold.AMOUNT: "money charged at list price"}
COMBINES = {Combine.SUM: "added up", Combine.MAX: "the largest of them"}
CLASS_KINDS = {
    ClassKind.INTERNAL: "internal",
    ClassKind.AFFILIATE: "affiliate",
    ClassKind.EXTERNAL: "external",
}

# A quoted text, of which a quotation mark is doubled.
_QUOTED = r'"(?:[^"]|"")*"'
_NUMBER = r"[0-9]+(?:,[0-9]+)*(?:\.[0-9]+)?(?:[eE]-?[0-9]{1,2})?"
_WORD = rf'(?:{_QUOTED}|[^\s,;:"]+)'
# What the schedule itself allows: 15 digits, of them up to 12 decimals more.
_PLAIN = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_ENDS = re.compile(rf"({_QUOTED})|[;\n\r]+")
_UP_TO = re.compile(rf"(?:up )?to\s+({_NUMBER})\s*:\s*({_NUMBER})", re.IGNORECASE)
_ABOVE = re.compile(rf"above(?:\s+({_NUMBER}))?\s*:\s*({_NUMBER})", re.IGNORECASE)
_OF_CLASS = re.compile(rf"({_WORD})\s*([,:])\s*(.*)", re.DOTALL)
_COUNT = re.compile(
    rf"(?:({_NUMBER})\s+for every\s+)?(?:({_NUMBER})\s+)?({_WORD})\s+of\s+({_WORD})"
    rf"(?:\s*,\s*at least\s+({_NUMBER}))?(?:\s*,\s*in steps of\s+({_NUMBER}))?(?:\s*,?\s+where\s+(.+))?",
    re.IGNORECASE | re.DOTALL,
)
_WHERE = re.compile(rf"({_WORD})\s*:\s*(.+)", re.DOTALL)
# What a pattern without quotation marks would end at.
_HIDES_AN_END = re.compile(r'[,;"\n\r]|(?:^|\s)and(?:\s|$)', re.IGNORECASE)
_AND = re.compile(rf"({_QUOTED})|\s+and\s+", re.IGNORECASE)
_PATTERN = re.compile(rf'\s*({_QUOTED}|[^,"]+?)\s*(?:,|$)')

TIERS_SAY = (
    "Write a tier as “up to 50000: 0.014”, and the last one as “above: 0.005”. A single price is a number alone."
)
COUNTS_SAY = (
    "Write “core-hour of cpu_seconds”, or “10 for every 2 GPU-hour of gpu_seconds, at least 1, in steps of 1, where "
    "gpu_type: a100”."
)
WHERE_SAYS = "Write “partition: gpu*, a100”: what is looked at, a colon, and patterns with commas between."
PRICES_SAY = "Write “external: 0.05”, or “external, up to 5000: 0.05” and “external, above: 0.04”."


class NotUnderstood(ValueError):
    """A text says no part of a rate. `problems` are sentences that say where, and how to write it."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(self.problems))


def number_text(value: Decimal, *, grouped: bool = False) -> str:
    """Return a number as people type it, without zeros that say nothing; with thousands separators where `grouped`."""
    text = format(value, ",f" if grouped else "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def number_of(text: str) -> Decimal:
    """Return the number a text says, with or without thousands separators. Raises NotUnderstood."""
    bare = text.strip()
    if _THOUSANDS.fullmatch(bare):
        bare = bare.replace(",", "")
    # Spreadsheets write small numbers as 1e-07.
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?[eE]-?[0-9]{1,2}", bare):
        bare = number_text(Decimal(bare))
    if not _PLAIN.fullmatch(bare):
        raise NotUnderstood([f"“{text.strip()[:60]}” is not a number such as 0.014 or 50,000."])
    return Decimal(bare)


def choice_of(text: str, labels: Mapping[Chosen, str]) -> Chosen:
    """Return which of several a text names, by its code or by its label or the first word of that."""
    bare = text.strip().casefold()
    for code, label in labels.items():
        if bare in (str(code), label.casefold(), label.partition(":")[0].casefold()):
            return code
    allowed = ", ".join(label.partition(":")[0] for label in labels.values())
    raise NotUnderstood([f"“{text.strip()[:60]}” is not one of: {allowed}."])


# Tiers -----------------------------------------------------------------------------------------------


def tiers_text(tiers: Iterable[Tier]) -> str:
    """Return tiers a line each; a single price is a number alone."""
    known = tuple(tiers)
    if len(known) == 1 and known[0].up_to is None:
        return number_text(known[0].price)
    return "\n".join(map(_tier_text, known))


def tiers_of(text: str) -> tuple[Tier, ...]:
    """Return the tiers that a text lists. Raises NotUnderstood."""
    tiers: list[Tier] = []

    def read(line: str) -> None:
        tiers.append(_tier_of(line, tiers))

    _each_line(text, read)
    return tuple(tiers)


def _tier_text(tier: Tier) -> str:
    price = number_text(tier.price)
    return f"above: {price}" if tier.up_to is None else f"up to {number_text(tier.up_to, grouped=True)}: {price}"


def _tier_of(text: str, before: list[Tier]) -> Tier:
    if found := _UP_TO.fullmatch(text):
        return Tier(number_of(found[2]), number_of(found[1]))
    if found := _ABOVE.fullmatch(text):
        limit = before[-1].up_to if before else None
        if found[1] and limit is not None and number_of(found[1]) != limit:
            raise NotUnderstood([f"“{text}”: the tier before it ends at {number_text(limit, grouped=True)}."])
        return Tier(number_of(found[2]))
    if re.fullmatch(_NUMBER, text):
        return Tier(number_of(text))
    raise NotUnderstood([f"“{text[:60]}” is no tier. {TIERS_SAY}"])


def prices_text(prices: Mapping[str, Iterable[Tier]]) -> str:
    """Return the prices of rate classes, a tier on each line."""
    lines = []
    for name, tiers in prices.items():
        said = tiers_text(tiers).splitlines()
        lines += [f"{_quoted(name)}{': ' if re.fullmatch(_NUMBER, each) else ', '}{each}" for each in said]
    return "\n".join(lines)


def prices_of(text: str) -> dict[str, tuple[Tier, ...]]:
    """Return the prices of rate classes that a text lists. Raises NotUnderstood."""
    prices: dict[str, list[Tier]] = {}

    def read(line: str) -> None:
        found = _OF_CLASS.fullmatch(line)
        if not found:
            raise NotUnderstood([f"“{line[:60]}” is no price of a class. {PRICES_SAY}"])
        of_class = prices.setdefault(_unquoted(found[1]), [])
        of_class.append(_tier_of(found[3].strip(), of_class))

    _each_line(text, read)
    return {name: tuple(tiers) for name, tiers in prices.items()}


# What is counted, and where ---------------------------------------------------------------------------


def counts_text(counts: Iterable[Count]) -> str:
    """Return what a quantity counts, a measure on each line."""
    return "\n".join(map(_count_text, counts))


def counts_of(text: str) -> tuple[Count, ...]:
    """Return what a text says is counted. Raises NotUnderstood."""
    return tuple(_each_line(text, _count_of))


def _count_text(count: Count) -> str:
    many = f"{number_text(count.per)} " if count.per != 1 else ""
    factor = f"{number_text(count.factor)} for every " if count.factor != 1 or many else ""
    least = f", at least {number_text(count.at_least)}" if count.at_least is not None else ""
    steps = f", in steps of {number_text(count.step)}" if count.step is not None else ""
    where = f", where {' and '.join(map(_attribute_text, count.when.items()))}" if count.when else ""
    return f"{factor}{many}{_quoted(count.unit)} of {_quoted(count.measure)}{least}{steps}{where}"


def _count_of(text: str) -> Count:
    found = _COUNT.fullmatch(text)
    if not found:
        raise NotUnderstood([f"“{text[:80]}” does not say what is counted. {COUNTS_SAY}"])
    factor, per, unit, measure, least, step, where = found.groups()
    return Count(
        measure=_unquoted(measure),
        unit=_unquoted(unit),
        factor=number_of(factor) if factor else Decimal(1),
        per=number_of(per) if per else Decimal(1),
        at_least=number_of(least) if least else None,
        step=number_of(step) if step else None,
        when=_attributes_of(_parted(_AND, where)) if where else {},
    )


def where_text(when: Mapping[str, Iterable[str]]) -> str:
    """Return which use is priced, an attribute with its patterns on each line."""
    return "\n".join(map(_attribute_text, when.items()))


def where_of(text: str) -> dict[str, tuple[str, ...]]:
    """Return which use a text says is priced; nothing for an empty one: everything. Raises NotUnderstood."""
    return _attributes_of(_lines_of(text))


def _attributes_of(lines: list[str]) -> dict[str, tuple[str, ...]]:
    when: dict[str, tuple[str, ...]] = {}

    def read(line: str) -> None:
        found = _WHERE.fullmatch(line)
        patterns = _patterns_of(found[2]) if found else ()
        if not found or not patterns:
            raise NotUnderstood([f"“{line[:80]}” does not say what is priced. {WHERE_SAYS}"])
        name = _unquoted(found[1])
        if name in when:
            raise NotUnderstood([f"{name} is named twice. Write its patterns together, with commas between."])
        when[name] = patterns

    _each_of(lines, read)
    return when


def _attribute_text(attribute: tuple[str, Iterable[str]]) -> str:
    name, patterns = attribute
    return f"{_quoted(name)}: {', '.join(map(_pattern_text, patterns))}"


def _pattern_text(pattern: str) -> str:
    is_plain = pattern and pattern == pattern.strip() and not _HIDES_AN_END.search(pattern)
    return pattern if is_plain else _in_quotes(pattern)


def _patterns_of(text: str) -> tuple[str, ...]:
    patterns, place = [], 0
    while place < len(text):
        found = _PATTERN.match(text, place)
        if not found:
            return ()
        patterns.append(_unquoted(found[1]))
        place = found.end()
    return tuple(patterns)


# Lines and quotation marks ----------------------------------------------------------------------------


def _each_line(text: str, read: Callable[[str], Found]) -> list[Found]:
    """Read each line that says anything; raise NotUnderstood with the problems of all, by their numbers."""
    return _each_of(_lines_of(text), read)


def _each_of(lines: list[str], read: Callable[[str], Found]) -> list[Found]:
    found, problems = [], []
    for number, line in enumerate(lines, 1):
        try:
            found.append(read(line))
        except NotUnderstood as error:
            problems += [f"Line {number}: {each}" if len(lines) > 1 else each for each in error.problems]
    if problems:
        raise NotUnderstood(problems)
    return found


def _lines_of(text: str) -> list[str]:
    """Split a text at the ends of lines and at semicolons."""
    return _parted(_ENDS, text)


def _parted(ends: re.Pattern[str], text: str) -> list[str]:
    """Split a text where `ends` finds one that is not within quotation marks, into parts that say something."""
    parts = [""]
    place = 0
    for found in ends.finditer(text):
        parts[-1] += text[place : found.start()] + (found[1] or "")
        place = found.end()
        if not found[1]:
            parts.append("")
    parts[-1] += text[place:]
    return [part.strip() for part in parts if part.strip()]


def _quoted(text: str) -> str:
    """Return a word of the language above, in quotation marks where it would not be read as one."""
    is_plain = re.fullmatch(_WORD, text) and not re.fullmatch(_NUMBER, text) and not text.startswith('"')
    return text if is_plain else _in_quotes(text)


def _in_quotes(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _unquoted(text: str) -> str:
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


# A whole rate, to be read ------------------------------------------------------------------------------


def amount_text(value: Decimal, unit: str) -> str:
    """Return a number of units: `50,000 core-hours`, `1 core-hour`, `5 TiB`."""
    return f"{number_text(value, grouped=True)} {unit_of(value, unit)}"


def price_lines(rate: Rate, tiers: Iterable[Tier]) -> list[str]:
    """Return prices as a schedule prints them: `0.014 per core-hour`, or a line for each tier."""
    unit = rate.unit if rate.per == 1 else amount_text(rate.per, rate.unit)
    lines, before = [], None
    for tier in tiers:
        price = f"{number_text(tier.price, grouped=True)} per {unit}"
        if tier.up_to is not None:
            price = f"up to {_limit_text(rate, tier.up_to)}: {price}"
            before = tier.up_to
        elif before is not None:
            price = f"above {_limit_text(rate, before)}: {price}"
        lines.append(price)
    return lines


def _limit_text(rate: Rate, limit: Decimal) -> str:
    is_quantity = rate.threshold is Threshold.QUANTITY
    return amount_text(limit, rate.unit) if is_quantity else f"{number_text(limit, grouped=True)} charged"


def conditions_of(rate: Rate) -> list[str]:
    """Return what else holds of a rate, in sentences without their full stops."""
    whose = "all of the feed" if rate.scope is Scope.FEED else f"each {SCOPES[rate.scope]}"
    adds_up = f"for {whose} and {SPANS[rate.span]}"
    found = []
    if rate.free:
        left = "; what is left is added to the next" if rate.carries_over else ""
        found.append(f"The first {amount_text(rate.free, rate.unit)} are free {adds_up}{left}")
    if len(rate.tiers) > 1 or any(len(tiers) > 1 for tiers in rate.prices.values()):
        volume = ", and all use has the price of the tier reached" if rate.tiering is Tiering.VOLUME else ""
        found.append(f"Tiers add up {THRESHOLDS[rate.threshold]} {adds_up}{volume}")
    if len(rate.counts) > 1 and rate.combine is Combine.MAX:
        found.append("Of what is counted, the largest is charged")
    if rate.step is not None:
        found.append(f"Charged by started steps of {amount_text(rate.step, rate.unit)} {adds_up}")
    if rate.minimum is not None:
        found.append(f"At least {number_text(rate.minimum, grouped=True)} a month for {whose}")
    if rate.group:
        found.append(
            f"Of the rates of group {rate.group}, the first that fits prices a use; this is number {rate.order}"
        )
    return found
