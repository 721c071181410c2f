"""Usage from a file to what somebody is charged: read, priced, imported, read again, withdrawn, late."""

import datetime
from decimal import Decimal

import pytest
from django.core.management import CommandError
from django.db.models import QuerySet
from django.urls import reverse

from billing import proof
from billing.models import BillingPeriod, Charge, PricedMonth, Project, RateSchedule, UsageFeed, UsageFile
from billing.usage import feeds, readers
from tests.build import NOW, SOMEBODY, a_period, a_pi, a_policy, a_project, a_source, shut
from tests.stories.stage import command
from tests.stories.tampered import tampering

from .plain import PLAIN

pytestmark = pytest.mark.django_db

JANUARY, FEBRUARY = (int(datetime.datetime(2025, month, 1, tzinfo=datetime.UTC).timestamp()) for month in (1, 2))
HOUR, DAY = 3600, 86400


@pytest.fixture(autouse=True)
def _plain_lines(monkeypatch):
    monkeypatch.setitem(readers.KINDS, "plain", PLAIN)


@pytest.fixture
def feed(tmp_path):
    """A feed of a cluster, with 1,000 core-hours at 0.10 and what is beyond at 0.05; 100 are free for each PI."""
    a_policy()
    ada = a_pi()
    a_project(pi=ada, default_fund_org="BIO-001")
    a_source("hpc", kind="internal", import_mode="snapshot")
    a_schedule([{"up_to": "1000", "price": "0.10"}, {"price": "0.05"}])
    return command("feeds", "add", "tiger", "-s", "hpc", "--kind", "plain", "--schedule", "hpc")


def a_schedule(tiers, valid_from="2025-01-01", version=1, name="hpc", state="released", **rate):
    content = {
        "rates": [
            {
                "code": "cpu",
                "service": "Cluster CPU",
                "counts": [{"measure": "cpu_seconds", "unit": "core-hour"}],
                "unit": "core-hour",
                "tiers": tiers,
                "free": "100",
                **rate,
            }
        ]
    }
    return RateSchedule.objects.create(
        name=name, version=version, state=state, valid_from=valid_from, content=content, created_at=NOW
    )


def jobs(path, *rows):
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def job(number, start, hours, cpus, account="genomics", queue="batch"):
    return (number, start, start + hours * HOUR, account, "ada", queue, cpus)


def charged(month="2025-01"):
    charges = Charge.objects.live().filter(charged_in__month=f"{month}-01")
    return sum((charge.billed_cost for charge in charges), Decimal(0))


def test_a_file_becomes_charges(feed, tmp_path):
    answer = command(
        "usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20), job(2, JANUARY + DAY, 1, 50)), "-f", "tiger"
    )

    (file,), (month,) = answer["files"], answer["months"]
    assert (file["records"], month["period"], month["rows"]) == (2, "2025-01", 2)
    assert month["import"]["new"] == 2
    assert month["units"] == [
        {
            "rate": "cpu",
            "unit": "core-hour",
            "records": 2,
            "delivered": "250",
            "charged": "150",
            "free": {"free_amount": "100"},
            "held": "0",
            "difference": "0",
        }
    ]
    assert charged() == Decimal("15")
    charge = Charge.objects.live().order_by("line_number").first()
    assert (charge.list_cost, charge.billed_cost) == (Decimal("20"), Decimal("10"))
    assert charge.pi.email == "ada@u.edu"
    assert charge.project.code == "genomics"
    assert charge.fund_org == "BIO-001"
    assert charge.state == "clear"


def test_the_same_file_again_changes_nothing(feed, tmp_path):
    path = jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20))
    command("usage", path, "-f", "tiger")
    answer = command("usage", path, "-f", "tiger")
    assert answer["months"] == []
    assert answer["files"][0]["already_read"] == UsageFile.objects.get().pk
    answer = command("usage", "-f", "tiger", "-p", "2025-01")
    assert (answer["months"][0]["import"]["new"], answer["months"][0]["import"]["changed"]) == (0, 0)
    assert PricedMonth.objects.count() == 1


