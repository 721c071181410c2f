"""Rate schedules as data: what models keep, what is imported and exported, and what is said of a mistake.

Data is JSON with decimals as text (`"0.014"`), so that no float comes near a price. Fields at their default are left
out. Reading tells all mistakes at once, each by rate, field and what is allowed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from ...errors import BillingError
from ..records import Shape
from .checks import problems_of
from .terms import ClassKind, Combine, Count, Rate, RateClass, Schedule, Scope, Span, Threshold, Tier, Tiering

Made = TypeVar("Made")
# As many digits as an amount has: 19, of them up to 12 decimals.
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?")


class ScheduleNotUnderstood(BillingError):
    """A rate schedule cannot be used. `problems` are sentences, each about one field."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def schedule_from_data(data: Any, shape: Shape | None = None) -> Schedule:
    """Return the schedule that data (parsed JSON) says. `shape` says what there is to price, where that is known.

    Raises ScheduleNotUnderstood with everything that is wrong.
    """
    problems: list[str] = []
    schedule = _made(Schedule, data, "", problems)
    if schedule is None or problems:
        raise ScheduleNotUnderstood(problems)
    if found := problems_of(schedule, shape):
        raise ScheduleNotUnderstood(found)
    return schedule


def as_data(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as JSON holds it; `schedule_from_data` makes the same schedule of it."""
    return _data_of(schedule)


class _Wrong(Exception):
    """A value is not allowed; the message says what is."""


class _Kind(NamedTuple):
    """How a field is read and written."""

    read: Callable[[Any, str, list[str]], Any]
    write: Callable[[Any], Any]


def _text(value: Any, where: str, problems: list[str]) -> str:
    if not isinstance(value, str) or value != value.strip() or "\n" in value or len(value) > 200:
        raise _Wrong("a text of one line, up to 200 characters")
    return value


def _decimal(value: Any, where: str, problems: list[str]) -> Decimal:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise _Wrong("a number that is not negative, as text such as “0.014”")
    return Decimal(text)


def _optional_decimal(value: Any, where: str, problems: list[str]) -> Decimal | None:
    return None if value is None else _decimal(value, where, problems)


def _whole(value: Any, where: str, problems: list[str]) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise _Wrong("a whole number")
    return value


def _yes_or_no(value: Any, where: str, problems: list[str]) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _one_of(allowed: type[StrEnum]) -> _Kind:
    def read(value: Any, where: str, problems: list[str]) -> StrEnum:
        if value not in [str(each) for each in allowed]:
            raise _Wrong("one of " + ", ".join(allowed))
        return allowed(value)

    return _Kind(read, str)


def _several(made: type[Any]) -> _Kind:
    def read(value: Any, where: str, problems: list[str]) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _Wrong("a list")
        found = (_made(made, each, where, problems, place) for place, each in enumerate(value, 1))
        return tuple(each for each in found if each is not None)

    return _Kind(read, lambda value: [_data_of(each) for each in value])


def _patterns(value: Any, where: str, problems: list[str]) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or not all(
        isinstance(each, list) and each and all(isinstance(pattern, str) for pattern in each) for each in value.values()
    ):
        raise _Wrong("lists of patterns by attribute, such as {“partition”: [“gpu*”]}")
    return {str(name): tuple(each) for name, each in value.items()}


def _prices(value: Any, where: str, problems: list[str]) -> dict[str, tuple[Tier, ...]]:
    if not isinstance(value, dict):
        raise _Wrong("lists of tiers by rate class")
    read = _several(Tier).read
    return {str(name): read(each, f"{where}, class {name}", problems) for name, each in value.items()}


_TEXT, _DECIMAL, _WHOLE = _Kind(_text, str), _Kind(_decimal, lambda value: format(value, "f")), _Kind(_whole, int)
_OPTIONAL = _Kind(_optional_decimal, lambda value: None if value is None else format(value, "f"))
_PATTERNS = _Kind(_patterns, lambda value: {name: list(each) for name, each in value.items()})
_KINDS: Mapping[type[Any], Mapping[str, _Kind]] = {
    Schedule: {"name": _TEXT, "version": _WHOLE, "rates": _several(Rate), "classes": _several(RateClass)},
    RateClass: {
        "name": _TEXT,
        "kind": _one_of(ClassKind),
        "percent": _DECIMAL,
        "indirect_percent": _DECIMAL,
    },
    Rate: {
        "code": _TEXT,
        "service": _TEXT,
        "counts": _several(Count),
        "unit": _TEXT,
        "tiers": _several(Tier),
        "when": _PATTERNS,
        "per": _DECIMAL,
        "combine": _one_of(Combine),
        "tiering": _one_of(Tiering),
        "threshold": _one_of(Threshold),
        "scope": _one_of(Scope),
        "span": _one_of(Span),
        "group": _TEXT,
        "order": _WHOLE,
        "free": _DECIMAL,
        "carries_over": _Kind(_yes_or_no, bool),
        "step": _OPTIONAL,
        "minimum": _OPTIONAL,
        "prices": _Kind(
            _prices, lambda value: {name: [_data_of(each) for each in tiers] for name, tiers in value.items()}
        ),
    },
    Count: {
        "measure": _TEXT,
        "unit": _TEXT,
        "factor": _DECIMAL,
        "per": _DECIMAL,
        "at_least": _OPTIONAL,
        "step": _OPTIONAL,
        "when": _PATTERNS,
    },
    Tier: {"price": _DECIMAL, "up_to": _OPTIONAL},
}


def _made(made: type[Made], data: Any, where: str, problems: list[str], place: int = 0) -> Made | None:
    """Return what data says; None, with what is wrong added to the problems, where it cannot be read."""
    here = _named(made, data, where, place)
    if not isinstance(data, dict):
        problems.append(f"{here} is not understood. Allowed: {', '.join(_KINDS[made])}, each with its value.")
        return None
    kinds, before = _KINDS[made], len(problems)
    for name in data:
        if name not in kinds:
            problems.append(f"{here} has a field “{name}” that is not known. Allowed: {', '.join(kinds)}.")
    values = {}
    for field in fields(made):  # type: ignore[arg-type]
        if field.name not in data:
            if _is_required(field):
                problems.append(f"{here} has no {field.name}. Add it.")
            continue
        value = data[field.name]
        try:
            values[field.name] = kinds[field.name].read(value, f"{here}, {field.name}", problems)
        except _Wrong as wrong:
            problems.append(f"{here}: {field.name} is “{str(value)[:60]}”. Allowed: {wrong}.")
    return made(**values) if len(problems) == before else None


def _data_of(value: Any) -> dict[str, Any]:
    kinds = _KINDS[type(value)]
    data = {}
    for field in fields(value):
        held = getattr(value, field.name)
        if _is_required(field) or held != _default_of(field):
            data[field.name] = kinds[field.name].write(held)
    return data


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _default_of(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _named(made: type[Any], data: Any, where: str, place: int) -> str:
    """Return what people call a part of a schedule: its code or name, else which one of its kind it is."""
    word = {Schedule: "The schedule", RateClass: "Class", Rate: "Rate", Count: "count", Tier: "tier"}[made]
    if made is Schedule:
        return word
    name = data.get("code") or data.get("name") if isinstance(data, dict) else ""
    told = f"{word} {name if isinstance(name, str) and name else place}"
    # `Rate cpu, tiers` leads to `Rate cpu, tier 2`.
    parent, _, field = where.rpartition(", ")
    return told if made in (Rate, RateClass) else f"{where if field.startswith('class ') else parent}, {told}"
