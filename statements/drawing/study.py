"""A rate study on paper, to be filed: its rate, what is wrong with it, its equation, and all that these rest on."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..archival import Properties
from ..lettering import BOLD, isolated
from ..tagging import COLUMN_SCOPE, ROW_SCOPE
from .fitting import narrowed, signed, wrapped
from .headed import HeadedTable, Heading
from .paper import Paper
from .styles import (
    ACCENT,
    BODY,
    CAUTION_INK,
    CAUTION_PALE,
    CELL,
    CELL_STRONG,
    FINE,
    GRAY,
    HEADING,
    INK,
    LEFT,
    PAGE_SIZES,
    PALE,
    RIGHT,
    SMALL,
    TOP,
    WIDE,
    Text,
)
from .tiles import Tile, set_tiles

# What the names of rows have at least, and a column of figures at most.
LABEL_WIDTH, FIGURE_WIDTH = 190.0, 92.0
# A table of so few rows stays on one page where it fits.
SHORT, ROWS_ABOVE = 14, 40.0


def draw(data: Mapping[str, Any]) -> bytes:
    """Set a rate study (`billing.usage.studies.paper.of`) and return its PDF. The same data gives the same bytes."""
    sheet = StudySheet(data)
    sheet.set()
    return sheet.to_pdf(sheet.properties)


class StudySheet(Paper):
    """The pages of a rate study."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(PAGE_SIZES[data["paper"]])
        self.data = data

    @property
    def title(self) -> str:
        return f"{self.data['title']}, {self.data['year']}"

    @property
    def properties(self) -> Properties:
        return Properties(
            title=self.title,
            author=str(self.data["institution"]),
            subject="What a service costs, what is used of it, and the rate at which its costs are recovered",
            stamp="",
        )

    def set(self) -> None:
        """Set what stands on the study, in order."""
        data = self.data
        self.new_page()
        self._set_head()
        set_tiles(self, [Tile(each["label"], signed(each["figure"]), each["remark"]) for each in data["tiles"]])
        self._set_verdict()
        for table in data["tables"]:
            StudyTable(self, table).set()
        for note in data["notes"]:
            self.paragraph(note, SMALL)
            self.y -= 3
        if data["contact"]:
            self.paragraph(f"Questions: {data['contact']}", SMALL)

    def _set_head(self) -> None:
        data, y = self.data, TOP - 9
        for text, style, step in (
            (data["institution"], Text(12, BOLD), 15),
            (data["department"], SMALL, 12),
        ):
            y = self.wrapped_lines(LEFT, y, isolated(text), style, WIDE, role="P", step=step)
        self.rule(y, color=ACCENT, thickness=1.4)
        y = self.wrapped_lines(LEFT, y - 30, data["title"], Text(22, BOLD, ACCENT), WIDE, role="H1", step=26) + 8
        for text in data["about"]:
            y = self.wrapped_lines(LEFT, y, text, Text(10.5, color=GRAY), WIDE, role="P", step=14)
        self.y = y - 6

    def _set_verdict(self) -> None:
        """Write how the study stands, and what is wrong with it or to be known."""
        state = self.data["state"]
        ink, pale = (CAUTION_INK, CAUTION_PALE) if state["is_bad"] else (ACCENT, PALE)
        style = Text(10, BOLD, ink, leading=14)
        lines = wrapped(isolated(state["text"]), style, WIDE - 18)
        height = 14.0 * len(lines) + 10
        self.need(height)
        self.box(LEFT, self.y - height + 8, WIDE, height, pale)
        self.lines(LEFT + 9, self.y - 8, lines, style, role="P", step=14)
        self.y -= height + 14
        if self.data["findings"]:
            self.need(40)
            self.write(LEFT, self.y, "Findings", HEADING, role="H2")
            self.y -= 16
            for text in self.data["findings"]:
                self.paragraph(text, BODY)
                self.y -= 4
            self.y -= 10

    def set_running_head(self) -> None:
        self.y = TOP - 4
        style = Text(9, BOLD, ACCENT)
        self.write(LEFT, self.y, self.title, narrowed(self.title, style, WIDE))
        self.y -= 8
        self.rule(self.y, color=ACCENT, thickness=1.0)
        self.y -= 20

    def set_foot(self, number: int) -> None:
        self.write_foot(f"{self.data['institution']} · {self.title}", number)


