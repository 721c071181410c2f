"""Texts as people and providers write them: cleaned once where they come in, and shown so that nothing in them acts."""

import datetime
import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache

# Most texts of an import repeat; these are cleaned once, but for long ones, which would fill the memory.
REMEMBERED = 65_536
SHORT = 1_000

# What copying from mails, pages and Word leaves in a text and nobody sees: soft hyphens, marks of direction, zero
# widths, fillers, shorthand and musical controls, tags. Joiners and variation selectors are dealt with apart.
_UNSEEN = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
# They shape emoji and some scripts, and are nothing behind a Latin letter, a digit or a blank.
_SHAPERS = "\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
_BLANKS = "\t\n\x0b\x0c\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u2800\u3000"
# Dashes, minus signs and hyphens that are not the one of the keyboard.
_DASHES = "\u02d7\u058a\u2010-\u2015\u2043\u2212\u2796\ufe58\ufe63\uff0d"

# What people write where a form or a rule of their provider demands a value, and what exports write for none;
# “-2” and “Unassigned” are Microsoft's.
MISSING_WORDS = (
    "n/a", "na", "n.a.", "#n/a", "none", "null", "(null)", "nil", "nan", "-", "--", "---", "-2", "unassigned",
    "unknown", "undefined", "not applicable", "not set", "tbd", "?",
)  # fmt: skip

_UNSEEN_IN_CODES = re.compile(f"[{_UNSEEN}{_SHAPERS}]")
_UNSEEN_IN_NAMES = re.compile(f"[{_UNSEEN}]|(?:^|(?<=[\x00-\u024f]))[{_SHAPERS}]+")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_ANY_BLANK = re.compile(f"[{_BLANKS}]")
_LINE_END = re.compile("\r\n|[\n\x0b\x0c\r\x1c-\x1e\x85\u2028\u2029]")
_ANY_DASH = re.compile(f"[{_DASHES}]")
# What East Asian keyboards type for the characters of ASCII.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}

# Letters of other scripts that nobody tells from those of ASCII.
_LOOKS_LIKE = dict(
    zip(
        "АВЕЅІЈКМНОРСТУХԚԜаԁеһіјӏорԛсѕѵԝухΑΒΕΖΗΙΚΜΝΟΡΤΥΧοѴօսհց",
        "ABESIJKMHOPCTYXQWadehijlopqcsvwyxABEZHIKMNOPTYXoVouhg",
        strict=True,
    )
)

# What a terminal or a line of a log must not get raw: it moves the cursor, ends the line, turns the direction or hides.
_ACTS = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_UNSEEN}]")
_ISO_MONTH = re.compile(r"(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_ACTS_BUT_LINES = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_UNSEEN}]")


def cleaned(text: str) -> str:
    """Return a name or any text of one line: composed (NFC), with plain blanks, without what nobody sees.

    Dashes stay what they are.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    return _cleaned(text) if len(text) <= SHORT else _clean(text)


def _clean(text: str) -> str:
    plain = _CONTROLS.sub("", _ANY_BLANK.sub(" ", _LINE_END.sub(" ", text)))
    # What is taken out may have stood between a letter and its accent, and a composed letter may be Latin where its
    # parts were not: until nothing changes.
    while (composed := unicodedata.normalize("NFC", _UNSEEN_IN_NAMES.sub("", plain))) != plain:
        plain = composed
    return plain.strip()


_cleaned = lru_cache(maxsize=REMEMBERED)(_clean)


def cleaned_lines(text: str) -> str:
    """Return a text of several lines (an address, a note), each cleaned, with plain line ends."""
    return "\n".join(cleaned(line) for line in _LINE_END.split(text)).strip("\n")


def one_line(text: str) -> str:
    """Return a text as one line of a file holds it: line ends and tabs are blanks, control characters go."""
    if text.isprintable():
        return text
    return _CONTROLS.sub("", _LINE_END.sub(" ", text).replace("\t", " ").replace("\x1f", " "))


def code_of(text: str) -> str:
    """Return a code (a fund/org, project, account or id) as it is stored and compared.

    It is cleaned as names are; other dashes become hyphens, and what has full width becomes ASCII. Other characters
    stay, for two codes must not become one: see `odd_characters`.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    return _coded(text) if len(text) <= SHORT else _code(text)


def _code(text: str) -> str:
    plain = _UNSEEN_IN_CODES.sub("", _clean(text)).translate(_FULL_WIDTH)
    # Last, for letters of full width and those that a joiner held apart are composed too.
    return unicodedata.normalize("NFC", _ANY_DASH.sub("-", plain)).strip()


_coded = lru_cache(maxsize=REMEMBERED)(_code)


def folded_code(text: str) -> str:
    """Return a code or a tag's key as it is compared where case does not matter."""
    return code_of(text).casefold()


