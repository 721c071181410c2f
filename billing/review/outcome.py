"""What came of a decision about several charges."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..models import ReviewDecision

Action = ReviewDecision.Action
UNDO = Action.UNDO

DONE = {
    Action.APPROVE: "approved",
    Action.REJECT: "rejected",
    Action.CHARGE_TO_CENTER: "charged to center",
    Action.REATTRIBUTE: "reattributed",
    Action.SPLIT: "split",
    Action.UNDO: "undone",
}


@dataclass(frozen=True)
class Decided:
    """What came of a decision about several charges: how many it holds for, and why not for the others."""

    done: str
    count: int
    why_skipped: Mapping[int, str] = field(default_factory=dict)
    # What the act created or removed beside the charges, as people name it: “Project P-7”.
    created: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    # Groups the decisions of the act.
    gesture: str = ""

    @property
    def skipped(self) -> dict[str, int]:
        """How many charges were left as they are, by reason, the most frequent first."""
        return dict(Counter(self.why_skipped.values()).most_common())

    def __str__(self) -> str:
        text = f"{counted(self.count)} {self.done}" if self.count else f"No charge {self.done}"
        if skipped := self.skipped:
            reasons = "; ".join(
                f"{reason} ({number:,})" if len(skipped) > 1 else reason for reason, number in skipped.items()
            )
            text += f"; {len(self.why_skipped):,} skipped: {reasons}"
        elif not self.count:
            text += ": there is none to decide about"
        told = [f"{name} is created." for name in self.created]
        told += [f"{name} is removed: nothing else uses it." for name in self.removed]
        return " ".join([f"{text}.", *told])


def counted(number: int) -> str:
    """Write a number of charges."""
    return f"{number:,} {'charge' if number == 1 else 'charges'}"
