"""Trying an attribution rule: the payer lines that saving and re-applying it makes, and nothing stored."""

import datetime
from decimal import Decimal

import pytest
from django.core.cache import caches
from django.core.management import CommandError
from django.urls import reverse

from billing import charging
from billing.admin.tried_links import try_url
from billing.background import jobs as jobs_of_worker
from billing.models import AttributionRule, BillingPeriod, Charge, Job, PayerLine, Project, Source
from billing.review import reattribution
from billing.usage import trying
from tests.build import NOW, SOMEBODY, a_pi, a_policy, a_project, a_source, a_split, shut
from tests.stories.stage import command, row, tags, write

from .test_trying_rates import stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def january(tmp_path):
    """Charges of January, of Ada and without a PI; and a project of Bob's that two fund/orgs share."""
    a_policy()
    a_source("aws")
    a_project(pi=a_pi(), default_fund_org="BIO-001")
    climate = a_project("climate", pi=a_pi("bob@u.edu"), default_fund_org="GEO-002")
    a_split({"GEO-002": "66.67", "GEO-003": "33.33"}, project=climate)
    rows = [
        row("100.01", Tags=tags(fund="BIO-001")),
        row("50.00", ServiceName="S3", ResourceId="bucket", Tags=tags(fund="BIO-001")),
        row("20.02", ServiceName="S3", ResourceId="orphan", Tags="{}"),
    ]
    command("ingest", write(tmp_path / "aws_2025-01.csv", rows))
    return BillingPeriod.objects.get()


def a_rule(**fields):
    given = {"source": Source.objects.get(name="aws"), "service": "S3", "project": climate(), "overrides_tags": True}
    return AttributionRule(**given | fields)


def climate():
    return Project.objects.select_related("pi").get(code="climate")


def by_payer(lines):
    return {(each.pi.email, each.fund_org, each.service_name): each.charged for each in lines if each.charged}


def foreseen(found):
    return {
        (line.payer.pi, line.payer.paid_by, line.payer.service): line.charged.then
        for line in found.lines
        if line.charged.then
    }


def test_what_is_tried_is_what_saving_and_applying_it_makes(january):
    before = stored()
    rule = a_rule(pi=a_pi("bob@u.edu"))
    found = trying.try_rule(rule=rule)
    assert stored() == before
    assert not AttributionRule.objects.exists()
    # What was held without a payer is charged then.
    assert (found.charged.now, found.charged.then) == (Decimal("50.00"), Decimal("70.02"))
    journal = {(each.fund_org, each.account): tuple(each.amount) for each in found.journal()}
    assert sum(now for now, _ in journal.values()) == sum(then for _, then in journal.values()) == 0
    assert journal["BIO-001", "6500"] == (Decimal("50.00"), 0)
    rule.save()
    reattribution.reapply(period=january, actor=SOMEBODY, now=NOW)
    charging.make_payer_lines(period=january, actor=SOMEBODY, now=NOW)
    real = by_payer(PayerLine.objects.filter(service_name="S3").select_related("pi"))
    assert foreseen(found) == real
    assert {fund for _, fund, _ in real} == {"GEO-002", "GEO-003"}
    # Applied, it changes nothing any more.
    assert not trying.try_rule(rule=rule).lines


def test_only_what_the_rule_changes_counts(january):
    """Another saved rule was not re-applied yet: its changes are none of the tried one's."""
    a_rule(service="EC2", pi=a_pi("bob@u.edu")).save()
    found = trying.try_rule(rule=a_rule(pi=a_pi("bob@u.edu")))
    assert {line.payer.service for line in found.lines} == {"S3"}


def test_what_a_person_decided_stays(january):
    Charge.objects.update(attributed_by="decision")
    found = trying.try_rule(rule=a_rule(pi=a_pi("bob@u.edu")))
    assert not found.lines
    assert [each.problem for each in found.months] == [""]


def test_a_closed_month_is_tried_too_and_months_are_named(january):
    shut("2025-01")
    rule = a_rule(pi=a_pi("bob@u.edu"))
    assert trying.try_rule(rule=rule, months=[datetime.date(2025, 1, 1)]).lines
    with pytest.raises(trying.NotTried, match="There is in: January 2025"):
        trying.try_rule(rule=rule, months=[datetime.date(2025, 2, 1)])


