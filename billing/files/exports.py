"""Files that the worker writes for somebody to download: kept for a day, under names that nobody guesses."""

import datetime
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ..errors import NoLongerKept
from . import documents
from .leftovers import EXPORTS, EXPORTS_KEPT

KEPT = f"The file is kept for {EXPORTS_KEPT // 3600} hours."
GONE = f"This file is no longer there: it is kept for {EXPORTS_KEPT // 3600} hours. Ask for it again."


def keep(ending: str, write: Callable[[IO[bytes]], int]) -> tuple[str, int]:
    """Have a file written; return its name and what `write` returned."""
    name = f"{secrets.token_hex(16)}.{ending}"
    with documents.writing(_document(name)) as file:
        count = write(file)
    return name, count


def opened(name: str, *, now: datetime.datetime) -> IO[bytes]:
    """Open a file that the worker wrote. Raises NoLongerKept."""
    if not is_kept(name, now=now):
        raise NoLongerKept(GONE)
    return documents.opened(_document(name))


def is_kept(name: str, *, now: datetime.datetime) -> bool:
    """Tell whether a file that the worker wrote can still be had; `leftovers` removes it some time after that."""
    written_at = documents.written_at(_document(name)) if name else None
    return written_at is not None and written_at > now - datetime.timedelta(seconds=EXPORTS_KEPT)


def _document(name: str) -> str:
    return f"{EXPORTS}/{Path(name).name}"
