"""Whether a background worker is alive: it says so every few seconds, and pages ask when one last did."""

import datetime
import os
import socket
import time
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from ..models import Worker

# How often a worker says that it runs, in seconds, and after how long without a word nobody works.
INTERVAL = 10
SILENT = datetime.timedelta(minutes=1)
FORGOTTEN = datetime.timedelta(days=1)

WAITS = "Waiting: no background worker is running."


def beat() -> None:
    """Note that the worker of this process is alive.

    On SQLite, where all run on one machine, that is a file: a row would have to wait for whoever is writing, an
    import for minutes. Elsewhere it is a row with the database's time, which all machines share.
    """
    if connection.vendor == "sqlite":
        path = _mark()
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        path.touch()
        return
    _, is_new = Worker.objects.update_or_create(
        name=f"{socket.gethostname()[:200]} {os.getpid()}", defaults={"seen_at": Now()}
    )
    if is_new:
        Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN).delete()


def is_worker_alive() -> bool:
    """Tell whether a worker, of any machine, was alive within the last minute."""
    if connection.vendor == "sqlite":
        try:
            seen = _mark().stat().st_mtime
        except FileNotFoundError:
            return False
        return time.time() - seen < SILENT.total_seconds()
    return Worker.objects.filter(seen_at__gt=Now() - SILENT).exists()


def _mark() -> Path:
    return Path(settings.VAR_DIR) / "working" / "worker"
