"""A rate schedule as a table that people keep in a spreadsheet: a line for each rate and tier, then one for each class.

What a rate says once stands on its first line. A line without a rate says what a rate class pays.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import IO, Any

from openpyxl import Workbook

from ...readers.cells import Kind
from ...readers.streams import MIB
from ...setup.lists import LineError, ListRefused, read_list
from ...sheets import amount_cell, guarded, text_cell, unguarded
from ..pricing.checks import problems_of
from ..pricing.schedules import ScheduleNotUnderstood, as_data, schedule_from_data
from ..pricing.terms import ClassKind, Count, Rate, RateClass, Schedule, Tier
from . import words
from .words import NotUnderstood

FORMATS = ("csv", "xlsx", "json")
# Of a JSON file: thousands of rates have a tenth of that.
MAX_BYTES = 4 * MIB
# A number in a spreadsheet keeps so many digits.
EXACT_DIGITS = 15
# What a line without a rate says.
OF_A_CLASS = ("class", "class_kind", "percent", "indirect_percent")

Cell = str | Decimal


@dataclass(frozen=True)
class Column:
    """A column: its heading, and how it is written of a rate and read into the rate's field."""

    heading: str
    field: str = ""
    write: Callable[[Rate], Cell] = lambda rate: ""
    read: Callable[[str], Any] = str
    kind: Kind = Kind.TEXT


def _yes_of(text: str) -> bool:
    said = text.casefold()
    if said not in ("yes", "y", "true", "x", "1", "no", "n", "false", "0"):
        raise NotUnderstood([f"“{text[:60]}” is neither yes nor no."])
    return said in ("yes", "y", "true", "x", "1")


def _whole_of(text: str) -> int:
    number = words.number_of(text)
    if number != number.to_integral_value() or number >= 2**31:
        raise NotUnderstood([f"“{text[:60]}” is not a whole number."])
    return int(number)


def _class_kind_of(text: str) -> ClassKind:
    return words.choice_of(text, words.CLASS_KINDS)


def _one_line(text: str) -> str:
    return "; ".join(text.splitlines())


def _unless(value: Any, usual: Any, write: Callable[[Any], Cell]) -> Cell:
    """Leave the cell of what is as usual empty: the columns that matter stand out."""
    return "" if value == usual else write(value)


# By the name of a heading as it is compared: in small letters, a line for a blank.
COLUMNS: Mapping[str, Column] = {
    "rate": Column("Rate", kind=Kind.CODE),
    "service": Column("Service", "service", lambda rate: rate.service),
    "where": Column("Where", "when", lambda rate: _one_line(words.where_text(rate.when)), words.where_of),
    "counts": Column("Counts", "counts", lambda rate: _one_line(words.counts_text(rate.counts)), words.counts_of),
    "unit": Column("Unit", "unit", lambda rate: rate.unit),
    "class": Column("Class"),
    "up_to": Column("Up to"),
    "price": Column("Price"),
    "per": Column("Per", "per", lambda rate: _unless(rate.per, 1, Decimal), words.number_of),
    "free": Column("Free", "free", lambda rate: _unless(rate.free, 0, Decimal), words.number_of),
    "carries_over": Column(
        "Carries over", "carries_over", lambda rate: _unless(rate.carries_over, False, lambda _: "yes"), _yes_of
    ),
    "added_up_for": Column(
        "Added up for",
        "scope",
        lambda rate: _unless(rate.scope, Rate.scope, words.SCOPES.__getitem__),
        lambda text: words.choice_of(text, words.SCOPES),
    ),
    "over": Column(
        "Over",
        "span",
        lambda rate: _unless(rate.span, Rate.span, words.SPANS.__getitem__),
        lambda text: words.choice_of(text, words.SPANS),
    ),
    "tiers": Column(
        "Tiers",
        "tiering",
        lambda rate: _unless(rate.tiering, Rate.tiering, str),
        lambda text: words.choice_of(text, words.TIERINGS),
    ),
    "tiers_count": Column(
        "Tiers count",
        "threshold",
        lambda rate: _unless(rate.threshold, Rate.threshold, words.THRESHOLDS.__getitem__),
        lambda text: words.choice_of(text, words.THRESHOLDS),
    ),
    "steps_of": Column("Steps of", "step", lambda rate: _unless(rate.step, None, Decimal), words.number_of),
    "minimum": Column("Minimum", "minimum", lambda rate: _unless(rate.minimum, None, Decimal), words.number_of),
    "group": Column("Group", "group", lambda rate: rate.group),
    "order": Column("Order", "order", lambda rate: _unless(rate.order, 0, Decimal), _whole_of),
    "counted_together": Column(
        "Counted together",
        "combine",
        lambda rate: _unless(rate.combine, Rate.combine, words.COMBINES.__getitem__),
        lambda text: words.choice_of(text, words.COMBINES),
    ),
    "class_kind": Column("Class kind"),
    "percent": Column("Percent"),
    "indirect_percent": Column("Indirect percent"),
}


