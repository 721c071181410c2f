"""Texts fitted to their place: broken into lines, or cut short."""

from collections.abc import Iterable
from dataclasses import replace

from ..lettering import MINUS, OPENING, POP, cleaned
from .styles import Text


def signed(text: str) -> str:
    """Write a minus that can be seen from across the table; it is copied as a hyphen."""
    return text.replace("-", MINUS)


def fitted(text: str, style: Text, room: float) -> str:
    """Cut a text that is too long for its place, with an ellipsis in the middle: both ends of an id tell."""
    if style.width(text) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if style.width(_shortened(text, middle)) <= room:
            low = middle
        else:
            high = middle - 1
    return _shortened(text, low)


def _shortened(text: str, length: int) -> str:
    head = (length * 2 + 2) // 3
    tail = length - head
    return f"{text[:head].rstrip()}…{text[len(text) - tail :].lstrip() if tail else ''}"


def narrowed(text: str, style: Text, room: float) -> Text:
    """Return a style in which a figure fits: no digit of it is left out, so a very large one is set smaller."""
    wide = style.width(text)
    return style if wide <= room else replace(style, size=max(4.0, int(style.size * room / wide * 10) / 10))


def wrapped(text: str, style: Text, room: float) -> list[str]:
    """Break a text into lines no wider than `room`; a word that is wider itself is broken.

    A line that is broken between words ends with their blank, for who reads the lines one after the other.
    """
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in cleaned(paragraph).split():
            if style.width(joined := f"{line} {word}" if line else word) <= room:
                line = joined
                continue
            if line:
                lines.append(f"{line} ")
            while style.width(word) > room and len(word) > 1:
                cut = next(at for at in range(len(word) - 1, 0, -1) if at == 1 or style.width(word[:at]) <= room)
                lines.append(word[:cut])
                word = word[cut:]
            line = word
        if line:
            lines.append(line)
    return _balanced(lines)


def lines_of(texts: Iterable[str], style: Text, room: float) -> list[str]:
    """Break texts that stand below each other into lines, with a blank between them for who reads them in one go."""
    parts = [lines for text in texts if (lines := wrapped(text, style, room))]
    return [
        f"{line} " if number + 1 == len(lines) and lines is not parts[-1] else line
        for lines in parts
        for number, line in enumerate(lines)
    ]


def _balanced(lines: list[str]) -> list[str]:
    """Close a name that is broken over lines at the end of each, and open it again on the next, running as before."""
    done = []
    still_open = ""
    for line in lines:
        opened = still_open + line
        for character in line:
            if character in OPENING:
                still_open += character
            elif character == POP:
                still_open = still_open[:-1]
        done.append(opened + POP * len(still_open))
    return done
