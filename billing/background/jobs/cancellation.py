"""Ending a job while it runs."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from django.db import DatabaseError, connection

from ...models import Job

# How often a running job looks whether somebody wants it ended, and how long it is given to end by itself.
LOOK = 5.0
GRACE = 30.0


class Canceled(KeyboardInterrupt):
    """Somebody ended a job while it ran. What it is doing ends as if it had been interrupted on a terminal."""


@contextlib.contextmanager
def can_be_canceled(job_id: int) -> Iterator[None]:
    """Raise Canceled in the block within seconds after somebody asked for the end of the job.

    By a signal, so that it also ends what waits: for a lock, or a mail server. What does not react to that, such as
    a library that never comes back, is ended with its process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()

    def interrupt(*_: object) -> None:
        if not over.is_set():
            raise Canceled

    def look() -> None:
        while not over.wait(LOOK):
            with contextlib.suppress(DatabaseError):
                if Job.objects.filter(pk=job_id, cancel_asked_at__isnull=False).exists():
                    break
            # Of this thread, and asked for seldom: no connection is kept for it.
            connection.close()
        connection.close()
        if not over.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        if not over.wait(GRACE):
            os.kill(os.getpid(), signal.SIGKILL)

    before = signal.signal(signal.SIGUSR1, interrupt)
    watch = threading.Thread(target=look, name="cancel", daemon=True)
    watch.start()
    try:
        try:
            yield
        finally:
            over.set()
    finally:
        # Once more, should the signal have come between the two.
        over.set()
        watch.join()
        signal.signal(signal.SIGUSR1, before)