def test_the_command_tries_a_rule_that_is_switched_off(january, tmp_path):
    rule = a_rule(pi=a_pi("bob@u.edu"), is_active=False)
    rule.save()
    told = command("attribution_rules", "try", rule.pk, "--on", "2025-01", "-o", tmp_path / "a.xlsx")
    assert told["charged"] == {"now": "50.00", "then": "70.02", "difference": "20.02"}
    assert (tmp_path / "a.xlsx").exists()
    with pytest.raises(CommandError, match="no attribution rule 99"):
        command("attribution_rules", "try", 99)


def test_the_form_of_a_rule_says_what_the_journal_would_have(client, cast, january):
    client.force_login(cast.finance)
    bob = a_pi("bob@u.edu")
    given = {
        **{"source": Source.objects.get(name="aws").pk, "service": "S3", "pi": bob.pk, "project": climate().pk},
        **{"overrides_tags": "on", "is_active": "on", "priority": "100", "seen": ""},
    }
    page = " ".join(client.post(reverse("admin:billing_attributionrule_add"), given).content.decode().split())
    assert "What this rule would have decided" in page
    for said in ("In the journal", "GEO-003", "70.02"):
        assert said in page, said
    assert not AttributionRule.objects.exists()


def test_the_worker_tries_a_rule_on_large_months(client, cast, january, monkeypatch):
    monkeypatch.setattr("billing.usage.trying.charged.MOST_TRIED", 0)
    monkeypatch.setattr("billing.background.heartbeat.is_worker_alive", lambda *_: True)
    client.force_login(cast.finance)
    bob = a_pi("bob@u.edu")
    given = {
        **{"source": Source.objects.get(name="aws").pk, "service": "S3", "pi": bob.pk, "project": climate().pk},
        **{"overrides_tags": "on", "is_active": "on", "priority": "100", "seen": "", "valid_from": "2025-01-01"},
    }
    page = client.post(reverse("admin:billing_attributionrule_add"), given)
    assert "Have the worker try it" in page.content.decode()
    assert "In the journal" not in page.content.decode()
    url = page.context["try_url"]
    assert "The worker is trying it" in client.get(url).content.decode()
    job = Job.objects.get(kind=Job.Kind.TRY)
    jobs_of_worker.run(job.pk)
    page = client.get(url).content.decode()
    for said in ("In the journal", "GEO-003", "70.02"):
        assert said in page, said
    assert not AttributionRule.objects.exists()
    # Its job leads there, also once the cache forgot what was asked.
    caches["months"].clear()
    (link,) = {try_url(job.arguments)}
    assert link == url
    page = client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()
    assert "one that is not saved" in page


def test_reapplying_is_previewed_with_what_pis_would_pay_and_the_journal(client, cast, january):
    client.force_login(cast.reviewer)
    rule = a_rule(pi=a_pi("bob@u.edu"))
    rule.save()
    url = reverse("admin:billing_billingperiod_reapply", args=[january.pk])
    before = stored()
    page = " ".join(client.get(url).content.decode().split())
    for said in ("What each PI would pay", "In the journal", "GEO-003", "70.02"):
        assert said in page, said
    assert stored() == before
    found = trying.try_reapplied(period=january)
    assert (found.charged.now, found.charged.then) == (Decimal("50.00"), Decimal("70.02"))
    # It is what re-applying makes.
    reattribution.reapply(period=january, actor=SOMEBODY, now=NOW)
    charging.make_payer_lines(period=january, actor=SOMEBODY, now=NOW)
    assert foreseen(found) == by_payer(PayerLine.objects.filter(service_name="S3").select_related("pi"))
    # Nothing is left to preview then.
    assert "What each PI would pay" not in client.get(url).content.decode()


def test_the_worker_tries_reapplying_to_a_large_month(client, cast, january, monkeypatch):
    monkeypatch.setattr("billing.usage.trying.charged.MOST_TRIED", 0)
    monkeypatch.setattr("billing.background.heartbeat.is_worker_alive", lambda *_: True)
    client.force_login(cast.finance)
    a_rule(pi=a_pi("bob@u.edu")).save()
    url = reverse("admin:billing_billingperiod_reapply", args=[january.pk])
    assert "The worker works out what each PI would be charged" in client.get(url).content.decode()
    job = Job.objects.get(kind=Job.Kind.TRY)
    jobs_of_worker.run(job.pk)
    assert "In the journal" in client.get(try_url(job.arguments)).content.decode()
    page = client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()
    assert "every source" in page