class TableRefused(ListRefused):
    """A file that holds no rate schedule; `errors` says why, line by line, and nothing was stored."""

    nothing = "No rate schedule was read."


# Writing ----------------------------------------------------------------------------------------------


def write(schedule: Schedule, file: IO[bytes], form: str) -> None:
    """Write a schedule as one of FORMATS."""
    {"csv": _write_csv, "xlsx": _write_xlsx, "json": _write_json}[form](schedule, file)


def rows_of(schedule: Schedule) -> Iterator[dict[str, Cell]]:
    """Return the lines of a schedule: cells by column, without those that are empty."""
    for rate in schedule.rates:
        tiers = [("", tier) for tier in rate.tiers]
        tiers += [(name, tier) for name, own in rate.prices.items() for tier in own]
        for place, (name, tier) in enumerate(tiers):
            row: dict[str, Cell] = {"rate": rate.code}
            if place == 0:
                row |= {key: column.write(rate) for key, column in COLUMNS.items() if column.field}
            row |= {"class": name, "up_to": "" if tier.up_to is None else tier.up_to, "price": tier.price}
            yield {key: cell for key, cell in row.items() if cell != ""}
    for each in schedule.classes:
        yield {
            "class": each.name,
            "class_kind": words.CLASS_KINDS[each.kind],
            "percent": each.percent,
            **({"indirect_percent": each.indirect_percent} if each.indirect_percent else {}),
        }


