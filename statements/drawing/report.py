"""A report on paper, for whoever decides about the money: what it came to in words, its trend, and its tables."""

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from billing import charts
from billing.charts import HEIGHT, LINES, WIDTH
from billing.texts import long_month

from ..archival import Properties
from ..figures import money, money_with_currency
from ..lettering import BOLD, isolated
from ..tagging import COLUMN_SCOPE, ROW_SCOPE
from .fitting import fitted, narrowed, signed, wrapped
from .headed import HeadedTable, Heading
from .paper import Paper
from .styles import (
    ACCENT,
    CELL,
    CELL_STRONG,
    CHART_FILLS,
    GRAY,
    HEADING,
    INK,
    LEFT,
    PAGE_SIZES,
    RIGHT,
    RULE,
    SMALL,
    TOP,
    Text,
)
from .tiles import Tile, set_tiles

TOLD = Text(10.5, leading=15.5)
TICK = Text(6.8, color=GRAY)
AXIS, PLOT, BELOW_PLOT = 30.0, 120.0, 38.0
INDENT = 12
# The least that the names of rows have, and what a column of amounts or of percentages takes.
AMOUNT_WIDTH, PERCENT_WIDTH = 72.0, 54.0
# A table of so few rows is not broken over pages; what its title and headings take, and its total.
SHORT, ROWS_ABOVE, TOTAL_HEIGHT = 16, 38.0, 24.0


def draw(data: Mapping[str, Any]) -> bytes:
    """Set a report (`billing.reports.briefing.of`) and return its PDF. The same data gives the same bytes."""
    sheet = ReportSheet(data)
    sheet.set()
    return sheet.to_pdf(sheet.properties)


