"""Entering corrections: a transfer, a refund, a write-off or a manual charge."""

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Unpack

from .. import audit, money
from ..attribution import naming
from ..audit import Actor
from ..errors import MissingCenterFundOrg
from ..models import (
    Allocation,
    BillingPeriod,
    Correction,
    CorrectionLine,
    Customer,
    PayerLine,
    Person,
    Policy,
    Project,
    Source,
)
from ..money import ZERO, plain
from ..texts import cleaned
from .limits import AmountRefused, require_cents, require_unused
from .payers import HUNDRED, FundRefused
from .plan import Entered, Particulars, Plan, line_for


def add_transfer(
    *,
    lines: Sequence[PayerLine],
    to: Mapping[str, Decimal] | None = None,
    pi: Person | None = None,
    project: Project | None = None,
    natural_account: str = "",
    amount: Decimal | None = None,
    **how: Unpack[Particulars],
) -> Entered:
    """Move what payer lines charged to other payers; it sums to zero.

    `to` maps fund/orgs to percents that sum to 100; empty, the fund/org stays and the PI, the project or
    the natural account changes. A customer of the new PI or project then gets an invoice instead. What of it
    falls to who pays already is not moved. Without `amount`, all that is left of the lines is moved; an amount
    needs a single line and has its sign.

    Raises closing.PeriodClosed, ReasonMissing, NotCorrectable, AmountRefused, FundRefused, and
    JustificationMissing where a sponsored award is to pay later than the policy's days after the service
    (a common rule for cost transfers, after 2 CFR 200.405 and the agencies' grants policies).
    """
    shares = dict(to or {})
    if shares and sum(shares.values()) != HUNDRED:
        raise FundRefused(f"The shares sum to {plain(sum(shares.values(), ZERO))} percent, not to 100.")
    if not (shares or pi or project or natural_account):
        raise FundRefused("Say where it goes: a fund/org, a PI, a project or an account code.")
    plan = Plan.of(Correction.Kind.TRANSFER, lines, how)
    with audit.gesture(actor=plan.actor, now=plan.now) as gesture:
        for line, part in plan.parts(lines, amount):
            goes: dict[str, Decimal] = money.split(part, shares, line.currency) if shares else {line.fund_org: part}
            moved = []
            for fund_org, share in goes.items():
                there = line_for(line, share, PayerLine.Kind.TRANSFER)
                there.fund_org, there.natural_account = fund_org, natural_account or line.natural_account
                there.pi, there.project = pi or line.pi, project or line.project
                there.customer = None if shares else _customer_paying(there, line)
                if there.customer:
                    there.fund_org = ""
                elif not there.fund_org:
                    raise FundRefused(f"{line.customer} does not pay for others. Say which fund/org pays.")
                if share and _payer_of(there) != _payer_of(line):
                    moved.append(there)
            if moved:
                plan.take_back(line, sum((each.amount for each in moved), ZERO), PayerLine.Kind.TRANSFER)
                plan.charge_to(moved)
        if not plan.lines:
            raise FundRefused("Nothing would move: the cost is there already.")
        return plan.enter(gesture)


def _payer_of(line: PayerLine | CorrectionLine) -> tuple[int | None, int | None, str, int | None, str]:
    return line.pi_id, line.project_id, line.fund_org, line.customer_id, line.natural_account


def _customer_paying(there: CorrectionLine, line: PayerLine) -> Customer | None:
    """Return who gets an invoice for what moves from a payer line to an owner without naming a fund/org."""
    if (there.pi_id, there.project_id) == (line.pi_id, line.project_id):
        return line.customer
    assert there.pi
    return _customer_of(there.pi, there.project)


def _customer_of(pi: Person, project: Project | None) -> Customer | None:
    return (project.customer if project else None) or pi.customer


def add_refund(*, lines: Sequence[PayerLine], amount: Decimal | None = None, **how: Unpack[Particulars]) -> Entered:
    """Give back what payer lines charged, out of the source's recovery; all that is left, or an amount of one.

    Of a balance that was bought, what was not used yet.

    Raises closing.PeriodClosed, ReasonMissing, NotCorrectable or AmountRefused.
    """
    plan = Plan.of(Correction.Kind.REFUND, lines, how)
    with audit.gesture(actor=plan.actor, now=plan.now) as gesture:
        for line, part in plan.parts(lines, amount):
            require_unused(line, part)
            plan.take_back(line, part, PayerLine.Kind.REFUND)
        return plan.enter(gesture)


