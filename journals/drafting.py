"""What a draft holds, and what must be so before the ledger sees it."""

import datetime
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from django.db.models import Max
from django.utils import timezone

from billing.charging.month import by_key, sources_by_key
from billing.clocks import zone_named
from billing.errors import BillingError, NextStep, ReasonMissing
from billing.models import BillingPeriod, BillingReference, Charge, PayerLine, Person, Policy, Project, Source
from billing.money import ZERO
from billing.patterns import compiled
from billing.texts import iso_day, long_date, long_month

from . import accounting_calendar
from .account_codes import AccountCodes, Subject
from .deltas import Account, Pair, deltas
from .models import Journal, JournalLine

BATCH = 2_000


class AccountingMissing(BillingError):
    """Lines cannot go to the ledger because their sources lack accounting."""


class FundOrgNotParsed(BillingError):
    """Fund/orgs do not have the form that the Policy parses into segments."""


class PostingDateRefused(BillingError):
    """A journal cannot be posted on this date."""


def fresh_deltas(
    period: BillingPeriod, lines: Iterable[PayerLine] | None = None, as_of: datetime.date | None = None
) -> list[Pair]:
    """Return what a period's payer lines (those stored, or those given) say beyond its live journals.

    With `as_of`, beyond those that were in the ledger on that day, by their posting dates.
    """
    if lines is None:
        lines = PayerLine.objects.filter(period=period)
    return deltas(charged(period, lines), _journaled(period, as_of))


def lines_of(pairs: Iterable[Pair], journal: Journal, policy: Policy) -> Iterator[JournalLine]:
    """Yield the lines of pairs, unsaved: each payer's, then its recovery's; below zero they change sides."""
    parse = segment_parser(policy.fund_org_segments)
    number = 0
    for pair in pairs:
        more, less = max(pair.amount, ZERO), max(-pair.amount, ZERO)
        for side, account, debit, credit, sign in (
            (JournalLine.Side.PAYER, pair.payer, more, less, 1),
            (JournalLine.Side.RECOVERY, pair.recovery, less, more, -1),
        ):
            number += 1
            yield JournalLine(
                journal=journal,
                number=number,
                payer_key=pair.payer_key,
                side=side,
                fund_org=account.fund_org,
                natural_account=account.natural_account,
                account_by=account.by,
                segments=parse(account.fund_org) or {},
                debit=debit,
                credit=credit,
                reference=pair.reference,
                description=pair.description,
                kind=pair.kind,
                for_month=pair.for_month,
                pi_email=pair.pi_email,
                pi_name=pair.pi_name,
                project_code=pair.project_code,
                source_name=pair.source_name,
                service_name=pair.service_name,
                list_cost=sign * pair.list_cost,
                contracted_cost=sign * pair.contracted_cost,
                reference_1=pair.reference_1,
                reference_2=pair.reference_2,
            )


def described(
    *, reference: str, project_code: str, source: Source, service_name: str, kind: str, for_month: str = ""
) -> str:
    """Return what the ledger prints of a payer line: the statement's reference, project and service.

    A late change and a correction name the month they correct.
    """
    is_plain = kind in (PayerLine.Kind.CHARGE, PayerLine.Kind.RECEIVABLE)
    told = "" if is_plain else f"({PayerLine.Kind(kind).label.lower()})"
    if kind == PayerLine.Kind.LATE or kind in PayerLine.ENTERED:
        told = f"({PayerLine.Kind(kind).label.lower()} for {for_month})"
    parts = (reference, project_code, source.label, service_name, told)
    return " ".join(" ".join(part for part in parts if part).split())[:254]


def require_accounting(lines: Iterable[JournalLine]) -> None:
    """Raise AccountingMissing, naming for every source what its lines lack. Lines of 0.00 need none."""
    lacking: dict[str, set[str]] = {}
    for line in lines:
        if not line.is_posted:
            continue
        is_payer = line.side == JournalLine.Side.PAYER
        if not line.fund_org:
            lacking.setdefault(line.source_name, set()).add("fund/org of a payer" if is_payer else "recovery fund/org")
        if not line.natural_account:
            account = "debit account code" if is_payer else "recovery account code"
            lacking.setdefault(line.source_name, set()).add(account)
    if lacking:
        told = "".join(f"\n- {source} has no {', no '.join(sorted(lacking[source]))}" for source in sorted(lacking))
        raise AccountingMissing(
            f"The journal cannot go to the ledger, for sources of its lines lack accounting:{told}\n"
            "Complete the sources, then draft the journal again.",
            then=NextStep("complete_source", {"source": min(lacking)}),
        )


