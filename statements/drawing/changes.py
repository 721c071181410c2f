"""The block of a revision: what it changed of the one that it replaced."""

from ..changes import Change, Changes
from ..lettering import isolated
from .before_after import TOTAL_HEIGHT, BeforeAfterTable, Column, Row
from .fitting import signed
from .paper import Paper
from .styles import BODY, CELL, CELL_STRONG, FINE, HEADING, LEFT, SMALL

LINE = Column("Line", LEFT + 6, 26)
WHAT = Column("What changed", LEFT + 40, 286)
# Named one by one; a table of more says less than the statement itself.
MOST_ROWS = 40


def set_changes(paper: Paper, changes: Changes) -> None:
    """Write what a revision changed: the total in a sentence, and the lines in a table."""
    table = BeforeAfterTable(paper, changes.currency, (LINE, WHAT))
    rows = [part for each in changes.lines[:MOST_ROWS] for part in table.rows(_row(each))]
    paper.need(46 + (rows[0].height + 22 if rows else 14))
    paper.write(LEFT, paper.y, f"What changed since {changes.since}", HEADING, role="H2")
    paper.y -= 15
    paper.paragraph(signed(f"{changes.summary}."), BODY)
    for text in changes.renamed:
        paper.paragraph(isolated(text), SMALL)
    if changes.same_amounts:
        paper.paragraph(changes.same_amounts, SMALL)
    paper.y -= 4
    if rows:
        with table.headed():
            table.write_all(rows, keep=TOTAL_HEIGHT)
            table.total("Total charged", (changes.was, changes.now, changes.difference))
        if (further := len(changes.lines) - MOST_ROWS) > 0:
            paper.paragraph(f"{further} further lines changed. The portal lists them.", SMALL)
    paper.y -= 14


def _row(change: Change) -> Row:
    # A line that went has no number here.
    number = "" if change.is_gone else str(change.number or "")
    what = WHAT.cell([isolated(change.what)], CELL_STRONG) + WHAT.cell([change.how], FINE)
    return Row((LINE.cell([number], CELL), what), (change.before, change.after, change.difference), CELL_STRONG)
