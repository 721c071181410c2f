"""Rate studies: break-even to the last digit, subsidies as revenue, federal awards no worse off, adopted and locked."""

import datetime
import io
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import openpyxl
import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from billing.background import jobs as jobs_of_worker
from billing.models import AuditEvent, CostPool, FundingSource, Job, RateSchedule, RateStudy, UsageSubsidy
from billing.models.studies import StudyLocked
from billing.usage import studies
from tests.build import NOW, SOMEBODY, a_fund, shut
from tests.stories.stage import command

from .test_bringing import JANUARY, job
from .test_trying_rates import used

pytestmark = pytest.mark.django_db

BY = {"actor": SOMEBODY, "now": NOW}


def a_study(feed, **fields):
    return RateStudy.objects.create(**{"feed": feed, "rate": "cpu", "fiscal_year": 2025, "created_at": NOW} | fields)


def a_cost(study, amount, **fields):
    return CostPool.objects.create(**{"study": study, "name": "Engineers", "amount": Decimal(amount)} | fields)


def equipment(study, **fields):
    given = {"cost": Decimal(120_000), "life_years": 5, "in_service": datetime.date(2024, 10, 15)}
    return CostPool.objects.create(**{"study": study, "name": "Nodes", "kind": "depreciation"} | given | fields)


def test_the_break_even_rate_is_what_costs_and_balance_leave_for_a_unit(tiger, tmp_path):
    # 500 core-hours of Ada and 300 of Bob, of which each has 100 free; the list price is 0.10.
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, JANUARY, 10, 30, account="climate"))
    study = a_study(tiger, opening_balance=Decimal("-5.00"))
    a_cost(study, "70")
    a_cost(study, "12", name="Reception", kind="unallowable")
    figures = studies.figures_of(study)
    assert (figures.allowable, figures.excluded, figures.units) == (70, 12, 800)
    # What is free counts as recovered: 800 units at 0.10, though 60 was charged.
    assert (figures.recovered, figures.charged) == (80, 60)
    assert (figures.balance, figures.to_recover) == (5, 65)
    assert figures.break_even == figures.rate == Decimal("0.0813")  # 65 / 800 = 0.08125, halves up


@pytest.mark.parametrize("fund_org", ["PRV-1", ""])
def test_subsidies_count_as_revenue_and_raise_no_later_rate(tiger, tmp_path, fund_org):
    used(tmp_path, job(1, JANUARY, 10, 50))
    without = studies.figures_of(a_study(tiger))
    given = {"name": "Provost", "percent": 80, "valid_from": "2025-01-01", "reason": "By the provost"}
    UsageSubsidy.objects.create(code="provost", fund_org=fund_org, **given)
    command("usage", "-f", "tiger", "-p", "2025-01")
    subsidized = studies.figures_of(a_study(tiger))
    assert (without.charged, subsidized.charged) == (40, 8)
    assert subsidized.recovered == without.recovered == 50
    assert subsidized.balance == without.balance


def test_depreciation_leaves_out_what_federal_awards_paid(tiger):
    study = a_study(tiger)
    equipment(study, federally_funded=Decimal(20_000))
    (cost,) = studies.figures_of(study).costs
    # In service since October: 9 of the 12 months of a year that ends in June.
    assert (cost.months, cost.amount, cost.excluded) == (9, Decimal("15000.00"), Decimal("3000.00"))


@pytest.mark.parametrize(
    ("in_service", "months"),
    [
        ("2020-06-30", 11),
        ("2020-05-31", 10),
        ("2019-07-01", 0),
        ("2024-07-01", 12),
        ("2025-06-30", 1),
        ("2025-07-01", 0),
    ],
)
def test_depreciation_begins_with_the_month_in_service_and_ends_with_the_useful_life(tiger, in_service, months):
    pool = equipment(a_study(tiger), in_service=datetime.date.fromisoformat(in_service))
    assert pool.months_in(datetime.date(2024, 7, 1), datetime.date(2025, 6, 1)) == months


def test_failed_jobs_are_no_units(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, JANUARY, 10, 30, queue="failed"))
    (use,) = studies.figures_of(a_study(tiger)).use
    assert (use.delivered, use.worthless, use.units, use.listed) == (800, 300, 500, 50)


# Findings -------------------------------------------------------------------------------------------------


def codes(study):
    return {each.code: each.is_bad for each in studies.studied(study).findings}


