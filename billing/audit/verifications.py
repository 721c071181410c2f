"""When the audit log was verified last on this machine, and what was found: noted in a file, to be read on a page."""

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from ..files import whole
from .chaining import Verified


@dataclass(frozen=True)
class Verification:
    """One verification: its time, how many events it read, and whether the log was whole."""

    at: datetime.datetime
    events: int
    is_whole: bool


def note(found: Verified, *, now: datetime.datetime) -> None:
    """Note what a verification found, in place of the one before; raise OSError where it cannot be written."""
    with whole(_path()) as file:
        said = {"at": now.isoformat(), "events": found.events, "is_whole": found.is_whole}
        file.write(json.dumps(said).encode() + b"\n")


def last() -> Verification | None:
    """Return the last verification; None where there was none, or its note cannot be read."""
    try:
        said = json.loads(_path().read_bytes())
        at = datetime.datetime.fromisoformat(said["at"])
        return Verification(at, int(said["events"]), said["is_whole"] is True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _path() -> Path:
    return Path(settings.VAR_DIR) / "audit-verified"
