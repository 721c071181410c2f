"""Records one after the other into batches of columns."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from ..records import Shape
from .kinds import BATCH_RECORDS, Tally

Record = Mapping[str, str | int]


def batches_of(records: Iterable[Record], shape: Shape, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield records as batches of a shape's schema, counting them. Texts left out are empty, and measures 0."""
    gathered: list[Record] = []
    for record in records:
        gathered.append(record)
        if len(gathered) == BATCH_RECORDS:
            yield _batch(gathered, shape.schema, tally)
            gathered = []
    if gathered:
        yield _batch(gathered, shape.schema, tally)


def _batch(records: list[Record], schema: pa.Schema, tally: Tally) -> pa.RecordBatch:
    columns = []
    for field in schema:
        nothing: Any = 0 if pa.types.is_integer(field.type) else ""
        values = [record.get(field.name, nothing) for record in records]
        if pa.types.is_dictionary(field.type):
            columns.append(pa.array(values, pa.string()).dictionary_encode())
        else:
            columns.append(pa.array(values, field.type))
    tally.records += len(records)
    return pa.RecordBatch.from_arrays(columns, schema=schema)
