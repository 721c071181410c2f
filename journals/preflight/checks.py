"""What a preflight checks, one function each: a journal's facts in, findings out."""

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from django.db.models import Max, Min
from django.utils import timezone

from billing.attribution.funds import reference_of
from billing.errors import BillingError, NextStep
from billing.models import BillingPeriod, Charge, Policy
from billing.models.periods import last_day_of
from billing.money import ZERO, rounded
from billing.patterns import compiled
from billing.texts import long_date, long_dates, long_span, quoted

from .. import valid_values
from ..drafting import date_reason_needed, drafting_again, require_posting_date, segment_parser
from ..formats import Format
from ..formats.layouts import LayoutFormat
from ..models import Journal, JournalLine
from .findings import Finding


@dataclass(frozen=True)
class Facts:
    """A journal with its lines, what it is to be written in, and the clock."""

    journal: Journal
    lines: Sequence[JournalLine]
    chosen: Format
    now: datetime.datetime

    @cached_property
    def posted(self) -> list[JournalLine]:
        """The lines that the ledger gets."""
        return [line for line in self.lines if line.is_posted]

    @cached_property
    def payers(self) -> list[JournalLine]:
        return [line for line in self.posted if line.side == JournalLine.Side.PAYER]


def accounting(facts: Facts) -> Iterator[Finding]:
    """Lines without a fund/org or an account code."""
    for line in facts.posted:
        is_payer = line.side == JournalLine.Side.PAYER
        source = NextStep("complete_source", {"source": line.source_name})
        for value, field, lacks in (
            (line.fund_org, "fund/org", "no fund/org" if is_payer else "no recovery fund/org"),
            (line.natural_account, "account code", "no debit account" if is_payer else "no recovery account"),
        ):
            if not value:
                yield _of(line, "accounting", f"{line.source_name} has {lacks}.", field=field, then=source)


def pattern(facts: Facts) -> Iterator[Finding]:
    """Fund/orgs that the policy's pattern does not take apart."""
    if not facts.chosen.is_ledger:
        return
    policy = Policy.objects.current()
    parse = segment_parser(policy.fund_org_segments)
    for line in facts.posted:
        if line.fund_org and parse(line.fund_org) is None:
            yield _of(
                line,
                "pattern",
                f"{quoted(line.fund_org)} does not match the policy's pattern of segments.",
                field="fund/org",
                value=line.fund_org,
                then=NextStep("change_policy"),
            )


def valid_value(facts: Facts) -> Iterator[Finding]:
    """Segments whose value is on no list of the ledger, or not valid on the posting date."""
    lists = valid_values.in_force()
    if not lists:
        return
    own = facts.chosen.layout.segments if isinstance(facts.chosen, LayoutFormat) else ""
    day = facts.journal.posting_date
    for line in facts.posted:
        for segment, value in _segments_of(line, own).items():
            if not value or segment not in lists:
                continue
            spans = lists[segment].get(value)
            if spans is not None and valid_values.is_valid_on(spans, day):
                continue
            said = (
                f"{quoted(value)} is not on the list of {segment}."
                if spans is None
                else f"{quoted(value)} is valid {valid_values.told(spans)}, and the posting date is {long_date(day)}."
            )
            step = NextStep("valid_values", {"segment": segment})
            yield _of(line, "valid_values", said, field=segment, value=value, then=step)


def fund_dates(facts: Facts) -> Iterator[Finding]:
    """Funds of the list that are not valid on the days of service, or that take no posting on the posting date."""
    reference = reference_of(Policy.objects.current())
    if not reference.funds:
        return
    services = _Services()
    day = facts.journal.posting_date
    for line in facts.payers:
        step = NextStep("show_fund", {"fund_org": line.fund_org})
        last_posting = reference.last_postings.get(line.fund_org)
        if last_posting and day > last_posting:
            late = f"{line.fund_org} takes no posting after {long_date(last_posting)}"
            said = f"{late}. The posting date is {long_date(day)}."
            yield _of(line, "fund_dates", said, field="fund/org", value=line.fund_org, then=step)
        if line.fund_org in reference.funds and line.debit:
            first, last = reference.funds[line.fund_org]
            served = services.of(line.fund_org, line.for_month)
            if (first and served[0] < first) or (last and served[1] > last):
                said = f"{line.fund_org} is valid {long_span(first, last)}. The service was {long_dates(*served)}."
                found = _of(line, "fund_dates", said, field="fund/org", value=line.fund_org, then=step)
                # Whoever reviewed the charge may have agreed to it: the ledger does not see days of service.
                yield _as_warning(found)


