"""Sources: what they mean, where their income goes, and when each was last heard from."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import Max, Q

from .. import audit
from ..audit import Actor
from ..errors import BillingError, NextStep
from ..models import BillingPeriod, CostMeasureChange, ImportTotal, PayerLine, Source
from ..models.imports import Import
from ..models.sources import pattern_of
from ..models.typed import CodeField, require_said
from ..texts import code_of, iso_month, long_month

# What `add` and `change` may set. A cost measure is given once, and changes by `change_measure`.
FIELDS = (
    "display_name",
    "kind",
    "is_active",
    "file_name_patterns",
    "import_mode",
    "grain",
    "is_journaled",
    "debit_account",
    "recovery_fund_org",
    "recovery_account",
    "subsidy_fund_org",
    "holds_prepayments",
    "overflow_fund_org",
    "default_pi",
    "default_project",
    "notes",
)


class UnknownField(BillingError):
    """A source has no such field, or not one that may be set so."""


class SourceExists(BillingError):
    """A source was to be added under a name that is taken."""


class NothingToChange(BillingError):
    """A change of a source names nothing to set."""


class MeasureInUse(BillingError):
    """The cost measure was to change for a month that was charged by the old one."""


@dataclass(frozen=True)
class Changed:
    """A source, and what a change made different: field to text, before and after."""

    source: Source
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True)
class SyncState:
    """The last import applied of a source, for one period; `period` is empty where none was ever applied."""

    source: str
    period: str
    imported: int | None
    applied_at: datetime.datetime | None
    days_ago: int | None


def add(*, name: str, fields: Mapping[str, object], measure: str = "", actor: Actor, now: datetime.datetime) -> Source:
    """Make a source.

    `fields` are among FIELDS; `measure` is the cost it charges from the start. Where they name no file-name
    patterns, its name is one. Raises SourceExists, UnknownField, and ValidationError for values that its fields refuse.
    """
    _check_names(fields)
    if Source.objects.filter(name=name).exists():
        raise SourceExists(f"The source “{name}” exists already.", then=NextStep("change_source", {"source": name}))
    source = Source(name=name, **{"file_name_patterns": pattern_of(name), **fields})
    if measure:
        source.cost_measure = measure
    with audit.gesture(actor=actor, now=now) as gesture:
        source.full_clean()
        source.save()
        gesture.record("source.added", source, after=_facts(source, ("name", "cost_measure", *FIELDS)))
    return source


def change(*, source: Source, fields: Mapping[str, object], actor: Actor, now: datetime.datetime) -> Changed:
    """Set fields of a source and return what became different; setting what it has already changes nothing.

    Raises NothingToChange for no fields at all, UnknownField, and ValidationError.
    """
    if not fields:
        raise NothingToChange(f"Name what to set of {source}.", then=NextStep("change_source", {"source": source.name}))
    _check_names(fields)
    with audit.gesture(actor=actor, now=now) as gesture:
        fresh = Source.objects.select_for_update(no_key=True).get(pk=source.pk)
        before = _facts(fresh, tuple(fields))
        for field, value in fields.items():
            setattr(fresh, field, value)
        fresh.full_clean()
        after = _facts(fresh, tuple(fields))
        different = [field for field in fields if before[field] != after[field]]
        changed = Changed(
            fresh, {field: before[field] for field in different}, {field: after[field] for field in different}
        )
        if different:
            fresh.save(update_fields=different)
            gesture.record("source.changed", fresh, before=changed.before, after=changed.after)
    return changed


def change_measure(
    *, source: Source, measure: str, from_month: datetime.date, actor: Actor, now: datetime.datetime
) -> CostMeasureChange:
    """Charge a source by another cost from a month on; a change for the same month takes its place.

    Raises MeasureInUse where a month it would reach is closed or has payer lines of this source:
    one month is charged by one measure.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        source = Source.objects.select_for_update(no_key=True).get(pk=source.pk)
        require_uncharged(source, from_month)
        before = source.measure_in(from_month)
        step = source.measure_changes.filter(from_month=from_month).first() or CostMeasureChange(
            source=source, from_month=from_month
        )
        step.measure = measure
        step.full_clean()
        step.save()
        gesture.record(
            "source.measure_changed",
            source,
            before={"measure": before},
            after={"measure": measure, "from": iso_month(from_month)},
        )
    return step


def require_uncharged(source: Source, from_month: datetime.date) -> None:
    """Raise MeasureInUse, naming the months that a change of measure would reach and may not."""
    reached = Q(month__gte=from_month)
    following = source.measure_changes.filter(from_month__gt=from_month).order_by("from_month").first()
    if following:
        reached &= Q(month__lt=following.from_month)
    periods = BillingPeriod.objects.filter(reached).order_by("month")
    lines = PayerLine.objects.filter(source=source)
    charged = set(lines.values_list("period", flat=True)) | set(lines.values_list("for_period", flat=True))
    reasons = []
    for period in periods:
        if not period.takes_changes:
            reasons.append(f"{period} is {period.get_status_display().lower()}")
        elif period.pk in charged:
            reasons.append(f"{period} is charged already")
    if reasons:
        raise MeasureInUse(
            f"The cost measure of {source} cannot change from {long_month(from_month)} on: {', '.join(reasons)}. "
            "A month is charged by one measure; change it from a later month."
        )


def sync_status(*, now: datetime.datetime) -> list[SyncState]:
    """Return, per source and period, the import applied last and how many days ago; silent sources too."""
    latest: dict[int, dict[str, tuple[datetime.datetime, int]]] = {}
    applied = (
        ImportTotal.objects.filter(imported_in__state=Import.State.APPLIED)
        .values("imported_in__source", "period__month")
        .annotate(last=Max("imported_in__applied_at"), newest=Max("imported_in"))
        .order_by()
    )
    for row in applied:
        of_source = latest.setdefault(row["imported_in__source"], {})
        of_source[iso_month(row["period__month"])] = (row["last"], row["newest"])
    states = []
    for source in Source.objects.filter(is_active=True).order_by("name"):
        for period, (at, newest) in sorted(latest.get(source.pk, {}).items(), reverse=True):
            states.append(SyncState(source.name, period, newest, at, (now - at).days))
        if source.pk not in latest:
            states.append(SyncState(source.name, "", None, None, None))
    return states


def missing_accounting(source: Source) -> list[str]:
    """Return what a source still needs before its charges can be journaled, in words; showback needs nothing."""
    if not source.is_journaled:
        return []
    needed = {
        "recovery fund/org": source.recovery_fund_org,
        "recovery account code": source.recovery_account,
        "debit account code": source.debit_account,
    }
    return [name for name, value in needed.items() if not value]


def _check_names(fields: Mapping[str, object]) -> None:
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise UnknownField(f"A source has no {', '.join(unknown)} to set. There are: {', '.join(FIELDS)}.")
    for name, value in fields.items():
        if isinstance(value, str) and isinstance(Source._meta.get_field(name), CodeField):
            require_said(code_of(value))


def _facts(source: Source, names: tuple[str, ...]) -> dict[str, Any]:
    """Return fields as the audit log keeps them: links by the name of what they point to."""
    values = {name: getattr(source, name) for name in names}
    return {name: str(value) if isinstance(value, models.Model) else value for name, value in values.items()}
