"""A rate study on paper: its equation in numbers, what is excluded apart, every PI, and pages that anybody can read."""

import datetime
import io
from dataclasses import replace
from decimal import Decimal

import page
import pytest
from django.core.management import CommandError
from django.urls import reverse
from pypdf import PdfReader

from billing.models import BillingPeriod, Person, RateStudy
from billing.usage import studies
from billing.usage.studies import papers
from billing.usage.trying.results import Line, MonthTried, Owed, Payer, Tried
from tests.build import NOW, SOMEBODY, a_fund, shut
from tests.statements.pdf_reading import structure_of
from tests.stories.stage import command

from .test_bringing import FEBRUARY, JANUARY, job
from .test_rate_studies import a_cost, a_study, equipment
from .test_trying_rates import used

pytestmark = pytest.mark.django_db

TODAY = datetime.date(2026, 1, 31)


def aloud(content):
    return " ".join(structure_of(content).aloud.split())


def failures(content):
    reports = [page.validate_pdf_bytes(content, profile=profile) for profile in ("3a", "ua1")]
    return [f"{each.rule_id}: {each.message}" for report in reports for each in report.failures]


@pytest.fixture
def worked(tiger, tmp_path):
    """The worked example of the guide, its month closed."""
    used(tmp_path, job(1, JANUARY, 500, 1000), job(2, JANUARY, 300, 1000, account="climate"))
    a_fund("GEO-002", is_sponsored=True)
    study = a_study(tiger, opening_balance=Decimal(2500), note="Asked for by the controller.")
    a_cost(study, "60000", note="Three engineers")
    a_cost(study, "9000", name="Power", kind="facilities")
    equipment(study, federally_funded=Decimal(20_000))
    a_cost(study, "1200", name="Reception", kind="unallowable")
    shut()
    return study


def pdf_of(study):
    found = studies.studied(study)
    return studies.as_pdf(found, studies.try_proposed(found, now=NOW), today=TODAY)


def test_a_study_says_on_paper_how_its_rate_follows(worked):
    said = aloud(pdf_of(worked))
    for expected in (
        "Rate study of cpu",
        "FY2025, July 2024 to June 2025",
        "Draft, worked out from the ledger on Jan 31, 2026. It is not adopted.",
        "2,500.00 + 80,000.00 − 84,000.00: under-recovered",
        "84,000.00 − (−1,500.00)",
        "85,500.00 ÷ 800,000 = 0.106875, to 4 decimals, halves up",
        "100,000.00 × 9 ÷ 60 months: straight-line over 5 years",
        "Unallowable and excluded costs",
        "Depreciation of what federal awards paid",
        "What each PI would have paid",
        "By 0.1069 for each unit in place of the rates then.",
        "Note: Asked for by the controller.",
        "2 CFR 200.468",
    ):
        # A minus is copied as a hyphen.
        assert expected.replace("−", "-") in said, (expected, said)


def test_what_is_excluded_stands_apart_from_what_counts(worked):
    data = papers.of(studies.studied(worked), None, today=TODAY)
    tables = {each["title"]: each for each in data["tables"]}
    counts, excluded = tables["Costs that count"], tables["Unallowable and excluded costs"]
    assert [row["label"] for row in counts["rows"]] == ["Engineers", "Power", "Nodes"]
    assert counts["total"]["values"] == ["84,000.00"]
    assert [(row["label"], *row["values"]) for row in excluded["rows"]] == [
        ("Nodes", "3,000.00"),
        ("Reception", "1,200.00"),
    ]
    assert excluded["total"]["values"] == ["4,200.00"]


def test_every_pi_is_on_it_with_what_the_rate_would_have_charged(worked):
    found = studies.studied(worked)
    tried = studies.try_proposed(found, now=NOW)
    (table,) = [each for each in papers.of(found, tried, today=TODAY)["tables"] if each["title"] == papers.TRIED_TITLE]
    # 499,900 and 299,900 core-hours, by 0.1069 in place of 0.10.
    assert sorted(row["values"] for row in table["rows"]) == [
        ["29,990.00", "32,059.31", "+2,069.31"],
        ["49,990.00", "53,439.31", "+3,449.31"],
    ]
    assert table["total"]["values"] == ["79,980.00", "85,498.62", "+5,518.62"]


