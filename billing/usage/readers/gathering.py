"""Records one after the other into batches of columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    nothing = {field.name: 0 if pa.types.is_integer(field.type) else "" for field in schema}
    return batch_of([[each.get(name, none) for each in records] for name, none in nothing.items()], schema, tally)


def batch_of(columns: Iterable[Sequence[Any]], schema: pa.Schema, tally: Tally) -> pa.RecordBatch:
    """Make a batch of a schema from the values of its columns, in their order, and count its records."""
    arrays = [
        pa.array(values, pa.string()).dictionary_encode()
        if pa.types.is_dictionary(field.type)
        else pa.array(values, field.type)
        for field, values in zip(schema, columns, strict=True)
    ]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    tally.records += batch.num_rows
    return batch
