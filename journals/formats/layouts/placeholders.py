"""Text with names in braces, such as `{reference} {project}` or `{posting_date:YYYYMMDD}`: read, and filled in.

A name has a kind. Codes (fund/orgs, accounts, numbers) are printed as they are or not at all, for two codes must not
become one; texts (descriptions, names of people) may be transliterated. Dates and numbers take a form after a colon.
"""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# The parts of a date's form, the longest first: YYYY before YY.
_DATE_PARTS = re.compile("YYYY|YY|MON|Mon|MM|DD|hh|mi|ss")
_DATE_FORM = re.compile(r"(?:YYYY|YY|MON|Mon|MM|DD|hh|mi|ss|[-/. :T])+")
_NUMBER_FORM = re.compile(r"0[1-9][0-9]?")
_PIECE = re.compile(r"\{\{|\}\}|\{([a-z_][a-z0-9_.]*)(?::([^{}]*))?\}|[{}]")


class Kind(StrEnum):
    """What a name stands for."""

    CODE = "code"
    TEXT = "text"
    NUMBER = "number"
    DATE = "date"


# What any field may print.
OF_THE_JOURNAL: Mapping[str, Kind] = {
    "journal.number": Kind.CODE,
    "journal.letter": Kind.CODE,
    "journal.sequence": Kind.NUMBER,
    "journal.month": Kind.DATE,
    "posting_date": Kind.DATE,
    "today": Kind.DATE,
    "batch": Kind.NUMBER,
    "fiscal_year": Kind.NUMBER,
    "fiscal_period": Kind.NUMBER,
    "currency": Kind.CODE,
    "line_count": Kind.NUMBER,
    "debit_count": Kind.NUMBER,
    "credit_count": Kind.NUMBER,
}
# What is known once the records of a file are.
OF_THE_FILE: Mapping[str, Kind] = {"record_count": Kind.NUMBER}
# What fields of lines may print besides.
OF_A_LINE: Mapping[str, Kind] = {
    "line": Kind.NUMBER,
    "count": Kind.NUMBER,
    "support": Kind.CODE,
    "fund_org": Kind.CODE,
    "account": Kind.CODE,
    "reference": Kind.CODE,
    "description": Kind.TEXT,
    "kind": Kind.TEXT,
    "month": Kind.DATE,
    "pi_email": Kind.TEXT,
    "pi_name": Kind.TEXT,
    "project": Kind.TEXT,
    "source": Kind.TEXT,
    "service": Kind.TEXT,
    "grant_number": Kind.CODE,
    "request_id": Kind.CODE,
}
# Families of names: what follows the point is the institution's own.
SETTINGS, SEGMENTS, LOOKUPS = "settings.", "segments.", "lookup."
FILE_STEM = "file.stem"
# TABLE.COLUMN, after the point of its family.
LOOKUP = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


class TemplateNotUnderstood(ValueError):
    """A text with names in braces cannot be read; the message says what is allowed."""


@dataclass(frozen=True)
class Placeholder:
    """A name in braces, and how its value is written."""

    name: str
    form: str = ""
    # Its place in the text, counted from 1.
    place: int = field(default=0, compare=False)


Piece = str | Placeholder


@lru_cache(maxsize=4096)
def pieces_of(template: str) -> tuple[Piece, ...]:
    """Split a text at its names in braces; `{{` and `}}` are braces. Raises TemplateNotUnderstood."""
    found: list[Piece] = []
    at = 0
    for match in _PIECE.finditer(template):
        if match.start() > at:
            found.append(template[at : match.start()])
        at = match.end()
        if match[1]:
            found.append(Placeholder(match[1], match[2] or "", match.start() + 1))
        elif match[0] in ("{{", "}}"):
            found.append(match[0][0])
        else:
            raise TemplateNotUnderstood(
                f"the brace at character {match.start() + 1} belongs to no name. Write {{{{ or }}}} for a brace itself"
            )
    if at < len(template):
        found.append(template[at:])
    return tuple(found)


def placeholders_of(template: str) -> list[Placeholder]:
    """Return the names in braces of a text. Raises TemplateNotUnderstood."""
    return [piece for piece in pieces_of(template) if isinstance(piece, Placeholder)]


def problem_of(placeholder: Placeholder, kind: Kind) -> str:
    """Say what is wrong with how a value of this kind is to be written; "" for nothing."""
    form = placeholder.form
    if not form:
        return ""
    if kind == Kind.DATE:
        is_date = _DATE_FORM.fullmatch(form)
        return "" if is_date else "a date's form is made of YYYY, YY, MM, MON, Mon, DD, hh, mi, ss and - / . :"
    if kind == Kind.NUMBER:
        return "" if _NUMBER_FORM.fullmatch(form) else "a number's form is 0 and how many digits it has, such as 05"
    return "only dates and numbers have a form"


def written(value: str | int | datetime.date, form: str) -> str:
    """Write a value in its form: a date without one in ISO form, a number in digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value).rjust(int(form[1:]), "0") if form else str(value)
    return _DATE_PARTS.sub(lambda found: _part(value, found[0]), form or "YYYY-MM-DD")


def _part(day: datetime.date, part: str) -> str:
    if part in ("hh", "mi", "ss"):
        at = {"hh": "hour", "mi": "minute", "ss": "second"}[part]
        # A day without a time is its first moment.
        return f"{getattr(day, at, 0):02}"
    name = MONTHS[day.month - 1]
    return {
        "YYYY": f"{day.year:04}",
        "YY": f"{day.year % 100:02}",
        "MON": name,
        "Mon": name.capitalize(),
        "MM": f"{day.month:02}",
        "DD": f"{day.day:02}",
    }[part]
