"""PostgreSQL's COPY of columns of values: Python's own, or Arrow's."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from django.db import connection

from ...copy_text import DELIMITER, NULL, lines_of

_DELIMITER = f"\\x{ord(DELIMITER):02x}"


def copy(table: str, columns: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
    """Append values, given column by column, to a table."""
    with copying(table, names) as write:
        write(("\n".join(lines_of(columns)) + "\n").encode())


@contextlib.contextmanager
def copying(table: str, names: Sequence[str]) -> Iterator[Callable[[bytes], None]]:
    """Append lines to a table by one COPY: yields what takes them, many at once (see `lines_of_arrays`)."""
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN (DELIMITER E'{_DELIMITER}')") as into,
    ):
        yield into.write


def lines_of_arrays(columns: Sequence[Any]) -> bytes:
    """Write rows, given column by column as Arrow arrays of one length (or one text for all), in the format of COPY.

    None of their texts may hold what COPY writes otherwise (see `escaped`). Arrow writes a million rows in the time
    that Python takes for a hundred thousand.
    """
    # It takes a while to load, and only who reads a file needs it.
    import pyarrow.compute as pc

    nothing = {"null_handling": "replace", "null_replacement": NULL}
    lines = pc.binary_join_element_wise(*map(_written, columns), DELIMITER, **nothing)
    ended = pc.binary_join_element_wise(lines, "", "\n")
    _, _, data = ended.buffers()
    return bytes(data)


def _written(column: Any) -> Any:
    """Write a column as COPY takes it, whatever its type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, str) or pa.types.is_string(column.type):
        return column
    if not pa.types.is_fixed_size_binary(column.type):
        return column.cast(pa.string())
    size = 2 * column.type.byte_width
    offsets = np.arange(0, (len(column) + 1) * size, size, dtype=np.int32)
    hexed = b"".join(column.to_pylist()).hex().encode()
    written = pa.StringArray.from_buffers(len(column), pa.py_buffer(offsets.tobytes()), pa.py_buffer(hexed))
    return pc.binary_join_element_wise("\\\\x", written, "")
