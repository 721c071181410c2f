"""The steps of a billing period, and the question every change asks first: does it take changes?"""

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection
from django.utils import timezone

from .. import audit
from ..attribution import holding
from ..audit import Actor
from ..errors import BillingError, ReasonMissing
from ..fields import AmountSum
from ..models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    Import,
    ImportOverlap,
    ImportTotal,
    MonthTotal,
    PayerLine,
    Policy,
    totalling,
)
from ..models.periods import PeriodClosed
from ..models.periods import PeriodFinalized as PeriodFinalized
from ..money import ZERO, plain
from ..texts import long_date
from . import checklist, crossing
from .checklist import Item


class PeriodExists(BillingError):
    """A period was to be opened that is there already."""


class StepNotPossible(BillingError):
    """A period cannot move from where it is to where it was asked to."""


class ReviewNeedsDate(BillingError):
    """A period goes into review without a day it ends on, or with one that has passed."""


class PeriodHasHeldCharges(BillingError):
    """A period cannot close while charges wait for review."""


class NothingToCarry(BillingError):
    """Held charges were to be carried over, and there are none."""


class PeriodHasProposedCorrections(BillingError):
    """A period cannot close while corrections wait for a second person."""


class PeriodNotEmpty(BillingError):
    """A period was to be removed, and something refers to it."""


class NotReadyToFinalize(BillingError):
    """A period cannot be finalized yet; `items` are all the reasons, as the month's checklist has them."""

    def __init__(self, period: BillingPeriod, items: Iterable[Item]) -> None:
        self.items = list(items)
        reasons = "".join(
            f"\n- {item.text}" + "".join(f"\n  {detail}" for detail in item.details) for item in self.items
        )
        then = next((item.then for item in self.items if item.then), None)
        super().__init__(f"Billing period {period} cannot be finalized yet:{reasons}", then=then)


@dataclass(frozen=True)
class Carried:
    """Held charges that another month bears from here on; amounts as billed, by currency."""

    period: BillingPeriod
    into: BillingPeriod
    charges: int
    billed: dict[str, Decimal]

    def __str__(self) -> str:
        what = "1 held charge is" if self.charges == 1 else f"{self.charges:,} held charges are"
        amounts = ", ".join(f"{currency} {plain(amount, currency)}" for currency, amount in self.billed.items())
        return f"{what} carried over from {self.period} to {self.into} ({amounts} billed)."


@dataclass
class PeriodFigures:
    """A period at a glance. What is billed is by currency, for currencies are never added."""

    period: BillingPeriod
    charges: int = 0
    foreign: int = 0
    billed: dict[str, Decimal] = field(default_factory=dict)
    held: int = 0
    due: Decimal = ZERO


# What is done in the transaction of a step, by name: settled before a period closes, kept when it is finalized.
Step = Callable[[BillingPeriod, audit.Gesture], None]
_close_steps: dict[str, Step] = {}
_finalize_steps: dict[str, Step] = {}


def register_close_step(name: str, step: Step) -> None:
    """Have `step` done whenever a period is about to close; a second one of the same name replaces it."""
    _close_steps[name] = step


def register_finalize_step(name: str, step: Step) -> None:
    """Have `step` done whenever a period is finalized, which it may still refuse; a second one replaces it."""
    _finalize_steps[name] = step


def require_open(*periods: BillingPeriod) -> list[BillingPeriod]:
    """Return the periods, locked against closing for the rest of the transaction.

    Charges, decisions and corrections may change while a period is open or in review. On PostgreSQL the
    rows are locked FOR SHARE: changes do not wait for each other, a close waits for all of them. On
    SQLite the transaction that asks holds the only write lock already.

    Raises PeriodClosed, naming each period that takes no changes.
    """
    ids = sorted({period.pk for period in periods})
    if connection.vendor == "postgresql" and ids:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM billing_billingperiod WHERE id = ANY(%s) ORDER BY id FOR SHARE", [ids])
    fresh = list(BillingPeriod.objects.filter(pk__in=ids).order_by("month"))
    if shut := [period for period in fresh if not period.takes_changes]:
        names = ", ".join(f"{period} is {period.get_status_display().lower()}" for period in shut)
        raise PeriodClosed(f"Billing period {names}: it takes no changes. Reopen it, or use an open month.")
    return fresh


def locked(period: BillingPeriod) -> BillingPeriod:
    """Return the period as it stands, locked FOR NO KEY UPDATE for the rest of the transaction.

    It waits for every change that asked `require_open`. Take it before that, never after: two who
    hold the period open would wait for each other. Foreign keys to the period do not wait for it:
    they are checked at commit, under the lock on the head of the audit log.
    """
    return BillingPeriod.objects.select_for_update(no_key=True).get(pk=period.pk)


