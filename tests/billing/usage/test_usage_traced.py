"""Why a charge of usage costs what it does: down to the record, the reading, the file and the line of the rates."""

import datetime
import re
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db.models import QuerySet
from django.urls import reverse

from billing.models import Charge, PricedMonth, RateSchedule, UsageFile, UsageSubsidy
from billing.usage import found
from tests.billing.deliveries import a_row, delivered
from tests.build import a_policy
from tests.stories.stage import command
from tests.stories.tampered import tampering

from .test_bringing import HOUR, JANUARY, job, jobs
from .test_kept_usage import _plain_lines, feed  # noqa: F401 (fixtures)
from .test_readings_charged import a_feed, days_of, quotas

pytestmark = pytest.mark.django_db


@pytest.fixture
def january(feed, tmp_path):  # noqa: F811 (the fixture)
    """Two jobs of 1,150 core-hours at two tiers, 100 of them free; the first was running when it was first read."""
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    command("usage", jobs(tmp_path / "b.txt", job(1, JANUARY, 30, 20), job(2, JANUARY + HOUR, 55, 10)), "-f", "tiger")


def of_job(number):
    return next(
        each for each in Charge.objects.live().order_by("pk") if traced(each.pk)["usage"]["record"] == str(number)
    )


def traced(what, *options):
    return command("trace", what, *options)["charges"][0]


def text_of(what):
    out = StringIO()
    call_command("trace", str(what), stdout=out)
    return out.getvalue()


def test_a_charge_leads_to_its_job_its_file_and_its_rate(january):
    charge = of_job(2)
    usage = traced(charge.pk)["usage"]
    last = UsageFile.objects.latest("pk")
    assert (usage["feed"], usage["record"], usage["resource"], usage["account"]) == (
        "tiger",
        "2",
        "tiger/batch",
        "genomics",
    )
    assert (usage["schedule"], usage["version"], usage["valid_from"], usage["rate"]) == ("hpc", 1, "2025-01-01", "cpu")
    (record,) = usage["records"]
    assert record["measures"] == ["elapsed: 55 hours", "cpu: 550 core-hours"]
    assert record["attributes"] == {"queue": "batch"}
    assert usage["files"] == [
        {
            "file": last.pk,
            "name": "b.txt",
            "sha256": last.original_sha256,
            "records_sha256": last.records_file.sha256,
            "read_at": usage["files"][0]["read_at"],
            "read_by": last.read_by_name,
        }
    ]
    # 600 core-hours of the first job came before, of which 100 were free.
    assert usage["equation"] == [
        "550 core-hours of ada@u.edu, for each PI and month: 600 core-hours used before, 1,150 core-hours with it.",
        "List price: 400 core-hours × 0.1 (tier 1, up to 1,000) = 40.00 + 150 core-hours × 0.05 (tier 2, above the "
        "others) = 7.50 = 47.50.",
        "Free amount: the first 100 core-hours of ada@u.edu, for each PI and month; 100 core-hours used before and "
        "100 core-hours with it, so 0 core-hours of it are free.",
        "Billed: 47.50.",
    ]
    assert usage["problem"] is None
    figures = usage["figures"]
    assert [Decimal(figures[name]) for name in ("list", "contracted", "billed")] == [
        charge.list_cost,
        charge.contracted_cost,
        charge.billed_cost,
    ]


def test_a_job_that_was_read_while_it_ran_has_both_its_lines(january):
    usage = traced(of_job(1).pk)["usage"]
    assert [(each["measures"][1], each["counts"]) for each in usage["records"]] == [
        ("cpu: 200 core-hours", False),
        ("cpu: 600 core-hours", True),
    ]
    assert [each["name"] for each in usage["files"]] == ["a.txt", "b.txt"]
    assert "completed by a later line" in text_of(of_job(1).pk)


def test_lines_of_documents_lead_to_the_same(january):
    command("generate", "-p", "2025-01")
    answer = command("trace", "2025-01-0001:1")
    assert sorted(each["usage"]["record"] for each in answer["charges"]) == ["1", "2"]
    assert {each["usage"]["rate"] for each in answer["charges"]} == {"cpu"}
    # Records are looked up for a charge by itself.
    assert not any(each["usage"]["records"] for each in answer["charges"])
    (key,) = {line["key"] for line in answer["payer_lines"]}
    assert command("trace", key)["charges"] == answer["charges"]


def test_users_are_named_where_policy_shows_them(january):
    charge = of_job(2)
    assert traced(charge.pk)["usage"]["user"] is None
    assert traced(charge.pk)["usage"]["records"][0]["user"] is None
    assert "user ada" not in text_of(charge.pk)
    assert "x_UsageUser" not in text_of(charge.pk)
    a_policy(shows_users=True)
    assert traced(charge.pk)["usage"]["user"] == "ada"
    assert traced(charge.pk)["usage"]["records"][0]["user"] == "ada"
    assert "user ada" in text_of(charge.pk)
    assert "x_UsageUser: ada" in text_of(charge.pk)


