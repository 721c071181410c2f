"""A run of charging: a month's payer lines and references are brought up to date with its charges."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef

from .. import audit
from ..attribution import holding
from ..audit import Actor
from ..models import BillingPeriod, BillingReference, Charge, Flag, MonthTotal, PayerLine, PayerSplitShare, Policy
from ..money import ZERO
from ..months import closing
from .groups import REFERENCES, Groups
from .lines import lines_of_month
from .month import Month
from .splits import stamp_project_splits

BATCH = 500

# By the ids of a PI and a project.
References = dict[tuple[int | None, int | None], BillingReference]


@dataclass(frozen=True)
class Charged:
    """What a run of charging made of a month, in the policy's currency."""

    lines: int
    charged: Decimal
    rounding: Decimal
    held_count: int
    held_billed: Decimal
    created: int
    changed: int
    deleted: int
    # Amounts of different currencies are never added: what is held in others, as billed.
    held_foreign: dict[str, Decimal]


def make_payer_lines(*, period: BillingPeriod, actor: Actor, now: datetime.datetime) -> Charged:
    """Bring a month's payer lines and references up to date with its charges.

    1. Lock the period: two runs do not give one reference number twice, and no line is made while the month is
       finalized.
    2. Stamp the splits of projects on the charges, and hold what they give to a fund/org whose dates are over.
    3. Compute the lines, and number the references of new owners, in the order of PI e-mail and project code by code
       point. A number once given stays; later owners get the next.
    4. Write lines by their natural key: those that did not change keep their row and time, those that nothing stands
       for any more are deleted. Record the run if it changed anything.

    Raises PeriodFinalized, MissingRate, MissingEffectiveCost, MissingPI, MissingFundOrg,
    MissingCenterFundOrg, NothingToShareOver or BrokenSplit, each with what to do; then nothing is changed.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        if period.status == BillingPeriod.Status.FINALIZED:
            raise closing.PeriodFinalized(f"Billing period {period} is finalized: its payer lines are locked.")
        if period.takes_changes and stamp_project_splits(period):
            _hold_what_splits_reach(period, gesture)
        lines = lines_of_month(Groups(Month(period), is_stamped=True))
        references = _references(period, lines)
        for line in lines:
            line.reference = references[line.pi_id, line.project_id]
            line.computed_at = now
        created, changed, deleted = _store(period, lines)
        held = MonthTotal.objects.of_month(period).held().billed_by_currency()
        home = Policy.objects.current().currency
        charged = Charged(
            lines=len(lines),
            charged=sum((line.charged for line in lines), ZERO),
            rounding=sum((line.rounding for line in lines), ZERO),
            held_count=sum(count for count, _ in held.values()),
            held_billed=held.pop(home, (0, ZERO))[1],
            created=created,
            changed=changed,
            deleted=deleted,
            held_foreign={currency: billed for currency, (_, billed) in held.items()},
        )
        if created or changed or deleted:
            gesture.record(
                "payer_lines.made",
                period,
                after={
                    "lines": charged.lines,
                    "charged": str(charged.charged),
                    "created": created,
                    "changed": changed,
                    "deleted": deleted,
                },
            )
        return charged


def _hold_what_splits_reach(period: BillingPeriod, gesture: audit.Gesture) -> None:
    """Hold charges that a split entered since their import gives to a fund/org whose dates are over."""
    checks = holding.Checks()
    dated = {fund_org for fund_org, days in (checks.reference.funds or {}).items() if any(days)}
    shares = PayerSplitShare.objects.filter(split__project__isnull=False)
    wanted = {*dated, *checks.reference.last_postings}
    splits = {split for split, fund_org in shares.values_list("split", "fund_org") if fund_org in wanted}
    # What was asked about a charge before, and answered, is not asked again.
    asked = Flag.objects.filter(charge=OuterRef("pk"), code__in=Flag.ANSWERED_ELSEWHERE)
    month = Charge.objects.in_month(period).exclude(attributed_by__in=Charge.SETTLED).exclude(Exists(asked))
    for split in sorted(splits):
        holding.settle(
            month.filter(payer_split=split, state__in=Charge.CHARGED_TO_OWNER), gesture=gesture, checks=checks
        )


def changed_keys(period: BillingPeriod, lines: Iterable[PayerLine]) -> set[str]:
    """Return the keys of the payer lines that a run would make, change or delete to have these, from `compute`."""
    said = [name for name in _SAID if name != "reference_id"]
    stored = {
        key: tuple(values)
        for key, *values in PayerLine.objects.filter(period=period).order_by().values_list("key", *said)
    }
    today = {line.key: tuple(getattr(line, name) for name in said) for line in lines}
    return {key for key in {*stored, *today} if stored.get(key) != today.get(key)}


def _references(period: BillingPeriod, lines: Iterable[PayerLine]) -> References:
    """Return the reference of each owner; store the new ones.

    The lock on the period keeps two runs from giving one number twice.
    """
    references = numbered(period, lines)
    new = [each for each in references.values() if each.pk is None]
    made = BillingReference.objects.bulk_create(new, batch_size=BATCH)
    return references | {(each.pi_id, each.project_id): each for each in made}


def numbered(period: BillingPeriod, lines: Iterable[PayerLine]) -> References:
    """Return the reference of each owner, or the one that a run would store, unsaved.

    New ones are numbered after those that exist, the center last.
    """
    known = BillingReference.objects.filter(period=period)
    references = {(each.pi_id, each.project_id): each for each in known.select_related("period")}
    owners = {(line.pi_id, line.project_id): line for line in lines}
    new = sorted(
        (line for owner, line in owners.items() if owner not in references),
        key=lambda line: (
            line.pi is None,
            line.pi.email if line.pi else "",
            line.project is not None,
            line.project.code if line.project else "",
        ),
    )
    last = max((each.number for each in references.values()), default=0)
    made = [
        BillingReference(period=period, pi=line.pi, project=line.project, number=number)
        for number, line in enumerate(new, start=last + 1)
    ]
    return references | {(each.pi_id, each.project_id): each for each in made}


# What a line says besides its key; a line that says the same is left alone.
_SAID = (
    "kind",
    "for_period_id",
    "reference_id",
    "pi_id",
    "project_id",
    "fund_org",
    "customer_id",
    "source_id",
    "natural_account",
    "service_name",
    "currency",
    "list_cost",
    "contracted_cost",
    "charged",
    "rounding",
    "shared_total",
    "charge_count",
    *REFERENCES,
)


def _store(period: BillingPeriod, lines: Sequence[PayerLine]) -> tuple[int, int, int]:
    """Write the lines that are new or changed and delete those that vanished; return how many of each."""
    known: dict[str, tuple[Any, ...]] = {
        key: said for key, *said in PayerLine.objects.filter(period=period).order_by().values_list("key", *_SAID)
    }
    created = changed = 0
    to_write = []
    for line in lines:
        said = known.pop(line.key, None)
        if said is None:
            created += 1
        elif list(said) != [getattr(line, name) for name in _SAID]:
            changed += 1
        else:
            continue
        to_write.append(line)
    PayerLine.objects.bulk_create(
        to_write,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["period", "key"],
        update_fields=[*(name.removesuffix("_id") for name in _SAID), "computed_at"],
    )
    vanished = sorted(known)
    for start in range(0, len(vanished), BATCH):
        PayerLine.objects.filter(period=period, key__in=vanished[start : start + BATCH]).delete()
    return created, changed, len(vanished)
