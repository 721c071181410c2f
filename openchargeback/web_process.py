"""Configuration of gunicorn, beside its options on the command line: all of it ends with `serve`."""

import os

from billing.background import parents

# Seconds for requests that are being answered.
GRACE = 20.0


def on_starting(server: object) -> None:
    """Have the process that starts the others end with `serve`."""
    parents.end_with(os.environ.get("SERVED_BY", ""), grace=GRACE)


def post_fork(server: object, worker: object) -> None:
    """Have each process that answers requests end with the one that started it."""
    parents.end_with_parent()
