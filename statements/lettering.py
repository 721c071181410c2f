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


REGIONAL_A, REGIONAL_Z = "\U0001f1e6", "\U0001f1ff"

# Around a name, so that it runs by itself; the closing mark ends it. Other marks of direction are left out.
FIRST_STRONG, POP = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
ISOLATES = FIRST_STRONG + POP
# Pairs of brackets (UAX #9, BD14 to BD16) that names and titles use.
BRACKETS = {"(": ")", "[": "]", "{": "}", "⟨": "⟩", "「": "」", "『": "』", "《": "》", "〈": "〉", "【": "】"}
MIRRORED = {**BRACKETS, **{closing: opening for opening, closing in BRACKETS.items()}, "<": ">", ">": "<"}
CLOSING = {closing: opening for opening, closing in BRACKETS.items()}


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
    """Return text fit for one line: blanks for control characters, composed, isolates as the only direction marks.

    What no font has is named: an empty box would tell no two projects apart.
    """
    return "".join(
        " " if category in ("Cc", "Zl", "Zp") else _drawable(character)
        for character in unicodedata.normalize("NFC", text)
        if (category := unicodedata.category(character)) not in ("Cs", "Co")
        and (character in ISOLATES or not _turns_direction(character))
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


def _turns_direction(character: str) -> bool:
    return character in "\u200e\u200f\u061c" or "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"


def isolated(text: str) -> str:
    """Return a name fit to stand beside others: it runs in its own direction, and turns nothing around it."""
    if not _runs_left(text):
        return text
    return f"{FIRST_STRONG}{''.join(each for each in text if not _turns_direction(each))}{POP}"


def _runs_left(text: str) -> bool:
    return not text.isascii() and any(unicodedata.bidirectional(each) in ("R", "AL", "AN") for each in text)


def _levels(text: str, base: int = 0) -> list[int]:
    """Return each character's embedding level in a line (UAX #9, with isolates as the only explicit marks).

    Even levels run to the right, odd ones to the left. What an isolate holds is leveled by itself, in the
    direction of its first strong letter; to what stands around, it is one neutral character.
    """
    if not _runs_left(text):
        return [base] * len(text)
    levels = [base] * len(text)
    # What is leveled together: the characters outside of isolates, and each isolate's opening mark.
    places: list[int] = []
    ends: dict[int, int] = {}
    at = 0
    while at < len(text):
        places.append(at)
        if text[at] == FIRST_STRONG:
            end = _end_of_isolate(text, at)
            inner = text[at + 1 : end]
            levels[at + 1 : end] = _levels(inner, _base_of(inner, base))
            ends[at] = end
            at = end
        at += 1
    for place, level in zip(places, _resolved([text[place] for place in places], base), strict=True):
        levels[place] = level
        if ends.get(place, len(text)) < len(text):
            levels[ends[place]] = level
    return levels


def _end_of_isolate(text: str, start: int) -> int:
    """Return where an isolate ends: at its own closing mark, or at the end of the text."""
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == FIRST_STRONG) - (text[at] == POP)
        if not depth:
            return at
    return len(text)


def _base_of(text: str, around: int) -> int:
    """Return the level of a text by its first strong letter outside of isolates (P2, P3), inside one at `around`."""
    at = 0
    while at < len(text):
        if text[at] == FIRST_STRONG:
            at = _end_of_isolate(text, at)
        elif (kind := unicodedata.bidirectional(text[at])) in ("L", "R", "AL"):
            wanted = 0 if kind == "L" else 1
            return around + 1 if (around + 1) % 2 == wanted else around + 2
        at += 1
    return around + 2 if around % 2 == 0 else around + 1


def _resolved(characters: list[str], base: int) -> list[int]:
    """Return the levels of characters that stand in one direction's text: rules W1 to W7, N0 to N2, I1 and I2."""
    own = "R" if base % 2 else "L"
    kinds = [
        "ON" if character in (FIRST_STRONG, POP) else unicodedata.bidirectional(character) or "L"
        for character in characters
    ]
    _resolve_weak(kinds, own)
    _resolve_brackets(characters, kinds, own)
    _resolve_neutral(kinds, own)
    up = {"L": (0, 1), "R": (1, 0), "EN": (2, 1), "AN": (2, 1)}
    return [base + up[kind][base % 2] for kind in kinds]


def _resolve_weak(kinds: list[str], own: str) -> None:
    before, strong = own, own
    for at, kind in enumerate(kinds):
        if kind == "NSM":
            kinds[at] = kind = before
        if kind in ("L", "R", "AL"):
            strong = kind
        elif kind == "EN" and strong == "AL":
            kinds[at] = "AN"
        before = kinds[at]
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]
    for at in range(1, len(kinds) - 1):
        around = (kinds[at - 1], kinds[at + 1])
        if (kinds[at] in ("ES", "CS") and around == ("EN", "EN")) or (kinds[at] == "CS" and around == ("AN", "AN")):
            kinds[at] = around[0]
    for kind, run in itertools.groupby(range(len(kinds)), key=lambda at: kinds[at]):
        stretch = list(run)
        if kind == "ET":
            edges = {kinds[at] for at in (stretch[0] - 1, stretch[-1] + 1) if 0 <= at < len(kinds)}
            for at in stretch:
                kinds[at] = "EN" if "EN" in edges else "ON"
    strong = own
    for at, kind in enumerate(kinds):
        if kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[at] = "L"
        elif kind in ("ES", "CS", "BN") or kind not in ("EN", "AN"):
            kinds[at] = "ON"


def _direction(kind: str) -> str:
    """Return which way a kind runs where neutrals ask: numbers count as running to the left."""
    return {"L": "L", "R": "R", "EN": "R", "AN": "R"}.get(kind, "")


def _resolve_brackets(characters: list[str], kinds: list[str], own: str) -> None:
    """Turn both brackets of a pair the same way (N0): that of what they hold, if what stands before agrees."""
    waiting: list[int] = []
    pairs = []
    for at, character in enumerate(characters):
        if kinds[at] != "ON":
            continue
        if character in BRACKETS:
            waiting.append(at)
        elif opening := CLOSING.get(character):
            for depth in range(len(waiting) - 1, -1, -1):
                if characters[waiting[depth]] == opening:
                    pairs.append((waiting[depth], at))
                    del waiting[depth:]
                    break
    for opens, closes in sorted(pairs):
        held = {_direction(kind) for kind in kinds[opens + 1 : closes]} - {""}
        if own in held:
            turn = own
        elif held:
            before = next((found for kind in reversed(kinds[:opens]) if (found := _direction(kind))), own)
            turn = before if before in held else own
        else:
            continue
        kinds[opens] = kinds[closes] = turn


def _resolve_neutral(kinds: list[str], own: str) -> None:
    """A stretch of neutrals between two that run the same way joins them (N1), else it runs as the line does (N2)."""
    at = 0
    while at < len(kinds):
        if kinds[at] != "ON":
            at += 1
            continue
        end = next((later for later in range(at, len(kinds)) if kinds[later] != "ON"), len(kinds))
        before = _direction(kinds[at - 1]) if at else own
        after = _direction(kinds[end]) if end < len(kinds) else own
        kinds[at:end] = [before if before == after else own] * (end - at)
        at = end


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