class ReportSheet(Paper):
    """The pages of a report."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(PAGE_SIZES[data["paper"]])
        self.data = data
        self.currency = str(data["currency"])

    @property
    def properties(self) -> Properties:
        data = self.data
        return Properties(
            title=f"{data['title']}, {data['span']}",
            author=str(data["institution"]),
            subject="What research computing was worth, what was given, and what was charged",
            stamp="",
        )

    def set(self) -> None:
        """Set what stands on the report, in order."""
        data = self.data
        self.new_page()
        self._set_head()
        if data["sums"]:
            set_tiles(self, [self._tile(each) for each in data["sums"]])
        for text in (" ".join(data["told"]),) if data["told"] else ():
            self.paragraph(text, TOLD)
            self.y -= 12
        if data["trend"]:
            self._set_trend(data["trend"])
        for table in data["tables"]:
            ReportTable(self, table).set()
        if not data["tables"]:
            self.paragraph("There is nothing in these months.", TOLD)
        self._set_notes()

    def _set_head(self) -> None:
        data = self.data
        room = RIGHT - LEFT
        y = self.wrapped_lines(LEFT, TOP - 9, isolated(data["institution"]), Text(12, BOLD), room, role="P", step=15)
        if data["department"]:
            y = self.wrapped_lines(LEFT, y, isolated(data["department"]), SMALL, room, role="P", step=12)
        self.rule(y, color=ACCENT, thickness=1.4)
        self.write(LEFT, y - 32, data["title"], Text(24, BOLD, ACCENT), role="H1")
        y -= 49
        scope = "".join(f" · {isolated(each)}" for each in data["scope"])
        y = self.wrapped_lines(
            LEFT,
            y,
            f"{data['span']}{scope} · {self.currency} · prepared {data['made']}",
            Text(11, color=GRAY),
            room,
            role="P",
            step=14,
        )
        self.y = y - 6

    def _tile(self, each: Mapping[str, Any]) -> Tile:
        return Tile(each["label"], signed(money_with_currency(each["amount"], self.currency)), each["remark"])

    def _set_trend(self, trend: Mapping[str, Any]) -> None:
        """Draw a bar for each month; its figures stand in a table below it."""
        months: Sequence[datetime.date] = trend["months"]
        series = trend["series"]
        self.need(PLOT + BELOW_PLOT + 40)
        self.write(LEFT, self.y, "Month by month", HEADING, role="H2")
        self.y -= 20
        top, left = self.y + 6, LEFT + AXIS
        bottom = top - PLOT
        chart = charts.stacked(list(zip(*(each["amounts"] for each in series), strict=True)))
        across, up = (RIGHT - left) / WIDTH, PLOT / HEIGHT
        with self.figure(self._alternative(trend), (LEFT, bottom - BELOW_PLOT, RIGHT, top + TICK.size)):
            for tick in chart.ticks:
                y = top - PLOT * tick.place / LINES
                color, thickness = (GRAY, 0.7) if tick.text == "0" else (RULE, 0.4)
                self.code.append(f"{color} RG {thickness:g} w {left:.2f} {y:.2f} m {RIGHT:.2f} {y:.2f} l S")
                text = signed(tick.text)
                self.show(left - 5 - TICK.width(text), y - 2.2, text, TICK)
            for each in chart.segments:
                x, wide, tall = left + float(each.x) * across, float(each.width) * across, float(each.height) * up
                low = top - (float(each.y) + float(each.height)) * up
                self.code.append(f"{CHART_FILLS[each.series - 1]} rg {x:.2f} {low:.2f} {wide:.2f} {tall:.2f} re f")
            self._set_months(months, left, bottom)
            self._set_key([each["label"] for each in series], left, bottom - BELOW_PLOT + 8)
        self.y = bottom - BELOW_PLOT - 14
        columns = [{"label": each["label"], "kind": "amount"} for each in series]
        rows = [
            {"label": long_month(month), "depth": 0, "values": [*(each["amounts"][place] for each in series), total]}
            for place, (month, total) in enumerate(zip(months, trend["totals"], strict=True))
        ]
        total = [*(sum(each["amounts"], Decimal(0)) for each in series), sum(trend["totals"], Decimal(0))]
        columns.append({"label": "List price" if self.data["sums"] else "Total", "kind": "amount"})
        table = {"title": "", "heading": "Month", "columns": columns, "rows": rows, "total": total}
        ReportTable(self, table).set()

    def _alternative(self, trend: Mapping[str, Any]) -> str:
        """Say what the chart shows, for who cannot see it; the table after it has every number."""
        first, last = trend["months"][0], trend["months"][-1]
        said = [
            f"{each['label']} {money_with_currency(each['amounts'][0], self.currency)}, then "
            f"{money_with_currency(each['amounts'][-1], self.currency)}"
            for each in trend["series"]
        ]
        return (
            f"Chart of stacked bars by month, from {long_month(first)} to {long_month(last)}: {'; '.join(said)}. "
            "The table after it has the same figures."
        )

    def _set_months(self, months: Sequence[datetime.date], left: float, bottom: float) -> None:
        slot = (RIGHT - left) / len(months)
        for number, month in enumerate(months):
            middle = left + slot * (number + 0.5)
            for text, below in ((f"{month:%b} ", 9.0), (f"{month:%Y} ", 17.0)):
                if below == 9.0 or number == 0 or month.month == 1:
                    self.show(middle - TICK.width(text.rstrip()) / 2, bottom - below, text, TICK)

    def _set_key(self, names: Sequence[str], x: float, y: float) -> None:
        """Write what each color is."""
        room = (RIGHT - x) / max(len(names), 1) - 18
        style = Text(7.4, color=GRAY)
        for fill, name in zip(CHART_FILLS, names, strict=False):
            short = fitted(name, style, room)
            self.code.append(f"{fill} rg {x:.2f} {y - 0.5:.2f} 6.5 6.5 re f")
            self.show(x + 9, y, f"{isolated(short)} ", style)
            x += 9 + style.width(short) + 14

    def _set_notes(self) -> None:
        self.y -= 4
        for note in self.data["notes"]:
            self.paragraph(note, SMALL)
            self.y -= 3
        if contact := self.data["contact"]:
            self.paragraph(f"Questions: {contact}", SMALL)

    def set_running_head(self) -> None:
        self.y = TOP - 4
        self.write(LEFT, self.y, f"{self.data['title']}, {self.data['span']}", Text(9, BOLD, ACCENT))
        self.y -= 8
        self.rule(self.y, color=ACCENT, thickness=1.0)
        self.y -= 20

    def set_foot(self, number: int) -> None:
        self.write_foot(f"{self.data['institution']} · {self.data['title']}, {self.data['span']}", number)


class ReportTable(HeadedTable):
    """One table of a report: a name for each row, and its figures."""

    def __init__(self, paper: ReportSheet, data: Mapping[str, Any]) -> None:
        super().__init__(paper, paper.currency)
        self.data = data
        edge = RIGHT - 6
        edges = []
        for column in reversed(data["columns"]):
            edges.append(edge)
            edge -= self._width(column)
        self.edges = edges[::-1]
        self.label_room = edge - LEFT - 12

    def _width(self, column: Mapping[str, Any]) -> float:
        if column["kind"] == "percent":
            return PERCENT_WIDTH
        # Many columns share what the names leave of the page.
        amounts = [each for each in self.data["columns"] if each["kind"] != "percent"]
        others = PERCENT_WIDTH * (len(self.data["columns"]) - len(amounts))
        return min(AMOUNT_WIDTH + 14, (RIGHT - LEFT - 150 - others) / len(amounts))

    def headings(self) -> list[Heading]:
        return [
            (LEFT + 6, self.data["heading"], "left", COLUMN_SCOPE),
            *(
                (edge, self._heading(column), "right", COLUMN_SCOPE)
                for edge, column in zip(self.edges, self.data["columns"], strict=True)
            ),
        ]

    def _heading(self, column: Mapping[str, Any]) -> str:
        return fitted(column["label"], Text(7.8, BOLD), self._width(column) - 4)

    def set(self) -> None:
        """Write the table with its title, and the row that adds it up."""
        paper, data = self.paper, self.data
        rows = len(data["rows"])
        # A short table stays together; a long one begins with some of its rows.
        paper.need(ROWS_ABOVE + 13 * (rows if rows <= SHORT else 5) + TOTAL_HEIGHT)
        if data["title"]:
            paper.write(LEFT, paper.y, data["title"], HEADING, role="H2")
            paper.y -= 17
        with self.headed():
            for number, row in enumerate(data["rows"], start=1):
                # The total is never alone on a page.
                paper.need(13 + (TOTAL_HEIGHT if number == rows else 0))
                style = CELL_STRONG if not row["depth"] and any(each["depth"] for each in data["rows"]) else CELL
                self._row(row["label"], row["values"], style, row["depth"])
            paper.need(20)
            paper.rule(paper.y + 10, color=INK, thickness=0.8)
            paper.y -= 1.5
            self._row("Total", data["total"], Text(9, BOLD), 0)
        paper.y -= 18

    def _row(self, label: str, values: Sequence[Any], style: Text, depth: int) -> None:
        paper = self.paper
        lines = wrapped(isolated(label), style, self.label_room - INDENT * depth)[:2] or [""]
        paper.need(13 * len(lines) + 4)
        with paper.structure.part("TR"):
            x = LEFT + 6 + INDENT * depth
            paper.lines(x, paper.y, lines, style, role="TH", step=11, attributes=ROW_SCOPE)
            for edge, column, value in zip(self.edges, self.data["columns"], values, strict=True):
                text = signed(self._text(column, value))
                look = narrowed(text, style, self._width(column) - 5)
                paper.code.append(paper.structure.mark("TD"))
                if text:
                    paper.show(edge - look.width(text), paper.y, text, look)
                paper.code.append("EMC")
        paper.y -= 13 + 11 * (len(lines) - 1)

    def _text(self, column: Mapping[str, Any], value: Any) -> str:
        if value is None:
            return "–"
        if column["kind"] == "percent":
            return f"{Decimal(value):,.1f}%".replace(".0%", "%")
        return f"{value:,}" if column["kind"] == "count" else money(value, self.currency)
