"""The font files: what each has, how wide its glyphs are, and the part of it that a document embeds."""

import functools
import unicodedata
from pathlib import Path

import uharfbuzz as hb

FOLDER = Path(__file__).parent.parent / "fonts"

REGULAR, BOLD = "NotoSans-Regular", "NotoSans-Bold"

# Tried in this order for what the text font lacks; the widest come last. Each is opened when a text first needs it.
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
    "NotoSansOriya-Regular",
    "NotoSerifTibetan-Regular",
    "NotoSansSyriac-Regular",
    "NotoSansThaana-Regular",
    "NotoSansCherokee-Regular",
    "NotoSansMath-Regular",
    "DroidSansFallback",
    "NotoSansSymbols-Regular",
    "NotoSansSymbols2-Regular",
    "NotoSansCJKsc-Supplement",
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
    """A character outside the short path: another font, a mark, another direction or language."""


def _tag(name: str) -> int:
    return int.from_bytes(name.ljust(4).encode(), "big")


class _Glyphs(dict[str, int]):
    """Glyph by character for the short path, filled as characters turn up."""

    def __init__(self, face: "Face") -> None:
        super().__init__()
        self.face = face

    def __missing__(self, character: str) -> int:
        code = ord(DRAWN_AS.get(character, character))
        if not (code < 0x300 or 0x1E00 <= code < 0x1F00 or 0x2000 <= code < 0x2C00):
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
