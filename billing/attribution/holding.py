"""What holds charges beyond one import: a PI nobody confirmed, and a fund/org whose dates are over."""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, TypedDict

from django.db.models import QuerySet

from .. import audit
from ..clocks import Clocks
from ..models import PATHS, Charge, Flag, PayerSplitShare, Policy, Source
from ..models.periods import last_day_of
from ..readers.values import Memo
from . import newcomers
from .checks import Attributed, Reason, check_attribution, check_subsidy
from .funds import reference_of

State = Charge.State

# Charges looked at at once, and ids in one statement.
BATCH = 900

# Flags about who pays: they are checked anew whenever that changes.
WHO_PAYS = frozenset(
    {
        Flag.Code.MISSING_PI,
        Flag.Code.MISSING_FUND_ORG,
        Flag.Code.MISSING_PROJECT,
        Flag.Code.INVALID_FUND_ORG,
        Flag.Code.UNKNOWN_FUND_ORG,
        Flag.Code.PI_INACTIVE,
        Flag.Code.PROJECT_ENDED,
        Flag.Code.CUSTOMER_INACTIVE,
        Flag.Code.INVALID_TAGS,
        *Flag.ANSWERED_ELSEWHERE,
    }
)


class Facts(NamedTuple):
    """What is asked of a charge: who pays, the first and last day of service, and the day it reaches the ledger."""

    pi_email: str
    attributed_by: str
    source_id: int
    fund_orgs: tuple[str, ...]
    has_split: bool
    is_shared: bool
    days: tuple[datetime.date, datetime.date]
    posted: datetime.date
    subsidy_fund_org: str


class _When(TypedDict):
    """The days that a fund/org, a PI and a project are checked for."""

    service_start: datetime.date
    service_end: datetime.date
    posted: datetime.date


@dataclass(frozen=True)
class Settled:
    """What bringing flags up to date did: charges that are clear now, with their money, and charges newly held."""

    cleared: int
    billed: dict[str, Decimal]
    held: int


class Checks:
    """The list of funds with its exceptions and the people known, read once, for charges to be held against."""

    def __init__(self, policy: Policy | None = None) -> None:
        """Read them under a policy, or under the one in force."""
        policy = policy or Policy.objects.current()
        self.reference = reference_of(policy)
        self._known = newcomers.known(policy)
        self._default_funds = dict(Source.objects.values_list("pk", "overflow_fund_org"))
        self._reasons = Memo(self._reasons_of, 50_000)

    def reasons(
        self,
        *,
        pi_email: str,
        attributed_by: str,
        source_id: int,
        fund_orgs: tuple[str, ...],
        has_split: bool,
        is_shared: bool,
        days: tuple[datetime.date, datetime.date],
        posted: datetime.date,
        subsidy_fund_org: str = "",
    ) -> frozenset[Reason]:
        """Return the reasons of Flag.ANSWERED_ELSEWHERE to hold a charge.

        `fund_orgs` are all that pay it, and `subsidy_fund_org` is what its row names for its subsidy.
        """
        return self._reasons[
            Facts(pi_email, attributed_by, source_id, fund_orgs, has_split, is_shared, days, posted, subsidy_fund_org)
        ]

    def _reasons_of(self, facts: Facts) -> frozenset[Reason]:
        # Who was charged already does not become a stranger by a late change.
        is_asked = bool(facts.pi_email) and facts.attributed_by != Charge.AttributedBy.CHARGED
        asked = Attributed(
            pi_email=facts.pi_email,
            has_split=facts.has_split,
            is_shared=facts.is_shared,
            is_unknown_pi=is_asked and not self._known.knows(facts.pi_email),
            default_fund_org=self._default_funds.get(facts.source_id, ""),
        )
        when: _When = {"service_start": facts.days[0], "service_end": facts.days[1], "posted": facts.posted}
        found = [
            *check_subsidy(facts.subsidy_fund_org, reference=self.reference, **when),
            *(
                reason
                for fund_org in facts.fund_orgs
                for reason in check_attribution(asked._replace(fund_org=fund_org), reference=self.reference, **when)
            ),
        ]
        return frozenset(reason for reason in found if reason.code in Flag.ANSWERED_ELSEWHERE)


