"""Late imports: what waits for a decision, what a newer import takes the place of, and who was charged then."""

import datetime
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q

from .. import audit
from ..attribution import holding
from ..audit import Actor
from ..errors import BillingError, NextStep, ReasonMissing
from ..models import BillingPeriod, Charge, Import, ImportedFile, ImportTotal, PayerLine, PayerSplitShare, Source
from ..models.periods import parse_month
from ..readers.spelling import same_id
from ..texts import month_name
from . import doubts

BATCH = 500


class NotDeferred(BillingError):
    """A decision was asked about an import that does not wait for one."""


class NotBookable(BillingError):
    """A deferred import that cannot be booked as things stand."""


class NotApplicable(BillingError):
    """A deferred import that cannot be applied as things stand."""


@dataclass(frozen=True)
class Dismissed:
    """A deferred import that is not going to be booked."""

    number: int
    reason: str


def dismiss(*, imported: Import, reason: str, actor: Actor, now: datetime.datetime) -> Dismissed:
    """Decide that what a deferred import changes is not going to be booked; the same files do not ask again.

    A later import is compared with what was charged, so that what this one said comes up with it.

    Raises ReasonMissing or NotDeferred.
    """
    reason = reason.strip()
    if not reason:
        raise ReasonMissing("Say why the import is dismissed. The reason is kept with it.")
    with audit.gesture(actor=actor, now=now) as gesture:
        imported = Import.objects.select_for_update(no_key=True).get(pk=imported.pk)
        require_deferred(imported)
        imported.state, imported.reason = Import.State.DISMISSED, reason
        imported.save(update_fields=["state", "reason"])
        gesture.record(
            "import.dismissed",
            imported,
            before={"state": Import.State.DEFERRED.value},
            after={"state": Import.State.DISMISSED.value},
            note=reason,
        )
    return Dismissed(imported.pk, reason)


def require_deferred(imported: Import) -> None:
    """Raise NotDeferred for an import that does not wait."""
    if imported.state != Import.State.DEFERRED:
        state = imported.get_state_display().lower()
        instead = f" Import {imported.superseded_by_id} took its place." if imported.superseded_by_id else ""
        raise NotDeferred(f"Import {imported.pk} is {state}: it does not wait for a decision.{instead}")


def require_bookable(imported: Import) -> None:
    """Raise NotBookable where a month of a deferred import is open again, or another has to come first."""
    periods = months_of(imported)
    if taking := [str(period) for period in periods if period.takes_changes]:
        raise NotBookable(
            f"{', '.join(taking)} takes changes: import {imported.pk} is applied there, not booked.",
            then=NextStep("apply_import", {"import": str(imported.pk)}),
        )
    if why := _out_of_turn(imported, periods):
        raise NotBookable(why)


def require_applicable(imported: Import) -> None:
    """Raise NotApplicable where no month of a deferred import takes changes, or another has to come first."""
    periods = months_of(imported)
    if not any(period.takes_changes for period in periods):
        named = ", ".join(f"{period} is {period.get_status_display().lower()}" for period in periods)
        raise NotApplicable(
            f"{named}: nothing of import {imported.pk} can be applied there. Book it as late changes of an open month, "
            "or reopen the period.",
            then=NextStep("book_import", {"import": str(imported.pk)}),
        )
    if why := _out_of_turn(imported, periods):
        raise NotApplicable(why)


def waits(period: BillingPeriod | None, *, is_by_hand: bool) -> bool:
    """Tell whether changes of a month wait: it takes none, or is in review and no person applies them by hand."""
    if period is None or period.status == BillingPeriod.Status.OPEN:
        return False
    return not (is_by_hand and period.takes_changes)


def months_of(imported: Import) -> list[BillingPeriod]:
    """Return the periods that a deferred import speaks of, as they stand."""
    return list(BillingPeriod.objects.filter(import_totals__imported_in=imported).distinct().order_by("month"))


def why_waiting(periods: Collection[str]) -> str:
    """Say why imports for periods (written 2025-01) wait: January 2025 takes no more changes."""
    found = {period.iso_month: period for period in BillingPeriod.objects.filter(month__in=map(parse_month, periods))}
    return " and ".join(
        f"{month_name(name)} is in review"
        if name in found and found[name].takes_changes
        else f"{month_name(name)} takes no more changes"
        for name in sorted(periods)
    )


