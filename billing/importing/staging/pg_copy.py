"""PostgreSQL's COPY of columns of values, at once or beside the program that makes the next ones."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from django.db import connection

from ...copy_text import DELIMITER, NULL, lines_of

# Rows sent in one command, and how many commands wait: enough that neither side waits for the other, and
# a few MiB at the most.
TOGETHER = 2_000
WAITING = 2

_DELIMITER = f"\\x{ord(DELIMITER):02x}"

Table = tuple[str, tuple[str, ...]]


def copy(table: str, columns: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
    """Append values, given column by column, to a table."""
    connection.ensure_connection()
    _send(connection.connection, (table, tuple(names)), _text(lines_of(columns)))


class Copier:
    """Sends rows of tables by a thread of its own, so that the server takes them while the next are converted.

    The connection may be used by others meanwhile: it has a lock that a COPY holds to its end. What was sent is
    there after `settle`, which raises what the server refused.
    """

    def __init__(self) -> None:
        connection.ensure_connection()
        self._raw = connection.connection
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="copy")
        self._sent: deque[Future[None]] = deque()
        self._gathered: dict[Table, list[str]] = {}
        self._rows: dict[Table, int] = {}

    def add_arrays(self, table: str, columns: Sequence[Any], names: Sequence[str]) -> None:
        """Append many values at once, given column by column as Arrow arrays (see `text_of`)."""
        self._submit((table, tuple(names)), text_of(columns))

    def add(self, table: str, columns: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
        """Append values, given column by column, to a table, in the order they come."""
        lines = lines_of(columns)
        key = (table, tuple(names))
        self._gathered.setdefault(key, []).append(_text(lines))
        self._rows[key] = self._rows.get(key, 0) + len(lines)
        if self._rows[key] >= TOGETHER:
            self._send(key)

    def settle(self) -> None:
        """Wait until all that was added is in its table."""
        for key in list(self._gathered):
            self._send(key)
        while self._sent:
            self._sent.popleft().result()

    def close(self) -> None:
        """Give up what was not sent, and end the thread."""
        self._gathered.clear()
        self._thread.shutdown(cancel_futures=True)

    def _send(self, key: Table) -> None:
        text = "".join(self._gathered.pop(key))
        self._rows.pop(key)
        self._submit(key, text)

    def _submit(self, key: Table, text: str | bytes) -> None:
        while len(self._sent) >= WAITING:
            self._sent.popleft().result()
        self._sent.append(self._thread.submit(_send, self._raw, key, text))


def _send(raw: Any, table: Table, text: str | bytes) -> None:
    # Past Django's wrapper, which belongs to the thread that made it.
    name, columns = table
    with (
        raw.cursor() as cursor,
        cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN (DELIMITER E'{_DELIMITER}')") as into,
    ):
        into.write(text)


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def text_of(columns: Sequence[Any]) -> bytes:
    """Write rows, given column by column as Arrow arrays of one length, in the format of COPY.

    None of their texts may hold what COPY writes otherwise: they are numbers, codes and names of states. Arrow
    writes a million rows in the time that Python takes for a hundred thousand.
    """
    # It takes a while to load, and only who reads a file needs it.
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [column if pa.types.is_string(column.type) else column.cast(pa.string()) for column in columns]
    nothing = {"null_handling": "replace", "null_replacement": NULL}
    lines = pc.binary_join_element_wise(*texts, DELIMITER, **nothing)
    ended = pc.binary_join_element_wise(lines, "", "\n")
    _, _, data = ended.buffers()
    return bytes(data)


def hex_texts(values: Sequence[bytes]) -> Any:
    """Write values of bytes, all as long as the first, as an Arrow array of what COPY takes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size = 2 * len(values[0])
    offsets = np.arange(0, (len(values) + 1) * size, size, dtype=np.int32)
    written = pa.StringArray.from_buffers(
        len(values), pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(values).hex().encode())
    )
    return pc.binary_join_element_wise("\\\\x", written, "")
