"""The statement that each owner ought to have, beside the one in force."""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max
from django.utils import timezone

from billing.audit import Actor
from billing.models import (
    BillingPeriod,
    BillingReference,
    PayerLine,
    Person,
    Policy,
    Project,
)

from ..document import Figures
from ..models import Statement, StatementLine
from ..portal_links import statement_link
from .snapshots import Material, digest_of, figures_of, material_of

# What PIs are charged: the center's own lines (charged to center, funded subsidies) are on no statement.
STATED = PayerLine.CHARGED

# The ids of a PI and, where there is one, a project.
Owner = tuple[int | None, int | None]


@dataclass(frozen=True)
class Planned:
    """One owner's statement as it ought to be, beside the one in force."""

    pi: Person
    project: Project | None
    reference: BillingReference | None
    # Names and texts as a new revision would print them.
    content: dict[str, Any]
    lines: list[StatementLine]
    live: Statement | None
    revision: int
    last_number: str
    month: str
    digest: str

    @property
    def figures(self) -> Figures:
        return Figures.total(figures_of(line) for line in self.lines)

    @property
    def corrections(self) -> Figures:
        """What of it is no charge of the month itself."""
        return Figures.total(figures_of(line) for line in self.lines if line.is_correction_in(self.month))

    @property
    def is_new(self) -> bool:
        return self.live is None or self.live.digest != self.digest

    @property
    def number(self) -> str:
        """As it will be printed; empty where a dry run meets an owner without a reference."""
        if not self.is_new and self.live:
            return self.live.number
        return f"{self.reference.text}-{self.revision}" if self.reference else ""


@dataclass(frozen=True)
class _Existing:
    """What a month has of references and statements, by owner."""

    references: dict[Owner, BillingReference]
    live: dict[Owner, Statement]
    # Owners whose statement in force has lines.
    stated: frozenset[Owner]
    # The last revision by the reference's id.
    revisions: dict[int, int]


def plan(
    period: BillingPeriod, lines: Iterable[PayerLine], references: Mapping[Owner, BillingReference] | None = None
) -> list[Planned]:
    """Return the statement each owner ought to have, in the order of their references. Writes nothing.

    The references are those of the month, or those that it will have. An owner who has no charges any more gets a
    statement of zero, once: then it stays as it is.
    """
    policy = Policy.objects.current()
    stated = [line for line in lines if line.kind in STATED and line.pi is not None]
    owners: dict[Owner, list[PayerLine]] = defaultdict(list)
    for line in stated:
        owners[line.pi_id, line.project_id].append(line)
    if not policy.issues_zero_statements:
        owners = {owner: own for owner, own in owners.items() if _says_something(own)}
    material = material_of(period, stated, policy)
    existing = _existing(period, references or {})
    vanished = [owner for owner in existing.live if owner not in owners and owner in existing.stated]
    kept = [each for owner, each in existing.live.items() if owner not in owners and owner not in existing.stated]
    planned = [_planned(period, owner, owners.get(owner, ()), existing, material) for owner in [*owners, *vanished]]
    return sorted([*planned, *(_as_it_is(each, period) for each in kept)], key=_order)


def _existing(period: BillingPeriod, foreseen: Mapping[Owner, BillingReference]) -> _Existing:
    # With `line_count`, which is no field of it.
    live: list[Any] = list(
        Statement.objects.live()
        .filter(period=period)
        .select_related("pi", "project", "reference__period")
        .annotate(line_count=Count("lines"))
    )
    revisions = (
        Statement.objects.filter(period=period).order_by().values_list("reference").annotate(last=Max("revision"))
    )
    references = BillingReference.objects.filter(period=period).select_related("period")
    return _Existing(
        references={(each.pi_id, each.project_id): each for each in references} | {**foreseen},
        live={(each.pi_id, each.project_id): each for each in live},
        stated=frozenset((each.pi_id, each.project_id) for each in live if each.line_count),
        revisions=dict(revisions),
    )


def _planned(
    period: BillingPeriod, owner: Owner, lines: Sequence[PayerLine], existing: _Existing, material: Material
) -> Planned:
    """Return the statement an owner ought to have; without lines it is one of zero."""
    own = sorted(lines, key=_line_order)
    current = existing.live.get(owner)
    pi = own[0].pi if own else current.pi if current else None
    assert pi is not None
    project = own[0].project if own else current.project if current else None
    reference = existing.references.get(owner)
    revision = existing.revisions.get(reference.pk, 0) if reference else 0
    content = material.content_of(pi, project, own)
    printed = material.lines_of(own)
    return Planned(
        pi=pi,
        project=project,
        reference=reference,
        content=content,
        lines=printed,
        live=current,
        revision=revision + 1,
        last_number=f"{reference.text}-{revision}" if reference and revision else "",
        month=period.iso_month,
        digest=digest_of(content, printed, material.policy.currency),
    )


def statement_of(
    planned: Planned, *, period: BillingPeriod, currency: str, actor: Actor, now: datetime.datetime
) -> Statement:
    """Return a planned statement as it is stored, and make it that of its lines; nothing is saved."""
    figures, corrections = planned.figures, planned.corrections
    statement = Statement(
        number=planned.number,
        reference=planned.reference,
        revision=planned.revision,
        period=period,
        pi=planned.pi,
        project=planned.project,
        digest=planned.digest,
        document={
            **planned.content,
            "replaces": planned.last_number,
            "issued_on": timezone.localtime(now).date().isoformat(),
            "portal_url": statement_link(planned.number),
        },
        currency=currency,
        list_cost=figures.list_cost,
        contracted_cost=figures.contracted_cost,
        charged=figures.charged,
        corrections_list_cost=corrections.list_cost,
        corrections_contracted_cost=corrections.contracted_cost,
        corrections=corrections.charged,
        review_until=_review_until(period),
        issued_at=now,
        issued_by=actor.user,
    )
    for line in planned.lines:
        line.statement = statement
    return statement


def _review_until(period: BillingPeriod) -> datetime.date | None:
    """Return the day until which PIs may ask; known while the month is in review."""
    return period.review_until if period.status == BillingPeriod.Status.REVIEW else None


def _as_it_is(statement: Statement, period: BillingPeriod) -> Planned:
    """Return a statement of zero that stays: its owner had no charges before, and has none now."""
    return Planned(
        pi=statement.pi,
        project=statement.project,
        reference=statement.reference,
        content=statement.document,
        lines=[],
        live=statement,
        revision=statement.revision,
        last_number="",
        month=period.iso_month,
        digest=statement.digest,
    )


def _order(planned: Planned) -> tuple[bool, int, str, str]:
    return (
        planned.reference is None,
        planned.reference.number if planned.reference else 0,
        planned.pi.email,
        planned.project.code if planned.project else "",
    )


def _says_something(lines: Sequence[PayerLine]) -> bool:
    total = Figures.total(Figures(line.list_cost, line.contracted_cost, line.charged) for line in lines)
    # A transfer between two fund/orgs of one owner comes to nothing, and is there to be seen.
    return bool(total.list_cost or total.charged) or any(line.kind in PayerLine.ENTERED for line in lines)


def _line_order(line: PayerLine) -> tuple[str | bool, ...]:
    is_of_month = line.for_period_id == line.period_id
    return (
        # As they are printed: the month's own first, then corrections.
        not is_of_month or line.kind == PayerLine.Kind.LATE or line.kind in PayerLine.ENTERED,
        line.fund_org,
        line.source.label,
        # Shares come after what is one's own.
        line.kind == PayerLine.Kind.SHARED,
        line.service_name,
        line.for_period.iso_month,
        line.natural_account,
        line.key,
    )
