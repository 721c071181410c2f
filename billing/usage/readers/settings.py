"""The settings of a feed, as its reader takes them: each by its name and type, and none that nobody knows."""

import datetime
import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ...readers.batches import Problem
from ...texts import quoted
from ..level_policies import LONGEST_GAP, ByDay
from .kinds import BadSettings

Choice = TypeVar("Choice", bound=StrEnum)
_NONE = object()

# What the settings of every feed may say, and is not for its reader; the zone is for those that take it.
OF_FEEDS = ("tags", "service_category", "provider", "time_zone")
# Names of columns that records have: as they stand in rates, and in files that are exported.
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Given:
    """The settings of a feed while its reader takes what it knows of them; `done` refuses what is left.

    Each method returns the default where nothing is set. What is wrong is gathered, so that all of it is told at once.
    Settings may be objects with settings of their own: `within` another, they are `done` apart.
    """

    def __init__(self, settings: Mapping[str, Any], *, within: "Given | None" = None, name: str = "") -> None:
        self._settings = dict(settings)
        self._known: list[str] = []
        self._within = within
        self._name = name
        self._problems: list[Problem] = []

    def __contains__(self, name: str) -> bool:
        return self._settings.get(name) is not None

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
        """Take a time zone by its name; that of the feed's months where none is set."""
        value = self.text(name) or self.text("time_zone") or "UTC"
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

    def raw(self, name: str) -> Any:
        """Take a setting as it is, None where nothing is set."""
        value = self._take(name)
        return None if value is _NONE else value

    def within(self, name: str) -> "Given":
        """Take a setting that is an object, as settings of its own."""
        value = self._take(name)
        return self.of({} if value is _NONE else value, name)

    def many(self, name: str) -> Iterator["Given"]:
        """Take a list of objects, each as settings of its own."""
        value = self.raw(name)
        if value is not None and not isinstance(value, list):
            self._wrong(name, value, "a list", None)
            return
        for number, each in enumerate(value or [], 1):
            yield self.of(each, f"{name}[{number}]")

    def entries(self, name: str) -> Iterator[tuple[str, Any]]:
        """Take an object whose names become those of columns; yield them with what they say."""
        value = self._take(name)
        if value is _NONE:
            return
        for key, each in self.of(value, name).all():
            if NAME.fullmatch(key):
                yield key, each
            else:
                self.refuse(
                    f"{name}.{key}",
                    "A name has small letters, digits and _, and begins with a letter, such as gpu_hours.",
                )

    def all(self) -> list[tuple[str, Any]]:
        """Take all settings that there are, whatever their names."""
        self._known += self._settings
        return list(self._settings.items())

    def of(self, value: Any, name: str) -> "Given":
        """Return what a setting says as settings of its own, none where it is no object."""
        if isinstance(value, Mapping):
            return Given(value, within=self, name=name)
        self._wrong(name, value, "an object with settings by their names", None)
        # What it lacks is not said as well: it is told to settings that nobody asks.
        return Given({}, within=Given({}), name=name)

    def refuse(self, name: str, message: str) -> None:
        """Note what is wrong with a setting beside its type."""
        if self._within is not None:
            self._within.refuse(f"{self._name}.{name}", message)
        else:
            self._problems.append(Problem(message, column=name))

    def done(self) -> None:
        """Refuse settings that were taken by nobody. For the feed's own, raise BadSettings if anything was wrong."""
        for name in self._settings:
            if name not in self._known and not (self._within is None and name in OF_FEEDS):
                self.refuse(name, f"There is no such setting. {advice(name, self._known)}")
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
        longest_gap=given.number("longest_gap", default.longest_gap, most=LONGEST_GAP),
        edges=given.choice("edges", default.edges),
    )


def advice(name: str, known: Collection[str]) -> str:
    """Say what there is in place of a name that nobody knows."""
    close = difflib.get_close_matches(name, known, 1)
    return f"{f'Did you mean {close[0]}? ' if close else ''}There are {', '.join(known)}."