def odd_characters(code: str) -> str:
    """Name the first character of a code that is not the letter or digit it looks like; "" where there is none.

    “U+0430 CYRILLIC SMALL LETTER A looks like a Latin a”. The letters of a text all in another script are what they
    seem; its digits are none that a ledger knows.
    """
    if code.isascii():
        return ""
    letters = [each for each in code if each.isalpha() and not each.isascii()]
    is_mixed = any(each.isascii() and each.isalpha() for each in code) or all(each in _LOOKS_LIKE for each in letters)
    for each in code:
        if each.isascii():
            continue
        if (digit := unicodedata.decimal(each, None)) is not None:
            return f"{named(each)} is not the digit {digit}"
        if is_mixed and each in _LOOKS_LIKE:
            return f"{named(each)} looks like a Latin {_LOOKS_LIKE[each]}"
    return ""


def other_characters(code: str) -> str:
    """Name the first character of a code that is not of ASCII, and what it looks like where anybody can tell."""
    if code.isascii():
        return ""
    if found := odd_characters(code):
        return found
    first = next(each for each in code if not each.isascii())
    like = unicodedata.normalize("NFKC", first)
    is_like = len(like) == 1 and like.isascii() and like.isprintable()
    return f"{named(first)} looks like {like}" if is_like else f"it has {named(first)}"


def named(character: str) -> str:
    """Return a character by number and name, as Unicode has it: `U+0430 CYRILLIC SMALL LETTER A`."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()


def number_in(text: str) -> int | None:
    """Return the row's or page's number that a text is; None for any other, and for one that no database holds.

    `int` takes digits of other scripts and no superscripts, and isdigit() says so of neither.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def is_missing(text: str, words: Collection[str]) -> bool:
    """Tell whether a text says that there is nothing: it is empty, or one of some words in any case; see `folds_of`."""
    return not text or text.casefold() in words


def folds_of(words: Iterable[str]) -> frozenset[str]:
    """Return words that mean nothing, as `is_missing` compares them."""
    return frozenset(filter(None, map(folded_code, words)))


def shown(text: str) -> str:
    r"""Return a text of one line for people to read, with what acts or hides written out: `\x1b`, `\n`, `\u200b`."""
    return text if text.isascii() and text.isprintable() else _ACTS.sub(_written_out, text)


def quoted(text: str, limit: int = 60) -> str:
    """Return a text that somebody wrote in quotes, as a message names it: of one line, and not too long."""
    return f"“{shown(text[:limit])}{'…' if len(text) > limit else ''}”"


def shown_lines(text: str) -> str:
    """Return a text as `shown` does, but that its own line feeds and tabs stay."""
    return _ACTS_BUT_LINES.sub(_written_out, text)


def shown_json(text: str) -> str:
    r"""Return JSON that says the same, with what acts or hides escaped as JSON does: `\u009b`."""
    return _ACTS_BUT_LINES.sub(_json_escape, text)


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def ascii_json(text: str) -> str:
    """Return JSON that says the same in ASCII."""
    return _NOT_ASCII.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def long_date(day: datetime.date) -> str:
    """Write a day as screens and documents do: `Nov 28, 2026`."""
    return f"{day:%b} {day.day}, {day.year}"


def iso_day(day: datetime.date) -> str:
    """Write a day as files, JSON and arguments have it: `2025-01-31`; people read `long_date`."""
    return day.isoformat()


def long_month(month: datetime.date) -> str:
    """Write the month that a day is in: `January 2026`."""
    return f"{month:%B %Y}"


def iso_month(month: datetime.date) -> str:
    """Write a month as addresses, files, JSON and arguments have it: `2025-01`; people read `long_month`."""
    return f"{month:%Y-%m}"


def month_name(text: str) -> str:
    """Write a month that is kept as `2026-01` as people read it: `January 2026`; any other text, as it is."""
    return long_month(datetime.date.fromisoformat(f"{text}-01")) if _ISO_MONTH.fullmatch(text) else text


def month_names(texts: Iterable[str], last: str = ", ") -> str:
    """Write months that are kept as `2026-01`, one after the other: `January 2026, February 2026`."""
    return last.join(map(month_name, texts))


def long_dates(first: datetime.date, last: datetime.date) -> str:
    """Write the days from a first to a last one: `Jan 21, 2026 to Jan 31, 2026`, or the one day that is both."""
    return long_date(first) if first == last else f"{long_date(first)} to {long_date(last)}"


def long_span(first: datetime.date | None, last: datetime.date | None) -> str:
    """Write days of which an end may be open: `from Jan 1, 2026 until Jun 30, 2026`; "" for any day."""
    ends = (f"from {long_date(first)}" if first else "", f"until {long_date(last)}" if last else "")
    return " ".join(filter(None, ends))


def long_moment(at: datetime.datetime) -> str:
    """Write a moment to the minute, with the zone it is told in: `Nov 28, 2026, 14:03 UTC`."""
    return f"{long_date(at)}, {at:%H:%M %Z}".rstrip()
