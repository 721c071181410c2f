"""Trying rates: what a draft would charge whom, to the cent of pricing and charging the month by it."""

import csv
import io
from decimal import Decimal

import openpyxl
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing import charging
from billing.background import heartbeat
from billing.background import jobs as jobs_of_worker
from billing.models import (
    AttributionRule,
    AuditEvent,
    BillingPeriod,
    Charge,
    Import,
    Job,
    PayerLine,
    PricedMonth,
    Project,
    RateSchedule,
    UsageSubsidy,
)
from billing.months import closing
from billing.usage import trying
from tests.build import NOW, SOMEBODY, a_customer, a_period, a_split, shut
from tests.stories.stage import command

from .test_bringing import DAY, FEBRUARY, JANUARY, a_schedule, job, jobs

pytestmark = pytest.mark.django_db


def draft_of(tiers, **rate):
    version = RateSchedule.objects.count() + 1
    draft = a_schedule(tiers, version=version, valid_from="2025-07-01", state="draft", **rate)
    draft.refresh_from_db()
    return draft


def used(tmp_path, *rows, name="a.txt"):
    return command("usage", jobs(tmp_path / name, *rows), "-f", "tiger")


def tried(draft, *names):
    return trying.try_now(trying.named_months(trying.of_schedule(draft), names), now=NOW)


def of_pis(found):
    return {each.pi: (each.charged.now, each.charged.then) for each in found.by_pi()}


def test_a_draft_says_what_each_pi_would_pay(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, JANUARY + DAY, 10, 30, account="climate"))
    draft = draft_of([{"price": "0.1234567"}], free="50")
    found = tried(draft)
    # 400 and 200 core-hours at 0.10; 450 and 250 at 0.1234567.
    assert of_pis(found) == {
        "ada@u.edu": (Decimal("40.00"), Decimal("55.56")),
        "bob@u.edu": (Decimal("20.00"), Decimal("30.86")),
    }
    assert (found.charged.now, found.charged.then) == (Decimal("60.00"), Decimal("86.42"))
    journal = {(each.fund_org, each.account): tuple(each.amount) for each in found.journal()}
    assert journal == {
        ("BIO-001", "6500"): (Decimal("40.00"), Decimal("55.56")),
        ("GEO-002", "6500"): (Decimal("20.00"), Decimal("30.86")),
        ("RC-HPC", "4900"): (Decimal("-60.00"), Decimal("-86.42")),
    }
    now, then = found.totals()
    assert (now.listed, now.free, now.drawn, now.subsidized, now.charged) == (80, 20, 0, 0, 60)
    assert (then.listed, then.free) == (Decimal("98.76536"), Decimal("12.34567"))
    assert (then.charged, then.cents, then.rounding) == (
        Decimal("86.41969"),
        Decimal("86.42"),
        Decimal("0.00031"),
    )


def stored():
    """Return how many rows there are of everything that a trial could write."""
    models = (AuditEvent, Charge, Import, PayerLine, PricedMonth, BillingPeriod, RateSchedule)
    return [model.objects.count() for model in models]


