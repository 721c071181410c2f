"""What a month still needs, item by item: the one list that pages, commands and the refusals of the close read."""

import hashlib
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cached_property, partial
from typing import Any, TypeVar

from django.core.cache import caches
from django.db.models import Model, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from ..background import heartbeat, jobs
from ..errors import BillingError, NextStep
from ..models import AuditEvent, BillingPeriod, Charge, Correction, Flag, Import, PayerLine, ReviewDecision
from ..texts import long_date

T = TypeVar("T")

HELD, CORRECTIONS, PAYER_LINES, PROOF = "held", "corrections", "payer_lines", "proof"
CLOSE, FINALIZE = "close", "finalize"

# Every item's code and label, in the order of the work.
LABELS = {
    "imports": "Imports",
    "usage": "Usage",
    HELD: "Review",
    "questions": "Questions",
    CORRECTIONS: "Corrections",
    PAYER_LINES: "Payer lines",
    "statements": "Statements",
    "sent": "E-mails",
    CLOSE: "Close",
    "journal": "Journal",
    "submitted": "Submission",
    "answered": "Ledger's answer",
    "receivables": "Receivables",
    PROOF: "Reconciliation",
    FINALIZE: "Finalize",
}

# What neither a charge, a statement nor a journal depends on. Everything else that is recorded may change a list.
UNRELATED = (
    *("session", "user", "job", "role", "audit", "email", "failure", "installation", "safeguards"),
    *("statement.downloaded", "journal.downloaded", "receivables.downloaded", "proof.downloaded"),
    *("charges.exported", "statement.list_exported", "journal.list_exported"),
)


# Charges in a month beyond which no page waits for the costly items: the worker works them out.
LARGE = 20_000
# What was kept by another version of the program: what it stands for is worked out anew.
UNREADABLE = (AttributeError, ImportError, TypeError, ValueError, EOFError, pickle.UnpicklingError)
# How long a page leaves the worker to it, in seconds, before it asks again.
ASKED_FOR = 120


class State(StrEnum):
    """How an item stands.

    A blocked one waits for something else, a warning keeps nobody from going on. One that is being checked is not
    known yet: pages of a large month do not wait until it is.
    """

    DONE = "done"
    OPEN = "open"
    BLOCKED = "blocked"
    WARNING = "warning"
    NOT_APPLICABLE = "not_applicable"
    CHECKING = "checking"


@dataclass(frozen=True)
class Item:
    """One thing that a month needs: how it stands, in words and figures, and what is done about it.

    `holds_up` are the steps of the month, close or finalize, that wait while it is open or blocked. Money is by
    currency. Who may do it follows from `then`: each door knows its permission.
    """

    code: str
    state: State
    text: str
    count: int = 0
    money: Mapping[str, Decimal] = field(default_factory=dict)
    then: NextStep | None = None
    details: tuple[str, ...] = ()
    holds_up: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return LABELS.get(self.code, self.code)

    @property
    def is_to_do(self) -> bool:
        return self.state in (State.OPEN, State.BLOCKED, State.CHECKING)


@dataclass(frozen=True)
class Checklist:
    """All that a month needs, in the order of the work."""

    period: BillingPeriod
    items: tuple[Item, ...]

    @property
    def next(self) -> Item | None:
        """The item to do now: the first that is not done; of several that one act settles, the last says most."""
        first = next((item for item in self.items if item.is_to_do), None)
        if first is None or first.then is None or first.state == State.BLOCKED:
            return first
        return [item for item in self.items if item.state == State.OPEN and item.then == first.then][-1]

    @property
    def done(self) -> int:
        return sum(item.state in (State.DONE, State.WARNING) for item in self.items)

    @property
    def counted(self) -> int:
        return sum(item.state != State.NOT_APPLICABLE for item in self.items)

    @property
    def is_known(self) -> bool:
        """Whether every item was worked out; else the worker is about to."""
        return all(item.state != State.CHECKING for item in self.items)

    def item(self, code: str) -> Item | None:
        return next((item for item in self.items if item.code == code), None)

    def keeping_from(self, step: str) -> list[Item]:
        """Return what keeps the month from a step, close or finalize."""
        return [item for item in self.items if item.is_to_do and step in item.holds_up]

    def left_behind(self, step: str) -> list[Item]:
        """Return what a step of the month does not wait for, and leaves undone: what comes before it in the list."""
        codes = list(LABELS)
        before = codes[: codes.index(step)] if step in codes else codes
        return [
            item
            for item in self.items
            if item.code in before and step not in item.holds_up and (item.is_to_do or item.state == State.WARNING)
        ]


