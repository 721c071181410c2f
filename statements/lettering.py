"""Letters on paper: any name in fonts of our own, shaped, in the right direction, and found again by a search.

ReportLab writes the file; HarfBuzz shapes what needs shaping and cuts each font down to the glyphs
used. Fonts are embedded by glyph with their Unicode text beside them, so that ligatures and
conjuncts can be searched and copied. Latin, Greek and Cyrillic take a short path.
"""

import functools
import itertools
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uharfbuzz as hb
from reportlab.pdfbase import pdfdoc

FOLDER = Path(__file__).parent / "fonts"
REGULAR, BOLD = "NotoSans-Regular", "NotoSans-Bold"

# Tried in this order for what the text font lacks; the widest comes last.
FALLBACKS = (
    "NotoSansHebrew-Regular",
    "NotoSansArabic-Regular",
    "NotoSansDevanagari-Regular",
    "NotoSansBengali-Regular",
    "NotoSansTamil-Regular",
    "NotoSansTelugu-Regular",
    "NotoSansKannada-Regular",
    "NotoSansMalayalam-Regular",
    "NotoSansGujarati-Regular",
    "NotoSansGurmukhi-Regular",
    "NotoSansSinhala-Regular",
    "NotoSansThai-Regular",
    "NotoSansLao-Regular",
    "NotoSansKhmer-Regular",
    "NotoSansMyanmar-Regular",
    "NotoSansArmenian-Regular",
    "NotoSansGeorgian-Regular",
    "NotoSansEthiopic-Regular",
    "DroidSansFallback",
    "NotoSansSymbols-Regular",
)

# Everything a viewer needs to draw glyphs by number; the rest of a font stays behind.
DROPPED_TABLES = (
    *("BASE", "DSIG", "GDEF", "GPOS", "GSUB", "JSTF", "LTSH", "MATH", "OS/2", "STAT", "VDMX", "VORG"),
    *("cmap", "gasp", "hdmx", "kern", "meta", "name", "post", "vhea", "vmtx"),
)

# A minus is drawn as wide as a figure (Noto Sans has no minus, its en dash is one), and copied as
# the hyphen that a spreadsheet reads as a sign.
MINUS = "\N{MINUS SIGN}"
DRAWN_AS = {MINUS: "\N{EN DASH}", "\N{NO-BREAK SPACE}": " "}
COPIED_AS = {MINUS: "-", "\N{NO-BREAK SPACE}": " ", "\N{THIN SPACE}": " "}


class NeedsShaping(Exception):
    """A character outside the short path: another font, a mark, or another direction."""


def _tag(name: str) -> int:
    return int.from_bytes(name.ljust(4).encode(), "big")


class _Glyphs(dict[str, int]):
    """Glyph by character for the short path, filled as characters turn up."""

    def __init__(self, face: "Face") -> None:
        super().__init__()
        self.face = face

    def __missing__(self, character: str) -> int:
        code = ord(DRAWN_AS.get(character, character))
        if not (code < 0x300 or 0x370 <= code < 0x483 or 0x48A <= code < 0x530 or 0x1E00 <= code < 0x2C00):
            raise NeedsShaping
        glyph = self.face.font.get_nominal_glyph(code)
        if not glyph or unicodedata.category(character) in ("Cc", "Cf", "Mn", "Me"):
            raise NeedsShaping
        self[character] = glyph
        return glyph


class _Widths(dict[str, int]):
    """Width by character in thousandths of the font size, for the short path."""

    def __init__(self, face: "Face") -> None:
        super().__init__()
        self.face = face

    def __missing__(self, character: str) -> int:
        width = self.face.width(self.face.glyphs[character])
        self[character] = width
        return width


