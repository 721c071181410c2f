"""A run of statements: payer lines are made, what changed is issued, and PDFs are drawn."""

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from billing import audit, charging
from billing.audit import Actor
from billing.files import documents
from billing.models import (
    BillingPeriod,
    MonthTotal,
    PayerLine,
    Policy,
)
from billing.months import checklist, closing
from billing.progress import Progress, unwatched

from ..document import INVOICE, Figures
from .ahead import charges_ahead
from .pdfs import pdf_path, render_missing
from .planning import Planned, plan
from .revisions import issue, refuse_finalized

# What a run would issue of a month is kept under this name.
PREVIEW = "statements-preview"


@dataclass(frozen=True)
class Issued:
    """A statement in force after a run (or that would be, after a dry one)."""

    number: str
    revision: int
    pi: str
    pi_name: str
    project: str
    fund_orgs: tuple[str, ...]
    # Whether a customer pays, of whom no fund/org is known.
    is_invoiced: bool
    figures: Figures
    # What of the figures is no charge of the month itself.
    corrections: Figures
    pdf: str
    is_new: bool
    replaces: str = ""

    @property
    def month(self) -> Figures:
        return self.figures.less(self.corrections)

    @property
    def payers(self) -> str:
        """Who pays, in a cell of its own."""
        return ", ".join([*self.fund_orgs, *([INVOICE] if self.is_invoiced else [])])


@dataclass(frozen=True)
class Held:
    """What waits for review and is on no statement; billed in the institution's currency."""

    count: int
    billed: Decimal
    foreign: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Generated:
    """What a run issued: every statement in force, and what became of the others."""

    period: str
    currency: str
    is_dry_run: bool
    statements: tuple[Issued, ...]
    held: Held
    issued: int
    superseded: int
    unchanged: int
    drawn: int = 0

    @property
    def figures(self) -> Figures:
        return Figures.total(each.figures for each in self.statements)

    @property
    def corrections(self) -> Figures:
        return Figures.total(each.corrections for each in self.statements)

    @property
    def month(self) -> Figures:
        return self.figures.less(self.corrections)

    # Pages ask for it at each statement.
    @cached_property
    def has_corrections(self) -> bool:
        return any(each.corrections != Figures() for each in self.statements)


def preview(period: BillingPeriod) -> Generated:
    """Return what a run would issue as things are, and write nothing. Raises the errors of `generate`."""
    refuse_finalized(period)
    planned = plan(period, charging.compute(period))
    return _result(period, planned, _held(period), is_dry_run=True)


def generate(
    *,
    period: BillingPeriod,
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Generated:
    """Bring a period's statements up to date with its charges, and draw those that have no PDF.

    Makes payer lines first. A statement is issued where none is in force, and as a new revision where
    figures, payers or what is charged changed (see snapshots.IN_DIGEST), never because its month moved on; an
    owner who has no charges any more gets a revision of zero. What did not change stays. A dry run computes the
    same and writes nothing.

    1. The charges of what would be issued are written to files without names, while nobody waits.
    2. The month is locked, so that its charges and statements change under no other run.
    3. Payer lines are made, and statements issued from them: both are committed, or neither. A file of charges gets
       its name if nothing changed of it since; else it is written anew.
    4. PDFs are drawn after the commit. A run that is stopped there is resumed by the next.

    Raises StatementsFrozen for a finalized period, and the errors of `charging.make_payer_lines`.
    """
    if dry_run:
        return preview(period)
    refuse_finalized(period)
    progress(0, 0, "Charging")
    with (
        charges_ahead(period, actor=actor, now=now, progress=progress) as charges,
        audit.gesture(actor=actor, now=now) as gesture,
    ):
        period = closing.locked(period)
        refuse_finalized(period)
        charges.look_again(period)
        charging.make_payer_lines(period=period, actor=actor, now=now)
        lines = PayerLine.objects.filter(period=period).select_related(
            "pi", "project", "source", "for_period", "customer"
        )
        planned = plan(period, lines)
        issue([each for each in planned if each.is_new], period=period, charges=charges, gesture=gesture)
        result = _result(period, planned, _held(period), is_dry_run=False)
    drawn = render_missing(period=period, actor=actor, now=now, progress=progress)
    return dataclasses.replace(result, drawn=drawn)


def kept_preview(period: BillingPeriod, *, waits: bool = True) -> Generated | None:
    """Return what a run would issue, as it was worked out last if nothing changed since; else work it out.

    A page that does not wait gets None of a large month (see checklist.kept_result). Raises the errors of `generate`.
    """
    return checklist.kept_result(period, PREVIEW, lambda: preview(period), waits=waits)


def _held(period: BillingPeriod) -> Held:
    home = Policy.objects.current().currency
    held = MonthTotal.objects.of_month(period).held().billed_by_currency()
    return Held(
        count=sum(count for count, _ in held.values()),
        billed=held.pop(home, (0, Decimal(0)))[1],
        foreign={currency: billed for currency, (_, billed) in held.items()},
    )


def _result(period: BillingPeriod, planned: Sequence[Planned], held: Held, *, is_dry_run: bool) -> Generated:
    statements = tuple(
        Issued(
            number=each.number,
            revision=each.revision if each.is_new or not each.live else each.live.revision,
            pi=each.pi.email,
            pi_name=each.pi.display_name,
            project=each.project.code if each.project else "",
            fund_orgs=tuple(dict.fromkeys(line.fund_org for line in each.lines if line.fund_org)),
            is_invoiced=any(not line.fund_org for line in each.lines),
            figures=each.figures,
            corrections=each.corrections,
            pdf="" if is_dry_run else str(documents.place(pdf_path(period.iso_month, each.number))),
            is_new=each.is_new,
            replaces=each.last_number if each.is_new else "",
        )
        for each in planned
    )
    issued = sum(each.is_new for each in planned)
    return Generated(
        period=period.iso_month,
        currency=Policy.objects.current().currency,
        is_dry_run=is_dry_run,
        statements=statements,
        held=held,
        issued=issued,
        superseded=sum(each.is_new and each.live is not None for each in planned),
        unchanged=len(planned) - issued,
    )
