"""Fonts in a document: the glyphs it uses, under codes of its own, with the text they stand for."""

import itertools
from collections.abc import Iterator

from ..pdf_objects import PdfFile, stream, string
from .direction import runs_left
from .faces import BOLD, COPIED_AS, Face, NeedsShaping, face
from .shaping import SILENT, Glyph, shaped


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

    def add_to(self, file: PdfFile) -> str:
        """Write the font's objects into a file and return its name (PDF 32000-1, 9.7)."""
        data, new_numbers = self.face.cut(self.glyphs)
        name = f"AAAAAA+{self.face.name}"
        extents = self.face.font.get_font_extents("ltr")
        ascent, descent = (round(value * self.face.scale) for value in (extents.ascender, extents.descender))
        program = file.add(stream(data, f" /Length1 {len(data)}"))
        descriptor = file.add(
            f"<< /Type /FontDescriptor /FontName /{name} /Flags 4 /FontBBox [-1000 {descent} 3000 {ascent}] "
            f"/ItalicAngle 0 /Ascent {ascent} /Descent {descent} /CapHeight 714 /StemV 80 /FontFile2 {program} >>"
        )
        to_glyph = file.add(stream(b"".join(new_numbers[glyph].to_bytes(2, "big") for glyph in self.glyphs)))
        widths = " ".join(str(self.face.width(glyph)) for glyph in self.glyphs)
        descendant = file.add(
            f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /{name} "
            f"/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
            f"/FontDescriptor {descriptor} /DW 1000 /W [0 [{widths}]] /CIDToGIDMap {to_glyph} >>"
        )
        return file.add(
            f"<< /Type /Font /Subtype /Type0 /BaseFont /{name} /Encoding /Identity-H "
            f"/DescendantFonts [{descendant}] /ToUnicode {file.add(stream(self._to_unicode()))} >>"
        )

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
        for language, group in itertools.groupby(shaped(text, name), key=lambda glyph: glyph.language):
            glyphs = list(group)
            if language:
                said = "".join(glyph.text for glyph in glyphs)
                # Where letters are drawn in more parts than they have, the text itself is given beside them. What
                # runs left never has it: it stands here as it is seen, and viewers turn back what they copy.
                is_told = SILENT in said and not runs_left(said)
                actual = f" /ActualText {string(said.replace(SILENT, ''))}" if is_told else ""
                parts.append(f"/Span <</Lang {string(language)}{actual}>> BDC")
            for of, run in itertools.groupby(glyphs, key=lambda glyph: glyph.face):
                parts.extend(self._run_operators(of, list(run), size, is_bold=name == BOLD and of.name != BOLD))
            if language:
                parts.append("EMC")
        return " ".join(parts)

    def _run_operators(self, of: Face, run: list[Glyph], size: float, *, is_bold: bool) -> Iterator[str]:
        """Yield what shows glyphs of one font."""
        font = self.font(of.name)
        yield f"/{font.resource} {size:g} Tf"
        # The fallbacks come in one weight; a thin outline makes them bold.
        if is_bold:
            yield f"2 Tr {size * 0.03:g} w"
        for dy, level in itertools.groupby(run, key=lambda glyph: glyph.dy):
            shown: list[str] = []
            for glyph in level:
                if glyph.dx:
                    shown.append(str(-glyph.dx))
                shown.append(f"<{font.code(glyph.number, glyph.text)}>")
                if back := of.width(glyph.number) + glyph.dx - glyph.advance:
                    shown.append(str(back))
            line = f"[{' '.join(shown)}] TJ"
            yield f"{dy * size / 1000:g} Ts {line} 0 Ts" if dy else line
        if is_bold:
            yield "0 Tr"

    def add_to(self, file: PdfFile) -> str:
        """Write the fonts into a file and return the dictionary of them for the resources of its pages."""
        return f"<< {' '.join(f'/{font.resource} {font.add_to(file)}' for font in self.fonts.values())} >>"
