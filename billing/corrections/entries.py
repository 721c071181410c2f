"""Entries: what staff correct of months that stand, entered, approved, rejected and reversed."""

import datetime
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Max, Min, Q
from django.utils import timezone

from .. import audit, charging, money, review
from ..attribution import naming, reference_of
from ..attribution.checks import Attributed, check_attribution
from ..audit import Actor
from ..audit.snapshots import snapshot
from ..clocks import Clocks, days_of, zone_named
from ..currencies import minor_units
from ..errors import BillingError, MissingCenterFundOrg, NextStep, ReasonMissing, WrongState
from ..models import (
    BillingPeriod,
    BillingReference,
    Charge,
    Entry,
    EntryLine,
    FundingSource,
    PayerLine,
    Person,
    Policy,
    Project,
    Source,
)
from ..models.periods import month_text
from ..money import ZERO, is_whole, plain
from ..months import closing
from ..texts import cleaned, cleaned_lines

HUNDRED = Decimal(100)
REFERENCE = re.compile(r"\d{4}-\d{2}-\d{1,9}")
# What keeps a fund from bearing a cost; the other reasons of a review are questions to people.
ABOUT_FUNDS = frozenset({"invalid_fund_org", "unknown_fund_org", "fund_not_valid"})


class JustificationMissing(BillingError):
    """A sponsored award is to bear a cost long after the service, and nobody says why."""


class NothingToCorrect(BillingError):
    """No payer line is meant by what was asked."""


class NotCorrectable(BillingError):
    """A payer line cannot be corrected in this way."""


class AmountRefused(BillingError):
    """An amount is not in whole cents, or more than is left of what was charged."""


class FundRefused(BillingError):
    """A fund/org cannot bear the cost."""


class NoOpenMonth(BillingError):
    """No month takes changes that could bear an entry."""


class SecondPersonNeeded(BillingError):
    """The policy asks for another person than the one who acts."""


@dataclass(frozen=True)
class Entered:
    """An entry and its lines; of a dry run they are not stored."""

    entry: Entry
    lines: tuple[EntryLine, ...]
    is_dry_run: bool = False


@dataclass(frozen=True)
class Correctable:
    """A payer line, and what is left to be corrected of it."""

    line: PayerLine
    taken: Decimal

    @property
    def left(self) -> Decimal:
        return self.line.charged - self.taken


@dataclass(frozen=True)
class Place:
    """Where a payer line is to be seen: the line of a statement or a journal, and its page."""

    label: str
    url: str


# How apps further on name payer lines: by the line of a statement, say. A finder returns the month
# that bears the line and its key, or None for a text that is not of its kind.
LineFinder = Callable[[str], tuple[BillingPeriod, str] | None]
_line_finders: dict[str, LineFinder] = {}


def register_line_finder(name: str, finder: LineFinder) -> None:
    """Have `finder` asked which payer line a text means; a second one of the same name replaces it."""
    _line_finders[name] = finder


# Where payer lines are shown, by apps further on: of a month and a key.
PlaceFinder = Callable[[BillingPeriod, str], list[Place]]
_place_finders: dict[str, PlaceFinder] = {}


def register_place_finder(name: str, finder: PlaceFinder) -> None:
    """Have `finder` asked where a payer line is shown; a second one of the same name replaces it."""
    _place_finders[name] = finder


def places_of(period: BillingPeriod, key: str) -> list[Place]:
    """Return the lines of statements and journals that show a payer line of a month."""
    return [place for name in sorted(_place_finders) for place in _place_finders[name](period, key)]


def lines_named(texts: Iterable[str]) -> list[PayerLine]:
    """Return the payer lines meant by texts, each as `line_named` takes it, or a reference: all it was charged.

    Raises NothingToCorrect.
    """
    found: dict[int, PayerLine] = {}
    for text in texts:
        if text.strip():
            lines = lines_of_reference(text) if REFERENCE.fullmatch(text.strip()) else [line_named(text)]
            found |= {line.pk: line for line in lines}
    if not found:
        raise NothingToCorrect("Say what is corrected: a line of a statement, a payer line, or a reference.")
    return list(found.values())


