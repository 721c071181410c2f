"""What a layout is made of. Every default is that of the published schema."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from .placeholders import LOOKUPS, placeholders_of

Sides = Literal["", "debit", "credit", "payer", "recovery"]


@dataclass(frozen=True)
class Setting:
    """A value of the institution's own."""

    name: str
    label: str
    value: str = ""
    example: str = ""
    width: int | None = None
    optional: bool = False


@dataclass(frozen=True)
class Amount:
    """Which amount a field prints, and how."""

    of: str
    sign: str = "minus"
    point: bool = True
    decimals: int | None = None
    zero: str = "shown"


@dataclass(frozen=True)
class Side:
    """What a field prints on a debit and on a credit."""

    debit: str
    credit: str


@dataclass(frozen=True)
class Field:
    """A field of a record: what it prints, and in how many bytes."""

    name: str
    value: str = ""
    credit_value: str | None = None
    many_value: str | None = None
    amount: Amount | None = None
    side: Side | None = None
    hash_of: str = ""
    width: int | None = None
    align: str = ""
    fill: str = " "
    required: bool = False
    may_be_cut: bool = False
    upper: bool = False
    only: Sides = ""

    @property
    def templates(self) -> tuple[str, ...]:
        return tuple(each for each in (self.value, self.credit_value, self.many_value) if each is not None)

    @cached_property
    def is_blank(self) -> bool:
        """Whether it prints nothing on any line: most columns of some ledgers."""
        return not (any(self.templates) or self.amount or self.side or self.hash_of or self.required)

    @property
    def is_right(self) -> bool:
        return self.align == "right" or (not self.align and (self.amount is not None or bool(self.hash_of)))


@dataclass(frozen=True)
class Record:
    """A line or row: written once for the journal, or for each line of the file."""

    name: str
    each: Literal["journal", "line"]
    fields: tuple[Field, ...]
    headings: bool = False

    @property
    def is_of_lines(self) -> bool:
        return self.each == "line"


@dataclass(frozen=True)
class Sheet:
    """A sheet of a spreadsheet."""

    name: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class File:
    """A file: records of fixed width, CSV, a spreadsheet, or the support of what is condensed."""

    name: str
    kind: Literal["fixed", "csv", "xlsx", "support"]
    zipped: bool = False
    delimiter: str = ","
    quote: str = "needed"
    guard: bool = True
    records: tuple[Record, ...] = ()
    sheets: tuple[Sheet, ...] = ()

    @property
    def parts(self) -> tuple[Sheet, ...]:
        """Its sheets; of a text, all of it."""
        return self.sheets or (Sheet("", self.records),)


@dataclass(frozen=True)
class Condense:
    """Which journal lines are one line of the file."""

    payers: str = "line"
    recoveries: str = "line"
    sponsored: str = "statement"

    @property
    def is_any(self) -> bool:
        return self.payers != "line" or self.recoveries != "line"


@dataclass(frozen=True)
class Descriptions:
    """What `{description}` prints on lines of a file; "" where it is that of the journal line.

    Credits are as debits where they have none of their own, and so are lines that stand for several.
    """

    debit: str = ""
    credit: str = ""
    many: str = ""

    @property
    def by_name(self) -> dict[str, str]:
        """Those that are given, by their names."""
        return {name: text for name, text in vars(self).items() if text}

    def of(self, *, is_debit: bool, is_many: bool) -> str:
        """Return what a line has."""
        if is_many and self.many:
            return self.many
        return self.debit if is_debit else self.credit or self.debit


@dataclass(frozen=True)
class Layout:
    """How a journal is written for a ledger's loader."""

    title: str
    files: tuple[File, ...]
    description: str = ""
    settings: tuple[Setting, ...] = ()
    segments: str = ""
    encoding: str = "ascii"
    unknown_characters: str = "refuse"
    line_end: str = "lf"
    condense: Condense = Condense()
    descriptions: Descriptions = Descriptions()
    support: str = "{journal.number}-{line}"
    zip: str = ""

    @property
    def describing(self) -> list[Field]:
        """The fields of the file for the ledger that print `{description}`."""
        records = [each for part in self.main.parts for each in part.records if each.is_of_lines]
        fields = [field for record in records for field in record.fields]
        return [field for field in fields if any("{description}" in template for template in field.templates)]

    @property
    def lookups(self) -> list[str]:
        """What its fields and descriptions look up, as TABLE.COLUMN."""
        records = [record for file in self.files for part in file.parts for record in part.records]
        templates = [template for record in records for field in record.fields for template in field.templates]
        named = [
            each.name for text in (*templates, *self.descriptions.by_name.values()) for each in placeholders_of(text)
        ]
        return sorted({name.removeprefix(LOOKUPS) for name in named if name.startswith(LOOKUPS)})

    @property
    def main(self) -> File:
        return self.files[0]

    @property
    def empty_settings(self) -> list[Setting]:
        """Those that have to be filled in before the layout writes anything."""
        return [each for each in self.settings if not each.value.strip() and not each.optional]
