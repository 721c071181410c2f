"""What re-applying tags, rules and defaults to a month does, or would do."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..money import named, plain
from ..texts import month_name
from ..told import fields_of
from .outcome import counted

# How many charges, by what became of them.
COUNTS = ("looked_at", "decided", "changed", "cleared", "held", "shared", "unshared")


@dataclass(frozen=True)
class Move:
    """Charges that change from one PI to another (or stay with one and change in project, fund or the like).

    In place of a PI stands `shared as NAME` for a cost that is shared over what its source charged.
    """

    pi_before: str
    pi_after: str
    count: int
    billed: Mapping[str, Decimal]

    def as_data(self) -> dict[str, Any]:
        return {
            "from": self.pi_before,
            "to": self.pi_after,
            "count": self.count,
            "billed": {currency: plain(self.billed[currency]) for currency in sorted(self.billed)},
        }


@dataclass(frozen=True)
class Example:
    """One charge that changes: what was and will be of who pays and of its state."""

    charge: int
    used: str
    before: Mapping[str, str]
    after: Mapping[str, str]

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """What changes: its name as people write it, before and after."""
        return [(worded(name), self.before[name], self.after[name]) for name in self.after]

    def as_data(self) -> dict[str, Any]:
        return {"charge": self.charge, "used": self.used, "before": dict(self.before), "after": dict(self.after)}

    def __str__(self) -> str:
        changes = ", ".join(f"{name} {before or '–'} → {after or '–'}" for name, before, after in self.changes)
        return f"charge {self.charge} ({self.used or 'no resource'}): {changes}"


@dataclass(frozen=True)
class Reapplied:
    """What re-applying did, or would do in a dry run; `digest` stands for exactly this outcome."""

    period: str
    source: str
    is_dry_run: bool
    looked_at: int
    decided: int
    changed: int
    cleared: int
    held: int
    # Charges that become a cost shared over what their source charged, and the reverse.
    shared: int
    unshared: int
    resolved: Mapping[str, int]
    raised: Mapping[str, int]
    moves: tuple[Move, ...]
    examples: tuple[Example, ...]
    digest: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Reapplied":
        """Return what `as_data` (and the digest) was made of, as a job has kept it."""
        moves = tuple(
            Move(
                each["from"], each["to"], each["count"], {code: Decimal(text) for code, text in each["billed"].items()}
            )
            for each in data["moves"]
        )
        examples = tuple(
            Example(each["charge"], each["used"], each["before"], each["after"]) for each in data["examples"]
        )
        return cls(
            **{name: data[name] for name in ("period", "source", *COUNTS, "resolved", "raised", "digest")},
            is_dry_run=data["dry_run"],
            moves=moves,
            examples=examples,
        )

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to change."""
        return not (self.changed or self.cleared or self.held or self.resolved or self.raised)

    def as_data(self) -> dict[str, Any]:
        """The outcome as --json prints it, a job keeps it, and `from_data` reads it."""
        return {
            **fields_of(self, "period", "source"),
            "dry_run": self.is_dry_run,
            **fields_of(self, *COUNTS),
            "resolved": dict(self.resolved),
            "raised": dict(self.raised),
            "moves": [move.as_data() for move in self.moves],
            "examples": [example.as_data() for example in self.examples],
        }

    @property
    def summary(self) -> str:
        """The outcome in a sentence or two."""
        if self.is_idle:
            return f"{month_name(self.period)}: {counted(self.looked_at)} looked at; nothing changes."
        would = "would be " if self.is_dry_run else ""
        text = (
            f"{month_name(self.period)}: {counted(self.looked_at)} looked at, {self.changed:,} {would}attributed anew, "
            f"{self.cleared:,} {would}cleared, {self.held:,} {would}newly held."
        )
        if self.shared or self.unshared:
            text += f" Of them {self.shared:,} {would}shared and {self.unshared:,} {would}shared no longer."
        return f"Dry run, nothing was changed. {text}" if self.is_dry_run else text

    def as_text(self) -> str:
        """The outcome for a person, with the next step."""
        lines = [self.summary]
        if self.decided:
            lines.append(f"  {counted(self.decided)} left alone: people decided about them.")
        for word, codes in (("reasons answered", self.resolved), ("reasons raised", self.raised)):
            if codes:
                lines.append(f"  {word}: {', '.join(f'{code} {number:,}' for code, number in codes.items())}")
        for move in self.moves:
            billed = ", ".join(f"{named(move.billed[currency], currency)}" for currency in sorted(move.billed))
            pis = (
                f"{move.pi_before or 'no PI'} → {move.pi_after or 'no PI'}"
                if move.pi_before != move.pi_after
                else f"{move.pi_before or 'no PI'}, other details"
            )
            lines.append(f"  {pis}: {counted(move.count)}, {billed}")
        if self.examples:
            lines += ["  For example:", *(f"    {example}" for example in self.examples)]
        return "\n".join(lines)


def worded(name: str) -> str:
    """Return the name of a column as people write it."""
    words = {"pi": "PI", "fund_org": "fund/org", "attributed_by": "decided by", "deciders": "namely"}
    return words.get(name, name.replace("_", " "))
