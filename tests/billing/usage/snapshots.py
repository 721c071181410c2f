"""What tests of readings share: files of JSON or text, read into tables, and records by their ids."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from billing.usage.readers import KINDS, Tally

from . import reading


def read(kind: str, path: Path, tally: Tally | None = None, *, name: str = "", **given: Any) -> pa.Table:
    """Read a file as a feed with these settings would."""
    reader = KINDS[kind]
    understood = reader.settings(given)
    batches = list(reader.read(path, name or path.name, understood, Tally() if tally is None else tally))
    return pa.Table.from_batches(batches, reader.shape(understood).schema)


def written(folder: Path, content: Any, name: str = "readings-2026-01-31.json") -> Path:
    """Write a file: bytes and texts as they are, anything else as JSON."""
    path: Path = reading.written(folder, content if isinstance(content, bytes | str) else json.dumps(content), name)
    return path


def by_id(table: pa.Table, *columns: str) -> dict[str, Any]:
    """Return columns of a table by the ids of its records; one column by itself."""
    rows = table.to_pylist()
    assert len({row["id"] for row in rows}) == len(rows)
    if len(columns) == 1:
        return {row["id"]: row[columns[0]] for row in rows}
    return {row["id"]: tuple(row[column] for column in columns) for row in rows}