def test_nothing_is_stored(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    draft, before = draft_of([{"price": "0.20"}]), stored()
    assert tried(draft).charged.then == Decimal("80.00")
    assert stored() == before
    assert Charge.objects.get().billed_cost == 40


@pytest.mark.parametrize("status", ["open", "closed"])
def test_what_is_tried_is_what_pricing_by_it_charges(tiger, tmp_path, status):
    """The months are priced and charged by the draft for real, and every payer line is the one that was foreseen."""
    rows = [
        job(
            number, JANUARY + number * 3600, number % 7 + 1, number % 5 + 1, account=["genomics", "climate"][number % 2]
        )
        for number in range(1, 60)
    ]
    used(tmp_path, *rows, job(90, JANUARY, 10, 20, account="mystery"), job(91, JANUARY, 5, 5, queue="failed"))
    command("usage", jobs(tmp_path / "b.txt", job(92, FEBRUARY, 10, 50)), "-f", "tiger")
    tiers, rate = [{"up_to": "300", "price": "0.137"}, {"price": "0.0713"}], {"free": "10", "span": "fiscal_year"}
    draft = draft_of(tiers, **rate)
    if status != "open":
        shut("2025-01", status)
    found = tried(draft, "2025-01", "2025-02")
    foreseen = {
        month.month.isoformat()[:7]: sorted(
            (line.payer.pi, line.payer.paid_by, line.charged.then) for line in month.lines if line.charged.then
        )
        for month in found.months
    }
    if status != "open":
        BillingPeriod.objects.filter(month="2025-01-01").update(status="open", closed_at=None)
    draft.delete()
    a_schedule(tiers, version=2, **rate)
    command("usage", "-f", "tiger", "-p", "2025-01")
    for month in ("2025-01", "2025-02"):
        lines = charging.compute(BillingPeriod.objects.named(month))
        assert foreseen[month] == sorted((line.pi.email, line.fund_org, line.charged) for line in lines if line.charged)


def test_who_pays_by_a_decision_pays_by_other_rates_too(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    Charge.objects.update(state="approved", fund_org="CHEM-9", attributed_by="decision")
    found = tried(draft_of([{"price": "0.20"}]))
    assert [(line.payer.paid_by, tuple(line.charged)) for line in found.lines] == [
        ("CHEM-9", (Decimal("40.00"), Decimal("80.00")))
    ]
    # Its amount moves, so that somebody would look at it once more.
    assert (found.months[0].asked_again, found.months[0].asked_again_billed) == (1, 80)


def test_what_is_held_and_has_no_rate_is_told(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, JANUARY, 10, 20, account="mystery"))
    found = tried(draft_of([{"price": "0.20"}]))
    now, then = found.totals()
    assert (now.held, then.held) == (20, 40)
    assert found.months[0].units_then[0]["held"] == "200"
    found = tried(draft_of([{"price": "0.20"}], when={"queue": ["gpu"]}))
    assert found.found == ()
    assert "2 records have no rate in hpc" in found.problems[0].problem


def test_a_month_goes_on_from_the_one_that_was_tried_before_it(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 20), job(2, FEBRUARY, 10, 20))
    draft = draft_of([{"up_to": "300", "price": "0.20"}, {"price": "0.10"}], span="fiscal_year", free="0")
    # 200 at 0.20; then 100 at 0.20 and 100 at 0.10.
    assert [each.charged.then for each in tried(draft).months] == [40, 30]
    # By itself, February goes on from what January counted by the rates in force, which count by month.
    assert [each.charged.then for each in tried(draft, "tiger:2025-02").months] == [40]


def test_a_closed_month_keeps_its_subsidies(tiger, tmp_path):
    subsidy = UsageSubsidy.objects.create(
        code="provost", name="Provost", percent=50, fund_org="PRV-1", valid_from="2025-01-01", reason="By the provost"
    )
    used(tmp_path, job(1, JANUARY, 10, 50))
    shut()
    UsageSubsidy.objects.filter(pk=subsidy.pk).update(percent=10)
    found = tried(draft_of([{"price": "0.20"}]))
    assert of_pis(found) == {"ada@u.edu": (Decimal("20.00"), Decimal("40.00"))}
    assert [(line.payer.kind, line.payer.paid_by, tuple(line.charged)) for line in found.others()] == [
        ("subsidy", "PRV-1", (Decimal("20.00"), Decimal("40.00")))
    ]
    now, then = found.totals()
    assert (now.subsidized, then.subsidized) == (20, 40)