def open_period(*, month: datetime.date, notes: str = "", actor: Actor, now: datetime.datetime) -> BillingPeriod:
    """Open the billing period of a month; raise PeriodExists where there is one."""
    with audit.gesture(actor=actor, now=now):
        period, is_new = _get_or_open(month, notes=notes, actor=actor, now=now)
        if not is_new:
            raise PeriodExists(f"Billing period {period} exists already: it is {_status(period)}.")
        return period


def ensure_period(*, month: datetime.date, actor: Actor, now: datetime.datetime) -> BillingPeriod:
    """Return the billing period of a month, opened if there was none."""
    return _get_or_open(month, actor=actor, now=now)[0]


def start_review(*, period: BillingPeriod, until: datetime.date, actor: Actor, now: datetime.datetime) -> BillingPeriod:
    """Put an open period in review until a day (included); asked again, move that day.

    Raises StepNotPossible for a closed period and ReviewNeedsDate for a day that has passed.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = locked(period)
        before = _stamps(period)
        if period.status != BillingPeriod.Status.REVIEW:
            _require_step(period, BillingPeriod.Status.REVIEW)
        _require_to_come(until, now)
        period.status = BillingPeriod.Status.REVIEW
        period.review_until = until
        period.review_at, period.review_by = now, actor.name
        period.save()
        gesture.record("period.review_started", period, before=before, after=_stamps(period))
        return period


def carry_over(*, period: BillingPeriod, reason: str = "", actor: Actor, now: datetime.datetime) -> Carried:
    """Let the next open month bear what is held in a period, so that the period can close without it.

    The charges stay held, with their flags and decisions, and stay charges *of* the period (its
    imports still match them). What they come to once decided is charged by the other month, whose
    statements and journal name the month they are for. Each one is listed in the audit log. The
    next open month is opened if there is none. Over a fiscal year-end or an award's end it takes a `reason`.

    Raises PeriodClosed, NothingToCarry, or ReasonMissing.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = locked(period)
        require_open(period)
        held = list(crossing.held_to_carry(period).order_by("pk").only("pk", "currency", "billed_cost"))
        if not held:
            raise NothingToCarry(f"Billing period {period} holds no charges: there is nothing to carry over.")
        into = ensure_period(month=crossing.month_after(period), actor=actor, now=now)
        # It may have been closed since it was chosen.
        require_open(into)
        if not reason.strip() and (needed := crossing.reason_needed(period, into.month)):
            raise ReasonMissing(f"{' '.join(needed)} Give a reason to carry what is held in {period}.")
        billed: dict[str, Decimal] = defaultdict(Decimal)
        for charge in held:
            billed[charge.currency] += charge.billed_cost
            gesture.record(
                "charge.carried_over",
                charge,
                before={"charged_in": period.iso_month},
                after={"charged_in": into.iso_month, "currency": charge.currency, "billed": plain(charge.billed_cost)},
                note=reason.strip(),
            )
        # A fund/org may take no more postings by then.
        for start in range(0, len(held), holding.BATCH):
            batch = [charge.pk for charge in held[start : start + holding.BATCH]]
            Charge.objects.in_month(period).held().filter(pk__in=batch).update(charged_in=into)
            holding.settle(Charge.objects.filter(pk__in=batch), gesture=gesture)
        carried = Carried(period, into, len(held), dict(sorted(billed.items())))
        gesture.record(
            "period.carried_over",
            period,
            after={
                "into": into.iso_month,
                "charges": carried.charges,
                "billed": {currency: plain(amount) for currency, amount in carried.billed.items()},
            },
            note=reason.strip(),
        )
        return carried


