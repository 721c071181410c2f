"""Letters in the bytes of a file: written as they are, by a like in ASCII, or told to be unknown; cut and filled up."""

import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

from anyascii import anyascii

from billing.texts import named, one_line

# Names of encodings in layouts, and Python's.
ENCODINGS: Mapping[str, str] = {
    "ascii": "ascii",
    "latin-1": "latin-1",
    "windows-1252": "cp1252",
    "utf-8": "utf-8",
    "utf-8-bom": "utf-8-sig",
}
QUESTION_MARK = "?"
# Combining marks, format characters and modifiers: none is a letter by itself.
MARKS = ("Mn", "Mc", "Me", "Cf", "Lm", "Sk")
# Scripts of which some letters have no sound of their own, such as the alef.
WITH_SILENT_LETTERS = ("ARABIC", "HEBREW", "HANGUL", "SYRIAC")
# Of the letters that a message names.
MOST = 3


class UnknownLetters(ValueError):
    """An encoding lacks letters of a text; the message names them."""

    def __init__(self, letters: list[str]) -> None:
        told = ", ".join(map(named, letters[:MOST]))
        more = f" and {len(letters) - MOST} more" if len(letters) > MOST else ""
        super().__init__(f"{told}{more}")


@lru_cache(maxsize=65_536)
def transliterated(text: str, encoding: str, *, asks: bool) -> str:
    """Return a text in letters that an encoding has: é is é where it has that, else e.

    What has no like is a question mark, or with `asks` false UnknownLetters is raised.
    """
    text = unicodedata.normalize("NFC", one_line(text))
    if text.isascii():
        return text
    found, unknown = [], []
    for letter in text:
        if can_write(letter, encoding):
            found.append(letter)
        elif (like := anyascii(letter)) and like.isascii():
            found.append(like)
        elif not _is_silent(letter):
            found.append(QUESTION_MARK)
            unknown.append(letter)
    if unknown and not asks:
        raise UnknownLetters(list(dict.fromkeys(unknown)))
    return "".join(found)


def _is_silent(letter: str) -> bool:
    """Tell whether a letter may be left out: an accent, what turns the direction of writing, or an alef."""
    script = unicodedata.name(letter, "").partition(" ")[0]
    return unicodedata.category(letter) in MARKS or script in WITH_SILENT_LETTERS


def require_written(text: str, encoding: str) -> str:
    """Return a code as it is. Raises UnknownLetters where an encoding lacks a letter of it, or nobody sees one."""
    if text.isascii() and text.isprintable():
        return text
    unknown = [each for each in text if unicodedata.category(each) == "Cc" or not can_write(each, encoding)]
    if unknown:
        raise UnknownLetters(list(dict.fromkeys(unknown)))
    return text


def can_write(text: str, encoding: str) -> bool:
    try:
        text.encode(ENCODINGS[encoding])
    except UnicodeEncodeError:
        return False
    return True


def width_of(text: str, encoding: str) -> int:
    """Return how many bytes a text takes in a file, without the mark that the file may begin with."""
    return len(text) if text.isascii() else len(text.encode(ENCODINGS[encoding].removesuffix("-sig")))


def cut(text: str, width: int, encoding: str) -> str:
    """Return the beginning of a text that takes so many bytes at most, without half a letter."""
    if width_of(text, encoding) <= width:
        return text
    kept, taken = [], 0
    for letter in _letters(text):
        taken += width_of(letter, encoding)
        if taken > width:
            break
        kept.append(letter)
    return "".join(kept)


def _letters(text: str) -> Iterator[str]:
    """Yield what a reader takes for one letter: each with the accents that follow it."""
    letter = ""
    for character in text:
        if letter and not unicodedata.combining(character):
            yield letter
            letter = ""
        letter += character
    if letter:
        yield letter


def filled(text: str, width: int, encoding: str, *, fill: str, is_right: bool) -> str:
    """Fill a text up to so many bytes, in front where it is `is_right`; it may not be longer."""
    missing = fill * (width - width_of(text, encoding))
    return missing + text if is_right else text + missing
