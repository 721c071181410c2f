"""The settings of a feed, as its reader takes them: each by its name and type, and none that nobody knows."""

import datetime
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ...readers.batches import Problem
from ...texts import quoted
from ..level_policies import ByDay
from .kinds import BadSettings

Choice = TypeVar("Choice", bound=StrEnum)
_NONE = object()


class Given:
    """The settings of a feed while its reader takes what it knows of them; `done` refuses what is left.

    Each method returns the default where nothing is set. What is wrong is gathered, so that all of it is told at once.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._known: list[str] = []
        self._problems: list[Problem] = []

    def text(self, name: str, default: str = "") -> str:
        value = self._take(name)
        if value is _NONE:
            return default
        if not isinstance(value, str):
            return self._wrong(name, value, "a text", default)
        return value.strip()

    def texts(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        value = self._take(name)
        if value is _NONE:
            return tuple(default)
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            return self._wrong(name, value, "a list of texts", tuple(default))
        return tuple(each.strip() for each in value)

    def names(self, name: str) -> dict[str, str]:
        """Take a mapping of names to names."""
        value = self._take(name)
        if value is _NONE:
            return {}
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            return self._wrong(name, value, "a mapping of names to names", {})
        return {key.strip(): each.strip() for key, each in value.items()}

    def choice(self, name: str, default: Choice) -> Choice:
        value = self._take(name)
        if value is _NONE:
            return default
        kinds = type(default)
        if not isinstance(value, str) or value not in list(kinds):
            return self._wrong(name, value, f"one of {', '.join(kinds)}", default)
        return kinds(value)

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
        value = self._take(name)
        if value is _NONE:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            return self._wrong(name, value, f"a whole number from {least} to {most}", default)
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self._take(name)
        if value is _NONE:
            return default
        if not isinstance(value, bool):
            return self._wrong(name, value, "true or false", default)
        return value

    def zone(self, name: str = "zone") -> ZoneInfo:
        """Take a time zone by its name; UTC where none is set."""
        value = self.text(name, "UTC")
        try:
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return self._wrong(name, value, "a time zone such as America/Chicago", ZoneInfo("UTC"))

    def moment(self, name: str, zone: ZoneInfo) -> datetime.datetime | None:
        """Take a day or a moment; None where none is set. Without its zone it is of `zone`."""
        value = self.text(name)
        if not value:
            return None
        try:
            moment = datetime.datetime.fromisoformat(value)
        except ValueError:
            return self._wrong(name, value, "a day such as 2026-01-31", None)
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)

    def refuse(self, name: str, message: str) -> None:
        """Note what is wrong with a setting beside its type."""
        self._problems.append(Problem(message, column=name))

    def done(self) -> None:
        """Raise BadSettings if anything was wrong, or if a setting was taken by nobody."""
        for name in self._settings:
            if name not in self._known:
                self.refuse(name, f"There is no such setting. There are {', '.join(self._known)}.")
        if self._problems:
            raise BadSettings(self._problems)

    def _take(self, name: str) -> Any:
        self._known.append(name)
        value = self._settings.get(name, _NONE)
        return _NONE if value is None else value

    def _wrong(self, name: str, value: Any, expected: str, default: Any) -> Any:
        self.refuse(name, f"{quoted(str(value))} is not {expected}.")
        return default


def by_day(given: Given) -> ByDay:
    """Take how daily readings become the amounts of a month."""
    default = ByDay()
    return ByDay(
        method=given.choice("method", default.method),
        charge=given.choice("charge", default.charge),
        pick=given.choice("pick", default.pick),
        gaps=given.choice("gaps", default.gaps),
        longest_gap=given.number("longest_gap", default.longest_gap, most=366),
        edges=given.choice("edges", default.edges),
    )
