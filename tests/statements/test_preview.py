"""The page that says what a run of statements would issue, worked out once and kept until something changes."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import charging
from billing.background import heartbeat, jobs
from billing.errors import BillingError
from billing.months import checklist
from billing.tasks import work_out_month
from statements import issuing
from tests import build

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:statements_statement_generate") + "?period=2025-01"


def counted(client) -> tuple[str, int]:
    with CaptureQueriesContext(connection) as asked:
        page = client.get(PAGE)
    return page.text, len([each for each in asked if "billing_kept" not in each["sql"]])


def test_the_page_charges_the_month_once_until_something_changes(client, cast):
    client.force_login(cast.finance)
    build.a_charge("100.00")
    first, worked_out = counted(client)
    again, kept = counted(client)
    assert "Issue 1 statement" in first
    assert "Issue 1 statement" in again
    assert kept <= 25 < worked_out
    build.a_charge("7.00", pi="grace@u.edu", project="cells")
    assert "Issue 2 statements" in counted(client)[0]
    issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    assert "nothing to issue, 2 statements current" in " ".join(counted(client)[0].split())


def test_a_refusal_is_kept_with_its_way_out(client, cast, monkeypatch):
    client.force_login(cast.finance)
    build.a_charge("100.00", currency="EUR")
    first = client.get(PAGE).text
    monkeypatch.setattr(charging, "compute", lambda period: pytest.fail("The month is charged again."))
    assert "Before this can be done" in first
    assert "exchange rate" in first
    assert client.get(PAGE).text.count("exchange rate") == first.count("exchange rate")
    with pytest.raises(BillingError) as refused:
        issuing.kept_preview(build.a_period())
    assert refused.value.then.name == "enter_rate"


def test_a_large_month_is_left_to_the_worker_and_then_shown(client, cast, monkeypatch):
    client.force_login(cast.finance)
    monkeypatch.setattr(checklist, "LARGE", 0)
    asked = []
    monkeypatch.setattr(jobs.queue, "async_task", lambda task, *arguments: asked.append((task, *arguments)))
    heartbeat.beat()
    build.a_charge("100.00")
    waiting = client.get(PAGE).text
    assert "The worker is adding up the month" in waiting
    assert f'<a href="{PAGE}">Look again</a>' in waiting
    assert "Issue 1 statement" not in waiting
    assert asked == [("billing.tasks.work_out_month", build.a_period().pk)]
    work_out_month(build.a_period().pk)
    assert "Issue 1 statement" in client.get(PAGE).text
