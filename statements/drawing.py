"""A statement on paper: a StatementDocument in, the bytes of a tagged PDF out, the same bytes every time."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from reportlab.lib.pagesizes import LETTER
from reportlab.pdfgen.canvas import Canvas

from .document import Figures, Line, Resource, Section, StatementDocument, long_date, money, money_with_currency
from .lettering import (
    BOLD,
    FIRST_STRONG,
    MINUS,
    POP,
    REGULAR,
    Lettering,
    Raw,
    cleaned,
    isolated,
    stream,
    width,
)
from .tagging import Structure

PAGE_WIDTH, PAGE_HEIGHT = LETTER
MARGIN = 50.0
LEFT, RIGHT = MARGIN, PAGE_WIDTH - MARGIN
TOP, BOTTOM = PAGE_HEIGHT - 48.0, 62.0

# Of one line; what comes after the largest of these is added up.
MOST_RESOURCES = 200

INK = "0.11 0.13 0.17"
GRAY = "0.38 0.41 0.46"
ACCENT = "0.05 0.33 0.31"
WHITE = "1 1 1"
PALE = "0.945 0.96 0.96"
RULE = "0.80 0.83 0.87"
CAUTION_INK, CAUTION_PALE = "0.42 0.26 0.02", "1 0.955 0.86"

# The right edges of the columns of amounts: list price, discount, its percent, subsidy, its percent, charged.
COLUMNS = (RIGHT - 245, RIGHT - 182, RIGHT - 150, RIGHT - 97, RIGHT - 65, RIGHT - 6)
HEADINGS = ("List price", "Discount", "%", "Subsidy", "%", "Charged")
CORRECTIONS = "Corrections and late changes"
LABEL_WIDTH = COLUMNS[0] - 58 - LEFT


def draw(document: StatementDocument) -> bytes:
    """Set a statement and return its PDF. The same document gives the same bytes."""
    sheet = Sheet(document)
    sheet.set()
    return sheet.to_pdf()


@dataclass(frozen=True)
class Text:
    """How a text is set."""

    size: float
    font: str = REGULAR
    color: str = INK
    leading: float = 0

    @property
    def line(self) -> float:
        return self.leading or self.size * 1.38

    def width(self, text: str) -> float:
        return width(text, self.font) * self.size / 1000


BODY = Text(9)
STRONG = Text(9, BOLD)
SMALL = Text(8, color=GRAY)
FINE = Text(7.5, color=GRAY)
CELL = Text(8.8)
CELL_STRONG = Text(8.8, BOLD)
RESOURCE = Text(7.8, color=GRAY)
LABEL = Text(7.5, color=GRAY)
HEADING = Text(11, BOLD, ACCENT)


# An address longer than this would push the figures off the page; the policy takes none, and older ones are cut.
ADDRESS_LINES, ADDRESS_WIDTH = 8, 100


def _fitting(address: Sequence[str]) -> list[str]:
    return [line[:ADDRESS_WIDTH] for line in address[:ADDRESS_LINES]]


class Sheet:
    """The pages of one statement while they are being set, from top to bottom."""

    def __init__(self, document: StatementDocument) -> None:
        self.document = document
        self.letters = Lettering()
        self.structure = Structure()
        self.pages: list[list[str]] = []
        self.code: list[str] = []
        self.y = TOP
        self.in_table = False

    # What stands on the sheet, in order

    def set(self) -> None:
        self._new_page()
        self._head()
        self._who_and_what()
        self._summary()
        if self.document.review_until:
            self._review_band()
        for section in self.document.sections:
            self._section(section)
        if not self.document.sections:
            self._nothing_due()
        elif len(self.document.sections) > 1:
            self._month_total()
        if self.document.corrections:
            self._corrections()
            self._sum()
        self._notes()

    def _head(self) -> None:
        document = self.document
        self._write(RIGHT, TOP - 16, "Statement", Text(22, BOLD, ACCENT), align="right", role="H1")
        self._write(RIGHT, TOP - 31, document.number, Text(9.5, color=GRAY), align="right", role="P")
        y = TOP - 9
        room = 330.0
        for text, style, step in (
            (document.institution, Text(13, BOLD), 16.0),
            *((text, SMALL, SMALL.line) for text in (document.department, *_fitting(document.address))),
        ):
            y = self._wrapped_lines(LEFT, y, isolated(text), style, room, role="P", step=step)
        self.y = min(y, TOP - 40) + 2
        self._rule(self.y, color=ACCENT, thickness=1.4)
        self.y -= 18

    def _who_and_what(self) -> None:
        document = self.document
        top = self.y
        self._write(LEFT, top, "PREPARED FOR", LABEL, role="P")
        y = top - 14
        room = 255.0
        for text, style in (
            (document.pi_name or document.pi_email, Text(11, BOLD)),
            (document.pi_department, BODY),
            (document.pi_email if document.pi_name != document.pi_email else "", BODY),
        ):
            y = self._wrapped_lines(LEFT, y, isolated(text), style, room, role="P", step=max(style.line, 12.5))
        y -= 5
        self._write(LEFT, y, "PROJECT", LABEL, role="P")
        y -= 13
        y = self._wrapped_lines(LEFT, y, project_of(document), STRONG, room, role="P", step=12.5)
        low = self._facts(top)
        self.y = min(y, low) - 2

    def _facts(self, top: float) -> float:
        document = self.document
        revision = str(document.revision)
        if document.replaces:
            revision += f", replaces {document.replaces}"
        facts = [
            ("Period", document.month_name),
            ("Reference", document.reference),
            ("Revision", revision),
            ("Issued", long_date(document.issued_on)),
            ("Currency", document.currency),
            *document.facts,
        ]
        contact = [text for text in (document.contact_name, document.contact_email, document.contact_phone) if text]
        facts += [("Contact" if index == 0 else "", text) for index, text in enumerate(contact)]
        y = top
        left = RIGHT - 232
        self.structure.open("Table")
        for name, value in facts:
            with self.structure.part("TR"):
                self._write(left, y, name, SMALL, role="TH")
                lines = self._wrapped(isolated(value), BODY, RIGHT - left - 60)
                self._lines(left + 60, y, lines, BODY, role="TD")
            y -= 12.5 * len(lines)
        self.structure.close()
        return y

    def _summary(self) -> None:
        document, figures = self.document, self.document.month_figures
        height, gap = 52.0, 8.0
        tile = (RIGHT - LEFT - 3 * gap) / 4
        bottom = self.y - height
        discount, subsidy = figures.discount_percent, figures.subsidy_percent
        tiles = (
            ("List price", figures.list_cost, ""),
            ("Provider discount", figures.discount, f"{discount} of list price" if discount else ""),
            ("Subsidy", figures.subsidy, f"{subsidy} of price after discount" if subsidy else ""),
            ("Total charged", document.figures.charged, self._remark_on_corrections()),
        )
        self.structure.open("Table")
        for index, (name, amount, remark) in enumerate(tiles):
            left = LEFT + index * (tile + gap)
            is_due = index == 3
            self._box(left, bottom, tile, height, ACCENT if is_due else PALE)
            with self.structure.part("TR"):
                self._write(left + 9, bottom + height - 14, name, Text(8, color=WHITE if is_due else GRAY), role="TH")
                figure = signed(money_with_currency(amount, document.currency))
                style = Text(15, BOLD, WHITE if is_due else INK)
                while style.width(figure) > tile - 18 and style.size > 8:
                    style = Text(style.size - 0.5, BOLD, style.color)
                self._write(left + 9, bottom + height - 32, figure, style, role="TD")
                if remark:
                    small = Text(7.2, color=WHITE if is_due else GRAY)
                    self._write(left + 9, bottom + 8, fitted(remark, small, tile - 18), small, role="TD")
        self.structure.close()
        self.y = bottom - 20

    def _remark_on_corrections(self) -> str:
        if not self.document.corrections:
            return ""
        return signed(f"with corrections of {money(self.document.correction_figures.charged, self.document.currency)}")

    def _review_band(self) -> None:
        until = self.document.review_until
        assert until is not None
        style = Text(8.8, color=CAUTION_INK)
        text = f"Questions until {long_date(until)}. Please check these charges and tell us by then what is wrong."
        lines = self._wrapped(text, style, RIGHT - LEFT - 20)
        height = 11 + 12.5 * len(lines)
        self.y += 6
        self._box(LEFT, self.y - height, RIGHT - LEFT, height, CAUTION_PALE)
        self._lines(LEFT + 10, self.y - 14, lines, style, role="P")
        self.y -= height + 18

    def _section(self, section: Section) -> None:
        self._need(70)
        name = f"Charged to fund/org {isolated(section.fund_org)}" if section.fund_org else "Charged to no fund/org"
        if section.fund_name:
            name += f"  {isolated(section.fund_name)}"
        self.y = self._wrapped_lines(LEFT, self.y, name, HEADING, RIGHT - LEFT, role="H2", step=15)
        self.y -= 1
        self.structure.open("Table")
        self.in_table = True
        self._headings(tagged=True)
        for line in section.lines:
            self._line(line)
        several = len(self.document.sections) > 1
        self._total("Subtotal " + section.fund_org if several else "Total", section.figures)
        self.in_table = False
        self.structure.close()
        self.y -= 20

    def _headings(self, *, tagged: bool) -> None:
        """Write the table's headings; on the pages it goes on to they are decoration."""
        style = Text(7.8, BOLD, GRAY)
        self._box(LEFT, self.y - 5.5, RIGHT - LEFT, 16.5, PALE)
        cells = [
            (LEFT + 6, "Service and resource", "left"),
            *((edge, text, "right") for edge, text in zip(COLUMNS, HEADINGS, strict=True)),
        ]
        if tagged:
            self.structure.open("TR")
        for x, text, align in cells:
            self._write(x, self.y, text, style, align=align, role="TH" if tagged else "", attributes=COLUMN_SCOPE)
        if tagged:
            self.structure.close()
        self.y -= 18.5

    def _line(self, line: Line, *, fund_org: str = "") -> None:
        details = [isolated(line.source) if line.service else ""]
        if line.is_correction:
            details = [line.for_what or "Correction", isolated(fund_org), *details]
        if line.natural_account:
            details.append(f"account {line.natural_account}")
        if line.for_what and not line.is_correction:
            details.append(line.for_what)
        if line.share:
            details.append(line.share)
        if line.is_showback:
            details.append("not charged to the ledger")
        detail = " · ".join(part for part in details if part)
        # What a reader looks up elsewhere is wrapped, and never cut off; so is what a correction is of.
        wrapped = line.is_correction and FINE.width(detail) > LABEL_WIDTH
        named = [
            part
            for text in (detail if wrapped else "", *line.named, line.corrected, str(line.original or ""))
            for part in self._wrapped(text, FINE, LABEL_WIDTH)
        ]
        self._need((30 if line.resources else 18) + 10.2 * len(named))
        percents = not line.is_correction
        title = isolated(line.title)
        beside = "" if wrapped else detail
        self._row(title, CELL_STRONG, line.figures, CELL_STRONG, detail=beside, named=named, percents=percents)
        for resource in _largest(line.resources):
            self._resource(resource, is_text=line.is_correction and not line.charge_count)
        self.y -= 1.5
        self._rule(self.y + 8.5)
        self.y -= 2.5

    def _resource(self, resource: Resource, *, is_text: bool = False) -> None:
        if is_text and resource.name:
            # What staff wrote for its reader: all of it.
            room = LABEL_WIDTH - 10
            text = f"{resource.resource_id}: {isolated(resource.name)}"
            first, *further = self._wrapped(text, RESOURCE, room)
            self._need(13 + 10.2 * len(further))
            self._row(first, RESOURCE, resource.figures, RESOURCE, named=further, indent=10, step=11.2)
            return
        self._need(13)
        name = resource.name or resource.resource_id
        detail = resource.resource_id if resource.name and resource.resource_id != resource.name else ""
        if resource.further:
            name, detail = f"{resource.further:,} further resources", ""
        elif not name:
            name = "Charges without a resource" if resource.count != 1 else "Charge without a resource"
        self._row(isolated(name), RESOURCE, resource.figures, RESOURCE, detail=isolated(detail), indent=10, step=11.2)

    def _row(
        self,
        label: str,
        label_style: Text,
        figures: Figures,
        style: Text,
        *,
        detail: str = "",
        named: Sequence[str] = (),
        percents: bool = False,
        only_due: bool = False,
        indent: float = 0,
        step: float = 12.6,
    ) -> None:
        """Write a row: a label with details behind it (below it, where both do not fit), and the amounts.

        What `named` has comes below, a line each. With `only_due` the other amounts are left out.
        """
        left, room = LEFT + 6 + indent, LABEL_WIDTH - indent
        text = fitted(label, label_style, room)
        with self.structure.part("TR"):
            code = self.code
            code.append(self.structure.mark("TD"))
            self._show(left, self.y, text, label_style)
            below = ""
            if detail:
                used = label_style.width(text) + 6
                short = fitted(detail, FINE, room - used) if used < room * 0.6 else ""
                if short == detail or (indent and short):
                    self._show(left + used, self.y, short, FINE)
                elif not indent:
                    below = fitted(detail, FINE, room)
                    self._show(left, self.y - 10.2, below, FINE)
            lower = [below] * bool(below) + [*named]
            for number, part in enumerate(named, start=len(lower) - len(named) + 1):
                self._show(left, self.y - 10.2 * number, part, FINE)
            code.append("EMC")
            self._amounts(figures, style, percents=percents, only_due=only_due)
        self.y -= step + 10.2 * len(lower)

    def _amounts(self, figures: Figures, style: Text, *, percents: bool, only_due: bool) -> None:
        currency = self.document.currency
        values: tuple[str, ...] = (
            money(figures.list_cost, currency),
            money(figures.discount, currency),
            figures.discount_percent if percents else "",
            money(figures.subsidy, currency),
            figures.subsidy_percent if percents else "",
            money(figures.charged, currency),
        )
        if only_due:
            values = ("",) * 5 + values[5:]
        mark, code = self.structure.mark, self.code
        for number, (edge, value) in enumerate(zip(COLUMNS, values, strict=True)):
            if not value:
                # Every row has as many cells as the table has columns.
                code.append(f"{mark('TD')} EMC")
                continue
            text = signed(value)
            look = FINE if number in (2, 4) else style
            code.append(mark("TD"))
            self._show(edge - look.width(text), self.y, text, look)
            code.append("EMC")

    def _total(self, label: str, figures: Figures, *, percents: bool = True) -> None:
        self._need(20)
        self._rule(self.y + 10.4, color=INK, thickness=0.8)
        self.y -= 1.5
        style = Text(9.2, BOLD)
        self._row(label, style, figures, style, percents=percents, step=14)

    def _month_total(self) -> None:
        self._need(40)
        self.structure.open("Table")
        self._rule(self.y + 14, color=ACCENT, thickness=1.4)
        style = Text(9.6, BOLD, ACCENT)
        label = f"{self.document.month_name}, all fund/orgs" if self.document.corrections else "Total of all fund/orgs"
        self._row(label, style, self.document.month_figures, style, percents=True, step=14)
        self.structure.close()
        self.y -= 14

    def _corrections(self) -> None:
        """Write what is charged or given back for other months: apart, so that the month's figures are its own."""
        document = self.document
        self._need(84)
        self._write(LEFT, self.y, CORRECTIONS, HEADING, role="H2")
        self.y -= 15
        self._paragraph(f"These are no part of the list price, discount and subsidy of {document.month_name}.", SMALL)
        self.y -= 4
        self.structure.open("Table")
        self.in_table = True
        self._headings(tagged=True)
        for section in document.corrections:
            for line in section.lines:
                self._line(line, fund_org=section.fund_org)
        self._total("Total of corrections", document.correction_figures, percents=False)
        self.in_table = False
        self.structure.close()
        self.y -= 20

    def _sum(self) -> None:
        """Add the month and its corrections up, and say what each fund/org pays of it."""
        document = self.document
        funds = document.by_fund if len(document.by_fund) > 1 else ()
        self._need(54 + 13 * len(funds))
        self.structure.open("Table")
        self._rule(self.y + 14, color=ACCENT, thickness=1.4)
        style = Text(9.6, BOLD, ACCENT)
        for label, figures in (
            (f"Charges of {document.month_name}", document.month_figures),
            (CORRECTIONS, document.correction_figures),
        ):
            self._row(label, BODY, figures, BODY, only_due=True, step=13)
        self._row("Total charged", style, document.figures, style, only_due=True, step=14)
        for fund_org, charged in funds:
            figures = Figures(charged, charged, charged)
            self._row(
                f"charged to {fund_org or 'no fund/org'}", SMALL, figures, SMALL, only_due=True, indent=10, step=13
            )
        self.structure.close()
        self.y -= 14

    def _nothing_due(self) -> None:
        self._need(40)
        text = "There are no charges for this project in this period."
        if self.document.replaces:
            text += f" This statement replaces {self.document.replaces}."
        self._paragraph(text, BODY)
        self.y -= 6

    def _notes(self) -> None:
        document = self.document
        notes = list(document.notes)
        figures = [line.figures for line in document.lines]
        if any(each.discount for each in figures) or any(each.subsidy for each in figures):
            notes.append(
                "Provider discount is the list price less the provider's price to us, as a percentage of the list "
                "price. Subsidy is what the center pays, as a percentage of the price after the discount."
            )
        if document.note_on_rates:
            notes.append(document.note_on_rates)
        if document.note_on_shares:
            notes.append(document.note_on_shares)
        if document.has_showback:
            notes.append(
                "Services marked “not charged to the ledger” are shown for information; no journal is made for them."
            )
        self._need(60)
        if notes:
            self._write(LEFT, self.y, "Notes", HEADING, role="H2")
            self.y -= 15
            for note in notes:
                self._paragraph(note, SMALL)
                self.y -= 3
        self._paragraph(document.question, BODY)
        if document.portal_url:
            self._paragraph(f"This statement and what is behind each figure: {document.portal_url}", SMALL)
        for text in document.footer.splitlines():
            self.y -= 3
            self._paragraph(isolated(text), SMALL)

    # How it gets there

    def _new_page(self) -> None:
        self.code = []
        self.pages.append(self.code)
        self.structure.start_page()
        self.y = TOP
        if len(self.pages) > 1:
            document = self.document
            self.y = TOP - 4
            self._write(LEFT, self.y, f"Statement {document.number}", Text(9, BOLD, ACCENT))
            pi = isolated(document.pi_name or document.pi_email)
            who = fitted(f"{pi} · {project_of(document)}", SMALL, 330)
            self._write(RIGHT, self.y, who, SMALL, align="right")
            self.y -= 8
            self._rule(self.y, color=ACCENT, thickness=1.0)
            self.y -= 20
            if self.in_table:
                self._headings(tagged=False)

    def _need(self, height: float) -> None:
        """Go on to a new page where less than `height` is left on this one."""
        if self.y - height < BOTTOM:
            self._new_page()

    def _paragraph(self, text: str, style: Text) -> None:
        lines = self._wrapped(text, style, RIGHT - LEFT)
        if not lines:
            return
        self._need(style.line * min(len(lines), 3))
        for start in range(0, len(lines), 40):
            block = lines[start : start + 40]
            self._need(style.line * len(block))
            self._lines(LEFT, self.y, block, style, role="P", step=style.line)
            self.y -= style.line * len(block)

    def _lines(self, x: float, y: float, lines: Sequence[str], style: Text, *, role: str, step: float = 12.5) -> None:
        self.code.append(self.structure.mark(role))
        for index, line in enumerate(lines):
            self._show(x, y - index * step, line, style)
        self.code.append("EMC")

    def _wrapped_lines(
        self, x: float, y: float, text: str, style: Text, room: float, *, role: str, step: float
    ) -> float:
        """Write a text that may need several lines as one part, and return where the next text goes."""
        lines = self._wrapped(text, style, room)
        if lines:
            self._lines(x, y, lines, style, role=role, step=step)
        return y - step * len(lines)

    def _write(
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
        self._show(x - style.width(text) if align == "right" else x, y, text, style)
        self.code.append("EMC")

    def _show(self, x: float, y: float, text: str, style: Text) -> None:
        shown = self.letters.operators(text, style.font, style.size)
        self.code.append(f"BT {style.color} rg {style.color} RG 1 0 0 1 {x:.2f} {y:.2f} Tm {shown} ET")

    def _rule(self, y: float, *, color: str = RULE, thickness: float = 0.5) -> None:
        self.code.append(f"/Artifact BMC {color} RG {thickness:g} w {LEFT:.2f} {y:.2f} m {RIGHT:.2f} {y:.2f} l S EMC")

    def _box(self, x: float, y: float, wide: float, high: float, color: str) -> None:
        self.code.append(f"/Artifact BMC {color} rg {x:.2f} {y:.2f} {wide:.2f} {high:.2f} re f EMC")

    def _wrapped(self, text: str, style: Text, room: float) -> list[str]:
        return _wrap(text, style, room)

    def _feet(self) -> None:
        """Write what stands at the foot of every page, once their number is known."""
        document = self.document
        for number, code in enumerate(self.pages, start=1):
            self.code = code
            self._rule(BOTTOM - 14)
            text = fitted(f"{isolated(document.institution)} · {document.month_name} · {document.number}", FINE, 380)
            self._write(LEFT, BOTTOM - 26, text, FINE)
            self._write(RIGHT, BOTTOM - 26, f"Page {number} of {len(self.pages)}", FINE, align="right")

    def to_pdf(self) -> bytes:
        document = self.document
        self._feet()
        canvas = Canvas(
            BytesIO(), pagesize=LETTER, pageCompression=1, invariant=1, lang=document.language, pdfVersion=(1, 7)
        )
        canvas.setTitle(f"Statement {document.number}, {document.pi_name or document.pi_email}, {document.month_name}")
        canvas.setAuthor(document.institution)
        canvas.setSubject(f"Research computing charges of {document.project} in {document.month_name}")
        canvas.setCreator("OpenChargeback")
        issued = document.issued_on
        canvas.setDateFormatter(lambda *_: f"D:{issued:%Y%m%d}000000Z")
        pdf = canvas._doc
        for code in self.pages:
            canvas.showPage()
            # ReportLab would begin each page with a font that is not embedded, and write it as base 85.
            pdf.Pages.pages[-1].Contents = stream("\n".join(code).encode("latin-1"))
        pdf.idToObject["BasicFonts"].dict.clear()
        self.letters.add_to(pdf)
        self.structure.add_to(pdf)
        pdf.Catalog.ViewerPreferences = Raw("<< /DisplayDocTitle true >>")
        return bytes(canvas.getpdfdata())


COLUMN_SCOPE = " /A << /O /Table /Scope /Column >>"


def signed(text: str) -> str:
    """Write a minus that can be seen from across the table; it is copied as a hyphen."""
    return text.replace("-", MINUS)


def _largest(resources: Sequence[Resource]) -> list[Resource]:
    """Keep the first MOST_RESOURCES (they come largest first) and add up the rest."""
    kept, rest = list(resources[:MOST_RESOURCES]), resources[MOST_RESOURCES:]
    if rest:
        total = Figures.total(each.figures for each in rest)
        count = sum(each.count for each in rest)
        further = sum(each.further or 1 for each in rest)
        kept.append(Resource(name="", resource_id="", count=count, figures=total, further=further))
    return kept


def fitted(text: str, style: Text, room: float) -> str:
    """Cut a text that is too long for its place, with an ellipsis in the middle: both ends of an id tell."""
    if style.width(text) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if style.width(_shortened(text, middle)) <= room:
            low = middle
        else:
            high = middle - 1
    return _shortened(text, low)


def _shortened(text: str, length: int) -> str:
    head = (length * 2 + 2) // 3
    tail = length - head
    return f"{text[:head].rstrip()}…{text[len(text) - tail :].lstrip() if tail else ''}"


def _wrap(text: str, style: Text, room: float) -> list[str]:
    """Break a text into lines no wider than `room`; a word that is wider itself is broken.

    A line that is broken between words ends with their blank, for who reads the lines one after the other.
    """
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in cleaned(paragraph).split():
            if style.width(joined := f"{line} {word}" if line else word) <= room:
                line = joined
                continue
            if line:
                lines.append(f"{line} ")
            while style.width(word) > room and len(word) > 1:
                cut = next(at for at in range(len(word) - 1, 0, -1) if at == 1 or style.width(word[:at]) <= room)
                lines.append(word[:cut])
                word = word[cut:]
            line = word
        if line:
            lines.append(line)
    return _balanced(lines)


def _balanced(lines: list[str]) -> list[str]:
    """Close a name that is broken over lines at the end of each, and open it again on the next."""
    done = []
    depth = 0
    for line in lines:
        opened = FIRST_STRONG * depth + line
        depth = max(0, opened.count(FIRST_STRONG) - opened.count(POP))
        done.append(opened + POP * depth)
    return done


def project_of(document: StatementDocument) -> str:
    """Return the project as printed, name and code each in its own direction."""
    if document.project_name and document.project_name != document.project_code:
        return f"{isolated(document.project_name)} ({isolated(document.project_code)})"
    return isolated(document.project)
