"""What a drawing is made of, in the coordinates of its own box, y downward as in SVG."""

from dataclasses import dataclass

# The longer side of a drawing's box: coordinates have two decimals.
SIDE = 1000.0
# Points of curves, beyond which nobody sees more of a logo.
MOST_POINTS = 20_000
# What numbers of a drawing are between: anything else is no place on paper.
FARTHEST = 1e7


class NotPlain(ValueError):
    """A file that is no drawing in plain colors; the message says why, and what to do."""


@dataclass(frozen=True)
class Shape:
    """A path of absolute commands (`M`, `L`, `C`, `Z` with their points), and how it is painted.

    Colors are `#rrggbb`, and empty where there is none.
    """

    path: str
    fill: str = ""
    is_even_odd: bool = False
    stroke: str = ""
    width: float = 1.0
    # As SVG names them: butt, round, square; miter, round, bevel.
    cap: str = "butt"
    join: str = "miter"
    miter_limit: float = 4.0


@dataclass(frozen=True)
class Vector:
    """A drawing: its box, and its shapes from the lowest to the topmost."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
