"""The splits of projects: which one pays for a charge on its day of service, stamped on the charge."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from django.db.models import Case, Expression, F, Q, Value, When

from ..clocks import Clocks
from ..models import BillingPeriod, Charge, PayerSplit
from .storage import in_storage_order

BATCH = 500


def stamp_project_splits(period: BillingPeriod) -> int:
    """Give the live charges of a month the split their project has on their day of service.

    The day is that of the start of the charge period, by the clocks of its import. Where splits of a project
    overlap, the one that begins later holds; where none holds any more, the charge goes back to its own
    fund/org. What a decision attributed stays as decided, and late changes go to who was charged.
    Returns how many charges it touched.
    The caller holds the period open.
    """
    splits = PayerSplit.objects.of_projects()
    if not splits:
        return 0
    stamped, clocks = 0, Clocks()
    month = Charge.objects.in_month(period).exclude(attributed_by__in=Charge.SETTLED)
    # One look through the index of the month tells which projects are in it, and with which PIs: with
    # both, each update below goes straight to its charges.
    owners: dict[int, list[int | None]] = defaultdict(list)
    of_projects = {split.project_id for split in splits}
    for project_id, pi_id in (
        Charge.objects.in_month(period).filter(project__in=of_projects).values_list("project", "pi").distinct()
    ):
        owners[project_id].append(pi_id)
    for split in splits:
        if split.project_id in owners:
            stamped += (
                month.filter(_owned_by(owners[split.project_id]), _holds(split, splits, clocks))
                .exclude(payer_split=split.pk)
                .update(payer_split=split.pk)
            )
    # In bunches: SQLite takes no condition of more than a thousand terms.
    for start in range(0, len(splits), BATCH):
        bunch = splits[start : start + BATCH]
        stale = in_storage_order(period).filter(payer_split__in=[split.pk for split in bunch])
        for split in bunch:
            stale = stale.exclude(_holds(split, splits, clocks), payer_split=split.pk)
        stamped += stale.exclude(attributed_by__in=Charge.SETTLED).update(payer_split=None)
    return stamped


def paying_split() -> Expression | F:
    """Return the split each charge will have once stamped, for a preview of what would be charged."""
    splits = PayerSplit.objects.of_projects()
    if not splits:
        return F("payer_split")
    clocks = Clocks()
    own = Case(
        When(payer_split__in=[split.pk for split in splits], then=Value(None)),
        default=F("payer_split"),
    )
    return Case(
        When(attributed_by__in=Charge.SETTLED, then=F("payer_split")),
        *(When(_holds(split, splits, clocks), then=Value(split.pk)) for split in splits),
        default=own,
    )


def _holds(split: PayerSplit, splits: Sequence[PayerSplit], clocks: Clocks) -> Q:
    """Match the charges of a split's project on the days it holds, until a later one takes its place."""
    condition = Q(project=split.project_id) & _within(split, clocks)
    for later in splits[splits.index(split) + 1 :]:
        if later.project_id == split.project_id:
            condition &= ~_within(later, clocks)
    return condition


def _within(split: PayerSplit, clocks: Clocks) -> Q:
    return clocks.begins(first=split.valid_from, last=split.valid_until)


def _owned_by(pis: Collection[int | None]) -> Q:
    owned = Q(pi__in=[pi for pi in pis if pi is not None])
    return owned | Q(pi__isnull=True) if None in pis else owned