def test_an_adopted_study_says_who_adopted_it_and_stays_the_same(worked, cast, tmp_path):
    actor = replace(SOMEBODY, user=cast.finance)
    adopted = studies.adopt(study=worked, actor=actor, now=NOW).study
    before = pdf_of(RateStudy.objects.get(pk=adopted.pk))
    assert f"by {cast.finance}. Its figures are those of that day" in aloud(before)
    # On another day, and with a month that was closed later, it is the same to the byte.
    used(tmp_path, job(9, FEBRUARY, 10, 50), name="later.txt")
    BillingPeriod.objects.filter(pk=shut("2025-02").pk).update(closed_at=NOW + datetime.timedelta(days=30))
    found = studies.studied(RateStudy.objects.get(pk=adopted.pk))
    tried = studies.try_proposed(found, now=NOW)
    assert studies.as_pdf(found, tried, today=TODAY + datetime.timedelta(days=400)) == before


def test_a_failing_study_says_so_first(tiger):
    content = studies.as_pdf(studies.studied(a_study(tiger)), None, today=TODAY)
    said = aloud(content)
    assert "It fails, and cannot be adopted as it is." in said
    assert "Fails: It has no costs that count." in said
    assert "No rate follows yet." in said
    assert failures(content) == []


def many(count):
    """A trial of one month with so many PIs, some of them hard to set."""
    names = ["Łukasz Żółć-Größe", "山田太郎", "محمد الخوارزمي", "A " + "very " * 40 + "long name", ""]
    lines = tuple(
        Line(
            Payer(f"pi{n}@u.edu", names[n % 5], "p", "F", "6500", "s", "c", "charge", True, True, ("R", "4900")),
            Owed(Decimal(n), Decimal(n)),
            Owed(Decimal(n), Decimal(n) * 2),
        )
        for n in range(1, count + 1)
    )
    month = MonthTried("tiger", "Tiger", datetime.date(2025, 1, 1), "Closed", "hpc v1", lines=lines)
    return Tried("x", "USD", (month,))


def test_many_costs_and_pis_go_over_pages_and_none_is_lost(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    study = a_study(tiger, note="x" * 300)
    for number in range(1, 61):
        a_cost(study, "1234567.89", name=f"Cost {number} of Größe 山田 " + "word " * (number % 9), note="n" * 120)
    content = studies.as_pdf(studies.studied(study), many(200), today=TODAY)
    said = aloud(content)
    assert all(f"pi{number}@u.edu" in said for number in range(1, 201))
    assert all(f"Cost {number} of" in said for number in range(1, 61))
    assert len(PdfReader(io.BytesIO(content)).pages) > 8
    assert failures(content) == []


# Doors ----------------------------------------------------------------------------------------------------


def test_the_command_writes_it(worked, tmp_path):
    path = tmp_path / "study.pdf"
    assert command("rate_study", "export", worked.pk, "-o", path) == {"study": worked.pk, "file": str(path)}
    assert "What each PI would have paid" in aloud(path.read_bytes())
    with pytest.raises(CommandError, match="does not end in .xlsx or .pdf"):
        command("rate_study", "export", worked.pk, "-o", tmp_path / "study.txt")


def test_the_page_gives_it(client, cast, worked):
    client.force_login(cast.finance)
    url = reverse("admin:billing_ratestudy_change", args=[worked.pk])
    link = reverse("admin:billing_ratestudy_pdf", args=[worked.pk])
    assert link in client.get(url).content.decode()
    answer = client.get(link)
    assert answer["Content-Disposition"] == 'attachment; filename="rate_study_cpu_2025.pdf"'
    assert Person.objects.get(email="ada@u.edu").email in aloud(b"".join(answer.streaming_content))
