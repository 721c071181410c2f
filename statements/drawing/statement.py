"""A statement on paper: its document in, the bytes of a tagged PDF out, the same bytes every time."""

from collections.abc import Sequence
from decimal import Decimal

from ..archival import Attachment, Properties
from ..document import CHARGES, INVOICE, Figures, Section, StatementDocument, money_with_currency
from ..lettering import BOLD, isolated
from . import letterhead
from .changes import set_changes
from .chart import set_history
from .corrections import set_corrections
from .fitting import fitted, wrapped
from .paper import Paper
from .styles import ACCENT, BODY, FINE, FUND, HEADING, LEFT, PAGE_SIZES, RIGHT, SMALL, TOP, Text
from .table import TOTAL_HEIGHT, FiguresTable

# What the total of all fund/orgs takes, with the gap above it.
MONTH_TOTAL_HEIGHT = 40.0
# Of a sum that has very many lines, so much at least is kept together with what it adds up.
MOST_KEPT = 200.0


def draw(document: StatementDocument, attachments: Sequence[Attachment] = ()) -> bytes:
    """Set a statement and return its PDF, with files attached. The same document and files give the same bytes."""
    sheet = StatementSheet(document, has_charges=any(each.name == CHARGES for each in attachments))
    sheet.set()
    return sheet.to_pdf(sheet.properties, attachments)