class Face:
    """A font file, read once in the life of the process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.face = hb.Face(hb.Blob.from_file_path(str(FOLDER / f"{name}.ttf")))
        self.font = hb.Font(self.face)
        self.scale = 1000 / self.face.upem
        self.glyphs = _Glyphs(self)
        self.widths = _Widths(self)
        self._width: dict[int, int] = {}

    def has(self, character: str) -> bool:
        return bool(self.font.get_nominal_glyph(ord(character)))

    def width(self, glyph: int) -> int:
        if glyph not in self._width:
            self._width[glyph] = round(self.font.get_glyph_h_advance(glyph) * self.scale)
        return self._width[glyph]

    @functools.cached_property
    def prepared(self) -> hb.Face:
        """The face with its tables laid out for being cut many times."""
        return hb.subset_preprocess(self.face)

    def cut(self, glyphs: list[int]) -> tuple[bytes, dict[int, int]]:
        """Return a font of these glyphs, and the new number of each old one."""
        wanted = hb.SubsetInput()
        wanted.glyph_set.update(glyphs)
        wanted.drop_table_tag_set.update(_tag(name) for name in DROPPED_TABLES)
        wanted.flags = hb.SubsetFlags.NO_LAYOUT_CLOSURE | hb.SubsetFlags.NO_HINTING | hb.SubsetFlags.NOTDEF_OUTLINE
        plan = hb.SubsetPlan(self.prepared, wanted)
        mapping = plan.old_to_new_glyph_mapping
        return plan.execute().blob.data, {glyph: mapping[glyph] for glyph in glyphs}


@functools.cache
def face(name: str) -> Face:
    return Face(name)


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
    """Return text fit for one line: blanks for control characters, no direction marks, composed."""
    return "".join(
        " " if category in ("Cc", "Zl", "Zp") else character
        for character in unicodedata.normalize("NFC", text)
        if (category := unicodedata.category(character)) not in ("Cs", "Co") and not _turns_direction(character)
    )


def _turns_direction(character: str) -> bool:
    return character in "\u200e\u200f\u061c" or "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"


def _levels(text: str) -> list[int]:
    """Return each character's embedding level in a left-to-right line (UAX #9, without explicit marks).

    0 runs to the right, 1 to the left, 2 is a number inside text that runs to the left.
    """
    classes = [unicodedata.bidirectional(character) for character in text]
    if not any(each in ("R", "AL", "AN") for each in classes):
        return [0] * len(text)
    levels: list[int | None] = []
    strong = "L"
    for each in classes:
        if each in ("L", "R", "AL"):
            strong = each
            levels.append(0 if each == "L" else 1)
        elif each in ("EN", "AN"):
            levels.append(0 if strong == "L" and each == "EN" else 2)
        elif each == "NSM" and levels:
            levels.append(levels[-1])
        else:
            levels.append(None)
    # A neutral between two that run to the left (numbers count as such) joins them, else the line.
    done: list[int] = []
    following = 0
    coming: list[int] = []
    for level in reversed(levels):
        following = following if level is None else level
        coming.append(following)
    for level, after in zip(levels, reversed(coming), strict=True):
        before = done[-1] if done else 0
        done.append(level if level is not None else int(bool(before and after)))
    return done


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
        faces.append(_face_for(character, faces[-1] if faces else None, wanted))
    items = zip(_levels(text), faces, text, strict=True)
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
    yield from runs


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


class EmbeddedFont:
    """The part of a font that one document uses: its glyphs, numbered as they turn up."""

    def __init__(self, of: Face, resource: str) -> None:
        self.face = of
        self.resource = resource
        self.glyphs: list[int] = [0]
        self.texts: list[str] = [""]
        self.numbers: dict[tuple[int, str], str] = {}
        self.by_character = _Codes(self)

    def code(self, glyph: int, text: str) -> str:
        """Return the four hex digits under which a glyph that stands for `text` is written."""
        key = (glyph, text)
        if key not in self.numbers:
            self.numbers[key] = f"{len(self.glyphs):04X}"
            self.glyphs.append(glyph)
            self.texts.append(text)
        return self.numbers[key]

    def add_to(self, document: pdfdoc.PDFDocument) -> None:
        """Write the font's objects into a document (PDF 32000-1, 9.7)."""
        data, new_numbers = self.face.cut(self.glyphs)
        name = f"AAAAAA+{self.face.name}"
        extents = self.face.font.get_font_extents("ltr")
        ascent, descent = (round(value * self.face.scale) for value in (extents.ascender, extents.descender))
        file = stream(data, f" /Length1 {len(data)}")
        descriptor = Raw(
            f"<< /Type /FontDescriptor /FontName /{name} /Flags 4 /FontBBox [-1000 {descent} 3000 {ascent}] "
            f"/ItalicAngle 0 /Ascent {ascent} /Descent {descent} /CapHeight 714 /StemV 80 "
            f"/FontFile2 {reference(document, file)} >>"
        )
        to_glyph = stream(b"".join(new_numbers[glyph].to_bytes(2, "big") for glyph in self.glyphs))
        widths = " ".join(str(self.face.width(glyph)) for glyph in self.glyphs)
        descendant = Raw(
            f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /{name} "
            f"/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
            f"/FontDescriptor {reference(document, descriptor)} /DW 1000 /W [0 [{widths}]] "
            f"/CIDToGIDMap {reference(document, to_glyph)} >>"
        )
        font = Raw(
            f"<< /Type /Font /Subtype /Type0 /BaseFont /{name} /Encoding /Identity-H "
            f"/DescendantFonts [{reference(document, descendant)}] "
            f"/ToUnicode {reference(document, stream(self._to_unicode()))} >>"
        )
        document.Reference(font)
        document.idToObject["BasicFonts"].dict[self.resource] = font

    def _to_unicode(self) -> bytes:
        pairs = [
            f"<{number:04X}> <{text.encode('utf-16-be').hex().upper()}>"
            for number, text in enumerate(self.texts)
            if text
        ]
        blocks = [
            f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar"
            for block in (pairs[start : start + 100] for start in range(0, len(pairs), 100))
        ]
        return "\n".join(
            [
                "/CIDInit /ProcSet findresource begin",
                "12 dict begin",
                "begincmap",
                "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def",
                "/CMapName /Adobe-Identity-UCS def",
                "/CMapType 2 def",
                "1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange",
                *blocks,
                "endcmap",
                "CMapName currentdict /CMap defineresource pop",
                "end",
                "end",
            ]
        ).encode()


