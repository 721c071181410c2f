"""What background jobs and the staff pages ask of statements; each calls one engine function."""

import datetime
from typing import Any

from django.utils import timezone

from billing.audit import Actor
from billing.errors import NextStep
from billing.files import exports
from billing.models import BillingPeriod, Job, Policy, User
from billing.models.scopes import scope_of
from billing.notices import Notice
from billing.progress import Progress

from . import emails, issuing, reporting, taking
from .models import Statement


def generate(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Issue the statements of `arguments["period"]` (an id). Who would get what is looked at before it is sent."""
    generated = issuing.generate(
        period=BillingPeriod.objects.get(pk=arguments["period"]), actor=actor, now=now, progress=progress
    )
    result = reporting.plain_data(reporting.generated_data(generated, None))
    if generated.issued:
        result["then"] = NextStep("send_statements", {"period": generated.period}).as_data()
    return result | {"message": reporting.summary(generated)}


def send(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Send what is issued and not sent of `arguments["period"]` (an id), or of it the `statements` (numbers) alone.

    With `emails` (ids) these are tried again, and nothing else is sent. With `outdated` also statements that are not
    current, with `written` also e-mails that are files so far. Raises NotSent where an e-mail was not sent; the others
    were.
    """
    sent = emails.send(
        period=BillingPeriod.objects.get(pk=arguments["period"]),
        # None is the whole month; a list without a number is refused.
        chosen=arguments.get("statements"),
        # E-mails whose time to be tried again has come.
        only=arguments.get("emails"),
        outdated=bool(arguments.get("outdated")),
        written=bool(arguments.get("written")),
        actor=actor,
        now=now,
        progress=progress,
    )
    result = reporting.plain_data(reporting.sent_data(sent))
    if sent.is_trouble:
        raise emails.NotSent(sent, done=reporting.sent_summary(sent), result=result)
    return result | {"message": reporting.sent_summary(sent)}


def collect(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Write the statements in force of `arguments["of"]` that who asked may see into a workbook, for them alone.

    The digest says what they might see then: to who may see other things by now the file is not given.
    """
    assert job.created_by is not None
    seen = scope_of(job.created_by, on=timezone.localdate(now))
    chosen = taking.Time.named(arguments["of"]).of(Statement.objects.live().filter(seen.rows()))
    name, count = exports.keep("xlsx", lambda file: taking.write_workbook(chosen, file, progress))
    told = "1 statement" if count == 1 else f"{count:,} statements"
    return {"message": f"{told} collected. {exports.KEPT}", "kept": name, "digest": taking.digest_of(seen)}


def email_is_configured(user: User) -> Notice | None:
    """Say on staff pages that e-mails are only files, unless the policy has that switched off."""
    if not emails.writes_files() or not Policy.objects.current().warns_without_email:
        return None
    return Notice(
        "E-mail is not configured: nothing leaves this machine. E-mails are written to files until whoever runs this "
        "program sets EMAIL_URL.",
        then=NextStep("list_emails"),
    )