class Month:
    """A month whose list is being made, and what several of its items need, worked out once."""

    def __init__(self, period: BillingPeriod, *, is_fresh: bool = False) -> None:
        self.period = period
        # Made for a step of the month, not for a look: then the reasons of a refusal may take their time.
        self.is_fresh = is_fresh
        self._known: dict[str, Any] = {}

    def once(self, name: str, work_out: Callable[[], T]) -> T:
        """Return what `work_out` gives, asked once; a refusal is kept too, and raised each time."""
        if name not in self._known:
            try:
                self._known[name] = work_out()
            except BillingError as error:
                self._known[name] = error
        if isinstance(found := self._known[name], BillingError):
            raise found
        return found

    @cached_property
    def about(self) -> dict[str, str]:
        """What a next step of this month is about."""
        return {"period": self.period.iso_month, "id": str(self.period.pk)}


@dataclass(frozen=True)
class Progress:
    """How far the worker is: steps done of all there are, and what it is doing."""

    done: int
    total: int
    text: str

    @property
    def step(self) -> int:
        """The step it is at, as people count."""
        return self.done + 1


# Makes the items of the codes it is registered for.
Provider = Callable[[Month], Iterable[Item]]


@dataclass(frozen=True)
class _Registered:
    codes: tuple[str, ...]
    provider: Provider
    is_kept: bool
    is_quick: bool

    @property
    def name(self) -> str:
        return "-".join(self.codes)


_providers: dict[tuple[str, ...], _Registered] = {}
# What else the worker works out of a large month, by what it is called meanwhile.
_for_worker: dict[str, Callable[[BillingPeriod], object]] = {}
# Models whose newest row tells, with the audit log, whether anything changed.
_watched: list[type[Model]] = [Charge, Flag, ReviewDecision, Import, Correction, PayerLine]


def register(
    *codes: str,
    provider: Provider,
    is_kept: bool = False,
    is_quick: bool = False,
    watched: Iterable[type[Model]] = (),
) -> None:
    """Have `provider` make the items of these codes; a second one of the same codes replaces it.

    With `is_kept`, what a page shows of its items is kept until anything they follow from changes. They are costly,
    and no page of a large month waits for them, unless they are `is_quick`.
    """
    _providers[codes] = _Registered(codes, provider, is_kept, is_quick)
    _watched.extend(each for each in watched if each not in _watched)


def register_for_worker(label: str, work_out: Callable[[BillingPeriod], object]) -> None:
    """Have the worker work out something else that pages of a large month show; `label` says what it is doing."""
    _for_worker[label] = work_out


def work_out(period: BillingPeriod) -> None:
    """Work out and keep what the pages of a month show, telling those who wait for it how far it has come."""
    steps = {"Checking what the month needs": of, **_for_worker}
    cache = caches["months"]
    for number, (label, step) in enumerate(steps.items()):
        cache.set(_progress_key(period), Progress(number, len(steps), label), ASKED_FOR)
        step(period)
    cache.delete(_progress_key(period))


def kept_result(period: BillingPeriod, name: str, work_out: Callable[[], T], *, waits: bool) -> T | None:
    """Return what `work_out` gave of a month last, if nothing changed since; else work it out and keep it.

    A page that does not wait gets None of a large month: the worker works it out, if it was registered for it. Raises
    BillingError as `work_out` worded it, for a refusal is kept too.
    """

    def made() -> tuple[T | None, tuple[str, NextStep | None]]:
        try:
            return work_out(), ("", None)
        except BillingError as error:
            return None, (str(error), error.then)

    unknown: tuple[T | None, tuple[str, NextStep | None]] = (None, ("", None))
    found, (refused, then) = Kept(period, name).value(name, made, instead=None if waits else unknown)
    if refused:
        raise BillingError(refused, then=then)
    return found


def progress_of(period: BillingPeriod) -> Progress | None:
    """Return how far the worker is with what the pages of a month show; None where it has not begun."""
    try:
        found = caches["months"].get(_progress_key(period))
    except UNREADABLE:
        return None
    return found if isinstance(found, Progress) else None


