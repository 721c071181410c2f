"""The month's checklist says of each usage feed whether it was read and priced, and leads to where that is mended."""

import datetime

import pytest
from django.core.cache import caches
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import doors
from billing.background import jobs
from billing.models import BillingPeriod, Job, PricedMonth, UsageFeed
from billing.months import checklist
from billing.months.checklist import State
from billing.usage import accounts, bringing, levels, months, readers, taking
from tests.build import NOW, SOMEBODY, a_period, a_pi, a_policy, a_project, a_source

from .plain import PLAIN
from .test_bringing import DAY, FEBRUARY, JANUARY, a_schedule, job
from .test_bringing import jobs as written

pytestmark = pytest.mark.django_db

WHO = {"actor": SOMEBODY, "now": NOW}


@pytest.fixture
def feed(monkeypatch):
    monkeypatch.setitem(readers.KINDS, "plain", PLAIN)
    a_policy()
    a_project(pi=a_pi(), default_fund_org="BIO-001")
    a_schedule([{"price": "0.10"}])
    source = a_source("hpc", kind="internal", import_mode="snapshot")
    return UsageFeed.objects.create(name="tiger", source=source, kind="plain", schedule="hpc")


def bring(feed, folder, *rows, name="a.txt"):
    """Read a file of jobs, and price its months."""
    bringing.bring_in(paths=[written(folder / name, *rows)], names=[name], feed=feed, **WHO)


def items(month="2025-01"):
    period = BillingPeriod.objects.get(month=f"{month}-01")
    return [item for item in checklist.of(period, is_fresh=True).items if item.code == "usage"]


def said(month="2025-01"):
    return [(item.state, item.text, item.then.name if item.then else "") for item in items(month)]


def every_day(of=JANUARY, days=31, skip=()):
    """Return a job that runs an hour on each day of a month but some."""
    return [job(100 + n, of + n * DAY, 1, 1) for n in range(days) if n + 1 not in skip]


def test_nothing_is_said_where_no_feed_exists():
    a_policy()
    period = a_period("2025-01")
    assert said() == []
    checklist.of(period)
    with CaptureQueriesContext(connection) as captured:
        checklist.of(period)
    assert not [query for query in captured.captured_queries if "usagefeed" in query["sql"]]


def test_a_feed_that_is_read_and_priced_is_done(feed, tmp_path):
    bring(feed, tmp_path, *every_day())
    assert said() == [(State.DONE, "1 usage feed is read and priced.", "")]


def test_days_that_no_file_has_usage_of_are_named(feed, tmp_path):
    bring(feed, tmp_path, *every_day(skip=(30, 31)), name="a.txt")
    assert said() == [(State.WARNING, "tiger: no file has usage of Jan 30, 2025 to Jan 31, 2025.", "show_priced_month")]
    (item,) = items()
    assert doors.url_of(item.then) == reverse("admin:billing_pricedmonth_change", args=[PricedMonth.objects.get().pk])


def test_a_file_that_came_or_went_since_the_pricing_asks_for_it_again(feed, tmp_path):
    bring(feed, tmp_path, *every_day())
    written(tmp_path / "late.txt", job(999, JANUARY, 1, 1))
    made_in = tmp_path / "made"
    made_in.mkdir()
    made = taking.reduce(paths=[tmp_path / "late.txt"], names=["late.txt"], feed=feed, into=made_in)
    (late,) = taking.keep(made=made, feed=feed, **WHO)
    assert said() == [(State.OPEN, "tiger: 1 file read since January 2025 was priced.", "price_usage")]
    months.run(feed=feed, month=datetime.date(2025, 1, 1), **WHO)
    assert said()[0][0] == State.DONE
    taking.withdraw(file=late.file, reason="twice", **WHO)
    assert said() == [(State.OPEN, "tiger: 1 file withdrawn since January 2025 was priced.", "price_usage")]
    (item,) = items()
    assert doors.url_of(item.then) == reverse("admin:billing_usagefeed_price", args=[feed.pk])


def test_a_month_that_no_rate_fits_says_why_it_is_not_priced(feed, tmp_path):
    UsageFeed.objects.update(schedule="")
    a_period("2025-01")
    path = written(tmp_path / "a.txt", *every_day())
    _, asked = bringing.read(paths=[path], names=["a.txt"], feed=UsageFeed.objects.get(), **WHO)
    jobs.run(asked.pk)
    assert Job.objects.get().state == Job.State.FAILED
    ((state, text, step),) = said()
    assert (state, step) == (State.OPEN, "price_usage")
    assert text == ("tiger: 1 file read, and January 2025 is not priced. The usage feed tiger names no rate schedule.")


def test_a_month_without_files_is_named_if_there_were_some_before(feed, tmp_path):
    a_period("2025-02")
    a_period("2024-12")
    bring(feed, tmp_path, *every_day())
    assert said("2025-02") == [(State.WARNING, "tiger: no usage of February 2025 was read yet.", "read_usage")]
    # It began after that.
    assert said("2024-12") == [(State.NOT_APPLICABLE, "No usage feed has usage of December 2024.", "")]
    bring(feed, tmp_path, *every_day(FEBRUARY, 28), name="b.txt")
    assert said("2025-02")[0][0] == State.DONE


def test_charges_that_are_held_are_told(feed, tmp_path):
    bring(feed, tmp_path, *every_day(), job(500, JANUARY, 1, 1, account="nobody-knows"))
    ((state, text, step),) = said()
    assert (state, text, step) == (State.WARNING, "tiger: 1 charge waits for review.", "review")


def test_a_feed_that_is_not_used_any_more_says_nothing(feed, tmp_path):
    bring(feed, tmp_path, *every_day(skip=(3,)))
    UsageFeed.objects.update(is_active=False)
    assert said() == []


def test_days_without_a_reading_are_those_of_the_pricing(feed, tmp_path, monkeypatch):
    note = f"reef: {levels.GAP} Jan 3, 2025. The reading before counts for 2 objects."
    monkeypatch.setattr(accounts, "notices", lambda *_: [note, "Subsidy startup is used up: 5.00 of 5.00 USD."])
    bring(feed, tmp_path, *every_day())
    assert said() == [
        (
            State.WARNING,
            "tiger: no reading on Jan 3, 2025. The reading before counts for 2 objects.",
            "show_priced_month",
        )
    ]


def test_the_page_of_the_month_leads_to_the_feed(feed, tmp_path, cast, client):
    caches["months"].clear()
    bring(feed, tmp_path, *every_day())
    a_period("2025-02")
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:index"), {"period": "2025-02"}).content.decode()
    assert "tiger: no usage of February 2025 was read yet." in page
    assert f"{reverse('admin:billing_usagefile_read')}?feed={feed.pk}" in page