class StatementSheet(Paper):
    """The pages of one statement."""

    def __init__(self, document: StatementDocument, *, has_charges: bool = False) -> None:
        super().__init__(PAGE_SIZES[document.paper])
        self.document = document
        # Whether the charges behind it are attached.
        self.has_charges = has_charges
        self.table = FiguresTable(self, document.currency, has_charges=has_charges)

    @property
    def properties(self) -> Properties:
        document = self.document
        return Properties(
            title=f"Statement {document.number}, {document.pi_name or document.pi_email}, {document.month_name}",
            author=document.institution,
            subject=f"Research computing charges of {document.project} in {document.month_name}",
            language=document.language,
            stamp=f"D:{document.issued_on:%Y%m%d}000000Z",
        )

    def set(self) -> None:
        """Set what stands on the statement, in order."""
        document = self.document
        self.new_page()
        letterhead.set_head(self, document)
        letterhead.set_parties(self, document)
        letterhead.set_summary(self, document)
        letterhead.set_review_band(self, document)
        letterhead.set_notices(self, document)
        if document.changes:
            set_changes(self, document.changes)
        for section in document.sections:
            self._section(section, is_first=section is document.sections[0], is_last=section is document.sections[-1])
        if not document.sections:
            self._nothing_charged()
        if document.corrections:
            set_corrections(self, document, has_charges=self.has_charges, keep=20 + min(self._sum_height, MOST_KEPT))
            self._sum()
        set_history(self, document)
        self._notes()

    def _section(self, section: Section, *, is_first: bool, is_last: bool) -> None:
        several = len(self.document.sections) > 1
        # What stays together with the last line: the subtotal, and where several fund/orgs pay, the total of all.
        keep = TOTAL_HEIGHT + (MONTH_TOTAL_HEIGHT if several and is_last else 0)
        first, *further = section.lines
        self.need(50 + 18 * is_first + self.table.height_of_start(first, keep=0 if further else keep))
        if is_first:
            self.write(LEFT, self.y, f"This month: {self.document.month_name}", HEADING, role="H2")
            self.y -= 18
        name = f"{section.heading} fund/org {isolated(section.fund_org)}" if section.fund_org else INVOICE
        if section.fund_name:
            name += f" · {isolated(section.fund_name)}"
        if section.ends:
            name += f" · {section.ends}"
        self.y = self.wrapped_lines(LEFT, self.y, name, FUND, RIGHT - LEFT, role="H3", step=13.5)
        self.y -= 2
        with self.table.headed():
            for line in section.lines:
                self.table.line(line, keep=keep if line is section.lines[-1] else 0)
            label = f"Subtotal {isolated(section.fund_org)}".rstrip() if several else "Total"
            self.table.total(label, section.figures)
            if several and is_last:
                self._month_total()
        self.y -= 20

    def _month_total(self) -> None:
        """Add all fund/orgs up, in the last one's table: its headings are those of the sum too."""
        self.y -= 20
        self.need(MONTH_TOTAL_HEIGHT - 20)
        self.rule(self.y + 14, color=ACCENT, thickness=1.4)
        style = Text(9.6, BOLD, ACCENT)
        label = "This month, all fund/orgs" if self.document.corrections else "Total of all fund/orgs"
        self.table.row(label, style, self.document.month_figures, style, percents=True, step=14)

    @property
    def _funds(self) -> Sequence[tuple[str, Decimal]]:
        return self.document.by_fund if len(self.document.by_fund) > 1 else ()

    @property
    def _sum_height(self) -> float:
        return 54.0 + 13 * len(self._funds)

    def _sum(self) -> None:
        """Add the month and its corrections up, and say what each fund/org pays of it."""
        document = self.document
        self.need(min(self._sum_height, MOST_KEPT))
        style = Text(9.6, BOLD, ACCENT)
        with self.structure.part("Table"):
            self.rule(self.y + 14, color=ACCENT, thickness=1.4)
            for label, figures in (
                ("This month", document.month_figures),
                (document.corrections_title, document.correction_figures),
            ):
                self.table.row(label, BODY, figures, BODY, only_charged=True, step=13)
            self.table.row(document.total_label, style, document.figures, style, only_charged=True, step=14)
            for fund_org, charged in self._funds:
                self.need(13)
                fund = isolated(fund_org)
                credit = money_with_currency(-charged, document.currency)
                label = f"Credit of {credit} to {fund}" if charged < 0 else f"Charged to {fund}"
                label = label if fund_org else INVOICE
                figures = Figures(charged, charged, charged)
                self.table.row(label, SMALL, figures, SMALL, only_charged=True, indent=10, step=13)
        self.y -= 14

    def _nothing_charged(self) -> None:
        self.need(40)
        text = "There are no charges for this project in this period."
        if self.document.replaces:
            text += f" This statement replaces {self.document.replaces}."
        self.paragraph(text, BODY)
        self.y -= 14

    def _notes(self) -> None:
        document = self.document
        notes = list(document.notes)
        notes += filter(None, (document.note_on_reductions, document.note_on_rates, document.note_on_shares))
        if document.has_showback:
            notes.append(
                "Services marked “not charged to the ledger” are shown for information; no journal is made for them."
            )
        self.need(60)
        if notes:
            self.write(LEFT, self.y, "Notes", HEADING, role="H2")
            self.y -= 15
            for note in notes:
                self.paragraph(note, SMALL)
                self.y -= 3
            self.y -= 8
        self._closing()

    def _closing(self) -> None:
        """Write whom to ask and what the institution adds, together: no page has its last line alone."""
        document = self.document
        texts = [(document.question, BODY, 0)]
        if document.portal_url:
            texts.append((f"This statement and what is behind each figure: {document.portal_url}", SMALL, 0))
        texts += [(isolated(text), SMALL, 3) for text in document.footer.splitlines()]
        height = sum(style.line * len(wrapped(text, style, RIGHT - LEFT)) + above for text, style, above in texts)
        self.need(min(height, MOST_KEPT))
        for text, style, above in texts:
            self.y -= above
            self.paragraph(text, style)

    def set_running_head(self) -> None:
        document = self.document
        self.y = TOP - 4
        self.write(LEFT, self.y, f"Statement {document.number}", Text(9, BOLD, ACCENT))
        pi = isolated(document.pi_name or document.pi_email)
        project = isolated(document.project_code or document.project)
        who = fitted(f"{pi} · {project}", SMALL, 330)
        self.write(RIGHT, self.y, who, SMALL, align="right")
        self.y -= 8
        self.rule(self.y, color=ACCENT, thickness=1.0)
        self.y -= 20

    def set_foot(self, number: int) -> None:
        document = self.document
        # The number tells one statement from another, and is never cut off.
        institution = fitted(isolated(document.institution), FINE, 240)
        self.write_foot(f"{institution} · {document.month_name} · {document.number}", number)