class StudyTable(HeadedTable):
    """A table of a study: names with what they rest on below, and figures that come as text."""

    def __init__(self, paper: StudySheet, data: Mapping[str, Any]) -> None:
        super().__init__(paper, "")
        self.data = data
        columns = data["columns"]
        self.wide = min(FIGURE_WIDTH, (WIDE - LABEL_WIDTH - 12) / max(len(columns), 1))
        self.edges = [RIGHT - 6 - self.wide * place for place in reversed(range(len(columns)))]
        self.label_room = WIDE - 18 - self.wide * len(columns)

    def headings(self) -> list[Heading]:
        figures = zip(self.edges, self.data["columns"], strict=True)
        return [
            (LEFT + 6, self.data["heading"], "left", COLUMN_SCOPE),
            *((edge, label, "right", COLUMN_SCOPE) for edge, label in figures),
        ]

    def set(self) -> None:
        """Write the table with its title and text, and the row that adds it up."""
        paper, data = self.paper, self.data
        rows = [*data["rows"], *([data["total"]] if data["total"] else [])]
        few = rows if len(rows) <= SHORT else rows[:4]
        paper.need(ROWS_ABOVE + sum(self._height(each) for each in few))
        paper.write(LEFT, paper.y, data["title"], HEADING, role="H2")
        paper.y -= 16
        for text in data["texts"]:
            paper.paragraph(text, SMALL)
            paper.y -= 3
        if rows:
            paper.y -= 2
            self._set_rows()
        paper.y -= 16

    def _set_rows(self) -> None:
        rows, total, paper = self.data["rows"], self.data["total"], self.paper
        with self.headed():
            for number, row in enumerate(rows, start=1):
                # The total is never alone on a page.
                paper.need(self._height(row) + (24 if total and number == len(rows) else 0))
                self._row(row, CELL)
            if total:
                paper.need(20)
                paper.rule(paper.y + 10, color=INK, thickness=0.8)
                paper.y -= 1.5
                self._row(total, CELL_STRONG)

    def _below(self, row: Mapping[str, Any]) -> list[str]:
        return wrapped(isolated(row["below"]), FINE, self.label_room) if row["below"] else []

    def _label(self, row: Mapping[str, Any]) -> list[str]:
        return wrapped(isolated(row["label"]), CELL_STRONG, self.label_room) or [""]

    def _height(self, row: Mapping[str, Any]) -> float:
        below = self._below(row)
        return 14.0 + 11 * (len(self._label(row)) - 1) + (10 * len(below) + 2 if below else 0)

    def _row(self, row: Mapping[str, Any], style: Text) -> None:
        paper, top = self.paper, self.paper.y
        label, below = self._label(row), self._below(row)
        with paper.structure.part("TR"):
            with paper.structure.part("TH", ROW_SCOPE):
                paper.lines(LEFT + 6, top, label, style, role="P", step=11)
                if below:
                    paper.lines(LEFT + 6, top - 11 * len(label) + 1, below, FINE, role="P", step=10)
            self._figures(row["values"], style, top)
        paper.y -= self._height(row)

    def _figures(self, values: Sequence[str], style: Text, y: float) -> None:
        paper = self.paper
        for edge, value in zip(self.edges, values, strict=True):
            text = signed(value)
            look = narrowed(text, style, self.wide - 5)
            paper.code.append(paper.structure.mark("TD"))
            if text:
                paper.show(edge - look.width(text), y, text, look)
            paper.code.append("EMC")
