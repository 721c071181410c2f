"""PostgreSQL's COPY of columns of values, at once or beside the program that makes the next ones."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.db import connection

# In COPY's text format these four are written with a backslash.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

# Rows sent in one command, and how many commands wait: enough that neither side waits for the other, and
# a few MiB at the most.
TOGETHER = 2_000
WAITING = 2

Table = tuple[str, tuple[str, ...]]


def copy(table: str, columns: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
    """Append values, given column by column, to a table."""
    connection.ensure_connection()
    _send(connection.connection, (table, tuple(names)), _lines(columns))


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

    def add(self, table: str, columns: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
        """Append values, given column by column, to a table, in the order they come."""
        key = (table, tuple(names))
        self._gathered.setdefault(key, []).append(_lines(columns))
        self._rows[key] = self._rows.get(key, 0) + len(columns[0])
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
        while len(self._sent) >= WAITING:
            self._sent.popleft().result()
        self._sent.append(self._thread.submit(_send, self._raw, key, text))


def _send(raw: Any, table: Table, text: str) -> None:
    # Past Django's wrapper, which belongs to the thread that made it.
    name, columns = table
    with raw.cursor() as cursor, cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as into:
        into.write(text)


def _lines(columns: Sequence[Sequence[Any]]) -> str:
    return "\n".join(map("\t".join, zip(*map(_texts, columns), strict=True))) + "\n"


def _texts(column: Sequence[Any]) -> list[str]:
    """Write a column in COPY's text format; a column has values of one type, and None."""
    first = column[0]
    # Most columns hold one value all along.
    if column.count(first) == len(column):
        return _different([first]) * len(column)
    return _different(column)


def _different(column: Sequence[Any]) -> list[str]:
    sample = next((value for value in column if value is not None), None)
    if isinstance(sample, str):
        texts = ["" if value is None else value for value in column]
        together = "".join(texts)
        if any(special in together for special in "\\\t\n\r"):
            texts = [text.translate(_ESCAPES) for text in texts]
        if None in column:
            texts = ["\\N" if value is None else text for value, text in zip(column, texts, strict=True)]
        return texts
    if isinstance(sample, bytes):
        return [f"\\\\x{value.hex()}" for value in column]
    if None in column:
        return ["\\N" if value is None else str(value) for value in column]
    return list(map(str, column))
