"""Figures of the installation as it stands: jobs, imports, e-mails, workers, the proof and the audit log.

Each is read from the database when it is asked for, in a dozen short queries.
"""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Min
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from billing.audit import verifications
from billing.background import heartbeat
from billing.models import AuditEvent, Import, Job
from statements.models import Email

from .. import backups
from . import readiness

PREFIX = "openchargeback"
# What finalizing a month records once its proof holds.
PROVED = "proof.frozen"


class Standing(Collector):
    """The figures at a moment, as Prometheus collects them."""

    def __init__(self, now: datetime.datetime) -> None:
        self.now = now

    def collect(self) -> Iterator[Metric]:
        yield _labelled("info", "The version that runs.", ["version"], {(settings.VERSION,): 1})
        ready = readiness.checks()
        yield _labelled("ready", "1 where a part is in order.", ["check"], {(each,): ready[each] for each in ready})
        if not all(ready[each] for each in ("database", "tables")):
            return
        yield from self._jobs()
        yield _by_state("imports", "Imports by state.", Import)
        yield _by_state("emails", "E-mails by state.", Email)
        yield from self._workers()
        yield from self._audit()

    def _jobs(self) -> Iterator[Metric]:
        rows = Job.objects.order_by().values("kind", "state").annotate(number=Count("pk"), oldest=Min("created_at"))
        counts = {(row["kind"], row["state"]): row["number"] for row in rows}
        yield _labelled("jobs", "Background jobs by kind and state.", ["kind", "state"], counts)
        for state in (Job.State.QUEUED, Job.State.RUNNING):
            since = min((row["oldest"] for row in rows if row["state"] == state), default=self.now)
            yield GaugeMetricFamily(
                f"{PREFIX}_oldest_{state}_job_seconds",
                f"How long ago the oldest {state} job was asked for; 0 where there is none.",
                value=(self.now - since).total_seconds(),
            )

    def _workers(self) -> Iterator[Metric]:
        seen = heartbeat.workers()
        alive = sum(each.is_alive for each in seen)
        yield GaugeMetricFamily(f"{PREFIX}_workers", "Background workers that run.", value=alive)

    def _audit(self) -> Iterator[Metric]:
        head = AuditEvent.objects.order_by("-pk").values_list("pk", "at").first()
        if head:
            yield GaugeMetricFamily(f"{PREFIX}_audit_events", "Number of the last event.", value=head[0])
            yield _moment("audit_head", "When the last event was written.", head[1])
        if last := verifications.last():
            yield _moment("audit_verified", "When the audit log was verified last on this machine.", last.at)
            yield GaugeMetricFamily(f"{PREFIX}_audit_whole", "1 where it was whole then.", value=last.is_whole)
        if proved := AuditEvent.objects.filter(action=PROVED).aggregate(at=Max("at"))["at"]:
            yield _moment("proof", "When a month was finalized with its reconciliation last.", proved)
        if made := backups.last_made():
            yield _moment("backup", "When the last backup was made.", made)


def _moment(name: str, help: str, at: datetime.datetime) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}_timestamp_seconds", help, value=at.timestamp())


def _by_state(name: str, help: str, model: Any) -> Metric:
    rows = model.objects.order_by().values_list("state").annotate(number=Count("pk"))
    return _labelled(name, help, ["state"], {(state,): number for state, number in rows})


def _labelled(name: str, help: str, labels: list[str], counts: Mapping[Any, int]) -> Metric:
    """Return a figure for each tuple of labels."""
    family = GaugeMetricFamily(f"{PREFIX}_{name}", help, labels=labels)
    for of, count in sorted(counts.items()):
        family.add_metric(of, count)
    return family
