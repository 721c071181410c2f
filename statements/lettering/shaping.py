"""From a text to glyphs: each in the first font that has it, in the order they are seen."""

import functools
import itertools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import uharfbuzz as hb

from .direction import BRACKETS, ISOLATES, levels, turns_direction
from .faces import FALLBACKS, REGULAR, Face, NeedsShaping, face

REGIONAL_A, REGIONAL_Z = "\U0001f1e6", "\U0001f1ff"

MIRRORED = {**BRACKETS, **{closing: opening for opening, closing in BRACKETS.items()}, "<": ">", ">": "<"}


@dataclass(frozen=True)
class Glyph:
    """A glyph where it stands in a line, in thousandths of the font size."""

    face: Face
    number: int
    text: str
    advance: int
    dx: int = 0
    dy: int = 0


def cleaned(text: str) -> str:
    """Return text fit for one line: blanks for control characters, composed, isolates as the only direction marks.

    What no font has is named: an empty box would tell no two projects apart.
    """
    return "".join(
        " " if category in ("Cc", "Zl", "Zp") else _drawable(character)
        for character in unicodedata.normalize("NFC", text)
        if (category := unicodedata.category(character)) not in ("Cs", "Co")
        and (character in ISOLATES or not turns_direction(character))
    ).replace("]\N{ZERO WIDTH JOINER}[", "][")


@functools.lru_cache(maxsize=5_000)
def _drawable(character: str) -> str:
    """Return a character that some font has, or its name: `[spouting whale]`."""
    if character.isascii() or character in ISOLATES:
        return character
    if any(face(name).has(character) for name in (REGULAR, *FALLBACKS)):
        return character
    if REGIONAL_A <= character <= REGIONAL_Z:
        # Two of them are a flag.
        return chr(ord("A") + ord(character) - ord(REGIONAL_A))
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Sk", "Cn"):
        # It only varies or joins what stands before it.
        return ""
    return f"[{unicodedata.name(character, f'U+{ord(character):04X}').lower()}]"


def _face_for(character: str, before: Face | None, wanted: Face) -> Face:
    """Return the font a character is set in: marks and blanks stay with what they follow."""
    if before is not None and before is not wanted:
        follows = unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf") or character == " "
        if follows and before.has(character):
            return before
    if wanted.has(character):
        return wanted
    for name in FALLBACKS:
        if face(name).has(character):
            return face(name)
    return wanted


def _runs(text: str, wanted: Face) -> Iterator[tuple[int, Face, str]]:
    """Cut a line into runs of one level and font, in the order they are read from left to right."""
    faces: list[Face] = []
    for character in text:
        before = faces[-1] if faces else None
        faces.append((before or wanted) if character in ISOLATES else _face_for(character, before, wanted))
    items = zip(levels(text), faces, text, strict=True)
    runs = [
        (level, of, "".join(character for _, _, character in part))
        for (level, of), part in itertools.groupby(items, key=lambda item: (item[0], item[1]))
    ]
    # Rule L2: from the highest level down, turn around every stretch at that level or above.
    for level in range(max((run[0] for run in runs), default=0), 0, -1):
        turned: list[tuple[int, Face, str]] = []
        for above, stretch in itertools.groupby(runs, key=lambda run: run[0] >= level):
            part = list(stretch)
            turned.extend(reversed(part) if above else part)
        runs = turned
    for level, of, part_text in runs:
        # The marks of isolates have done their work.
        if shown := part_text.strip(ISOLATES):
            yield level, of, shown


def _shape_run(level: int, of: Face, text: str) -> Iterator[Glyph]:
    buffer = hb.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if level % 2 else "ltr"
    hb.shape(of.font, buffer, {"liga": True, "kern": True})
    starts = sorted({info.cluster for info in buffer.glyph_infos})
    ends = dict(zip(starts, [*starts[1:], len(text)], strict=True))
    told: set[int] = set()
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        # A cluster's text goes with its first glyph, so that copying gives each letter once.
        covered = "" if info.cluster in told else text[info.cluster : ends[info.cluster]]
        if level % 2 and covered in MIRRORED:
            # Drawn the other way around, and read as it is seen: readers of PDFs turn it back themselves.
            covered = MIRRORED[covered]
        told.add(info.cluster)
        yield Glyph(
            face=of,
            number=info.codepoint,
            text=covered,
            advance=round(position.x_advance * of.scale),
            dx=round(position.x_offset * of.scale),
            dy=round(position.y_offset * of.scale),
        )


@functools.lru_cache(maxsize=20_000)
def shaped(text: str, name: str) -> tuple[Glyph, ...]:
    """Return the glyphs of a line from left to right, each from the first font that has it."""
    return tuple(glyph for run in _runs(cleaned(text), face(name)) for glyph in _shape_run(*run))


@functools.lru_cache(maxsize=50_000)
def width(text: str, name: str) -> int:
    """Return how wide a line is, in thousandths of the font size."""
    try:
        return sum(map(face(name).widths.__getitem__, text))
    except NeedsShaping:
        return sum(glyph.advance for glyph in shaped(text, name))
