"""What readers of levels make of texts that tests write, and of samples that nobody here wrote."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.conf import settings

from billing.usage.readers import KINDS, Tally

SAMPLES = Path(settings.BASE_DIR).parent / "shared" / "samples" / "usage"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared samples are not on this machine")
DAY = "2026-01-31"


def read(kind: str, path: Path, tally: Tally | None = None, *, name: str = "", **given: Any) -> pa.Table:
    """Read a file as a feed with these settings would."""
    reader = KINDS[kind]
    understood = reader.settings(given)
    batches = list(reader.read(path, name or path.name, understood, Tally() if tally is None else tally))
    return pa.Table.from_batches(batches, reader.shape(understood).schema)


def written(folder: Path, content: Any, name: str = "readings-2026-01-31.json") -> Path:
    """Write a file: bytes and texts as they are, anything else as JSON."""
    path = folder / name
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def by_id(table: pa.Table, *columns: str) -> dict[str, Any]:
    """Return columns of a table by the ids of its records; one column by itself."""
    rows = table.to_pylist()
    assert len({row["id"] for row in rows}) == len(rows)
    if len(columns) == 1:
        return {row["id"]: row[columns[0]] for row in rows}
    return {row["id"]: tuple(row[column] for column in columns) for row in rows}
