"""How readings become amounts: what a day, a gap, and the edge of a month count for."""

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """What each day of a month counts for.

    MEAN: its own reading, so that the month has the mean of its days. MAXIMUM: the largest reading of the month. LAST:
    the last one. DAILY: its own reading, as MEAN, and each day is a record of its own, for free amounts and tiers by
    the day.
    """

    MEAN = "mean"
    MAXIMUM = "maximum"
    LAST = "last"
    DAILY = "daily"


class Charge(StrEnum):
    """What of a reading is charged: what is used, what is reserved, or the larger of both."""

    USED = "used"
    QUOTA = "quota"
    LARGER = "larger"


class Pick(StrEnum):
    """Which of several readings of a day counts."""

    FIRST = "first"
    LAST = "last"
    LARGEST = "largest"


class Gaps(StrEnum):
    """On which days without a reading, between two others, the reading before them counts.

    SYSTEM: where nothing of the resource was read. An object that is missing among others does not exist on that day.
    ALWAYS: on every such day. NEVER: on none.
    """

    SYSTEM = "system"
    ALWAYS = "always"
    NEVER = "never"


class Edges(StrEnum):
    """What counts before the first and after the last reading of an object: nothing, or the rest of their month."""

    READINGS = "readings"
    MONTH = "month"


# Days. A month is made with the readings of so many days before and after it.
LONGEST_GAP = 31


@dataclass(frozen=True)
class ByDay:
    """Amounts by days, for what is read once a day. A gap of more than `longest_gap` days counts for nothing."""

    method: Method = Method.MEAN
    charge: Charge = Charge.USED
    pick: Pick = Pick.LAST
    gaps: Gaps = Gaps.SYSTEM
    longest_gap: int = LONGEST_GAP
    edges: Edges = Edges.READINGS


@dataclass(frozen=True)
class ByTime:
    """Amounts by seconds, for what is read every few minutes: a reading counts until the next one of its system.

    It counts for `longest_hold` seconds at the most, and the last one, of which nobody knows how long, for none.
    """

    longest_hold: int = 3_600


Policy = ByDay | ByTime
