"""Rows of which all become new charges: straight from the spool, with the keys that their numbers stand for."""

import itertools
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import connection

from ...attribution import OWNER_COLUMNS
from ...copy_text import NULL, fields_of
from ...models import Charge, Import
from ...readers.dimensions import DIMENSIONS
from ...readers.facts import FACTS
from . import dimensions, pg_copy
from .spool import numbers_of, values_of

if TYPE_CHECKING:
    import pyarrow as pa

    from .tables import Stage

# What a row says by itself, as columns of a charge.
_OWN = ("file_number", "state", *(name for name in FACTS if name not in DIMENSIONS))

# What no new charge has.
_NOTHING = ("withdrawn_in_id", "replaces_id", "reverses_id", "payer_split_id")


def append(stage: "Stage", imported: Import, *, first: int) -> None:
    """Make a charge of each row; their ids count on from `first`, in the order of the rows."""
    same = {"source_id": str(imported.source_id), "imported_in_id": str(imported.pk), "is_late": "false"}
    if stage.is_postgresql:
        _append_by_copy(stage, same, first)
    else:
        _append_by_select(stage, same, first)


class _Keys:
    """The ids in the database of what rows name by number."""

    def __init__(self, stage: "Stage") -> None:
        self.dimensions = {name: _by_number(dimensions.ids(stage, name)) for name in DIMENSIONS}
        self.periods = dict(stage.select("SELECT month, period_id FROM stage_month"))

    def of(self, batch: "pa.RecordBatch", first: int) -> dict[str, Any]:
        """Return the columns of charges that are such ids, as arrays, with the ids of the charges themselves."""
        keys = {f"{name}_id": ids[numbers_of(batch, name)] for name, ids in self.dimensions.items()}
        # What was stored a moment ago cannot be missing: charges are never without their texts.
        assert all(column.all() for column in keys.values())
        months, places = np.unique(numbers_of(batch, "month"), return_inverse=True)
        periods = np.array([self.periods[month] for month in months.tolist()], dtype=np.int64)[places]
        return {
            "id": numbers_of(batch, "row") + (first - 1),
            "period_id": periods,
            "charged_in_id": periods,
            **keys,
        }


def _by_number(pairs: Iterable[tuple[int, int]]) -> Any:
    """Return ids by their numbers, which are few more than there are ids."""
    together = array("q", itertools.chain.from_iterable(pairs))
    numbers, ids = np.frombuffer(together, dtype=np.int64).reshape(-1, 2).T
    found = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.int64)
    found[numbers] = ids
    return found


def _owners(stage: "Stage") -> dict[str, Sequence[Any]]:
    """Return what the columns of a payer hold, by the number of the attribution, which counts from 0."""
    rows = stage.select(f"SELECT {', '.join(OWNER_COLUMNS)} FROM stage_attribution ORDER BY number")
    return dict(zip(OWNER_COLUMNS, zip(*rows, strict=True), strict=True))


def _append_by_select(stage: "Stage", same: Mapping[str, str], first: int) -> None:
    """Append by one INSERT ... SELECT for each piece, from a table that holds just that piece.

    A statement for each row, or for hundreds, would find its way through every index anew, row by row.
    """
    keys = _Keys(stage)
    given = ("period_id", *(f"{name}_id" for name in DIMENSIONS), *_OWN, "attribution")
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS temp.stage_piece")
        cursor.execute(f"CREATE TEMPORARY TABLE stage_piece ({', '.join(given)})")
        for batch in stage.spool.batches():
            of_rows = {name: ids.tolist() for name, ids in keys.of(batch, first).items()}
            of_rows |= {name: values_of(batch, name) for name in given if name not in of_rows}
            # What all rows of a piece say alike need not be handed on row by row.
            varying = [name for name in given if name == "line_number" or not _is_one(of_rows[name])]
            alike = {name: of_rows[name][0] for name in given if name not in varying}
            stage.fill("stage_piece", [of_rows[name] for name in varying], varying)
            cursor.execute(_select_sql(varying, alike, same), {"before": of_rows["id"][0] - 1, **alike})
            cursor.execute("DELETE FROM stage_piece")
        cursor.execute("DROP TABLE stage_piece")


def _is_one(values: list[Any]) -> bool:
    return values.count(values[0]) == len(values)


def _select_sql(varying: Iterable[str], alike: Iterable[str], same: Mapping[str, str]) -> str:
    """SQL that makes charges of `stage_piece`, with parameters for what its rows have alike."""
    bound = {name: f"p.{name}" for name in varying} | {name: f"%({name})s" for name in alike}
    attribution = bound["attribution"]
    # The table is empty before each piece: its rows count from 1.
    bound |= {**same, "id": "%(before)s + p.rowid", "charged_in_id": bound["period_id"]}
    bound |= {name: f"a.{name}" for name in OWNER_COLUMNS}
    names = _names()
    # Where it fails all is undone anyway. Without OR FAIL, SQLite keeps a journal for each statement.
    return (
        f"INSERT OR FAIL INTO billing_charge ({', '.join(names)}) "
        f"SELECT {', '.join(bound[name] for name in names)} FROM stage_piece p CROSS JOIN stage_attribution a "
        f"WHERE a.number = {attribution} ORDER BY p.rowid"
    )


def _append_by_copy(stage: "Stage", same: Mapping[str, str], first: int) -> None:
    # It takes a while to load, and only who reads a file needs it.
    import pyarrow as pa

    keys, owners = _Keys(stage), _owners(stage)
    written = {
        name: pa.array([None if text == NULL else text for text in fields_of(values)], pa.string())
        for name, values in owners.items()
    }
    names = _names()
    with pg_copy.copying("billing_charge", names) as write:
        for batch in stage.spool.batches():
            of_rows: dict[str, Any] = {name: pa.array(ids) for name, ids in keys.of(batch, first).items()}
            of_rows |= {name: batch.column(name) for name in _OWN}
            of_rows |= {name: texts.take(batch.column("attribution")) for name, texts in written.items()}
            of_rows |= same
            write(pg_copy.lines_of_arrays([of_rows[name] for name in names]))


def _names() -> list[str]:
    """Return the columns of a new charge."""
    return [str(field.column) for field in Charge._meta.concrete_fields if field.column not in _NOTHING]
