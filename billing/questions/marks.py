"""The charges that a question is about: marked, held where policy says so, and let go again."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from .. import audit, charging
from ..background import jobs
from ..errors import BillingError
from ..models import BillingPeriod, Charge, DisputedCharge, Flag, PayerLine, Question

State = Charge.State
# Ids in one statement: below what any build of SQLite takes.
BATCH = 900
# A question marks as many charges at most: whoever asks waits for the page.
MOST = jobs.LARGE


def charges_of(question: Question) -> list[int]:
    """Return the charges (ids) that a question is about: those it marked, or else those that are its line's alone."""
    marked = DisputedCharge.objects.filter(question=question, charge__withdrawn_in__isnull=True)
    if found := list(marked.order_by("charge").values_list("charge", flat=True)):
        return found
    if question.period is None:
        return []
    return own_charges(question.period, question.payer_key, only=question.charge_id)


def own_charges(period: BillingPeriod, payer_key: str, *, only: int | None = None) -> list[int]:
    """Return the charges (ids) of a payer line that no other line has a part of, or of them `only` one.

    A question holds its line alone. What is split among fund/orgs, or shared among PIs, is on other lines, too.
    None of a line that has more than `MOST`, or that cannot be worked out now.
    """
    return _own(period, payer_key, _makings(period, payer_key), only)


@dataclass(frozen=True)
class Reach:
    """How many charges of a payer line a question could hold, and of how many another line has a part."""

    own: int
    elsewhere: int


def reach_of(period: BillingPeriod, payer_key: str, *, only: int | None = None) -> Reach:
    """Return what a question about a payer line, or about `only` one charge of it, could hold and what not."""
    makings = _makings(period, payer_key)
    elsewhere = sum(_of(making, only).count() for making in makings if _is_elsewhere(making, payer_key))
    return Reach(len(_own(period, payer_key, makings, only)), elsewhere)


def _own(period: BillingPeriod, payer_key: str, makings: Iterable[charging.Making], only: int | None) -> list[int]:
    found = _in_question(period, payer_key, only)
    for making in makings:
        if not _is_elsewhere(making, payer_key):
            found += _of(making, only).order_by("pk").values_list("pk", flat=True)[: MOST + 1]
    return sorted(set(found)) if len(found) <= MOST else []


def _is_elsewhere(making: charging.Making, payer_key: str) -> bool:
    """Tell whether other lines have a part of what a line is made of: a split, or a shared cost."""
    return making.is_shared or any(each.key != payer_key and not each.is_subsidy for each in making.shares)


def _of(making: charging.Making, only: int | None) -> "QuerySet[Charge]":
    return making.charges.filter(pk=only) if only else making.charges


def _makings(period: BillingPeriod, payer_key: str) -> list[charging.Making]:
    """Return what a payer line is made of; nothing where it is gone, or cannot be worked out now."""
    line = PayerLine.objects.filter(period=period, key=payer_key).first()
    try:
        return charging.makings_of(line) if line else []
    except BillingError:
        return []


def _in_question(period: BillingPeriod, payer_key: str, only: int | None) -> list[int]:
    """Return the charges of a line that other questions hold: no payer line is made of them now."""
    marks = DisputedCharge.objects.filter(
        question__period=period,
        question__payer_key=payer_key,
        ended_at__isnull=True,
        charge__withdrawn_in__isnull=True,
        charge__state=State.HELD,
    )
    marks = marks.filter(charge=only) if only else marks
    return list(marks.order_by().values_list("charge", flat=True).distinct())


def detail_of(question: Question) -> str:
    """Return what the flag of a charge says of the question."""
    return str(question).capitalize()