def test_a_result_is_kept_until_something_changes(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    draft = draft_of([{"price": "0.20"}])
    asked = trying.named_months(trying.of_schedule(draft))
    assert trying.kept(asked) is None
    found = trying.try_now(asked, now=NOW)
    assert trying.kept(asked) == found
    used(tmp_path, job(2, JANUARY, 10, 50), name="b.txt")
    assert trying.kept(asked) is None


# The command ------------------------------------------------------------------------------------------------


def test_the_command_says_it_to_people_and_programs(tiger, tmp_path, capsys):
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, FEBRUARY, 10, 30, account="climate"))
    draft_of([{"price": "0.20"}])
    data = command("rates", "try", "hpc")
    assert data["charged"] == {"now": "60.00", "then": "120.00", "difference": "60.00"}
    assert [(each["period"], each["charged"]["then"]) for each in data["months"]] == [
        ("2025-01", "80.00"),
        ("2025-02", "40.00"),
    ]
    assert data["totals"]["free"] == {"now": "20.00", "then": "40.00", "difference": "20.00"}
    call_command("rates", "try", "hpc", "2", "--on", "2025-01")
    said = capsys.readouterr().out.splitlines()
    for line in (
        "hpc v2 on January 2025 of tiger. Nothing was changed.",
        "Charged 40.00 USD; would be 80.00 (+40.00).",
        "  List price: 50.00 → 100.00",
        "  − Free amounts: 10.00 → 20.00",
        "  Charged: 40.00 → 80.00",
    ):
        assert line in said, said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--on", "2025-09"), "September 2025 was not priced. These were: January 2025."),
        (("--on", "lion:2025-01"), "January 2025 of lion was not priced."),
        (("--on", "January"), "“January” is not a billing period"),
        (("-o", "lines.pdf"), "lines.pdf ends in none of .csv, .xlsx"),
    ],
)
def test_what_cannot_be_tried_is_refused(tiger, tmp_path, arguments, message):
    used(tmp_path, job(1, JANUARY, 10, 50))
    with pytest.raises(CommandError, match=message):
        command("rates", "try", "hpc", *arguments)


def test_without_a_priced_month_there_is_nothing_to_try(tiger):
    with pytest.raises(CommandError, match="There is no month to try hpc v1 on"):
        command("rates", "try", "hpc")


def test_a_month_that_is_not_tried_is_an_error_and_the_others_are_told(tiger, tmp_path, capsys):
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, FEBRUARY, 10, 50, queue="gpu"))
    draft_of([{"price": "0.20"}], when={"queue": ["batch"]})
    with pytest.raises(CommandError, match="February 2025 of tiger was not tried: 1 record has no rate in hpc"):
        call_command("rates", "try", "hpc")
    assert "would be 80.00" in capsys.readouterr().out


def test_the_lines_go_to_a_file(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    draft_of([{"price": "0.20"}])
    path = tmp_path / "tried.csv"
    command("rates", "try", "hpc", "-o", path)
    (row,) = csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))
    assert (row["month"], row["pi"], row["paid_by"], row["account"]) == ("2025-01", "ada@u.edu", "BIO-001", "6500")
    assert (row["charged_now"], row["charged_then"], row["difference"]) == ("40.00", "80.00", "40.00")
    path = tmp_path / "tried.xlsx"
    command("rates", "try", "hpc", "-o", path)
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["Months", "PIs", "Journal", "Lines"]
    assert [cell.value for cell in book["Journal"][2]] == ["BIO-001", "6500", "USD", 40, 80, 40]


# The page ---------------------------------------------------------------------------------------------------


@pytest.fixture
def finance(client, cast):
    client.force_login(cast.finance)
    return client


def page_of(draft, *months):
    query = "&".join(f"on={each}" for each in months)
    return f"{reverse('admin:billing_rateschedule_try', args=[draft.pk])}?{query}"


def text_of(answer):
    return " ".join(answer.content.decode().split())


def test_the_page_asks_for_months_and_shows_what_they_would_be_charged(finance, tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, FEBRUARY, 10, 30, account="climate"))
    draft = draft_of([{"price": "0.1234567"}])
    page = text_of(finance.get(reverse("admin:billing_rateschedule_change", args=[draft.pk])))
    assert "Try it on past months</a>, then" in page
    page = text_of(finance.get(page_of(draft)))
    assert "January 2025, open" in page
    assert "What each PI would pay" not in page
    page = text_of(finance.get(page_of(draft, "tiger:2025-01")))
    for said in ("What each PI would pay", "BIO-001", "49.38", "9.38</span>", "+23.5%", "RC-HPC", "61.72835"):
        assert said in page, said
    assert "GEO-002" not in page
    # What was tried is there for whoever looks next.
    assert "49.38" in text_of(finance.get(page_of(draft, "tiger:2025-01")))


