"""Reasons to look at a full import first: it lacks what was there, or is older than what was applied."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..fields import from_units
from ..models import BillingPeriod, Import, Source
from ..money import rounded
from ..readers.spelling import same_id
from ..texts import long_dates, long_moment, long_month

# How many names a reason tells of.
NAMED = 5


class Code(StrEnum):
    """What kind of reason it is."""

    ACCOUNT = "account"
    MORE_THAN_HALF = "more_than_half"
    WRITTEN_ANEW = "written_anew"
    DAYS = "days"
    SUB_ACCOUNTS = "sub_accounts"
    OLDER = "older"


@dataclass(frozen=True)
class Doubt:
    """A reason, in words."""

    code: Code
    message: str

    def as_data(self) -> dict[str, str]:
        """The reason, as an import keeps it and --json tells it."""
        return {"code": str(self.code), "message": self.message}


@dataclass(frozen=True)
class Gone:
    """Charges of one day and sub account that an import no longer has."""

    period_id: int
    account: str
    sub_account: str
    day: str
    currency: str
    charges: int
    units: int


@dataclass(frozen=True)
class Present:
    """A day and sub account that an import has rows of; `period_id` is that of their month."""

    period_id: int
    account: str
    sub_account: str
    day: str


@dataclass(frozen=True)
class New:
    """Rows of one account and day that are no charges yet; `period_id` is that of their month."""

    period_id: int
    account: str
    day: str
    currency: str
    rows: int
    units: int


@dataclass
class Sums:
    """Charges that are gone, and what was billed for them by currency."""

    charges: int = 0
    units: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, charges: int, currency: str, units: int) -> None:
        self.charges += charges
        self.units[currency] += units

    @property
    def money(self) -> str:
        """The amounts by currency: 12.50 USD and 7.00 EUR."""
        told = [f"{rounded(from_units(units), currency)} {currency}" for currency, units in sorted(self.units.items())]
        return " and ".join(told) or "0.00"

    def __str__(self) -> str:
        return f"{self.charges:,} {'charge' if self.charges == 1 else 'charges'}, {self.money}"


def by_account(gone: Iterable[Gone]) -> dict[tuple[int, str], Sums]:
    """Add up what is gone by period id and billing account."""
    sums: dict[tuple[int, str], Sums] = defaultdict(Sums)
    for each in gone:
        sums[each.period_id, each.account].add(each.charges, each.currency, each.units)
    return sums


def of_account(period: BillingPeriod, account: str, live: int, gone: Sums) -> Doubt:
    """Return the reason that a billing account is missing as a whole, which came with the others before."""
    charges = f"{live:,} {'charge' if live == 1 else 'charges'}"
    if not account:
        have = "has no row" if live == 1 else "have no rows"
        return Doubt(Code.ACCOUNT, f"{period}: {charges} without a billing account ({gone.money}) {have} any more.")
    return Doubt(
        Code.ACCOUNT, f"{period}: the account “{account}” with {charges} ({gone.money}) is missing from the file."
    )


def of_most(period: BillingPeriod, account: str, live: int, gone: Sums) -> Iterator[Doubt]:
    """Yield a reason where more than half of the charges of a billing account would go."""
    if gone.charges * 2 > live:
        of = f" of account {account}" if account else ""
        which = f"{period}: {gone.charges:,} of {live:,} charges{of}"
        yield Doubt(Code.MORE_THAN_HALF, f"{which} are not in the file and would be removed ({gone.money}).")


def of_rewriting(gone: Iterable[Gone], new: Iterable[New], periods: Iterable[BillingPeriod]) -> Iterator[Doubt]:
    """Yield a reason for each account with as many new rows as charges that go, or half as many, day by day.

    It may be the same cost, written otherwise: a provider that renames its services, or gives resources other ids,
    makes each row another one. Whoever kept the charges that are missing would charge the cost twice.
    """
    months = {period.pk: period for period in periods}
    leaving: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for each in gone:
        leaving[each.period_id, same_id(each.account)][each.day] += each.charges
    coming: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    sums: dict[tuple[int, str], Sums] = defaultdict(Sums)
    for row in new:
        scope = row.period_id, same_id(row.account)
        if leaving[scope][row.day]:
            coming[scope][row.day] += row.rows
            sums[scope].add(row.rows, row.currency, row.units)
    for scope, days in sorted(coming.items()):
        if (days & leaving[scope]).total() * 2 < leaving[scope].total():
            continue
        of = f" of account {scope[1]}" if scope[1] else ""
        rows = "1 row" if days.total() == 1 else f"{days.total():,} rows"
        yield Doubt(
            Code.WRITTEN_ANEW,
            f"{months[scope[0]]}: {rows}{of} of the same days {'is' if days.total() == 1 else 'are'} new "
            f"({sums[scope].money}): this may be the same cost, written otherwise. Whoever keeps both may charge it "
            "twice.",
        )


def of_what_is_missing(
    gone: Collection[Gone], present: Iterable[Present], periods: Iterable[BillingPeriod]
) -> list[Doubt]:
    """Return a reason for the days and the sub accounts that had charges and have no rows in an import now.

    Each billing account is looked at by itself. What leaves a day or a sub account that still has rows is a
    correction, and no reason.
    """
    by_id = {period.pk: period for period in periods}
    days: dict[tuple[int, str], set[str]] = defaultdict(set)
    subs: dict[tuple[int, str], set[str]] = defaultdict(set)
    for each in present:
        scope = each.period_id, same_id(each.account)
        days[scope].add(each.day)
        subs[scope].add(same_id(each.sub_account))
    lacks_days: dict[tuple[int, str], dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
    lacks_subs: dict[tuple[int, str], dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
    accounts: dict[tuple[int, str], str] = {}
    for some in gone:
        scope = some.period_id, same_id(some.account)
        if scope not in days:
            # An account without any rows is a reason of its own.
            continue
        accounts[scope] = some.account
        if some.day not in days[scope]:
            lacks_days[scope][some.day].add(some.charges, some.currency, some.units)
        if some.sub_account and same_id(some.sub_account) not in subs[scope]:
            lacks_subs[scope][some.sub_account].add(some.charges, some.currency, some.units)
    several = {period for period, _ in days if sum(1 for other, _ in days if other == period) > 1}
    found = []
    for scope, account in sorted(accounts.items(), key=lambda each: (by_id[each[0][0]].month, each[0][1])):
        period = by_id[scope[0]]
        of = f" of account {account}" if account and scope[0] in several else ""
        if missing := lacks_days.get(scope):
            there = len(days[scope] | missing.keys())
            found.append(
                Doubt(
                    Code.DAYS,
                    f"{period}: {len(missing)} of {there} days{of} had charges and have no rows in these files: "
                    f"{_ranges(missing)} ({_total(missing)}).",
                )
            )
        if lacking := lacks_subs.get(scope):
            names = sorted(lacking)
            shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
            which = (
                f"sub account {shown}{of} had charges and has"
                if len(names) == 1
                else (f"{len(names):,} sub accounts{of} had charges and have")
            )
            listed = "" if len(names) == 1 else f": {shown}"
            found.append(
                Doubt(
                    Code.SUB_ACCOUNTS,
                    f"{period}: {which} no rows in these files{listed} ({_total(lacking)}).",
                )
            )
    return found


def of_age(
    source: Source, made_at: datetime.datetime | None, scopes: Collection[tuple[int, str]], exclude: Collection[int]
) -> list[Doubt]:
    """Return a reason where a provider made its files before one that was applied, or waits, for the same scopes.

    `scopes` are period ids and billing accounts that it would change; `exclude` are its own imports.
    """
    if made_at is None or not scopes:
        return []
    newer = (
        Import.objects.filter(
            source=source, state__in=(Import.State.APPLIED, Import.State.DEFERRED), made_at__gt=made_at
        )
        .filter(scope_totals__period__in={period for period, _ in scopes})
        .exclude(pk__in=exclude)
        .order_by("-made_at", "-pk")
        .distinct()
    )
    wanted = {(period, same_id(account)) for period, account in scopes}
    for each in newer:
        said = each.scope_totals.values_list("period_id", "billing_account_id")
        common = {period for period, account in said if (period, same_id(account)) in wanted}
        if common:
            assert each.made_at
            months = BillingPeriod.objects.filter(pk__in=common).values_list("month", flat=True)
            named = ", ".join(long_month(month) for month in sorted(months))
            verb = "waits" if each.state == Import.State.DEFERRED else "was applied"
            return [
                Doubt(
                    Code.OLDER,
                    f"{named}: the provider made these files on {_in_utc(made_at)}, before that of import {each.pk}, "
                    f"which {verb} and was made on {_in_utc(each.made_at)}.",
                )
            ]
    return []


def is_older(imported: Import) -> bool:
    """Whether an import was set aside because a newer run is there already."""
    return any(each["code"] == Code.OLDER for each in imported.doubts)


def is_written_anew(imported: Import) -> bool:
    """Whether what an import lacks may be what it adds, so that keeping both would be wrong."""
    return any(each["code"] == Code.WRITTEN_ANEW for each in imported.doubts)


def messages(imported: Import) -> list[str]:
    """Return the reasons that an import was set aside for, in words."""
    return [str(each["message"]) for each in imported.doubts]


def _total(parts: Mapping[str, Sums]) -> Sums:
    total = Sums()
    for sums in parts.values():
        total.charges += sums.charges
        for currency, units in sums.units.items():
            total.units[currency] += units
    return total


def _ranges(days: Iterable[str]) -> str:
    """Say days in short: Jan 5, 2026; Jan 21, 2026 to Jan 31, 2026."""
    ordered = sorted(map(datetime.date.fromisoformat, days))
    runs: list[list[datetime.date]] = []
    for day in ordered:
        if runs and day - runs[-1][-1] == datetime.timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    told = [long_dates(run[0], run[-1]) for run in runs]
    return "; ".join(told[:NAMED]) + (f" and {len(told) - NAMED} more" if len(told) > NAMED else "")


def _in_utc(time: datetime.datetime) -> str:
    return long_moment(time.astimezone(datetime.UTC))
