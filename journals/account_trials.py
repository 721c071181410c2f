"""What an account rule would change of a month's journal, before it is saved."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from billing.models import BillingPeriod, PayerLine, Policy
from billing.money import ZERO

from .account_codes import AccountCodes
from .deltas import Pair
from .drafting import charged
from .models import AccountRule

# Payer lines of a month up to which a page tries a rule on them.
LARGE = 20_000
# Moves from one account code to another that a page names.
SHOWN = 50


@dataclass(frozen=True)
class Move:
    """Lines of a source that would have another account code: on which side, how many, and what they come to."""

    side: str
    source: str
    before: str
    after: str
    lines: int
    amount: Decimal


@dataclass(frozen=True)
class Tried:
    """What a rule decides of a month: how many of its payer lines, and which would have another account code."""

    period: BillingPeriod
    fits: int = 0
    moves: tuple[Move, ...] = ()
    unshown: int = 0
    is_too_large: bool = False
    currency: str = ""


def try_rule(rule: AccountRule) -> Tried | None:
    """Return what a rule would make of the newest month that has payer lines; None where there is none."""
    period = BillingPeriod.objects.filter(pk__in=PayerLine.objects.values("period")).order_by("-month").first()
    if period is None or not rule.is_active:
        return None
    if PayerLine.objects.filter(period=period)[: LARGE + 1].count() > LARGE:
        return Tried(period, is_too_large=True)
    lines = list(PayerLine.objects.filter(period=period))
    name = str(rule)
    fits = 0
    counts: Counter[tuple[str, str, str, str]] = Counter()
    amounts: dict[tuple[str, str, str, str], Decimal] = {}
    today, then = charged(period, lines), charged(period, lines, AccountCodes(rule))
    for before, after in zip(today, then, strict=True):
        fits += any(account.by.startswith(f"{name} (") for account in (after.payer, after.recovery))
        for key in _moved(before, after):
            counts[key] += 1
            amounts[key] = amounts.get(key, ZERO) + after.amount
    ordered = sorted(counts, key=lambda key: (-counts[key], key))
    moves = tuple(Move(*key, counts[key], amounts[key]) for key in ordered)
    currency = Policy.objects.current().currency
    return Tried(period, fits, moves[:SHOWN], max(0, len(moves) - SHOWN), currency=currency)


def _moved(before: Pair, after: Pair) -> Iterator[tuple[str, str, str, str]]:
    for side, one, other in (("Debit", before.payer, after.payer), ("Recovery", before.recovery, after.recovery)):
        if one.natural_account != other.natural_account:
            yield side, after.source_name, one.natural_account, other.natural_account
