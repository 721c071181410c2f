"""The block of corrections: which line of which month, why, and what it charged before and charges now."""

from collections.abc import Iterator

from ..document import Line, Resource, Section, StatementDocument
from ..lettering import isolated
from .before_after import TOTAL_HEIGHT, BeforeAfterTable, Column, Row
from .fitting import fitted, signed
from .paper import Paper
from .styles import CELL, CELL_STRONG, FINE, HEADING, LEFT, RESOURCE, SMALL
from .table import detail_of, largest, resource_texts, title_of

WHERE = Column("Month and line", LEFT + 6, 98)
WHAT = Column("What and why", LEFT + 110, 136)
FUND = Column("Fund/org", LEFT + 252, 62)


def set_corrections(paper: Paper, document: StatementDocument, *, has_charges: bool, keep: float) -> None:
    """Write what is charged or given back for other months: apart, so that the month's figures are its own.

    Below its last row, its total and as much as `keep` stay on the same page.
    """
    table = BeforeAfterTable(paper, document.currency, (WHERE, WHAT, FUND))
    rows = [
        part
        for section in document.corrections
        for line in section.lines
        for row in _rows(line, section, document, has_charges=has_charges)
        for part in table.rows(row)
    ]
    note = document.note_on_corrections
    below = keep + TOTAL_HEIGHT + (12 if note else 0)
    paper.need(58 + sum(row.height for row in rows[:2]) + (below if len(rows) <= 2 else 0))
    paper.write(LEFT, paper.y, document.corrections_title, HEADING, role="H2")
    paper.y -= 15
    paper.paragraph(f"These are no part of the list price, discount and subsidy of {document.month_name}.", SMALL)
    paper.y -= 4
    with table.headed():
        table.write_all(rows, keep=below)
        amounts = (document.corrections_before, document.corrections_after, document.correction_figures.charged)
        table.total("Total of corrections", amounts)
    if note:
        paper.paragraph(signed(note), SMALL)
    paper.y -= 20


def _rows(line: Line, section: Section, document: StatementDocument, *, has_charges: bool) -> Iterator[Row]:
    """Yield a correction, and below it what it is made of where that is more than one thing."""
    where = WHERE.cell([line.corrected_month or document.month_name], CELL_STRONG)
    where += WHERE.cell(line.corrected_lines, FINE)
    has_several = line.is_entered and len(line.resources) > 1
    # Each of several says why in a row of its own.
    reasons = line.reasons[:1] if has_several else line.reasons
    what = WHAT.cell([title_of(line)], CELL_STRONG)
    # Of one resource the row says it itself.
    alone = line.resources[0] if len(line.resources) == 1 and not line.is_entered else None
    texts = resource_texts(alone, has_charges=has_charges) if alone else ()
    named = " · ".join(isolated(text) for text in texts if text)
    what += WHAT.cell([*map(isolated, reasons), line.used, named, detail_of(line), *line.looked_up], FINE)
    fund = FUND.cell([isolated(section.payer)], CELL)
    yield Row((where, what, fund), (line.charged_before, line.charged_after, line.figures.charged), CELL_STRONG)
    if len(line.resources) > 1:
        for resource in largest(line.resources):
            yield _made_of(resource, is_entered=line.is_entered, has_charges=has_charges)


def _made_of(resource: Resource, *, is_entered: bool, has_charges: bool) -> Row:
    """Return the row of a resource, or of one of several corrections that a line is made of."""
    if is_entered:
        name = f"{resource.resource_id}: {isolated(resource.name)}" if resource.name else resource.resource_id
        cell = WHAT.cell([name], RESOURCE)
    else:
        name, detail = resource_texts(resource, has_charges=has_charges)
        # An id is cut where it is longer than a line.
        cell = WHAT.cell([isolated(name)], RESOURCE)
        cell += WHAT.cell([resource.used, isolated(fitted(detail, FINE, WHAT.width))], FINE)
    return Row(([], cell, []), (None, None, resource.figures.charged), RESOURCE, is_first=False)
