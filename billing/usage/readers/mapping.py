"""How the columns of a table become records: a mapping that a feed keeps as its settings.

A text is taken from a column ("PI"), from several joined by a blank (["First", "Last"]), or is the same for all rows
({"value": "Confocal"}). `mapping_of` says what there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ...fields import WIDE
from ...readers.amounts import decimal_of
from ...readers.values import BadValue
from ...texts import quoted
from ..level_policies import ByDay
from ..records import COMMON, Measure, Shape
from .cell_moments import HOUR, DateForm, Dates
from .settings import Given, by_day
from .table_rows import folded

# As finely as anybody writes hours or weights.
MOST_DECIMALS = 12
# Of clocks and of what is between two moments.
TIME_UNITS = {"second": 1, "minute": 60, "hour": HOUR, "day": 24 * HOUR}


class Lasts(StrEnum):
    """How long a row without an end and without a length is: a date is a day of it, with a time of day a moment."""

    AS_WRITTEN = "as written"
    DAY = "day"
    MONTH = "month"
    MOMENT = "moment"


class Files(StrEnum):
    """What a further file means: its rows count beside those of earlier ones, or take their place in its time."""

    ADD = "add"
    REPLACE = "replace"


class DecimalMark(StrEnum):
    POINT = "."
    COMMA = ","


class Clock(StrEnum):
    """How a length is written: as a number of a unit, or as hours and minutes (1:30)."""

    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    CLOCK = "h:mm"


SECONDS = {Clock.SECONDS: 1, Clock.MINUTES: 60, Clock.HOURS: HOUR, Clock.DAYS: 24 * HOUR}


@dataclass(frozen=True)
class Text:
    """What a text is taken from: columns, joined by a blank, or a text that is the same for all rows."""

    columns: tuple[str, ...] = ()
    value: str = ""


@dataclass(frozen=True)
class Length:
    """How long something took, from a column."""

    column: str
    clock: Clock


class Take(StrEnum):
    """Where a quantity is from: a number of a column, the same for all rows, a clock (1:30), or from start to end."""

    COLUMN = "column"
    VALUE = "value"
    CLOCK = "clock"
    ELAPSED = "elapsed"


@dataclass(frozen=True)
class Quantity:
    """How a measure is taken. Its base unit is the last decimal that counts: of hours with two, a hundredth of one.

    `factor` is what a number of the column is multiplied with to be of `measure`'s unit.
    """

    measure: Measure
    take: Take
    column: str = ""
    value: Decimal = Decimal(0)
    decimals: int = 0
    factor: Decimal = Decimal(1)
    is_rounded: bool = False

    @property
    def unit(self) -> str:
        """The unit that the numbers are of."""
        return next(iter(self.measure.units))


@dataclass(frozen=True)
class Condition:
    """Which rows: those whose cell is one of some texts, begins with one, is none of them, or says anything at all."""

    column: str
    reason: str = ""
    equals: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()

    def holds(self, text: str) -> bool:
        bare = folded(text)
        if self.equals or self.begins or self.differs:
            is_other = bool(self.differs) and bare not in self.differs
            return bare in self.equals or is_other or any(bare.startswith(each) for each in self.begins)
        return bool(bare)


@dataclass(frozen=True)
class ColumnMapping:
    """Which column is what. Names of columns are as the settings write them."""

    start: tuple[str, ...]
    dates: Dates
    end: tuple[str, ...] = ()
    length: Length | None = None
    lasts: Lasts = Lasts.AS_WRITTEN
    are_levels: bool = False
    # How daily readings become the amounts of a month, where rows are levels.
    policy: ByDay = ByDay()
    id: Text = Text()
    account: Text = Text()
    user: Text = Text()
    resource: Text = Text()
    attributes: Mapping[str, Text] = field(default_factory=dict)
    quantities: tuple[Quantity, ...] = ()
    free: tuple[Condition, ...] = ()
    skip: tuple[Condition, ...] = ()
    fill: tuple[str, ...] = ()
    decimal: DecimalMark = DecimalMark.POINT
    sheet: str = ""
    files: Files = Files.ADD

    @property
    def shape(self) -> Shape:
        return Shape(
            attributes=tuple(self.attributes),
            measures=tuple(each.measure for each in self.quantities),
            are_levels=self.are_levels,
            are_whole=self.files is Files.REPLACE,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that it needs, each once."""
        texts = (self.id, self.account, self.user, self.resource, *self.attributes.values())
        named = [
            *self.start,
            *self.end,
            *([self.length.column] if self.length else []),
            *(column for text in texts for column in text.columns),
            *(each.column for each in self.quantities if each.column),
            *(each.column for each in (*self.free, *self.skip)),
            *self.fill,
        ]
        return tuple(dict.fromkeys(named))