def _write_csv(schedule: Schedule, file: IO[bytes]) -> None:
    """Write UTF-8, with the mark by which Excel knows it."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([column.heading for column in COLUMNS.values()])
    for row in rows_of(schedule):
        cells = [row.get(key, "") for key in COLUMNS]
        writer.writerow([guarded(cell) if isinstance(cell, str) else words.number_text(cell) for cell in cells])
    text.detach()


def _write_xlsx(schedule: Schedule, file: IO[bytes]) -> None:
    book = Workbook(write_only=True)
    book.properties.creator = "OpenChargeback"
    sheet = book.create_sheet("Rates")
    sheet.freeze_panes = "B2"
    sheet.append([column.heading for column in COLUMNS.values()])
    for row in rows_of(schedule):
        sheet.append([_xlsx_cell(sheet, row.get(key, "")) for key in COLUMNS])
    book.save(file)


def _xlsx_cell(sheet: object, cell: Cell) -> Any:
    if isinstance(cell, str):
        return text_cell(sheet, cell) if cell else None
    text = words.number_text(cell)
    # Beyond that a spreadsheet rounds: a text keeps its digits.
    is_exact = len(text.replace(".", "").strip("0")) <= EXACT_DIGITS
    return amount_cell(sheet, Decimal(text)) if is_exact else text_cell(sheet, text)


def _write_json(schedule: Schedule, file: IO[bytes]) -> None:
    file.write((json.dumps(as_data(schedule), indent=2, ensure_ascii=False) + "\n").encode())


# Reading ----------------------------------------------------------------------------------------------


def read(file: IO[bytes], *, name: str, version: int = 0) -> Schedule:
    """Return the schedule that a CSV, .xlsx or JSON file holds, under a name and version of ours.

    Raises TableRefused with every mistake by line and column.
    """
    start = file.read(4096)
    file.seek(0)
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return _read_json(file, name, version)
    lines = read_list(
        file,
        columns={key: column.kind for key, column in COLUMNS.items()},
        refused=TableRefused,
        nobody="The file has no rates.",
    )
    return _Reading().schedule(lines, name, version)


def _read_json(file: IO[bytes], name: str, version: int) -> Schedule:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise TableRefused([], f"The file is larger than {MAX_BYTES // MIB} MiB, which no rate schedule is.")
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TableRefused([], "The file is not UTF-8 text.") from error
    except json.JSONDecodeError as error:
        raise TableRefused([LineError(error.lineno, "", f"is not JSON: {error.msg}")]) from error
    except (ValueError, RecursionError) as error:
        raise TableRefused([], "The file is not JSON that a rate schedule could be.") from error
    # What it was called where it was exported is what it was copied from.
    known = {key: value for key, value in data.items() if key not in ("name", "version")}
    try:
        return schedule_from_data({**known, "name": name, "version": version})
    except ScheduleNotUnderstood as error:
        raise TableRefused([], "\n".join([TableRefused.nothing, *error.problems])) from error


@dataclass
class _Lines:
    """What the lines of a rate say so far: its fields with the line each is from, and its tiers by class."""

    first: int
    fields: dict[str, tuple[Any, str, int]] = field(default_factory=dict)
    tiers: dict[str, list[Tier]] = field(default_factory=dict)


class _Reading:
    """Makes a schedule of the lines of a table, and notes what is wrong with them."""

    def __init__(self) -> None:
        self.errors: list[LineError] = []
        self.rates: dict[str, _Lines] = {}
        self.classes: dict[str, tuple[int, RateClass]] = {}

    def schedule(self, lines: Iterable[tuple[int, dict[str, str]]], name: str, version: int) -> Schedule:
        """Return the schedule; raise TableRefused."""
        for number, row in lines:
            said = {key: unguarded(cell) for key, cell in row.items() if cell}
            if "rate" in said:
                self._of_a_rate(number, said)
            else:
                self._of_a_class(number, said)
        rates = [self._rate(code, of) for code, of in self.rates.items()]
        schedule = Schedule(name, version, tuple(filter(None, rates)), tuple(each for _, each in self.classes.values()))
        if not self.errors:
            self.errors += map(self._placed, problems_of(schedule))
        if self.errors:
            raise TableRefused(sorted(self.errors, key=lambda error: error.line))
        return schedule

    def _refuse(self, line: int, key: str, message: str) -> None:
        self.errors.append(LineError(line, COLUMNS[key].heading if key else "", message))

    def _value(self, line: int, key: str, text: str, read: Callable[[str], Any]) -> Any:
        try:
            return read(text)
        except NotUnderstood as error:
            for problem in error.problems:
                self._refuse(line, key, problem)
            return None

    def _of_a_rate(self, line: int, said: Mapping[str, str]) -> None:
        of = self.rates.setdefault(said["rate"], _Lines(line))
        for key in ("class_kind", "percent", "indirect_percent"):
            if key in said:
                self._refuse(line, key, "belongs to a line of a class, which names no rate")
        for key, text in said.items():
            column = COLUMNS[key]
            if not column.field:
                continue
            known = of.fields.get(column.field)
            if known is None:
                of.fields[column.field] = (self._value(line, key, text, column.read), text, line)
            elif known[1] != text:
                self._refuse(
                    line, key, f"“{text[:60]}” is not what line {known[2]} says of the rate: “{known[1][:60]}”"
                )
        if "price" not in said:
            self._refuse(line, "price", "is empty")
            return
        limit = self._value(line, "up_to", said["up_to"], words.number_of) if "up_to" in said else None
        price = self._value(line, "price", said["price"], words.number_of)
        if price is not None:
            of.tiers.setdefault(said.get("class", ""), []).append(Tier(price, limit))

    def _of_a_class(self, line: int, said: Mapping[str, str]) -> None:
        if "class" not in said:
            self._refuse(line, "rate", "is empty, and so is Class: a line is of a rate, or says what a class pays")
            return
        for key in said:
            if key not in OF_A_CLASS:
                self._refuse(line, key, "needs a rate: a line without one says what a class pays")
        name = said["class"]
        if name in self.classes:
            self._refuse(line, "class", f"{name} is on line {self.classes[name][0]} already")
            return
        given: dict[str, Any] = {}
        if "class_kind" in said:
            given["kind"] = self._value(line, "class_kind", said["class_kind"], _class_kind_of)
        for key in ("percent", "indirect_percent"):
            if key in said:
                given[key] = self._value(line, key, said[key].removesuffix("%"), words.number_of)
        self.classes[name] = (line, RateClass(name, **{key: each for key, each in given.items() if each is not None}))

    def _rate(self, code: str, of: _Lines) -> Rate | None:
        fields = {name: value for name, (value, _, _) in of.fields.items() if value is not None}
        missing = [
            key
            for key, column in COLUMNS.items()
            if column.field in ("service", "counts", "unit") and column.field not in of.fields
        ]
        for key in missing:
            self._refuse(of.first, key, "is empty")
        if missing or not of.tiers:
            return None
        prices = {name: tuple(tiers) for name, tiers in of.tiers.items() if name}
        counts: tuple[Count, ...] = fields.pop("counts", ())
        return Rate(code, counts=counts, tiers=tuple(of.tiers.get("", ())), prices=prices, **fields)

    def _placed(self, problem: str) -> LineError:
        """Return what is wrong with the schedule beside the line that it is about."""
        kind, _, rest = problem.partition(" ")
        name, _, _ = rest.partition(": ")
        if kind == "Rate" and name in self.rates:
            return LineError(self.rates[name].first, "", problem)
        if kind == "Class" and name in self.classes:
            return LineError(self.classes[name][0], "", problem)
        return LineError(1, "", problem)