def next_step(imported: Import) -> NextStep:
    """Return what brings a deferred import in: it is applied where a month takes changes, and booked otherwise.

    Of a doubtful one it is what loses nothing and doubles nothing: what is missing is kept, an older run is dismissed,
    and of one whose rows may be written otherwise somebody looks at the difference.
    """
    about = {"import": str(imported.pk)}
    if doubts.is_older(imported):
        return NextStep("dismiss_import", about)
    if doubts.is_written_anew(imported):
        return NextStep("look_at_import", about)
    takes_changes = any(period.takes_changes for period in months_of(imported))
    if imported.doubts:
        return NextStep("apply_keeping" if takes_changes else "book_keeping", about)
    return NextStep("apply_import" if takes_changes else "book_import", about)


def _out_of_turn(imported: Import, periods: list[BillingPeriod]) -> str:
    """Say which other import has to be decided first or came since; empty where this one is next."""
    others = Import.objects.filter(source=imported.source, scope_totals__period__in=periods).distinct()
    older = others.filter(state=Import.State.DEFERRED, pk__lt=imported.pk).order_by("pk").first()
    if older:
        return f"Import {older.pk} of {imported.source} waits since before, for the same months. Decide about it first."
    newer = (
        others.filter(pk__gt=imported.pk, state=Import.State.APPLIED)
        # Files that add up do not speak of each other's rows.
        .exclude(mode=Source.ImportMode.APPEND)
        .order_by("-pk")
        .first()
    )
    if newer:
        return (
            f"Import {newer.pk} of {imported.source} came after import {imported.pk}, for the same months. "
            "Import the file once more, if it is the newest truth, or dismiss this one."
        )
    return ""


def same_files(imported: Import, files: Collection[int]) -> bool:
    """Whether an import has just these stored files."""
    own = ImportedFile.objects.filter(imported_in=imported).values_list("file_id", flat=True)
    return set(own) == set(files)


def dismissed_before(imported: Import, files: Collection[int]) -> Import | None:
    """Return the import of the same files that was dismissed, if that is the last that was decided of them."""
    last = (
        Import.objects.filter(source=imported.source, files__in=files)
        .filter(Q(state=Import.State.DISMISSED) | Q(state=Import.State.WITHDRAWN) | Q(booked_in__isnull=False))
        .exclude(pk=imported.pk)
        .order_by("-pk")
        .first()
    )
    if last and last.state == Import.State.DISMISSED and same_files(last, files):
        return last
    return None


def supersede(
    *, by: Import, covered: Collection[tuple[int, str]], files: Collection[int], is_whole: bool, gesture: audit.Gesture
) -> list[int]:
    """Take deferred imports off the list that a newer import makes pointless; return their numbers.

    Those are the ones of the same files, and where an import is the whole truth (`is_whole`) those whose
    scopes (period id and billing account) it all holds: it was compared with what was charged, too. One that waits
    because it may not be whole itself takes the place of such ones only, and an older run of none.
    """
    superseded = []
    here = {(period_id, same_id(account)) for period_id, account in covered}
    for older in Import.objects.filter(source=by.source, state=Import.State.DEFERRED, pk__lt=by.pk).order_by("pk"):
        totals = ImportTotal.objects.filter(imported_in=older).values_list("period_id", "billing_account_id")
        scopes = {(period_id, same_id(account)) for period_id, account in totals}
        is_covered = is_whole and scopes <= here
        if by.state != Import.State.APPLIED and by.doubts:
            is_covered = is_covered and bool(older.doubts) and not doubts.is_older(by)
        if not (same_files(older, files) or is_covered):
            continue
        older.state, older.superseded_by = Import.State.SUPERSEDED, by
        older.save(update_fields=["state", "superseded_by"])
        gesture.record(
            "import.superseded",
            older,
            before={"state": Import.State.DEFERRED.value},
            after={"state": Import.State.SUPERSEDED.value, "superseded_by": by.pk},
        )
        superseded.append(older.pk)
    return superseded


