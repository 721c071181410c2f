"""Regular expressions that staff write, matched by RE2: in time that grows with the text, whatever the pattern says.

Python's own engine tries `(a+)+$` on thirty letters for hours. RE2 knows no such pattern, for it never goes back; what
needs going back (look-ahead and look-behind, back references, possessive repeats) it refuses, when the pattern is
saved. Its `\\d`, `\\w` and `\\s` are those of ASCII.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

import re2

from .errors import BillingError

MAX_LENGTH = 500
# Steps of the program that RE2 makes of a pattern. Each character of a text takes at most all of them: at this size
# 200 characters take less than 10 ms, whatever they are. `\pL` has 1,200, and `[0-9]{6}` has 12.
MAX_SIZE = 10_000
# What the patterns of other engines have and RE2 cannot have, by its message, and what to write instead.
_REASONS = {
    "invalid perl operator": "it looks ahead or behind, or has another “(?…” that is not understood here. Say what the "
    "text has to be, from its beginning to its end",
    "invalid escape sequence": "a “\\” stands before something that has no meaning with it, such as \\1 or \\Z. "
    "Write \\\\ for the character itself",
    "trailing \\": "it ends in a “\\”. Write \\\\ for the character itself",
    "bad repetition operator": "one repetition stands upon another, as in “a*+”. Keep one of them",
    "invalid repetition size": "something is repeated more than 1,000 times, or the limits are the wrong way around. "
    "Write the smaller number first, as in {2,6}",
    "missing )": "a “)” is missing. Close the group, or write \\( for the character itself",
    "unexpected )": "a “)” has no “(”. Take it out, or write \\) for the character itself",
    "missing ]": "a “]” is missing. Close the set, or write \\[ for the character itself",
    "invalid character class range": "a set has a range or a name that is none. Write the smaller end first, as in "
    "[a-z]",
    "no argument for repetition operator": "there is nothing to repeat before a *, + or ?. Write \\* for the character "
    "itself",
    "pattern too large": "it stands for too many texts. Repeat less, such as {1,20} in place of {1,500}",
}


_GROUP = re.compile(r"\(\?P?<(\w+)>")


class Match(Protocol):
    def groupdict(self) -> Mapping[str, str | None]: ...


class Pattern(Protocol):
    @property
    def pattern(self) -> str: ...
    @property
    def groupindex(self) -> Mapping[str, int]: ...
    def search(self, text: str, /) -> Match | None: ...
    def fullmatch(self, text: str, /) -> Match | None: ...


class PatternNotUnderstood(BillingError):
    """A pattern cannot be used. `place` is the character, counted from 1, at which it is wrong, where that is known."""

    def __init__(self, message: str, *, reason: str = "", place: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason or message
        self.place = place


@lru_cache(maxsize=256)
def compiled(pattern: str, *, ignore_case: bool = False) -> Pattern:
    """Return a pattern ready for use. Raises PatternNotUnderstood, naming it, what is wrong with it, and where."""
    if len(pattern) > MAX_LENGTH:
        raise PatternNotUnderstood(
            f"The pattern “{pattern[:40]}…” has {len(pattern):,} characters, and may have {MAX_LENGTH}. "
            "Make several of it."
        )
    options = re2.Options()
    options.case_sensitive = not ignore_case
    # What is wrong is in the exception.
    options.log_errors = False
    try:
        made = re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        raise _not_understood(pattern, *_told(error)) from error
    if made.programsize > MAX_SIZE:
        raise _not_understood(pattern, "pattern too large", "")
    ready: Pattern = made
    return ready


def fits_one(patterns: tuple[str, ...], text: str) -> bool:
    """Tell whether a text has, as a whole, one of the forms. Raises PatternNotUnderstood."""
    return any(compiled(pattern).fullmatch(text) for pattern in patterns)


def group_names(pattern: str) -> list[str]:
    """Return the names of a pattern's groups as they are written, one that is there twice twice."""
    return _GROUP.findall(_without_sets(pattern))


