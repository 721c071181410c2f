"""Trying an attribution rule: who would pay for the charges of months by it, and what the ledger would have.

It is compared with what is charged. Only charges that nobody decided about go by rules, and only what this rule would
change of them counts: what re-applying the saved rules would change stays as it is charged.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db.models import Q

from ... import charging
from ...attribution import known_people, known_projects
from ...charging import Part
from ...charging.month import Sums
from ...clocks import Clocks
from ...errors import BillingError
from ...models import AttributionRule, BillingPeriod, Charge, PayerSplit, Person, Policy, Source
from ...progress import Progress, unwatched
from ...review.batches import batches
from ...review.comparison import SHOWN, Change, Comparison
from ...texts import folded_code, long_month
from .asking import OFFERED, TRIED, NoMonths, NotTried
from .months import lines_compared
from .results import MonthTried, Tried


class _Alike(NamedTuple):
    """Charges that a rule moves to the same payer, in the same state."""

    after: tuple[str, ...]
    state: str
    split_id: int | None


def try_rule(*, rule: AttributionRule, months: Iterable[datetime.date] = (), progress: Progress = unwatched) -> Tried:
    """Return what months would be charged if a rule, saved or not, were there and switched on; nothing is stored.

    Without `months` it is tried on the last three that have charges of its source. Raises NoMonths and NotTried.
    """
    found = [each for period in chosen_for_rule(rule, list(months)) for each in _tried(rule, period, progress)]
    return Tried(f"The attribution rule {rule.pk or '(new)'}", Policy.objects.current().currency, tuple(found))


def try_reapplied(*, period: BillingPeriod, source: Source | None = None, progress: Progress = unwatched) -> Tried:
    """Return what a month would be charged after re-applying tags, rules and defaults to it; nothing is stored."""
    moved = {each.charge: each for each in Comparison(period, source, progress).changes}
    found = [_of_source(each, period, alike) for each, alike in _by_source(moved, period).items()]
    return Tried(f"Re-applying rules to {long_month(period.month)}", Policy.objects.current().currency, tuple(found))


def months_of_rule(rule: AttributionRule) -> list[BillingPeriod]:
    """Return the last months that have charges a rule may be about, latest first."""
    charges = Charge.objects.live().order_by()
    if rule.source_id:
        charges = charges.filter(source=rule.source_id)
    periods = BillingPeriod.objects.filter(pk__in=charges.values("charged_in").distinct())
    return list(periods.order_by("-month")[:OFFERED])


def chosen_for_rule(rule: AttributionRule, months: list[datetime.date]) -> list[BillingPeriod]:
    """Return the months to try a rule on: those given, else the last three. Raises NoMonths and NotTried."""
    found = months_of_rule(rule)
    if not found:
        raise NoMonths("There is no month to try the rule on: its source has no charges yet.")
    if not months:
        return sorted(found[:TRIED], key=lambda period: period.month)
    known = {period.month: period for period in found}
    if unknown := [month for month in months if month not in known]:
        there_are = ", ".join(long_month(month) for month in sorted(known))
        raise NotTried(f"There is nothing to try the rule on in {long_month(unknown[0])}. There is in: {there_are}.")
    return [known[month] for month in sorted(set(months))]


def _tried(rule: AttributionRule, period: BillingPeriod, progress: Progress) -> list[MonthTried]:
    """Return what a month of each source would be charged, of those that the rule changes anything of."""
    moved = _moved(rule, period, progress)
    of_source = _by_source(moved, period)
    if not of_source:
        source = rule.source or Source.objects.order_by("name").first()
        return [_about(source, period)] if source else []
    return [_of_source(source, period, alike) for source, alike in of_source.items()]


def _moved(rule: AttributionRule, period: BillingPeriod, progress: Progress) -> dict[int, Change]:
    """Return what the rule changes of charges, by their ids: beyond what the saved rules would."""
    now = Comparison(period, rule.source, progress)
    by_it = Comparison(period, rule.source, progress, trial=rule)
    before = {each.charge: (each.after, each.state_after) for each in now.changes}
    return {each.charge: each for each in by_it.changes if before.get(each.charge) != (each.after, each.state_after)}


def _by_source(moved: Mapping[int, Change], period: BillingPeriod) -> dict[Source, dict[_Alike, list[int]]]:
    """Return the ids of charges that are moved, by source and by where they go."""
    sources = Source.objects.in_bulk()
    splits: dict[str, list[PayerSplit]] = defaultdict(list)
    for split in PayerSplit.objects.of_projects():
        if split.project:
            splits[folded_code(split.project.code)].append(split)
    clocks, found = Clocks(), defaultdict[Source, dict[_Alike, list[int]]](lambda: defaultdict(list))
    for batch in batches(sorted(moved)):
        rows = Charge.objects.filter(pk__in=batch, period=period)
        for pk, source, start, imported in rows.values_list("pk", "source", "charge_period_start", "imported_in"):
            change = moved[pk]
            said = _said(change.after)
            own = () if said["shared_as"] else splits.get(folded_code(said["project"]), ())
            holding = PayerSplit.holding_on(clocks.local(start, imported).date(), own) if own else None
            alike = _Alike(change.after, str(change.state_after), holding.pk if holding else None)
            found[sources[source]][alike].append(pk)
    return dict(sorted(found.items(), key=lambda each: each[0].name))


def _about(source: Source, period: BillingPeriod) -> MonthTried:
    return MonthTried(
        feed=source.name,
        feed_label=source.label,
        month=period.month,
        state=period.get_status_display(),
        priced_by="",
    )


def _of_source(source: Source, period: BillingPeriod, alike: Mapping[_Alike, list[int]]) -> MonthTried:
    emails = sorted({_said(each.after)["pi"] for each in alike} - {""})
    people = known_people(emails)
    unknown = [email for email in emails if email not in people]
    newcomers = [Person(pk=-number, email=email) for number, email in enumerate(unknown, start=1)]
    people |= {each.email: each.pk for each in newcomers}
    projects = known_projects()
    now = list(charging.parts_standing(source, period))
    then = list(now)
    for each, charges in alike.items():
        said = _said(each.after)
        for batch in batches(charges):
            for part in charging.parts_standing(source, period, only=Q(pk__in=batch)):
                then += [_less(part), _moved_to(part, each, said, people, projects)]
    try:
        lines = tuple(
            lines_compared(
                charging.lines_foreseen(source=source, period=period, parts=now),
                charging.lines_foreseen(source=source, period=period, parts=then, newcomers=newcomers),
            )
        )
    except BillingError as error:
        return MonthTried(**{**vars(_about(source, period)), "problem": str(error)})
    kept = tuple(line for line in lines if line.charged.difference or line.listed.difference)
    return MonthTried(**{**vars(_about(source, period)), "lines": kept})


def _less(part: Part) -> Part:
    """Return a part that takes another off, exactly."""
    sums = part.sums
    return part._replace(sums=Sums(-sums.list_cost, -sums.contracted_cost, -sums.charged, -sums.count))


def _moved_to(
    part: Part, where: _Alike, said: Mapping[str, str], people: Mapping[str, int], projects: Mapping[str, int]
) -> Part:
    return part._replace(
        pi_id=people.get(said["pi"]),
        project_id=projects.get(folded_code(said["project"])) if said["project"] else None,
        fund_org=said["fund_org"],
        natural_account=said["natural_account"],
        shared_as=said["shared_as"],
        state=where.state,
        split_id=where.split_id,
    )


def _said(after: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(SHOWN, after, strict=True))
