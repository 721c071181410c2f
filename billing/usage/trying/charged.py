"""Trials of who pays for charges: a rule, a split, or re-applied rules on months; large ones by the worker."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core import serializers

from ...models import AttributionRule, BillingPeriod, Charge, Policy, Project, Source
from ...months import checklist
from ...progress import Progress
from ...quantities import plain
from ...texts import iso_month
from .asking import key_of, register_trial
from .results import Tried
from .rules import chosen_for_rule, try_reapplied, try_rule
from .splits import chosen_for_split, month_named, try_split
from .subjects import NothingToTry

# Charges of its months that are looked at while somebody waits.
MOST_TRIED = 10_000


@dataclass(frozen=True)
class OfCharges:
    """A Trial on the charges of months. `arguments` say it; `attempt` tries it."""

    arguments: Mapping[str, Any]
    periods: tuple[BillingPeriod, ...]
    attempt: Callable[[Progress], Tried]

    @property
    def key(self) -> str:
        return key_of(self.arguments)

    @property
    def job_subject(self) -> str:
        return self.key

    def is_large(self) -> bool:
        """Tell whether no page waits for it, because of how many charges its months have."""
        charges = Charge.objects.filter(charged_in__in=self.periods).order_by()
        return charges[: MOST_TRIED + 1].count() > MOST_TRIED

    def stamp(self) -> tuple[object, ...]:
        # A rule, a split and a project that change are events, as a decision is.
        return (Policy.objects.current().pk, sorted(checklist.stamps_of(self.periods).items()))

    def run(self, *, now: datetime.datetime, progress: Progress) -> Tried:
        return self.attempt(progress)


def of_split(*, project: Project, shares: Mapping[str, Decimal], months: Sequence[datetime.date] = ()) -> OfCharges:
    """Return a split of a project as what is tried. Raises NoMonths and NotTried."""
    periods = chosen_for_split(project, list(months))
    chosen = [each.month for each in periods]
    said = {"project": project.pk, "shares": {fund_org: plain(percent) for fund_org, percent in shares.items()}}
    return OfCharges(
        {"split": said, "months": [iso_month(each) for each in chosen]},
        tuple(periods),
        lambda progress: try_split(project=project, shares=shares, months=chosen, progress=progress),
    )


def of_rule(*, rule: AttributionRule, months: Sequence[datetime.date] = ()) -> OfCharges:
    """Return a rule, stored or not, as what is tried. Raises NoMonths and NotTried."""
    periods = chosen_for_rule(rule, list(months))
    chosen = [each.month for each in periods]
    (said,) = serializers.serialize("python", [rule])
    fields = {name: str(value) if isinstance(value, datetime.date) else value for name, value in said["fields"].items()}
    return OfCharges(
        {"rule": {**said, "fields": fields}, "months": [iso_month(each) for each in chosen]},
        tuple(periods),
        lambda progress: try_rule(rule=rule, months=chosen, progress=progress),
    )


def of_reapplied(*, period: BillingPeriod, source: Source | None = None) -> OfCharges:
    """Return what re-applying tags, rules and defaults to a month would make of it, as what is tried."""
    return OfCharges(
        {"reapply": source.name if source else "", "months": [period.iso_month]},
        (period,),
        lambda progress: try_reapplied(period=period, source=source, progress=progress),
    )


def _split_in(arguments: Mapping[str, Any]) -> OfCharges:
    said = arguments["split"]
    project = Project.objects.select_related("pi__customer", "customer").filter(pk=said["project"]).first()
    if project is None:
        raise NothingToTry("Somebody removed the project meanwhile: there is nothing to try.")
    shares = {fund_org: Decimal(percent) for fund_org, percent in said["shares"].items()}
    return of_split(project=project, shares=shares, months=_months_in(arguments))


def _rule_in(arguments: Mapping[str, Any]) -> OfCharges:
    (found,) = serializers.deserialize("python", [arguments["rule"]])
    assert isinstance(found.object, AttributionRule)
    return of_rule(rule=found.object, months=_months_in(arguments))


def _reapplied_in(arguments: Mapping[str, Any]) -> OfCharges:
    source = Source.objects.named(arguments["reapply"]) if arguments["reapply"] else None
    return of_reapplied(period=BillingPeriod.objects.named(arguments["months"][0]), source=source)


def _months_in(arguments: Mapping[str, Any]) -> list[datetime.date]:
    return [month_named(each) for each in arguments["months"]]


register_trial("split", _split_in)
register_trial("rule", _rule_in)
register_trial("reapply", _reapplied_in)
