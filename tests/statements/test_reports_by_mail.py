"""Reports by mail: whom the policy names gets one when a month is finalized, once, and in test mode nobody."""

from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.urls import reverse

from billing import mail_test_mode
from billing.background import jobs
from billing.models import AuditEvent, BillingPeriod, Job, Policy
from billing.months import checklist, closing
from statements import issuing
from tests import build
from tests.smtp import mail_server

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}


@pytest.fixture
def outbox(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    return mail.outbox


def finalize(monkeypatch, *recipients: str) -> BillingPeriod:
    """Finalize a month that was subsidized in full, without what its close asks for besides."""
    monkeypatch.setattr(checklist, "_providers", {})
    steps = closing._finalize_steps
    monkeypatch.setattr(closing, "_finalize_steps", {name: steps[name] for name in ("reports by mail",)})
    build.a_policy(report_recipients=list(recipients), contact_email="help@u.edu")
    build.a_charge("0.00", list_cost=Decimal(250), contracted_cost=Decimal(250), source="hpc")
    period = build.a_period()
    issuing.generate(period=period, **BY)
    closing.close(period=period, **BY)
    return closing.finalize(period=period, **BY)


def run_jobs() -> list[Job]:
    """Do what the worker would."""
    waiting = list(Job.objects.filter(kind=Job.Kind.REPORT, state=Job.State.QUEUED).order_by("pk"))
    for job in waiting:
        jobs.run(job.pk)
        job.refresh_from_db()
    return waiting


def test_each_whom_the_policy_names_gets_the_report_when_a_month_is_finalized(monkeypatch, outbox, settings):
    finalize(monkeypatch, "vpr@u.edu", "cio@u.edu")
    assert outbox == []
    assert [job.state for job in run_jobs()] == ["done", "done"]
    assert [each.to for each in outbox] == [["vpr@u.edu"], ["cio@u.edu"]]
    first = outbox[0]
    assert first.subject == "Value delivered by research computing, July 2024 to January 2025"
    assert first.reply_to == ["help@u.edu"]
    assert "Services worth 250.00 USD at list price were delivered." in first.body
    assert "Subsidies covered 250.00 USD, 100% of the price after discounts." in first.body
    assert f"{settings.SITE_URL}{reverse('admin:reports')}?to=2025-01&by=college" in first.body
    ((name, content, kind),) = first.attachments
    assert (name, kind) == ("value-by-college-2024-07-to-2025-01.pdf", "application/pdf")
    assert content.startswith(b"%PDF")
    told = AuditEvent.objects.filter(action="period.report_mailed").order_by("pk")
    assert [event.after["to"] for event in told] == ["vpr@u.edu", "cio@u.edu"]


def test_without_anybody_named_nothing_is_mailed(monkeypatch, outbox):
    finalize(monkeypatch)
    assert run_jobs() == []


def test_whom_the_policy_no_longer_names_gets_nothing(monkeypatch, outbox):
    finalize(monkeypatch, "vpr@u.edu")
    build.a_policy()
    (job,) = run_jobs()
    assert job.message == "Not mailed: the policy does not name vpr@u.edu any more."
    assert outbox == []


def test_in_test_mode_it_goes_to_the_test_address(monkeypatch, settings):
    finalize(monkeypatch, "vpr@u.edu")
    with mail_server() as server:
        server.configure(settings)
        settings.EMAIL_BACKEND, settings.EMAIL_REDIRECT_TO = mail_test_mode.BACKEND, "test@u.edu"
        assert [job.state for job in run_jobs()] == ["done"]
        (sent,) = server.mailbox
    assert sent.recipients == ("test@u.edu",)
    assert sent.subject.startswith("[TEST for vpr@u.edu]")
    assert AuditEvent.objects.get(action="period.report_mailed").after["sent_to"] == "test@u.edu"


def test_a_refusal_is_recorded_and_can_be_tried_again(monkeypatch, outbox):
    finalize(monkeypatch, "vpr@u.edu")

    def refuse(self, message):
        raise OSError("no route")

    with monkeypatch.context() as patched:
        patched.setattr("statements.emails.outbox.Outbox.send", refuse)
        (job,) = run_jobs()
    assert job.state == "failed"
    assert "vpr@u.edu was not mailed the report of January 2025" in job.message
    assert AuditEvent.objects.filter(action="period.report_not_mailed").exists()
    jobs.retry(job=job, **BY)
    assert [each.state for each in run_jobs()] == ["done"]
    assert len(outbox) == 1


def test_without_a_mail_server_it_is_a_file(monkeypatch, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    finalize(monkeypatch, "vpr@u.edu")
    (job,) = run_jobs()
    assert job.message == "Written to a file, not mailed: the report of January 2025, to vpr@u.edu."


@pytest.mark.parametrize("recipients", ["vpr@u.edu", ["vpr"], [7]])
def test_the_policy_takes_addresses_alone(recipients):
    with pytest.raises(ValidationError):
        Policy(report_recipients=recipients).full_clean()


def test_addresses_are_typed_with_commas_between_them(cast, client):
    client.force_login(cast.finance)
    url = reverse("admin:billing_policy_edit")
    page = client.get(url).content.decode()
    assert "Reports are mailed to" in page
