"""What use costs in all, as a function of how much was used so far.

A price list with tiers is a curve: graduated prices bend it, volume prices turn it about 0. A record costs what the
curve is after it less what it was before it, each rounded to 10^-8. So the records of a scope add up to the curve at
its total, rounded once, however the use was cut into records and files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .exact import LIMIT, ONE, Ints, Line, largest, line, narrowed, rounded, whole
from .terms import Rate, Threshold, Tier, Tiering


@dataclass(frozen=True)
class Curve:
    """A price list over use in parts, which are whole; its amounts are whole numbers of 10^-8.

    `lines` has one for each tier, and `ends` the last part that is in each but the last one; `bounds` are where these
    tiers end, which may be within a part. Of volume prices, the tier depends on how much is used in all.
    """

    ends: tuple[int, ...]
    lines: tuple[Line, ...]
    is_volume: bool
    bounds: tuple[Fraction, ...] = ()

    def tiers(self, use: Ints, *, of_next: bool = False) -> Ints:
        """Return the tier that each use has reached, from 0; `of_next`: the tier of the part after it."""
        if not self.ends:
            return np.zeros(len(use), dtype=np.int16)
        return np.searchsorted(whole(self.ends), use, side="right" if of_next else "left").astype(np.int16)

    def at(self, use: Ints, in_all: Ints) -> Ints:
        """Return what use costs, rounded. `in_all` is the use that volume prices depend on, for each."""
        return rounded(use, self.lines, self.tiers(in_all if self.is_volume else use) if self.ends else None)

    def exactly(self, use: int, in_all: int) -> Fraction:
        """Return what use costs as money, not rounded."""
        reached = in_all if self.is_volume else use
        place = next((tier for tier, end in enumerate(self.ends) if reached <= end), len(self.ends))
        return self.lines[place].exactly(use) / ONE

    def reached(self, money: Fraction) -> int:
        """Return how much use costs so much, in whole parts, where no price is 0 but the last."""
        for place, known in enumerate(self.lines):
            if not known.slope:
                return self.ends[place - 1] + 1 if place else 0
            use = (money * ONE * known.denominator - known.offset) / known.slope
            if place == len(self.ends) or use <= self.ends[place]:
                return int(use // 1)
        return 0


def curve_of(rate: Rate, tiers: Sequence[Tier], scale: int) -> Curve:
    """Return the curve of some tiers of a rate, with `scale` parts in one of its units."""
    ends: list[int] = []
    bounds: list[Fraction] = []
    lines: list[Line] = []
    # Where the tier begins: in parts, and what was charged until there.
    begin, charged = Fraction(0), Fraction(0)
    for tier in tiers:
        slope = Fraction(tier.price) * ONE / (Fraction(rate.per) * scale)
        is_volume = rate.tiering is Tiering.VOLUME
        lines.append(line(slope, Fraction(0) if is_volume else charged - slope * begin))
        if tier.up_to is None:
            break
        if rate.threshold is Threshold.AMOUNT:
            end = begin + (Fraction(tier.up_to) * ONE - charged) / slope
        else:
            end = Fraction(tier.up_to) * scale
        charged += slope * (end - begin)
        begin = end
        ends.append(int(end // 1))
        bounds.append(end)
    return Curve(tuple(ends), tuple(lines), rate.tiering is Tiering.VOLUME, tuple(bounds))


def stepped(use_so_far: Ints, free: Ints, rate: Rate, scale: int) -> Ints:
    """Return use with what is not free of it in whole steps, each as a whole from its first part."""
    if rate.step is None:
        return use_so_far
    step = int(Fraction(rate.step) * scale)
    known = use_so_far if largest(use_so_far) + step < LIMIT else use_so_far.astype(object)
    beyond = np.maximum(known - free, 0)
    return narrowed(np.minimum(known, free) + -(-beyond // step) * step)
