"""Cost transfers: what was moved from one fund/org to another after it was charged, how late, and why (2 CFR 200)."""

import datetime
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from django.utils import timezone

from ..models import Correction, CorrectionLine, FundingSource
from ..models.corrections import CorrectionQuerySet
from ..money import ZERO
from ..texts import long_date
from . import ledger
from .adding import chosen
from .asking import LABELS
from .facts import Facts, narrowed
from .moved_payers import moved_payers
from .tables import COUNT, Column, Report, Row, total_of

TEXTS = (
    *("From", "To", "Sponsored award", "First posted", "Entered", "Days", "Entered by", "Approved by"),
    *("Reason", "Justification", "Remark"),
)
# What paper has of these, in the name of a row.
ON_PAPER = (0, 1, 3, 5, 10)
COLUMNS = (Column("unjustified", "Without justification", COUNT), Column("amount", "Moved"))
HOW = (
    "Days are counted from the posting date of the first journal that charged what is moved to the day on which the "
    "transfer was entered. What was on no journal yet has no days."
)
REVIEWED = (
    "Who pays that was changed in the review after a journal had charged it is a transfer, too: its note is its "
    "justification."
)
SAME_FUND = "Transfers that change the PI or project and no fund/org are not in this report."


@dataclass(frozen=True)
class Transfer:
    """A transfer between funds: who is relieved and who pays, over how much, and since when it was in the ledger."""

    name: str
    relieved: tuple[str, ...]
    paying: tuple[str, ...]
    sponsored: tuple[str, ...]
    currency: str
    amount: Decimal
    posted: datetime.date | None
    entered_at: datetime.datetime
    entered_by: str
    approved_by: str
    reason: str
    justification: str

    @property
    def entered(self) -> datetime.date:
        return timezone.localdate(self.entered_at)

    @property
    def days(self) -> int | None:
        return (self.entered - self.posted).days if self.posted else None

    def is_late(self, limit: int) -> bool:
        return self.days is not None and self.days > limit

    def is_unjustified(self, limit: int) -> bool:
        """Whether it touches a sponsored award, comes later than the policy's days, and nobody said why so late."""
        return bool(self.sponsored) and self.is_late(limit) and not self.justification.strip()


def cost_transfers(facts: Facts) -> Report:
    """Return the transfers between funds that months charge, each in a row, the latest entered first."""
    limit = facts.policy.transfer_justification_days
    transfers = sorted([*_transfers(facts), *_reviewed(facts)], key=lambda each: each.entered_at, reverse=True)
    currencies = sorted({each.currency for each in transfers})
    currency = chosen(currencies, facts)
    rows = [_row(each, limit) for each in transfers if each.currency == currency]
    proposed = _corrections(facts).filter(state=Correction.State.PROPOSED).count()
    notes = [
        HOW,
        REVIEWED,
        f"A transfer of a sponsored award after more than {limit} days needs a justification, as the policy has it.",
        SAME_FUND,
        *([f"Corrections that wait for approval and are not counted: {proposed:,}."] if proposed else []),
    ]
    return Report(
        asked=facts.asked,
        currency=currency,
        columns=COLUMNS,
        rows=tuple(rows),
        total=total_of(COLUMNS, rows),
        heading=LABELS[facts.asked.by],
        currencies=tuple(currencies) or (currency,),
        notes=tuple(notes),
        texts=TEXTS,
        on_paper=ON_PAPER,
    )


def _corrections(facts: Facts) -> CorrectionQuerySet:
    """Return the transfers of the months, narrowed to what the report is."""
    lines = narrowed(CorrectionLine.objects.all(), facts.asked, facts.homes)
    return Correction.objects.filter(
        kind=Correction.Kind.TRANSFER,
        charged_in__in=list(facts.periods),
        pk__in=lines.order_by().values("correction"),
    )


def _transfers(facts: Facts) -> Iterator[Transfer]:
    corrections = list(
        _corrections(facts).approved().order_by("-entered_at", "-pk").prefetch_related("lines__customer")
    )
    lines = {each.pk: list(each.lines.all()) for each in corrections}
    keys = {(line.corrects_period_id, line.corrects_key) for of in lines.values() for line in of if line.corrects_key}
    posted = ledger.first_posted({(period_id, key) for period_id, key in keys if period_id})
    funds = {line.fund_org for of in lines.values() for line in of}
    awards = set(FundingSource.objects.filter(fund_org__in=funds, is_sponsored=True).values_list("fund_org", flat=True))
    for correction in corrections:
        net: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for line in lines[correction.pk]:
            net[line.paid_by] += line.amount
        relieved = tuple(sorted(payer for payer, amount in net.items() if amount < 0))
        paying = tuple(sorted(payer for payer, amount in net.items() if amount > 0))
        if not paying:
            continue
        days = [
            posted[line.corrects_period_id, line.corrects_key]
            for line in lines[correction.pk]
            if line.corrects_period_id and (line.corrects_period_id, line.corrects_key) in posted
        ]
        amount = sum((amount for amount in net.values() if amount > 0), ZERO)
        sponsored = tuple(sorted(awards & {*relieved, *paying}))
        yield Transfer(
            name=str(correction).capitalize(),
            relieved=relieved,
            paying=paying,
            sponsored=sponsored,
            currency=correction.currency,
            amount=amount,
            posted=min(days, default=None),
            entered_at=correction.entered_at,
            entered_by=correction.entered_by_name,
            approved_by=correction.decided_by_name,
            reason=correction.reason,
            justification=correction.justification,
        )


def _reviewed(facts: Facts) -> Iterator[Transfer]:
    """Yield what was moved in the review after a journal had charged it."""
    moved = moved_payers(facts)
    awards = set(FundingSource.objects.filter(is_sponsored=True).values_list("fund_org", flat=True)) if moved else set()
    for each in moved:
        decision = each.decision
        charges = "1 charge" if each.charges == 1 else f"{each.charges:,} charges"
        yield Transfer(
            name=f"Review decision {decision.pk}, {charges}",
            relieved=each.relieved,
            paying=each.paying,
            sponsored=tuple(sorted(awards & {*each.relieved, *each.paying})),
            currency=facts.policy.currency,
            amount=each.amount,
            posted=each.posted,
            entered_at=decision.decided_at,
            entered_by=decision.decided_by_name,
            approved_by="",
            reason=decision.get_action_display(),
            justification=decision.note,
        )


def _row(each: Transfer, limit: int) -> Row:
    is_unjustified = each.is_unjustified(limit)
    remark = f"Over {limit} days" if each.is_late(limit) else ""
    if is_unjustified:
        remark += " without a justification"
    texts = (
        ", ".join(each.relieved),
        ", ".join(each.paying),
        ", ".join(each.sponsored),
        long_date(each.posted) if each.posted else "",
        long_date(each.entered),
        "" if each.days is None else f"{each.days:,}",
        each.entered_by,
        each.approved_by,
        " ".join(each.reason.split()),
        " ".join(each.justification.split()),
        remark,
    )
    return Row(each.name, (int(is_unjustified), each.amount), texts=texts)