def settle(charges: QuerySet[Charge], *, gesture: audit.Gesture, checks: Checks | None = None) -> Settled:
    """Bring the flags of charges up to date that the list of funds, its exceptions and the confirmed PIs answer.

    A held charge whose every open reason is answered becomes clear; a clear or approved one that has such a reason
    now is held. The caller holds their months open. `checks` are read anew if none are given.

    1. Lock a batch of the charges, in the order of their ids: two who settle the same ones do not wait for each other
       crosswise, and nobody decides about a charge while it is looked at.
    2. Read those of them that still match: months are held open by many at once, and somebody may have decided before.
    3. Work out what becomes of each, by its flags as they are now.
    4. Write flags and states, and an event for each charge that changed its state.
    """
    checks, outcome = checks or Checks(), _Outcome(Clocks())
    ids = list(charges.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        locked = Charge.objects.filter(pk__in=ids[start : start + BATCH]).order_by("pk").select_for_update(no_key=True)
        still = charges.filter(pk__in=list(locked.values_list("pk", flat=True)))
        batch = [_Asked(*row) for row in still.order_by("pk").values_list(*_COLUMNS)]
        flags: dict[int, list[Flag]] = defaultdict(list)
        for flag in Flag.objects.filter(charge__in=[asked.pk for asked in batch]).order_by("pk"):
            flags[flag.charge_id].append(flag)
        for asked in batch:
            outcome.look_at(asked, flags[asked.pk], checks)
    outcome.save(gesture)
    held = sum(map(len, outcome.held.values()))
    return Settled(len(outcome.cleared), dict(sorted(outcome.billed.items())), held)


def hold(charges: "QuerySet[Charge]", *, code: Flag.Code, detail: str, gesture: audit.Gesture) -> int:
    """Hold charges that are charged to their owner, for one more reason; return how many.

    The caller holds their months open. Charges that wait already, or are decided otherwise, stay as they are.
    """
    held = 0
    ids = list(charges.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        locked = Charge.objects.live().filter(pk__in=ids[start : start + BATCH], state__in=Charge.CHARGED_TO_OWNER)
        states = dict(locked.order_by("pk").select_for_update(no_key=True).values_list("pk", "state"))
        Flag.objects.bulk_create(Flag(charge_id=pk, code=code, detail=detail) for pk in states)
        for was in Charge.CHARGED_TO_OWNER:
            pks = [pk for pk, state in states.items() if state == was]
            _move(was, State.HELD, pks, gesture, action="charge.held")
        held += len(states)
    return held


class _Asked(NamedTuple):
    """A charge whose flags are brought up to date, in the order of `_COLUMNS`."""

    pk: int
    state: str
    pi_email: str | None
    attributed_by: str
    source_id: int
    fund_org: str
    split_id: int | None
    shared_as: str
    start: datetime.datetime
    end: datetime.datetime
    imported_in: int
    month: datetime.date
    currency: str
    billed: Decimal
    subsidy_fund_org: str
    customer_of_project: int | None
    customer_of_pi: int | None


_COLUMNS = (
    "pk",
    "state",
    "pi__email",
    "attributed_by",
    "source_id",
    "fund_org",
    "payer_split_id",
    "shared_as",
    "charge_period_start",
    "charge_period_end",
    "imported_in_id",
    "charged_in__month",
    "currency",
    "billed_cost",
    PATHS["subsidy_fund_org"],
    "project__customer_id",
    "pi__customer_id",
)


class _Outcome:
    """What becomes of charges whose flags are brought up to date, collected to be written at once."""

    def __init__(self, clocks: Clocks) -> None:
        self.cleared: list[int] = []
        # By the state they had.
        self.held: dict[str, list[int]] = defaultdict(list)
        self.billed: dict[str, Decimal] = defaultdict(Decimal)
        self._clocks = clocks
        self._new: list[Flag] = []
        # Flags that are resolved now, and those that are open again.
        self._turned: dict[bool, list[int]] = {True: [], False: []}
        self._shares: dict[int, tuple[str, ...]] = {}

    def look_at(self, asked: _Asked, flags: list[Flag], checks: Checks) -> None:
        """Settle the flags of a charge, and note whether it is clear or held now."""
        reasons = checks.reasons(
            pi_email=asked.pi_email or "",
            attributed_by=asked.attributed_by,
            source_id=asked.source_id,
            fund_orgs=self._payers(asked),
            has_split=bool(asked.split_id),
            is_shared=bool(asked.shared_as),
            days=self._clocks.days(asked.start, asked.end, asked.imported_in),
            posted=last_day_of(asked.month),
            subsidy_fund_org=asked.subsidy_fund_org,
        )
        was_resolved = [flag.is_resolved for flag in flags]
        settle_flags(flags, reasons, charge_id=asked.pk, codes=Flag.ANSWERED_ELSEWHERE)
        changed = [flag for flag, was in zip(flags, was_resolved, strict=False) if flag.is_resolved != was]
        for flag in changed:
            self._turned[flag.is_resolved].append(flag.pk)
        self._new += flags[len(was_resolved) :]
        is_open = any(not flag.is_resolved for flag in flags)
        if asked.state == State.HELD and not is_open and changed:
            # It was held for what is answered now; what was held for no reason stays so.
            self.cleared.append(asked.pk)
            self.billed[asked.currency] += asked.billed
        elif asked.state in Charge.CHARGED_TO_OWNER and reasons:
            self.held[asked.state].append(asked.pk)

    def _payers(self, asked: _Asked) -> tuple[str, ...]:
        """Return the fund/orgs that pay for a charge; an empty one where a customer pays by invoice."""
        if asked.customer_of_project or asked.customer_of_pi:
            return ("",)
        if not asked.split_id:
            return (asked.fund_org,)
        if asked.split_id not in self._shares:
            shares = PayerSplitShare.objects.filter(split=asked.split_id).order_by("fund_org")
            self._shares[asked.split_id] = tuple(shares.values_list("fund_org", flat=True))
        return self._shares[asked.split_id]

    def save(self, gesture: audit.Gesture) -> None:
        """Write flags and states, and record each charge that changed its state."""
        Flag.objects.bulk_create(self._new, batch_size=5_000)
        for is_resolved, pks in self._turned.items():
            for start in range(0, len(pks), BATCH):
                Flag.objects.filter(pk__in=pks[start : start + BATCH]).update(is_resolved=is_resolved)
        _move(State.HELD, State.CLEAR, self.cleared, gesture, action="charge.released")
        for was, pks in self.held.items():
            _move(was, State.HELD, pks, gesture, action="charge.held")


def _move(was: str, to: str, pks: list[int], gesture: audit.Gesture, *, action: str) -> None:
    for start in range(0, len(pks), BATCH):
        Charge.objects.filter(pk__in=pks[start : start + BATCH]).update(state=to)
    subject = Charge()
    for pk in pks:
        subject.pk = pk
        gesture.record(action, subject, before={"state": str(was)}, after={"state": str(to)})


def settle_flags(
    flags: list[Flag], reasons: Iterable[tuple[str, str]], *, charge_id: int, codes: Collection[str] = WHO_PAYS
) -> bool:
    """Resolve the flags of a charge that no reason (code, detail) speaks for any more, and raise what is new.

    Changes and extends `flags`, without saving; flags of other `codes` stay as they are.
    Returns whether any was raised.
    """
    left = {(code, detail[:500]) for code, detail in reasons}
    raised = False
    for flag in flags:
        if flag.code not in codes:
            continue
        # What is missing is missing, however its flag words it.
        words = {reason for reason in left if reason[0] == flag.code}
        is_same = bool(words) and (flag.code.startswith("missing_") or (flag.code, flag.detail) in words)
        raised |= is_same and flag.is_resolved
        flag.is_resolved = not is_same
        if is_same:
            left -= words if flag.code.startswith("missing_") else {(flag.code, flag.detail)}
    for code, detail in sorted(left):
        flags.append(Flag(charge_id=charge_id, code=code, detail=detail))
        raised = True
    return raised
