"""Accruals: what a month has that the ledger has not, for its books to show until it is journaled.

An accrual and the reversal that is submitted with it are 0 on every chartstring. They charge nobody: payer lines,
statements and the proof's sums know nothing of them, and what they hold is journaled as if they were not there.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from django.utils import timezone

from billing import charging
from billing.fields import AmountSum
from billing.models import BillingPeriod, MonthTotal, PayerLine, Policy, Source
from billing.money import ZERO, rounded
from billing.reports.held import held
from billing.reports.ledger import Accrued
from billing.reports.unposted import not_counted
from billing.texts import long_date
from billing.trends import in_cents

from . import accounting_calendar
from .account_codes import AccountCodes, Subject
from .deltas import Account, Pair
from .drafting import PostingDateRefused, fresh_deltas
from .estimates import Estimate
from .models import Journal, JournalLine

# What is accrued, in the order of the lines, and how they say it.
PENDING, HELD, ESTIMATED = "pending", "held", "estimated"
WORDS = {PENDING: "not journaled yet", HELD: "held for review", ESTIMATED: "estimate: {reason}"}


@dataclass(frozen=True)
class Accruable:
    """What a month lacks in the ledger on a day, as pairs for a journal; and what is not in them, in sentences."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def accruable(
    period: BillingPeriod, day: datetime.date, reference: str, estimates: Collection[Estimate] = ()
) -> Accruable:
    """Return what the ledger does not have of a month on a posting date: what is charged, held or estimated.

    There is one pair for each source, chartstring and recovery, without a PI. What is charged goes to the accounts that
    the month's journal will charge; what is held or estimated to those of the fund/org it names. `reference` is printed
    with each.
    Raises what keeps the payer lines of the month from being computed.
    """
    policy = Policy.objects.current()
    sources = {each.name: each for each in Source.objects.prefetch_related("measure_changes")}
    sums: dict[tuple[str, str, Account, Account], Decimal] = defaultdict(lambda: ZERO)
    for pair in fresh_deltas(period, charging.compute(period), day):
        sums[PENDING, pair.source_name, pair.payer, pair.recovery] += pair.amount
    waiting, notes = _held(period, policy.currency, list(sources.values()))
    codes = AccountCodes()
    expected = [(HELD, fund_org, source, amount) for (fund_org, source), amount in waiting.items()]
    expected += [(ESTIMATED, each.fund_org, sources[each.source], each.amount) for each in estimates]
    for what, fund_org, source, amount in expected:
        decided = codes.of(Subject(source, fund_org, "", "", source.debit_account))
        payer = Account(fund_org, decided.debit.account, decided.debit.by)
        recovery = Account(source.recovery_fund_org, decided.recovery.account, decided.recovery.by)
        sums[what, source.name, payer, recovery] += amount
    reasons = {(each.source, each.fund_org): each.reason for each in estimates}
    order = list(WORDS)
    pairs = [
        _pair(what, sources[name], payer, recovery, amount, reference, period, reasons.get((name, payer.fund_org), ""))
        for (what, name, payer, recovery), amount in sums.items()
        if amount
    ]
    pairs.sort(key=lambda pair: (order.index(pair.payer_key.split(":")[1]), pair.payer_key))
    return Accruable(tuple(pairs), (*notes, *not_counted({period.pk: period})))


def _held(
    period: BillingPeriod, currency: str, sources: list[Source]
) -> tuple[dict[tuple[str, Source], Decimal], list[str]]:
    """Return what is held of a month by fund/org and source, in whole cents, and what is not among it."""
    exact, notes = held(MonthTotal.objects.filter(charged_in=period), currency, sources)
    by_id = {each.pk: each for each in sources}
    found: dict[tuple[str, Source], Decimal] = {}
    homeless = ZERO
    for (fund_org, source_id, _), amount in in_cents(exact, currency)[1].items():
        if fund_org:
            found[fund_org, by_id[source_id]] = amount
        else:
            homeless += amount
    if homeless:
        notes.append(f"{rounded(homeless, currency)} {currency} held for review names no fund/org and is left out.")
    return found, notes


def _pair(
    what: str,
    source: Source,
    payer: Account,
    recovery: Account,
    amount: Decimal,
    reference: str,
    period: BillingPeriod,
    reason: str,
) -> Pair:
    month = period.iso_month
    parts = (source.name, payer.fund_org, payer.natural_account, recovery.fund_org, recovery.natural_account)
    return Pair(
        payer_key=":".join(("accrual", what, *parts))[:1000],
        amount=amount,
        list_cost=ZERO,
        contracted_cost=ZERO,
        payer=payer,
        recovery=recovery,
        reference=reference,
        # The ledger writes months as files do.
        description=f"Accrual for {month}, {source.label}, {WORDS[what].format(reason=reason)}",
        kind=PayerLine.Kind.CHARGE,
        for_month=month,
        pi_email="",
        pi_name="",
        project_code="",
        source_name=source.name,
        service_name="",
    )


def require_reversal_date(posting_date: datetime.date, date: datetime.date, now: datetime.datetime) -> None:
    """Raise PostingDateRefused for a day on which an accrual cannot be reversed.

    It is after the accrual's own, and may be to come: its period need not be open yet, only not closed already.
    """
    if date <= posting_date:
        raise PostingDateRefused(
            f"The reversal date {long_date(date)} is not after the posting date {long_date(posting_date)}. "
            "Choose a later one, such as the first day of the next month."
        )
    today = timezone.localdate(now)
    period = accounting_calendar.current().period_of(date, today)
    if period and period.closes_on and today > period.closes_on:
        raise PostingDateRefused(
            f"The reversal date {long_date(date)} is in {period}, which closed on {long_date(period.closes_on)}. "
            "Choose a later one."
        )


def standing_on(period: BillingPeriod, day: datetime.date) -> tuple[Journal, Journal | None] | None:
    """Return the accrual of a month that the ledger has on a day, with what takes it back later, if anything does."""
    for accrual in Journal.objects.accruals().filter(period=period).order_by("pk"):
        reversal = Journal.objects.reversals_of(accrual).first()
        if reversal is None or reversal.posting_date > day:
            return accrual, reversal
    return None


def accrued(periods: Collection[int]) -> list[Accrued]:
    """Return the accruals of months, for reports."""
    found = []
    for accrual in Journal.objects.accruals().filter(period__in=periods).order_by("period__month", "pk"):
        reversal = Journal.objects.reversals_of(accrual).first()
        found.append(
            Accrued(
                accrual.period_id,
                accrual.number,
                accrual.debits,
                accrual.posting_date,
                reversal.number if reversal else "",
                reversal.posting_date if reversal else None,
            )
        )
    return found


def remainders(accrual: Journal, reversal: Journal | None) -> dict[tuple[str, str], Decimal]:
    """Return what an accrual and its reversal leave on fund/orgs and account codes: nothing, where all is right."""
    both = [accrual.pk, *([reversal.pk] if reversal else [])]
    rows = (
        JournalLine.objects.filter(journal__in=both)
        .order_by()
        .values_list("fund_org", "natural_account")
        .annotate(debits=AmountSum("debit"), credits=AmountSum("credit"))
    )
    return {(fund_org, account): debits - credits for fund_org, account, debits, credits in rows if debits != credits}