def mapping_of(settings: Mapping[str, Any]) -> ColumnMapping:
    """Make a mapping of a feed's settings; raises BadSettings that names each that is wrong, and what there is.

    The least is `start`, a column of dates, and `measures`. See docs/integrations/lab-services.md for all of them.
    """
    given = Given(settings)
    start = _columns(given, "start")
    if not start and given.raw("start") in (None, [], ""):
        given.refuse("start", "Name the column that has the date, or those that have the date and the time of day.")
    if "end" in given and "duration" in given:
        given.refuse("duration", "A row has an end or a duration, not both.")
    are_levels = given.flag("levels")
    mapping = ColumnMapping(
        start=start,
        end=_columns(given, "end"),
        length=_length(given),
        lasts=given.choice("lasts", Lasts.AS_WRITTEN),
        are_levels=are_levels,
        policy=by_day(given) if are_levels else ByDay(),
        dates=Dates(form=_form(given), zone=given.zone()),
        id=_text(given, "id", given.raw("id")),
        account=_text(given, "account", given.raw("account")),
        user=_text(given, "user", given.raw("user")),
        resource=_text(given, "resource", given.raw("resource")),
        attributes={name: _text(given, f"attributes.{name}", value) for name, value in given.entries("attributes")},
        quantities=_quantities(given),
        free=_conditions(given, "free"),
        skip=_conditions(given, "skip"),
        fill=given.texts("fill"),
        decimal=given.choice("decimal", DecimalMark.POINT),
        sheet=given.text("sheet"),
        # A row without an id that was corrected is another one: nothing else tells that the earlier one is gone.
        files=given.choice("files", Files.ADD if given.raw("id") else Files.REPLACE),
    )
    if mapping.are_levels and (mapping.end or mapping.length):
        given.refuse("levels", "A level holds at a moment: it has a start, and neither end nor duration.")
    _require_own_names(given, mapping)
    given.done()
    return mapping


def _require_own_names(given: Given, mapping: ColumnMapping) -> None:
    """Refuse names of attributes and measures that records have anyway, or that are there twice."""
    taken = {each.name for each in COMMON}
    for setting, names in (
        ("attributes", list(mapping.attributes)),
        ("measures", [each.measure.name for each in mapping.quantities]),
    ):
        for name in names:
            if name in taken:
                given.refuse(f"{setting}.{name}", "Every record has a column of this name already. Choose another one.")
            taken.add(name)


def _columns(given: Given, name: str) -> tuple[str, ...]:
    columns = given.texts(name)
    if len(columns) > 2 or "" in columns:
        given.refuse(name, "One column is expected, or two: of the date and of the time of day.")
    return columns


def _form(given: Given) -> str:
    form = given.text("dates", DateForm.ISO)
    if "%" not in form and form not in list(DateForm):
        given.refuse("dates", f"{quoted(form)} is no form of dates. There are {', '.join(DateForm)}, or %d-%b-%Y.")
        return DateForm.ISO
    return form


def _length(given: Given) -> Length | None:
    if "duration" not in given:
        return None
    inner = given.within("duration")
    column = inner.text("column")
    if not column:
        inner.refuse("column", "Name the column that says how long it took.")
    found = Length(column=column, clock=inner.choice("in", Clock.HOURS))
    inner.done()
    return found