def require_segments(lines: Iterable[JournalLine]) -> None:
    """Raise FundOrgNotParsed, naming the fund/orgs that the Policy's pattern does not parse."""
    pattern = Policy.objects.current().fund_org_segments
    parse = segment_parser(pattern)
    if failed := sorted({line.fund_org for line in lines if line.is_posted and parse(line.fund_org) is None}):
        shown = ", ".join(failed[:20]) + (f" and {len(failed) - 20:,} more" if len(failed) > 20 else "")
        raise FundOrgNotParsed(
            f"The journal needs segments, and the Policy's pattern {pattern} does not match these fund/orgs: {shown}. "
            "Correct who pays in the review, or the pattern in the Policy."
        )


def default_posting_date(period: BillingPeriod, now: datetime.datetime) -> datetime.date:
    """Return the last day of a month, or today if that is earlier; by the calendar, a day that the ledger takes."""
    today = timezone.localdate(now)
    own = min(period.last_day, today)
    calendar = accounting_calendar.current()
    return calendar.default_date(own, today) if calendar else own


def last_charge_day(period: BillingPeriod) -> datetime.date | None:
    """Return the day of the last charge of a month that is journaled, in the zone its provider bills in."""
    ends = (
        Charge.objects.in_month(period)
        .chargeable()
        .filter(source__is_journaled=True)
        .order_by()
        .values_list("imported_in__billing_zone")
        .annotate(last=Max("charge_period_start"))
    )
    return max((last.astimezone(zone_named(name)).date() for name, last in ends), default=None)


def require_posting_date(
    period: BillingPeriod, date: datetime.date, now: datetime.datetime, *, last_day: datetime.date | None = None
) -> None:
    """Raise PostingDateRefused for a date that is to come, before the last charge, or that the ledger does not take.

    The ledger takes what the calendar says; where there is none, the fiscal year of the month. `last_day` is the day of
    that charge, where it is known already.
    """
    today = timezone.localdate(now)
    if date > today:
        raise PostingDateRefused(f"The posting date {long_date(date)} is in the future. Post today or earlier.")
    day = last_day or last_charge_day(period) or date
    if date < day:
        raise PostingDateRefused(
            f"The posting date {long_date(date)} is before the last charge of {period}, on {long_date(day)}. "
            "Choose a later one."
        )
    if calendar := accounting_calendar.current():
        if refused := calendar.refusal(date, today):
            raise PostingDateRefused(refused, then=NextStep("accounting_calendar"))
        return
    policy = Policy.objects.current()
    if policy.fiscal_year_of(date) != (year := policy.fiscal_year_of(period.month)):
        first, _ = policy.months_of_fiscal_year(year)
        raise PostingDateRefused(
            f"The posting date {long_date(date)} is not in the fiscal year {year} of {period}, "
            f"which begins in {long_month(first)} (see the Policy). With an accounting calendar, it can be in an open "
            "period of a later year, for a reason.",
            then=NextStep("accounting_calendar"),
        )


def date_reason_needed(period: BillingPeriod, date: datetime.date, now: datetime.datetime) -> str:
    """Say for what a journal of a month needs a reason to be posted on a date; "" for nothing."""
    calendar = accounting_calendar.current()
    return calendar.reason_needed(date, own=period.last_day, today=timezone.localdate(now)) if calendar else ""


def require_date_reason(period: BillingPeriod, date: datetime.date, reason: str, now: datetime.datetime) -> None:
    """Raise ReasonMissing where a posting date needs a reason, and none is given."""
    if not reason.strip() and (needed := date_reason_needed(period, date, now)):
        raise ReasonMissing(f"{needed} Give the reason for the date.")


def segment_parser(pattern: str) -> Callable[[str], dict[str, str] | None]:
    """Return a function from fund/org to its segments by a pattern's named groups, None where it does not match."""
    known = compiled(pattern) if pattern else None

    @cache
    def parse(fund_org: str) -> dict[str, str] | None:
        if known is None:
            return {}
        match = known.fullmatch(fund_org)
        return {name: text or "" for name, text in match.groupdict().items()} if match else None

    return parse


