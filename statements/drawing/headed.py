"""What the tables of a document have in common: headings that come again on each page that a table goes on to."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..lettering import BOLD
from .paper import Paper
from .styles import GRAY, LEFT, PALE, RIGHT, Text

STYLE = Text(7.8, BOLD, GRAY)
# Where a heading stands, what it says, on which side of that, and what it says to who hears it.
Heading = tuple[float, str, str, str]


class HeadedTable:
    """Tables of one document, on its paper."""

    def __init__(self, paper: Paper, currency: str) -> None:
        self.paper = paper
        self.currency = currency

    def headings(self) -> list[Heading]:
        raise NotImplementedError

    @contextmanager
    def headed(self) -> Iterator[None]:
        """Begin a table with its headings."""
        with self.paper.structure.part("Table"):
            self.paper.heads_again = lambda: self._write_headings(tagged=False)
            self._write_headings(tagged=True)
            yield
            self.paper.heads_again = None

    def _write_headings(self, *, tagged: bool) -> None:
        """Write the headings; on the pages that the table goes on to they are decoration."""
        paper = self.paper
        paper.box(LEFT, paper.y - 5.5, RIGHT - LEFT, 16.5, PALE)
        if tagged:
            paper.structure.open("TR")
        for x, text, align, attributes in self.headings():
            paper.write(x, paper.y, text, STYLE, align=align, role="TH" if tagged else "", attributes=attributes)
        if tagged:
            paper.structure.close()
        paper.y -= 18.5
