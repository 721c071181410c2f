"""What a month's next journal holds: payer lines less what is in the ledger already (pure)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True)
class Account:
    """An address in the ledger: a fund/org and a natural account."""

    fund_org: str
    natural_account: str
    # What decided the account code, in words; the same account whatever did.
    by: str = field(default="", compare=False)

    @property
    def is_whole(self) -> bool:
        return bool(self.fund_org and self.natural_account)


@dataclass(frozen=True)
class Pair:
    """An amount that a payer owes a source: a debit and its credit, or the other way round below zero."""

    payer_key: str
    amount: Decimal
    list_cost: Decimal
    contracted_cost: Decimal
    payer: Account
    recovery: Account
    reference: str
    description: str
    kind: str
    for_month: str
    pi_email: str
    pi_name: str
    project_code: str
    source_name: str
    service_name: str
    # What its charges name besides, such as grants and requests; printed, and no reason for a line.
    reference_1: str = ""
    reference_2: str = ""

    @property
    def says_something(self) -> bool:
        return bool(self.amount or self.list_cost or self.contracted_cost)


def deltas(charged: Iterable[Pair], journaled: Iterable[Pair]) -> list[Pair]:
    """Return the pairs that bring the ledger from what is journaled to what is charged, by payer key.

    `charged` has one pair per payer key, with today's accounts; `journaled` the pairs of the live
    journals, oldest first, with theirs. What is added goes to today's accounts. What is credited back
    comes from the accounts it was put on, the latest first; what nobody is charged any more is credited
    back wherever it was put. The sum over each payer key is then what is charged.

    What is charged 0.00 and is on no journal yet is a pair of 0.00, and so is a change of list or contracted cost
    alone: the ledger gets none of them, but a journal's detail shows list price and subsidy of every payer.
    They come last.
    """
    standing: dict[str, dict[tuple[Account, Account], Pair]] = {}
    for pair in journaled:
        places = standing.setdefault(pair.payer_key, {})
        place = (pair.payer, pair.recovery)
        earlier = places.pop(place, None)
        places[place] = _plus(pair, earlier) if earlier else pair
    found: list[Pair] = []
    for pair in charged:
        found += _moves(pair, list(standing.pop(pair.payer_key, {}).values()))
    for places in standing.values():
        found += [_negative(pair) for pair in places.values() if pair.says_something]
    return sorted(
        found, key=lambda pair: (not pair.amount, pair.reference, pair.payer_key, pair.payer.fund_org, pair.amount)
    )


def _moves(charged: Pair, standing: list[Pair]) -> Iterator[Pair]:
    """Yield what one payer key's charge differs by from what its accounts hold."""
    list_cost = charged.list_cost - sum((pair.list_cost for pair in standing), ZERO)
    contracted = charged.contracted_cost - sum((pair.contracted_cost for pair in standing), ZERO)
    left = charged.amount - sum((pair.amount for pair in standing), ZERO)
    pieces = []
    for pair in reversed(standing):
        if left * pair.amount < 0:
            back = max(left, -pair.amount) if left < 0 else min(left, -pair.amount)
            pieces.append(replace(charged, amount=back, payer=pair.payer, recovery=pair.recovery))
            left -= back
    if left:
        pieces.append(replace(charged, amount=left))
    if not pieces and (list_cost or contracted or not standing):
        pieces.append(replace(charged, amount=ZERO))
    # List and contracted costs are told once for the payer key, with its first piece.
    for number, piece in enumerate(pieces):
        first = number == 0
        yield replace(piece, list_cost=list_cost if first else ZERO, contracted_cost=contracted if first else ZERO)


def _plus(pair: Pair, earlier: Pair) -> Pair:
    return replace(
        pair,
        amount=pair.amount + earlier.amount,
        list_cost=pair.list_cost + earlier.list_cost,
        contracted_cost=pair.contracted_cost + earlier.contracted_cost,
    )


def _negative(pair: Pair) -> Pair:
    return replace(pair, amount=-pair.amount, list_cost=-pair.list_cost, contracted_cost=-pair.contracted_cost)
