"""Use of a cluster added up by who had it, and what nobody had shared among those who had something."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

IDLE, UNALLOCATED = "idle", "unallocated"
WORKLOAD = "workload"


class Treatment(StrEnum):
    """What becomes of use that belongs to no workload.

    FREE: charged to nobody, with the reason. HOLD: of no account, so that it waits for a decision. CHARGE: of an
    account that is set. SPREAD: shared among the workloads of its cluster and day, each measure by what they have.
    """

    FREE = "free"
    HOLD = "hold"
    CHARGE = "charge"
    SPREAD = "spread"


class Key(NamedTuple):
    """Who had what on which day; `use` says what it is: workload, idle or unallocated."""

    day: int
    cluster: str
    namespace: str
    controller: str
    pod: str
    account: str
    user: str
    use: str


@dataclass
class Gathered:
    """What was used: whole numbers of each measure, and from when to when."""

    start: int
    end: int
    amounts: list[int] = field(default_factory=list)

    def add(self, start: int, end: int, amounts: Iterable[int]) -> None:
        self.start, self.end = min(self.start, start), max(self.end, end)
        self.amounts = [one + other for one, other in zip(self.amounts, amounts, strict=True)]


def spread(sums: Mapping[Key, Gathered], uses: Iterable[str]) -> dict[Key, Gathered]:
    """Share what is of some uses among the workloads of its cluster and day, to the last unit.

    A measure that no workload has stays where it is.
    """
    shared = set(uses)
    found = {key: Gathered(each.start, each.end, list(each.amounts)) for key, each in sums.items()}
    workloads: dict[tuple[int, str], list[Key]] = defaultdict(list)
    for key in sorted(found):
        if key.use == WORKLOAD:
            workloads[key.day, key.cluster].append(key)
    for key in sorted(found):
        if key.use not in shared:
            continue
        receivers = workloads[key.day, key.cluster]
        for measure, total in enumerate(found[key].amounts):
            weights = [sums[each].amounts[measure] for each in receivers]
            if total and sum(weights) > 0 and min(weights) >= 0:
                for each, share in zip(receivers, _shares(total, weights), strict=True):
                    found[each].amounts[measure] += share
                found[key].amounts[measure] = 0
    return {key: each for key, each in found.items() if key.use not in shared or any(each.amounts)}


def _shares(total: int, weights: list[int]) -> Iterator[int]:
    """Yield whole parts of a total in proportion to weights; they add up to it."""
    whole, before = sum(weights), 0
    for reached in accumulate(weights):
        now = total * reached // whole
        yield now - before
        before = now
