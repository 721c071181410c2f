"""The state of a month at a glance: queries into plain values, without a word of HTML."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Count
from django.utils import timezone

from billing import charts, movements, trends
from billing.admin.month import Shown, shown, shown_list
from billing.admin.periods import queue_url
from billing.admin.running import Running
from billing.admin.running import shown as shown_running
from billing.errors import NextStep
from billing.fields import AmountSum
from billing.importing import tending
from billing.models import AuditEvent, BillingPeriod, Charge, Flag, Import, MonthTotal, Policy, User
from billing.months import checklist
from billing.months.checklist import Checklist, Item, State
from billing.proof import adding_up
from billing.proof.adding_up import Sight
from billing.trends import Totals, Trend

from .failures import Failure, failures_of, jobs_of_note

ZERO = Decimal(0)
# Months of the charts, and how many of a kind the page names.
MONTHS, TOP, RECENT = 12, 5, 4
# Events looked through for the newest acts, and what is none of the month's work.
LOOKED_THROUGH = 80
NO_WORK = ("session.", "user.", "installation.", "safeguards.")

# What is kept of the page besides its checklist.
HELD = "all-held"


@dataclass(frozen=True)
class HeldReason:
    """How many charges wait for one reason, and what is billed for them, by currency."""

    code: str
    label: str
    count: int
    billed: dict[str, Decimal]
    share: int


@dataclass(frozen=True)
class Charted:
    """A trend with its picture, under a name."""

    title: str
    trend: Trend
    chart: charts.Chart

    @property
    def name(self) -> str:
        return self.trend.by


@dataclass(frozen=True)
class Top:
    """The PIs or projects that are charged most, with last month beside it."""

    title: str
    by: str
    trend: Trend


@dataclass(frozen=True)
class Act:
    """What somebody did in one go, by its first event, and how many more there are of it."""

    event: AuditEvent
    more: int = 0

    @property
    def what(self) -> str:
        return self.event.action.replace(".", " ").replace("_", " ")


@dataclass(frozen=True)
class Board:
    """All that the dashboard shows."""

    period: BillingPeriod | None
    institution: str = ""
    checklist: Checklist | None = None
    items: list[Shown] = field(default_factory=list)
    next_item: Shown | None = None
    sights: list[Sight] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    journaled: str = ""
    # Held charges that somebody decides; questions alone hold the others.
    to_decide: int = 0
    held: int = 0
    held_billed: dict[str, Decimal] = field(default_factory=dict)
    reasons: list[HeldReason] = field(default_factory=list)
    charted: list[Charted] = field(default_factory=list)
    tops: list[Top] = field(default_factory=list)
    moved: movements.Movements | None = None
    imports: list[Import] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def difference(self) -> bool:
        """Whether an equation does not come out."""
        return any(sight.difference for sight in self.sights)

    @property
    def held_url(self) -> str:
        return queue_url(self.period) if self.period else ""

    @property
    def may_carry(self) -> bool:
        return bool(self.to_decide and self.period and self.period.takes_changes)


def percent(part: Decimal | int, whole: Decimal | int) -> int:
    """Return a part in whole percent of its whole, from 0 to 100, for the length of a bar."""
    return max(0, min(100, int(part * 100 / whole))) if whole > 0 else 0


def running_now() -> list[Running]:
    """Return the jobs that the board shows as running; whoever looks is told the truth about those left behind."""
    tending.close_left(now=timezone.now())
    return shown_running(jobs_of_note()[0])


def dashboard(*, period: BillingPeriod | None, months: Sequence[BillingPeriod], user: User) -> Board:
    """Gather the board of a month, among all `months` there are; without one, say how the first begins."""
    tending.close_left(now=timezone.now())
    unfinished, failed = jobs_of_note()
    running, failures = shown_running(unfinished), failures_of(period, user, failed)
    if period is None:
        text = "Nothing was imported yet. The first file opens its billing period."
        first = Item("imports", State.OPEN, text, then=NextStep("import_files", {"period": ""}))
        return Board(period=None, next_item=shown(first, user), running=running, failures=failures)
    kept = checklist.Kept.of_page(period, adding_up.SIGHTS, HELD)
    listed = checklist.of(period, waits=False, kept=kept)
    items = shown_list(listed, user)
    waiting = listed.item(checklist.HELD)
    held, reasons = kept.value(HELD, lambda: _held(period))
    policy = Policy.objects.current()
    totals = Totals()
    sights, unknown = _sights(period, totals, kept)
    charted, tops, moved = _spending(period, months, totals, policy.currency)
    return Board(
        period=period,
        institution=policy.institution,
        checklist=listed,
        items=items,
        next_item=next((each for each in items if each.is_next), None),
        sights=sights,
        unknown=unknown,
        journaled=_journaled(listed),
        to_decide=waiting.count if waiting else 0,
        held=sum(number for number, _ in held.values()),
        held_billed={currency: billed for currency, (_, billed) in held.items()},
        reasons=reasons,
        charted=charted,
        tops=tops,
        moved=moved,
        imports=_imports() if user.has_perm("billing.view_import") else [],
        acts=_acts() if user.has_perm("billing.view_auditevent") else [],
        running=running,
        failures=failures,
    )


def _sights(period: BillingPeriod, totals: Totals, kept: checklist.Kept) -> tuple[list[Sight], list[str]]:
    """Return the equations of a month, and in words what they do not know yet."""
    known = adding_up.kept_sights(period, waits=False, kept=kept)
    month = totals.of("source", period)
    currencies = sorted({currency for _, currency in month.rows})
    unknown = []
    found = list(known or [])
    if not any(each.code == "price" for each in found):
        # No payer line is made yet: list price to charged as the charges say it, each currency by itself.
        prices = [(currency, month.total(currency)) for currency in currencies]
        found = [
            adding_up.price_of_charges(of.listed, of.contracted, of.charged, charges=of.charges, currency=currency)
            for currency, of in prices
        ] + found
        if prices:
            unknown.append("Shares of shared costs, corrections and exchange rates count once statements are issued.")
    if currencies and known is None:
        unknown.append("What became of what was delivered is being worked out.")
    if lacking := sum(month.lacking.values()):
        are = "charge lacks" if lacking == 1 else "charges lack"
        unknown.append(f"{lacking:,} {are} the cost that the source is charged by, and count with what was billed.")
    return found, unknown


def _journaled(listed: Checklist) -> str:
    """Say that the ledger has all of the month, to the cent; "" before that."""
    journal, submitted, answered = (listed.item(code) for code in ("journal", "submitted", "answered"))
    if not (journal and submitted and answered):
        return ""
    is_in = journal.state == submitted.state == State.DONE
    return answered.text if is_in and answered.state == State.DONE else submitted.text if is_in else ""


def _spending(
    period: BillingPeriod, every: Sequence[BillingPeriod], totals: Totals, home: str
) -> tuple[list[Charted], list[Top], movements.Movements | None]:
    """Return the charts of the year to a month, who is charged most in it, and what moved since the month before."""
    months = trends.months_until(period, MONTHS, every)
    # The month before is the one that is there, if it is of the same year.
    both = months[-2:]
    before = both[0] if len(both) > 1 else None
    totals.read(("source", months), ("pi", both))
    by_source = trends.trend(months, "source", totals=totals, home=home)
    if not by_source.series:
        return [], [], None
    currency = by_source.currency
    by_service = trends.trend(months, "service", currency=currency, totals=totals, home=home)
    charted = [
        Charted(title, each.top(charts.COLORS), charts.stacked(each.top(charts.COLORS).columns))
        for title, each in (("Charged by source", by_source), ("Charged by service", by_service))
    ]
    tops = [
        Top(title, by, trends.trend(both, by, currency=currency, totals=totals, home=home).largest(TOP))
        for title, by in (("Top PIs", "pi"), ("Top projects", "project"))
    ]
    moved = movements.movements(period, before, currency=currency, totals=totals) if before else None
    return charted, tops, moved if moved and moved.rows else None


def _held(period: BillingPeriod) -> tuple[dict[str, tuple[int, Decimal]], list[HeldReason]]:
    """Return all that a month holds, by currency, and why: also what waits for the answer to a question alone."""
    held = MonthTotal.objects.of_month(period).held().billed_by_currency()
    return held, _reasons(period) if held else []


def _reasons(period: BillingPeriod) -> list[HeldReason]:
    rows = (
        Flag.objects.filter(
            charge__charged_in=period,
            charge__state=Charge.State.HELD,
            charge__withdrawn_in__isnull=True,
            is_resolved=False,
        )
        .order_by()
        .values_list("code", "charge__currency")
        .annotate(number=Count("id"), billed=AmountSum("charge__billed_cost"))
    )
    numbers: dict[str, int] = {}
    billed: dict[str, dict[str, Decimal]] = {}
    for code, currency, number, amount in rows:
        numbers[code] = numbers.get(code, 0) + number
        billed.setdefault(code, {})[currency] = amount
    most = max(numbers.values(), default=0)
    labels = dict(Flag.Code.choices)
    reasons = [
        HeldReason(code, str(labels.get(code, code)), number, dict(sorted(billed[code].items())), percent(number, most))
        for code, number in numbers.items()
    ]
    # Amounts of different currencies have no order among them: what is most work first, unless there is one currency.
    one = {currency for each in billed.values() for currency in each}
    if len(one) == 1:
        (currency,) = one
        most_billed = max(abs(each.billed[currency]) for each in reasons)
        reasons = [
            HeldReason(each.code, each.label, each.count, each.billed, percent(abs(each.billed[currency]), most_billed))
            for each in reasons
        ]
        return sorted(reasons, key=lambda each: (-abs(each.billed[currency]), each.code))
    return sorted(reasons, key=lambda each: (-each.count, each.code))


def _imports() -> list[Import]:
    return list(Import.objects.select_related("source").order_by("-id")[:RECENT])


def _acts() -> list[Act]:
    """Return the newest acts of people and jobs, each of which may be many events."""
    events = AuditEvent.objects.order_by("-pk")
    for prefix in NO_WORK:
        events = events.exclude(action__startswith=prefix)
    acts: dict[Any, list[AuditEvent]] = {}
    for event in events.defer("before", "after")[:LOOKED_THROUGH]:
        acts.setdefault(event.gesture, []).append(event)
    return [Act(of[-1], len(of) - 1) for of in list(acts.values())[:RECENT]]