def test_later_files_of_a_month_are_priced_with_the_earlier_ones(feed, tmp_path):
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    answer = command("usage", jobs(tmp_path / "b.txt", job(2, JANUARY + DAY, 100, 10)), "-f", "tiger")
    # 200 + 1,000 core-hours: 100 free, 900 at 0.10, 200 at 0.05.
    assert charged() == Decimal("100")
    assert (answer["months"][0]["import"]["new"], answer["months"][0]["import"]["unchanged"]) == (1, 1)


def test_a_job_over_the_end_of_a_month_is_charged_in_both(feed, tmp_path):
    command("usage", jobs(tmp_path / "a.txt", job(1, FEBRUARY - 15 * HOUR, 30, 20)), "-f", "tiger")
    assert (charged("2025-01"), charged("2025-02")) == (Decimal("20"), Decimal("20"))


def test_a_running_job_counts_once_it_has_ended(feed, tmp_path):
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    command("usage", jobs(tmp_path / "b.txt", job(1, JANUARY, 30, 20)), "-f", "tiger")
    assert charged() == Decimal("50")
    assert Charge.objects.live().count() == 1


def test_an_unknown_account_is_held(feed, tmp_path):
    answer = command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20, account="mystery")), "-f", "tiger")
    assert answer["months"][0]["units"][0]["held"] == "200"
    charge = Charge.objects.live().get()
    assert (charge.state, charge.billed_cost) == ("held", Decimal("20"))


def test_a_failed_job_is_shown_and_free(feed, tmp_path):
    answer = command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20, queue="failed")), "-f", "tiger")
    assert answer["months"][0]["units"][0]["free"] == {"failed": "200"}
    charge = Charge.objects.live().get()
    assert (charge.list_cost, charge.billed_cost, charge.consumed_quantity) == (0, 0, "200")


def test_a_dry_run_stores_nothing(feed, tmp_path):
    answer = command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger", "--dry-run")
    assert answer["months"][0]["import"]["new"] == 1
    assert not UsageFile.objects.exists()
    assert not Charge.objects.exists()
    assert not PricedMonth.objects.exists()


def test_bad_lines_are_named_and_nothing_is_kept(feed, tmp_path):
    path = jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20), (1, 2))
    with pytest.raises(CommandError, match=r"a\.txt: line 2: Seven fields are needed"):
        command("usage", path, "-f", "tiger")
    assert not UsageFile.objects.exists()


def test_one_bad_file_keeps_all_out(feed, tmp_path):
    good, bad = jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), jobs(tmp_path / "b.txt", (1,))
    with pytest.raises(CommandError):
        command("usage", good, bad, "-f", "tiger")
    assert not UsageFile.objects.exists()


def test_a_withdrawn_file_no_longer_counts(feed, tmp_path):
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    answer = command("usage", jobs(tmp_path / "b.txt", job(2, JANUARY + DAY, 100, 10)), "-f", "tiger")
    command("feeds", "withdraw", answer["files"][0]["file"], "--reason", "read twice")
    assert charged() == Decimal("10")


def test_all_files_of_a_month_withdrawn_leave_nothing_charged(feed, tmp_path):
    answer = command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    command("feeds", "withdraw", answer["files"][0]["file"], "--reason", "of another cluster")
    assert not Charge.objects.live().exists()


def test_a_new_version_of_the_rates_prices_its_months_only(feed, tmp_path):
    a_schedule([{"price": "0.20"}], valid_from="2025-02-01", version=2)
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20), job(2, FEBRUARY, 10, 20)), "-f", "tiger")
    assert (charged("2025-01"), charged("2025-02")) == (Decimal("10"), Decimal("20"))


def test_tiers_of_a_fiscal_year_go_on_from_the_month_before(feed, tmp_path):
    a_schedule([{"up_to": "300", "price": "0.10"}, {"price": "0.05"}], version=2, span="fiscal_year", free="0")
    command("usage", jobs(tmp_path / "b.txt", job(2, FEBRUARY, 10, 20)), "-f", "tiger")
    assert charged("2025-02") == Decimal("20")
    # What comes later for January moves February to another tier.
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    assert (charged("2025-01"), charged("2025-02")) == (Decimal("20"), Decimal("15"))