def _text(given: Given, name: str, value: Any) -> Text:
    if value is None:
        return Text()
    if isinstance(value, Mapping):
        inner = given.of(value, name)
        found = Text(value=inner.text("value"))
        inner.done()
        return found
    columns = [value] if isinstance(value, str) else value
    if not isinstance(columns, list) or not columns or not all(isinstance(each, str) and each for each in columns):
        given.refuse(name, 'A column is expected, a list of columns, or the same text for all: {"value": "Confocal"}.')
        return Text()
    return Text(columns=tuple(columns))


def _quantities(given: Given) -> tuple[Quantity, ...]:
    if "measures" not in given:
        given.refuse("measures", 'Say what is counted: {"hours": {"column": "Hours", "decimals": 2}}.')
    return tuple(_quantity(given, name, value) for name, value in given.entries("measures"))


def _quantity(given: Given, name: str, value: Any) -> Quantity:
    inner = given.of({"column": value} if isinstance(value, str) else value, f"measures.{name}")
    takes = [take for take in Take if take in inner]
    if len(takes) != 1:
        inner.refuse(Take.COLUMN, f"One of {', '.join(Take)} is expected.")
    take = takes[0] if len(takes) == 1 else Take.COLUMN
    if take in (Take.CLOCK, Take.ELAPSED):
        column = inner.text(Take.CLOCK) if take is Take.CLOCK else ""
        if take is Take.ELAPSED and not inner.flag(Take.ELAPSED):
            inner.refuse(Take.ELAPSED, "Only true says anything.")
        inner.done()
        return Quantity(measure=Measure(name, dict(TIME_UNITS)), take=take, column=column)
    unit = inner.text("unit", name)
    decimals = inner.number("decimals", 0, most=MOST_DECIMALS)
    units = {unit: 10**decimals}
    for other, size in inner.within("units").all():
        units[other] = _size(inner, other, size, decimals)
    found = Quantity(
        measure=Measure(name, units),
        take=take,
        column=inner.text(Take.COLUMN),
        value=_number(inner, Take.VALUE, Decimal(0)),
        decimals=decimals,
        factor=_number(inner, "factor", Decimal(1)),
        is_rounded=inner.flag("round"),
    )
    inner.done()
    return found


def _number(given: Given, name: str, default: Decimal) -> Decimal:
    """Take a number from 0, as a text or of JSON."""
    value = given.raw(name)
    if value is None:
        return default
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise BadValue("")
        number = decimal_of(str(value))
    except BadValue:
        number = None
    if number is None or number < 0:
        given.refuse(name, "A number from 0 is expected.")
        return default
    return number


def _size(given: Given, unit: str, size: Any, decimals: int) -> int:
    """Return how many base units a further unit has, from how many of the measure's own it is."""
    try:
        if isinstance(size, bool):
            raise BadValue("")
        whole = (decimal_of(str(size)) or Decimal(0)).scaleb(decimals, context=WIDE)
    except BadValue:
        whole = Decimal(0)
    if whole <= 0 or whole != whole.to_integral_value(context=WIDE):
        given.refuse(f"units.{unit}", "Say how many of the measure's own unit it has, with no more decimals than that.")
        return 1
    return int(whole)


def _conditions(given: Given, name: str) -> tuple[Condition, ...]:
    found = []
    for inner in given.many(name):
        column = inner.text("column")
        if not column:
            inner.refuse("column", "Name the column that the condition looks at.")
        texts = {each: tuple(map(folded, inner.texts(each))) for each in ("is", "begins", "is_not")}
        if "" in texts["begins"]:
            inner.refuse("begins", "Every text begins with nothing.")
        found.append(
            Condition(
                column=column,
                reason=inner.text("reason"),
                equals=texts["is"],
                begins=texts["begins"],
                differs=texts["is_not"],
            )
        )
        inner.done()
    return tuple(found)
