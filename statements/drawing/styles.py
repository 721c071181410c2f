"""How documents look: the page, colors, and the styles of text."""

from dataclasses import dataclass

from ..lettering import BOLD, REGULAR, width

# What is set is as wide on any paper, in points, and begins as far below its upper edge.
WIDE = 512.0
LEFT, RIGHT = 50.0, 50.0 + WIDE
UPPER_EDGE = 792.0
TOP = UPPER_EDGE - 48.0
MARGIN_BELOW = 62.0


@dataclass(frozen=True)
class PageSize:
    """A paper around what is set: it stands in the middle, and a longer paper has more room at its foot."""

    width: float
    height: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The edges of the paper, where `LEFT` and `TOP` are those of what is set."""
        left = LEFT - (self.width - WIDE) / 2
        return (left, UPPER_EDGE - self.height, left + self.width, UPPER_EDGE)

    @property
    def bottom(self) -> float:
        return UPPER_EDGE - self.height + MARGIN_BELOW


LETTER, A4 = PageSize(612.0, 792.0), PageSize(595.28, 841.89)
PAGE_SIZES = {"letter": LETTER, "a4": A4}

INK = "0.11 0.13 0.17"
GRAY = "0.38 0.41 0.46"
ACCENT = "0.05 0.33 0.31"
WHITE = "1 1 1"
PALE = "0.945 0.96 0.96"
RULE = "0.80 0.83 0.87"
CAUTION_INK, CAUTION_PALE = "0.42 0.26 0.02", "1 0.955 0.86"
# Of a bar: what is charged, subsidy, discount, corrections.
CHART_FILLS = (ACCENT, "0.44 0.68 0.65", "0.76 0.80 0.84", "0.85 0.56 0.20")


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
# The heading of a fund/org, below that of its block.
FUND = Text(9.6, BOLD)
