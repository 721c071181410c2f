"""A first mapping for a table, guessed from its headings and first rows, for a person to correct."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ...readers.amounts import decimal_of
from ...readers.values import BadValue
from .cell_moments import DateForm
from .mapping import MOST_DECIMALS, Clock
from .previewing import Look, look
from .settings import NAME
from .table_rows import folded

# Headings by what they are for, the surest first. A heading is taken for one thing only.
STARTS = (r"start|begin|from|check.?in|time in", r"date|day|when|month|time")
ENDS = (r"end|stop|finish|to|until|check.?out|time out",)
LENGTHS = (r"duration|elapsed|length",)
ACCOUNTS = (
    r"pi|principal investigator|pi name|pi e?.?mail",
    r"lab|group|research group|team|owner|sponsor",
    r"account|fund|fund.?org|chart.?string|speed.?type|cost cent(?:er|re)|project|grant|department|dept",
)
USERS = (r"user|user ?name|net.?id|uni|login|researcher|customer|client|requested by|trained user|operator", r"name")
RESOURCES = (
    r"instrument|equipment|machine|device|microscope|resource|room|model|system|station|tool",
    r"service|item|product|activity|assay|category|type|description",
)
# People have ids too, which rows do not go by.
IDS = (
    r"(?!.*(?:user|pi|lab|group|customer|net|person|student|staff))(?:.* )?(?:id|ticket|no|nr|number|#)",
    r"booking|reservation|order|request|reference|ref",
)
STATES = (r"status|state|billable|charge\??|waived|no.?show",)
PROJECTS = (r"project|grant|protocol|study|rate|rate group|tier|affiliation",)
# What is paid is no use: the rates of a schedule say it.
MONEY = r"cost|price|charge|amount|total|fee|rate|subtotal|\$.*|.*\(\$\)|usd"
HOURS = r"(?:.* )?(?:hours?|hrs?|h)(?: .*)?"
MINUTES = r"(?:.* )?(?:minutes?|mins?)(?: .*)?"

_SLASHED = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-]\d{2,4}")
_CLOCK = re.compile(r"\d{1,3}:\d{2}(:\d{2})?")
_TOTALS = re.compile(r"(grand |sub ?)?totals?\b.*", re.IGNORECASE)


def suggest(path: Path, name: str = "", *, sheet: str = "") -> dict[str, Any]:
    """Guess the mapping of a table, as a feed has it among its settings; raises FileError for what is no table.

    What cannot be guessed is left out, so that the mapping need not be complete.
    """
    return suggested(look(path, name, sheet=sheet))


def suggested(found: Look) -> dict[str, Any]:
    """Guess the mapping of a table that was looked at; see `suggest`."""
    columns = _Columns(found)
    start = columns.take(*STARTS, is_date=True)
    times = [each for each in columns.headings if columns.are_times(each)]
    mapping: dict[str, Any] = {}
    if start:
        mapping["start"] = [start, times[0]] if times and not columns.have_times(start) else start
        mapping["dates"] = columns.form_of(start)
        columns.drop(times[:1])
    if (end := columns.take(*ENDS, is_date=True)) or len(times) > 1:
        mapping["end"] = end or [start, times[1]]
        columns.drop(times[1:2])
    mapping |= _texts(columns)
    length = "" if "end" in mapping else columns.take(*LENGTHS, is_number=True)
    measures = _measures(columns, length)
    if length:
        mapping["duration"] = {"column": length, "in": _clock(length, columns)}
    if measures:
        mapping["measures"] = measures
    if skipped := columns.with_totals():
        mapping["skip"] = [{"column": skipped, "begins": ["Total", "Grand total", "Subtotal"], "reason": "totals"}]
    if len(found.sheets) > 1:
        mapping["sheet"] = found.sheet
    return mapping


@dataclass
class _Columns:
    """The columns of a table that were not taken for anything yet."""

    look: Look
    taken: set[str] = field(default_factory=set)

    @property
    def headings(self) -> list[str]:
        return [each for each in self.look.headings if each and each not in self.taken]

    def take(self, *patterns: str, is_date: bool = False, is_number: bool = False) -> str:
        """Take the first column whose heading fits the first pattern that any does; "" where none does."""
        for pattern in patterns:
            for heading in self.headings:
                fits = re.fullmatch(pattern, folded(heading)) or (
                    is_date and re.fullmatch(rf"(?:{pattern})\b.*|.*\b(?:{pattern})", folded(heading))
                )
                if not fits or (is_date and not self.are_dates(heading)):
                    continue
                if is_number and not (self.are_numbers(heading) or self.are_times(heading)):
                    continue
                self.taken.add(heading)
                return heading
        return ""

    def drop(self, headings: Iterable[str]) -> None:
        self.taken.update(headings)

    def values(self, heading: str) -> list[str]:
        """Return what a column says in the first rows, where it says anything."""
        position = self.look.headings.index(heading)
        return [row[position].strip() for row in self.look.rows if position < len(row) and row[position].strip()]

    def are_dates(self, heading: str) -> bool:
        values = [each for each in self.values(heading) if not _TOTALS.fullmatch(each)]
        return bool(values) and all(re.match(r"\d{4}-\d{2}|\d{1,2}[/.-]\d{1,2}[/.-]\d{2}", each) for each in values)

    def have_times(self, heading: str) -> bool:
        return any(":" in each for each in self.values(heading))

    def are_times(self, heading: str) -> bool:
        values = self.values(heading)
        return bool(values) and all(re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?( ?[AaPp][Mm])?", each) for each in values)

    def are_numbers(self, heading: str) -> bool:
        return bool(self.numbers(heading))

    def numbers(self, heading: str) -> list[Decimal]:
        """Return the numbers of a column, none where any of it is something else."""
        try:
            found = [decimal_of(each.replace(",", "")) for each in self.values(heading)]
        except BadValue:
            return []
        return [each for each in found if each is not None]

    def form_of(self, heading: str) -> str:
        """Return the form of dates that all of a column's fit."""
        slashed = [found for each in self.values(heading) if (found := _SLASHED.match(each))]
        if not slashed:
            return DateForm.ISO.value
        is_day_first = any(int(each[1]) > 12 for each in slashed)
        return (DateForm.DAY_FIRST if is_day_first else DateForm.MONTH_FIRST).value

    def with_totals(self) -> str:
        """Return a column in which a row says that it is a total, "" where none does."""
        texts = (each for each in self.look.headings if each and any(map(_TOTALS.fullmatch, self.values(each))))
        return next(texts, "")


