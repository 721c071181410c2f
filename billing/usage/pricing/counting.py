"""From measures of records to a quantity in the unit of a rate: in whole parts of the unit, so that sums are exact."""

from collections.abc import Iterable
from fractions import Fraction
from math import lcm

import numpy as np
import pyarrow as pa

from ...errors import BillingError
from ..records import Measure, Shape
from .checks import ELAPSED
from .exact import LIMIT, Ints, largest, narrowed, times
from .fitting import Texts
from .terms import Combine, Count, Rate


class NegativeUse(BillingError):
    """A record says that less than nothing was used."""


def scale_of(rate: Rate, shape: Shape, others: Iterable[Fraction] = ()) -> int:
    """Return how many parts a unit of a rate has, so that its records, free amounts, steps and `others` are whole."""
    fractions = [Fraction(rate.free), Fraction(rate.step or 0), *others]
    for count in rate.counts:
        fractions += _Counted(count, shape).fractions
    return lcm(*(each.denominator for each in fractions))


def parts_of(records: pa.Table, rate: Rate, shape: Shape, scale: int) -> Ints:
    """Return how many parts of the rate's unit each record used. Raises NegativeUse."""
    found: Ints | None = None
    for count in rate.counts:
        parts = _Counted(count, shape).parts(records, scale)
        if count.when:
            parts = parts * Texts(records).fit(count.when)
        if found is None:
            found = parts
        elif rate.combine is Combine.MAX:
            found = np.maximum(found, parts)
        else:
            found = _added(found, parts)
    return np.zeros(records.num_rows, dtype=np.int64) if found is None else found


class _Counted:
    """How one measure is counted: each of its base units is `each` of the rate's unit, or by steps of its level."""

    def __init__(self, count: Count, shape: Shape) -> None:
        self.count = count
        base = shape.measure(count.measure).units[count.unit]
        share = Fraction(count.factor) / Fraction(count.per)
        self.each = share / base
        self.is_level = count.step is not None or count.at_least is not None
        if self.is_level:
            # Seconds of the unit's time: 3,600 of GiB-hour.
            time = _time_of(shape.measure(ELAPSED), count.unit)
            # A level of 1 for one elapsed second, in units of the rate; and the level of one base unit in one second.
            self.each_second, self.level = share / time, Fraction(time, base)

    @property
    def fractions(self) -> list[Fraction]:
        if not self.is_level:
            return [self.each]
        least, step = (Fraction(value or 0) for value in (self.count.at_least, self.count.step))
        return [self.each_second * step] if step else [self.each, self.each_second * least]

    def parts(self, records: pa.Table, scale: int) -> Ints:
        counted = _column(records, self.count.measure)
        if not self.is_level:
            return times(counted, int(self.each * scale))
        elapsed = _column(records, ELAPSED)
        least, step = (Fraction(value or 0) for value in (self.count.at_least, self.count.step))
        if not step:
            return np.maximum(
                times(counted, int(self.each * scale)), times(elapsed, int(self.each_second * least * scale))
            )
        steps = np.maximum(_started(counted, elapsed, self.level / step), _ceiling(least / step))
        per_step = int(self.each_second * step * scale)
        if largest(steps) * largest(elapsed) * per_step >= LIMIT:
            steps = steps.astype(object)
        return narrowed(steps * elapsed * per_step)


def _started(counted: Ints, elapsed: Ints, level: Fraction) -> Ints:
    """Return how many steps the level of each record has begun; 0 of what took no time."""
    if largest(counted) * level.numerator >= LIMIT or largest(elapsed) * level.denominator >= LIMIT:
        counted, elapsed = counted.astype(object), elapsed.astype(object)
    return -(-counted * level.numerator // np.maximum(elapsed * level.denominator, 1))


def _ceiling(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def _time_of(elapsed: Measure, unit: str) -> int:
    return elapsed.units[unit.rpartition("-")[2]]


def _added(some: Ints, others: Ints) -> Ints:
    return some + others if largest(some) + largest(others) < LIMIT else some.astype(object) + others


def _column(records: pa.Table, name: str) -> Ints:
    values = records.column(name).to_numpy()
    if len(values) and values.min() < 0:
        at = int(values.argmin())
        raise NegativeUse(
            f"Record {records.column('id')[at].as_py()} has {values[at]} as {name}. "
            "Less than nothing cannot be priced: correct the file, and import it again."
        )
    return values
