"""What a month has to journal, worked out once and kept until something changes."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import charging
from billing.background import heartbeat, jobs
from billing.errors import BillingError
from billing.months import checklist
from billing.tasks import work_out_month
from journals import posting
from tests.build import a_charge, a_period
from tests.journals.made import drafted

pytestmark = pytest.mark.django_db


def test_a_prospect_says_what_drafting_again_would_change_and_is_kept_until_something_does():
    a_charge("100.00")
    journal = drafted().journal
    a_charge("20.00", service_name="Network")

    found = posting.kept_prospect(a_period())

    assert (found.draft, found.debits, found.difference.by) == (journal.number, 120, 20)
    assert [each.debits for each in found.summaries] == [120] * 3
    assert journal.lines.count() == 2
    assert posting.kept_prospect(a_period()) == found
    a_charge("5.00", service_name="Backup")
    assert posting.kept_prospect(a_period()).debits == 125


def test_a_page_does_not_wait_for_the_prospect_of_a_large_month(monkeypatch):
    asked = []
    monkeypatch.setattr(checklist, "LARGE", 0)
    monkeypatch.setattr(jobs.queue, "async_task", lambda task, *arguments: asked.append((task, *arguments)))
    heartbeat.beat()
    a_charge("100.00")

    assert posting.kept_prospect(a_period(), waits=False) is None
    assert asked == [("billing.tasks.work_out_month", a_period().pk)]
    seen = []
    real = checklist.progress_of
    monkeypatch.setattr(charging, "compute", lambda period: seen.append(real(period)) or compute(period))
    work_out_month(a_period().pk)

    assert posting.kept_prospect(a_period(), waits=False).debits == 100
    assert [(each.done, each.total) for each in seen if each] == [(0, 4), (2, 4), (3, 4)]
    assert checklist.progress_of(a_period()) is None


compute = charging.compute


def test_a_refusal_is_kept_as_the_result(monkeypatch):
    a_charge("100.00", currency="EUR")

    for _ in range(2):
        with pytest.raises(BillingError, match="rate") as refused:
            posting.kept_prospect(a_period())
        assert refused.value.then.name == "enter_rate"


def test_what_the_checklist_keeps_of_several_months_is_read_at_once(django_assert_num_queries):
    for month in ("2025-01", "2024-12"):
        a_charge("10.00", period=month)
    months = [a_period("2025-01"), a_period("2024-12")]
    for month in months:
        checklist.of(month, only=("journal",))
    with CaptureQueriesContext(connection) as one:
        checklist.known(months[:1], "journal")
    with django_assert_num_queries(len(one)):
        found = checklist.known(months, "journal")

    assert {pk: items[0].text for pk, items in found.items()} == {
        month.pk: "10.00 USD of 1 payer line is not journaled." for month in months
    }
    a_charge("1.00")
    assert checklist.known(months[:1], "journal") == {}
