"""What replacements inherit from charges that people decided about, on record."""

from collections.abc import Sequence

from django.db.models import Q

from .. import audit
from ..models import Charge, Flag, ReviewDecision, StoredFile
from ..money import plain


def record(first: int, count: int, files: Sequence[StoredFile], gesture: audit.Gesture) -> None:
    """Record, for each replacement of a charge that people decided about, what it inherited."""
    replaced = (
        Charge.objects.filter(id__gte=first, id__lt=first + count, replaces__isnull=False)
        .filter(Q(replaces__state__in=Charge.DECIDED) | Q(attributed_by="decision"))
        .select_related("replaces")
    )
    decisions = []
    for charge in replaced.iterator(chunk_size=2_000):
        old = charge.replaces
        if old is None:
            continue
        decisions.append(
            ReviewDecision(
                charge=charge,
                file_sha256=files[charge.file_number - 1].sha256,
                line_number=charge.line_number,
                action=ReviewDecision.Action.INHERIT,
                before={"charge": old.pk, "state": old.state, "billed": plain(old.billed_cost)},
                after={"state": charge.state, "billed": plain(charge.billed_cost)},
                decided_by=gesture.actor.user,
                decided_by_name=gesture.actor.name,
                decided_at=gesture.now,
                gesture=gesture.id,
            )
        )
    ReviewDecision.objects.bulk_create(decisions, batch_size=2_000)
    write_old_and_new(first, count)


def write_old_and_new(first: int, count: int) -> None:
    """Say in the flag of a charge whose amount changed since its approval what it was and is."""
    flags = list(
        Flag.objects.filter(
            charge_id__gte=first, charge_id__lt=first + count, code=Flag.Code.AMOUNT_CHANGED
        ).select_related("charge__replaces")
    )
    for flag in flags:
        if old := flag.charge.replaces:
            # A second change keeps the amount that was decided about.
            decided = flag.detail.partition(" when decided")[0] or plain(old.billed_cost, old.currency)
            flag.detail = f"{decided} when decided, {plain(flag.charge.billed_cost, flag.charge.currency)} now"
    Flag.objects.bulk_update(flags, ["detail"], batch_size=500)
