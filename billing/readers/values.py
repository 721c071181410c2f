"""What all values of a file share: conversions that remember, the refusal of a text, names and enumerations."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..texts import cleaned, quoted

# What exports write for "no value" (Oracle, Azure, the official sample), beside an empty field.
NOTHING = frozenset({"", "null", "(null)", "nan", "none", "n/a", "-", "--", "\u2013", "\u2014"})
# In texts only what can hardly be a name.
NO_TEXT = frozenset({"NULL", "null", "(null)"})
MAX_TEXT = 10_000
MAX_NAME = 200
REMEMBERED = 100_000


class BadValue(ValueError):
    """A text that is not of its column's type, with a message for the person who sent the file."""


class Memo(dict[Any, Any]):
    """A conversion that remembers: `memo[text]` converts a text the first time it comes.

    Values repeat thousands of times in an import, and a dict lookup is all that a known one costs.
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
        # Most columns of an import hold one value all along; comparing is quicker than hashing.
        if values and values.count(values[0]) == len(values):
            return [self[values[0]]] * len(values)
        return list(map(self.__getitem__, values))


def is_nothing(text: str) -> bool:
    return text.strip().casefold() in NOTHING


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
