"""What the general ledger says, for reports: told by the app that has the journals, which registers how."""

import datetime
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


class UnpostedRow(NamedTuple):
    """What a payer has of a source in a month that is on no journal yet, and on one that waits for its answer."""

    period_id: int
    source_name: str
    fund_org: str
    pending: Decimal
    submitted: Decimal


class Unposted(NamedTuple):
    """What is not posted, and which months could not be worked out."""

    rows: list[UnpostedRow]
    problems: list[str]


class Accrued(NamedTuple):
    """An accrual of a month that the ledger has, or will have; what takes it back is "" where nothing does."""

    period_id: int
    number: str
    amount: Decimal
    posting_date: datetime.date
    reversal: str
    reversal_date: datetime.date | None


# A payer line: its month (an id), and its key.
PayerKey = tuple[int, str]


class PayerPlace(NamedTuple):
    """Where journals of a month (an id) have what a payer is charged: all that their lines say of it."""

    period_id: int
    for_month: str
    pi_email: str
    project_code: str
    fund_org: str
    source_name: str
    service_name: str


# When a journal was submitted, and its posting date.
Posting = tuple[datetime.datetime, datetime.date]


class Ledger(NamedTuple):
    """What is asked of the ledger.

    `credited` returns what live journals of months (ids) credit in a currency; `first_posted` the posting date of the
    first journal that has each payer line, of those that any has; `unposted` what of months is not in the ledger, now
    or as of a posting date; `accrued` which accruals months have. `submissions` returns when journals of months were
    submitted, in order; `charging` when journals that charged these fund/orgs were, with their posting dates.
    """

    credited: Callable[[Collection[int], str], list[Credited]]
    first_posted: Callable[[Collection[PayerKey]], dict[PayerKey, datetime.date]]
    unposted: Callable[[Collection[int], str, datetime.date | None], Unposted]
    accrued: Callable[[Collection[int]], list[Accrued]]
    submissions: Callable[[Collection[int]], dict[int, list[datetime.datetime]]]
    charging: Callable[[Collection[int], Collection[str]], dict[PayerPlace, list[Posting]]]


_ledger: list[Ledger] = []


def register_ledger(ledger: Ledger) -> None:
    """Have reports ask this ledger; a later one takes its place."""
    _ledger[:] = [ledger]


def credited(periods: Collection[int], currency: str) -> list[Credited]:
    return _ledger[0].credited(periods, currency) if _ledger else []


def first_posted(keys: Collection[PayerKey]) -> dict[PayerKey, datetime.date]:
    return _ledger[0].first_posted(keys) if _ledger else {}


def unposted(periods: Collection[int], currency: str, as_of: datetime.date | None = None) -> Unposted:
    return _ledger[0].unposted(periods, currency, as_of) if _ledger else Unposted([], [])


def accrued(periods: Collection[int]) -> list[Accrued]:
    return _ledger[0].accrued(periods) if _ledger else []


def submissions(periods: Collection[int]) -> dict[int, list[datetime.datetime]]:
    return _ledger[0].submissions(periods) if _ledger else {}


def charging(periods: Collection[int], fund_orgs: Collection[str]) -> dict[PayerPlace, list[Posting]]:
    return _ledger[0].charging(periods, fund_orgs) if _ledger else {}