def test_what_the_page_shows_is_downloaded(finance, tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    draft = draft_of([{"price": "0.20"}])
    url = f"{reverse('admin:billing_rateschedule_tried', args=[draft.pk, 'csv'])}?on=tiger:2025-01"
    # Nothing is kept yet: the page tries it first.
    assert finance.get(url).url == page_of(draft, "tiger%3A2025-01")
    finance.get(page_of(draft, "tiger:2025-01"))
    answer = finance.get(url)
    assert 'filename="hpc_v2_tried.csv"' in answer["Content-Disposition"]
    assert b"ada@u.edu" in b"".join(answer.streaming_content)
    assert finance.get(url.replace("tried.csv", "tried.pdf")).status_code == 404


def test_the_page_says_why_there_is_nothing_to_try(finance, tiger):
    page = text_of(finance.get(page_of(draft_of([{"price": "0.20"}]))))
    assert "There is no month to try hpc v2 on" in page


def test_the_worker_tries_large_months_and_the_page_follows(finance, tiger, tmp_path, monkeypatch):
    used(tmp_path, job(1, JANUARY, 10, 50))
    draft = draft_of([{"price": "0.20"}])
    monkeypatch.setattr(trying.asking, "MOST_PRICED", 0)
    monkeypatch.setattr(heartbeat, "is_worker_alive", lambda: True)
    page = text_of(finance.get(page_of(draft, "tiger:2025-01")))
    assert "The worker is trying it" in page
    asked = Job.objects.get(kind="try")
    # Who looks again asks for nothing more.
    finance.get(page_of(draft, "tiger:2025-01"))
    assert Job.objects.count() == 1
    jobs_of_worker.run(asked.pk)
    asked.refresh_from_db()
    assert (asked.state, asked.message) == ("done", "hpc v2 was tried on 1 of 1 months.")
    page = text_of(finance.get(page_of(draft, "tiger:2025-01")))
    assert "80.00" in page
    assert "The worker is trying" not in page
    page = text_of(finance.get(reverse("admin:billing_job_change", args=[asked.pk])))
    assert "See what it would charge" in page
    assert "January 2025 of tiger" in page


def test_a_discarded_draft_is_not_tried(finance, tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    draft = draft_of([{"price": "0.20"}])
    asked = trying.try_later(trying.named_months(trying.of_schedule(draft)), actor=SOMEBODY, now=NOW)
    draft.delete()
    jobs_of_worker.run(asked.pk)
    asked.refresh_from_db()
    assert (asked.state, "Somebody discarded the draft" in asked.message) == ("failed", True)


# Who pays in other ways -------------------------------------------------------------------------------------


def test_splits_customers_and_shared_costs_are_foreseen(tiger, tmp_path):
    """Splits of a project, an invoiced customer and a shared cost: as charging makes them of stored charges."""
    a_split({"BIO-001": "70", "CHEM-9": "30"}, project=Project.objects.get(code="genomics"))
    Project.objects.filter(code="climate").update(customer=a_customer())
    AttributionRule.objects.create(source=tiger.source, sub_account="mystery", shared_as="Scratch", overrides_tags=True)
    used(
        tmp_path,
        job(1, JANUARY, 10, 51),
        job(2, JANUARY, 10, 33, account="climate"),
        job(3, JANUARY, 10, 29, account="mystery"),
    )
    draft = draft_of([{"price": "0.1771"}], free="10")
    found = tried(draft)
    now = {line.payer.paid_by: line.charged.now for line in found.lines if line.payer.kind != "shared"}
    assert now["BIO-001"] + now["CHEM-9"] == 41
    foreseen = sorted((line.payer.kind, line.payer.paid_by, line.charged.then) for line in found.lines)
    draft.delete()
    a_schedule([{"price": "0.1771"}], version=2, free="10")
    command("usage", "-f", "tiger", "-p", "2025-01")
    lines = charging.compute(BillingPeriod.objects.get())
    assert foreseen == sorted((line.kind, line.paid_by, line.charged) for line in lines)
    assert found.invoiced().then > 0


def test_what_another_month_bears_of_it_is_said(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50), job(90, JANUARY, 10, 20, account="mystery"))
    a_period("2025-02")
    january = BillingPeriod.objects.named("2025-01")
    closing.close(period=january, carry_held=True, actor=SOMEBODY, now=NOW)
    closing.reopen(period=january, reason="More jobs", actor=SOMEBODY, now=NOW)
    (month,) = tried(draft_of([{"price": "0.20"}]), "2025-01").months
    carried = Charge.objects.get(charged_in__month="2025-02-01")
    assert month.notes == (
        f"Of January 2025, +{carried.billed_cost:.2f} USD goes to February 2025, where it was booked or carried.",
    )
