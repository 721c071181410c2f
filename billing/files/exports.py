"""Files that the worker writes for somebody to download: kept for a day, under names that nobody guesses."""

import datetime
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ..errors import NoLongerKept
from .folders import own_folder
from .leftovers import EXPORTS_KEPT
from .writing import whole_if_absent

KEPT = f"The file is kept for {EXPORTS_KEPT // 3600} hours."
GONE = f"This file is no longer there: it is kept for {EXPORTS_KEPT // 3600} hours. Ask for it again."


def keep(ending: str, write: Callable[[IO[bytes]], int]) -> tuple[str, int]:
    """Have a file written; return its name and what `write` returned."""
    name = f"{secrets.token_hex(16)}.{ending}"
    with whole_if_absent(_path(name)) as file:
        count = write(file)
    return name, count


def opened(name: str, *, now: datetime.datetime) -> IO[bytes]:
    """Open a file that the worker wrote. Raises NoLongerKept."""
    if not is_kept(name, now=now):
        raise NoLongerKept(GONE)
    return _path(name).open("rb")


def is_kept(name: str, *, now: datetime.datetime) -> bool:
    """Tell whether a file that the worker wrote can still be had; `leftovers` removes it some time after that."""
    path = _path(name)
    return bool(name) and path.is_file() and path.stat().st_mtime > now.timestamp() - EXPORTS_KEPT


def _path(name: str) -> Path:
    return own_folder("exports") / Path(name).name
