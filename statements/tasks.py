"""What background jobs and the close ask of statements; each calls one engine function."""

import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from billing.audit import Actor
from billing.closing import Obstacle
from billing.models import BillingPeriod, Job
from billing.progress import Progress

from . import delivery, issuing, reporting


def generate(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Generate the statements of `arguments["period"]` (an id), and send them where `send` is set."""
    generated, sent = delivery.issue_and_send(
        period=BillingPeriod.objects.get(pk=arguments["period"]),
        send_now=bool(arguments.get("send")),
        actor=actor,
        now=now,
        progress=progress,
    )
    message = reporting.summary(generated)
    if sent:
        message += " " + reporting.sent_summary(sent)
    return reporting.plain_data(reporting.generated_data(generated, sent)) | {"message": message}


def send(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Send what is issued and not sent of `arguments["period"]` (an id)."""
    sent = delivery.send(
        period=BillingPeriod.objects.get(pk=arguments["period"]), actor=actor, now=now, progress=progress
    )
    return reporting.plain_data(reporting.sent_data(sent)) | {"message": reporting.sent_summary(sent)}


def statements_are_current(period: BillingPeriod) -> list[Obstacle]:
    """Say whether a period's statements show what its charges come to, in their final form."""
    changes = issuing.changes_of(period)
    if not changes:
        return []
    what = "1 statement is" if changes == 1 else f"{changes} statements are"
    url = reverse("admin:statements_statement_generate") + "?" + urlencode({"period": str(period)})
    return [Obstacle(f"{what} not current: generate the statements of {period} again.", url, "statements")]
