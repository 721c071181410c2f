"""Django-q's worker, which also says that it is alive, looks after jobs, and outlives a queue that is away."""

import logging
import os
import signal
import time
from typing import Any

from django.db import DatabaseError, connection, connections
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.cluster import Cluster
from django_q.management.commands import qcluster

from billing.background import heartbeat, parents
from billing.commands import NeedsInitialize
from billing.importing import tending
from openchargeback import serving
from statements import emails

log = logging.getLogger(__name__)


class StoppableCluster(Cluster):
    """A cluster that notes that it was told to end, so that its end is not taken for an accident."""

    def __init__(self, asked: list[int]) -> None:
        super().__init__()
        self.asked = asked

    def sig_handler(self, signum: int, frame: object) -> None:
        self.asked.append(signum)
        if self.sentinel:
            super().sig_handler(signum, frame)


class Command(NeedsInitialize, qcluster.Command):
    help = "Run the background worker, until Ctrl+C or a signal ends it. `serve` runs it together with the web server."

    def handle(self, *args: Any, **options: Any) -> None:
        if name := options["cluster_name"]:
            os.environ["Q_CLUSTER_NAME"] = name
        asked: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: asked.append(number))
        # What the processes that are made below work on ends with them, and they end with this one.
        os.register_at_fork(after_in_child=parents.end_with_parent)
        parents.end_with(os.environ.get("SERVED_BY", ""), grace=serving.GRACE)
        while not asked:
            wait_for_queue(asked)
            if not asked:
                run_cluster(asked, once=options["run_once"])
            if options["run_once"]:
                return
            if not asked:
                log.error("The processes of the worker ended by themselves. They are started again.")
                time.sleep(1)


def run_cluster(asked: list[int], *, once: bool) -> None:
    """Run tasks until a signal ends it, or its processes end by themselves."""
    # The processes that are made now must not share a connection of this one.
    connections.close_all()
    cluster = StoppableCluster(asked)
    try:
        cluster.start()
    except RuntimeError as error:
        log.error("The worker could not start: %s", error)
        return
    if once:
        cluster.stop()
        return
    while cluster.sentinel.is_alive():
        look_after()
        cluster.sentinel.join(heartbeat.INTERVAL)


def wait_for_queue(asked: list[int]) -> None:
    """Wait until the queue answers, or a signal comes: what is asked for meanwhile is kept."""
    said = ""
    while not asked:
        try:
            get_broker().ping()
        except Exception as error:
            # Whatever its client raises: the address may be wrong, its server down.
            if str(error) != said:
                log.warning("The queue cannot be reached; the worker waits for it, and jobs are kept: %s", error)
            said = str(error)
        else:
            if said:
                log.warning("The queue answers again.")
            return
        look_after()
        # In short steps, so that a signal is not waited for.
        for _ in range(20):
            if not asked:
                time.sleep(0.1)


def look_after() -> None:
    """Say that the worker is alive, close what nobody works on, hand over what waits; or else do so later."""
    try:
        heartbeat.beat()
        tending.tend(now=timezone.now())
        emails.have_due_retried(now=timezone.now())
    except (DatabaseError, OSError) as error:
        log.warning("The worker could not say that it is alive, or look after jobs: %s", error)
        connection.close()
