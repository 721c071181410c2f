"""Configuration of gunicorn, beside its options on the command line: all of it ends with `serve`."""

import os
import shutil
import tempfile

from billing.background import parents

# Seconds for requests that are being answered.
GRACE = 20.0
# Where the library that counts requests looks for the folder in which each process keeps its counts; see `watching`.
COUNTS = "PROMETHEUS_MULTIPROC_DIR"


def on_starting(server: object) -> None:
    """Have the process that starts the others end with `serve`, and have them count in one folder."""
    parents.end_with(os.environ.get("SERVED_BY", ""), grace=GRACE)
    os.environ[COUNTS] = tempfile.mkdtemp(prefix="openchargeback-counts-")


def post_fork(server: object, worker: object) -> None:
    """Have each process that answers requests end with the one that started it."""
    parents.end_with_parent()


def on_exit(server: object) -> None:
    """Remove the counts: they begin anew with the next start, as Prometheus expects."""
    shutil.rmtree(os.environ.get(COUNTS, ""), ignore_errors=True)