def close(
    *, period: BillingPeriod, carry_held: bool = False, notes: str = "", actor: Actor, now: datetime.datetime
) -> BillingPeriod:
    """Close a period: its charges, decisions and corrections are locked from here on.

    What only a question of a PI holds is charged as it is. With `carry_held`, what is held then is carried over to the
    next open month first (see `carry_over`), for the reason that `notes` give.

    Raises StepNotPossible, PeriodHasHeldCharges while charges wait for review, or PeriodHasProposedCorrections while
    corrections wait for approval.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = locked(period)
        before = _stamps(period)
        _require_step(period, BillingPeriod.Status.CLOSED)
        for name in sorted(_close_steps):
            _close_steps[name](period, gesture)
        if carry_held and Charge.objects.in_month(period).held().exists():
            carry_over(period=period, reason=notes, actor=actor, now=now)
        # Fresh: what was kept is of before this gesture, which may have carried charges over.
        listed = checklist.of(period, only=(checklist.HELD, checklist.CORRECTIONS), is_fresh=True)
        for item in listed.keeping_from(checklist.CLOSE):
            refused = PeriodHasHeldCharges if item.code == checklist.HELD else PeriodHasProposedCorrections
            raise refused(f"Billing period {period} cannot close: {item.text}", then=item.then)
        # The last time that they may: a closed month has one row for each key.
        totalling.fold([period.pk])
        period.status = BillingPeriod.Status.CLOSED
        period.closed_at, period.closed_by = now, actor.name
        _note(period, notes)
        period.save()
        gesture.record("period.closed", period, before=before, after=_stamps(period), note=notes.strip())
        return period


def reopen(
    *,
    period: BillingPeriod,
    reason: str,
    to: str = BillingPeriod.Status.OPEN,
    until: datetime.date | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> BillingPeriod:
    """Take a closed period back to open or to review, for a reason that the audit log keeps.

    Back in review, it ends on `until`, or on the day it was to end before. The stamps of the steps
    reversed are cleared; the audit log keeps them too.

    Raises StepNotPossible (a finalized period is never reopened), ReasonMissing or ReviewNeedsDate.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = locked(period)
        before = _stamps(period)
        if period.status == BillingPeriod.Status.OPEN or to not in (
            BillingPeriod.Status.OPEN,
            BillingPeriod.Status.REVIEW,
        ):
            raise _not_possible(period, to)
        _require_step(period, to)
        if not reason.strip():
            raise ReasonMissing(f"Say why billing period {period} is reopened.")
        period.status = to
        period.closed_at, period.closed_by = None, ""
        if to == BillingPeriod.Status.REVIEW:
            ends = until or period.review_until
            if ends is None:
                raise ReviewNeedsDate(f"Billing period {period} was not in review before. Say until when it is now.")
            _require_to_come(ends, now)
            period.review_until = ends
            period.review_at, period.review_by = now, actor.name
        else:
            period.review_until = period.review_at = None
            period.review_by = ""
        _note(period, reason)
        period.save()
        gesture.record("period.reopened", period, before=before, after=_stamps(period), note=reason.strip())
        return period


def finalize(*, period: BillingPeriod, notes: str = "", actor: Actor, now: datetime.datetime) -> BillingPeriod:
    """Lock a closed period permanently.

    Raises StepNotPossible, or NotReadyToFinalize with all that is still open.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = locked(period)
        before = _stamps(period)
        _require_step(period, BillingPeriod.Status.FINALIZED)
        if found := checklist.of(period, is_fresh=True).keeping_from(checklist.FINALIZE):
            raise NotReadyToFinalize(period, found)
        period.status = BillingPeriod.Status.FINALIZED
        period.finalized_at, period.finalized_by = now, actor.name
        _note(period, notes)
        period.save()
        gesture.record("period.finalized", period, before=before, after=_stamps(period), note=notes.strip())
        for name in sorted(_finalize_steps):
            _finalize_steps[name](period, gesture)
        return period


def remove(*, period: BillingPeriod, actor: Actor, now: datetime.datetime) -> BillingPeriod:
    """Take an empty month out of sight: one that a withdrawn import opened by mistake, say.

    What was withdrawn stays as it was, and the audit log too. The next import of the month, or opening it, brings
    it back. Raises StepNotPossible for a closed month, or PeriodNotEmpty with what refers to it.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = locked(period)
        if not period.takes_changes:
            raise StepNotPossible(f"Billing period {period} is {_status(period)}: only an open month is removed.")
        if found := contents_of(period):
            raise PeriodNotEmpty(f"Billing period {period} is not empty, and stays: it has {', '.join(found)}.")
        before = _stamps(period)
        period.status, period.removed_at = BillingPeriod.Status.OPEN, now
        period.review_until = period.review_at = None
        period.review_by = ""
        period.save()
        gesture.record("period.removed", period, before=before, after={"removed_at": str(now)})
        return period


def contents_of(period: BillingPeriod) -> list[str]:
    """Return what refers to a month and counts, in words; withdrawn charges and imports are history, and do not."""
    found = []
    for relation in BillingPeriod._meta.related_objects:
        model = relation.related_model
        of_month = {relation.field.name: period}
        rows = model._default_manager.filter(**of_month)  # noqa: SLF001 (documented by Django)
        name = str(model._meta.verbose_name_plural)
        if model is Charge:
            rows = rows.filter(withdrawn_in__isnull=True)
        elif model in (ImportTotal, ImportOverlap):
            rows = rows.exclude(imported_in__state__in=HISTORY)
            name = "imports in force"
        elif model is Import:
            rows = rows.exclude(state__in=HISTORY)
        if rows.exists():
            found.append(name)
    return list(dict.fromkeys(found))


