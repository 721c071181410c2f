"""A payer line: where it is printed, and how its cents came of charges or corrections."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils import timezone

from .. import charging
from ..charging import Making
from ..errors import BillingError
from ..models import BillingPeriod, Charge, Correction, CorrectionLine, PayerLine, Policy
from ..models.charges import ChargeQuerySet
from ..money import ZERO, named, plain
from ..texts import long_date, shown
from .charges import WITH_PAST
from .documents import DocumentLine, holding


@dataclass(frozen=True)
class TracedLine:
    """A payer line: where it is printed, and the groups of charges, or the corrections, that its cents come from.

    `line` is None where charging made it no more (`key` and `period` are what a document keeps).
    """

    key: str
    period: BillingPeriod
    line: PayerLine | None
    documents: tuple[DocumentLine, ...]
    makings: tuple[Making, ...] = ()
    entered: tuple[CorrectionLine, ...] = ()
    corrected_by: tuple[CorrectionLine, ...] = ()
    problem: str = ""

    @property
    def computed(self) -> Decimal:
        """What its charges and corrections make of it as they stand."""
        return sum((each.charged for each in self.makings), ZERO) + sum((each.amount for each in self.entered), ZERO)

    @property
    def is_current(self) -> bool:
        return self.line is not None and self.line.charged == self.computed

    @property
    def charge_count(self) -> int:
        return sum(making.count for making in self.makings)

    @property
    def steps(self) -> list[list[str]]:
        """How the cents came about, in sentences, group by group."""
        home = self.line.currency if self.line else ""
        return [steps_of(making, key=self.key, home=home) for making in self.makings]

    def as_data(self) -> dict[str, Any]:
        line = self.line
        return {
            "key": self.key,
            "period": self.period.iso_month,
            "reference": line.reference.text if line else None,
            "kind": line.kind if line else None,
            "pi": line.pi.email if line and line.pi else None,
            "project": line.project.code if line and line.project else None,
            "fund_org": line.fund_org if line else None,
            "customer": line.customer.number if line and line.customer else None,
            "source": line.source.name if line else None,
            "service": line.service_name if line else None,
            "charged": line.charged if line else None,
            "currency": line.currency if line else None,
            "computed": self.computed if self.makings or self.entered else None,
            "makings": [
                {
                    "charges": making.count,
                    "sum": making.charged_sum,
                    "currency": making.currency,
                    "rate": making.rate,
                    "converted": making.converted,
                    "cents": making.cents,
                    "rounding": making.rounding,
                    "split": making.split,
                    "shares": [
                        {
                            "key": share.key,
                            "fund_org": share.fund_org,
                            "percent": share.percent,
                            "measure": share.measure,
                            "charged": share.charged,
                        }
                        for share in making.shares
                    ],
                    "charged": making.charged,
                }
                for making in self.makings
            ],
            "corrections": [_correction_data(each) for each in self.entered],
            "corrected_by": [_correction_data(each) for each in self.corrected_by],
            "documents": [each.as_data() for each in self.documents],
        }

    def as_text(self) -> str:
        line = self.line
        if line is None:
            lines = [f"payer line {shown(self.key)} of {self.period}: {self.problem}"]
        else:
            owner = " ".join(
                filter(None, (line.pi.email if line.pi else "the center", line.project.code if line.project else ""))
            )
            lines = [
                f"payer line of {self.period}, reference {line.reference.text}: {named(line.charged, line.currency)}, "
                f"{line.get_kind_display().lower()}",
                f"  {owner}, {line.paid_by}, {line.source.name} {shown(line.service_name)}".rstrip(),
                f"  key {shown(self.key)}",
            ]
        lines += [f"  {sentence}" for steps in self.steps for sentence in steps]
        lines += [f"  {_correction_text(each)}" for each in self.entered]
        lines += [f"  corrected by {_correction_text(each)}" for each in self.corrected_by]
        if (self.makings or self.entered) and not self.is_current:
            home = Policy.objects.current().currency
            lines.append(f"  Its charges come to {plain(self.computed, home)} now: generate brings it up to date.")
        lines += [
            f"  {each.kind} {each.name}, {each.state.lower()}: {named(each.amount, each.currency)}, {each.text}"
            for each in self.documents
        ]
        return "\n".join(lines)

    def charges(self) -> ChargeQuerySet:
        """Return all its charges, each with what counts of it as `counted`; the costliest groups do not matter."""
        found = [making.charges.select_related(*WITH_PAST) for making in self.makings]
        return found[0].union(*found[1:]) if len(found) > 1 else found[0] if found else Charge.objects.none()


def line_of(period: BillingPeriod, key: str) -> TracedLine:
    """Return a payer line with where it is printed and what it is made of."""
    line = (
        PayerLine.objects.select_related(
            "period", "for_period", "pi", "project", "source", "customer", "reference__period"
        )
        .filter(period=period, key=key)
        .first()
    )
    documents = tuple(holding(period, [key]))
    corrected = tuple(
        CorrectionLine.objects.select_related("correction__charged_in")
        .filter(corrects_period=period, corrects_key=key)
        .exclude(correction__state=Correction.State.REJECTED)
        .order_by("correction", "number")
    )
    if line is None:
        problem = (
            "No charge makes this payer line any more: what it was made of is charged otherwise now, or withdrawn."
        )
        return TracedLine(key, period, None, documents, corrected_by=corrected, problem=problem)
    if line.kind in PayerLine.ENTERED:
        return TracedLine(
            key, period, line, documents, entered=tuple(charging.corrections_of(line)), corrected_by=corrected
        )
    try:
        makings = tuple(charging.makings_of(line))
    except BillingError as error:
        return TracedLine(key, period, line, documents, corrected_by=corrected, problem=str(error))
    return TracedLine(key, period, line, documents, makings, corrected_by=corrected)


def steps_of(making: Making, *, key: str, home: str) -> list[str]:
    """Say in sentences how the exact sum of a group became the cents of the payer line of this key."""
    charges = "1 charge" if making.count == 1 else f"{making.count:,} charges"
    steps = [f"{charges} {'costs' if making.count == 1 else 'add up to'} {named(making.charged_sum, making.currency)}."]
    if making.rate != 1 or making.currency != home:
        steps.append(
            f"At {making.rate.normalize():f} {home} for one {making.currency} that is {named(making.converted, home)}."
        )
    if making.rounding:
        steps.append(
            f"Rounded once, halves away from zero: {named(making.cents, home)}; "
            f"{plain(making.rounding, home)} is the rounding."
        )
    else:
        steps.append(f"That is {named(making.cents, home)}, with nothing to round.")
    mine = next((share for share in making.shares if share.key == key), None)
    if making.split:
        shares = "; ".join(
            f"{share.fund_org} {share.percent.normalize():f}% = {plain(share.charged, home)}"
            for share in making.shares
            if share.percent is not None
        )
        steps.append(f"Split {making.split} shares the cents, the largest remainders first: {shares}.")
    if making.is_shared and mine and not mine.is_subsidy:
        whole = sum((share.measure for share in making.shares if share.measure and not share.is_subsidy), ZERO)
        steps.append(
            f"Shared by what the source charged each of {len(making.shares):,}: {plain(mine.measure or ZERO, home)} of "
            f"{named(whole, home)} makes {named(making.charged, home)}."
        )
    if mine and mine.is_subsidy:
        steps.append(
            f"{mine.fund_org} pays the subsidy: contracted "
            f"{named(making.contracted_sum, making.currency)} less what is charged = {named(making.charged, home)}."
        )
    return steps


def _correction_data(line: CorrectionLine) -> dict[str, Any]:
    correction = line.correction
    return {
        "correction": correction.pk,
        "kind": correction.kind,
        "amount": line.amount,
        "charged_in": correction.charged_in.iso_month,
        "reason": correction.reason,
        "by": correction.entered_by_name,
        "at": correction.entered_at,
        "decided_by": correction.decided_by_name,
    }


def _correction_text(line: CorrectionLine) -> str:
    of = line.correction
    entered = long_date(timezone.localtime(of.entered_at))
    approved = f", approved by {of.decided_by_name}" if of.needs_second_person and of.decided_by_name else ""
    return (
        f"{of} in {of.charged_in}: {named(line.amount, of.currency)}, {of.get_kind_display().lower()} by "
        f"{of.entered_by_name} on {entered}{approved}: {' '.join(of.reason.split())}"
    )
