"""Imports of which not even the attempt could be written to the database: kept in a file until it can be."""

import datetime
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from .. import audit
from ..audit import Actor
from ..locks import FileLock
from ..models import Import

log = logging.getLogger(__name__)


def keep(*, names: Sequence[str], why: str, actor: Actor, now: datetime.datetime) -> None:
    """Note that somebody tried to import files, and why nothing came of it; where that cannot be written, log it."""
    line = json.dumps({"names": list(names), "why": why, "by": actor.name, "at": now.isoformat()}) + "\n"
    path = _path()
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with FileLock(_lock()) as lock:
            lock.acquire(wait=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(line)
    except OSError as error:
        log.error("An import of %s failed, which could not be recorded (%s): %s", ", ".join(names), error, why)


def bring_in(*, actor: Actor, now: datetime.datetime) -> int:
    """Make failed imports of the attempts that were kept, now that the database takes them; return how many."""
    path = _path()
    if not path.exists():
        return 0
    with FileLock(_lock()) as lock:
        if not lock.acquire():
            # Somebody is writing one, or records them.
            return 0
        kept = [each for line in path.read_bytes().splitlines() if (each := _read(line))]
        with audit.gesture(actor=actor, now=now) as gesture:
            for each in kept:
                failed = Import.objects.create(
                    name=", ".join(each["names"])[:254],
                    state=Import.State.FAILED,
                    created_at=datetime.datetime.fromisoformat(each["at"]),
                    created_by_name=each["by"][:254],
                    errors=[{"file": "", "line": None, "column": None, "message": each["why"]}],
                )
                gesture.record(
                    "import.failed", failed, after={"files": each["names"], "tried_at": each["at"]}, note=each["why"]
                )
        # Written twice, if it breaks off here, is better than not at all.
        path.unlink(missing_ok=True)
    return len(kept)


def _read(line: bytes) -> dict[str, str] | None:
    try:
        found = json.loads(line)
        datetime.datetime.fromisoformat(found["at"])
    except (ValueError, KeyError, TypeError):
        # Torn off by a full disk.
        return None
    return found if {"names", "why", "by"} <= found.keys() else None


def _path() -> Path:
    return Path(settings.VAR_DIR) / "working" / "attempts"


def _lock() -> Path:
    return _path().with_name("attempts.lock")