def line_named(text: str) -> PayerLine:
    """Return the payer line meant by a statement's number and line, by its own number, or by its key.

    Raises NothingToCorrect.
    """
    text = text.strip()
    lines = _lines_with_owners()
    for name in sorted(_line_finders):
        if found := _line_finders[name](text):
            period, key = found
            if line := lines.filter(period=period, key=key).first():
                return line
            raise NothingToCorrect(f"{text} is on no payer line of {period} any more: look at the newest statement.")
    if text.isdecimal():
        if line := lines.filter(pk=int(text[:18])).first():
            return line
    else:
        keyed = list(lines.filter(key=text).order_by("period__month"))
        if len(keyed) > 1:
            numbers = ", ".join(f"{line.pk} in {line.period}" for line in keyed)
            raise NothingToCorrect(f"Several months have a payer line of this key. Name one by its number: {numbers}.")
        if keyed:
            return keyed[0]
    raise NothingToCorrect(
        f"There is no payer line “{text}”. Name the line of a statement (2025-01-0007-1:3), a payer line's number, "
        "or its key; or a reference (2025-01-0007) for all of its lines."
    )


def lines_of_reference(
    text: str, *, fund_org: str = "", source: str = "", service_name: str | None = None
) -> list[PayerLine]:
    """Return the lines that users were charged under a reference such as 2025-01-0007, or some of them.

    Raises NothingToCorrect.
    """
    month, _, number = text.strip().rpartition("-")
    period = BillingPeriod.objects.named(month) if month.count("-") == 1 else None
    if period is None or not number.isdecimal():
        raise NothingToCorrect(f"“{text}” is no reference. Statements and the ledger print it: 2025-01-0007.")
    reference = BillingReference.objects.filter(period=period, number=int(number[:9])).first()
    if reference is None:
        raise NothingToCorrect(f"There is no reference {text} in {period}.")
    lines = _lines_with_owners().filter(reference=reference, kind__in=PayerLine.CHARGED, pi__isnull=False)
    if fund_org:
        lines = lines.filter(fund_org=fund_org)
    if source:
        lines = lines.filter(source__name=source)
    if service_name is not None:
        lines = lines.filter(service_name=service_name)
    found = list(lines.order_by("key"))
    if not found:
        raise NothingToCorrect(f"Nobody was charged anything like that under {text}.")
    return found


def correctable(lines: Iterable[PayerLine]) -> list[Correctable]:
    """Return payer lines with what entries took back of them already."""
    taken = _Taken()
    return [Correctable(line, taken.of(line.period_id, line.key)) for line in lines]


def month_for(corrected: Iterable[PayerLine | Entry] = ()) -> BillingPeriod:
    """Return the month to bear a correction: the first that takes changes after those that bear what it corrects.

    Where none comes after, the newest that takes changes. Raises NoOpenMonth.
    """
    taking = list(BillingPeriod.objects.taking_changes().order_by("month"))
    if not taking:
        raise _no_open_month(corrected)
    months = [each.charged_in if isinstance(each, Entry) else each.period for each in corrected]
    last = max((period.month for period in months), default=None)
    return next((period for period in taking if last and period.month > last), taking[-1])


def _no_open_month(corrected: Iterable[PayerLine | Entry]) -> NoOpenMonth:
    last = BillingPeriod.objects.shown().order_by("month").last()
    step = NextStep("open_period", {"period": month_text(last.next_month)}) if last else None
    return NoOpenMonth("No billing period takes changes. Open the month that is to bear the correction.", then=step)


def shares_from(text: str) -> dict[str, Decimal]:
    """Return who a transfer goes to, written as one fund/org or as `A=60; B=40`; raise review.BadSplit."""
    if "=" in text:
        return review.parse_shares(text)
    fund_org = naming.typed_code(text)
    return {fund_org: HUNDRED} if fund_org else {}


def project_coded(code: str) -> Project | None:
    """Return the project of a code, None for no code; raise FundRefused where there is none of it."""
    if not naming.typed_code(code):
        return None
    if project := Project.objects.coded(code).first():
        return project
    raise FundRefused(" ".join(str(each) for each in naming.unknown(project=code)))


