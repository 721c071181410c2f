"""What the database refuses, whoever asks: kept in Python table by table, and made into triggers for each database."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from django.db import models

from ..currencies import DEFAULT, OTHER
from ..fields import TOTAL_PLACES
from ..models.periods import SHUT

PREFIX = "safeguard_"
SIGNATURE = "OpenChargeback: "

Event = Literal["insert", "update", "delete"]
ALL: tuple[Event, ...] = ("insert", "update", "delete")


@dataclass(frozen=True)
class Refusal:
    """One refusal: an event on a table, where the row, or what it belongs to, stands.

    `path` names the foreign keys from the row to what decides, such as ("charge", "charged_in"), and `when`
    is SQL about that ({row}). Of an update both versions of a row are asked. A refusal with `changes`
    instead is about what an update does: SQL about {old} and {new}, with {differs} for a comparison that
    knows null. One that `names` the period is about the period at the end of its path.
    """

    name: str
    model: type[models.Model]
    event: Event
    says: str
    path: tuple[str, ...] = ()
    when: str = "true"
    changes: str = ""
    names: bool = False

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def trigger(self) -> str:
        return f"{PREFIX}{self.table}_{self.name}"

    def steps(self) -> list[tuple[str, str]]:
        """Return the path as (column, table it leads to)."""
        steps, model = [], self.model
        for name in self.path:
            field = model._meta.get_field(name)
            assert isinstance(field, models.ForeignKey)
            model = field.related_model
            steps.append((str(field.column), model._meta.db_table))
        return steps


@dataclass(frozen=True)
class Trigger:
    """A trigger as it is made, and as the database's catalog must show it."""

    name: str
    table: str
    sql: tuple[str, ...]
    shown: tuple[object, ...]


def in_shut_months(
    model: type[models.Model],
    path: str,
    stands: str,
    *,
    shut: Iterable[str] = SHUT,
    events: Iterable[Event] = ALL,
) -> list[Refusal]:
    """Refuse changes of rows whose billing period, at the end of `path`, is shut."""
    statuses = ", ".join(f"'{status}'" for status in shut)
    return [
        Refusal(
            event,
            model,
            event,
            f"{stands} are locked",
            tuple(path.split("__")),
            f"{{row}}.status IN ({statuses})",
            names=True,
        )
        for event in events
    ]


def kept_for_ever(model: type[models.Model], says: str) -> list[Refusal]:
    """Refuse every update and deletion of a table's rows."""
    return [Refusal("update", model, "update", says), Refusal("delete", model, "delete", says)]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def in_parts(column: str, *, currency: str = "{row}.currency") -> str:
    """SQL for: an amount of a TotalField has more decimals than its currency, such as a yen and a half.

    What months were charged before this was looked at is left as it is: no constraint, which old rows would break.
    """
    cases = " ".join(
        f"WHEN {currency} IN ({', '.join(map(quoted, codes.split()))}) THEN {10 ** (TOTAL_PLACES - places)}"
        for places, codes in OTHER.items()
    )
    return f"{{row}}.{column} % (CASE {cases} ELSE {10 ** (TOTAL_PLACES - DEFAULT)} END) <> 0"


def frozen(
    model: type[models.Model], when: str, says: str, *, free: Iterable[str] = (), name: str = "update"
) -> Refusal:
    """Refuse updates that change anything but the `free` fields, where `when` holds for {old}."""
    fixed = [field.column for field in model._meta.concrete_fields if field.name not in set(free)]
    changed = " OR ".join(f"{{old}}.{column} {{differs}} {{new}}.{column}" for column in fixed)
    return Refusal(name, model, "update", says, changes=f"({when}) AND ({changed})")


# Of each table, how it stands. Apps further on register theirs when they load.
_refusals: dict[str, list[Refusal]] = {}


def register(*given: Refusal) -> None:
    """Add refusals; those of a table replace what it had before."""
    for table in {each.table for each in given}:
        _refusals[table] = [each for each in given if each.table == table]


def refusals() -> list[Refusal]:
    """Return every registered refusal, table by table."""
    return [each for table in sorted(_refusals) for each in _refusals[table]]


def protected_tables() -> list[str]:
    """Return the tables that have refusals."""
    return sorted(_refusals)


def refusals_of(table: str) -> list[Refusal]:
    """Return the refusals of one table."""
    return _refusals[table]


def says_of(refusal: Refusal) -> str:
    """Return the refusal in words, of a period that is not named."""
    if not refusal.names:
        return f"{refusal.says}."
    status = "finalized" if "'closed'" not in refusal.when else "closed or finalized"
    return f"the billing period is {status}: {refusal.says}."