def _progress_key(period: BillingPeriod) -> str:
    return f"progress-{period.pk}"


def known(periods: Iterable[BillingPeriod], *codes: str) -> dict[int, list[Item]]:
    """Return the kept items of several months that still hold, by month, asking as often for many as for one."""
    periods = list(periods)
    names = {each.name: each.codes for each in _providers.values() if each.is_kept and set(codes) & set(each.codes)}
    keys = {(period.pk, name): _kept_key(period, name) for period in periods for name in names}
    try:
        found = caches["months"].get_many(list(keys.values()))
    except UNREADABLE:
        return {}
    stamps = stamps_of(periods)
    items: dict[int, list[Item]] = {}
    for (pk, _), key in keys.items():
        if (value := found.get(key)) and value[0] == stamps.get(pk):
            items.setdefault(pk, []).extend(item for item in value[1] if item.code in codes)
    return items


def of(
    period: BillingPeriod,
    *,
    only: Iterable[str] = (),
    is_fresh: bool = False,
    waits: bool = True,
    kept: "Kept | None" = None,
) -> Checklist:
    """Return the list of a month, or of it the items `only`.

    For a page or a report the costly items are those worked out last, if nothing changed since; `is_fresh` works
    them out again, as the steps of the month do before they refuse or go on. A page `waits` for none of a large
    month: it shows them as being checked, and the worker works them out. `kept` is what the page read of them.
    """
    wanted = set(only)
    month = Month(period, is_fresh=is_fresh)
    chosen = [each for each in _providers.values() if not wanted or wanted & set(each.codes)]
    items: list[Item] = []
    for each in chosen:
        if each.is_kept and not is_fresh:
            kept = kept or Kept(period, *(one.name for one in chosen if one.is_kept))
            instead = None if waits or each.is_quick else [_being_checked(code) for code in each.codes]
            items += kept.value(each.name, partial(_made, each, month), instead=instead)
        else:
            items += each.provider(month)
    order = {code: number for number, code in enumerate(LABELS)}
    items.sort(key=lambda item: order.get(item.code, order[FINALIZE] - 0.5))
    if wanted:
        items = [item for item in items if item.code in wanted]
    return Checklist(period, tuple(items) if wanted else _with_steps(month, items))


def _made(registered: _Registered, month: Month) -> list[Item]:
    return list(registered.provider(month))


class Kept:
    """What was worked out of a month last, read in one go, and known if nothing was recorded since that changes it."""

    def __init__(self, period: BillingPeriod, *names: str) -> None:
        self.period = period
        # Read first: what changes while something is worked out is newer than the stamp.
        self.stamp = stamp_of(period)
        self._cache = caches["months"]
        try:
            self._found = self._cache.get_many([self._key(name) for name in names])
        except UNREADABLE:
            self._found = {}

    @classmethod
    def of_page(cls, period: BillingPeriod, *names: str) -> "Kept":
        """Read all items of the checklist that are kept, and what else the page shows."""
        return cls(period, *(each.name for each in _providers.values() if each.is_kept), *names)

    def value(self, name: str, work_out: Callable[[], T], *, instead: T | None = None) -> T:
        """Return what is kept under a name, else work it out and keep it.

        Where it is not known, the month is large and there is something to show `instead`, the worker is asked to
        work it out, if one is alive.
        """
        if (found := self._found.get(self._key(name))) and found[0] == self.stamp:
            known: T = found[1]
            return known
        if instead is not None and is_left_to_worker(self.period):
            asked_key = f"asked-{self.period.pk}-{hash_of(self.stamp)}"
            if (is_asked := self._cache.get(asked_key)) is None:
                # Where the queue is away, pages work it out themselves for a while.
                is_asked = jobs.hand_over("billing.tasks.work_out_month", self.period.pk)
                self._cache.set(asked_key, is_asked, ASKED_FOR)
            if is_asked:
                return instead
        made = work_out()
        self._cache.set(self._key(name), (self.stamp, made), None)
        return made

    def _key(self, name: str) -> str:
        return _kept_key(self.period, name)


def _kept_key(period: BillingPeriod, name: str) -> str:
    return f"month-{period.pk}-{name}"


