"""Taking an import back: what it brought leaves, what it replaced or withdrew lives again."""

import datetime
from dataclasses import dataclass

from django.db.models import Q

from .. import audit, review
from ..audit import Actor
from ..errors import BillingError
from ..models import BillingPeriod, Charge, Flag, Import, ReviewDecision, Source
from ..months import closing


class NotWithdrawable(BillingError):
    """An import that cannot be withdrawn as things are."""


@dataclass(frozen=True)
class Withdrawn:
    """What taking an import back did."""

    withdrawn: int
    revived: int
    # Charges that had been rejected as the same cost as one of these, and are held again.
    asked_again: int = 0

    def __str__(self) -> str:
        told = f"{self.withdrawn:,} charges withdrawn, {self.revived:,} revived."
        if self.asked_again:
            these = "1 charge that was" if self.asked_again == 1 else f"{self.asked_again:,} charges that were"
            told += f" {these} rejected as the same cost {'is' if self.asked_again == 1 else 'are'} held again."
        return told


def withdraw(*, imported: Import, actor: Actor, now: datetime.datetime) -> Withdrawn:
    """Withdraw an applied import: its charges leave, what it replaced or withdrew lives again.

    Only the latest import of its source and periods can go, while the periods it touched take changes; so
    withdrawing in turn always leads back to what was there before. What was rejected because it was the same cost is
    held again: nobody would pay for it otherwise.

    One transaction, which locks in this order:

    1. The source: no other import of it is applied or withdrawn meanwhile, so that the latest stays the latest.
    2. The import: nobody else withdraws it at the same time.
    3. The periods where charges leave or live again: none can be closed meanwhile.

    Raises NotWithdrawable or PeriodClosed.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        if imported.source:
            Source.objects.select_for_update(no_key=True).get(pk=imported.source.pk)
        imported = Import.objects.select_for_update(no_key=True).get(pk=imported.pk)
        require_withdrawable(imported)
        mine = Charge.objects.filter(imported_in=imported, withdrawn_in__isnull=True)
        displaced = Charge.objects.filter(withdrawn_in=imported)
        period_ids = set(mine.values_list("charged_in_id", flat=True).distinct()) | set(
            displaced.values_list("charged_in_id", flat=True).distinct()
        )
        closing.require_open(*BillingPeriod.objects.filter(pk__in=period_ids))
        revived_ids = list(displaced.values_list("id", flat=True))
        gone = mine.update(withdrawn_in=imported)
        revived = 0
        for start in range(0, len(revived_ids), 500):
            revived += Charge.objects.filter(id__in=revived_ids[start : start + 500]).update(withdrawn_in=None)
        imported.state, imported.withdrawn_at = Import.State.WITHDRAWN, now
        imported.save()
        asked_again = _ask_again(imported, actor=actor, now=now)
        after = {"withdrawn": gone, "revived": revived} | ({"asked_again": asked_again} if asked_again else {})
        gesture.record("import.withdrawn", imported, after=after)
    return Withdrawn(withdrawn=gone, revived=revived, asked_again=asked_again)


def require_withdrawable(imported: Import) -> None:
    """Raise NotWithdrawable unless an import is applied, and the latest of its source and periods."""
    if imported.state != Import.State.APPLIED:
        raise NotWithdrawable(f"Import {imported.pk} is {imported.get_state_display().lower()}, not applied.")
    later = (
        Import.objects.filter(
            source=imported.source_id,
            state=Import.State.APPLIED,
            id__gt=imported.pk,
            scope_totals__period__in=imported.scope_totals.values("period"),
        )
        .order_by("-id")
        .first()
    )
    if later:
        raise NotWithdrawable(
            f"Import {later.pk} of {imported.source} came after import {imported.pk}. Withdraw the latest first."
        )
    replaced_since = Charge.objects.filter(imported_in=imported, withdrawn_in__isnull=False).first()
    if replaced_since:
        raise NotWithdrawable(
            f"Import {replaced_since.withdrawn_in_id} replaced charges of import {imported.pk}. Withdraw it first."
        )


def _ask_again(imported: Import, *, actor: Actor, now: datetime.datetime) -> int:
    """Hold again what was rejected as the same as a charge of this import, in the months that take changes."""
    # Its flag names the charge and the import, as `duplicates` words it.
    named = f", of import {imported.pk}"
    flags = Flag.objects.filter(code=Flag.Code.POSSIBLE_DUPLICATE).filter(
        Q(detail__contains=f"{named}.") | Q(detail__contains=f"{named} of ")
    )
    rejected = Charge.objects.live().filter(state=Charge.State.REJECTED, pk__in=flags.values("charge"))
    decided = ReviewDecision.objects.filter(reason=ReviewDecision.Reason.DUPLICATE)
    rejected = rejected.filter(pk__in=decided.values("charge"), charged_in__in=BillingPeriod.objects.taking_changes())
    if not rejected.exists():
        return 0
    note = f"Import {imported.pk}, which had brought the same cost, was withdrawn."
    return review.undo(charges=rejected, note=note, actor=actor, now=now).count
