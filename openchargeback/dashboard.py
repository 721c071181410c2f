"""The state of a month at a glance: queries into plain values, without a word of HTML."""

import datetime
from collections import defaultdict
from dataclasses import dataclass, field, replace
from decimal import Decimal

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.db.models import Count, Max, Q, Sum
from django.urls import reverse

from billing.admin.periods import Step, queue_url, steps_of
from billing.models import AuditEvent, BillingPeriod, Charge, Flag, Import, ImportTotal, Job, PayerLine, Policy, Source
from billing.models.periods import parse_month
from journals.models import Journal
from statements.models import Delivery, Statement

ZERO = Decimal(0)
RECENT = 6
# Sums by source touch every charge of a month: they are kept until another import, or this long.
KEPT_SECONDS = 600

Status = BillingPeriod.Status


@dataclass(frozen=True)
class NextAction:
    """What the month waits for, and where to do it."""

    text: str
    label: str = ""
    url: str = ""


@dataclass(frozen=True)
class Money:
    """A month's sums in one currency; `charged` and what follows are None before payer lines are made."""

    currency: str
    billed: Decimal
    held: Decimal
    charged: Decimal | None = None
    listed: Decimal | None = None
    discount: Decimal | None = None
    subsidy: Decimal | None = None

    @property
    def held_percent(self) -> int:
        return percent(self.held, self.billed)


@dataclass(frozen=True)
class SourceCard:
    """What a source delivered: its last import, and this month beside the last."""

    name: str
    label: str
    last_import: datetime.datetime | None
    last_state: str
    last_import_id: int | None
    rows: int
    currency: str
    billed: Decimal
    billed_before: Decimal
    share: int
    share_before: int

    @property
    def change(self) -> Decimal:
        return self.billed - self.billed_before

    @property
    def change_percent(self) -> int | None:
        """Percent against last month; None where there is nothing to compare with."""
        return int(self.change * 100 / self.billed_before) if self.billed_before > 0 else None

    @property
    def is_missing(self) -> bool:
        """Delivered last month, and not yet this month."""
        return not self.rows and bool(self.billed_before)


@dataclass(frozen=True)
class HeldReason:
    code: str
    label: str
    count: int
    share: int


@dataclass(frozen=True)
class JournalCard:
    id: int
    number: str
    state: str
    label: str
    debits: Decimal
    currency: str

    @property
    def tone(self) -> str:
        return {"posted": "good", "submitted": "busy", "rejected": "bad", "draft": "info"}.get(self.state, "")


@dataclass(frozen=True)
class Board:
    """All that the dashboard shows."""

    period: BillingPeriod | None
    recent: list[BillingPeriod] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    next_action: NextAction = NextAction("")
    money: list[Money] = field(default_factory=list)
    charges: int = 0
    held: int = 0
    reasons: list[HeldReason] = field(default_factory=list)
    sources: list[SourceCard] = field(default_factory=list)
    statements: int = 0
    statements_sent: int = 0
    statements_due: Decimal = ZERO
    deliveries_failed: int = 0
    journals: list[JournalCard] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)
    failed_jobs: list[Job] = field(default_factory=list)
    failed_imports: list[Import] = field(default_factory=list)

    @property
    def sent_percent(self) -> int:
        return self.statements_sent * 100 // self.statements if self.statements else 0

    @property
    def held_url(self) -> str:
        return queue_url(self.period) if self.period else ""

    @property
    def has_failures(self) -> bool:
        return bool(self.failed_jobs or self.failed_imports or self.deliveries_failed)


def percent(part: Decimal | int, whole: Decimal | int) -> int:
    """Return a part in whole percent of its whole, from 0 to 100, for the length of a bar."""
    return max(0, min(100, int(part * 100 / whole))) if whole > 0 else 0


