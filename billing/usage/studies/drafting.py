"""Drafts of rate studies without a page: a study with its costs from a CSV or Excel file, all of it or nothing."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from django.core.exceptions import ValidationError

from ... import audit
from ...audit import Actor
from ...audit.snapshots import snapshot
from ...errors import BillingError
from ...models import CostPool, RateStudy, UsageFeed, YearCost
from ...models.studies import require_draft
from ...readers.cells import Kind
from ...setup.lists import LineError, ListRefused, day_of, read_list
from ...sheets import unguarded
from ..rate_schedules.words import NotUnderstood, choice_of, number_of
from .studying import Studied, rate_of, studied

# The columns of a file of costs, by the field of each.
FIELDS = {
    "cost": "name",
    "kind": "kind",
    "amount": "amount",
    "acquisition_cost": "cost",
    "federally_funded": "federally_funded",
    "life_years": "life_years",
    "in_service": "in_service",
    "note": "note",
}
COLUMNS = {column: Kind.DATE if column == "in_service" else Kind.TEXT for column in FIELDS}


class CostsRefused(ListRefused):
    """A file that holds no costs; `errors` says why, line by line, and nothing was stored."""

    nothing = "No costs were read."


class DraftExists(BillingError):
    """A study was to be drafted twice."""


@dataclass(frozen=True)
class Drafted:
    """A study that was drafted, or whose costs were replaced, with what it comes to. A dry run stored nothing."""

    studied: Studied
    costs: int
    is_dry_run: bool = False


def read_costs(file: IO[bytes]) -> list[CostPool]:
    """Return the costs that a CSV or .xlsx file lists, unsaved. Raises CostsRefused with every mistake by its line."""
    lines = read_list(file, columns=COLUMNS, refused=CostsRefused, nobody="The file has no costs.")
    errors: list[LineError] = []
    pools = [
        year_cost(CostPool, number, {key: unguarded(cell) for key, cell in row.items()}, errors, but=("study",))
        for number, row in lines
    ]
    if errors:
        raise CostsRefused(sorted(errors, key=lambda error: error.line))
    return pools


Listed = TypeVar("Listed", bound=YearCost)


def year_cost(
    model: type[Listed], line: int, row: Mapping[str, str], errors: list[LineError], but: Sequence[str]
) -> Listed:
    """Return the cost of a line, unsaved, and add what is wrong with it to `errors`. `but` are fields of no column."""
    values: dict[str, Any] = {}
    wrong = set()
    for column, field in FIELDS.items():
        text = row.get(column, "").strip()
        if not text:
            continue
        try:
            values[field] = _READ.get(column, str)(text)
        except (NotUnderstood, ValueError) as error:
            wrong.add(field)
            errors += [LineError(line, column, each) for each in getattr(error, "problems", (str(error),))]
    cost = model(**values)
    if not values.get("kind"):
        if "kind" not in wrong:
            errors.append(LineError(line, "kind", "is empty"))
        return cost
    try:
        cost.full_clean(exclude=[*but, *wrong], validate_constraints=False, validate_unique=False)
    except ValidationError as error:
        columns = {field: column for column, field in FIELDS.items()}
        for field, messages in error.message_dict.items():
            # What could not be read is told of already.
            if field not in wrong:
                errors += [LineError(line, columns.get(field, ""), each) for each in messages]
    return cost


def _years_of(text: str) -> int:
    number = number_of(text)
    if number != number.to_integral_value():
        raise NotUnderstood([f"“{text[:60]}” is not a whole number of years."])
    return int(number)


_READ: Mapping[str, Callable[[str], Any]] = {
    "kind": lambda text: choice_of(text, {each: str(each.label) for each in CostPool.Kind}),
    "amount": number_of,
    "acquisition_cost": number_of,
    "federally_funded": number_of,
    "life_years": _years_of,
    "in_service": day_of,
}


def draft(
    *,
    feed: UsageFeed,
    rate: str,
    fiscal_year: int,
    fields: Mapping[str, Any],
    costs: Sequence[CostPool] = (),
    is_dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Drafted:
    """Add a study as a draft, with its costs, and work it out. `fields` are its other fields by name.

    A dry run stores nothing. Raises DraftExists, RateNotInForce where the feed's schedule has no such rate, and
    ValidationError.
    """
    drafts = RateStudy.objects.filter(feed=feed, rate=rate, fiscal_year=fiscal_year, state=RateStudy.State.DRAFT)
    if there := drafts.first():
        raise DraftExists(
            f"There is a draft already: study {there.pk}, {there}. Replace its costs, or delete it on the web first."
        )
    made = RateStudy(feed=feed, rate=rate, fiscal_year=fiscal_year, created_at=now, created_by=actor.user, **fields)
    made.full_clean()
    rate_of(made)
    return _stored(made, costs, "rate_study.added", is_dry_run, actor, now)


def replace_costs(
    *,
    study: RateStudy,
    costs: Sequence[CostPool],
    is_dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Drafted:
    """Have these costs be all that a draft has, and work it out. A dry run stores nothing.

    Raises StudyLocked for a study that was adopted, and RateNotInForce.
    """
    return _stored(study, costs, "rate_study.costs_replaced", is_dry_run, actor, now)


class DryRun(Exception):
    """Ends the transaction of a dry run, whose savepoint takes back what was stored."""


def _stored(
    study: RateStudy, costs: Sequence[CostPool], action: str, is_dry_run: bool, actor: Actor, now: datetime.datetime
) -> Drafted:
    found = None
    try:
        with audit.gesture(actor=actor, now=now) as gesture:
            found = _with_costs(gesture, study, costs, action)
            if is_dry_run:
                raise DryRun
    except DryRun:
        assert found
    return Drafted(found, len(costs), is_dry_run)


def _with_costs(gesture: audit.Gesture, study: RateStudy, costs: Sequence[CostPool], action: str) -> Studied:
    """Store a study that is new, and its costs in place of those it has, and record both."""
    before = {}
    if study.pk:
        RateStudy.objects.select_for_update(no_key=True).get(pk=study.pk)
        require_draft(study)
        before = {"costs": [told(each) for each in study.pools.all()]}
        study.pools.all().delete()
    else:
        study.save()
    for each in costs:
        each.pk, each.study = None, study
        each.save()
    after = {"costs": [told(each) for each in costs]}
    gesture.record(action, study, before=before, after=after if before else snapshot(study) | after)
    return studied(RateStudy.objects.select_related("feed__source").get(pk=study.pk))


def told(pool: YearCost) -> dict[str, Any]:
    """Return what the audit log says of a cost."""
    facts = snapshot(pool)
    return {name: value for name, value in facts.items() if name != "study" and value not in (None, "")}
