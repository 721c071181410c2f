"""Trying a split of a project: the payer lines that a real one makes, the same total, and nothing stored."""

import datetime
from decimal import Decimal

import pytest
from django.core.management import CommandError
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from billing import charging
from billing.admin.tried_links import try_url
from billing.background import jobs as jobs_of_worker
from billing.models import BillingPeriod, Charge, Job, PayerLine, PayerSplit, Project
from billing.usage import trying
from tests.build import NOW, SOMEBODY, a_charge, a_customer, a_period, a_pi, a_policy, a_project, a_split, shut
from tests.stories.stage import command

from .test_trying_rates import stored

pytestmark = pytest.mark.django_db

SHARES = {"BIO-001": Decimal("66.67"), "CHEM-9": Decimal("33.33")}


@pytest.fixture
def genomics():
    a_policy()
    return a_project(pi=a_pi(), default_fund_org="BIO-001")


def charged(project, amount, **fields):
    return a_charge(billed=str(amount), pi=project.pi.email, project=project.code, **fields)


def tried(project, shares=SHARES, *months):
    return trying.try_split(project=project, shares=shares, months=months)


def by_fund(found):
    sums = {}
    for line in found.lines:
        now, then = sums.get(line.payer.paid_by, (0, 0))
        sums[line.payer.paid_by] = (now + line.charged.now, then + line.charged.then)
    return sums


@pytest.mark.parametrize("status", ["open", "closed"])
def test_a_split_is_tried_as_charging_by_a_stored_one_makes_it(genomics, status):
    charged(genomics, "100.01")
    charged(genomics, "50", service_name="Storage")
    charged(genomics, "7", attributed_by="decision")
    charged(a_project("other", pi=genomics.pi), "9")
    before = stored()
    if status != "open":
        shut("2025-01", status)
    found = tried(genomics)
    assert stored() == before
    assert not PayerSplit.objects.exists()
    assert found.charged.now == found.charged.then == Decimal("157.01")
    foreseen = {
        (line.payer.paid_by, line.payer.service): line.charged.then for line in found.lines if line.charged.then
    }
    BillingPeriod.objects.update(status="open", closed_at=None)
    a_split({fund: str(percent) for fund, percent in SHARES.items()}, project=genomics)
    period = a_period("2025-01")
    charging.make_payer_lines(period=period, actor=SOMEBODY, now=NOW)
    lines = PayerLine.objects.filter(period=period, project=genomics)
    real = {(line.fund_org, line.service_name): line.charged for line in lines}
    assert foreseen == real


@given(
    cents=st.lists(st.integers(1, 10**9), min_size=1, max_size=4),
    percents=st.lists(st.integers(1, 60), min_size=1, max_size=3),
)
def test_a_split_changes_no_total_and_the_journal_balances(cents, percents):
    project = Project.objects.filter(code="genomics").first()
    if project is None:
        a_policy()
        project = a_project(pi=a_pi(), default_fund_org="BIO-001")
    Charge.objects.filter(project=project).delete()
    for amount in cents:
        charged(project, Decimal(amount) / 100)
    shares = {f"F-{number}": Decimal(percent) for number, percent in enumerate(percents)}
    shares["REST"] = 100 - sum(shares.values())
    if shares["REST"] <= 0:
        return
    found = tried(project, shares)
    assert found.charged.now == found.charged.then == Decimal(sum(cents)) / 100
    assert sum((each.amount.then for each in found.journal()), Decimal(0)) == 0


def test_what_cannot_be_split_is_said(genomics):
    with pytest.raises(trying.NoMonths, match="genomics has no charges yet"):
        tried(genomics)
    charged(genomics, "10")
    with pytest.raises(trying.NotSplit, match="sum to 90 percent"):
        tried(genomics, {"A": Decimal(90)})
    with pytest.raises(trying.NotTried, match="has no charges in February 2025. It has some in: January 2025"):
        tried(genomics, SHARES, datetime.date(2025, 2, 1))
    Project.objects.update(customer=a_customer())
    with pytest.raises(trying.NotSplit, match="pays this project by invoice"):
        tried(Project.objects.get())


def test_the_command_says_who_would_pay(genomics, tmp_path):
    charged(genomics, "100")
    path = tmp_path / "a.csv"
    data = command("splits", "try", "genomics", "--share", "BIO-001=60", "--share", "CHEM-9 40%", "-o", path)
    assert data["charged"] == {"now": "100.00", "then": "100.00", "difference": "0.00"}
    journal = {each["fund_org"]: each["then"] for each in data["journal"] if each["fund_org"] in ("BIO-001", "CHEM-9")}
    assert journal == {"BIO-001": "60.00", "CHEM-9": "40.00"}
    assert "CHEM-9" in path.read_text()
    for options, message in (
        (["nowhere", "--share", "A 100"], "There is no project “nowhere”"),
        (["genomics", "--share", "A much"], "“much” is not a number"),
        (["genomics", "--share", "100"], "write a fund/org and a percent"),
        (["genomics", "--share", "A 50", "--share", "A 50"], "A is there twice"),
    ):
        with pytest.raises(CommandError, match=message):
            command("splits", "try", *options)


def text_of(answer):
    return " ".join(answer.content.decode().split())


def test_the_page_of_a_project_tries_a_split(client, cast, genomics):
    charged(genomics, "100")
    client.force_login(cast.finance)
    url = reverse("admin:billing_project_try_split", args=[genomics.pk])
    assert url in text_of(client.get(reverse("admin:billing_project_change", args=[genomics.pk])))
    before = stored()
    assert "What each PI would pay" not in text_of(client.get(url))
    page = text_of(client.get(url, {"shares": "BIO-001 60\nCHEM-9 40", "on": "2025-01"}))
    for said in ("What each PI would pay", "CHEM-9", "60.00", "40.00", "In the journal", "Nothing is stored"):
        assert said in page, said
    assert "Units" not in page
    assert "not to 100" in text_of(client.get(url, {"shares": "BIO-001 60"}))
    assert stored() == before
    assert not PayerSplit.objects.exists()


def test_the_worker_tries_a_split_of_large_months_and_its_job_leads_to_the_result(client, cast, genomics, monkeypatch):
    charged(genomics, "100")
    client.force_login(cast.finance)
    monkeypatch.setattr("billing.usage.trying.charged.MOST_TRIED", 0)
    monkeypatch.setattr("billing.background.heartbeat.is_worker_alive", lambda *_: True)
    url = reverse("admin:billing_project_try_split", args=[genomics.pk])
    asked = {"shares": "BIO-001 60\nCHEM-9 40", "on": "2025-01"}
    page = text_of(client.get(url, asked))
    assert "The worker is trying the split" in page
    assert "What each PI would pay" not in page
    job = Job.objects.get(kind=Job.Kind.TRY)
    # Asked once more, it is the same job.
    client.get(url, asked)
    assert Job.objects.filter(kind=Job.Kind.TRY).count() == 1
    jobs_of_worker.run(job.pk)
    page = text_of(client.get(reverse("admin:billing_job_change", args=[job.pk])))
    for said in ("genomics: BIO-001 60%, CHEM-9 40%", "January 2025", "See what it would charge"):
        assert said in page, said
    assert "60.00" in text_of(client.get(try_url(job.arguments)))


@pytest.mark.parametrize("who", ["pi", "delegate", "stranger"])
def test_nobody_sees_it_in_the_portal(client, cast, genomics, who):
    client.force_login(getattr(cast, who))
    answer = client.get(reverse("admin:billing_project_try_split", args=[genomics.pk]))
    assert answer.status_code != 200
