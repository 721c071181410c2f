"""Trying a split of a project: who would pay for the charges of months if several fund/orgs shared them so.

A split moves what is charged from some fund/orgs to others, and changes no amount.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from django.db.models import Q, QuerySet

from ... import charging
from ...errors import BillingError
from ...models import BillingPeriod, Charge, Policy, Project, Source
from ...models.periods import parse_month
from ...progress import Progress, unwatched
from ...texts import long_month
from .asking import OFFERED, TRIED, NoMonths, NotTried
from .months import lines_compared
from .results import Line, MonthTried, Tried

# Under this id the split that is tried pays; no stored one has it.
TRIED_SPLIT = -1
HUNDRED = Decimal(100)


class NotSplit(BillingError):
    """A project cannot be split, or not so."""


def months_of_project(project: Project) -> list[BillingPeriod]:
    """Return the last months that have charges of a project, latest first."""
    charged = Charge.objects.filter(project=project).standing().order_by()
    return list(BillingPeriod.objects.filter(pk__in=charged.values("period")).order_by("-month")[:OFFERED])


def try_split(
    *,
    project: Project,
    shares: Mapping[str, Decimal],
    months: Iterable[datetime.date] = (),
    progress: Progress = unwatched,
) -> Tried:
    """Return what months would be charged if these shares, in percent by fund/org, paid for all of a project's charges.

    Without `months` it is tried on the last three that have charges of it. What a decision assigned stays as it was
    decided, and nothing is stored. Raises NotSplit where the shares are not 100 percent or a customer pays the project
    by invoice, and NoMonths and NotTried.
    """
    whole = sum(shares.values(), Decimal(0))
    if whole != HUNDRED or any(percent <= 0 for percent in shares.values()):
        raise NotSplit(f"The shares sum to {whole.normalize():f} percent, not to 100, or one of them is not above 0.")
    customer = project.customer or (project.pi.customer if project.pi else None)
    if customer:
        raise NotSplit(f"{customer} pays this project by invoice: no fund/orgs share it.")
    said = ", ".join(f"{fund_org} {percent.normalize():f}%" for fund_org, percent in sorted(shares.items()))
    found, periods = [], chosen_for_split(project, list(months))
    for number, period in enumerate(periods):
        progress(number, len(periods), f"Trying {long_month(period.month)}")
        sources = Source.objects.filter(pk__in=_charges(project, period).values("source")).order_by("name")
        found += [_tried(project, shares, source, period) for source in sources]
    return Tried(f"A split of {project.code} ({said})", Policy.objects.current().currency, tuple(found))


def month_named(text: str) -> datetime.date:
    """Return a month written `2025-01`; raise NotTried."""
    try:
        return parse_month(text)
    except ValueError as error:
        raise NotTried(str(error)) from error


def chosen_for_split(project: Project, months: Sequence[datetime.date]) -> list[BillingPeriod]:
    """Return the months to try a split on: those given, else the last three. Raises NoMonths and NotTried."""
    found = months_of_project(project)
    if not found:
        raise NoMonths(f"There is no month to try a split on: {project.code} has no charges yet.")
    if not months:
        return sorted(found[:TRIED], key=lambda period: period.month)
    known = {period.month: period for period in found}
    if unknown := [month for month in months if month not in known]:
        there_are = ", ".join(long_month(month) for month in sorted(known))
        raise NotTried(f"{project.code} has no charges in {long_month(unknown[0])}. It has some in: {there_are}.")
    return [known[month] for month in sorted(set(months))]


def _charges(project: Project, period: BillingPeriod) -> "QuerySet[Charge]":
    return Charge.objects.filter(project=project, period=period).standing().order_by()


def _tried(project: Project, shares: Mapping[str, Decimal], source: Source, period: BillingPeriod) -> MonthTried:
    about = MonthTried(
        feed=source.name,
        feed_label=source.label,
        month=period.month,
        state=period.get_status_display(),
        priced_by="",
    )
    split = Q(project=project) & ~Q(attributed_by__in=Charge.SETTLED) & Q(shared_as="")
    stays = list(charging.parts_standing(source, period, but=split))
    moves = list(charging.parts_standing(source, period, only=split))
    then = [*stays, *(each._replace(split_id=TRIED_SPLIT) for each in moves)]
    try:
        lines = lines_compared(
            charging.lines_foreseen(source=source, period=period, parts=[*stays, *moves]),
            charging.lines_foreseen(source=source, period=period, parts=then, shares={TRIED_SPLIT: dict(shares)}),
        )
        kept = tuple(line for line in lines if _is_of(project, line))
    except BillingError as error:
        return MonthTried(**{**vars(about), "problem": str(error)})
    return MonthTried(**{**vars(about), "lines": kept})


def _is_of(project: Project, line: Line) -> bool:
    """Tell whether a line is the project's, or one that the split moves, such as somebody's part of a shared cost."""
    return line.payer.project == project.code or bool(line.charged.difference)
