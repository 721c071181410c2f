"""A correction being put together: its checks, its lines, and how it is stored."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Required, TypedDict

from .. import audit, questions
from ..audit import Actor
from ..audit.snapshots import snapshot
from ..clocks import Clocks
from ..errors import BillingError, ReasonMissing
from ..models import BillingPeriod, Charge, Correction, CorrectionLine, PayerLine, Policy, Question
from ..money import ZERO, plain
from ..months import closing
from ..texts import cleaned, cleaned_lines, long_month
from .dates import month_for, service_days
from .finding import NothingToCorrect, lines_with_owners
from .limits import AmountRefused, NotCorrectable, correctable, require_correctable, require_part
from .payers import require_fund, require_justification


class SecondPersonNeeded(BillingError):
    """The policy asks for another person than the one who acts."""


class Particulars(TypedDict, total=False):
    """What every correction may say, whatever its kind, and who enters it.

    `charged_in` is its month; not given, the one that `month_for` says. `question` is what it answers.
    With `dry_run` nothing is stored.
    """

    reason: Required[str]
    printed_text: str
    charged_in: BillingPeriod | None
    justification: str
    charge: Charge | None
    question: Question | None
    dry_run: bool
    actor: Required[Actor]
    now: Required[datetime.datetime]


@dataclass(frozen=True)
class Entered:
    """A correction and its lines; of a dry run they are not stored."""

    correction: Correction
    lines: tuple[CorrectionLine, ...]
    is_dry_run: bool = False


@dataclass
class Plan:
    """A correction being put together. Its months are locked by `start`, then it gets its lines, then it is entered."""

    kind: Correction.Kind
    charged_in: BillingPeriod
    reason: str
    printed_text: str
    justification: str
    charge: Charge | None
    dry_run: bool
    actor: Actor
    now: datetime.datetime
    question: Question | None = None
    amount: Decimal = ZERO
    reverses: Correction | None = None
    lines: list[CorrectionLine] = field(default_factory=list)
    for_period: BillingPeriod | None = None
    # What follows from what was decided before: no second person is asked.
    is_of_course: bool = False
    days: tuple[datetime.date, datetime.date] | None = None

    @classmethod
    def of(cls, kind: Correction.Kind, corrected: Iterable[PayerLine], how: Particulars) -> "Plan":
        """Return the plan of a kind of correction. Raises NoOpenMonth, ReasonMissing or SecondPersonNeeded."""
        return cls(
            kind=kind,
            charged_in=how.get("charged_in") or month_for(corrected),
            reason=how["reason"],
            printed_text=how.get("printed_text", ""),
            justification=how.get("justification", ""),
            charge=how.get("charge"),
            question=how.get("question"),
            dry_run=how.get("dry_run", False),
            actor=how["actor"],
            now=how["now"],
        )

    def __post_init__(self) -> None:
        self.policy = Policy.objects.current()
        self.reason, self.justification = cleaned_lines(self.reason), cleaned_lines(self.justification)
        self.printed_text = cleaned(self.printed_text)
        if not self.reason:
            raise ReasonMissing("Say why: the reason is kept with the correction, for staff alone.")
        if self.policy.corrections_need_second_person and self.actor.user is None and not self.is_of_course:
            raise SecondPersonNeeded(
                "The policy asks for a second person, so the first has to be known: say which user enters it."
            )

    def start(self, for_period: BillingPeriod, corrected: Iterable[int | None] = ()) -> None:
        """Lock the question that is answered, if one is, and then the months.

        1. Those whose payer lines are corrected, in the order of their numbers: two who correct the same line would
           both see all that is left of it; so one waits.
        2. The month it is charged in: it cannot be closed until the correction is stored. Raises closing.PeriodClosed.
        """
        if self.question:
            self.question = questions.require_to_correct(self.question)
        ids = sorted({pk for pk in corrected if pk})
        list(BillingPeriod.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk"))
        self.charged_in = closing.require_open(self.charged_in)[0]
        self.for_period = for_period
        self.days = Clocks().days_of(self.charge) if self.charge else (for_period.month, for_period.last_day)

    def parts(self, lines: Sequence[PayerLine], amount: Decimal | None) -> list[tuple[PayerLine, Decimal]]:
        """Lock the months, and return how much of each line is corrected: all that is left, or the amount of one."""
        _require_together(lines, amount)
        self.start(lines[0].for_period, corrected=[line.period_id for line in lines])
        self._set_days(lines)
        # Read again, now that the months are locked.
        fresh = correctable(lines_with_owners().filter(pk__in=[line.pk for line in lines]).order_by("key"))
        # Of a whole reference there are lines of 0.00 too, such as what is subsidized whole.
        asked = [each for each in fresh if each.left or len(lines) == 1]
        for each in asked:
            require_correctable(each, kind=self.kind, charged_in=self.charged_in)
            if amount is not None:
                require_part(each, amount)
        parts = [(each.line, each.left if amount is None else amount) for each in asked]
        if not any(part for _, part in parts):
            raise AmountRefused("Nothing is left to correct: corrections took all of it back already.")
        return [(line, part) for line, part in parts if part]

    def _set_days(self, lines: Sequence[PayerLine]) -> None:
        """Keep the days of service of what is corrected: of the one charge it is about, or of all of them."""
        if self.charge is None:
            spans = [service_days(line) for line in lines]
            self.days = (min(first for first, _ in spans), max(last for _, last in spans))
        elif {(self.charge.charged_in_id, self.charge.source_id)} != {
            (line.period_id, line.source_id) for line in lines
        }:
            raise NotCorrectable(f"{str(self.charge).capitalize()} is not among what these lines charged.")

    def take_back(self, line: PayerLine, amount: Decimal, kind: str) -> None:
        """Relieve a payer of a part of a line."""
        back = line_for(line, -amount, kind)
        back.corrects_period, back.corrects_key = line.period, line.key
        self.lines.append(back)
        self.amount += amount

    def charge_to(self, lines: Iterable[CorrectionLine]) -> None:
        """Have others pay, who have to be able to. Raises FundRefused."""
        assert self.days
        for line in lines:
            # A customer pays by invoice.
            if not line.customer_id:
                require_fund(line.fund_org, days=self.days, posted=self.charged_in.last_day, policy=self.policy)
            self.lines.append(line)

    def enter(self, gesture: audit.Gesture) -> Entered:
        """Store the correction with its lines: charged at once, or proposed if the policy wants a second person."""
        assert self.for_period
        assert self.days
        if not self.amount:
            raise AmountRefused("What is to be moved comes to 0.00 altogether. Enter its lines one by one.")
        if not self.justification:
            funds = {line.fund_org for line in self.lines if line.amount > 0 and line.fund_org}
            require_justification(funds, last_day=self.days[1], now=self.now, policy=self.policy)
        correction = self._correction(gesture)
        for number, line in enumerate(self.lines, start=1):
            line.correction, line.number = correction, number
            line.clean_fields(exclude=["correction"])
        if not self.dry_run:
            correction.save()
            for line in self.lines:
                line.correction = correction
            CorrectionLine.objects.bulk_create(self.lines)
            gesture.record("correction.entered", correction, after=_facts(correction, self.lines))
            if self.question:
                questions.correction_entered(self.question, correction, gesture)
        return Entered(correction, tuple(self.lines), self.dry_run)

    def _correction(self, gesture: audit.Gesture) -> Correction:
        asks = self.policy.corrections_need_second_person and not self.is_of_course
        is_proposed = asks or self._moves_sponsored()
        return Correction(
            kind=self.kind,
            charged_in=self.charged_in,
            for_period=self.for_period,
            currency=self.policy.currency,
            amount=self.amount,
            total=sum((line.amount for line in self.lines), ZERO),
            reason=self.reason,
            printed_text=self.printed_text,
            justification=self.justification,
            charge=self.charge,
            question=self.question,
            reverses=self.reverses,
            needs_second_person=is_proposed,
            state=Correction.State.PROPOSED if is_proposed else Correction.State.APPROVED,
            entered_at=self.now,
            entered_by=self.actor.user,
            entered_by_name=self.actor.name,
            decided_at=None if is_proposed else self.now,
            decided_by=None if is_proposed else self.actor.user,
            decided_by_name="" if is_proposed else self.actor.name,
            gesture=gesture.id,
        )

    def _moves_sponsored(self) -> bool:
        """Tell whether a question is answered by moving a sponsored award, by somebody who may not approve that."""
        if self.question is None or self.kind != Correction.Kind.TRANSFER or questions.may_approve(self.actor):
            return False
        return questions.moves_sponsored({line.fund_org for line in self.lines})


def line_for(line: PayerLine, amount: Decimal, kind: str) -> CorrectionLine:
    """Return a line of a correction for the payer of a payer line and the same service."""
    return CorrectionLine(
        kind=kind,
        source=line.source,
        service_name=line.service_name,
        amount=amount,
        pi=line.pi,
        project=line.project,
        fund_org=line.fund_org,
        customer=line.customer,
        natural_account=line.natural_account,
    )


def _require_together(lines: Sequence[PayerLine], amount: Decimal | None) -> None:
    """Refuse lines that are not of one correction."""
    if not lines:
        raise NothingToCorrect("Say which payer lines are corrected.")
    months = sorted({line.for_period.month for line in lines})
    if len(months) > 1:
        raise NotCorrectable(
            f"The lines are for {', '.join(map(long_month, months))}: make a correction for each month."
        )
    if amount is not None and len(lines) > 1:
        raise AmountRefused(f"An amount is of one line, and these are {len(lines)}: name one, or leave it out.")


def _facts(correction: Correction, lines: Sequence[CorrectionLine]) -> dict[str, Any]:
    """Return a correction as the audit log keeps it."""
    facts = {name: value for name, value in snapshot(correction, with_links=False).items() if value not in (None, "")}
    return {
        **facts,
        "charged_in": correction.charged_in.iso_month,
        "for_period": correction.for_period.iso_month,
        "lines": [
            {
                "kind": str(line.kind),
                "pi": line.pi.email if line.pi else "",
                "project": line.project.code if line.project else "",
                "fund_org": line.fund_org,
                **({"customer": line.customer.number} if line.customer else {}),
                "source": line.source.name,
                "natural_account": line.natural_account,
                "service": line.service_name,
                "amount": plain(line.amount),
                **({"corrects": line.corrects_key} if line.corrects_key else {}),
            }
            for line in lines
        ],
    }