def test_usage_of_a_closed_month_waits_to_be_booked(feed, tmp_path):
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    shut("2025-01")
    answer = command("usage", jobs(tmp_path / "b.txt", job(2, JANUARY + DAY, 10, 10)), "-f", "tiger")
    assert answer["months"][0]["import"]["deferred"]["periods"] == ["2025-01"]
    assert charged() == Decimal("10")
    a_period("2025-02")
    command("imports", "book", answer["months"][0]["import"]["deferred"]["import"], "--to", "2025-02")
    assert charged("2025-02") == Decimal("10")


def test_a_month_without_a_schedule_is_told_and_its_usage_kept(feed, tmp_path):
    a_schedule([{"price": "1"}], name="later", valid_from="2025-02-01")
    feeds.change(feed=UsageFeed.objects.get(), fields={"schedule": "later"}, actor=SOMEBODY, now=NOW)
    asked = ("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    # A dry run does not say that it kept anything.
    with pytest.raises(CommandError, match=r"is in force in January 2025\.\nNothing was stored\. Next"):
        command(*asked, "--dry-run")
    with pytest.raises(CommandError, match=r"“later” is in force in January 2025\.\nThe usage was read and is kept"):
        command(*asked)
    assert UsageFile.objects.count() == 1
    feeds.change(feed=UsageFeed.objects.get(), fields={"schedule": "hpc"}, actor=SOMEBODY, now=NOW)
    command("usage", "-f", "tiger", "-p", "2025-01")
    assert charged() == Decimal("10")


def test_the_proof_counts_units(feed, tmp_path):
    rows = [job(1, JANUARY, 10, 20), job(2, JANUARY, 5, 10, queue="failed"), job(3, JANUARY, 1, 7, account="mystery")]
    command("usage", jobs(tmp_path / "a.txt", *rows), "-f", "tiger")
    (units,) = command("proof", "-p", "2025-01")["usage"]
    assert units == {
        "feed": "tiger",
        "rate": "cpu",
        "unit": "core-hour",
        "delivered": "257",
        "charged": "100",
        "free": {"failed": "50", "free_amount": "100"},
        "held": "7",
        "rejected": "0",
        "difference": "0",
    }


def test_the_proof_finds_units_that_are_in_no_charge(feed, tmp_path):
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20), job(2, JANUARY, 5, 10)), "-f", "tiger")
    with tampering():
        priced = PricedMonth.objects.get()
        priced.units[0]["delivered"] = "300"
        QuerySet(PricedMonth).update(units=priced.units)
        problems = proof.prove(BillingPeriod.objects.get()).problems()
    assert "tiger, January 2025: The charges lack 50 core-hours of cpu." in problems


def test_the_page_of_the_proof_shows_units(feed, tmp_path, admin_client):
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    page = admin_client.get(reverse("admin:billing_billingperiod_proof", args=[BillingPeriod.objects.get().pk]))
    assert "Usage, in units" in page.text
    assert "free amount" in page.text


def test_a_free_job_of_an_unknown_account_counts_as_free(feed, tmp_path):
    rows = [job(1, JANUARY, 1, 20, account="mystery"), job(2, JANUARY, 1, 7, account="mystery", queue="failed")]
    command("usage", jobs(tmp_path / "a.txt", *rows), "-f", "tiger")
    (units,) = command("proof", "-p", "2025-01")["usage"]
    assert (units["charged"], units["free"], units["held"]) == ("0", {"failed": "7"}, "20")


def test_what_is_free_in_part_and_held_is_not_charged(feed, tmp_path):
    Project.objects.update(default_fund_org="")
    command("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 20)), "-f", "tiger")
    (units,) = command("proof", "-p", "2025-01")["usage"]
    assert (units["charged"], units["free"], units["held"]) == ("0", {"free_amount": "100"}, "100")
