"""What was decided about charges there, decided here: with who, when and why as the note."""

import datetime
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from billing import audit, review
from billing.attribution import holding
from billing.audit import Actor
from billing.models import BillingPeriod, Charge, Flag, ImportedFile, ReviewDecision, Source

from .focus_files import FIRST_LINE, exact
from .reading import LegacyCharge

State = Charge.State
# What stands for a fund/org that was not there. Its journals wrote UNKNOWN, which here is a word for nothing.
NO_FUND_ORG = "NO-FUND-ORG"
# Charges decided about at once.
BATCH = 5_000


@dataclass
class Decided:
    """How many charges were approved, rejected and held as they were there, and those that still wait here alone."""

    approved: int = 0
    rejected: int = 0
    held: int = 0
    # Approved there, and held here for something that an approval does not answer: the reason → charges.
    waiting: dict[str, int] = field(default_factory=dict)
    # Rows that no charge from here stands for: somebody imported another file over them since.
    unknown: int = 0


def decide(
    *,
    period: BillingPeriod,
    source: Source,
    file_name: str,
    charges: Iterable[LegacyCharge],
    is_shut: bool,
    actor: Actor,
    now: datetime.datetime,
) -> Decided:
    """Have the charges of a source and month stand as they did there.

    What was charged there is approved where it is held here, what waited there waits here, and what was rejected is.
    Of a month that was shut there (`is_shut`) a charge without a fund/org is charged to one that says so: it was in its
    journals, too.
    What stands as it did already stays so.
    """
    done = Decided()
    notes: dict[tuple[str, str], list[int]] = defaultdict(list)
    ours = _ours(period, source, file_name)
    for line, there in enumerate(charges, FIRST_LINE):
        charge = ours.get(line)
        if charge is None or charge.billed_cost != exact(there.billed_cost):
            done.unknown += 1
        elif act := _act(charge.state, there.state):
            notes[act, _note(there)].append(charge.pk)
    for (act, note), pks in notes.items():
        for start in range(0, len(pks), BATCH):
            _carry_out(act, pks[start : start + BATCH], note, is_shut=is_shut, done=done, actor=actor, now=now)
    return done


def _ours(period: BillingPeriod, source: Source, file_name: str) -> dict[int, Charge]:
    """Return the charges that came from here, by the line of their file: that version deletes none in between."""
    imports = ImportedFile.objects.filter(name=file_name, imported_in__source=source).values("imported_in")
    rows = Charge.objects.live().filter(period=period, source=source, imported_in__in=imports)
    return {each.line_number: each for each in rows.only("pk", "line_number", "state", "billed_cost")}


def _act(ours: str, theirs: str) -> str:
    """Return what has to be done for a charge to stand as it did there; nothing where it does."""
    if theirs == "rejected":
        return "" if ours == State.REJECTED else "reject"
    if theirs == "held":
        return "hold" if ours in Charge.CHARGED_TO_OWNER else ""
    return "approve" if ours == State.HELD else ""


def _note(there: LegacyCharge) -> str:
    """Say what was decided there, by whom and when."""
    by = f" by {there.decided_by}" if there.decided_by else ""
    at = f" on {there.decided_at[:10]}" if there.decided_at else ""
    match there.state:
        case "rejected":
            return f"Rejected in the FastAPI version{by}{at}. {there.note}".strip()
        case "approved":
            return f"Approved in the FastAPI version{by}{at}."
        case "held":
            return f"Held in the FastAPI version: {there.reason or 'no reason given'}"
    return "Charged in the FastAPI version, which held it for nothing."


def _carry_out(
    act: str, pks: list[int], note: str, *, is_shut: bool, done: Decided, actor: Actor, now: datetime.datetime
) -> None:
    match act:
        case "reject":
            # Nobody was charged there, the center neither: as if the provider credits it.
            done.rejected += review.reject(
                charges=pks,
                reason=ReviewDecision.Reason.OTHER,
                note=note,
                provider_credits=True,
                actor=actor,
                now=now,
            ).count
        case "hold":
            reason_there = note.partition(": ")[2]
            is_of_month = reason_there == Flag.Code.PERIOD_MISMATCH
            code = Flag.Code.PERIOD_MISMATCH if is_of_month else Flag.Code.PATTERN_MATCH
            with audit.gesture(actor=actor, now=now) as gesture:
                of = Charge.objects.filter(pk__in=pks)
                done.held += holding.hold(of, code=code, detail=note, gesture=gesture)
        case _:
            _approve(pks, note, is_shut=is_shut, done=done, actor=actor, now=now)


def _approve(pks: list[int], note: str, *, is_shut: bool, done: Decided, actor: Actor, now: datetime.datetime) -> None:
    lacking = Flag.objects.filter(charge__in=pks, is_resolved=False, code=Flag.Code.MISSING_FUND_ORG)
    without = set(lacking.values_list("charge", flat=True)) if is_shut else set()
    if without:
        to = review.Reassignment(fund_org=NO_FUND_ORG)
        said = f"{note} It had no fund/org: journals there said UNKNOWN."
        done.approved += review.reattribute(
            charges=sorted(without), reassignment=to, approve=True, create=True, note=said, actor=actor, now=now
        ).count
    rest = [pk for pk in pks if pk not in without]
    if rest:
        done.approved += review.approve(charges=rest, note=note, actor=actor, now=now).count
    still = Charge.objects.filter(pk__in=pks, state=State.HELD)
    for code in Flag.objects.filter(charge__in=still, is_resolved=False).values_list("code", flat=True):
        label = Flag.Code(code).label
        done.waiting[label] = done.waiting.get(label, 0) + 1
