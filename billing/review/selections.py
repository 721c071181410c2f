"""What a selection of charges comes to before it is decided about: by reason, by payer, and what no approval takes."""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, QuerySet

from .. import audit
from ..audit import Actor
from ..background import jobs
from ..errors import BillingError
from ..fields import AmountSum
from ..models import Charge, Flag
from .act import Act
from .shares import shares_of, shares_text

# As many charges are shown one by one, and of more as many groups and examples.
SHOWN_EACH = 25
SHOWN = 10

Billed = Mapping[str, Decimal]


@dataclass(frozen=True)
class Group:
    """Charges of a selection that have something in common."""

    name: str
    count: int
    billed: Billed
    # A reason that no approval answers.
    is_blocking: bool = False


@dataclass(frozen=True)
class Selection:
    """What a selection comes to. A charge with several reasons counts under each of them."""

    count: int
    billed: Billed
    reasons: tuple[Group, ...]
    payers: tuple[Group, ...]
    # Payers beyond those listed.
    further_payers: int
    # What an approval would leave as it is, by the reason; and the reason for each charge, by id.
    blocked: tuple[Group, ...] = ()
    why_blocked: Mapping[int, str] | None = None

    @property
    def is_small(self) -> bool:
        return self.count <= SHOWN_EACH

    @property
    def blocked_count(self) -> int:
        return sum(group.count for group in self.blocked)


def weigh(charges: "QuerySet[Charge]", *, approving: bool, actor: Actor, now: datetime.datetime) -> Selection:
    """Return what charges come to; with `approving` also what would not be approved, and why."""
    chosen = charges.order_by()
    whole = _summed(chosen)
    payers = _payers(chosen)
    why = _why_not_approved(chosen, actor, now) if approving else {}
    reasons = _reasons(chosen)
    # Of too many to try each for a page, what was recorded of them.
    recorded = tuple(group for group in reasons if group.is_blocking)
    blocked = recorded if why is None else _grouped(chosen, why)
    return Selection(
        count=whole.count,
        billed=whole.billed,
        reasons=reasons,
        payers=tuple(payers[:SHOWN]),
        further_payers=max(len(payers) - SHOWN, 0),
        blocked=blocked,
        why_blocked=why,
    )


def _summed(charges: "QuerySet[Charge]", name: str = "", *, is_blocking: bool = False) -> Group:
    rows = list(
        charges.values("currency").annotate(number=Count("pk"), billed=AmountSum("billed_cost")).order_by("currency")
    )
    return Group(
        name, sum(row["number"] for row in rows), {row["currency"]: row["billed"] for row in rows}, is_blocking
    )


def _reasons(charges: "QuerySet[Charge]") -> tuple[Group, ...]:
    """Return the charges by the reasons that hold them, the most frequent first, and those that have none."""
    still = Flag.objects.filter(is_resolved=False)
    codes = still.filter(charge__in=charges.values("pk")).order_by().values_list("code", flat=True).distinct()
    groups = [
        _summed(
            charges.filter(pk__in=still.filter(code=code).values("charge")),
            str(Flag.Code(code).label),
            is_blocking=code in Flag.BLOCKING,
        )
        for code in codes
    ]
    without = _summed(charges.exclude(pk__in=still.values("charge")), "No open reason")
    return tuple(sorted([*groups, *([without] if without.count else [])], key=lambda group: -group.count))


def _payers(charges: "QuerySet[Charge]") -> list[Group]:
    names = ("pi__email", "project__code", "fund_org", "payer_split", "shared_as")
    rows = charges.values(*names, "currency").annotate(number=Count("pk"), billed=AmountSum("billed_cost")).order_by()
    splits = shares_of({row["payer_split"] for row in rows if row["payer_split"]})
    counts: dict[str, int] = defaultdict(int)
    billed: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for row in rows:
        fund_org = shares_text(splits[row["payer_split"]]) if row["payer_split"] else row["fund_org"]
        name = ", ".join(filter(None, (row["pi__email"] or "no PI", row["project__code"], fund_org or "no fund/org")))
        name = f"Shared as {row['shared_as']}" if row["shared_as"] else name
        counts[name] += row["number"]
        billed[name][row["currency"]] = billed[name].get(row["currency"], Decimal(0)) + row["billed"]
    groups = [Group(name, number, dict(sorted(billed[name].items()))) for name, number in counts.items()]
    return sorted(groups, key=lambda group: (-group.count, group.name))


def looking() -> AbstractContextManager[Any]:
    """Return what an act on trial runs in."""
    # SQLite has one writer at a time, and a page that only looks does not wait for it, such as for a long import.
    return nullcontext() if connection.vendor == "sqlite" else transaction.atomic()


def _why_not_approved(charges: "QuerySet[Charge]", actor: Actor, now: datetime.datetime) -> dict[int, str] | None:
    """Return why each charge would not be approved, by id, as approving would; None for too many charges."""
    if charges.count() > jobs.LARGE:
        return None
    try:
        with looking():
            trial = Act(charges, gesture=audit.Gesture(actor=actor, now=now))
            for charge in trial.charges.values():
                # Decided in memory alone: nothing is saved.
                trial.decide(charge, Charge.State.APPROVED)
            return dict(trial.why_skipped)
    except BillingError as error:
        return dict.fromkeys(charges.values_list("pk", flat=True), str(error))


def _grouped(charges: "QuerySet[Charge]", names: Mapping[int, str]) -> tuple[Group, ...]:
    found: dict[str, list[Any]] = defaultdict(list)
    for pk, currency, billed in charges.values_list("pk", "currency", "billed_cost") if names else ():
        if pk in names:
            found[names[pk]].append((currency, billed))
    groups = [Group(name, len(rows), _sums(rows), is_blocking=True) for name, rows in found.items()]
    return tuple(sorted(groups, key=lambda group: (-group.count, group.name)))


def _sums(rows: Iterable[tuple[str, Decimal]]) -> Billed:
    sums: dict[str, Decimal] = {}
    for currency, billed in rows:
        sums[currency] = sums.get(currency, Decimal(0)) + billed
    return dict(sorted(sums.items()))
