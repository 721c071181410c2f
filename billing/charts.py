"""Charts as plain shapes: stacked bars whose figures stand in a table beside them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .fields import WIDE
from .money import ZERO

# The chart's own units; the page stretches them to its width.
WIDTH, HEIGHT = 1200, 400
# The widest a bar may be, for a chart of few months.
WIDEST = Decimal(96)
# Lines across the chart, with a number at each.
LINES = 4
# There are as many colors; whoever has more series gathers the smallest.
COLORS = 6


@dataclass(frozen=True)
class Segment:
    """A part of a bar, of the series with this number (from 1): its place and size in the chart's units."""

    series: int
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True)
class Tick:
    """A line across the chart: how far from the top in quarters of the height, and the number beside it."""

    place: int
    y: int
    text: str


@dataclass(frozen=True)
class Chart:
    segments: tuple[Segment, ...]
    ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT


def stacked(columns: Sequence[Sequence[Decimal]]) -> Chart:
    """Return a bar for each column, of a part for each series (at most so many as there are colors).

    Credits hang below the line of 0.
    """
    tops = [_sum(amount for amount in column if amount > 0) for column in columns]
    depths = [-_sum(amount for amount in column if amount < 0) for column in columns]
    step, below = _scale(max(tops, default=ZERO), max(depths, default=ZERO))
    above = LINES - below
    unit = Decimal(HEIGHT) / (step * LINES)
    zero = Decimal(HEIGHT) * above / LINES
    segments = []
    slot = Decimal(WIDTH) / max(len(columns), 1)
    width = min(slot * Decimal("0.62"), WIDEST)
    for place, column in enumerate(columns):
        x = slot * place + (slot - width) / 2
        up = down = ZERO
        for series, amount in enumerate(column, start=1):
            if not amount:
                continue
            height = abs(amount) * unit
            if amount > 0:
                up += height
                y = zero - up
            else:
                y = zero + down
                down += height
            segments.append(Segment(series, _text(x), _text(y), _text(width), _text(height)))
    ticks = tuple(Tick(place, HEIGHT * place // LINES, short(step * (above - place))) for place in range(LINES + 1))
    return Chart(tuple(segments), ticks)


def _scale(top: Decimal, depth: Decimal) -> tuple[Decimal, int]:
    """Return the amount between two lines, a round one, and how many lines lie below 0."""
    most = max(top, depth)
    if not most:
        return Decimal(1), 0
    # Smaller than any step that could do.
    power = most.adjusted() - 2
    while True:
        for round_one in (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5)):
            step = round_one.scaleb(power)
            above, below = math.ceil(top / step), math.ceil(depth / step)
            if above + below <= LINES:
                # Where lines are left over, a month of credits alone has them below.
                return step, below if above else LINES
        power += 1


def short(amount: Decimal) -> str:
    """Write a round number in little room: 250, 2.5k, 1M."""
    for size, letter in ((Decimal(10**9), "B"), (Decimal(10**6), "M"), (Decimal(10**3), "k")):
        if abs(amount) >= size:
            return f"{(amount / size).normalize():f}{letter}"
    return f"{amount.normalize():f}"


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = WIDE.add(total, amount)
    return total


def _text(number: Decimal) -> str:
    return f"{number.quantize(Decimal('0.01'))}"