def mark(question: Question, charges: Sequence[int], *, holds: bool, gesture: audit.Gesture) -> int:
    """Mark charges as disputed, and hold those that are charged if it `holds`; return how many are held for it.

    The caller holds their month open. They are locked in the order of their ids: two who ask about the same ones do
    not wait for each other crosswise.
    """
    held = 0
    for start in range(0, len(charges), BATCH):
        batch = charges[start : start + BATCH]
        rows = Charge.objects.live().filter(pk__in=batch).order_by("pk").select_for_update(no_key=True)
        states = dict(rows.values_list("pk", "state"))
        earlier = DisputedCharge.objects.filter(charge__in=states, ended_at__isnull=True).exclude(was="")
        was = dict(earlier.order_by("-pk").values_list("charge", "was"))
        turning: dict[str, list[int]] = defaultdict(list)
        for pk, state in states.items():
            if holds and state in Charge.CHARGED_TO_OWNER:
                was[pk] = state
                turning[state].append(pk)
        DisputedCharge.objects.bulk_create(
            DisputedCharge(question=question, charge_id=pk, was=was.get(pk, "") if holds else "") for pk in states
        )
        Flag.objects.bulk_create(
            Flag(charge_id=pk, code=Flag.Code.DISPUTED, detail=detail_of(question)) for pk in states
        )
        for state, pks in turning.items():
            held += _turn(pks, state, State.HELD, "charge.held", gesture)
    return held


def end(marks: "QuerySet[DisputedCharge]", *, gesture: audit.Gesture) -> int:
    """Let charges go from their questions; return how many are charged again as they were.

    A charge that something else holds by now stays held. The caller holds the months open; what a closed month has was
    let go when it closed.
    """
    back = 0
    rows = list(marks.filter(ended_at__isnull=True).order_by("charge", "pk").select_related("question"))
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        back += _end(batch, gesture)
    return back


def _end(batch: Sequence[DisputedCharge], gesture: audit.Gesture) -> int:
    ids = sorted({each.charge_id for each in batch})
    locked = Charge.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
    states = {pk: state for pk, state, gone in locked.values_list("pk", "state", "withdrawn_in") if gone is None}
    answered: dict[str, list[int]] = defaultdict(list)
    for each in batch:
        answered[detail_of(each.question)].append(each.charge_id)
    for detail, pks in answered.items():
        of_question = Flag.objects.filter(charge__in=pks, code=Flag.Code.DISPUTED, detail=detail, is_resolved=False)
        of_question.update(is_resolved=True)
    DisputedCharge.objects.filter(pk__in=[each.pk for each in batch]).update(ended_at=gesture.now)
    still: dict[int, set[str]] = defaultdict(set)
    for pk, code in Flag.objects.filter(charge__in=ids, is_resolved=False).values_list("charge", "code"):
        still[pk].add(code)
    # An approval answered what does not block.
    blocking = {str(code) for code in (*Flag.BLOCKING, Flag.Code.DISPUTED)}
    turning: dict[str, set[int]] = defaultdict(set)
    for each in batch:
        open_flags = still[each.charge_id]
        if each.was == State.APPROVED:
            open_flags = open_flags & blocking
        if states.get(each.charge_id) == State.HELD and each.was and not open_flags:
            turning[each.was].add(each.charge_id)
    return sum(_turn(sorted(pks), State.HELD, was, "charge.released", gesture) for was, pks in turning.items())


def _turn(pks: Iterable[int], was: str, to: str, action: str, gesture: audit.Gesture) -> int:
    pks = list(pks)
    Charge.objects.filter(pk__in=pks, state=was).update(state=to)
    subject = Charge()
    for pk in pks:
        subject.pk = pk
        gesture.record(action, subject, before={"state": str(was)}, after={"state": str(to)})
    return len(pks)


def before_close(period: BillingPeriod, gesture: audit.Gesture) -> None:
    """Let the charges of a month post as they are: no question outlasts the close, and an answer may correct them."""
    end(DisputedCharge.objects.filter(charge__charged_in=period), gesture=gesture)


def held_marks(question: Question) -> "QuerySet[DisputedCharge]":
    """Return the marks of a question that still hold."""
    return DisputedCharge.objects.filter(question=question, ended_at__isnull=True)


def months_of(question: Question, charges: Sequence[int]) -> list[BillingPeriod]:
    """Return the months that take changes and bear charges of a question."""
    ids = {question.period_id} if question.period_id else set()
    for start in range(0, len(charges), BATCH):
        ids |= set(
            Charge.objects.filter(pk__in=charges[start : start + BATCH])
            .order_by()
            .values_list("charged_in", flat=True)
            .distinct()
        )
    return list(BillingPeriod.objects.taking_changes().filter(pk__in=ids).order_by("pk"))