def test_federal_awards_that_paid_more_fail_the_study(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, JANUARY, 10, 30, account="climate"))
    study = a_study(tiger)
    a_cost(study, "70")
    # Ada's 500 core-hours cost 40, Bob's 300 cost 20.
    a_fund("GEO-002", is_sponsored=True)
    assert "sponsored_pay_more" not in codes(study)
    FundingSource.objects.update(is_sponsored=False)
    a_fund("BIO-001", is_sponsored=True)
    found = studies.studied(study)
    assert found.is_failing
    (finding,) = [each for each in found.findings if each.is_bad]
    assert finding.text == (
        "Federal awards paid 0.08 for a core-hour, and other internal users 0.0667, after free amounts and subsidies. "
        "Give the same free amounts and subsidies to all."
    )
    with pytest.raises(studies.StudyFails, match="cannot be adopted. Federal awards paid 0.08"):
        studies.adopt(study=study, **BY)
    study.refresh_from_db()
    assert study.state == "draft"


def test_a_study_without_costs_or_units_fails_and_months_that_lack_are_told(tiger, tmp_path):
    study = a_study(tiger)
    assert codes(study) == {"no_costs": True, "no_units": True, "months_missing": False}
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, JANUARY, 1, 8, account="mystery"))
    a_cost(study, "70")
    assert codes(study) == {"months_missing": False, "held": False}


@pytest.mark.parametrize(
    ("proposed", "code", "is_bad"), [("1", "above_break_even", True), ("0.01", "below_break_even", False)]
)
def test_another_rate_than_break_even_is_told(tiger, tmp_path, proposed, code, is_bad):
    used(tmp_path, job(1, JANUARY, 10, 50))
    study = a_study(tiger, proposed_rate=Decimal(proposed))
    a_cost(study, "70")
    assert codes(study)[code] is is_bad


def test_a_rate_that_the_schedule_lacks_is_named(tiger):
    with pytest.raises(studies.RateNotInForce, match="hpc v1 has no rate “gpu”. It has: cpu"):
        studies.figures_of(a_study(tiger, rate="gpu"))


# Adopted ----------------------------------------------------------------------------------------------------


@pytest.fixture
def adopted(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    study = a_study(tiger)
    a_cost(study, "70")
    return studies.adopt(study=study, **BY).study


def test_an_adopted_study_keeps_its_figures_and_its_balance_goes_on(adopted, tmp_path):
    before = studies.studied(adopted).figures
    used(tmp_path, job(9, JANUARY, 10, 99), name="b.txt")
    assert studies.studied(RateStudy.objects.get(pk=adopted.pk)).figures == before
    following = a_study(adopted.feed, fiscal_year=2026, opening_balance=Decimal(999))
    assert studies.figures_of(following).opening_balance == before.balance == -20
    assert AuditEvent.objects.filter(action="rate_study.adopted").count() == 1


def test_an_adopted_study_is_locked(adopted):
    pool = adopted.pools.get()
    for change in (
        lambda: adopted.save(),
        lambda: adopted.delete(),
        lambda: RateStudy.objects.update(note="x"),
        lambda: RateStudy.objects.all().delete(),
        lambda: pool.save(),
        lambda: pool.delete(),
        lambda: a_cost(adopted, "1"),
    ):
        with pytest.raises(StudyLocked, match="was adopted, and does not change any more"):
            change()
    with pytest.raises(Exception, match="was adopted already"):
        studies.adopt(study=adopted, **BY)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_ratestudy SET note = 'x'",
        "UPDATE billing_ratestudy SET state = 'draft', figures = NULL, adopted_at = NULL",
        "DELETE FROM billing_ratestudy",
        "UPDATE billing_costpool SET amount = 1",
        "DELETE FROM billing_costpool",
        "INSERT INTO billing_costpool (study_id, name, kind, amount, federally_funded, note) "
        "SELECT id, 'x', 'staff', 1, 0, '' FROM billing_ratestudy",
    ],
)
def test_the_database_refuses_to_change_an_adopted_study(adopted, sql):
    refused = pytest.raises(DatabaseError, match="a rate study that was adopted is locked")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_costs_say_what_they_lack(tiger):
    study = a_study(tiger)
    with pytest.raises(ValidationError) as error:
        CostPool(study=study, name="Nodes", kind="depreciation", amount=Decimal(3)).clean()
    assert set(error.value.message_dict) == {"amount", "cost", "life_years", "in_service"}
    with pytest.raises(ValidationError) as error:
        CostPool(study=study, name="Staff", kind="staff", life_years=3).clean()
    assert set(error.value.message_dict) == {"amount", "life_years"}
    with pytest.raises(IntegrityError), transaction.atomic():
        CostPool.objects.create(study=study, name="Nodes", kind="depreciation")


# What PIs would have paid -----------------------------------------------------------------------------------


