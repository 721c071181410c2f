"""Tables that say what an amount was and what it is now: texts in columns, and old, new and change beside them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..document import money
from ..lettering import BOLD
from ..tagging import COLUMN_SCOPE, ROW_SCOPE
from .fitting import lines_of, narrowed, signed
from .headed import HeadedTable, Heading
from .paper import Paper
from .styles import INK, RIGHT, Text

AMOUNTS = ("Old", "New", "Change")
# The right edges of the columns of amounts.
COLUMNS = (RIGHT - 134, RIGHT - 70, RIGHT - 6)
ROOM = 60.0
STEP = 10.4
# What the row that adds a table up takes.
TOTAL_HEIGHT = 20.0
# What a row has beyond these lines goes on in rows below it: none is longer than a page.
MOST_LINES = 40

# The lines of a cell, each in its style.
Cell = Sequence[tuple[str, Text]]
Amount = Decimal | None


@dataclass(frozen=True)
class Row:
    """The cells of a row. The first that says anything is what the row is called; an amount of None is left out."""

    cells: tuple[Cell, ...]
    amounts: tuple[Amount, Amount, Amount]
    style: Text
    # Has a rule above it: it begins something.
    is_first: bool = True

    @property
    def height(self) -> float:
        return STEP * max(map(len, self.cells)) + 4


@dataclass(frozen=True)
class Column:
    """A column of text, from its left edge."""

    heading: str
    left: float
    width: float

    def cell(self, texts: Iterable[str], style: Text) -> list[tuple[str, Text]]:
        """Break texts into the lines of the column."""
        return [(line, style) for line in lines_of(filter(None, texts), style, self.width)]


class BeforeAfterTable(HeadedTable):
    """One such table, on the paper of a document."""

    def __init__(self, paper: Paper, currency: str, columns: Sequence[Column]) -> None:
        super().__init__(paper, currency)
        self.columns = columns

    def headings(self) -> list[Heading]:
        return [
            *((column.left, column.heading, "left", COLUMN_SCOPE) for column in self.columns),
            *((edge, text, "right", COLUMN_SCOPE) for edge, text in zip(COLUMNS, AMOUNTS, strict=True)),
        ]

    def rows(self, row: Row) -> list[Row]:
        """Return a row, and the rows in which it goes on where it is very long."""
        longest = max(map(len, row.cells))
        parts = [tuple(cell[at : at + MOST_LINES] for cell in row.cells) for at in range(0, longest, MOST_LINES)]
        return [
            Row(cells, row.amounts if not number else (None, None, None), row.style, row.is_first and not number)
            for number, cells in enumerate(parts)
        ]

    def write_all(self, rows: Sequence[Row], *, keep: float) -> None:
        """Write rows: what begins something stays with the first row below it, and the last with `keep`."""
        for number, row in enumerate(rows, start=1):
            below = keep if number == len(rows) else 0.0
            if row.is_first and number < len(rows) and not rows[number].is_first:
                below = rows[number].height + (keep if number + 1 == len(rows) else 0)
            self.write(row, keep=below)

    def write(self, row: Row, *, keep: float = 0) -> None:
        """Write a row; it goes on to a new page where `keep` is not left below it."""
        paper = self.paper
        paper.need(row.height + keep)
        if row.is_first:
            paper.rule(paper.y + 10)
        mark, code = paper.structure.mark, paper.code
        head = next(number for number, cell in enumerate(row.cells) if cell)
        with paper.structure.part("TR"):
            # What the row is called comes first, wherever it stands.
            for number in sorted(range(len(row.cells)), key=lambda at: at != head):
                code.append(mark("TH", ROW_SCOPE) if number == head else mark("TD"))
                for at, (text, style) in enumerate(row.cells[number]):
                    paper.show(self.columns[number].left, paper.y - STEP * at, text, style)
                code.append("EMC")
            for edge, amount in zip(COLUMNS, row.amounts, strict=True):
                code.append(mark("TD"))
                if amount is not None:
                    text = signed(money(amount, self.currency))
                    look = narrowed(text, row.style, ROOM)
                    paper.show(edge - look.width(text), paper.y, text, look)
                code.append("EMC")
        paper.y -= row.height

    def total(self, label: str, amounts: tuple[Amount, Amount, Amount]) -> None:
        """Write the row that adds the table up."""
        paper = self.paper
        paper.need(TOTAL_HEIGHT)
        paper.rule(paper.y + 10.4, color=INK, thickness=0.8)
        paper.y -= 1.5
        style = Text(9.2, BOLD)
        empty: list[Cell] = [[] for _ in self.columns[1:]]
        self.write(Row(([(label, style)], *empty), amounts, style, is_first=False))