def hash_of(stamp: tuple[object, ...]) -> str:
    """Return a short name of a stamp, the same in every process."""
    return hashlib.sha256(repr(stamp).encode()).hexdigest()[:32]


def is_large(period: BillingPeriod) -> bool:
    """Tell whether a month has so many charges that no page waits for what is worked out of all of them."""
    return Charge.objects.in_month(period)[: LARGE + 1].count() > LARGE


def is_left_to_worker(period: BillingPeriod) -> bool:
    """Tell whether a month is large, and a worker there to work on it; else its pages do that themselves."""
    return is_large(period) and heartbeat.is_worker_alive()


def _being_checked(code: str) -> Item:
    return Item(code, State.CHECKING, "Being checked against today's charges.", holds_up=(FINALIZE,))


def stamp_of(period: BillingPeriod) -> tuple[object, ...]:
    """Return what is equal as long as nothing changed that a month's figures follow from."""
    return stamps_of([period])[period.pk]


def stamps_of(periods: Iterable[BillingPeriod]) -> dict[int, tuple[object, ...]]:
    """Return the stamps of several months, by month.

    Every change is an event of the audit log, so that the newest related event tells. The newest rows of the
    tables it reads are there for those who write past the log.
    """
    related = AuditEvent.objects.order_by("-pk")
    for action in UNRELATED:
        if "." in action:
            related = related.exclude(action=action)
        else:
            related = related.exclude(action__gt=f"{action}.", action__lt=f"{action}/")
    tables = [model._default_manager for model in _watched]  # noqa: SLF001 (documented by Django)
    newest = {
        f"newest_{number}": Coalesce(Subquery(rows.order_by("-pk").values("pk")[:1]), 0)
        for number, rows in enumerate(tables)
    }
    found = BillingPeriod.objects.filter(pk__in=[period.pk for period in periods])
    stamped = found.annotate(event=Subquery(related.values("hash")[:1]), **newest)
    return {pk: tuple(of_it) for pk, *of_it in stamped.values_list("pk", "status", "review_until", "event", *newest)}


def _with_steps(month: Month, items: list[Item]) -> tuple[Item, ...]:
    """Add the two steps of the month itself, which wait for the others, where they belong."""
    period = month.period
    listed = Checklist(period, tuple(items))
    found = [item for item in items if item.code not in (CLOSE, FINALIZE)]
    codes = list(LABELS)
    at = next((n for n, item in enumerate(found) if codes.index(item.code) > codes.index(CLOSE)), len(found))
    found.insert(at, _close(month, listed))
    found.append(_finalize(month, listed))
    return tuple(found)


def _close(month: Month, listed: Checklist) -> Item:
    period = month.period
    if not period.takes_changes:
        when = f" on {long_date(timezone.localtime(period.closed_at))}" if period.closed_at else ""
        return Item(CLOSE, State.DONE, f"Closed{when}: its charges and decisions are locked.")
    then = NextStep("close_period", month.about)
    if listed.keeping_from(CLOSE):
        return Item(CLOSE, State.BLOCKED, "It can close once nothing is held and no correction waits.", then=then)
    left = [item.label for item in listed.left_behind(CLOSE) if item.is_to_do]
    text = "Close the month: its charges and decisions are locked then."
    if left:
        text = f"It can close. Not done yet: {', '.join(left).lower()}."
    elif period.review_until and period.status == BillingPeriod.Status.REVIEW:
        text = f"PIs can ask for changes until {long_date(period.review_until)}. Close the month after it."
    return Item(CLOSE, State.OPEN, text, then=then, holds_up=(FINALIZE,))


def _finalize(month: Month, listed: Checklist) -> Item:
    period = month.period
    if period.status == BillingPeriod.Status.FINALIZED:
        when = f" on {long_date(timezone.localtime(period.finalized_at))}" if period.finalized_at else ""
        return Item(FINALIZE, State.DONE, f"Finalized{when}: permanently locked.")
    then = NextStep("finalize_period", month.about)
    if period.takes_changes:
        return Item(FINALIZE, State.BLOCKED, "It can be finalized after the close.", then=then)
    if listed.keeping_from(FINALIZE):
        return Item(FINALIZE, State.BLOCKED, "It can be finalized once what is open above is done.", then=then)
    return Item(FINALIZE, State.OPEN, "Finalize the month: it is permanently locked then.", then=then)