class Searched:
    """Patterns that are looked for anywhere in texts, in any case: what holds charges for review."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raise PatternNotUnderstood for one that cannot be used."""
        self._patterns: Sequence[Pattern] = [compiled(pattern, ignore_case=True) for pattern in patterns]
        self._any = _either([each.pattern for each in self._patterns])

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def first_in(self, text: str) -> str:
        """Return the first pattern that a text matches, "" for none; nothing matches an empty text."""
        return next(self._in(text), "")

    def all_in(self, text: str) -> list[str]:
        """Return every pattern that a text matches."""
        return list(self._in(text))

    def _in(self, text: str) -> Iterator[str]:
        # Most texts match none: ten patterns in one search take a tenth of the time.
        if text and (self._any is None or self._any.search(text)):
            yield from (each.pattern for each in self._patterns if each.search(text))


def _either(patterns: Sequence[str]) -> Pattern | None:
    """Return a pattern for what matches any of several; None for a single one, or where RE2 makes none of them."""
    options = re2.Options()
    options.case_sensitive, options.log_errors = False, False
    try:
        made: Pattern | None = re2.compile("|".join(f"(?:{each})" for each in patterns), options)
    except re2.error:
        return None
    return made if len(patterns) > 1 else None


def _told(error: Exception) -> tuple[str, str]:
    """Return what RE2 says is wrong, and the part of the pattern that it names."""
    said = error.args[0] if error.args else ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(error)
    what, _, where = text.partition(": ")
    return what, where


def _not_understood(pattern: str, what: str, where: str) -> PatternNotUnderstood:
    known = next((name for name in _REASONS if what.startswith(name)), "")
    reason = _REASONS.get(known, what)
    if where and where not in (pattern, reason) and where not in reason:
        reason = f"{reason} (at “{where}”)"
    place = _place(pattern, known, where)
    told = f", at character {place}" if place else ""
    return PatternNotUnderstood(
        f"“{pattern}” is not a regular expression that can be used{told}: {reason}. Change it in the policy.",
        reason=f"{reason}.",
        place=place,
    )


def _place(pattern: str, what: str, where: str) -> int | None:
    """Return the character, counted from 1, at which a pattern is wrong; None where nobody can tell."""
    if what.startswith("trailing"):
        return len(pattern)
    if what in ("missing )", "unexpected )"):
        return _unpaired(pattern)
    plain = _without_escapes(pattern)
    # What is escaped is not what RE2 stumbled upon, unless it is about the escape itself.
    at = (pattern if where.startswith("\\") else plain).find(where) if where else -1
    return at + 1 if at >= 0 else None


def _unpaired(pattern: str) -> int | None:
    """Return the first parenthesis that closes nothing, else the last that is not closed."""
    opened: list[int] = []
    for place, character in enumerate(_without_sets(pattern), 1):
        if character == "(":
            opened.append(place)
        elif character == ")":
            if not opened:
                return place
            opened.pop()
    return opened[-1] if opened else None


def _without_escapes(pattern: str) -> str:
    """Return a pattern of the same length with its escapes blanked out."""
    found: list[str] = []
    is_escaped = False
    for character in pattern:
        is_escaped = not is_escaped and character == "\\"
        found.append(" " if is_escaped or (found and found[-1] == "\0") else character)
        if is_escaped:
            found[-1] = "\0"
    return "".join(" " if each == "\0" else each for each in found)


def _without_sets(pattern: str) -> str:
    """Return a pattern of the same length with its escapes and its [sets] blanked out."""
    found: list[str] = []
    begun: int | None = None
    for place, character in enumerate(_without_escapes(pattern)):
        if begun is None and character == "[":
            begun = place
        # The first in a set, or after ^, is a character of it.
        elif begun is not None and character == "]" and pattern[begun + 1 : place] not in ("", "^"):
            begun = None
            found.append(" ")
            continue
        found.append(" " if begun is not None else character)
    return "".join(found)
