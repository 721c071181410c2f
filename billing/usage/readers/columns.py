"""Any table of usage, CSV or Excel, by a mapping of its columns: lab services, consulting hours, instrument time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from .kinds import Kind, Tally
from .mapped_rows import MappedRows, missing_columns
from .mapping import ColumnMapping, mapping_of
from .table_rows import open_table
from .understanding import Understanding


def read(path: Path, name: str, mapping: ColumnMapping, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the records of a table in batches; see Kind."""
    with contextlib.ExitStack() as stack:
        table = open_table(
            path, name, stack, lacks=lambda headings: missing_columns(mapping, headings), sheet=mapping.sheet
        )
        rows = MappedRows(table, mapping, tally)
        yield from Understanding(mapping.shape, table.rows, rows.record, tally)
        rows.note()


COLUMNS = Kind(
    name="columns",
    label="Table by a mapping of its columns",
    settings=mapping_of,
    shape=lambda mapping: mapping.shape,
    read=read,
)
