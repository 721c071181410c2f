"""Paper: pages that are set from top to bottom, and the tagged PDF they become."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from billing.vectors import Vector

from ..archival import Attachment, Properties, add_attachments, add_info, add_metadata, add_output_intent
from ..lettering import Lettering, plain
from ..pdf_objects import PdfFile, stream, string
from ..tagging import Structure
from . import shapes
from .fitting import fitted, wrapped
from .links import Address, pieces
from .pictures import Picture
from .styles import ACCENT, FINE, LEFT, LETTER, RIGHT, RULE, TOP, PageSize, Text

HEADINGS = ("H1", "H2", "H3")


class Paper:
    """The pages of one document while they are being set."""

    def __init__(self, size: PageSize = LETTER) -> None:
        self.size = size
        self.letters = Lettering()
        self.pictures: dict[Picture, str] = {}
        self.structure = Structure()
        self.pages: list[list[str]] = []
        self.code: list[str] = []
        self.y = TOP
        # Where the content of this page begins.
        self.begun_at = TOP
        # Writes the headings of a table again, on each page that it goes on to.
        self.heads_again: Callable[[], None] | None = None

    def set_running_head(self) -> None:
        """Write what stands at the head of every page but the first. A document overrides it."""

    def set_foot(self, number: int) -> None:
        """Write what stands at the foot of a page. A document overrides it."""

    def new_page(self) -> None:
        """Begin a page, with its running head and the headings of a table that goes on to it."""
        self.code = []
        self.pages.append(self.code)
        self.structure.start_page()
        self.y = TOP
        if len(self.pages) > 1:
            self.set_running_head()
            if self.heads_again:
                self.heads_again()
        self.begun_at = self.y

    def need(self, height: float) -> None:
        """Go on to a new page where less than `height` is left on this one, unless it has only just begun."""
        if self.y - height < self.size.bottom and self.y < self.begun_at:
            self.new_page()

    def paragraph(self, text: str, style: Text) -> None:
        lines = wrapped(text, style, RIGHT - LEFT)
        if not lines:
            return
        self.need(style.line * min(len(lines), 3))
        for start in range(0, len(lines), 40):
            block = lines[start : start + 40]
            self.need(style.line * len(block))
            self.lines(LEFT, self.y, block, style, role="P", step=style.line)
            self.y -= style.line * len(block)

    def lines(
        self,
        x: float,
        y: float,
        lines: Sequence[str],
        style: Text,
        *,
        role: str,
        step: float = 12.5,
        attributes: str = "",
    ) -> None:
        """Write lines as one part. Addresses of e-mail and of pages in it become links."""
        self._bookmark(role, "".join(lines), y, style)
        parts = pieces(lines)
        if not any(part.address for part in parts):
            self.code.append(self.structure.mark(role, attributes))
            for index, line in enumerate(lines):
                self.show(x, y - index * step, line, style)
            self.code.append("EMC")
            return
        with self.structure.part(role, attributes):
            for address, group in itertools.groupby(parts, key=lambda part: part.address):
                placed = [(x + style.width(part.before), y - part.line * step, part.text) for part in group]
                if address:
                    self._link(address, placed, style)
                else:
                    # A part of its own too: some readers take what is directly in a part before the parts in it.
                    self._shown(self.structure.mark("Span"), placed, style)

    def _shown(self, mark: str, placed: Sequence[tuple[float, float, str]], style: Text) -> None:
        self.code.append(mark)
        for x, y, text in placed:
            self.show(x, y, text, style)
        self.code.append("EMC")

    def _link(self, address: Address, placed: Sequence[tuple[float, float, str]], style: Text) -> None:
        """Write an address, underlined, and make each of its lines open it."""
        with self.structure.part("Link"):
            self._shown(self.structure.mark_inside(), placed, replace(style, color=ACCENT))
            for x, y, text in placed:
                right = x + style.width(text)
                low = y - style.size * 0.16
                self.code.append(f"/Artifact BMC {ACCENT} RG 0.4 w {x:.2f} {low:.2f} m {right:.2f} {low:.2f} l S EMC")
                self.structure.link((x, y - style.size * 0.3, right, y + style.size), address.url, address.text)

    def _bookmark(self, role: str, text: str, y: float, style: Text) -> None:
        if role in HEADINGS:
            self.structure.bookmark(plain(text), y + style.size * 1.2)

    def wrapped_lines(
        self, x: float, y: float, text: str, style: Text, room: float, *, role: str, step: float
    ) -> float:
        """Write a text that may need several lines as one part, and return where the next text goes."""
        lines = wrapped(text, style, room)
        if lines:
            self.lines(x, y, lines, style, role=role, step=step)
        return y - step * len(lines)

    def write(
        self,
        x: float,
        y: float,
        text: str,
        style: Text,
        *,
        align: str = "left",
        role: str = "",
        attributes: str = "",
    ) -> None:
        """Write a line of text; without a role it is decoration that a screen reader leaves out."""
        self._bookmark(role, text, y, style)
        self.code.append(self.structure.mark(role, attributes) if role else "/Artifact BMC")
        self.show(x - style.width(text) if align == "right" else x, y, text, style)
        self.code.append("EMC")

    def show(self, x: float, y: float, text: str, style: Text) -> None:
        shown = self.letters.operators(text, style.font, style.size)
        # Only letters that are made bold by their outline have one.
        outline = f"{style.color} RG " if " Tr " in shown else ""
        self.code.append(f"BT {style.color} rg {outline}{x:.2f} {y:.2f} Td {shown} ET")

    def rule(self, y: float, *, color: str = RULE, thickness: float = 0.5) -> None:
        self.code.append(f"/Artifact BMC {color} RG {thickness:g} w {LEFT:.2f} {y:.2f} m {RIGHT:.2f} {y:.2f} l S EMC")

    def box(self, x: float, y: float, wide: float, high: float, color: str) -> None:
        self.code.append(f"/Artifact BMC {color} rg {x:.2f} {y:.2f} {wide:.2f} {high:.2f} re f EMC")

    @contextmanager
    def figure(self, alternative: str, box: tuple[float, float, float, float]) -> Iterator[None]:
        """Tag what is drawn inside as one picture, with a text for who cannot see it."""
        edges = " ".join(f"{edge:.2f}" for edge in box)
        layout = f" /Alt {string(alternative)} /A << /O /Layout /Placement /Block /BBox [{edges}] >>"
        self.code.append(self.structure.mark("Figure", layout))
        yield
        self.code.append("EMC")

    def picture(
        self, picture: Picture | Vector, x: float, y: float, wide: float, high: float, *, alternative: str
    ) -> None:
        """Show a picture or drawing, `y` being its lower edge."""
        with self.figure(alternative, (x, y, x + wide, y + high)):
            if isinstance(picture, Vector):
                self.code.append(shapes.placed(picture, x, y, wide, high))
                return
            name = self.pictures.setdefault(picture, f"P{len(self.pictures) + 1}")
            self.code.append(f"q {wide:.2f} 0 0 {high:.2f} {x:.2f} {y:.2f} cm /{name} Do Q")

    def write_foot(self, text: str, number: int) -> None:
        """Write a document's name and the number of the page at its foot."""
        y = self.size.bottom - 26
        self.rule(y + 12)
        self.write(LEFT, y, fitted(text, FINE, 380), FINE)
        self.write(RIGHT, y, f"Page {number} of {len(self.pages)}", FINE, align="right")

    def to_pdf(self, properties: Properties, attachments: Sequence[Attachment] = ()) -> bytes:
        """Return the PDF (PDF/A-3a and PDF/UA-1), with files attached to it as its data.

        The same pages, properties and attachments give the same bytes.
        """
        # The feet come last: only now is the number of pages known.
        for number, code in enumerate(self.pages, start=1):
            self.code = code
            self.set_foot(number)
        file = PdfFile()
        (tree,) = file.reserve(1)
        pages = file.reserve(len(self.pages))
        fonts = self.letters.add_to(file)
        pictures = " ".join(f"/{name} {picture.add_to(file)}" for picture, name in self.pictures.items())
        shown = f" /XObject << {pictures} >>" if pictures else ""
        edges = " ".join(f"{edge:.6g}" for edge in self.size.box)
        structure, annotations = self.structure.add_to(file, pages)
        for number, (page, code, links) in enumerate(zip(pages, self.pages, annotations, strict=True)):
            content = file.add(stream("\n".join(code).encode("latin-1")))
            annots = f" /Annots [{' '.join(links)}]" if links else ""
            file.fill(
                page,
                f"<< /Type /Page /Parent {tree} /MediaBox [{edges}] "
                f"/Resources << /Font {fonts}{shown} >> /Contents {content} /StructParents {number} /Tabs /S"
                f"{annots} >>",
            )
        file.fill(tree, f"<< /Type /Pages /Kids [{' '.join(pages)}] /Count {len(pages)} >>")
        catalog = (
            f"/Type /Catalog /Pages {tree} /Lang {string(properties.language)} /MarkInfo << /Marked true >> "
            f"/StructTreeRoot {structure} /Outlines {self.structure.add_bookmarks(file, pages)} "
            f"/Metadata {add_metadata(file, properties)} /OutputIntents [{add_output_intent(file)}] "
            f"/ViewerPreferences << /DisplayDocTitle true >>"
        )
        if attachments:
            associated, names = add_attachments(file, attachments, properties.stamp)
            catalog += f" /AF {associated} /Names << /EmbeddedFiles {names} >>"
        return file.to_bytes(root=file.add(f"<< {catalog} >>"), info=add_info(file, properties))
