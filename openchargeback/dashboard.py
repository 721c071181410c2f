"""The state of a month at a glance: queries into plain values, without a word of HTML."""

import datetime
from dataclasses import dataclass, field
from decimal import Decimal

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Max, Q
from django.utils import timezone

from billing.admin.month import Shown, shown, shown_list
from billing.admin.periods import Step, queue_url, steps_of
from billing.errors import NextStep
from billing.fields import AmountSum
from billing.importing import tending
from billing.models import BillingPeriod, Charge, Flag, Import, Job, MonthTotal, Policy, Source
from billing.months import checklist
from billing.months.checklist import Checklist, Item, State
from billing.proof import adding_up
from billing.proof.adding_up import Sight
from journals.models import Journal
from statements import emails
from statements.models import Statement

ZERO = Decimal(0)

Status = BillingPeriod.Status


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
    steps: list[Step] = field(default_factory=list)
    checklist: Checklist | None = None
    items: list[Shown] = field(default_factory=list)
    next_item: Shown | None = None
    sights: list[Sight] = field(default_factory=list)
    held: int = 0
    reasons: list[HeldReason] = field(default_factory=list)
    sources: list[SourceCard] = field(default_factory=list)
    statements: int = 0
    statements_sent: int = 0
    statements_due: Decimal = ZERO
    # The institution's own currency, of statements.
    house: str = ""
    emails_failed: int = 0
    journals: list[JournalCard] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)
    failed_jobs: list[Job] = field(default_factory=list)
    failed_imports: list[Import] = field(default_factory=list)

    @property
    def sent_percent(self) -> int:
        return self.statements_sent * 100 // self.statements if self.statements else 0

    @property
    def currency(self) -> str:
        """The currency most of the page is in: that of the first equation."""
        return self.sights[0].currency if self.sights else ""

    @property
    def difference(self) -> bool:
        """Whether an equation does not come out."""
        return any(sight.difference for sight in self.sights)

    @property
    def held_url(self) -> str:
        return queue_url(self.period) if self.period else ""

    @property
    def has_failures(self) -> bool:
        return bool(self.failed_jobs or self.failed_imports or self.emails_failed)


def percent(part: Decimal | int, whole: Decimal | int) -> int:
    """Return a part in whole percent of its whole, from 0 to 100, for the length of a bar."""
    return max(0, min(100, int(part * 100 / whole))) if whole > 0 else 0


def dashboard(*, period: BillingPeriod | None, user: AbstractBaseUser | AnonymousUser) -> Board:
    """Gather the board of a month; without one, say how the first begins."""
    tending.close_left(now=timezone.now())
    running = list(Job.objects.filter(state__in=(Job.State.QUEUED, Job.State.RUNNING)).order_by("-id")[:5])
    failed_jobs = list(Job.objects.filter(state=Job.State.FAILED, retried_as=None).order_by("-id")[:3])
    failed_imports = list(Import.objects.filter(state=Import.State.FAILED).select_related("source").order_by("-id")[:3])
    if period is None:
        return Board(
            period=None,
            next_item=shown(
                Item(
                    "imports",
                    State.OPEN,
                    "Nothing was imported yet. The first file opens its billing period.",
                    then=NextStep("import_files", {"period": ""}),
                ),
                user,
            ),
            running=running,
            failed_jobs=failed_jobs,
            failed_imports=failed_imports,
        )
    listed = checklist.of(period, waits=False)
    items = shown_list(listed, user)
    sights = adding_up.kept_sights(period, waits=False) or []
    waiting = listed.item(checklist.HELD)
    held = waiting.count if waiting else 0
    statements = Statement.objects.live().filter(period=period)
    issued = statements.aggregate(
        count=Count("id"), sent=Count("id", filter=Q(state=Statement.State.SENT)), due=AmountSum("charged")
    )
    journals = [
        JournalCard(each.pk, each.number, each.state, each.get_state_display(), each.debits, each.currency)
        for each in Journal.objects.filter(period=period).order_by("-id")[:4]
    ]
    house = Policy.objects.current().currency
    return Board(
        period=period,
        steps=steps_of(period),
        checklist=listed,
        items=items,
        next_item=next((each for each in items if each.is_next), None),
        sights=sights,
        held=held,
        reasons=_reasons(period) if held else [],
        sources=_sources(period, house),
        statements=issued["count"],
        statements_sent=issued["sent"],
        statements_due=issued["due"] or ZERO,
        house=house,
        emails_failed=emails.troubled(period).count(),
        journals=journals,
        running=running,
        failed_jobs=failed_jobs,
        failed_imports=failed_imports,
    )


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
    """Return how many charges a month has per source and currency, and what is billed for them."""
    rows = MonthTotal.objects.of_month(period).summed("source", "currency")
    return {(row["source"], row["currency"]): (row["number"], row["billed"]) for row in rows}


def _sources(period: BillingPeriod, house: str) -> list[SourceCard]:
    before_period = BillingPeriod.objects.shown().filter(month__lt=period.month).order_by("-month").first()
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
