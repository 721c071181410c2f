"""Addresses in texts on paper: which letters of which line open what."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ..lettering import cleaned, runs_left

# What ends a sentence or closes a bracket is no part of the address before it.
ADDRESS = re.compile(r"https?://[^\s<>\"]*[\w/#=&%-]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


@dataclass(frozen=True)
class Address:
    """What a link opens, and what it says to who cannot see it."""

    url: str
    text: str


@dataclass(frozen=True)
class Piece:
    """A part of a line, which belongs to an address or to none."""

    line: int
    before: str
    text: str
    address: Address | None


def pieces(lines: Sequence[str]) -> list[Piece]:
    """Cut lines into what is an address and what is not, in the order they are read.

    An address may go on over several lines. Lines that run left have none: a letter's place in them is another.
    """
    whole = "".join(lines)
    may_have = ("@" in whole or "://" in whole) and not runs_left(whole)
    found = ADDRESS.finditer(whole) if may_have else ()
    cuts = [(match.start(), match.end(), _address(match.group())) for match in found]
    done = []
    start = 0
    for number, line in enumerate(lines):
        at = 0
        for begins, ends, address in cuts:
            first, last = max(begins - start, at), min(ends - start, len(line))
            if first >= last:
                continue
            if first > at:
                done.append(Piece(number, line[:at], line[at:first], None))
            done.append(Piece(number, line[:first], line[first:last], address))
            at = last
        if at < len(line) or not line:
            done.append(Piece(number, line[:at], line[at:], None))
        start += len(line)
    return done


def _address(text: str) -> Address:
    if "://" in text:
        return Address(quote(text, safe=":/?#[]@!$&'()*+,;=%~"), f"Open {cleaned(text)}")
    return Address(f"mailto:{quote(text, safe='@+')}", f"Write to {cleaned(text)}")