def test_the_readings_of_each_day_are_behind_a_month_of_storage(tmp_path):
    settings = {"charge": "quota", "account": "name", "system": "nas1"}
    a_feed(tmp_path, "storage", settings, measure="charged_byte_days", unit="TB-month", price="2.50")
    files = [quotas(tmp_path, day, ("/labs/genomics/", 4, 10)) for day in days_of(11, 1, 30) if not day.endswith("-07")]
    command("usage", *files, "-f", "feed")
    usage = traced(Charge.objects.live().get().pk)["usage"]
    assert usage["record_count"] == 29
    assert [each["start"][8:10] for each in usage["records"][:7]] == ["01", "02", "03", "04", "05", "06", "08"]
    assert any("10 TB" in each for each in usage["records"][0]["measures"])
    assert usage["equation"][1] == "List price: 10 TB-months × 2.5 = 25.00."


def test_many_readings_are_paged(tmp_path, monkeypatch):
    settings = {"charge": "quota", "account": "name", "system": "nas1"}
    a_feed(tmp_path, "storage", settings, measure="charged_byte_days", unit="TB-month", price="2.50")
    command("usage", *[quotas(tmp_path, day, ("/labs/genomics/", 4, 10)) for day in days_of(11, 1, 30)], "-f", "feed")
    monkeypatch.setattr("billing.tracing.usage.RECORDS", 20)
    charge = Charge.objects.live().get()
    first, second = (command("trace", charge.pk, "--page", page) for page in (1, 2))
    assert (first["pages"], len(first["charges"][0]["usage"]["records"])) == (2, 20)
    assert (second["page"], len(second["charges"][0]["usage"]["records"])) == (2, 10)


def test_what_no_longer_adds_up_is_said(january):
    charge = of_job(2)
    with tampering():
        schedule = RateSchedule.objects.get()
        schedule.content["rates"][0]["tiers"][0]["price"] = "0.01"
        QuerySet(RateSchedule).update(content=schedule.content)
        usage = traced(charge.pk)["usage"]
    assert (
        usage["problem"] == "This does not come to what the charge lists, contracts and bills. See the reconciliation."
    )


def test_a_charge_of_a_cloud_has_no_usage(january, tmp_path):
    delivered(tmp_path, [a_row("1.00")])
    assert traced(Charge.objects.live().latest("pk").pk)["usage"] is None


def test_the_page_shows_the_job_the_equation_and_the_file(january, admin_client):
    charge = of_job(2)
    page = admin_client.get(reverse("admin:billing_charge_why"), {"what": charge.pk}).content.decode()
    file, priced = UsageFile.objects.latest("pk"), PricedMonth.objects.latest("pk")
    for said in (
        "400 core-hours × 0.1 (tier 1, up to 1,000) = 40.00",
        "tiger/batch",
        "b.txt",
        file.original_sha256[:12],
        reverse("admin:billing_usagefile_change", args=[file.pk]),
        reverse("admin:billing_rateschedule_change", args=[priced.schedule_id]),
        reverse("admin:billing_pricedmonth_change", args=[priced.pk]),
    ):
        assert said in page, said


def test_the_worked_example_is_what_the_documentation_says(feed, tmp_path):  # noqa: F811 (the fixture)
    UsageSubsidy.objects.create(
        code="start-up", name="Start-up", percent=50, cap=40, valid_from=datetime.date(2025, 1, 1), reason="By letter."
    )
    command("usage", jobs(tmp_path / "b.txt", job(1, JANUARY, 30, 20), job(2, JANUARY + HOUR, 55, 10)), "-f", "tiger")
    page = (Path(settings.BASE_DIR) / "docs" / "admin-guide" / "why-this-number.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1].splitlines()
    told = [line.strip() for line in text_of(of_job(2).pk).splitlines()]
    assert len(shown) == 6
    assert [line for line in told if line in shown] == shown
    assert of_job(2).billed_cost == Decimal("32.50")


def test_only_the_parts_of_a_file_that_have_a_row_are_read(january, monkeypatch):
    """Of a million rows, one group is read."""
    priced = PricedMonth.objects.latest("pk")
    read = []
    original = found.pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        found.pq.ParquetFile,
        "read_row_group",
        lambda file, number, **options: read.append(number) or original(file, number, **options),
    )
    assert set(found.rows_of(priced, {1})) == {1}
    assert read == [0, 0]
    assert found.rows_of(priced, {99}) == {}
    assert read == [0, 0]


@pytest.fixture
def ada(january, client, cast):
    """The PI of these jobs, signed in, with her statement of the month."""
    command("generate", "-p", "2025-01")
    client.force_login(cast.pi)
    return client


def test_a_pi_reads_each_jobs_number_times_units_and_rate(ada):
    url = reverse("portal:line", args=["2025-01-0001-1", 1])
    page = " ".join(ada.get(url).content.decode().split())
    for said in (
        "Record <bdi>2</bdi>, Jan 1, 2025, 01:00 to Jan 3, 2025, 08:00",
        "tiger/batch",
        "550 core-hour",
        "400 core-hours at 0.1, 150 core-hours at 0.05 per core-hour, by hpc v1",
    ):
        assert said in page, said
    assert "user <bdi>ada</bdi>" not in page
    # What others used of a scope, and what is left of a cap, is not a PI's to read.
    assert "used before" not in page


def test_a_pi_reads_names_of_users_where_policy_shows_them(ada):
    a_policy(shows_users=True)
    assert "user <bdi>ada</bdi>" in ada.get(reverse("portal:line", args=["2025-01-0001-1", 1])).content.decode()
