"""All that the first page of the portal says to a PI or a delegate."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.db.models import Count

from billing.fields import AmountSum
from billing.models import BillingPeriod, Policy, Project
from billing.models.scopes import Scope
from billing.money import ZERO
from billing.texts import long_date

from ..document import Notice
from ..issuing import noticing
from ..models import Statement, StatementQuerySet
from .changes import Changes, changes
from .due import Due, due
from .so_far import SoFar, of_month, so_far

# Statements that the page lists, the largest first; the list of statements has all.
LISTED = 20
HELD_AFTER = "Charges for service after that day are held for review."


@dataclass(frozen=True)
class Listed:
    """A statement of the month, and what the same PI and project were charged in the month before."""

    statement: Statement
    before: Decimal

    @property
    def change(self) -> Decimal:
        return self.statement.charged - self.before


@dataclass(frozen=True)
class Home:
    """The newest month with statements, why it changed, the open month so far, and what there is to know."""

    period: BillingPeriod | None = None
    # The month before, where it has statements of theirs.
    before: BillingPeriod | None = None
    due: Sequence[Due] = ()
    changes: Sequence[Changes] = ()
    so_far: SoFar | None = None
    # What still waits for review of the month with statements.
    held: SoFar | None = None
    notices: Sequence[Notice] = ()
    statements: Sequence[Listed] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def home(scope: Scope, statements: StatementQuerySet, *, today: datetime.date) -> Home:
    """Return what the first page says of the statements in force that somebody may see."""
    newest = statements.order_by("-period__month").select_related("period").first()
    if newest is None:
        return Home(so_far=so_far(scope))
    period = newest.period
    month_before = (period.month - datetime.timedelta(days=1)).replace(day=1)
    before = BillingPeriod.objects.filter(month=month_before, pk__in=statements.order_by().values("period")).first()
    of_month_now = statements.filter(period=period)
    sums = due(statements, period, before)
    held = of_month(scope, period) if period.takes_changes else None
    return Home(
        period=period,
        before=before,
        due=sums,
        changes=[
            made
            for each in sums
            if before and each.before is not None
            if (made := changes(statements, period, before, each.currency)).rows
        ],
        so_far=so_far(scope, after=period.month),
        held=held if held and held.held else None,
        notices=_notices(of_month_now, today),
        statements=_listed(of_month_now, statements.filter(period=before) if before else None),
        counts=of_month_now.order_by().aggregate(
            statements=Count("pk"), pis=Count("pi", distinct=True), projects=Count("project", distinct=True)
        ),
    )


def _listed(statements: StatementQuerySet, before: StatementQuerySet | None) -> list[Listed]:
    shown = list(statements.select_related("period", "pi", "project").order_by("-charged", "number")[:LISTED])
    was: dict[tuple[int, int | None, str], Decimal] = {}
    if before is not None:
        of_these = before.filter(pi__in={each.pi_id for each in shown}).order_by()
        for pi, project, currency, charged in of_these.values_list("pi", "project", "currency").annotate(
            sum=AmountSum("charged")
        ):
            was[pi, project, currency] = charged
    return [Listed(each, was.get((each.pi_id, each.project_id, each.currency), ZERO)) for each in shown]


def _notices(statements: StatementQuerySet, on: datetime.date) -> list[Notice]:
    """Say of which projects something ends soon, the nearest first, then what the institution has to say."""
    found: list[tuple[datetime.date, str]] = []
    for project in Project.objects.filter(pk__in=statements.order_by().values("project")):
        name = project.display_name
        if (end := project.end_date) and noticing.is_near(end, on):
            found.append((end, f"{name} {noticing.ends(end, on)}. {HELD_AFTER}"))
        elif end and end < on:
            found.append((end, f"{name} ended on {long_date(end)}. {HELD_AFTER}"))
        if (end := project.reconciliation_end_date) and noticing.is_near(end, on):
            found.append((end, f"The reconciliation of {name} {noticing.ends(end, on)}. Please ask before then."))
    told = [Notice(text, (end - on).days <= noticing.URGENT_DAYS) for end, text in sorted(found)]
    return told + [Notice(text) for text in noticing.standing(Policy.objects.current())]