# Imports that count for nothing any more.
HISTORY = (Import.State.WITHDRAWN, Import.State.FAILED, Import.State.DISMISSED, Import.State.SUPERSEDED)


@dataclass(frozen=True)
class Note:
    """What somebody wrote when they took a month a step on."""

    step: str
    at: datetime.datetime
    by: str
    text: str


NOTED = {
    "period.opened": "Opened",
    "period.closed": "Closed",
    "period.reopened": "Reopened",
    "period.finalized": "Finalized",
}


def notes_of(period: BillingPeriod) -> list[Note]:
    """Return the notes of a month's steps, the oldest first, with who wrote each and when."""
    events = AuditEvent.objects.filter(object_type="billingperiod", object_id=str(period.pk), action__in=NOTED).exclude(
        note=""
    )
    return [Note(NOTED[event.action], event.at, event.actor_name, event.note) for event in events.order_by("pk")]


def figures() -> list[PeriodFigures]:
    """Return every period, the newest first, with its charges, what is held and what is due."""
    of: dict[int, PeriodFigures] = {
        period.pk: PeriodFigures(period) for period in BillingPeriod.objects.shown().order_by("-month")
    }
    home = Policy.objects.current().currency
    for row in MonthTotal.objects.summed("charged_in", "state", "currency"):
        each = of[row["charged_in"]]
        each.charges += row["number"]
        each.held += row["number"] if row["state"] == Charge.State.HELD else 0
        each.foreign += row["number"] if row["currency"] != home else 0
        each.billed[row["currency"]] = each.billed.get(row["currency"], ZERO) + row["billed"]
    due = PayerLine.objects.filter(kind__in=PayerLine.CHARGED).order_by().values_list("period")
    for pk, charged in due.annotate(due=AmountSum("charged")):
        of[pk].due = charged
    for each in of.values():
        each.billed = dict(sorted(each.billed.items()))
    return list(of.values())


def _get_or_open(
    month: datetime.date, *, notes: str = "", actor: Actor, now: datetime.datetime
) -> tuple[BillingPeriod, bool]:
    if month.day != 1:
        raise ValueError("A billing period is the first day of a month.")
    with audit.gesture(actor=actor, now=now) as gesture:
        period, is_new = BillingPeriod.objects.get_or_create(
            month=month, defaults={"opened_at": now, "opened_by": actor.name}
        )
        if period.removed_at:
            # It was empty and out of sight: opened again, it is the month that its history names.
            period.removed_at, period.opened_at, period.opened_by = None, now, actor.name
            is_new = True
        if is_new:
            _note(period, notes)
            period.save()
            gesture.record("period.opened", period, after=_stamps(period), note=notes.strip())
        return period, is_new


def _note(period: BillingPeriod, notes: str) -> None:
    """Add a note to those of a month."""
    period.notes = "\n".join(filter(None, (period.notes, notes.strip())))


def _require_step(period: BillingPeriod, to: str) -> None:
    if to not in BillingPeriod.TRANSITIONS[BillingPeriod.Status(period.status)]:
        raise _not_possible(period, to)


def _not_possible(period: BillingPeriod, to: str) -> StepNotPossible:
    next_steps = BillingPeriod.TRANSITIONS[BillingPeriod.Status(period.status)]
    named = ", ".join(status.label.lower() for status in BillingPeriod.Status if status in next_steps)
    wanted = BillingPeriod.Status(to).label.lower() if to in BillingPeriod.Status.values else to
    return StepNotPossible(
        f"Billing period {period} is {_status(period)}: its next step cannot be “{wanted}”, "
        + (f"but {named}." if named else "and it takes no other.")
    )


def _require_to_come(until: datetime.date, now: datetime.datetime) -> None:
    if until < timezone.localdate(now):
        raise ReviewNeedsDate(f"A review cannot end on {long_date(until)}: that day has passed.")


def _status(period: BillingPeriod) -> str:
    return BillingPeriod.Status(period.status).label.lower()


def _stamps(period: BillingPeriod) -> dict[str, Any]:
    """Return what a step changes, as the audit log keeps it."""
    stamps = {
        name: getattr(period, name)
        for name in (
            "status",
            "review_until",
            "review_at",
            "review_by",
            "closed_at",
            "closed_by",
            "finalized_at",
            "finalized_by",
        )
    }
    return {name: str(stamp) for name, stamp in stamps.items() if stamp}
