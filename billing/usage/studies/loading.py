"""Shared costs as they are stored: what is wrong with them, and loaded from a CSV or Excel file, all or nothing."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, Any

from django.core.exceptions import ValidationError

from ... import audit
from ...audit import Actor
from ...errors import BillingError
from ...fiscal_years import label_of
from ...models import Policy, RateStudy, SharedCost, SharedCostPart, UsageFeed
from ...money import ZERO, is_whole
from ...quantities import plain
from ...readers.cells import Kind
from ...setup.lists import LineError, ListRefused, read_list
from ...sheets import unguarded
from ..rate_schedules.words import NotUnderstood, number_of
from . import sharing
from .drafting import COLUMNS, DryRun, told, year_cost
from .studying import rate_of, taken_of

HUNDRED = Decimal(100)
SHARING = ("shared_by", "feed", "rate", "share")


class SharedRefused(ListRefused):
    """A file that holds no shared costs; `errors` says why, line by line, and nothing was stored."""

    nothing = "No shared costs were read."


@dataclass(frozen=True)
class Read:
    """A shared cost of a file and its parts, unsaved, and the line that it begins on."""

    line: int
    shared: SharedCost
    parts: tuple[SharedCostPart, ...]


@dataclass(frozen=True)
class SharedCosts:
    """Shared costs that were added or replaced, each with the parts that studies take. A dry run stored nothing."""

    added: int
    replaced: int
    taken: tuple[tuple[SharedCost, tuple[sharing.Taken, ...]], ...]
    is_dry_run: bool = False


def problems_of(shared: SharedCost, parts: Sequence[SharedCostPart]) -> list[str]:
    """Return what is wrong with a shared cost and its parts, which need not be stored: nothing, or sentences.

    Whoever stores what is right does it in the same transaction, so that no study is adopted meanwhile.
    """
    if len(parts) < 2:
        return ["Name two rates or more that share it. What is of one rate alone stands in its study."]
    sharing.lock_feeds({part.feed_id for part in parts})
    said, currency = [], Policy.objects.current().currency
    if shared.amount is not None and not is_whole(shared.amount, currency):
        said.append(f"A shared cost is in whole cents of {currency}, so that its parts add up to it.")
    if shared.is_by_percent and (whole := sum((part.share for part in parts), ZERO)) != HUNDRED:
        said.append(f"The shares sum to {plain(whole)} percent, not to 100.")
    keys = [(part.feed_id, part.rate) for part in parts]
    said += [f"{part} is there twice." for number, part in enumerate(parts) if keys[number] in keys[:number]]
    return said + [problem for part in parts for problem in _problem_of(part, shared.fiscal_year)]


def _problem_of(part: SharedCostPart, fiscal_year: int) -> list[str]:
    try:
        rate_of(RateStudy(feed=part.feed, rate=part.rate, fiscal_year=fiscal_year))
    except BillingError as error:
        return [str(error)]
    studies = RateStudy.objects.filter(feed=part.feed_id, rate=part.rate, fiscal_year=fiscal_year)
    if adopted := studies.filter(state=RateStudy.State.ADOPTED).first():
        year = label_of(fiscal_year)
        return [f"The study of {part} for {year} was adopted (study {adopted.pk}). It takes no further part."]
    return []


# From a file ----------------------------------------------------------------------------------------------


def read_shared(file: IO[bytes], fiscal_year: int) -> list[Read]:
    """Return the shared costs of a year that a CSV or .xlsx file lists: a line for each part.

    The cost stands on the first line of its parts; the lines below leave it empty. Raises SharedRefused with every
    mistake by its line.
    """
    columns = {**COLUMNS, **dict.fromkeys(SHARING, Kind.TEXT)}
    rows = read_list(file, columns=columns, refused=SharedRefused, nobody="The file has no shared costs.")
    errors: list[LineError] = []
    found: list[tuple[int, SharedCost, list[SharedCostPart]]] = []
    feeds = {feed.name: feed for feed in UsageFeed.objects.all()}
    for line, cells in rows:
        row = {key: unguarded(cell).strip() for key, cell in cells.items()}
        if row.get("cost") or not found:
            shared = year_cost(SharedCost, line, row, errors, but=("fiscal_year", "base", "locked_at"))
            shared.fiscal_year, shared.base = fiscal_year, row.get("shared_by") or shared.base
            found.append((line, shared, []))
        elif used := [column for column in ("kind", "amount", "acquisition_cost", "shared_by") if row.get(column)]:
            errors.append(LineError(line, used[0], "stands on the first line of its cost. Leave it empty here"))
        if part := _part(line, row, feeds, errors):
            found[-1][2].append(part)
    names = [shared.name for _, shared, _ in found]
    for number, (line, shared, _) in enumerate(found):
        if shared.name and shared.name in names[:number]:
            errors.append(LineError(line, "cost", f"{shared.name} is there twice"))
    if errors:
        raise SharedRefused(sorted(errors, key=lambda error: error.line))
    return [Read(line, shared, tuple(parts)) for line, shared, parts in found]


def _part(
    line: int, row: dict[str, str], feeds: dict[str, UsageFeed], errors: list[LineError]
) -> SharedCostPart | None:
    share = None
    if row.get("feed") not in feeds:
        known = ", ".join(sorted(feeds)) or "none"
        errors.append(LineError(line, "feed", f"There is no usage feed “{row.get('feed', '')[:60]}”. Known: {known}."))
    if not row.get("rate"):
        errors.append(LineError(line, "rate", "is empty"))
    try:
        share = number_of(row.get("share", "").removesuffix("%"))
        if not share:
            errors.append(LineError(line, "share", "A share is above 0. Leave out who has none."))
    except NotUnderstood as error:
        errors += [LineError(line, "share", each) for each in error.problems]
    feed = feeds.get(row.get("feed", ""))
    return SharedCostPart(feed=feed, rate=row["rate"], share=share) if feed and share and row.get("rate") else None


def load_shared(
    *, costs: Sequence[Read], is_dry_run: bool = False, actor: Actor, now: datetime.datetime
) -> SharedCosts:
    """Add shared costs, or replace those of their name and year; others stay. A dry run stores nothing.

    Raises SharedRefused with what is wrong by line, and SharedCostLocked.
    """
    done: SharedCosts | None = None
    try:
        with audit.gesture(actor=actor, now=now) as gesture:
            done = _stored(costs, gesture, is_dry_run)
            if is_dry_run:
                raise DryRun
    except DryRun:
        assert done
    return done


def _stored(costs: Sequence[Read], gesture: audit.Gesture, is_dry_run: bool) -> SharedCosts:
    names = {each.shared.name for each in costs}
    there = {
        (old.fiscal_year, old.name): old
        for old in SharedCost.objects.select_for_update(no_key=True).filter(name__in=names)
    }
    errors, added, taken = [], 0, []
    for each in costs:
        if old := there.get((each.shared.fiscal_year, each.shared.name)):
            old.require_open()
        errors += [LineError(each.line, "", said) for said in problems_of(each.shared, each.parts)]
    if errors:
        raise SharedRefused(errors)
    for each in costs:
        shared = each.shared
        before: dict[str, Any] = {}
        if old := there.get((shared.fiscal_year, shared.name)):
            before, shared.pk = _facts(old), old.pk
            old.parts.all().delete()
        added += not before
        _require_valid(each)
        shared.save()
        for part in each.parts:
            part.pk, part.shared_cost = None, shared
            part.save()
        action = "shared_cost.changed" if before else "shared_cost.added"
        gesture.record(action, shared, before=before, after=_facts(shared))
        taken.append((shared, tuple(taken_of(shared))))
    return SharedCosts(added, len(costs) - added, tuple(taken), is_dry_run)


def _require_valid(each: Read) -> None:
    try:
        each.shared.clean_fields(exclude=["locked_at"])
    except ValidationError as error:
        raise SharedRefused([LineError(each.line, "", message) for message in error.messages]) from error


def _facts(shared: SharedCost) -> dict[str, Any]:
    parts = [f"{part} {plain(part.share)}" for part in shared.parts.select_related("feed")]
    return {**told(shared), "parts": parts}
