"""Paper: pages that are set from top to bottom, and the tagged PDF they become."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

from reportlab.lib.pagesizes import LETTER
from reportlab.pdfgen.canvas import Canvas

from ..lettering import Lettering
from ..pdf_objects import Raw, stream
from ..tagging import Structure
from .fitting import fitted, wrapped
from .styles import BOTTOM, FINE, LEFT, RIGHT, RULE, TOP, Text


@dataclass(frozen=True)
class Properties:
    """What a PDF says of itself."""

    title: str
    author: str
    subject: str
    language: str = "en-US"
    # As PDF writes it: `D:20250203000000Z`; empty for none.
    date: str = ""


class Paper:
    """The pages of one document while they are being set."""

    def __init__(self) -> None:
        self.letters = Lettering()
        self.structure = Structure()
        self.pages: list[list[str]] = []
        self.code: list[str] = []
        self.y = TOP
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

    def need(self, height: float) -> None:
        """Go on to a new page where less than `height` is left on this one."""
        if self.y - height < BOTTOM:
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

    def lines(self, x: float, y: float, lines: Sequence[str], style: Text, *, role: str, step: float = 12.5) -> None:
        self.code.append(self.structure.mark(role))
        for index, line in enumerate(lines):
            self.show(x, y - index * step, line, style)
        self.code.append("EMC")

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
        self.code.append(self.structure.mark(role, attributes) if role else "/Artifact BMC")
        self.show(x - style.width(text) if align == "right" else x, y, text, style)
        self.code.append("EMC")

    def show(self, x: float, y: float, text: str, style: Text) -> None:
        shown = self.letters.operators(text, style.font, style.size)
        self.code.append(f"BT {style.color} rg {style.color} RG 1 0 0 1 {x:.2f} {y:.2f} Tm {shown} ET")

    def rule(self, y: float, *, color: str = RULE, thickness: float = 0.5) -> None:
        self.code.append(f"/Artifact BMC {color} RG {thickness:g} w {LEFT:.2f} {y:.2f} m {RIGHT:.2f} {y:.2f} l S EMC")

    def box(self, x: float, y: float, wide: float, high: float, color: str) -> None:
        self.code.append(f"/Artifact BMC {color} rg {x:.2f} {y:.2f} {wide:.2f} {high:.2f} re f EMC")

    def write_foot(self, text: str, number: int) -> None:
        """Write a document's name and the number of the page at its foot."""
        self.rule(BOTTOM - 14)
        self.write(LEFT, BOTTOM - 26, fitted(text, FINE, 380), FINE)
        self.write(RIGHT, BOTTOM - 26, f"Page {number} of {len(self.pages)}", FINE, align="right")

    def to_pdf(self, properties: Properties) -> bytes:
        """Return the PDF. The same pages and properties give the same bytes."""
        # The feet come last: only now is the number of pages known.
        for number, code in enumerate(self.pages, start=1):
            self.code = code
            self.set_foot(number)
        canvas = Canvas(
            BytesIO(), pagesize=LETTER, pageCompression=1, invariant=1, lang=properties.language, pdfVersion=(1, 7)
        )
        canvas.setTitle(properties.title)
        canvas.setAuthor(properties.author)
        canvas.setSubject(properties.subject)
        canvas.setCreator("OpenChargeback")
        if properties.date:
            canvas.setDateFormatter(lambda *_: properties.date)
        pdf = canvas._doc  # noqa: SLF001 (ReportLab has no public name for a canvas's document)
        for code in self.pages:
            canvas.showPage()
            # ReportLab would begin each page with a font that is not embedded, and write it as base 85.
            pdf.Pages.pages[-1].Contents = stream("\n".join(code).encode("latin-1"))
        pdf.idToObject["BasicFonts"].dict.clear()
        self.letters.add_to(pdf)
        self.structure.add_to(pdf)
        pdf.Catalog.ViewerPreferences = Raw("<< /DisplayDocTitle true >>")
        return bytes(canvas.getpdfdata())
