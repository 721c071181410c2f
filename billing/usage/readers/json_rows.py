"""Objects of a JSON file one after the other: of an array, of lines, or of the pages that an interface answers with.

A file of millions of calls takes no more memory than its longest object. What an object says stays out of messages:
it may be what somebody asked a model.
"""

import codecs
import contextlib
import gzip
import json
import re
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ...readers import UnreadableFile
from ...readers.opening import open_file
from ...readers.streams import BROKEN, MIB, broken, check_expansion

BLOCK = MIB
# Of text: a call with pictures in its prompt has a few MiB.
LONGEST = 64 * MIB
GZIP = b"\x1f\x8b"
# An error so near the end of what was read may be no error, once there is more: a number, `true`, an escape.
UNSURE = 16

NO_JSON = "This is not JSON. It has to begin with [ or {."
CUT_OFF = "The file ends in the middle. Copy or download it again."
TOO_LONG = f"The object is longer than {LONGEST // MIB} MiB. Export the file without prompts and answers."
TOO_DEEP = "The object has too many lists or objects within each other."
TWICE = "The object has the same name twice, so that nobody can tell which value is meant."

_BLANKS = re.compile(r"[ \t\r\n]*")


class _Refused(ValueError):
    """A value that JSON may have, and that is not taken."""


def _no_constant(name: str) -> Any:
    raise _Refused(f"{name} is no number.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused(TWICE)
    return found


# Numbers with a point as they are written, never by way of a float.
DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_once)


