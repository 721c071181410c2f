"""Why a month came to more or less than the one before: the lines that moved most, and the resources behind them."""

import datetime
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db.models import Q, QuerySet

from billing import quantities
from billing.fields import AmountSum
from billing.models import BillingPeriod, PayerLine, Person, Project
from billing.money import ZERO
from billing.quantities import Usage
from billing.texts import iso_month

from .. import issuing
from ..models import StatementLine, StatementQuerySet

# How many lines a page names, and how many resources of each.
SHOWN, NAMED = 5, 3
# What says of a line with which others it moves.
ABOUT = ("service_name", "source_label", "kind", "for_month")
CORRECTIONS = "Corrections and late changes"


class Cell(NamedTuple):
    """What moves as one: a service of a PI's project, or all that corrects its earlier months."""

    pi: int
    project: int | None
    what: str
    is_correction: bool = False


@dataclass(frozen=True)
class Moved:
    """A resource behind a change."""

    name: str
    change: Decimal


@dataclass(frozen=True)
class Change:
    """What was charged last month and this month for one service of a project."""

    what: str
    project: str
    pi: str
    before: Decimal
    now: Decimal
    # How much was used then and now, where it is one unit: `380,000 → 412,600 core-hours`.
    used: str = ""
    resources: tuple[Moved, ...] = ()
    # The statement to read on in, "" for none.
    statement: str = ""

    @property
    def change(self) -> Decimal:
        return self.now - self.before


@dataclass(frozen=True)
class Changes:
    """What moved most between two months, and all else in one sum: together the change of the total charged."""

    currency: str
    rows: tuple[Change, ...]
    others: int
    rest: Decimal

    @property
    def total(self) -> Decimal:
        return sum((row.change for row in self.rows), self.rest)


@dataclass
class _Behind:
    """What the lines of one cell say in one month."""

    resources: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    usage: list[Usage] = field(default_factory=list)
    statement: str = ""


def changes(statements: StatementQuerySet, now: BillingPeriod, before: BillingPeriod, currency: str) -> Changes:
    """Return what moved most from one month to the next, by what statements charge in a currency."""
    lines = StatementLine.objects.filter(
        statement__in=statements.filter(period__in=(now, before), currency=currency).order_by().values("pk")
    )
    amounts = _amounts(lines.order_by(), now)
    moved = {cell: each[1] - each[0] for cell, each in amounts.items() if each[0] != each[1]}
    most = sorted(moved, key=lambda cell: (-abs(moved[cell]), cell.what, cell.pi, cell.project or 0))[:SHOWN]
    behind = _behind(lines, most, now)
    projects = Project.objects.in_bulk({cell.project for cell in most if cell.project})
    people = Person.objects.in_bulk({cell.pi for cell in most})
    rows = tuple(
        Change(
            what=CORRECTIONS if cell.is_correction else cell.what,
            project=projects[cell.project].display_name if cell.project else "",
            pi=people[cell.pi].display_name,
            before=amounts[cell][0],
            now=amounts[cell][1],
            used=_used(behind[cell, False], behind[cell, True]),
            resources=_resources(behind[cell, False], behind[cell, True]),
            statement=behind[cell, True].statement or behind[cell, False].statement,
        )
        for cell in most
    )
    return Changes(currency, rows, len(moved) - len(most), sum(moved.values(), ZERO) - sum(r.change for r in rows))


def _amounts(lines: "QuerySet[StatementLine]", now: BillingPeriod) -> dict[Cell, list[Decimal]]:
    """Return what each cell was charged last month and this month, added up by the database."""
    found: dict[Cell, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    rows = lines.values_list("statement__pi", "statement__project", "statement__period__month", *ABOUT)
    for pi, project, month, *about, charged in rows.annotate(sum=AmountSum("charged")):
        found[_cell(about, pi, project, month)][month == now.month] += charged
    return found


def _cell(about: Sequence[str], pi: int, project: int | None, month: datetime.date) -> Cell:
    """Return what a line moves with; `about` are its columns of ABOUT."""
    line = StatementLine(**dict(zip(ABOUT, about, strict=True)))
    if line.is_correction_in(iso_month(month)):
        return Cell(pi, project, "", is_correction=True)
    what = line.service_name or line.source_label
    return Cell(pi, project, f"Share of: {what}" if line.kind == PayerLine.Kind.SHARED else what)


def _behind(
    lines: "QuerySet[StatementLine]", cells: Sequence[Cell], now: BillingPeriod
) -> dict[tuple[Cell, bool], _Behind]:
    """Return what the lines of these cells say of resources and usage, by cell and whether it is of this month."""
    found: dict[tuple[Cell, bool], _Behind] = defaultdict(_Behind)
    owners = {(cell.pi, cell.project) for cell in cells}
    if not owners:
        return found
    theirs = reduce(or_, (Q(statement__pi=pi, statement__project=project) for pi, project in owners))
    wanted: dict[int, _Behind] = {}
    owned = ("pk", "statement__pi", "statement__project", "statement__period__month", "statement__number")
    for pk, pi, project, month, number, *about in lines.filter(theirs).values_list(*owned, *ABOUT):
        cell = _cell(about, pi, project, month)
        if cell in cells:
            behind = found[cell, month == now.month]
            behind.statement = number
            if not cell.is_correction:
                wanted[pk] = behind
    # Their resources are long, so they are read of these lines alone.
    for pk, resources, usage in StatementLine.objects.filter(pk__in=wanted).values_list("pk", "resources", "usage"):
        behind = wanted[pk]
        behind.usage += issuing.usage_of(usage)
        for each in resources:
            # Those beyond the ones that a statement names have no name.
            if name := each["name"] or each["id"]:
                behind.resources[name] += Decimal(each["charged"])
    return found


def _used(before: _Behind, now: _Behind) -> str:
    was, used = quantities.added(before.usage), quantities.added(now.usage)
    units = {(each.unit, each.percent) for each in (*was, *used)}
    if len(units) != 1 or was == used:
        return ""
    return f"{quantities.for_people(was[0].quantity) if was else '0'} → {used[0] if used else Usage(ZERO, was[0].unit)}"


def _resources(before: _Behind, now: _Behind) -> tuple[Moved, ...]:
    moved = {
        name: now.resources.get(name, ZERO) - before.resources.get(name, ZERO)
        for name in {**before.resources, **now.resources}
    }
    ordered = sorted((name for name in moved if moved[name]), key=lambda name: (-abs(moved[name]), name))
    return tuple(Moved(name, moved[name]) for name in ordered[:NAMED])
