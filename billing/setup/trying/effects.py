"""What a change of the policy comes to for a month: charges and money, by what holds them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from ...fields import AmountSum
from ...models import BillingPeriod, Charge, Flag
from ...models.standing import unindexed

State = Charge.State
# Charges that a page shows one by one, and lines by pattern, fund/org or PI.
SHOWN, LINES = 10, 25


@dataclass
class Tally:
    """Charges and what is billed for them, by currency: currencies are never added."""

    charges: int = 0
    billed: dict[str, Decimal] = field(default_factory=dict)

    def add(self, charges: int, currency: str, billed: Decimal) -> None:
        self.charges += charges
        self.billed[currency] = self.billed.get(currency, Decimal(0)) + billed


@dataclass
class Line:
    """What one pattern, fund/org or PI does: what it newly holds, or what it held and would not hold now."""

    name: str
    # It is in the present policy alone.
    is_removed: bool = False
    charges: Tally = field(default_factory=Tally)
    approved: Tally = field(default_factory=Tally)


class Fitting(NamedTuple):
    """A pattern, and how many fund/orgs of a month it fits."""

    name: str
    fits: int


class Part(NamedTuple):
    """Charges of a month that are alike in `key`, in a state and a currency."""

    key: tuple[Any, ...]
    state: str
    currency: str
    charges: int
    billed: Decimal


@dataclass
class Effect:
    """What the change of one setting does to a month."""

    # Not held now, and would be; of them, those that somebody approved, and the number decided otherwise.
    held: Tally = field(default_factory=Tally)
    approved: Tally = field(default_factory=Tally)
    decided: int = 0
    # Held now, for another reason.
    held_already: int = 0
    # Held now for this alone, and would not be.
    freed: Tally = field(default_factory=Tally)
    lines: list[Line] = field(default_factory=list)
    # Of patterns of fund/orgs: how many of the month each fits.
    fitting: list[Fitting] = field(default_factory=list)
    examples: list[Charge] = field(default_factory=list)
    # Why it was not tried.
    problem: str = ""

    @property
    def shown_lines(self) -> list[Line]:
        return self.lines[:LINES]

    @property
    def unshown_lines(self) -> int:
        return len(self.lines) - len(self.shown_lines)

    def hold(self, part: Part, lines: Iterable[Line] = ()) -> bool:
        """Count charges that would be held; tell whether they are not held now."""
        if part.state == State.HELD:
            self.held_already += part.charges
            return False
        is_approved = part.state == State.APPROVED
        self.decided += part.charges if part.state in Charge.DECIDED and not is_approved else 0
        counted = [(self.held, self.approved), *((line.charges, line.approved) for line in lines)]
        for charges, approved in counted:
            for tally in (charges, approved) if is_approved else (charges,):
                tally.add(part.charges, part.currency, part.billed)
        return True

    def free(self, part: Part, lines: Iterable[Line] = ()) -> None:
        """Count charges that would not be held any more."""
        for tally in (self.freed, *(line.charges for line in lines)):
            tally.add(part.charges, part.currency, part.billed)


@dataclass(frozen=True)
class Segments:
    """How many fund/orgs of a month the segments fit, and those that they do not fit."""

    fits: int
    others: tuple[str, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        return self.others[:SHOWN]

    @property
    def unshown(self) -> int:
        return len(self.others) - len(self.shown)


def parts_of(charges: "QuerySet[Charge]", *by: str, texts: Sequence[str] = ()) -> Iterator[Part]:
    """Return charges in parts that are alike in some columns, and then in some dimensions."""
    # Along the index of a dimension a database would fetch the charges of a month one by one.
    keys = {f"{name}_number": unindexed(name) for name in texts}
    rows = charges.order_by().annotate(**keys).values_list(*by, *keys, "state", "currency")
    for row in rows.annotate(number=Count("pk"), billed=AmountSum("billed_cost")).iterator():
        *key, state, currency, number, billed = row
        yield Part(tuple(key), state, currency, number, billed)


def held_only_for(code: str, period: BillingPeriod) -> "QuerySet[Charge]":
    """Return the charges of a month that this reason alone holds."""
    still = Flag.objects.filter(charge=OuterRef("pk"), is_resolved=False)
    held = Charge.objects.held().of_month(period)
    return held.filter(Exists(still.filter(code=code)), ~Exists(still.exclude(code=code)))


def examples_of(charges: "QuerySet[Charge]", keys: Iterable[Q]) -> list[Charge]:
    """Return the largest charges that are in one of some parts and not held now."""
    wanted = Q(pk__in=())
    for key in keys:
        wanted |= key
    found = charges.exclude(state=State.HELD).filter(wanted)
    related = ("source", "pi", "project", "product", "resource", "description")
    return list(found.select_related(*related).order_by("-billed_cost", "pk")[:SHOWN])