def add_transfer(
    *,
    lines: Sequence[PayerLine],
    reason: str,
    printed_text: str = "",
    charged_in: BillingPeriod | None = None,
    to: Mapping[str, Decimal] | None = None,
    pi: Person | None = None,
    project: Project | None = None,
    natural_account: str = "",
    amount: Decimal | None = None,
    justification: str = "",
    charge: Charge | None = None,
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Entered:
    """Move what payer lines charged to other payers; it sums to zero.

    The month `charged_in` bears it; not given, the one that `month_for` says.

    `to` maps fund/orgs to percents that sum to 100; empty, the fund/org stays and the PI, the project or
    the natural account changes. What of it falls to who pays already is not moved. Without `amount`, all
    that is left of the lines is moved; an amount needs a single line and has its sign.

    Raises closing.PeriodClosed, ReasonMissing, NotCorrectable, AmountRefused, FundRefused, and
    JustificationMissing where a sponsored award is to pay later than the policy's days after the service
    (a common rule for cost transfers, after 2 CFR 200.405 and the agencies' grants policies).
    """
    shares = dict(to or {})
    if shares and sum(shares.values()) != HUNDRED:
        raise FundRefused(f"The shares sum to {plain(sum(shares.values(), ZERO))} percent, not to 100.")
    if not (shares or pi or project or natural_account):
        raise FundRefused("Say where it goes: a fund/org, a PI, a project or an account code.")
    plan = _Plan(
        Entry.Kind.TRANSFER,
        charged_in or month_for(lines),
        reason,
        printed_text,
        justification,
        charge,
        dry_run,
        actor,
        now,
    )
    with audit.gesture(actor=actor, now=now) as gesture:
        for line, part in plan.parts(lines, amount):
            goes: dict[str, Decimal] = money.split(part, shares, line.currency) if shares else {line.fund_org: part}
            moved = ZERO
            legs = []
            for fund_org, share in goes.items():
                leg = _leg(
                    line,
                    share,
                    PayerLine.Kind.TRANSFER,
                    fund_org=fund_org,
                    pi=pi or line.pi,
                    project=project or line.project,
                    natural_account=natural_account or line.natural_account,
                )
                if share and _payer_of(leg) != _payer_of(line):
                    legs.append(leg)
                    moved += share
            if legs:
                plan.take_back(line, moved, PayerLine.Kind.TRANSFER)
                plan.charge_to(legs)
        if not plan.lines:
            raise FundRefused("Nothing would move: the cost is there already.")
        return plan.enter(gesture)


def add_refund(
    *,
    lines: Sequence[PayerLine],
    reason: str,
    printed_text: str = "",
    charged_in: BillingPeriod | None = None,
    amount: Decimal | None = None,
    justification: str = "",
    charge: Charge | None = None,
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Entered:
    """Give back what payer lines charged, out of the source's recovery; all that is left, or an amount of one.

    Raises closing.PeriodClosed, ReasonMissing, NotCorrectable or AmountRefused.
    """
    plan = _Plan(
        Entry.Kind.REFUND,
        charged_in or month_for(lines),
        reason,
        printed_text,
        justification,
        charge,
        dry_run,
        actor,
        now,
    )
    with audit.gesture(actor=actor, now=now) as gesture:
        for line, part in plan.parts(lines, amount):
            plan.take_back(line, part, PayerLine.Kind.REFUND)
        return plan.enter(gesture)


def add_write_off(
    *,
    lines: Sequence[PayerLine],
    reason: str,
    printed_text: str = "",
    charged_in: BillingPeriod | None = None,
    amount: Decimal | None = None,
    justification: str = "",
    charge: Charge | None = None,
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Entered:
    """Have the center's own fund/org bear what payer lines charged: the recovery stands, the PI is relieved.

    Raises closing.PeriodClosed, ReasonMissing, NotCorrectable, AmountRefused, or
    MissingCenterFundOrg where the policy names no fund/org of the center's own.
    """
    plan = _Plan(
        Entry.Kind.WRITE_OFF,
        charged_in or month_for(lines),
        reason,
        printed_text,
        justification,
        charge,
        dry_run,
        actor,
        now,
    )
    if not (center := plan.policy.center_fund_org):
        raise MissingCenterFundOrg(
            "A write-off is charged to the center's own fund/org, and the policy names none. Set it in the policy."
        )
    with audit.gesture(actor=actor, now=now) as gesture:
        for line, part in plan.parts(lines, amount):
            plan.take_back(line, part, PayerLine.Kind.WRITE_OFF)
            # The policy chose this fund, and absorbed charges go to it unasked.
            plan.lines.append(_leg(line, part, PayerLine.Kind.BORNE, fund_org=center, pi=None, project=None))
        return plan.enter(gesture)


def add_manual_charge(
    *,
    pi: Person,
    fund_org: str,
    source: Source,
    amount: Decimal,
    reason: str,
    printed_text: str = "",
    charged_in: BillingPeriod | None = None,
    project: Project | None = None,
    for_period: BillingPeriod | None = None,
    service_name: str = "",
    natural_account: str = "",
    justification: str = "",
    charge: Charge | None = None,
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Entered:
    """Charge somebody for a service of a source that no delivery brought; of the bearing month, or for another.

    Raises closing.PeriodClosed, ReasonMissing, AmountRefused, FundRefused or JustificationMissing.
    """
    home = Policy.objects.current().currency
    _require_cents(amount, home)
    if amount <= 0:
        raise AmountRefused(f"A manual charge is above zero, not {plain(amount, home)}. Give money back with a refund.")
    fund_org, natural_account = naming.typed_code(fund_org), naming.typed_code(natural_account)
    if not fund_org:
        raise FundRefused("Say which fund/org pays.")
    bearing = charged_in or month_for()
    plan = _Plan(Entry.Kind.MANUAL, bearing, reason, printed_text, justification, charge, dry_run, actor, now)
    with audit.gesture(actor=actor, now=now) as gesture:
        plan.start(for_period or bearing)
        leg = EntryLine(
            kind=PayerLine.Kind.MANUAL,
            pi=pi,
            project=project,
            fund_org=fund_org,
            source=source,
            natural_account=natural_account or source.debit_account,
            service_name=cleaned(service_name),
            amount=amount,
        )
        plan.amount = amount
        plan.charge_to([leg])
        return plan.enter(gesture)


def is_own(entry: Entry, actor: Actor) -> bool:
    """Tell whether an entry was entered by who acts, who cannot be its second person then."""
    return (actor.user is not None and actor.user.pk == entry.entered_by_id) or actor.name == entry.entered_by_name


def approve(*, entry: Entry, note: str = "", actor: Actor, now: datetime.datetime) -> Entry:
    """Have a proposed entry charged; by another person than the one who entered it.

    Raises WrongState, closing.PeriodClosed, SecondPersonNeeded, or AmountRefused where what it takes back
    is not charged any more.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        entry = _locked_proposal(entry, "approved")
        if actor.user is None:
            raise SecondPersonNeeded(f"{str(entry).capitalize()} is approved by a person: say which user approves it.")
        if is_own(entry, actor):
            raise SecondPersonNeeded(
                f"{entry.entered_by_name} entered {entry}: somebody else has to approve it (see the policy)."
            )
        _require_charged(entry.lines.all())
        return _decided(entry, Entry.State.APPROVED, note, gesture)


def reject(*, entry: Entry, note: str, actor: Actor, now: datetime.datetime) -> Entry:
    """Decide that a proposed entry is not charged, for a reason; who entered it may take it back so.

    Raises WrongState, closing.PeriodClosed or ReasonMissing.
    """
    if not note.strip():
        raise ReasonMissing("Say why the entry is rejected: the reason stays with it.")
    with audit.gesture(actor=actor, now=now) as gesture:
        entry = _locked_proposal(entry, "rejected")
        return _decided(entry, Entry.State.REJECTED, note, gesture)


def reverse(
    *,
    entry: Entry,
    reason: str,
    printed_text: str = "",
    charged_in: BillingPeriod | None = None,
    justification: str = "",
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Entered:
    """Take an approved entry back, once, by an entry of the opposite lines in an open month.

    What it had taken back of payer lines can be corrected again. Raises WrongState, closing.PeriodClosed,
    ReasonMissing, NotCorrectable where what it charged was corrected since, or JustificationMissing.
    """
    bearing = charged_in or (entry.charged_in if entry.charged_in.takes_changes else month_for([entry]))
    plan = _Plan(
        Entry.Kind(entry.kind), bearing, reason, printed_text, justification, entry.charge, dry_run, actor, now
    )
    with audit.gesture(actor=actor, now=now) as gesture:
        lines = entry.lines.select_related("pi", "project", "source", "corrects_period").order_by("number")
        own: list[EntryLine] = list(lines)
        plan.start(entry.for_period, corrected=[entry.charged_in_id, *(line.corrects_period_id for line in own)])
        entry = _locked(entry)
        if entry.state != Entry.State.APPROVED:
            raise WrongState(f"{str(entry).capitalize()} is not charged: {entry.get_state_display().lower()}.")
        if earlier := entry.reversed_by.standing().first():
            raise WrongState(f"{str(entry).capitalize()} is reversed already, by {earlier}.")
        for line in own:
            _require_untouched(line, entry)
            line.pk, line.amount, line._state.adding = None, -line.amount, True
        plan.amount = -entry.amount
        plan.reverses = entry
        plan.lines = own
        _require_charged(own, beside=own)
        entered = plan.enter(gesture)
        if not dry_run:
            gesture.record("entry.reversed", entry, after={"reversal": entered.entry.pk}, note=reason.strip())
        return entered


def service_days(line: PayerLine) -> tuple[datetime.date, datetime.date]:
    """Return the first and the last day of service of what a payer line charged, by its charges.

    Of a line without charges of its own (an entry's), these are the days of the month it is for.
    """
    month = (line.for_period.month, line.for_period.last_day)
    if line.kind in PayerLine.ENTERED:
        return month
    of = Q(service_name=line.service_name, shared_as="")
    if line.shared_total is not None:
        of = Q(shared_as=line.service_name)
    # Charges without a PI or a project are somebody's by a default: the days of all of them are looked at.
    spans = (
        Charge.objects.in_month(line.period)
        .chargeable()
        .filter(Q(pi=line.pi_id) | Q(pi__isnull=True), Q(project=line.project_id) | Q(project__isnull=True))
        .filter(of, period=line.for_period_id, source=line.source_id)
        .order_by()
        .values_list("imported_in__billing_zone")
        .annotate(start=Min("charge_period_start"), end=Max("charge_period_end"))
    )
    days = [days_of(*(each.astimezone(zone_named(name)) for each in span)) for name, *span in spans]
    return (min(first for first, _ in days), max(last for _, last in days)) if days else month


def taken_back_too_much(period: BillingPeriod) -> list[str]:
    """Say which lines of a month corrections take more back of than they charge: of a reopened month, say."""
    taken_back = EntryLine.objects.taken_back(period)
    lines = {line.key: line for line in _lines_with_owners().filter(period=period, key__in=taken_back)}
    found = []
    for key, taken in sorted(taken_back.items()):
        line = lines.get(key)
        charged = line.charged if line else ZERO
        if not (0 <= taken <= charged or charged <= taken <= 0):
            corrections = EntryLine.objects.filter(corrects_period=period, corrects_key=key)
            numbers = sorted(set(corrections.values_list("entry", flat=True)))
            what = _told(line) if line else f"A line of {period}"
            home = Policy.objects.current().currency
            found.append(
                f"{what} charges {plain(charged, home)}, and corrections took back {plain(taken, home)} of it "
                f"({', '.join(f'correction {number}' for number in numbers)}). Reverse what is too much."
            )
    return found


@dataclass
class _Plan:
    """An entry being put together: its checks, its lines, and how it is stored."""

    kind: Entry.Kind
    charged_in: BillingPeriod
    reason: str
    printed_text: str
    justification: str
    charge: Charge | None
    dry_run: bool
    actor: Actor
    now: datetime.datetime
    amount: Decimal = ZERO
    reverses: Entry | None = None
    lines: list[EntryLine] = field(default_factory=list)
    for_period: BillingPeriod | None = None
    days: tuple[datetime.date, datetime.date] | None = None

    def __post_init__(self) -> None:
        self.policy = Policy.objects.current()
        self.reason, self.justification = cleaned_lines(self.reason), cleaned_lines(self.justification)
        self.printed_text = cleaned(self.printed_text)
        if not self.reason:
            raise ReasonMissing("Say why: the reason is kept with the correction, for staff alone.")
        if self.policy.entries_need_second_person and self.actor.user is None:
            raise SecondPersonNeeded(
                "The policy asks for a second person, so the first has to be known: say which user enters it."
            )

    def start(self, for_period: BillingPeriod, corrected: Iterable[int | None] = ()) -> None:
        """Hold the months: those corrected from other entries, the bearing one from its close.

        Two who correct the same line would both see what is left of it; on the period row one waits.
        """
        ids = sorted({pk for pk in corrected if pk})
        list(BillingPeriod.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk"))
        self.charged_in = closing.require_open(self.charged_in)[0]
        self.for_period = for_period
        self.days = Clocks().days_of(self.charge) if self.charge else (for_period.month, for_period.last_day)

    def parts(self, lines: Sequence[PayerLine], amount: Decimal | None) -> list[tuple[PayerLine, Decimal]]:
        """Return how much of each line the entry is about: what is left of it, or the amount asked of one."""
        if not lines:
            raise NothingToCorrect("Say which payer lines are corrected.")
        months = sorted({str(line.for_period) for line in lines})
        if len(months) > 1:
            raise NotCorrectable(f"The lines are for {', '.join(months)}: make an entry for each month.")
        if amount is not None and len(lines) > 1:
            raise AmountRefused(f"An amount is of one line, and these are {len(lines)}: name one, or leave it out.")
        self.start(lines[0].for_period, corrected=[line.period_id for line in lines])
        if self.charge is None:
            spans = [service_days(line) for line in lines]
            self.days = (min(first for first, _ in spans), max(last for _, last in spans))
        elif {(self.charge.charged_in_id, self.charge.source_id)} != {
            (line.period_id, line.source_id) for line in lines
        }:
            raise NotCorrectable(f"{str(self.charge).capitalize()} is not among what these lines charged.")
        found = []
        # Read again: the period is held now.
        for each in correctable(_lines_with_owners().filter(pk__in=[line.pk for line in lines]).order_by("key")):
            if len(lines) > 1 and not each.left:
                # Of a whole reference there are lines of 0.00 too, such as what is subsidized whole.
                continue
            self._require_correctable(each)
            part = each.left if amount is None else amount
            if amount is not None:
                _require_part(each, amount)
            if part:
                found.append((each.line, part))
        if not found:
            raise AmountRefused("Nothing is left to correct: entries took all of it back already.")
        return found

    def _require_correctable(self, each: Correctable) -> None:
        line = each.line
        if line.kind not in PayerLine.CHARGED or line.pi is None:
            raise NotCorrectable(f"{_told(line)} is the center's own cost: no PI was charged that could be relieved.")
        if self.kind != Entry.Kind.TRANSFER and line.charged <= 0:
            raise NotCorrectable(
                f"{_told(line)} is {plain(line.charged, line.currency)}: there is nothing to give back."
            )
        if line.kind in PayerLine.ENTERED and line.period_id == self.charged_in.pk:
            raise NotCorrectable(
                f"{_told(line)} was itself entered in {line.period}, which is still open: reverse that entry, and "
                "enter it as it should be.",
                then=NextStep("list_corrections", {"period": str(line.period)}),
            )

    def take_back(self, line: PayerLine, amount: Decimal, kind: str) -> None:
        """Relieve a payer of a part of a line."""
        leg = _leg(line, -amount, kind)
        leg.corrects_period, leg.corrects_key = line.period, line.key
        self.lines.append(leg)
        self.amount += amount

    def charge_to(self, legs: Iterable[EntryLine]) -> None:
        """Have others pay, who have to be able to."""
        for leg in legs:
            self._require_fund(leg)
            self.lines.append(leg)

    def _require_fund(self, leg: EntryLine) -> None:
        assert self.days
        first, last = self.days
        asked = Attributed(pi_email="-", project_code="-", fund_org=leg.fund_org)
        reasons = check_attribution(
            asked,
            reference=reference_of(self.policy),
            service_start=first,
            service_end=last,
            posted=self.charged_in.last_day,
        )
        for code, detail in reasons:
            if code == "fund_not_valid":
                raise FundRefused(f"{detail}, and the service was from {first} to {last}.")
            if code == "fund_closed":
                raise FundRefused(f"{detail}: choose another fund/org, or have finance record an exception.")
            if code == "unknown_fund_org":
                raise FundRefused(f"{detail} is not on the list of funds. Choose one that is, or load the list anew.")
            if code in ABOUT_FUNDS:
                raise FundRefused(f"{detail} has none of the forms of a fund/org in the policy.")

    def _require_justification(self) -> None:
        """A sponsored award bears late what it can be said why."""
        if self.justification:
            return
        assert self.days
        late = (timezone.localdate(self.now) - self.days[1]).days
        if late <= self.policy.transfer_justification_days:
            return
        funds = {leg.fund_org for leg in self.lines if leg.amount > 0}
        if sponsored := sorted(
            FundingSource.objects.filter(fund_org__in=funds, is_sponsored=True).values_list("fund_org", flat=True)
        ):
            raise JustificationMissing(
                f"{', '.join(sponsored)} is a sponsored award, and the service ended on {self.days[1]}, "
                f"{late} days ago. After more than {self.policy.transfer_justification_days} days it needs a "
                "justification."
            )

    def enter(self, gesture: audit.Gesture) -> Entered:
        """Store the entry with its lines; charged at once, or proposed where the policy asks for a second person."""
        assert self.for_period
        if not self.amount:
            raise AmountRefused("What is to be moved comes to 0.00 altogether. Enter its lines one by one.")
        self._require_justification()
        is_proposed = self.policy.entries_need_second_person
        entry = Entry(
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
            reverses=self.reverses,
            needs_second_person=is_proposed,
            state=Entry.State.PROPOSED if is_proposed else Entry.State.APPROVED,
            entered_at=self.now,
            entered_by=self.actor.user,
            entered_by_name=self.actor.name,
            decided_at=None if is_proposed else self.now,
            decided_by=None if is_proposed else self.actor.user,
            decided_by_name="" if is_proposed else self.actor.name,
            gesture=gesture.id,
        )
        for number, line in enumerate(self.lines, start=1):
            line.entry, line.number = entry, number
            line.clean_fields(exclude=["entry"])
        if not self.dry_run:
            entry.save()
            for line in self.lines:
                line.entry = entry
            EntryLine.objects.bulk_create(self.lines)
            gesture.record("entry.entered", entry, after=_facts(entry, self.lines))
        return Entered(entry, tuple(self.lines), self.dry_run)


class _Taken:
    """What standing entries took back of payer lines, looked up once for each month."""

    def __init__(self) -> None:
        self.months: dict[int, dict[str, Decimal]] = {}

    def of(self, period_id: int, key: str) -> Decimal:
        if period_id not in self.months:
            self.months[period_id] = EntryLine.objects.taken_back(BillingPeriod(pk=period_id))
        return self.months[period_id].get(key, ZERO)


def _lines_with_owners() -> Any:
    return PayerLine.objects.select_related("period", "for_period", "pi", "project", "source", "reference__period")


def _leg(line: PayerLine, amount: Decimal, kind: str, **other: Any) -> EntryLine:
    """Return a line of an entry for the payer of a payer line, or for another of the same service."""
    payer = {"pi": line.pi, "project": line.project, "fund_org": line.fund_org, "natural_account": line.natural_account}
    return EntryLine(kind=kind, source=line.source, service_name=line.service_name, amount=amount, **(payer | other))


def _payer_of(line: PayerLine | EntryLine) -> tuple[Any, ...]:
    return line.pi_id, line.project_id, line.fund_org, line.natural_account


def _told(line: PayerLine) -> str:
    """Name a payer line to a person."""
    return f"The line of {line.fund_org} for {line.service_name or line.source.label} in {line.period}"


def _require_cents(amount: Decimal, currency: str) -> None:
    if not amount.is_finite():
        raise AmountRefused(f"{amount} is not an amount.")
    if not is_whole(amount, currency):
        raise AmountRefused(
            f"{plain(amount, currency)} has too many decimals: {currency} has {minor_units(currency) or 'none'}."
        )


def _require_part(each: Correctable, amount: Decimal) -> None:
    """Raise AmountRefused for more than what is left of a line, or what has not its sign."""
    line = each.line
    _require_cents(amount, line.currency)
    if not amount or (amount < 0) != (line.charged < 0):
        raise AmountRefused(
            f"{_told(line)} is {plain(line.charged, line.currency)}: correct an amount of the same sign."
        )
    if abs(amount) > abs(each.left) or (each.left < 0) != (line.charged < 0):
        taken = f", of which entries took back {plain(each.taken, line.currency)} already" if each.taken else ""
        raise AmountRefused(
            f"{_told(line)} charged {plain(line.charged, line.currency)}{taken}: {plain(each.left, line.currency)} is "
            f"left, and {plain(amount, line.currency)} is more."
        )


def _require_charged(lines: Iterable[EntryLine], beside: Iterable[EntryLine] = ()) -> None:
    """Raise AmountRefused where entries, those `beside` included, take back more than payer lines charged."""
    more: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for line in beside:
        if line.corrects_period_id:
            more[line.corrects_period_id, line.corrects_key] -= line.amount
    taken = _Taken()
    for period_id, key in sorted({(line.corrects_period_id, line.corrects_key) for line in lines if line.corrects_key}):
        assert period_id
        line = _lines_with_owners().filter(period=period_id, key=key).first()
        charged = line.charged if line else ZERO
        total = taken.of(period_id, key) + more[period_id, key]
        if not (0 <= total <= charged or charged <= total <= 0):
            what = _told(line) if line else "A line it corrects"
            home = Policy.objects.current().currency
            raise AmountRefused(
                f"{what} charges {plain(charged, home)} now, and corrections would reverse {plain(total, home)} of it."
            )


def _require_untouched(line: EntryLine, entry: Entry) -> None:
    """Raise NotCorrectable where what an entry charged somebody was corrected by another since."""
    key = charging.key_of_entry(line)
    corrections = EntryLine.objects.filter(corrects_period=entry.charged_in_id, corrects_key=key)
    later = corrections.exclude(entry__state=Entry.State.REJECTED).select_related("entry").order_by("-entry").first()
    if later and EntryLine.objects.taken_back(entry.charged_in).get(key):
        raise NotCorrectable(
            f"What {entry} charged to {line.fund_org} was corrected since, by {later.entry}: reverse that first."
        )


def _locked(entry: Entry) -> Entry:
    locked = Entry.objects.select_for_update(of=("self",), no_key=True)
    return locked.select_related("charged_in", "for_period").get(pk=entry.pk)


def _locked_proposal(entry: Entry, participle: str) -> Entry:
    closing.require_open(entry.charged_in)
    fresh = _locked(entry)
    if fresh.state != Entry.State.PROPOSED:
        raise WrongState(
            f"{str(fresh).capitalize()} is {fresh.get_state_display().lower()}: "
            f"only one that waits for approval can be {participle}."
        )
    return fresh


def _decided(entry: Entry, state: Entry.State, note: str, gesture: audit.Gesture) -> Entry:
    before = {"state": entry.state}
    entry.state = state
    entry.decided_at, entry.decided_by, entry.decided_by_name = gesture.now, gesture.actor.user, gesture.actor.name
    entry.decision_note = note.strip()
    entry.save(update_fields=Entry.DECIDED)
    gesture.record(f"entry.{state.value}", entry, before=before, after={"state": state.value}, note=note.strip())
    return entry


def _facts(entry: Entry, lines: Sequence[EntryLine]) -> dict[str, Any]:
    """Return an entry as the audit trail keeps it."""
    facts = {name: value for name, value in snapshot(entry, with_links=False).items() if value not in (None, "")}
    return {
        **facts,
        "charged_in": str(entry.charged_in),
        "for_period": str(entry.for_period),
        "lines": [
            {
                "kind": str(line.kind),
                "pi": line.pi.email if line.pi else "",
                "project": line.project.code if line.project else "",
                "fund_org": line.fund_org,
                "source": line.source.name,
                "natural_account": line.natural_account,
                "service": line.service_name,
                "amount": plain(line.amount),
                **({"corrects": line.corrects_key} if line.corrects_key else {}),
            }
            for line in lines
        ],
    }
