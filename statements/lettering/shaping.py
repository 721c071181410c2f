"""From a text to glyphs: each in the first font that has it, in the order they are seen."""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

import uharfbuzz as hb

from .direction import BRACKETS, ISOLATES, levels, turns_direction
from .faces import FALLBACKS, REGULAR, Face, NeedsShaping, face
from .languages import languages

REGIONAL_A, REGIONAL_Z = "\U0001f1e6", "\U0001f1ff"

# What a glyph is copied as that others beside it stand for already: no letter, and nothing to break a word at.
SILENT = "\N{WORD JOINER}"

# Which letters and signs HarfBuzz draws turned around in a run to the left, by what they then look like.
_TURNED = {**BRACKETS, "<": ">", "«": "»", "‹": "›", "≤": "≥"}
MIRRORED = {**_TURNED, **{after: before for before, after in _TURNED.items()}}

VARIATIONS = re.compile("[\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


@dataclass(frozen=True)
class Glyph:
    """A glyph where it stands in a line, in thousandths of the font size."""

    face: Face
    number: int
    text: str
    advance: int
    dx: int = 0
    dy: int = 0
    # What it is read aloud in; empty for the document's own language.
    language: str = ""


def cleaned(text: str) -> str:
    """Return text fit for one line: blanks for control characters, composed, isolates as the only direction marks.

    What no font has is named, or given by its number: an empty box would tell no two projects apart.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        " " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else _drawable(character)
        for character in unicodedata.normalize("NFC", text)
        if character in ISOLATES or not turns_direction(character)
    ).replace("]\N{ZERO WIDTH JOINER}[", "][")


def unprinted(text: str) -> list[str]:
    """Return the characters of a text that no font has, each once; their names or numbers are printed for them."""
    if text.isascii():
        return []
    return [
        character
        for character in dict.fromkeys(unicodedata.normalize("NFC", text))
        if not turns_direction(character)
        and not REGIONAL_A <= character <= REGIONAL_Z
        and _drawable(character) not in (character, "")
        and unicodedata.category(character) not in ("Cc", "Zl", "Zp")
    ]


@functools.lru_cache(maxsize=5_000)
def _drawable(character: str) -> str:
    """Return a character that some font has, or its name or number: `[spouting whale]`, `[U+E000]`."""
    if character.isascii() or character in ISOLATES:
        return character
    if any(face(name).has(character) for name in (REGULAR, *FALLBACKS)):
        return character
    if REGIONAL_A <= character <= REGIONAL_Z:
        # Two of them are a flag.
        return chr(ord("A") + ord(character) - ord(REGIONAL_A))
    if unicodedata.category(character) in ("Cf", "Sk") or VARIATIONS.fullmatch(character):
        # It only varies or joins what stands before it.
        return ""
    name = unicodedata.name(character, "").lower()
    # The name of a Chinese character is its number.
    is_named = name and not name.startswith("cjk ")
    return f"[{name}]" if is_named else f"[U+{ord(character):04X}]"


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


@dataclass(frozen=True)
class _Run:
    """A part of a line in one direction, font and language."""

    level: int
    face: Face
    language: str
    text: str


def _runs(text: str, wanted: Face) -> Iterator[_Run]:
    """Cut a line into runs, in the order they are seen from left to right."""
    faces: list[Face] = []
    for character in text:
        before = faces[-1] if faces else None
        faces.append((before or wanted) if character in ISOLATES else _face_for(character, before, wanted))
    items = zip(levels(text), faces, languages(text), text, strict=True)
    runs = [
        _Run(level, of, language, "".join(item[-1] for item in part))
        for (level, of, language), part in itertools.groupby(items, key=lambda item: (item[0], item[1], item[2]))
    ]
    # Rule L2: from the highest level down, turn around every stretch at that level or above.
    for level in range(max((run.level for run in runs), default=0), 0, -1):
        turned: list[_Run] = []
        for above, stretch in itertools.groupby(runs, key=lambda run: run.level >= level):
            part = list(stretch)
            turned.extend(reversed(part) if above else part)
        runs = turned
    for run in runs:
        # The marks of isolates have done their work.
        if shown := run.text.strip(ISOLATES):
            yield replace(run, text=shown)


def _shape_run(run: _Run) -> Iterator[Glyph]:
    level, of, text = run.level, run.face, run.text
    buffer = hb.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if level % 2 else "ltr"
    hb.shape(of.font, buffer, {"liga": True, "kern": True})
    texts = _texts([info.cluster for info in buffer.glyph_infos], text, is_left=level % 2 == 1)
    for info, position, covered in zip(buffer.glyph_infos, buffer.glyph_positions, texts, strict=True):
        yield Glyph(
            face=of,
            number=info.codepoint,
            text=covered,
            advance=round(position.x_advance * of.scale),
            dx=round(position.x_offset * of.scale),
            dy=round(position.y_offset * of.scale),
            language=run.language,
        )


def _texts(clusters: list[int], text: str, *, is_left: bool) -> list[str]:
    """Return what each glyph is copied as, so that copying a line gives each character once, in its order.

    A cluster is what was shaped as one: its characters go to its glyphs in turn, the last takes what is left.
    """
    starts = sorted(set(clusters))
    ends = dict(zip(starts, [*starts[1:], len(text)], strict=True))
    found = []
    for cluster, group in itertools.groupby(reversed(clusters) if is_left else clusters):
        count = len(list(group))
        covered = text[cluster : ends[cluster]]
        if is_left and covered in MIRRORED:
            # Drawn the other way around, and read as it is seen: readers of PDFs turn it back themselves.
            covered = MIRRORED[covered]
        head = list(covered[: count - 1])
        # PDF/A and PDF/UA let no glyph be copied as nothing.
        found += [*head, covered[len(head) :] or SILENT, *[SILENT] * (count - 1 - len(head))]
    return found[::-1] if is_left else found


@functools.lru_cache(maxsize=20_000)
def shaped(text: str, name: str) -> tuple[Glyph, ...]:
    """Return the glyphs of a line from left to right, each from the first font that has it."""
    return tuple(glyph for run in _runs(cleaned(text), face(name)) for glyph in _shape_run(run))


@functools.lru_cache(maxsize=50_000)
def width(text: str, name: str) -> int:
    """Return how wide a line is, in thousandths of the font size."""
    try:
        return sum(map(face(name).widths.__getitem__, text))
    except NeedsShaping:
        return sum(glyph.advance for glyph in shaped(text, name))
