"""Regular expressions that staff write, matched by RE2: in time that grows with the text, whatever the pattern says.

Python's own engine tries `(a+)+$` on thirty letters for hours. RE2 knows no such pattern, for it never goes back; what
needs going back (look-ahead and look-behind, back references, possessive repeats) it refuses, when the pattern is
saved. Its `\\d`, `\\w` and `\\s` are those of ASCII.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

import re2

from .errors import BillingError

MAX_LENGTH = 500
# What the patterns of other engines have and RE2 cannot have, by its message, and what to write instead.
_REASONS = {
    "invalid perl operator": "it looks ahead or behind, or has another “(?…” that is not understood here. Say what the "
    "text has to be, from its beginning to its end",
    "invalid escape sequence": "a “\\” stands before something that has no meaning with it, such as \\1 or \\Z",
    "bad repetition operator": "one repetition stands upon another, as in “a*+”",
    "invalid repetition size": "something is repeated more than 1,000 times",
    "missing )": "a “)” is missing",
    "unexpected )": "a “)” has no “(”",
    "missing ]": "a “]” is missing",
    "no argument for repetition operator": "there is nothing to repeat before a *, + or ?",
    "pattern too large": "it is too large",
}


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
    """A pattern cannot be used."""


@lru_cache(maxsize=256)
def compiled(pattern: str, *, ignore_case: bool = False) -> Pattern:
    """Return a pattern ready for use. Raises PatternNotUnderstood, naming it and what is wrong with it."""
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
        made: Pattern = re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        raise PatternNotUnderstood(
            f"“{pattern}” is not a regular expression that can be used: {_reason(error)}. Change it in the policy."
        ) from error
    return made


def fits_one(patterns: tuple[str, ...], text: str) -> bool:
    """Tell whether a text has, as a whole, one of the forms. Raises PatternNotUnderstood."""
    return any(compiled(pattern).fullmatch(text) for pattern in patterns)


def _reason(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(error)
    what, _, where = text.partition(": ")
    reason = _REASONS.get(what, what)
    return f"{reason} (at “{where}”)" if where and where not in reason else reason
