"""PostgreSQL's COPY of columns of values, at once or beside the program that makes the next ones."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.db import connection

from ...copy_text import DELIMITER, lines_of

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
        while len(self._sent) >= WAITING:
            self._sent.popleft().result()
        self._sent.append(self._thread.submit(_send, self._raw, key, text))


def _send(raw: Any, table: Table, text: str) -> None:
    # Past Django's wrapper, which belongs to the thread that made it.
    name, columns = table
    with (
        raw.cursor() as cursor,
        cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN (DELIMITER E'{_DELIMITER}')") as into,
    ):
        into.write(text)


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
