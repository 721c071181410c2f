"""What holds charges beyond one import: a PI nobody confirmed, and a fund/org whose dates are over."""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from django.db.models import QuerySet

from .. import audit
from ..clocks import Clocks
from ..models import Charge, Flag, PayerSplitShare, Policy, Source
from ..models.periods import last_day_of
from ..readers.values import Memo
from . import newcomers
from .attributor import reference_of
from .checks import Attributed, Reason, check_attribution

State = Charge.State

# Charges held in memory at once, and ids in one statement.
CHUNK = 10_000
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


@dataclass(frozen=True)
class Settled:
    """What bringing flags up to date did: charges that are clear now, with their money, and charges newly held."""

    cleared: int
    billed: dict[str, Decimal]
    held: int


class Checks:
    """The list of funds with its exceptions and the people known, read once, for charges to be held against."""

    def __init__(self) -> None:
        policy = Policy.objects.current()
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
    ) -> frozenset[Reason]:
        """Return the reasons of Flag.ANSWERED_ELSEWHERE to hold a charge; `fund_orgs` are all that pay it."""
        return self._reasons[Facts(pi_email, attributed_by, source_id, fund_orgs, has_split, is_shared, days, posted)]

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
        return frozenset(
            reason
            for fund_org in facts.fund_orgs
            for reason in check_attribution(
                asked._replace(fund_org=fund_org),
                reference=self.reference,
                service_start=facts.days[0],
                service_end=facts.days[1],
                posted=facts.posted,
            )
            if reason.code in Flag.ANSWERED_ELSEWHERE
        )


def settle(charges: QuerySet[Charge], *, gesture: audit.Gesture, checks: Checks | None = None) -> Settled:
    """Bring the flags of charges up to date that the list of funds, its exceptions and the confirmed PIs answer.

    A held charge whose every open reason is answered becomes clear; a clear or approved one that has such a reason
    now is held. The caller holds their months open. `checks` are read anew if none are given.
    """
    checks, clocks = checks or Checks(), Clocks()
    cleared: list[int] = []
    held: dict[str, list[int]] = defaultdict(list)
    billed: dict[str, Decimal] = defaultdict(Decimal)
    new: list[Flag] = []
    turned: dict[bool, list[int]] = {True: [], False: []}
    shares: dict[int, tuple[str, ...]] = {}
    names = ("pk", "state", "pi__email", "attributed_by", "source_id", "fund_org", "payer_split_id", "shared_as")
    more = (
        "charge_period_start",
        "charge_period_end",
        "imported_in_id",
        "charged_in__month",
        "currency",
        "billed_cost",
    )
    ids = list(charges.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        # Locked before they are looked at: months are held open by many at once, and somebody may decide meanwhile.
        locked = Charge.objects.filter(pk__in=ids[start : start + BATCH]).order_by("pk").select_for_update(no_key=True)
        still = charges.filter(pk__in=list(locked.values_list("pk", flat=True)))
        batch = list(still.order_by("pk").values_list(*names, *more))
        flags: dict[int, list[Flag]] = defaultdict(list)
        for flag in Flag.objects.filter(charge__in=[row[0] for row in batch]).order_by("pk"):
            flags[flag.charge_id].append(flag)
        for row in batch:
            pk, state, email, by, source_id, fund_org, split, shared_as = row[: len(names)]
            first, last, imported_in, month, currency, cost = row[len(names) :]
            if split and split not in shares:
                shares[split] = tuple(
                    PayerSplitShare.objects.filter(split=split).order_by("fund_org").values_list("fund_org", flat=True)
                )
            reasons = checks.reasons(
                pi_email=email or "",
                attributed_by=by,
                source_id=source_id,
                fund_orgs=shares[split] if split else (fund_org,),
                has_split=bool(split),
                is_shared=bool(shared_as),
                days=clocks.days(first, last, imported_in),
                posted=last_day_of(month),
            )
            own = flags[pk]
            was_resolved = [flag.is_resolved for flag in own]
            settle_flags(own, reasons, charge_id=pk, codes=Flag.ANSWERED_ELSEWHERE)
            changed = [flag for flag, was in zip(own, was_resolved, strict=False) if flag.is_resolved != was]
            for flag in changed:
                turned[flag.is_resolved].append(flag.pk)
            new += own[len(was_resolved) :]
            is_open = any(not flag.is_resolved for flag in own)
            if state == State.HELD and not is_open and changed:
                # It was held for what is answered now; what was held for no reason stays so.
                cleared.append(pk)
                billed[currency] += cost
            elif state in (State.CLEAR, State.APPROVED) and reasons:
                held[state].append(pk)
    Flag.objects.bulk_create(new, batch_size=5_000)
    for is_resolved, pks in turned.items():
        for start in range(0, len(pks), BATCH):
            Flag.objects.filter(pk__in=pks[start : start + BATCH]).update(is_resolved=is_resolved)
    for was, to, pks in ((State.HELD, State.CLEAR, cleared), *((was, State.HELD, ids) for was, ids in held.items())):
        for start in range(0, len(pks), BATCH):
            Charge.objects.filter(pk__in=pks[start : start + BATCH]).update(state=to)
        subject = Charge()
        for pk in pks:
            subject.pk = pk
            action = "charge.released" if to == State.CLEAR else "charge.held"
            gesture.record(action, subject, before={"state": str(was)}, after={"state": str(to)})
    return Settled(len(cleared), dict(sorted(billed.items())), sum(map(len, held.values())))


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