@dataclass(frozen=True)
class JsonRow:
    """An object of a file: the line it begins on, its number among them from 1, and what it says.

    Numbers are whole, or Decimals as written.
    """

    line: int
    number: int
    value: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Say where it is, beyond its line: files of one line are common."""
        return f"Object {self.number:,}: "


@dataclass
class JsonRows:
    """The objects of a file, in its order: those of arrays, and those that stand by themselves, as in JSON lines.

    `lists` names the keys under which an interface has the array in an object of its own, a page of its answer.
    `pages` then holds what else those objects say, for each of them. Iterating raises UnreadableFile with the line.
    """

    path: Path
    lists: Collection[str] = ()
    pages: list[dict[str, Any]] = field(default_factory=list)

    def __iter__(self) -> Iterator[JsonRow]:
        with contextlib.ExitStack() as stack:
            text = _Text(_bytes_of(self.path, stack))
            if text.next() not in ("[", "{"):
                raise text.error("The file is empty." if not text.next() else NO_JSON)
            for number, (line, value) in enumerate(self._values(text), 1):
                if not isinstance(value, dict):
                    raise UnreadableFile(f"Object {number:,}: It is no object in braces.", line=line)
                yield JsonRow(line, number, value)

    def _values(self, text: "_Text") -> Iterator[tuple[int, Any]]:
        # A file of lines has no pages; those need no look inside before they are taken as a whole.
        may_be_page = bool(self.lists)
        while first := text.next():
            line = text.line
            if first == "[":
                yield from text.elements()
            elif first != "{":
                raise text.error("Only objects and arrays can stand side by side in a file.")
            elif not may_be_page:
                yield line, text.value()
            else:
                rest: dict[str, Any] = {}
                may_be_page = yield from self._page(text, rest)
                if may_be_page:
                    self.pages.append(rest)
                else:
                    yield line, rest

    def _page(self, text: "_Text", rest: dict[str, Any]) -> Generator[tuple[int, Any], None, bool]:
        """Yield what an object has in its array, put all else into `rest`, and return whether there is an array."""
        is_page = False
        text.take("{")
        while text.next() != "}":
            if text.next() != '"':
                raise text.expected("A name in quotes is expected.")
            key = text.value()
            if key in rest:
                raise text.error(TWICE)
            text.take(":")
            if key in self.lists and text.next() == "[":
                yield from text.elements()
                is_page = True
            else:
                rest[key] = text.value()
            if text.next() == ",":
                text.take(",")
                if text.next() == "}":
                    raise text.error("A name is expected behind the comma.")
            elif text.next() != "}":
                raise text.expected("A comma or a closing brace is expected.")
        text.take("}")
        return is_page


class _Text:
    """The text of a file, of which the part around a place is held."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._held = ""
        self._at = 0
        self._is_over = False
        # Characters before those held, and the line that begins, or goes on, at the place `_counted`.
        self._before = 0
        self._line, self._counted = 1, 0
        self._read()
        self._at = 1 if self._held[:1] == "\ufeff" else 0

    @property
    def line(self) -> int:
        """The line of the place."""
        self._line += self._held.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def error(self, message: str, at: int | None = None) -> UnreadableFile:
        """Make an error that names a place, this one unless another of what is held is given."""
        if at is not None:
            self._at = at
        return UnreadableFile(f"At character {self._before + self._at + 1:,}: {message}", line=self.line)

    def expected(self, message: str) -> UnreadableFile:
        """Make an error for what does not come next, or for a file that ends before it."""
        return self.error(message if self.next() else CUT_OFF)

    def next(self) -> str:
        """Go to the next character that is no blank, and return it; "" at the end."""
        while True:
            found = _BLANKS.match(self._held, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._held):
                return self._held[self._at]
            if self._is_over:
                return ""
            self._read()

    def take(self, character: str) -> None:
        """Go behind the next character, which has to be this one."""
        if self.next() != character:
            raise self.expected(f"{character} is expected.")
        self._at += 1

    def elements(self) -> Iterator[tuple[int, Any]]:
        """Yield the elements of the array that begins here, each with its line."""
        self.take("[")
        while self.next() != "]":
            line = self.line
            yield line, self.value()
            if self.next() == ",":
                self.take(",")
                if self.next() == "]":
                    raise self.error("A value is expected behind the comma.")
            elif self.next() != "]":
                raise self.expected("A comma or a closing bracket is expected.")
        self.take("]")

    def value(self) -> Any:
        """Return the value that begins here, and go behind it."""
        self.next()
        while True:
            held = len(self._held)
            try:
                value, end = DECODER.raw_decode(self._held, self._at)
            except json.JSONDecodeError as error:
                is_unsure = error.pos + UNSURE >= held or error.msg.startswith("Unterminated string")
                if not is_unsure or self._is_over:
                    raise self.error(CUT_OFF if is_unsure and self._is_over else f"{error.msg}.", error.pos) from None
            except _Refused as error:
                raise self.error(str(error)) from None
            except RecursionError:
                raise self.error(TOO_DEEP) from None
            except ValueError:
                raise self.error("A number has thousands of digits.") from None
            else:
                # A number that ends where the text does may go on.
                if end < held or self._is_over:
                    self._at = end
                    return value
            if held - self._at > LONGEST:
                raise self.error(TOO_LONG)
            self._read()

    def _read(self) -> None:
        """Read as much as is held behind the place, so that a long value is looked at a few times only."""
        line = self.line
        wanted = max(BLOCK, len(self._held) - self._at)
        pieces = [self._held[self._at :]]
        self._before += self._at
        self._line, self._counted, self._at = line, 0, 0
        while wanted > 0 and not self._is_over:
            block = next(self._blocks, b"")
            try:
                pieces.append(self._decode(block, final=not block))
            except UnicodeDecodeError as error:
                lines = "".join(pieces).count("\n") + error.object[: error.start].count(b"\n")
                raise UnreadableFile("The line is not UTF-8. Export the file as UTF-8.", line=line + lines) from None
            self._is_over = not block
            wanted -= len(block)
        self._held = "".join(pieces)


def _bytes_of(path: Path, stack: contextlib.ExitStack) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked where it is a gzip archive."""
    packed = stack.enter_context(open_file(path))
    try:
        is_packed = packed.peek(2)[:2] == GZIP
        source: Any = stack.enter_context(gzip.GzipFile(fileobj=packed)) if is_packed else packed
        expanded = 0
        while block := source.read(BLOCK):
            expanded += len(block)
            if is_packed:
                check_expansion(expanded, packed.tell())
            yield block
    except BROKEN as error:
        raise broken(error) from error


def begins_json(path: Path) -> bool:
    """Tell whether a file, packed or not, begins as JSON does; raises UnreadableFile where it cannot be opened."""
    with contextlib.ExitStack() as stack:
        start = next(_bytes_of(path, stack), b"")
    return start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"[", b"{")
