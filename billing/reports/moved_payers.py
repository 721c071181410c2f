"""Who pays changed in the review after a journal had charged it: each act, as a cost transfer that the ledger sees."""

import datetime
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.db.models import F, Q

from ..fields import AmountSum
from ..models import Charge, ExchangeRate, PayerSplitShare, ReviewDecision, Source
from ..money import EXACT, ZERO, to_cents
from ..texts import iso_month
from . import ledger
from .facts import Facts, narrowed

State = Charge.State
# Charges in one question, below what any build of SQLite takes.
BATCH = 500


@dataclass(frozen=True)
class MovedPayer:
    """An act that moved what was journaled between fund/orgs: over how much, and since when it was there."""

    decision: ReviewDecision
    charges: int
    relieved: tuple[str, ...]
    paying: tuple[str, ...]
    amount: Decimal
    posted: datetime.date


@dataclass
class _Act:
    decision: ReviewDecision
    charges: int = 0
    amount: Decimal = ZERO
    posted: datetime.date = datetime.date.max


def moved_payers(facts: Facts) -> list[MovedPayer]:
    """Return the acts after which a later journal of their month charges other fund/orgs than one before had.

    Of several acts between two journals the last stands for all: the ledger sees where they lead. What leads back is
    nothing. Amounts are in the institution's currency; what is held, or has no exchange rate, is not among them.
    """
    submitted = ledger.submissions(list(facts.periods))
    if not submitted:
        return []
    months: list[Any] = [Q(charge__charged_in=pk, decided_at__gt=times[0]) for pk, times in submitted.items()]
    decisions = ReviewDecision.objects.filter(Q.create(months, connector=Q.OR)).order_by("pk")
    runs: dict[tuple[int, int], list[ReviewDecision]] = defaultdict(list)
    for each in decisions.annotate(month=F("charge__charged_in")).exclude(action=ReviewDecision.Action.INHERIT):
        place = bisect_right(submitted[each.month], each.decided_at)
        runs[each.charge_id, place].append(each)
    charges = _charges(facts, sorted({charge_id for charge_id, _ in runs}))
    moves = list(_moves(facts, runs, charges))
    known = ledger.charging(list(facts.periods), sorted({name for move in moves for name in move.relieved}))
    acts: dict[tuple[Any, tuple[str, ...], tuple[str, ...]], _Act] = {}
    for move in moves:
        dates = [
            posting_date
            for fund_org in move.relieved
            for at, posting_date in known.get(move.place_of(fund_org), ())
            if at <= move.first.decided_at
        ]
        if not dates:
            # It was on no journal: nothing moves in the ledger.
            continue
        act = acts.setdefault((move.last.gesture, move.relieved, move.paying), _Act(move.last))
        act.charges += 1
        act.amount = EXACT.add(act.amount, move.amount)
        act.posted = min(act.posted, *dates)
    return list(_acts(facts, acts))


def _acts(facts: Facts, acts: Mapping[Any, _Act]) -> Iterator[MovedPayer]:
    for (_, relieved, paying), act in acts.items():
        amount = to_cents(act.amount, facts.policy.currency)
        if amount < 0:
            # A credit that is taken from a fund/org is what it pays.
            relieved, paying, amount = paying, relieved, -amount
        if amount:
            yield MovedPayer(act.decision, act.charges, relieved, paying, amount, act.posted)


@dataclass(frozen=True)
class _Move:
    """What of a charge changed between two journals: where it was, and where it is."""

    charge: Mapping[str, Any]
    first: ReviewDecision
    last: ReviewDecision
    relieved: tuple[str, ...]
    paying: tuple[str, ...]
    amount: Decimal

    def place_of(self, fund_org: str) -> ledger.PayerPlace:
        """Return where journals have it, if a fund/org was charged it before."""
        return ledger.PayerPlace(
            self.charge["charged_in"],
            iso_month(self.charge["period__month"]),
            self.first.before.get("pi", self.charge["pi__email"] or ""),
            self.first.before.get("project", self.charge["project__code"] or ""),
            fund_org,
            self.charge["source__name"],
            self.charge["service"],
        )


def _charges(facts: Facts, ids: list[int]) -> dict[int, dict[str, Any]]:
    """Return what is to be known of charges that still stand, of those that the report is narrowed to."""
    others = {name: found for name, found in facts.asked.found.items() if name not in ("fund", "service")}
    asked = replace(facts.asked, found=others)
    sources = Source.objects.prefetch_related("measure_changes")
    found: dict[int, dict[str, Any]] = {}
    for start in range(0, len(ids), BATCH):
        rows: Any = narrowed(Charge.objects.live().filter(pk__in=ids[start : start + BATCH]), asked, facts.homes)
        if service := facts.asked.found.get("service"):
            rows = rows.filter(product__service_name=service)
        names = ("pk", "charged_in", "period", "period__month", "currency", "pi__email", "project__code")
        for row in (
            rows.filter(source__is_journaled=True)
            .with_prices(sources, estimates=True)
            .order_by()
            .values(*names, "source__name", "fund_org", "payer_split", "state", service=F("product__service_name"))
            .annotate(amount=AmountSum("exact_charged"))
        ):
            found[row["pk"]] = row
    return found


def _moves(
    facts: Facts, runs: Mapping[tuple[int, int], list[ReviewDecision]], charges: Mapping[int, dict[str, Any]]
) -> Iterator[_Move]:
    shares: dict[int, tuple[str, ...]] = {}
    rates = {(each.period_id, each.currency): each.rate for each in ExchangeRate.objects.order_by()}
    wanted = facts.asked.found.get("fund")
    for (charge_id, _), run in runs.items():
        charge = charges.get(charge_id)
        if charge is None:
            continue
        home = charge["currency"] == facts.policy.currency
        rate = Decimal(1) if home else rates.get((charge["period"], charge["currency"]))
        relieved = _paying(run[0].before, charge, facts.policy.center_fund_org, shares)
        paying = _paying(run[-1].after, charge, facts.policy.center_fund_org, shares)
        if not relieved or not paying or relieved == paying or rate is None:
            continue
        if wanted and wanted not in (*relieved, *paying):
            continue
        yield _Move(charge, run[0], run[-1], relieved, paying, EXACT.multiply(charge["amount"] or ZERO, rate))


def _paying(
    said: Mapping[str, Any], charge: Mapping[str, Any], center: str, shares: dict[int, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return which fund/orgs pay by what a decision keeps of a charge; none while it is held or rejected."""
    state = said.get("state", charge["state"])
    if state not in Charge.CHARGEABLE:
        return ()
    if state == State.CHARGED_TO_CENTER:
        return (center,) if center else ()
    split = said.get("payer_split_id", charge["payer_split"])
    if split:
        if split not in shares:
            found = PayerSplitShare.objects.filter(split=split).order_by("fund_org")
            shares[split] = tuple(found.values_list("fund_org", flat=True))
        return shares[split]
    fund_org = said.get("fund_org", charge["fund_org"])
    return (fund_org,) if fund_org else ()