def posting_date(facts: Facts) -> Iterator[Finding]:
    """A posting date that the ledger does not take, or that needs a reason."""
    journal = facts.journal
    about = {"period": journal.period.iso_month, "journal": str(journal.pk)}
    try:
        require_posting_date(journal.period, journal.posting_date, facts.now)
    except BillingError as error:
        yield Finding("posting_date", str(error), then=error.then or drafting_again(journal))
        return
    needed = date_reason_needed(journal.period, journal.posting_date, facts.now)
    if needed and not journal.date_reason:
        yield Finding("posting_date", f"{needed} Give the reason for the date.", then=NextStep("submit_journal", about))


def balance(facts: Facts) -> Iterator[Finding]:
    """Debits and credits that differ, of the whole journal or of a pair."""
    debits = sum((line.debit for line in facts.lines), ZERO)
    credits = sum((line.credit for line in facts.lines), ZERO)
    if debits != credits:
        currency = facts.journal.currency
        yield Finding(
            "balance",
            f"Debits are {rounded(debits, currency)} {currency}, and credits {rounded(credits, currency)} {currency}.",
            then=drafting_again(facts.journal),
        )


def duplicate(facts: Facts) -> Iterator[Finding]:
    """Lines that an earlier journal, which is in the ledger or will be, has just so."""
    months = {line.for_month for line in facts.payers}
    earlier = JournalLine.objects.filter(
        journal__in=Journal.objects.live().exclude(pk=facts.journal.pk),
        side=JournalLine.Side.PAYER,
        for_month__in=months,
    )
    known: dict[tuple[object, ...], tuple[str, int]] = {}
    for *said, number, line in earlier.order_by("journal", "number").values_list(*_SAID, "journal__number", "number"):
        known[tuple(said)] = (number, line)
    for line in facts.payers:
        if found := known.get(tuple(getattr(line, name) for name in _SAID)):
            journal, number = found
            yield _as_warning(
                _of(
                    line,
                    "duplicate",
                    f"Line {number:,} of {journal} says the same: {line.fund_org}, {line.description}.",
                    then=NextStep("show_journals", {"period": facts.journal.period.iso_month}),
                )
            )


_SAID = ("fund_org", "natural_account", "debit", "credit", "description", "for_month", "pi_email", "project_code")


def _segments_of(line: JournalLine, pattern: str) -> dict[str, str]:
    """Return what lists can be of: the parts of a line's fund/org, by a layout's own pattern if it has one."""
    parts = line.segments
    if pattern:
        found = compiled(pattern).fullmatch(line.fund_org)
        parts = {name: text or "" for name, text in found.groupdict().items()} if found else {}
    return {**parts, valid_values.FUND_ORG: line.fund_org, valid_values.ACCOUNT: line.natural_account}


class _Services:
    """The first and last day of service of a fund/org in a month: those of its charges, else the whole month."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[datetime.date, datetime.date]] = {}

    def of(self, fund_org: str, month: str) -> tuple[datetime.date, datetime.date]:
        if (fund_org, month) not in self._found:
            first = datetime.date.fromisoformat(f"{month}-01")
            self._found[fund_org, month] = self._of_charges(fund_org, first) or (first, last_day_of(first))
        return self._found[fund_org, month]

    def _of_charges(self, fund_org: str, month: datetime.date) -> tuple[datetime.date, datetime.date] | None:
        period = BillingPeriod.objects.filter(month=month).first()
        if period is None:
            return None
        charges = Charge.objects.in_month(period).chargeable().filter(fund_org=fund_org, source__is_journaled=True)
        found = charges.order_by().aggregate(first=Min("charge_period_start"), last=Max("charge_period_start"))
        if found["first"] is None:
            return None
        return timezone.localdate(found["first"]), timezone.localdate(found["last"])


def _of(
    line: JournalLine,
    check: str,
    message: str,
    *,
    field: str = "",
    value: str = "",
    then: NextStep | None = None,
) -> Finding:
    return Finding(check, message, line=line.number, field=field, value=value, about=line.payer_key, then=then)


def _as_warning(found: Finding) -> Finding:
    return Finding(**{**vars(found), "is_warning": True})


def counted(findings: Iterable[Finding]) -> list[tuple[str, int]]:
    """Return how many findings there are of each check, in their order."""
    return list(Counter(each.title for each in findings).items())


CHECKS = (accounting, pattern, valid_value, fund_dates, posting_date, balance, duplicate)
