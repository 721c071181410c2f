"""Pages that follow what runs: progress first, then the result in its place, without loading the page again."""

import pytest
from django.urls import reverse
from django.utils import timezone
from selenium.webdriver.common.by import By

from billing import review
from billing.background import heartbeat, jobs, working
from billing.models import Charge, Job
from billing.months import checklist
from billing.tasks import work_out_month
from journals import posting
from tests import build

from . import steps
from .steps import complaints, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

BY = {"actor": build.SOMEBODY, "now": build.NOW}
ASKED = """
return performance.getEntriesByType("resource").filter(each => each.initiatorType === "fetch").map(each => each.name);
"""


@pytest.fixture
def finance(browser, live_server):
    build.the_cast()
    build.a_charge("100.00", flags=("pattern_match",))
    sign_in(browser, live_server, "fay")
    return browser


@pytest.fixture
def large(monkeypatch):
    """A month that no page waits for, and a worker that is alive but has not come to it."""
    monkeypatch.setattr(checklist, "LARGE", 0)
    monkeypatch.setattr(jobs.queue, "async_task", lambda *asked: None)
    heartbeat.beat()


def look(browser, live_server, address):
    browser.get(live_server.url + address)
    browser.execute_script("window.isTheSame = true")


def until(browser, element, text):
    """Wait until a part of the page says something, in the page that was opened."""
    steps.until(browser, lambda: text in browser.find_element(By.ID, element).text)
    assert browser.execute_script("return window.isTheSame")


def test_the_month_follows_a_job_and_then_shows_what_came_of_it_and_what_is_next(finance, live_server):
    job = Job.objects.create(
        kind=Job.Kind.IMPORT, state=Job.State.RUNNING, created_at=timezone.now(), total=100, message="Reading"
    )
    mark = working.begin(f"job-{job.pk}")
    look(finance, live_server, f"{reverse('admin:index')}?period=2025-01")
    until(finance, "running", "Reading")
    assert "Review 1 charge" in finance.find_element(By.ID, "close").text
    Job.objects.update(done=60, message="Matching rows")
    until(finance, "running", "Matching rows")
    bar = finance.find_element(By.CSS_SELECTOR, "#running progress")
    assert bar.get_attribute("value") == "60"
    assert bar.get_attribute("aria-label") == f"Job {job.pk}"
    # While it runs, what runs is asked for alone.
    assert all(each.endswith("?part=running") for each in finance.execute_script(ASKED))

    review.approve(charges=Charge.objects.held(), **BY)
    Job.objects.update(state=Job.State.DONE, message="Done.", finished_at=timezone.now())
    mark.release()
    until(finance, "close", "Nothing is held for review.")
    assert finance.find_element(By.ID, "running").text == ""
    assert finance.find_element(By.ID, "running-said").get_attribute("textContent") == "No background job is running."
    assert "Review 1 charge" not in finance.find_element(By.ID, "close").text
    # Nothing is asked for any more.
    count = len(finance.execute_script(ASKED))
    finance.execute_async_script("setTimeout(arguments[0], 2500)")
    assert len(finance.execute_script(ASKED)) == count
    assert complaints(finance) == []


def test_a_job_that_fails_is_named_where_it_ran(finance, live_server):
    job = Job.objects.create(kind=Job.Kind.IMPORT, state=Job.State.RUNNING, created_at=timezone.now())
    mark = working.begin(f"job-{job.pk}")
    look(finance, live_server, reverse("admin:index"))
    Job.objects.update(state=Job.State.FAILED, message="Line 3 is broken.", finished_at=timezone.now())
    mark.release()
    until(finance, "month-failures", "Line 3 is broken.")


def test_the_month_shows_what_the_worker_found_once_it_is_known(finance, live_server, large):
    # Of what the page knew, nothing holds any more.
    review.approve(charges=Charge.objects.held(), **BY)
    look(finance, live_server, f"{reverse('admin:index')}?period=2025-01")
    until(finance, "close", "This month is large")
    work_out_month(build.a_period().pk)
    until(finance, "close", "1 payer line is not journaled")
    assert "This month is large" not in finance.find_element(By.ID, "close").text


@pytest.mark.parametrize("name", ["journal", "redraft", "statements", "list", "period"])
def test_what_waits_for_the_worker_becomes_the_result(finance, live_server, large, name):
    review.approve(charges=Charge.objects.held(), **BY)
    journal = posting.export(period=build.a_period(), format="gl", **BY).journal
    build.a_charge("20.00", service_name="Network")
    address, part, before, after = {
        "journal": ("admin:journals_journal_export", "foreseen", "The worker is adding up", "Net charged"),
        "redraft": ("admin:journals_journal_redraft", "foreseen", "The worker is adding up", "1 payer line added"),
        "statements": ("admin:statements_statement_generate", "foreseen", "The worker is adding up", "to issue"),
        "list": ("admin:journals_journal_changelist", "next-steps", "Being checked", "is not what is to be journaled"),
        "period": ("admin:billing_billingperiod_change", "month-needs", "This month is large", "is not what is"),
    }[name]
    keys = {"redraft": [journal.pk], "period": [build.a_period().pk]}.get(name, [])
    look(finance, live_server, reverse(address, args=keys) + ("" if keys else "?period=2025-01"))
    until(finance, part, before)
    work_out_month(build.a_period().pk)
    until(finance, part, after)
    assert before not in finance.find_element(By.ID, part).text
    assert complaints(finance) == []


def test_all_scripts_of_a_page_together_are_small():
    from django.conf import settings

    folder = settings.BASE_DIR / "openchargeback" / "static" / "openchargeback"
    assert sum(path.stat().st_size for path in folder.glob("*.js")) <= 160_000