def charged(period: BillingPeriod, lines: Iterable[PayerLine], codes: AccountCodes | None = None) -> Iterator[Pair]:
    """Yield what payer lines of a period charge to the ledger; `codes` decides their account codes, else today's."""
    codes = codes or AccountCodes()
    # Looked up once: a join would make five objects more for every line.
    sources, people, projects = sources_by_key(), by_key(Person), by_key(Project)
    months = {pk: each.iso_month for pk, each in by_key(BillingPeriod).items()}
    references = {
        (each.pi_id, each.project_id): each.text
        for each in BillingReference.objects.filter(period=period).select_related("period")
    }
    for line in lines:
        source = sources[line.source_id]
        if line.customer_id or not source.is_journaled:
            # What a customer pays is on an invoice: accounts receivable posts it.
            continue
        pi = people[line.pi_id] if line.pi_id else None
        project_code = projects[line.project_id].code if line.project_id else ""
        decided = codes.of(Subject(source, line.fund_org, project_code, line.service_name, line.natural_account))
        # None yet where the lines are not stored, as in a preview.
        reference = references.get((line.pi_id, line.project_id), "")
        yield Pair(
            payer_key=line.key,
            amount=line.charged,
            list_cost=line.list_cost,
            contracted_cost=line.contracted_cost,
            payer=Account(line.fund_org, decided.debit.account, decided.debit.by),
            recovery=Account(source.recovery_fund_org, decided.recovery.account, decided.recovery.by),
            reference=reference,
            description=described(
                reference=reference,
                project_code=project_code,
                source=source,
                service_name=line.service_name,
                kind=line.kind,
                for_month=months[line.for_period_id],
            ),
            kind=line.kind,
            for_month=months[line.for_period_id],
            pi_email=pi.email if pi else "",
            pi_name=pi.name if pi else "",
            project_code=project_code,
            source_name=source.name,
            service_name=line.service_name,
            reference_1=line.reference_1,
            reference_2=line.reference_2,
        )


def _journaled(period: BillingPeriod, as_of: datetime.date | None) -> Iterator[Pair]:
    """Yield the pairs of the period's live journals, or of those of a day, oldest first."""
    lines = (
        JournalLine.objects.filter(journal__in=Journal.objects.live(as_of).filter(period=period))
        .order_by("journal", "number")
        .iterator(chunk_size=BATCH)
    )
    for payer, recovery in zip(lines, lines, strict=True):
        yield Pair(
            payer_key=payer.payer_key,
            amount=payer.debit - payer.credit,
            list_cost=payer.list_cost,
            contracted_cost=payer.contracted_cost,
            payer=Account(payer.fund_org, payer.natural_account, payer.account_by),
            recovery=Account(recovery.fund_org, recovery.natural_account, recovery.account_by),
            reference=payer.reference,
            description=payer.description,
            kind=payer.kind,
            for_month=payer.for_month,
            pi_email=payer.pi_email,
            pi_name=payer.pi_name,
            project_code=payer.project_code,
            source_name=payer.source_name,
            service_name=payer.service_name,
            reference_1=payer.reference_1,
            reference_2=payer.reference_2,
        )


def drafting_again(journal: Journal) -> NextStep:
    """Return the step that drafts a journal again from today's charges; an accrual from what the ledger lacks today."""
    asked = {"period": journal.period.iso_month, "journal": str(journal.pk)}
    if journal.reversal_date:
        return NextStep("accrue_again", asked | {"reverse_on": iso_day(journal.reversal_date)})
    return NextStep("draft_again", asked)


def nothing_to_journal(period: BillingPeriod) -> str:
    """Say why a month has nothing to journal: it is on a journal already, is held for review, or was never charged."""
    if last := Journal.objects.live().filter(period=period).order_by("-pk").first():
        return f"no payer line of a journaled source changed since {last}"
    held = Charge.objects.held().filter(charged_in=period).count()
    if held:
        told = "1 charge is" if held == 1 else f"{held:,} charges are"
        return f"nothing of it is charged yet, and {told} held for review"
    return "nothing of it is charged by a journaled source"