def add_write_off(*, lines: Sequence[PayerLine], amount: Decimal | None = None, **how: Unpack[Particulars]) -> Entered:
    """Have the center's own fund/org pay what payer lines charged: the recovery stands, the PI is relieved.

    Raises closing.PeriodClosed, ReasonMissing, NotCorrectable, AmountRefused, or
    MissingCenterFundOrg where the policy names no fund/org of the center's own.
    """
    plan = Plan.of(Correction.Kind.WRITE_OFF, lines, how)
    if not (center := plan.policy.center_fund_org):
        raise MissingCenterFundOrg(
            "A write-off is charged to the center's own fund/org, and the policy names none. Set it in the policy."
        )
    with audit.gesture(actor=plan.actor, now=plan.now) as gesture:
        for line, part in plan.parts(lines, amount):
            plan.take_back(line, part, PayerLine.Kind.WRITE_OFF)
            borne = line_for(line, part, PayerLine.Kind.BORNE)
            borne.fund_org, borne.customer, borne.pi, borne.project = center, None, None, None
            # The policy chose this fund, and charges to the center go to it unasked.
            plan.lines.append(borne)
        return plan.enter(gesture)


def add_manual_charge(
    *,
    pi: Person,
    fund_org: str,
    source: Source,
    amount: Decimal,
    project: Project | None = None,
    for_period: BillingPeriod | None = None,
    service_name: str = "",
    natural_account: str = "",
    **how: Unpack[Particulars],
) -> Entered:
    """Charge somebody for a service of a source that no file brought; of the month it is charged in, or of another.

    Without a fund/org it goes on the invoice of the project's customer, or of the PI's.

    Raises closing.PeriodClosed, ReasonMissing, AmountRefused, FundRefused or JustificationMissing.
    """
    home = Policy.objects.current().currency
    require_cents(amount, home)
    if amount <= 0:
        raise AmountRefused(f"A manual charge is above zero, not {plain(amount, home)}. Give money back with a refund.")
    fund_org, natural_account = naming.typed_code(fund_org), naming.typed_code(natural_account)
    customer = None if fund_org else _customer_of(pi, project)
    if not (fund_org or customer):
        raise FundRefused("Say which fund/org pays.")
    plan = Plan.of(Correction.Kind.MANUAL, [], how)
    with audit.gesture(actor=plan.actor, now=plan.now) as gesture:
        plan.start(for_period or plan.charged_in)
        line = CorrectionLine(
            kind=PayerLine.Kind.MANUAL,
            pi=pi,
            project=project,
            fund_org=fund_org,
            customer=customer,
            source=source,
            natural_account=natural_account or source.debit_account,
            service_name=cleaned(service_name),
            amount=amount,
        )
        plan.amount = amount
        plan.charge_to([line])
        return plan.enter(gesture)


def add_prepaid(
    *,
    allocation: Allocation,
    kind: PayerLine.Kind,
    source: Source,
    amount: Decimal,
    for_period: BillingPeriod,
    charged_in: BillingPeriod,
    reason: str,
    actor: Actor,
    now: datetime.datetime,
) -> Entered:
    """Move money that a balance was paid before with from deferred revenue to the recovery of a source.

    `kind` is PREPAID_USE or PREPAID_EXPIRED. No second person is asked: it follows from the use, or from a date.
    Raises closing.PeriodClosed.
    """
    plan = Plan(
        kind=Correction.Kind.PREPAID,
        charged_in=charged_in,
        reason=reason,
        printed_text="",
        justification="",
        charge=None,
        dry_run=False,
        is_of_course=True,
        actor=actor,
        now=now,
    )
    with audit.gesture(actor=actor, now=now) as gesture:
        plan.start(for_period)
        plan.amount = amount
        # The purchase chose this fund/org: it is asked nothing more.
        project = allocation.project
        line = CorrectionLine(
            kind=kind,
            pi=allocation.pi or (project.pi if project else None),
            project=project,
            fund_org=allocation.deferred_fund_org,
            source=source,
            natural_account=allocation.deferred_account,
            service_name=f"Prepaid balance {allocation.code}",
            amount=amount,
        )
        plan.lines.append(line)
        return plan.enter(gesture)
