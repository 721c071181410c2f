"""The backups in a folder: which there are, and which of them may go."""

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

from billing.errors import BillingError
from billing.models import AuditEvent

from .archive import Archive, Manifest
from .making import ACTION, ENDING, PREFIX

NAME = re.compile(rf"{PREFIX}\d{{8}}T\d{{6}}Z{re.escape(ENDING)}")


@dataclass(frozen=True)
class Kept:
    """A backup in a folder; without a manifest it is not whole, and `problem` says why."""

    path: Path
    size: int
    manifest: Manifest | None
    problem: str = ""


def kept_in(folder: Path) -> list[Kept]:
    """Return the backups in a folder, the newest first. Their manifests are read, and not all that is in them."""
    found = []
    for path in folder.iterdir():
        if not NAME.fullmatch(path.name):
            continue
        size = path.stat().st_size
        try:
            with Archive(path) as archive:
                found.append(Kept(path, size, archive.manifest))
        except (BillingError, OSError) as error:
            found.append(Kept(path, size, None, str(error)))
    return sorted(found, key=lambda each: each.path.name, reverse=True)


def remove_old(
    folder: Path,
    *,
    installation: str,
    number: int | None = None,
    days: int | None = None,
    now: datetime.datetime,
) -> list[Path]:
    """Remove the backups of an installation beyond the newest so many, or older than so many days; return them.

    The newest whole one always stays. One that is not whole neither counts nor goes: somebody has to look at it. Nor
    does one of another installation, or one that was made before there was any event.
    """
    ours = [each for each in kept_in(folder) if each.manifest and each.manifest.installation == installation != ""]
    removed = []
    for place, each in enumerate(ours):
        assert each.manifest
        is_beyond = number is not None and place >= number
        is_old = days is not None and each.manifest.moment < now - datetime.timedelta(days=days)
        if place and (is_beyond or is_old):
            each.path.unlink()
            removed.append(each.path)
    return removed


def last_made() -> datetime.datetime | None:
    """Return when the last backup was made by this program, by its audit log; None where none ever was."""
    return AuditEvent.objects.filter(action=ACTION).order_by("-pk").values_list("at", flat=True).first()