def test_the_proposed_rate_is_tried_on_closed_months(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    study = a_study(tiger, proposed_rate=Decimal("0.05"))
    a_cost(study, "70")
    assert studies.try_proposed(studies.studied(study), now=NOW) is None
    shut()
    tried = studies.try_proposed(studies.studied(study), now=NOW)
    assert (tried.charged.now, tried.charged.then) == (Decimal("40.00"), Decimal("20.00"))
    assert RateSchedule.objects.count() == 1


# The workbook ------------------------------------------------------------------------------------------------


class Evaluator:
    """Works out the few kinds of formulas that a study's workbook has."""

    def __init__(self, book):
        self.book = book

    def value(self, sheet, cell):
        found = self.book[sheet][cell].value
        if found is None:
            return ""
        return self.of(sheet, found[1:]) if isinstance(found, str) and found.startswith("=") else found

    def of(self, sheet, text):
        text = re.sub(r"SUM\(([A-Z]+)(\d+):[A-Z]+(\d+)\)", lambda m: f"total('{m[1]}', {m[2]}, {m[3]})", text)
        text = re.sub(r"(?:(\w+)!)?\b([A-Z])(\d+)\b", lambda m: f"at('{m[1] or sheet}', '{m[2]}{m[3]}')", text)
        text = re.sub(r"(?<![\w'\"=<>!])=(?!=)", "==", text).replace("IF(", "choose(")
        names = {
            "at": lambda of, cell: Decimal(str(found)) if (found := self.value(of, cell)) != "" else "",
            "total": lambda column, first, last: sum(
                Decimal(str(self.value(sheet, f"{column}{row}") or 0)) for row in range(first, last + 1)
            ),
            "ROUND": lambda number, places: number.quantize(Decimal(1).scaleb(-int(places)), ROUND_HALF_UP),
            "MAX": max,
            "choose": lambda condition, yes, no: yes if condition else no,
        }
        return eval(text, {"__builtins__": {}}, names)  # noqa: S307 (our own formulas)


@pytest.mark.parametrize("fields", [{}, {"expected_units": Decimal(1000), "proposed_rate": Decimal("0.05")}])
def test_the_formulas_of_the_workbook_agree_with_the_study(tiger, tmp_path, fields):
    used(tmp_path, job(1, JANUARY, 10, 51), job(2, JANUARY, 7, 13, queue="failed"))
    study = a_study(tiger, opening_balance=Decimal("-5.25"), **fields)
    a_cost(study, "7012.37")
    a_cost(study, "12.50", name="=Reception", kind="unallowable")
    equipment(study, federally_funded=Decimal(20_000))
    found = studies.studied(study)
    file = io.BytesIO()
    studies.write_workbook(found, file)
    book = openpyxl.load_workbook(file)
    asked, figures = Evaluator(book), found.figures
    labels = {row[0].value: f"B{row[0].row}" for row in book["Rate"].iter_rows(min_row=2)}
    for label, value in {
        "Costs that count": figures.allowable,
        "Recovered at list price": figures.recovered,
        "Balance carried forward": figures.balance,
        "To be recovered": figures.to_recover,
        "Units": figures.units,
        "Break-even rate": figures.break_even,
        "Rate": figures.rate,
        "Excluded from the rate": figures.excluded,
    }.items():
        assert asked.value("Rate", labels[label]) == value, label
    # A name is never a formula.
    assert book["Costs"]["A3"].data_type == "s"


# Doors ------------------------------------------------------------------------------------------------------


def test_the_command_lists_shows_exports_and_adopts(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    study = a_study(tiger)
    a_cost(study, "70")
    assert command("rate_study", "list")["studies"][0]["verdict"] == "holds"
    data = command("rate_study", "show", study.pk)
    assert (data["figures"]["break_even"], data["figures"]["balance"]) == ("0.1800", "-20.00000000")
    path = tmp_path / "study.xlsx"
    command("rate_study", "export", study.pk, "-o", path)
    assert openpyxl.load_workbook(path).sheetnames == ["Rate", "Costs", "Use"]
    with pytest.raises(CommandError, match="no closed month to try it on"):
        command("rate_study", "try", study.pk)
    assert command("rate_study", "adopt", study.pk)["state"] == "adopted"
    with pytest.raises(CommandError, match="was adopted already"):
        command("rate_study", "adopt", study.pk)
    with pytest.raises(CommandError, match="There is no rate study 99"):
        command("rate_study", "show", 99)


@pytest.fixture
def finance(client, cast):
    client.force_login(cast.finance)
    return client


def text_of(answer):
    return " ".join(answer.content.decode().split())


def test_a_study_is_written_in_a_form_and_shows_its_equation(finance, tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    filled = {
        "feed": tiger.pk,
        "rate": "cpu",
        "fiscal_year": "2025",
        "opening_balance": "0",
        "places": "4",
        "pools-TOTAL_FORMS": "2",
        "pools-INITIAL_FORMS": "0",
        "pools-0-name": "Engineers",
        "pools-0-kind": "staff",
        "pools-0-amount": "70",
        "pools-1-name": "Nodes",
        "pools-1-kind": "depreciation",
        "pools-1-cost": "1200",
        "pools-1-life_years": "5",
        "pools-1-in_service": "2024-10-15",
    }
    answer = finance.post(reverse("admin:billing_ratestudy_add"), filled)
    assert answer.status_code == 302, text_of(answer)[:3000]
    study = RateStudy.objects.get()
    url = reverse("admin:billing_ratestudy_change", args=[study.pk])
    page = text_of(finance.get(url))
    # 70 and 9 months of 20; 50 was recovered.
    for said in ("Break-even rate", "250.00", ">0.9<", "9 months of the year", "Adopt…"):
        assert said in page, said
    assert "rate_study.added" in AuditEvent.objects.values_list("action", flat=True)
    assert finance.get(reverse("admin:billing_ratestudy_xlsx", args=[study.pk])).status_code == 200
    assert "There is no closed month" in text_of(finance.get(f"{url}?pis=1"))
    finance.post(reverse("admin:billing_ratestudy_adopt", args=[study.pk]))
    page = text_of(finance.get(url))
    assert "Adopted" in page
    assert 'name="_save"' not in page
    assert "Holds" not in text_of(finance.get(reverse("admin:billing_ratestudy_changelist")))


def test_a_rate_that_the_schedule_lacks_is_refused_in_the_form(finance, tiger):
    form = {"feed": tiger.pk, "rate": "cpu-hour", "fiscal_year": 2026, "opening_balance": 0, "places": 4}
    form |= {f"pools-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    answer = finance.post(reverse("admin:billing_ratestudy_add"), form)
    assert "has no rate “cpu-hour”. It has: " in text_of(answer)
    assert not RateStudy.objects.exists()


def test_old_rates_are_flagged(finance, tiger):
    version = RateSchedule.objects.get()
    assert studies.age_of(version, datetime.date(2026, 12, 31)) == ""
    assert "more than two years old" in studies.age_of(version, datetime.date(2027, 1, 1))
    url = reverse("admin:billing_rateschedule_change", args=[version.pk])
    is_old = timezone.localdate() >= datetime.date(2027, 1, 1)
    assert ("more than two years old" in text_of(finance.get(url))) is is_old


def test_the_worked_example_of_the_guide_is_what_the_command_says(tiger, tmp_path, capsys):
    used(tmp_path, job(1, JANUARY, 500, 1000), job(2, JANUARY, 300, 1000, account="climate"))
    a_fund("GEO-002", is_sponsored=True)
    study = a_study(tiger, opening_balance=Decimal(2500))
    a_cost(study, "60000")
    a_cost(study, "9000", name="Power", kind="facilities")
    equipment(study, federally_funded=Decimal(20_000))
    a_cost(study, "1200", name="Reception", kind="unallowable")
    call_command("rate_study", "show", str(study.pk))
    said = capsys.readouterr().out
    page = (Path(settings.BASE_DIR) / "docs/admin-guide/rate-studies.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert said.startswith(example), said
    assert "Federal awards paid 0.1 for a core-hour." in said
    assert "Other internal users paid 0.1 for a core-hour." in said
    assert studies.figures_of(study).charged == 79_980
    assert not studies.studied(study).is_failing


def test_the_worker_tries_the_rate_of_a_study_where_months_are_large(finance, tiger, tmp_path, monkeypatch):
    used(tmp_path, job(1, JANUARY, 10, 50))
    study = a_study(tiger, proposed_rate=Decimal("0.05"))
    a_cost(study, "70")
    shut()
    url = reverse("admin:billing_ratestudy_change", args=[study.pk])
    monkeypatch.setattr("billing.usage.trying.asking.MOST_PRICED", 0)
    monkeypatch.setattr("billing.background.heartbeat.is_worker_alive", lambda *_: True)
    # The PDF needs what PIs would have paid: its link leads to the page that has the worker find out.
    pdf = reverse("admin:billing_ratestudy_pdf", args=[study.pk])
    assert finance.get(pdf)["Location"] == f"{url}?pis=1"
    assert "The worker is trying the rate" in text_of(finance.get(f"{url}?pis=1"))
    assert "The worker is trying the rate" in text_of(finance.get(f"{url}?pis=1"))
    asked = Job.objects.get(kind=Job.Kind.TRY)
    jobs_of_worker.run(asked.pk)
    asked.refresh_from_db()
    assert "0.05 for cpu in hpc v1 was tried on 1 of 1 months." in asked.message
    page = text_of(finance.get(f"{url}?pis=1"))
    assert "The worker is trying" not in page
    assert "40.00" in page
    assert "20.00" in page
    assert finance.get(pdf)["Content-Type"] == "application/pdf"
    page = text_of(finance.get(reverse("admin:billing_job_change", args=[asked.pk])))
    assert f"{url}?pis=1" in page
    # Another rate is another trial.
    RateStudy.objects.filter(pk=study.pk).update(proposed_rate=Decimal("0.06"))
    assert finance.get(pdf).status_code == 302
