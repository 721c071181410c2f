"""Applying what was compared: rows become charges in one transaction, which also marks the import applied."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from .. import audit, charging
from ..attribution import newcomers
from ..fields import to_units
from ..models import BillingPeriod, Import, Source
from ..months import closing
from ..readers.facts import month_number
from . import abandoned, bearing, control_totals, differences, duplicates, inheritance, late, overtaking, owners
from .comparing import Compared
from .reading import Read
from .receiving import Received
from .staging import Stage, charges, dimensions

Periods = Mapping[datetime.date, BillingPeriod]


@dataclass(frozen=True)
class Applied:
    """What came of the comparison: the PIs who are new, and the import that waits with what is not applied."""

    compared: Compared
    new_pis: tuple[newcomers.NewPI, ...] = ()
    deferred: Import | None = None


def apply(rows: Stage, received: Received, read: Read, compared: Compared, imported: Import) -> Applied:
    """Make charges of what is staged.

    One transaction, which locks in this order:

    1. The months, made where they are new. An import that waited is locked, so that nobody decides about it twice;
       any other is locked so that nobody takes it for abandoned and closes it while it is applied.
    2. The months that change, and those that bear what is replaced: none can be closed or put in review meanwhile.
    3. The source: imports of it are applied one after the other. What this one was compared with must still stand,
       and the same file counts once.
    4. The turn among sources, on PostgreSQL: two sources with the same costs see each other's, and somebody is asked.
    5. The charges that leave (see `staging.charges`): a decision that somebody is making about one is waited for, and
       inherited.

    Raises Overtaken where one of these finds that somebody else was first, PeriodClosed, TakenForLeft, NotDeferred,
    or NotApplicable.
    """
    request = received.request
    request.progress(0, 0, "Applying")
    dimensions.store(rows)
    with audit.gesture(actor=request.actor, now=request.now) as gesture:
        periods = {
            month: closing.ensure_period(month=month, actor=request.actor, now=request.now) for month in compared.months
        }
        was_deferred = imported.state == Import.State.DEFERRED
        _require_applicable(imported)
        bearing.stage_elsewhere(rows, received.source, list(periods.values()))
        _require_taking(rows, received, compared, periods)
        overtaking.require_unchanged(received, compared)
        overtaking.require_no_more_again(received, compared, rows, periods)
        overtaking.require_no_more_elsewhere(received, read, compared, rows, periods)
        if not was_deferred:
            overtaking.require_latest(received, imported)
        named = _make_charges(rows, received, read, compared, imported, periods, gesture)
        control_totals.keep_totals(imported, read, compared.taking, periods)
        if not compared.late:
            supersede(imported, received, read, compared, gesture)
        touched = [periods[month] for month in compared.touched]
        for period in sorted([*touched, *bearing.others(rows, touched)], key=lambda each: each.month):
            charging.stamp_project_splits(period)
        new_pis = owners.new_pis(rows, read, named.new_emails)
        imported.new_pis = [each.as_data() for each in new_pis]
        imported.state, imported.applied_at = Import.State.APPLIED, request.now
        imported.missing = compared.missing
        imported.save()
        gesture.record(
            "import.applied",
            imported,
            before={"state": Import.State.DEFERRED.value} if was_deferred else None,
            after={
                "source": received.source.name,
                # What the files were can be told from the audit log alone.
                "sha256": [file.sha256 for file in received.files],
                "rows": imported.rows,
                **vars(compared.counts),
                "totals": imported.totals,
                **({"missing": imported.missing} if imported.missing else {}),
            },
        )
    return Applied(compared, new_pis)


def supersede(imported: Import, received: Received, read: Read, compared: Compared, gesture: audit.Gesture) -> None:
    """Take imports off the list that wait, and that this one makes pointless."""
    periods = compared.periods
    late.supersede(
        by=imported,
        covered={(periods[month].pk, account) for month, account, _ in read.totals if month in periods},
        files=received.file_ids,
        is_whole=received.source.import_mode == Source.ImportMode.SNAPSHOT,
        gesture=gesture,
    )


def _require_applicable(imported: Import) -> None:
    """Lock an import, and refuse one that does not wait any more, or that somebody took for abandoned."""
    if imported.state != Import.State.DEFERRED:
        abandoned.require_at_work(imported)
        return
    late.require_deferred(Import.objects.select_for_update(no_key=True).get(pk=imported.pk))
    late.require_applicable(imported)
    # What it says is counted anew, with the rows as they are read now.
    imported.scope_totals.all().delete()


def _require_taking(rows: Stage, received: Received, compared: Compared, periods: Periods) -> None:
    """Lock the months that change, and refuse where one takes no changes any more."""
    if not compared.touched:
        return
    request = received.request
    # A late change that this one replaces is borne by another month than its own.
    touched = [periods[month] for month in compared.touched]
    bearing.require_taking(rows, touched)
    for period in closing.require_open(*touched, *bearing.others(rows, touched)):
        if period.removed_at:
            # Somebody took it for empty at this moment.
            closing.ensure_period(month=period.month, actor=request.actor, now=request.now)
    waiting = [month for month in sorted(compared.touched) if late.waits(periods[month], is_by_hand=request.is_by_hand)]
    if waiting:
        raise overtaking.in_review_meanwhile(waiting)


def _make_charges(
    rows: Stage,
    received: Received,
    read: Read,
    compared: Compared,
    imported: Import,
    periods: dict[datetime.date, BillingPeriod],
    gesture: audit.Gesture,
) -> owners.Owners:
    rows.fill_rows("stage_month", [(month_number(month), period.pk) for month, period in periods.items()])
    named = owners.make(read, gesture)
    owners.stage_attributions(rows, read, named)
    source = received.source
    measures = {period.pk: differences.COLUMNS[source.measure_in(month)] for month, period in periods.items()}
    if rows.is_chosen:
        control_totals.keep_overlaps(imported, rows, read, compared.taking, periods=periods)
    first, count = charges.make_charges(
        rows, imported, measures=measures, tolerance_units=to_units(received.policy.amount_tolerance)
    )
    if rows.is_chosen:
        inheritance.record(first, count, received.files, gesture)
    duplicates.keep_answers(compared.asked.again, imported, received.files, gesture)
    return named
