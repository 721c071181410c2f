"""Reports by mail: whom the policy names gets the value delivered so far when a month is finalized."""

import datetime
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse

from billing import audit, mail_test_mode, reports
from billing.addresses import ascii_address
from billing.audit import Actor
from billing.background import jobs
from billing.errors import BillingError
from billing.models import BillingPeriod, Job, Policy
from billing.progress import Progress

from .emails import outbox


class ReportNotMailed(BillingError):
    """A report could not be mailed to somebody."""


def ask(period: BillingPeriod, gesture: audit.Gesture) -> None:
    """Have the report of a month that is being finalized mailed to each whom the policy names, after the commit."""
    for address in Policy.objects.current().report_recipients:
        jobs.enqueue(
            kind=Job.Kind.REPORT,
            arguments={"period": period.pk, "to": address},
            actor=Actor(name="system", via=gesture.actor.via),
            now=gesture.now,
        )


def send(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Mail the report of `arguments["period"]` (an id) to `arguments["to"]`; as a file where e-mail is not configured.

    Raises ReportNotMailed with the mail server's words: then the job can be retried.
    """
    period, recipient = BillingPeriod.objects.get(pk=arguments["period"]), str(arguments["to"])
    if recipient not in Policy.objects.current().report_recipients:
        return {"message": f"Not mailed: the policy does not name {recipient} any more."}
    mail = letter_of(period, recipient)
    try:
        path = outbox.send_one(mail, folder="reports", name=f"report-{period.iso_month}-{job.pk}.eml")
    except (SMTPException, OSError, BillingError, ValueError) as problem:
        words = outbox.words_of(problem)
        with audit.gesture(actor=actor, now=now) as gesture:
            gesture.record("period.report_not_mailed", period, after={"to": recipient, "error": words})
        raise ReportNotMailed(f"{recipient} was not mailed the report of {period}. {words}") from problem
    is_file, turned_to = outbox.writes_files(), mail_test_mode.test_address()
    with audit.gesture(actor=actor, now=now) as gesture:
        what = {"to": recipient, "message": path, "written": is_file}
        gesture.record("period.report_mailed", period, after=what | ({"sent_to": turned_to} if turned_to else {}))
    verb = "Written to a file, not mailed" if is_file else "Mailed"
    return {"message": f"{verb}: the report of {period}, to {recipient}."}


def letter_of(period: BillingPeriod, recipient: str) -> EmailMultiAlternatives:
    """Return the e-mail: what the fiscal year until a month came to, in words, with the PDF."""
    policy = Policy.objects.current()
    report = reports.make(reports.read({"to": period.iso_month, "by": "college"}))
    data = reports.briefing.of(report)
    address = f"{settings.SITE_URL}{reverse('admin:reports')}?to={period.iso_month}&by=college"
    text = "\n".join(
        [
            f"{policy.institution}: the value delivered, {report.asked.span}",
            "",
            *(data["told"] or ["There is nothing in these months."]),
            "",
            *data["notes"],
            *([""] if data["notes"] else []),
            "The PDF has it month by month, by college and by service. Staff see all reports here:",
            address,
            "",
        ]
    )
    mail = EmailMultiAlternatives(
        subject=f"Value delivered by research computing, {report.asked.span}"[:200],
        body=text,
        to=[ascii_address(recipient)],
        reply_to=[policy.contact_email] if policy.contact_email else None,
        headers={"Auto-Submitted": "auto-generated"},
    )
    mail.attach(reports.file_name(report, "pdf"), reports.as_pdf(report), "application/pdf")
    return mail