def dashboard(*, month: str = "", user: AbstractBaseUser | AnonymousUser) -> Board:
    """Gather the board of a month: the one asked for, or the one that waits for work."""
    recent = list(BillingPeriod.objects.order_by("-month")[:RECENT])
    period = _asked(month, recent) or _current(recent)
    running = list(Job.objects.filter(state__in=(Job.State.QUEUED, Job.State.RUNNING)).order_by("-id")[:5])
    failed_jobs = list(Job.objects.filter(state=Job.State.FAILED).order_by("-id")[:3])
    failed_imports = list(Import.objects.filter(state=Import.State.FAILED).select_related("source").order_by("-id")[:3])
    if period is None:
        return Board(
            period=None,
            next_action=NextAction(
                "Nothing has been imported yet. The first file opens its billing period.",
                "Import files",
                reverse("admin:billing_import_upload"),
            ),
            running=running,
            failed_jobs=failed_jobs,
            failed_imports=failed_imports,
        )
    money, charges, held = _money(period)
    statements = Statement.objects.live().filter(period=period)
    issued = statements.aggregate(
        count=Count("id"), sent=Count("id", filter=Q(state=Statement.State.SENT)), due=Sum("charged")
    )
    journals = [
        JournalCard(each.pk, each.number, each.state, each.get_state_display(), each.debits, each.currency)
        for each in Journal.objects.filter(period=period).order_by("-id")[:4]
    ]
    board = Board(
        period=period,
        recent=recent if period in recent else [*recent, period],
        steps=steps_of(period),
        money=money,
        charges=charges,
        held=held,
        reasons=_reasons(period) if held else [],
        sources=_sources(period),
        statements=issued["count"],
        statements_sent=issued["sent"],
        statements_due=issued["due"] or ZERO,
        deliveries_failed=Delivery.objects.filter(period=period, state=Delivery.State.FAILED).count(),
        journals=journals,
        running=running,
        failed_jobs=failed_jobs,
        failed_imports=failed_imports,
    )
    return replace(board, next_action=_next_action(board))


def _asked(month: str, recent: list[BillingPeriod]) -> BillingPeriod | None:
    try:
        asked = parse_month(month)
    except ValueError:
        return None
    return (
        next((period for period in recent if period.month == asked), None)
        or BillingPeriod.objects.filter(month=asked).first()
    )


def _current(recent: list[BillingPeriod]) -> BillingPeriod | None:
    """Return the oldest month that takes changes, else the oldest that is not finalized, else the newest."""
    waiting = list(BillingPeriod.objects.exclude(status=Status.FINALIZED).order_by("month"))
    taking = [period for period in waiting if period.takes_changes]
    return next(iter(taking or waiting or recent), None)


def _money(period: BillingPeriod) -> tuple[list[Money], int, int]:
    """Return the sums by currency, the number of charges and of those held."""
    totals: dict[str, dict[str, Decimal]] = defaultdict(lambda: {"billed": ZERO, "held": ZERO})
    charges = held = 0
    currencies = sorted(
        # Late changes come with the totals of the month they correct.
        ImportTotal.objects.filter(
            Q(period=period) | Q(imported_in__booked_in=period), imported_in__state=Import.State.APPLIED
        )
        .order_by()
        .values_list("currency", flat=True)
        .distinct()
    )
    in_month = Charge.objects.in_month(period).order_by()
    # One currency, nearly always: then the sum never leaves the covering index.
    by = ("state",) if len(currencies) == 1 else ("state", "currency")
    for row in in_month.values(*by).annotate(billed=Sum("billed_cost"), number=Count("*")):
        currency = row.get("currency") or currencies[0]
        totals[currency]["billed"] += row["billed"]
        charges += row["number"]
        if row["state"] == Charge.State.HELD:
            totals[currency]["held"] += row["billed"]
            held += row["number"]
    lines = {
        row["currency"]: row
        for row in PayerLine.objects.filter(period=period)
        .order_by()
        .values("currency")
        .annotate(
            charged_total=Sum("charged", filter=~Q(kind=PayerLine.Kind.SUBSIDY)),
            listed=Sum("list_cost", filter=~Q(kind=PayerLine.Kind.SUBSIDY)),
            contracted=Sum("contracted_cost", filter=~Q(kind=PayerLine.Kind.SUBSIDY)),
        )
    }
    money = []
    for currency in sorted({*totals, *lines}):
        line = lines.get(currency)
        charged, listed, contracted = (
            ((line[name] or ZERO) for name in ("charged_total", "listed", "contracted")) if line else (None,) * 3
        )
        money.append(
            Money(
                currency=currency,
                billed=totals[currency]["billed"],
                held=totals[currency]["held"],
                charged=charged,
                listed=listed,
                discount=None if listed is None or contracted is None else listed - contracted,
                subsidy=None if charged is None or contracted is None else contracted - charged,
            )
        )
    return money, charges, held


