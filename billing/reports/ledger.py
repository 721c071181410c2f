"""What the general ledger says, for reports: told by the app that has the journals, which registers how."""

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import NamedTuple


class Credited(NamedTuple):
    """What live journals of a month credit to a recovery fund/org: credits less debits of its lines of a kind."""

    period_id: int
    source_name: str
    fund_org: str
    kind: str
    amount: Decimal


# Given months (ids) and a currency, returns what their live journals credit.
Ledger = Callable[[Collection[int], str], list[Credited]]
_ledger: list[Ledger] = []


def register_ledger(ledger: Ledger) -> None:
    """Have reports ask `ledger` what was credited; a later one takes its place."""
    _ledger[:] = [ledger]


def credited(periods: Collection[int], currency: str) -> list[Credited]:
    return _ledger[0](periods, currency) if _ledger else []
