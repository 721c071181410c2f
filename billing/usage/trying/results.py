"""What other rates would charge: by payer, in the ledger, and in all, each as it is and as it would be (pure)."""

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

ZERO = Decimal(0)


class Owed(NamedTuple):
    """An amount as it is charged now, and as it would be."""

    now: Decimal = ZERO
    then: Decimal = ZERO

    @property
    def difference(self) -> Decimal:
        return self.then - self.now

    def plus(self, other: "Owed") -> "Owed":
        return Owed(self.now + other.now, self.then + other.then)


@dataclass(frozen=True)
class Payer:
    """Who pays on a payer line, and for what. `kind` is that of the line; only what `is_charged` is a user's."""

    pi: str
    pi_name: str
    project: str
    paid_by: str
    account: str
    source: str
    service: str
    kind: str
    is_charged: bool
    # A customer pays by invoice, and a source that is not charged back is on no journal.
    is_journaled: bool
    recovery: tuple[str, str]


@dataclass(frozen=True)
class Line:
    """What one payer is charged for one service of a month, and would be."""

    payer: Payer
    listed: Owed
    charged: Owed


class Journaled(NamedTuple):
    """What the ledger would have on a fund/org and account: debits above zero, credits below."""

    fund_org: str
    account: str
    amount: Owed


@dataclass(frozen=True)
class Totals:
    """What a month's charges come to, exactly: list − class − free − drawn − subsidized − held − rejected = charged.

    `class_price` is what rate classes pay less than the list price. `free`, `drawn` (from balances) and `subsidized`
    are None where it is not known which is which: `reduced` is their sum. `cents` is what payer lines charge.
    """

    charges: int
    listed: Decimal
    class_price: Decimal
    reduced: Decimal
    held: Decimal
    rejected: Decimal
    charged: Decimal
    cents: Decimal
    free: Decimal | None = None
    drawn: Decimal | None = None
    subsidized: Decimal | None = None

    @property
    def rounding(self) -> Decimal:
        """What rounding each payer line to cents added."""
        return self.cents - self.charged


@dataclass(frozen=True)
class MonthTried:
    """A month of a feed: what is charged, and what would be; `problem` says why that is not known."""

    feed: str
    feed_label: str
    month: datetime.date
    state: str
    priced_by: str
    problem: str = ""
    lines: tuple[Line, ...] = ()
    now: Totals | None = None
    then: Totals | None = None
    units_now: tuple[Mapping[str, Any], ...] = ()
    units_then: tuple[Mapping[str, Any], ...] = ()
    # Decided charges that would be held once more, as their amount moves by more than the policy allows.
    asked_again: int = 0
    asked_again_billed: Decimal = ZERO
    notes: tuple[str, ...] = ()

    @property
    def charged(self) -> Owed:
        """What users are charged."""
        return total(line.charged for line in self.lines if line.payer.is_charged)


@dataclass(frozen=True)
class ByPI:
    """What a PI is charged and would be, in all and line by line."""

    pi: str
    name: str
    listed: Owed
    charged: Owed
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Tried:
    """What was tried, in which currency, and what came of each month."""

    what: str
    currency: str
    months: tuple[MonthTried, ...] = field(default=())

    @property
    def found(self) -> tuple[MonthTried, ...]:
        return tuple(each for each in self.months if not each.problem)

    @property
    def problems(self) -> tuple[MonthTried, ...]:
        return tuple(each for each in self.months if each.problem)

    @property
    def charged(self) -> Owed:
        """What users are charged, and would be."""
        return total(each.charged for each in self.found)

    @property
    def lines(self) -> list[Line]:
        """All lines, those of several months added up by payer and service."""
        return added_up((line for month in self.found for line in month.lines), lambda payer: payer)

    def by_pi(self) -> list[ByPI]:
        """Return what each PI is charged, those first whose charge moves most. The center pays what no PI does."""
        of_pi: dict[tuple[str, str], list[Line]] = {}
        for line in self.lines:
            if line.payer.is_charged:
                of_pi.setdefault((line.payer.pi, line.payer.pi_name), []).append(line)
        found = [
            ByPI(
                pi,
                name,
                total(line.listed for line in lines),
                total(line.charged for line in lines),
                tuple(added_up(lines, _without_service)),
            )
            for (pi, name), lines in of_pi.items()
        ]
        return sorted(found, key=lambda each: (-abs(each.charged.difference), each.pi))

    def others(self) -> list[Line]:
        """Return what no user is charged: funded subsidies, and what the center pays."""
        return added_up((line for line in self.lines if not line.payer.is_charged), _without_service)

    def journal(self) -> list[Journaled]:
        """Return what the ledger has on each fund/org and account, and would have. The sums are zero."""
        sums: dict[tuple[str, str], Owed] = {}
        for line in self.lines:
            if line.payer.is_journaled:
                credit = Owed(-line.charged.now, -line.charged.then)
                for place, amount in (
                    ((line.payer.paid_by, line.payer.account), line.charged),
                    (line.payer.recovery, credit),
                ):
                    sums[place] = sums.get(place, Owed()).plus(amount)
        return [Journaled(*place, amount) for place, amount in sorted(sums.items())]

    def invoiced(self) -> Owed:
        """Return what customers are charged by invoice, beside the journal."""
        return total(line.charged for line in self.lines if line.payer.kind == "receivable")

    def totals(self) -> tuple[Totals, Totals] | None:
        """Return what all months come to now and then, None where there is no month."""
        pairs = [(each.now, each.then) for each in self.found]
        now, then = [each for each, _ in pairs if each], [each for _, each in pairs if each]
        return (_summed(now), _summed(then)) if now and then else None


def total(amounts: Iterable[Owed]) -> Owed:
    found = Owed()
    for each in amounts:
        found = found.plus(each)
    return found


def added_up(lines: Iterable[Line], of: Callable[[Payer], Payer]) -> list[Line]:
    """Return lines added up by what `of` makes of their payers, in order."""
    sums: dict[Payer, tuple[Owed, Owed]] = {}
    for line in lines:
        listed, charged = sums.get(of(line.payer), (Owed(), Owed()))
        sums[of(line.payer)] = (listed.plus(line.listed), charged.plus(line.charged))
    ordered = sorted(sums, key=lambda payer: (payer.pi, payer.project, payer.paid_by, payer.source, payer.service))
    return [Line(payer, *sums[payer]) for payer in ordered]


def _without_service(payer: Payer) -> Payer:
    return Payer(**{**vars(payer), "service": ""})


def _summed(some: Iterable[Totals]) -> Totals:
    listed = list(some)
    sums: dict[str, Any] = {}
    for name in Totals.__dataclass_fields__:
        values = [getattr(each, name) for each in listed]
        sums[name] = None if None in values else sum(values, 0 if name == "charges" else ZERO)
    return Totals(**sums)
