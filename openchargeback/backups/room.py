"""Whether there is room on the disk, asked before anything is written."""

import shutil
from pathlib import Path

from django.db import connection
from django.db.models import Sum
from django.template.defaultfilters import filesizeformat

from billing.errors import BillingError
from billing.files import documents
from billing.models import DisposedFile, StoredFile

from .own_files import own_files


def needed_for_backup() -> int:
    """Return the most that a backup takes, in bytes: what is packed into it is smaller."""
    there = StoredFile.objects.exclude(path__in=DisposedFile.objects.values("name"))
    received = there.aggregate(size=Sum("size"))["size"] or 0
    own = sum(path.stat().st_size for _, path in own_files()) + sum(size for _, size in documents.in_bucket())
    return int(database_size() + received + own)


def database_size() -> int:
    """Return the size of the database, in bytes."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        else:
            cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def require(folder: Path, needed: int, *, what: str, error: type[BillingError]) -> None:
    """Raise the error where a folder's disk has less room than needed."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise error(
            f"{what} may take {filesizeformat(needed)}, and {folder} has {filesizeformat(free)} left. "
            "Make room, or name a folder on another disk."
        )