class _Codes(dict[str, str]):
    """Code by character for the short path, filled as characters turn up."""

    def __init__(self, font: EmbeddedFont) -> None:
        super().__init__()
        self.font = font

    def __missing__(self, character: str) -> str:
        glyph = self.font.face.glyphs[character]
        self[character] = code = self.font.code(glyph, COPIED_AS.get(character, character))
        return code


class Lettering:
    """The fonts of one document, and the operators that show text in them."""

    def __init__(self) -> None:
        self.fonts: dict[str, EmbeddedFont] = {}

    def font(self, name: str) -> EmbeddedFont:
        if name not in self.fonts:
            self.fonts[name] = EmbeddedFont(face(name), f"T{len(self.fonts) + 1}")
        return self.fonts[name]

    def operators(self, text: str, name: str, size: float) -> str:
        """Return what shows a line at the current text position, for use between BT and ET."""
        font = self.font(name)
        try:
            codes = "".join(map(font.by_character.__getitem__, text))
        except NeedsShaping:
            return self._shaped_operators(text, name, size)
        return f"/{font.resource} {size:g} Tf <{codes}> Tj"

    def _shaped_operators(self, text: str, name: str, size: float) -> str:
        parts: list[str] = []
        for of, run in itertools.groupby(shaped(text, name), key=lambda glyph: glyph.face):
            font = self.font(of.name)
            parts.append(f"/{font.resource} {size:g} Tf")
            # The fallbacks come in one weight; a thin outline makes them bold.
            bold = name == BOLD and of.name != BOLD
            if bold:
                parts.append(f"2 Tr {size * 0.03:g} w")
            for dy, level in itertools.groupby(run, key=lambda glyph: glyph.dy):
                shown: list[str] = []
                for glyph in level:
                    if glyph.dx:
                        shown.append(str(-glyph.dx))
                    shown.append(f"<{font.code(glyph.number, glyph.text)}>")
                    if back := of.width(glyph.number) + glyph.dx - glyph.advance:
                        shown.append(str(back))
                line = f"[{' '.join(shown)}] TJ"
                parts.append(f"{dy * size / 1000:g} Ts {line} 0 Ts" if dy else line)
            if bold:
                parts.append("0 Tr")
        return " ".join(parts)

    def add_to(self, document: pdfdoc.PDFDocument) -> None:
        for font in self.fonts.values():
            font.add_to(document)


class Raw(pdfdoc.PDFObject):
    """An object of a PDF file, written out already."""

    __RefOnly__ = 1

    def __init__(self, text: str | bytes) -> None:
        self.text = text if isinstance(text, bytes) else text.encode("latin-1")

    def format(self, document: pdfdoc.PDFDocument) -> bytes:
        return self.text


def stream(data: bytes, more: str = "") -> Raw:
    """Return a compressed stream; `more` goes into its dictionary."""
    packed = zlib.compress(data)
    return Raw(
        b"<< /Filter /FlateDecode /Length %d%s >>\nstream\n" % (len(packed), more.encode()) + packed + b"\nendstream"
    )


def reference(document: pdfdoc.PDFDocument, thing: pdfdoc.PDFObject) -> str:
    """Add an object to a document and return how others refer to it: `12 0 R`."""
    document.Reference(thing)
    number, version = document.idToObjectNumberAndVersion[thing.__InternalName__]
    return f"{number} {version} R"