def settle_payers(first: int, count: int) -> None:
    """Give late changes of what defaults paid the PI, fund/org and natural account that were charged then.

    A default that changed since would send a late change to somebody else. Where the payer lines of the
    month do not say it beyond doubt, the default of today stands.
    """
    blank = Q(pi__isnull=True) | Q(natural_account="") | Q(fund_org="", payer_split__isnull=True)
    late = (
        Charge.objects.filter(id__gte=first, id__lt=first + count, attributed_by=Charge.AttributedBy.CHARGED)
        .exclude(state=Charge.State.REJECTED)
        .exclude(state=Charge.State.CHARGED_TO_CENTER)
        # A shared cost is nobody's: it goes over those charged then by itself.
        .filter(blank, shared_as="")
    )
    groups: dict[tuple[int | str | None, ...], list[int]] = defaultdict(list)
    for charge_id, *key in late.annotate(
        taken_back=F("reverses__charged_in"), replaced=F("replaces__charged_in")
    ).values_list("id", "taken_back", "replaced", *_PAYER):
        groups[key[0] or key[1], *key[2:]].append(charge_id)
    for (month, *told), ids in groups.items():
        known: dict[str, Any] = dict(zip(_PAYER, told, strict=True))
        if line := _line_charged(month, known):
            settled = {
                "pi": line.pi_id if known["pi"] is None else known["pi"],
                "project": line.project_id if known["pi"] is None and known["project"] is None else known["project"],
                "natural_account": known["natural_account"] or line.natural_account,
                "fund_org": known["fund_org"] if known["fund_org"] or known["payer_split"] else line.fund_org,
            }
            for start in range(0, len(ids), BATCH):
                Charge.objects.filter(id__in=ids[start : start + BATCH]).update(**settled)


def hold_what_is_over(first: int, count: int, *, gesture: audit.Gesture) -> int:
    """Hold late changes that would go to a fund/org whose dates are over; return how many.

    An increase waits for a payer, and a credit stays with the award that paid until finance decides: the row that
    takes a charge back and the row that replaces it are held together. Where the two come to nothing, nothing is
    posted, and nothing waits.
    """
    checks = holding.Checks()
    if not checks.reference.funds:
        return 0
    charged = Charge.objects.filter(
        id__gte=first,
        id__lt=first + count,
        attributed_by=Charge.AttributedBy.CHARGED,
        state__in=Charge.CHARGED_TO_OWNER,
    )
    changes: dict[int | None, list[tuple[Any, ...]]] = defaultdict(list)
    for row in charged.order_by("pk").values_list(
        "pk", "reverses", "replaces", "billed_cost", "effective_cost", "product__service_name", "fund_org"
    ):
        changes[row[1] or row[2]].append(row)
    ids = [row[0] for rows in changes.values() if not _comes_to_nothing(rows) for row in rows]
    return sum(
        holding.settle(Charge.objects.filter(pk__in=ids[start : start + BATCH]), gesture=gesture, checks=checks).held
        for start in range(0, len(ids), BATCH)
    )


def _comes_to_nothing(rows: list[tuple[Any, ...]]) -> bool:
    """Tell whether a charge was reversed and charged again unchanged, such as for another description."""
    if len(rows) != 2 or rows[0][5:] != rows[1][5:]:
        return False
    return all(sum(row[column] or 0 for row in rows) == 0 for column in (3, 4))


_PAYER = ("period", "source", "product__service_name", "pi", "project", "fund_org", "payer_split", "natural_account")


def _line_charged(month: Any, known: dict[str, Any]) -> PayerLine | None:
    """Return a payer line of a month that charged what is known of a payer, if it is the only answer."""
    lines = PayerLine.objects.filter(
        period=month,
        for_period=known["period"],
        source=known["source"],
        service_name=known["product__service_name"],
        # Neither shares in shared costs nor what staff entered say whose a row of a file was.
        kind__in=(PayerLine.Kind.CHARGE, PayerLine.Kind.RECEIVABLE, PayerLine.Kind.LATE),
    )
    # Rows that say themselves what these leave to a default.
    explicit = Charge.objects.live().filter(
        charged_in=month,
        period=known["period"],
        source=known["source"],
        product__service_name=known["product__service_name"],
    )
    if known["pi"] is not None:
        lines = lines.filter(pi=known["pi"], project=known["project"])
        explicit = explicit.filter(pi=known["pi"], project=known["project"])
    else:
        lines = lines.exclude(pi__in=explicit.filter(pi__isnull=False).values("pi"))
    if known["payer_split"]:
        shares = PayerSplitShare.objects.filter(split=known["payer_split"]).values("fund_org")
        lines = lines.filter(fund_org__in=shares)
    elif known["fund_org"]:
        lines = lines.filter(fund_org=known["fund_org"])
        explicit = explicit.filter(fund_org=known["fund_org"])
    else:
        lines = lines.exclude(fund_org__in=explicit.exclude(fund_org="").values("fund_org"))
    if known["natural_account"]:
        lines = lines.filter(natural_account=known["natural_account"])
    else:
        lines = lines.exclude(
            natural_account__in=explicit.exclude(natural_account="").values("natural_account").distinct()
        )
    found = list(lines)
    answers = {(line.pi_id, line.natural_account, "" if known["payer_split"] else line.fund_org) for line in found}
    return found[0] if len(answers) == 1 else None
