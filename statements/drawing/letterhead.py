"""The first page of a statement down to its tables: who sends it to whom, the facts, and the sums."""

from collections.abc import Sequence

from billing.texts import long_date

from ..document import StatementDocument, money, money_with_currency
from ..lettering import BOLD, isolated
from ..tagging import ROW_SCOPE
from .fitting import fitted, lines_of, narrowed, signed, wrapped
from .paper import Paper
from .pictures import picture_of
from .styles import (
    ACCENT,
    BODY,
    CAUTION_INK,
    CAUTION_PALE,
    GRAY,
    INK,
    LABEL,
    LEFT,
    PALE,
    RIGHT,
    SMALL,
    STRONG,
    TOP,
    WHITE,
    Text,
)

# An address longer than this would push the figures off the page; the policy takes none, and older ones are cut.
ADDRESS_LINES, ADDRESS_WIDTH = 8, 100

LOGO_WIDTH, LOGO_HEIGHT = 150.0, 40.0


def _fitting(address: Sequence[str]) -> list[str]:
    return [line[:ADDRESS_WIDTH] for line in address[:ADDRESS_LINES]]


def set_head(paper: Paper, document: StatementDocument) -> None:
    """Write who sends the statement, and its number."""
    paper.write(RIGHT, TOP - 16, "Statement", Text(22, BOLD, ACCENT), align="right", role="H1")
    paper.write(RIGHT, TOP - 31, document.number, Text(9.5, color=GRAY), align="right", role="P")
    left = LEFT + _set_logo(paper, document)
    y = TOP - 9
    room = LEFT + 330.0 - left
    for text, style, step in (
        (document.institution, Text(13, BOLD), 16.0),
        *((text, SMALL, SMALL.line) for text in (document.department, *_fitting(document.address))),
    ):
        y = paper.wrapped_lines(left, y, isolated(text), style, room, role="P", step=step)
    paper.y = min(y, TOP - 40) + 2
    paper.rule(paper.y, color=ACCENT, thickness=1.4)
    paper.y -= 18


def _set_logo(paper: Paper, document: StatementDocument) -> float:
    """Show the institution's logo in the upper left corner, and return how far it pushes what is beside it."""
    if not document.logo:
        return 0.0
    logo = picture_of(document.logo)
    scale = min(LOGO_WIDTH / logo.width, LOGO_HEIGHT / logo.height)
    wide, high = logo.width * scale, logo.height * scale
    paper.picture(logo, LEFT, TOP + 2 - high, wide, high, alternative=f"Logo of {document.institution}")
    return wide + 12


def set_parties(paper: Paper, document: StatementDocument) -> None:
    """Write whom and which project it is for, and beside that the facts."""
    top = paper.y
    paper.write(LEFT, top, "PREPARED FOR", LABEL, role="P")
    y = top - 14
    room = 255.0
    for text, style in (
        (document.pi_name or document.pi_email, Text(11, BOLD)),
        (document.pi_department, BODY),
        (document.pi_email if document.pi_name != document.pi_email else "", BODY),
    ):
        y = paper.wrapped_lines(LEFT, y, isolated(text), style, room, role="P", step=max(style.line, 12.5))
    y -= 5
    paper.write(LEFT, y, "PROJECT", LABEL, role="P")
    y -= 13
    y = paper.wrapped_lines(LEFT, y, project_of(document), STRONG, room, role="P", step=12.5)
    low = _set_facts(paper, document, top)
    paper.y = min(y, low) - 2


def _set_facts(paper: Paper, document: StatementDocument, top: float) -> float:
    """Write month, numbers, dates and contact, and return where they end."""
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
    y = top
    left = RIGHT - 232
    paper.structure.open("Table")
    for name, values in (*((name, [value]) for name, value in facts), ("Contact", contact)):
        lines = lines_of(map(isolated, values), BODY, RIGHT - left - 60)
        if not lines:
            continue
        with paper.structure.part("TR"):
            paper.write(left, y, name, SMALL, role="TH", attributes=ROW_SCOPE)
            paper.lines(left + 60, y, lines, BODY, role="TD")
        y -= 12.5 * len(lines)
    paper.structure.close()
    return y


