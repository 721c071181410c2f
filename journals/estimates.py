"""What an accrual holds that no charge says yet: amounts that a person enters for files that wait or did not come."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from billing.errors import BillingError
from billing.fields import AmountSum
from billing.models import BillingPeriod, PayerLine, Policy, Source
from billing.money import is_whole, plain, written
from billing.readers.amounts import decimal_of
from billing.readers.values import BadValue
from billing.reports.asking import moved
from billing.reports.unposted import not_imported
from billing.texts import long_month, quoted

# With a reason of this length a line's description fits beside the longest name of a source.
MOST, LONGEST_REASON, LARGEST = 200, 90, Decimal(10) ** 9
_FORM = "Write source, fund/org, amount and reason with commas between them, such as: hpc, BIO-001, 1200.00, As in May"


class EstimateRefused(BillingError):
    """An estimate that does not say what is to be accrued: for whom, of what, how much and why."""


@dataclass(frozen=True)
class Estimate:
    """An amount of a source (its name) that a fund/org is expected to be charged, and why that much."""

    source: str
    fund_org: str
    amount: Decimal
    reason: str

    def __str__(self) -> str:
        reason = f'"{self.reason.replace(chr(34), chr(34) * 2)}"' if {",", '"'} & {*self.reason} else self.reason
        return f"{self.source}, {self.fund_org}, {plain(self.amount)}, {reason}"

    def as_data(self) -> dict[str, str]:
        """As the journal and the audit log keep it."""
        return asdict(self) | {"amount": plain(self.amount)}


def of_data(kept: Iterable[dict[str, Any]]) -> tuple[Estimate, ...]:
    """Return estimates as a journal keeps them."""
    return tuple(Estimate(**each | {"amount": Decimal(each["amount"])}) for each in kept)


def read(lines: Sequence[str]) -> tuple[Estimate, ...]:
    """Return the estimates that lines say: source, fund/org, amount and reason. Empty lines count for nothing.

    Raises EstimateRefused, which names each line that is wrong.
    """
    currency = Policy.objects.current().currency
    sources = {each.name: each for each in Source.objects.all()}
    found: list[Estimate] = []
    problems = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            estimate = _read(line, sources, currency)
            if any((each.source, each.fund_org) == (estimate.source, estimate.fund_org) for each in found):
                raise BadValue(f"{estimate.source} has {estimate.fund_org} on a line above. Add them up on one line.")
            found.append(estimate)
        except BadValue as error:
            problems.append(f"Estimate {number}: {error}")
    if len(found) > MOST:
        problems.append(f"There are {len(found)} estimates. Enter {MOST} at most.")
    if problems:
        raise EstimateRefused(" ".join(problems))
    return tuple(found)


def _read(line: str, sources: dict[str, Source], currency: str) -> Estimate:
    """Return what one line says. Raises BadValue."""
    (values,) = csv.reader([line], skipinitialspace=True)
    if len(values) != 4:
        more = " Put a reason with commas into quotes, and no comma into an amount." if len(values) > 4 else ""
        raise BadValue(f"{quoted(line)} has {len(values)} of 4 values. {_FORM}.{more}")
    name, fund_org, amount, reason = (value.strip() for value in values)
    source = sources.get(name)
    if source is None:
        raise BadValue(f"There is no source {quoted(name)}. There are {', '.join(sorted(sources))}.")
    if not source.is_journaled:
        raise BadValue(f"{source.label} is only shown, and in no journal.")
    if not fund_org or len(fund_org) > 64:
        raise BadValue(f"Name the fund/org, with 64 characters at most. {_FORM}.")
    parsed = decimal_of(amount)
    if not parsed or not is_whole(parsed, currency) or abs(parsed) >= LARGEST:
        raise BadValue(f"{quoted(amount)} is no amount in {currency} other than 0. Write it such as 1200.00.")
    if not reason or len(reason) > LONGEST_REASON:
        raise BadValue(f"Say why it is this much, in {LONGEST_REASON} characters at most. The reason is kept.")
    return Estimate(name, fund_org, parsed, reason)


def told(estimates: Iterable[Estimate], currency: str) -> tuple[str, ...]:
    """Return estimates in sentences."""
    return tuple(
        f"Entered: {written(each.amount, currency)} {currency} of {each.source} for {each.fund_org}. {each.reason}"
        for each in estimates
    )


def as_last_month(period: BillingPeriod) -> tuple[Estimate, ...]:
    """Return what sources charged each fund/org the month before, of those that have nothing of a month yet.

    It is where somebody begins who has nothing better: what they accrue, they look at and enter.
    """
    missing = {source.pk: source.name for _, source in not_imported({period.pk: period})}
    before = moved(period.month, -1)
    rows = (
        PayerLine.objects.filter(period__month=before, source__in=missing, customer__isnull=True)
        .filter(kind__in=(PayerLine.Kind.CHARGE, PayerLine.Kind.SHARED))
        .exclude(fund_org="")
        .order_by()
        .values_list("source", "fund_org")
        .annotate(total=AmountSum("charged"))
    )
    found = [
        Estimate(missing[source], fund_org, total, f"As in {long_month(before)}")
        for source, fund_org, total in rows
        if total
    ]
    return tuple(sorted(found, key=lambda each: (each.source, each.fund_org)))
