"""Rows of a table into records, as a mapping of its columns says."""

import datetime
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...fields import WIDE
from ...readers import FileError, Problem, UnreadableFile
from ...readers.amounts import WITH_CURRENCY, decimal_of
from ...readers.cells import check_code, check_error, code_of_number, plain_number, unwrapped
from ...readers.values import BadValue, is_nothing
from ...texts import quoted
from .cell_moments import DAY, HOUR, MIDNIGHT, Moment, length_of
from .cell_values import LARGEST, of_field, text_of
from .kinds import Tally
from .mapping import SECONDS, Clock, ColumnMapping, Condition, DecimalMark, Lasts, Length, Quantity, Take, Text
from .table_rows import Cell, Table, TableRow, folded
from .understanding import Record

# Digits that a spreadsheet shows of a number; what comes behind them is the float's own.
DIGITS = 15

_GROUPED = {
    DecimalMark.POINT: re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII),
    DecimalMark.COMMA: re.compile(r"[-+]?\d{1,3}(\.\d{3})+(,\d*)?", re.ASCII),
}


@dataclass
class MappedRows:
    """Turns rows of a table into records. What is the same for all of them, and what is counted, is here."""

    table: Table
    mapping: ColumnMapping
    tally: Tally
    rounded: int = 0
    without_account: int = 0
    # How often rows came that nothing tells apart.
    seen: Counter[bytes] = field(default_factory=Counter)
    # What the last row of each id and start said, and the ids of which several rows say different things.
    said: dict[bytes, bytes] = field(default_factory=dict)
    differing: Counter[str] = field(default_factory=Counter)
    # The last text of columns that are filled from above.
    above: dict[str, Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        positions = self.table.positions()
        self.positions = {name: positions[folded(name)] for name in self.mapping.columns}

    def record(self, row: TableRow) -> Record | None:
        """Return the record of a row, None for one that is skipped; raises FileError that names the columns."""
        cells = {name: row.cells[position] for name, position in self.positions.items()}
        filled = {name: cells[name] if _is_filled(cells[name]) else self.above.get(name) for name in self.mapping.fill}
        cells |= filled
        if skipped := self._first_that_holds(self.mapping.skip, cells):
            self.tally.left_out[skipped.reason or f"skipped by {self.heading(skipped.column)}"] += 1
            return None
        self.above |= filled
        return self._record(cells)

    def note(self) -> None:
        """Say what is odd about rows that were taken."""
        for number, text in (
            (self.rounded, "Quantities with more decimals than the settings say, which are rounded to them"),
            (self.without_account, "Records that name no account"),
        ):
            if number:
                self.tally.notes.append(f"{text}: {number:,}.")
        if self.differing:
            self.tally.notes.append(
                f"Rows with the id and start of a row above them that say something else: {self.differing.total():,}, "
                f"such as {quoted(next(iter(self.differing)))}. Of each id, the row that ends last counts, "
                "and no other."
            )

    def heading(self, column: str) -> str:
        return self.table.headings[self.positions[column]]

    def _record(self, cells: Mapping[str, Cell]) -> Record:
        problems: list[Problem] = []

        def tried(convert: Any, *arguments: Any) -> Any:
            try:
                return convert(*arguments)
            except FileError as error:
                problems.extend(error.problems)
                return None

        mapping = self.mapping
        times = tried(self._times, cells) or (0, 0)
        account = tried(self._text, mapping.account, cells, True)
        texts = [tried(self._text, each, cells) for each in (mapping.user, mapping.resource)]
        free = tried(self._free, cells)
        attributes = [tried(self._text, each, cells) for each in mapping.attributes.values()]
        amounts = [tried(self._amount, each, cells, times) for each in mapping.quantities]
        own_id = tried(self._text, mapping.id, cells)
        if not problems:
            tried(self._require_amount, amounts)
        if problems:
            # A column may be taken for two things.
            raise FileError(list(dict.fromkeys(problems)))
        self.without_account += not account
        record = (*times, account, *texts, free, *attributes, *(amount or 0 for amount in amounts))
        if own_id:
            self._compare(own_id, record)
        return (own_id or self._id_of(record), *record)

    def _compare(self, own_id: str, record: Record) -> None:
        """Notice an id that a row above has for something else: only one of them counts."""
        key, says = (
            hashlib.blake2b(repr(each).encode(), digest_size=12).digest() for each in ((own_id, record[0]), record)
        )
        if self.said.setdefault(key, says) != says:
            self.said[key] = says
            self.differing[own_id] += 1

    def _id_of(self, record: Record) -> str:
        """Return what tells a row without an id from others: what it says, and of equal ones the number in the file."""
        digest = hashlib.blake2b(repr(record).encode(), digest_size=12).digest()
        self.seen[digest] += 1
        number = self.seen[digest]
        return digest.hex() if number == 1 else f"{digest.hex()}-{number}"

    # ---- Texts

    def _text(self, text: Text, cells: Mapping[str, Cell], is_code: bool = False) -> str:
        if not text.columns:
            return text.value
        found = [of_field(self.heading(name), _code if is_code else _plain, cells[name]) for name in text.columns]
        return " ".join(filter(None, found))

    def _first_that_holds(self, conditions: tuple[Condition, ...], cells: Mapping[str, Cell]) -> Condition | None:
        for condition in conditions:
            if condition.holds(of_field(self.heading(condition.column), _plain, cells[condition.column])):
                return condition
        return None

    def _free(self, cells: Mapping[str, Cell]) -> str:
        """Return why nobody is charged: the reason of a condition that holds, or what its cell says."""
        found = self._first_that_holds(self.mapping.free, cells)
        return "" if found is None else found.reason or _plain(cells[found.column]) or self.heading(found.column)

    # ---- Times

    def _times(self, cells: Mapping[str, Cell]) -> tuple[int, int]:
        dates = self.mapping.dates
        begins = self._moment(self.mapping.start, cells)
        column = self.heading(self.mapping.start[0])
        if begins is None:
            raise UnreadableFile("The date is empty. Fill it in, or skip such rows.", column=column)
        start = of_field(column, dates.seconds, begins.clock)
        if self.mapping.are_levels:
            return start, start
        end = start
        if self.mapping.length is not None:
            length = self._length(self.mapping.length, cells)
            end = start + length
        elif ends := self._moment(self.mapping.end, cells):
            column = self.heading(self.mapping.end[0])
            # A date on which something ends is a day of it.
            end = of_field(column, dates.seconds, _next_day(ends.clock) if ends.is_date else ends.clock)
        else:
            end = of_field(column, dates.seconds, self._end_without(begins))
        if end < start:
            raise UnreadableFile("The end is before the start.", column=column)
        return start, end

    def _moment(self, columns: tuple[str, ...], cells: Mapping[str, Cell]) -> Moment | None:
        if not columns:
            return None
        cell = cells[columns[0]]
        time = _value_of(cells[columns[1]]) if len(columns) > 1 else None
        return of_field(
            self.heading(columns[0]), lambda value: self.mapping.dates.moment(value, cell, time), _value_of(cell)
        )

    def _end_without(self, begins: Moment) -> datetime.datetime:
        lasts = self.mapping.lasts
        if lasts is Lasts.MONTH:
            first = begins.clock.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            return (first + 32 * DAY).replace(day=1)
        if lasts is Lasts.DAY or (lasts is Lasts.AS_WRITTEN and begins.is_date):
            return _next_day(begins.clock)
        return begins.clock

    def _length(self, length: Length, cells: Mapping[str, Cell]) -> int:
        heading = self.heading(length.column)
        cell = cells[length.column]
        if length.clock is Clock.CLOCK:
            return of_field(heading, length_of, _value_of(cell)) or 0
        number = of_field(heading, self._number, cell) or Decimal(0)
        seconds = (number * SECONDS[length.clock]).to_integral_value(context=WIDE)
        if not 0 <= seconds <= LARGEST // HOUR:
            raise UnreadableFile(f"{number} {length.clock} is no length of time.", column=heading)
        return int(seconds)

    # ---- Quantities

    def _amount(self, quantity: Quantity, cells: Mapping[str, Cell], times: tuple[int, int]) -> int | None:
        """Return a quantity in base units, None where its cell is empty."""
        if quantity.take is Take.ELAPSED:
            return times[1] - times[0]
        if quantity.take is Take.VALUE:
            return self._units(quantity, quantity.value)
        cell = cells[quantity.column]
        if quantity.take is Take.CLOCK:
            return of_field(self.heading(quantity.column), length_of, _value_of(cell))
        return of_field(self.heading(quantity.column), lambda each: self._units(quantity, self._number(each)), cell)

    def _units(self, quantity: Quantity, number: Decimal | None) -> int | None:
        if number is None:
            return None
        units = WIDE.multiply(number, quantity.factor).scaleb(quantity.decimals, context=WIDE)
        whole = units.to_integral_value(context=WIDE)
        if units != whole:
            if not quantity.is_rounded:
                places = quantity.decimals
                raise BadValue(
                    f"{number} has more decimals than the {places} of {quantity.measure.name} that the settings say. "
                    "Correct it, or have it rounded."
                )
            self.rounded += 1
        if whole < 0:
            raise BadValue(f"{number} is below zero. Correct the row that it is about.")
        if whole > LARGEST:
            raise BadValue(f"{number} is larger than can be kept.")
        return int(whole)

    def _number(self, cell: Cell) -> Decimal | None:
        value = _value_of(cell)
        if value is None:
            return None
        if isinstance(value, bool):
            raise BadValue(f"{str(value).upper()} is no number.")
        if isinstance(value, int):
            return Decimal(value)
        if isinstance(value, float):
            return Decimal(format(value, f".{DIGITS}g"))
        if not isinstance(value, str):
            raise BadValue(f"{quoted(str(value))} is a date or a time, where a number is expected.")
        return _number_of(value, self.mapping.decimal)

    def _require_amount(self, amounts: list[int | None]) -> None:
        if all(amount is None for amount in amounts):
            columns = [quantity.column for quantity in self.mapping.quantities]
            named = ", ".join(map(self.heading, columns))
            raise UnreadableFile(f"No quantity is filled in ({named}). Fill one in, or skip such rows.")


def _number_of(text: str, mark: DecimalMark) -> Decimal | None:
    """Return the number of a text with a decimal mark, with thousands marked or not; None for no value."""
    bare = unwrapped(text).strip()
    check_error(bare)
    if is_nothing(bare):
        return None
    if WITH_CURRENCY.fullmatch(bare):
        raise BadValue(f"{quoted(bare)} has a currency in it. Write the plain number, such as 1234.56.")
    if _GROUPED[mark].fullmatch(bare):
        bare = bare.replace("," if mark is DecimalMark.POINT else ".", "")
    if mark is DecimalMark.COMMA:
        if "." in bare:
            raise BadValue(f"{quoted(text)} has a point, where the settings say that decimals have a comma.")
        bare = bare.replace(",", ".")
    return decimal_of(bare.removeprefix("+"))


def _next_day(clock: datetime.datetime) -> datetime.datetime:
    return datetime.datetime.combine(clock.date() + DAY, MIDNIGHT, clock.tzinfo)


def _value_of(cell: Cell) -> Any:
    value = cell if cell is None or isinstance(cell, str) else cell.value
    return None if isinstance(value, str) and not value.strip() else value


def _is_filled(cell: Cell) -> bool:
    return _value_of(cell) is not None


def _plain(cell: Cell) -> str:
    """Return the text of a cell; raise BadValue for an error of a spreadsheet, or for what no text can be."""
    value = _value_of(cell)
    if value is None:
        return ""
    if isinstance(value, str):
        text = unwrapped(value).strip()
        check_error(text)
        return text_of(text)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        is_code = isinstance(value, int) or value.is_integer()
        return code_of_number(value, cell) if is_code else plain_number(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ") if value.time() != MIDNIGHT else value.date().isoformat()
    return str(value)


def _code(cell: Cell) -> str:
    """Return the text of a cell that holds a code or a name; raise BadValue for what a spreadsheet made of one."""
    text = _plain(cell)
    if isinstance(_value_of(cell), datetime.date):
        raise BadValue(f"The cell is a date ({text}), where an account is expected. Format the column as text.")
    check_code(text, is_strict=False, may_be_month=True)
    return text


def missing_columns(mapping: ColumnMapping, headings: Any) -> list[str]:
    """Return the columns that a mapping needs and a row of headings lacks."""
    found = set(map(folded, headings))
    return [column for column in mapping.columns if folded(column) not in found]
