"""Configuration of gunicorn, beside its options on the command line: all of it ends with `serve`."""

import os
from typing import Any

from billing.background import parents

# Seconds for requests that are being answered.
GRACE = 20.0


def on_starting(server: Any) -> None:
    """Have the process that starts the others end with `serve`."""
    parents.end_with(os.environ.get("SERVED_BY", ""), grace=GRACE)


def post_fork(server: Any, worker: Any) -> None:
    """Have each process that answers requests end with the one that started it."""
    parents.end_with_parent()
