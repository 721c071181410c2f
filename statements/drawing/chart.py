"""The last months of a statement: a chart, and beside it a table of the same figures."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from billing.charts import HEIGHT, LINES, WIDTH
from billing.texts import long_month

from ..document import Figures, History, MonthOfHistory, StatementDocument, money, money_with_currency
from ..lettering import BOLD
from ..tagging import COLUMN_SCOPE, ROW_SCOPE
from .fitting import narrowed, signed
from .paper import Paper
from .styles import ACCENT, CHART_FILLS, GRAY, HEADING, LEFT, PALE, RIGHT, RULE, Text

ROW, HEADING_ROW = 11.2, 15.0
# The chart stands left of its table; amounts on its axis are written in their own room.
TABLE_LEFT, AXIS = LEFT + 212, 26.0
PLOT_LEFT, PLOT_RIGHT = LEFT + AXIS, TABLE_LEFT - 14
LEAST_PLOT = 78.0
# Below the plot: months, years, and what the colors mean.
BELOW_PLOT = 34.0
CORRECTIONS = 3
HEADINGS = ("List price", "Discount", "Subsidy", "Corrections", "Total charged")
CELL = Text(7.4)
TICK = Text(6.4, color=GRAY)


def height_of(document: StatementDocument) -> float:
    """Return what chart and table take, with their heading."""
    table = HEADING_ROW + ROW * len(document.history)
    return 19 + max(table, LEAST_PLOT + BELOW_PLOT) + 12


def set_history(paper: Paper, document: StatementDocument) -> None:
    """Write what the last months came to, all on one page; nothing where this is the first."""
    past = document.past
    if not past:
        return
    height = height_of(document)
    paper.need(height)
    below = paper.y - height
    heading = f"The last {len(document.history)} months"
    paper.write(LEFT, paper.y, heading, HEADING, role="H2")
    paper.y -= 19
    _set_chart(paper, past, told(document))
    _set_table(paper, past)
    paper.y = below - 8


def told(document: StatementDocument) -> str:
    """Say what the chart shows, for who cannot see it; the table beside it has every number."""
    known = [each for each in document.history if each.figures]
    first, last = known[0], known[-1]
    changes = []
    amounts: dict[str, Callable[[MonthOfHistory], Decimal]] = {
        "list price": lambda each: (each.figures or Figures()).list_cost,
        "subsidy": lambda each: each.parts[1],
        "total charged": lambda each: each.charged,
    }
    for name, amount in amounts.items():
        before, after = (money_with_currency(amount(each), document.currency) for each in (first, last))
        changes.append(f"{name} {before}, then {after}" if before != after else f"{name} {before} in both")
    return (
        f"Chart of what makes up the list price, by month. From {long_month(first.month)} to "
        f"{long_month(last.month)}: {'; '.join(changes)}. The table after it has the same figures."
    )


def _set_chart(paper: Paper, past: History, alternative: str) -> None:
    top = paper.y + 6
    months = past.months
    high = max(HEADING_ROW + ROW * len(months) - BELOW_PLOT, LEAST_PLOT)
    bottom = top - high
    chart = past.chart
    across, up = (PLOT_RIGHT - PLOT_LEFT) / WIDTH, high / HEIGHT
    with paper.figure(alternative, (LEFT, bottom - BELOW_PLOT, PLOT_RIGHT, top + TICK.size)):
        code = paper.code
        for tick in chart.ticks:
            y = top - high * tick.place / LINES
            color, thickness = (GRAY, 0.7) if tick.text == "0" else (RULE, 0.4)
            code.append(f"{color} RG {thickness:g} w {PLOT_LEFT:.2f} {y:.2f} m {PLOT_RIGHT:.2f} {y:.2f} l S")
            text = signed(tick.text)
            paper.show(PLOT_LEFT - 4 - TICK.width(text), y - 2.2, text, TICK)
        for each in chart.segments:
            x = PLOT_LEFT + float(each.x) * across
            low = top - (float(each.y) + float(each.height)) * up
            wide, tall = float(each.width) * across, float(each.height) * up
            code.append(f"{CHART_FILLS[each.series - 1]} rg {x:.2f} {low:.2f} {wide:.2f} {tall:.2f} re f")
        _set_months(paper, months, bottom)
        _set_key(paper, [each.label for each in past.series], bottom - BELOW_PLOT + 4)


def _set_months(paper: Paper, months: Sequence[MonthOfHistory], bottom: float) -> None:
    slot = (PLOT_RIGHT - PLOT_LEFT) / len(months)
    for number, each in enumerate(months):
        middle = PLOT_LEFT + slot * (number + 0.5)
        # A blank behind each, for who hears or copies them.
        for text, below in ((f"{each.month:%b} ", 8.0), (f"{each.month:%Y} ", 15.5)):
            if below == 8.0 or number == 0 or each.month.month == 1:
                paper.show(middle - TICK.width(text.rstrip()) / 2, bottom - below, text, TICK)


def _set_key(paper: Paper, names: Sequence[str], y: float) -> None:
    """Write what each color is."""
    x = LEFT
    for fill, name in zip(CHART_FILLS, names, strict=False):
        paper.code.append(f"{fill} rg {x:.2f} {y - 0.5:.2f} 6 6 re f")
        paper.show(x + 8, y, f"{name} ", TICK)
        x += 8 + TICK.width(name) + 9


def _set_table(paper: Paper, past: History) -> None:
    y = paper.y
    style = Text(7, BOLD, GRAY)
    shown = [number for number in range(len(HEADINGS)) if past.has_corrections or number != CORRECTIONS]
    wide = 50.0 if past.has_corrections else 61.0
    edges = [RIGHT - 6 - wide * place for place in reversed(range(len(shown)))]
    with paper.structure.part("Table"):
        paper.box(TABLE_LEFT, y - 5, RIGHT - TABLE_LEFT, 14.5, PALE)
        with paper.structure.part("TR"):
            paper.write(TABLE_LEFT + 6, y, "Month", style, role="TH", attributes=COLUMN_SCOPE)
            for edge, number in zip(edges, shown, strict=True):
                name = HEADINGS[number]
                look = narrowed(name, style, wide - 4)
                paper.write(edge, y, name, look, align="right", role="TH", attributes=COLUMN_SCOPE)
        y -= HEADING_ROW
        mark, code = paper.structure.mark, paper.code
        for each in past.months:
            style = Text(CELL.size, BOLD, ACCENT) if each is past.months[-1] else CELL
            cells = [_cells(each, past.currency)[number] for number in shown]
            with paper.structure.part("TR"):
                paper.write(TABLE_LEFT + 6, y, f"{each.month:%b %Y}", style, role="TH", attributes=ROW_SCOPE)
                for edge, text in zip(edges, cells, strict=True):
                    look, taken = style, style.width(text)
                    if taken > wide - 4:
                        look = narrowed(text, style, wide - 4)
                        taken = look.width(text)
                    code.append(mark("TD"))
                    paper.show(edge - taken, y, text, look)
                    code.append("EMC")
            y -= ROW


def _cells(each: MonthOfHistory, currency: str) -> list[str]:
    """Return what a month has in each column, as `HEADINGS` names them."""
    figures = each.figures
    if figures is None:
        return ["", "", "", "", "no statement"]
    amounts = (figures.list_cost, figures.discount, figures.subsidy, each.corrections, each.charged)
    return [signed(money(amount, currency)) for amount in amounts]