def _reasons(period: BillingPeriod) -> list[HeldReason]:
    counted = list(
        Flag.objects.filter(
            charge__charged_in=period,
            charge__state=Charge.State.HELD,
            charge__withdrawn_in__isnull=True,
            is_resolved=False,
        )
        .order_by()
        .values("code")
        .annotate(number=Count("id"))
    )
    most = max((row["number"] for row in counted), default=0)
    labels = dict(Flag.Code.choices)
    return [
        HeldReason(row["code"], labels.get(row["code"], row["code"]), row["number"], percent(row["number"], most))
        for row in sorted(counted, key=lambda row: (-row["number"], row["code"]))
    ]


def billed_by_source(period: BillingPeriod) -> dict[tuple[int, str], tuple[int, Decimal]]:
    """Return rows and billed per source and currency; kept until an import, a withdrawal or a carry-over changes it."""
    mark = Import.objects.aggregate(number=Count("id"), applied=Max("applied_at"), withdrawn=Max("withdrawn_at"))
    carried = AuditEvent.objects.filter(action="period.carried_over").count()
    stamp = (mark["number"], mark["applied"], mark["withdrawn"], period.status, carried)
    key = f"billed-by-source-{period.pk}"
    if (kept := cache.get(key)) and kept[0] == stamp:
        return dict(kept[1])
    rows = (
        Charge.objects.in_month(period)
        .order_by()
        .values("source", "currency")
        .annotate(number=Count("*"), billed=Sum("billed_cost"))
    )
    found = {(row["source"], row["currency"]): (row["number"], row["billed"]) for row in rows}
    cache.set(key, (stamp, found), KEPT_SECONDS)
    return found


def _sources(period: BillingPeriod) -> list[SourceCard]:
    before_period = BillingPeriod.objects.filter(month__lt=period.month).order_by("-month").first()
    now = billed_by_source(period)
    before = billed_by_source(before_period) if before_period else {}
    newest = Import.objects.filter(source__isnull=False).order_by().values("source").annotate(last=Max("id"))
    last_imports = {
        each.source_id: each
        for each in Import.objects.filter(pk__in=[row["last"] for row in newest]).only(
            "source_id", "state", "created_at", "applied_at"
        )
    }
    most = max((billed for _, billed in [*now.values(), *before.values()]), default=ZERO)
    cards = []
    house = Policy.objects.current().currency
    for source in Source.objects.filter(Q(is_active=True) | Q(pk__in={key[0] for key in now})).order_by("name"):
        currencies = {key[1] for key in {**now, **before} if key[0] == source.pk} or {house}
        last = last_imports.get(source.pk)
        for currency in sorted(currencies):
            rows, billed = now.get((source.pk, currency), (0, ZERO))
            billed_before = before.get((source.pk, currency), (0, ZERO))[1]
            cards.append(
                SourceCard(
                    name=source.name,
                    label=source.label,
                    last_import=(last.applied_at or last.created_at) if last else None,
                    last_state=last.state if last else "",
                    last_import_id=last.pk if last else None,
                    rows=rows,
                    currency=currency,
                    billed=billed,
                    billed_before=billed_before,
                    share=percent(billed, most),
                    share_before=percent(billed_before, most),
                )
            )
    return cards


def _next_action(board: Board) -> NextAction:
    """Say what the month waits for: the first thing that stands between it and its next step."""
    period = board.period
    assert period is not None
    page = reverse("admin:billing_billingperiod_change", args=[period.pk])
    of_period = f"?period={period}"
    if period.takes_changes:
        if not board.charges:
            return NextAction(
                f"No charges of {period} yet. Import the deliveries of each source.",
                "Import files",
                reverse("admin:billing_import_upload"),
            )
        if board.held:
            what = "1 charge waits" if board.held == 1 else f"{board.held:,} charges wait"
            return NextAction(f"{what} for review.", "Review charges", queue_url(period))
        if not board.statements:
            return NextAction(
                "Every charge is cleared. Issue the statements.",
                "Go to statements",
                reverse("admin:statements_statement_changelist") + of_period,
            )
        return NextAction("Statements are out. Close the period when no more changes are due.", "Go to period", page)
    if period.status == Status.CLOSED:
        states = {journal.state for journal in board.journals}
        journals = reverse("admin:journals_journal_changelist") + of_period
        if Journal.State.SUBMITTED in states:
            return NextAction("A journal waits for the ledger's answer.", "Record the answer", journals)
        if Journal.State.POSTED not in states:
            return NextAction("Closed. Draft the journal and submit it.", "Go to journals", journals)
        return NextAction("The journal is posted. Finalize the period.", "Go to period", page)
    return NextAction(
        f"{period} is finalized; nothing is left to do.",
        "Go to billing periods",
        reverse("admin:billing_billingperiod_changelist"),
    )