def set_summary(paper: Paper, document: StatementDocument) -> None:
    """Write the four sums of the month, a box each."""
    figures = document.month_figures
    height, gap = 52.0, 8.0
    tile = (RIGHT - LEFT - 3 * gap) / 4
    bottom = paper.y - height
    discount, subsidy = figures.discount_percent, figures.subsidy_percent
    tiles = (
        ("List price", figures.list_cost, ""),
        ("Provider discount", figures.discount, f"{discount} of list price" if discount else ""),
        ("Subsidy", figures.subsidy, f"{subsidy} of price after discount" if subsidy else ""),
        (document.total_label, document.figures.charged, _remark_on_corrections(document)),
    )
    paper.structure.open("Table")
    for index, (name, amount, remark) in enumerate(tiles):
        left = LEFT + index * (tile + gap)
        is_total = index == 3
        paper.box(left, bottom, tile, height, ACCENT if is_total else PALE)
        with paper.structure.part("TR"):
            label = Text(8, color=WHITE if is_total else GRAY)
            paper.write(left + 9, bottom + height - 14, name, label, role="TH", attributes=ROW_SCOPE)
            figure = signed(money_with_currency(amount, document.currency))
            style = narrowed(figure, Text(15, BOLD, WHITE if is_total else INK), tile - 18)
            # One cell: what stands below the figure says what it is of.
            paper.code.append(paper.structure.mark("TD"))
            paper.show(left + 9, bottom + height - 32, f"{figure} " if remark else figure, style)
            if remark:
                small = Text(7.2, color=WHITE if is_total else GRAY)
                paper.show(left + 9, bottom + 8, fitted(remark, small, tile - 18), small)
            paper.code.append("EMC")
    paper.structure.close()
    paper.y = bottom - 20


def _remark_on_corrections(document: StatementDocument) -> str:
    if not document.corrections:
        return ""
    return signed(f"with corrections of {money(document.correction_figures.charged, document.currency)}")


def set_review_band(paper: Paper, document: StatementDocument) -> None:
    """Write until when to ask, where the month was in review when the statement was issued."""
    text = document.review_request
    if not text:
        return
    style = Text(8.8, color=CAUTION_INK)
    _set_band(paper, [text], style, CAUTION_PALE)


def set_notices(paper: Paper, document: StatementDocument) -> None:
    """Write what the reader should mind: what ends soon, and below that what the institution has to say."""
    ends = [isolated(each.text) for each in document.notices if each.is_urgent is not None]
    texts = [isolated(each.text) for each in document.notices if each.is_urgent is None]
    _set_band(paper, ends, Text(8.8, color=CAUTION_INK), CAUTION_PALE)
    _set_band(paper, texts, Text(8.8), PALE)
    if document.notices or document.review_until:
        paper.y -= 8


def _set_band(paper: Paper, texts: Sequence[str], style: Text, color: str) -> None:
    """Write texts on a ground of their own, a paragraph each; nothing where there is none."""
    paragraphs = [lines for text in texts if (lines := wrapped(text, style, RIGHT - LEFT - 20))]
    if not paragraphs:
        return
    height = 11 + 12.5 * sum(map(len, paragraphs)) + 2.5 * (len(paragraphs) - 1)
    paper.need(height)
    paper.y += 6
    paper.box(LEFT, paper.y - height, RIGHT - LEFT, height, color)
    y = paper.y - 14
    for lines in paragraphs:
        paper.lines(LEFT + 10, y, lines, style, role="P")
        y -= 12.5 * len(lines) + 2.5
    paper.y -= height + 14


def project_of(document: StatementDocument) -> str:
    """Return the project as printed, name and code each in its own direction."""
    if document.project_name and document.project_name != document.project_code:
        return f"{isolated(document.project_name)} ({isolated(document.project_code)})"
    return isolated(document.project)
