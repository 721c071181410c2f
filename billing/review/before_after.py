"""A correction before it is made: what each payer concerned is charged before and after, and what stays as it is."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from django.db.models import QuerySet

from .. import audit
from ..audit import Actor
from ..background import jobs
from ..models import BillingPeriod, Charge, MonthTotal, Person
from .act import Act
from .owners import UNSAVED
from .reassignment import Reassignment
from .selections import looking

State = Charge.State
# Payers that a page shows; a correction mostly concerns two.
SHOWN = 25

# A month, a PI (None for nobody) or a word for a state, and a currency.
Place = tuple[int, int | str | None, str]


@dataclass(frozen=True)
class Row:
    """What somebody is charged in a month, or what a month holds or charges, in one currency."""

    name: str
    month: datetime.date
    currency: str
    before: Decimal
    after: Decimal

    @property
    def change(self) -> Decimal:
        return self.after - self.before


@dataclass(frozen=True)
class BeforeAfter:
    """What a correction does: by PI, and by what becomes of the months' charges. `skipped` counts by reason."""

    moved: int
    payers: tuple[Row, ...] = ()
    states: tuple[Row, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    created: tuple[str, ...] = ()
    # The charges that change, as they would be, in memory alone.
    charges: tuple[Charge, ...] = ()

    @property
    def shown(self) -> tuple[Row, ...]:
        return self.payers[:SHOWN]

    @property
    def unshown(self) -> int:
        return len(self.payers) - len(self.shown)


def before_and_after(
    charges: "QuerySet[Charge]",
    *,
    reassignment: Reassignment,
    approve: bool,
    actor: Actor,
    now: datetime.datetime,
) -> BeforeAfter | None:
    """Return what a correction would do, by deciding in memory alone; None for too many charges to try for a page.

    A PI's total is what the month charges their own funds: the charges that are clear or approved, as billed. Raises
    what the correction itself would.
    """
    columns = ("pk", "charged_in", "pi", "state", "currency", "billed_cost")
    rows = list(charges.order_by("pk").values_list(*columns)[: jobs.LARGE + 1])
    if len(rows) > jobs.LARGE:
        return None
    was = {pk: rest for pk, *rest in rows}
    with looking():
        act = Act(list(was), gesture=audit.Gesture(actor=actor, now=now), trial=True)
        for charge in act.charges.values():
            # Nothing is saved.
            act.reassign(charge, reassignment, approve=approve)
    by_payer: dict[Place, Decimal] = defaultdict(Decimal)
    by_state: dict[Place, Decimal] = defaultdict(Decimal)
    changed: list[Charge] = []
    for pk, charge in act.charges.items():
        if pk in act.why_skipped:
            continue
        changed.append(charge)
        month, pi, state, currency, billed = was[pk]
        for each_pi, each_state, amount in ((pi, state, -billed), (charge.pi_id, charge.state, billed)):
            # Also who is charged nothing before or after is concerned.
            by_payer[month, each_pi, currency] += amount if each_state in Charge.CHARGED_TO_OWNER else 0
            by_state[month, _word(each_state), currency] += amount
    named = reassignment.pi or "the new PI"
    return BeforeAfter(
        len(changed),
        _payers(by_payer, named),
        _states(by_state),
        dict(Counter(act.why_skipped.values())),
        act.created,
        tuple(changed),
    )


def _word(state: str) -> str:
    words = {State.HELD: "Held for review", State.REJECTED: "Rejected", State.CHARGED_TO_CENTER: "Charged to center"}
    return words.get(State(state), "Charged")


def _payers(changes: Mapping[Place, Decimal], unsaved: str) -> tuple[Row, ...]:
    """Return the rows of the PIs concerned, those who are charged less first."""
    pis = {pi for _, pi, _ in changes if isinstance(pi, int)}
    totals = MonthTotal.objects.filter(
        charged_in__in={month for month, _, _ in changes}, state__in=Charge.CHARGED_TO_OWNER
    ).filter(pi__in=pis - {UNSAVED})
    before = {
        (row["charged_in"], row["pi"], row["currency"]): row["billed"]
        for row in totals.summed("charged_in", "pi", "currency")
    }
    people = Person.objects.in_bulk(pis - {UNSAVED})
    names = {pk: person.display_name for pk, person in people.items()} | {UNSAVED: unsaved}
    rows = _rows((place for place in changes if place[1] is not None), before, changes, names)
    # Whose charges are all held, before and after, is charged nothing.
    rows = [row for row in rows if row.before or row.after]
    return tuple(sorted(rows, key=lambda row: (row.month, row.change, row.name)))


def _states(changes: Mapping[Place, Decimal]) -> tuple[Row, ...]:
    """Return the rows of what the months hold and charge, where that changes."""
    before: dict[Place, Decimal] = defaultdict(Decimal)
    months = {month for month, _, _ in changes}
    for row in MonthTotal.objects.filter(charged_in__in=months).summed("charged_in", "state", "currency"):
        before[row["charged_in"], _word(row["state"]), row["currency"]] += row["billed"]
    words = {word: str(word) for _, word, _ in changes}
    rows = _rows((place for place, amount in changes.items() if amount), before, changes, words)
    return tuple(sorted(rows, key=lambda row: (row.month, row.name)))


def _rows(
    places: Iterable[Place],
    before: Mapping[Place, Decimal],
    changes: Mapping[Place, Decimal],
    names: Mapping[int | str | None, str],
) -> list[Row]:
    found = list(places)
    months = BillingPeriod.objects.in_bulk({month for month, _, _ in found})
    return [
        Row(
            name=names.get(place[1], "–"),
            month=months[place[0]].month,
            currency=place[2],
            before=before.get(place, Decimal(0)),
            after=before.get(place, Decimal(0)) + changes[place],
        )
        for place in found
    ]
