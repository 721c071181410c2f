"""The rows of dimensions that an import names: staged as they come, and stored before it is applied."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from ...models import DIMENSION_MODELS, ResourceText
from ...models.dimensions import folded_id
from ...readers.dimensions import FIELDS
from ...readers.facts import NewRow

if TYPE_CHECKING:
    from .tables import Stage

MODELS = {model.NAME: model for model in DIMENSION_MODELS}

# Beside the texts, what follows from them.
_DERIVED = {ResourceText.NAME: ("folded_id",)}

# The columns that are filled in.
COLUMNS: dict[str, tuple[str, ...]] = {
    name: ("number", "text_hash", *fields, *_DERIVED.get(name, ())) for name, fields in FIELDS.items()
}


def _types(name: str) -> str:
    blob = "bytea" if connection.vendor == "postgresql" else "blob"
    texts = ", ".join(f"{column} text" for column in COLUMNS[name][2:])
    return f"number integer PRIMARY KEY, text_hash {blob}, {texts}"


def tables() -> dict[str, str]:
    """Return the temporary tables of dimensions, with their columns: the rows by number, and the ids of stored ones.

    The ids lie apart: they are looked up for each row, and are small enough for a cache.
    """
    ids = "number integer PRIMARY KEY, id bigint NOT NULL"
    return {f"stage_{name}": _types(name) for name in FIELDS} | {f"stage_{name}_id": ids for name in FIELDS}


def columns_of(name: str, new: Sequence[NewRow]) -> list[Sequence[Any]]:
    """Return rows column by column, as COLUMNS has them."""
    texts = list(zip(*(each.texts for each in new), strict=True))
    columns: list[Sequence[Any]] = [[each.number for each in new], [each.text_hash for each in new], *texts]
    if name == ResourceText.NAME:
        columns.append(list(map(folded_id, texts[0], texts[1])))
    return columns


def store(stage: "Stage") -> None:
    """Store the rows of dimensions that are new.

    In a transaction of its own, before the import is applied: rows that no charge has harm nobody, and nobody waits
    for an import because of a text. They go in by the order of their hashes, so that two imports with the same new
    texts do not wait for each other.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for model in DIMENSION_MODELS:
            table, staged = model._meta.db_table, f"stage_{model.NAME}"
            stage.analyze(staged)
            columns = ", ".join(COLUMNS[model.NAME][1:])
            cursor.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM "
                "(SELECT s.*, row_number() OVER (PARTITION BY s.text_hash ORDER BY s.number) AS nth "
                f"FROM {staged} s WHERE NOT EXISTS (SELECT 1 FROM {table} d WHERE d.text_hash = s.text_hash)) new "
                # What was forgotten has come again under another number.
                "WHERE nth = 1 ORDER BY text_hash ON CONFLICT (text_hash) DO NOTHING"
            )


def ids(stage: "Stage", name: str) -> Iterator[tuple[int, int]]:
    """Yield (number, id) of all rows of a dimension that an import names, once they are stored."""
    table = MODELS[name]._meta.db_table
    sql = f"SELECT s.number, d.id FROM stage_{name} s JOIN {table} d ON d.text_hash = s.text_hash"  # noqa: S608
    for number, key in stage.select(sql):
        yield int(number), int(key)


def lay_out_ids(stage: "Stage") -> None:
    """Put the ids beside the numbers, where SQL finds those of the rows in `stage_row`."""
    with connection.cursor() as cursor:
        for name in MODELS:
            table, staged = MODELS[name]._meta.db_table, f"stage_{name}"
            cursor.execute(f"DELETE FROM {staged}_id")
            cursor.execute(
                f"INSERT INTO {staged}_id (number, id) SELECT s.number, d.id FROM {staged} s "
                f"JOIN {table} d ON d.text_hash = s.text_hash ORDER BY s.number"
            )
            stage.analyze(f"{staged}_id")