def _texts(columns: _Columns) -> dict[str, Any]:
    """Guess what says who and what."""
    found = {
        "id": columns.take(*IDS),
        "account": columns.take(*ACCOUNTS),
        "user": columns.take(*USERS),
        "resource": columns.take(*RESOURCES),
    }
    mapping: dict[str, Any] = {name: column for name, column in found.items() if column}
    attributes = {}
    for patterns in (PROJECTS, STATES):
        while column := columns.take(*patterns):
            attributes[name_of(column)] = column
    return mapping | ({"attributes": attributes} if attributes else {})


def _measures(columns: _Columns, length: str) -> dict[str, Any]:
    """Guess what is counted: columns of numbers and of lengths that are no money, or how long it took."""
    measures: dict[str, Any] = {}
    for heading in (*([length] if length else []), *columns.headings):
        bare = folded(heading)
        if re.fullmatch(MONEY, bare):
            continue
        name = name_of(heading)
        values = columns.values(heading)
        if values and all(map(_CLOCK.fullmatch, values)):
            measures[name] = {"clock": heading}
        elif numbers := columns.numbers(heading):
            unit = "hour" if re.fullmatch(HOURS, bare) else "minute" if re.fullmatch(MINUTES, bare) else name
            measures[name] = {"column": heading, "unit": unit, "decimals": _decimals(numbers, unit)}
    return measures or {"elapsed_seconds": {"elapsed": True}}


def _decimals(numbers: Sequence[Decimal], unit: str) -> int:
    """Return how many decimals count: as many as there are, and two of hours at the least."""
    exponents = (number.normalize().as_tuple().exponent for number in numbers)
    most = max(-exponent if isinstance(exponent, int) else 0 for exponent in exponents)
    return min(max(most, 2 if unit == "hour" else 0), MOST_DECIMALS)


def _clock(heading: str, columns: _Columns) -> str:
    if columns.are_times(heading):
        return Clock.CLOCK.value
    return (Clock.MINUTES if re.search(r"min", folded(heading)) else Clock.HOURS).value


def name_of(heading: str) -> str:
    """Return the name of a column of records for a heading."""
    name = re.sub(r"[^a-z0-9]+", "_", folded(heading)).strip("_")[:40].rstrip("_")
    return name if NAME.fullmatch(name) else f"column_{name}"[:40].rstrip("_")
