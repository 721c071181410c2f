"""How documents look: the page, colors, and the styles of text."""

from dataclasses import dataclass

from ..lettering import BOLD, REGULAR, width

# US Letter, in points.
PAGE_WIDTH, PAGE_HEIGHT = 612.0, 792.0
MARGIN = 50.0
LEFT, RIGHT = MARGIN, PAGE_WIDTH - MARGIN
TOP, BOTTOM = PAGE_HEIGHT - 48.0, 62.0

INK = "0.11 0.13 0.17"
GRAY = "0.38 0.41 0.46"
ACCENT = "0.05 0.33 0.31"
WHITE = "1 1 1"
PALE = "0.945 0.96 0.96"
RULE = "0.80 0.83 0.87"
CAUTION_INK, CAUTION_PALE = "0.42 0.26 0.02", "1 0.955 0.86"


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
