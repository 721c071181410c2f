"""Trying subsidies that are not saved: what they would charge whom, by the page, the worker and the command."""

from decimal import Decimal

import openpyxl
import pytest
from django.core.cache import caches
from django.core.management import CommandError
from django.urls import reverse

from billing.background import jobs as jobs_of_worker
from billing.models import AuditEvent, Job, UsageSubsidy
from billing.usage import trying
from tests.build import NOW
from tests.stories.stage import command

from .test_bringing import FEBRUARY, JANUARY, job
from .test_trying_rates import of_pis, stored, used

pytestmark = pytest.mark.django_db

FILLED = {
    "code": "provost",
    "name": "Provost",
    "percent": "25",
    "cap": "",
    "scope": "pi",
    "span": "month",
    "order": "0",
    "valid_from": "2025-01",
    "reason": "By the provost",
}


def a_subsidy(**fields):
    given = {"code": "provost", "name": "Provost", "percent": Decimal(10), "valid_from": "2025-01-01"}
    return UsageSubsidy.objects.create(**given | {"reason": "By the provost"} | fields)


def tried(subsidy, *names):
    return trying.try_now(trying.named_months(trying.of_subsidy(subsidy), names), now=NOW)


def test_a_subsidy_is_tried_as_pricing_by_it_charges(tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50), job(2, JANUARY, 10, 30, account="climate"))
    subsidy = UsageSubsidy(**{**FILLED, "cap": Decimal(5), "percent": Decimal(25), "fund_org": "PRV-1"})
    subsidy.valid_from = "2025-01-01"
    before = stored()
    found = tried(subsidy)
    # 40 and 20 are charged. A quarter of them is 10 and 5, of which each PI gets 5 at most.
    assert of_pis(found) == {
        "ada@u.edu": (Decimal("40.00"), Decimal("35.00")),
        "bob@u.edu": (Decimal("20.00"), Decimal("15.00")),
    }
    journal = {(each.fund_org, each.account): tuple(each.amount) for each in found.journal()}
    assert journal[("PRV-1", "6500")] == (0, Decimal("10.00"))
    assert sum(now for now, _ in journal.values()) == sum(then for _, then in journal.values()) == 0
    assert stored() == before
    assert not UsageSubsidy.objects.exists()
    # For real it comes to the same.
    subsidy.save()
    command("usage", "-f", "tiger", "-p", "2025-01")
    again = tried(subsidy)
    assert {pi: now for pi, (now, _) in of_pis(again).items()} == {pi: then for pi, (_, then) in of_pis(found).items()}
    assert of_pis(again)["ada@u.edu"] == (Decimal("35.00"), Decimal("35.00"))


# The page -------------------------------------------------------------------------------------------------


@pytest.fixture
def finance(client, cast):
    client.force_login(cast.finance)
    return client


def text_of(answer):
    return " ".join(answer.content.decode().split())


def test_a_form_is_tried_and_nothing_of_it_is_saved(finance, tiger, tmp_path):
    used(tmp_path, job(1, JANUARY, 10, 50))
    add = reverse("admin:billing_usagesubsidy_add")
    assert 'name="_try"' in text_of(finance.get(add))
    before, events = stored(), AuditEvent.objects.count()
    answer = finance.post(add, {**FILLED, "_try": "Try…"})
    assert answer.status_code == 302, text_of(answer)[:2000]
    page = text_of(finance.get(answer["Location"]))
    assert "Try Provost" in page
    assert "25%, forgone" in page
    assert "Nothing is stored" in page
    # Which months is asked first: pricing takes a while.
    assert "30.00" not in page
    url = f"{answer['Location']}?on=tiger:2025-01"
    page = text_of(finance.get(url))
    assert "40.00" in page
    assert "30.00" in page
    assert (stored(), AuditEvent.objects.count()) == (before, events)
    assert not UsageSubsidy.objects.exists()
    file = finance.get(f"{answer['Location']}tried.xlsx?on=tiger:2025-01")
    assert file["Content-Disposition"] == 'attachment; filename="provost_tried.xlsx"'
    path = tmp_path / "tried.xlsx"
    path.write_bytes(b"".join(file.streaming_content))
    assert "Journal" in openpyxl.load_workbook(path).sheetnames


def test_a_changed_subsidy_is_tried_in_place_of_the_saved_one(finance, tiger, tmp_path):
    subsidy = a_subsidy()
    used(tmp_path, job(1, JANUARY, 10, 50))
    change = reverse("admin:billing_usagesubsidy_change", args=[subsidy.pk])
    answer = finance.post(change, {**FILLED, "percent": "50", "_try": "Try…"})
    page = text_of(finance.get(f"{answer['Location']}?on=tiger:2025-01"))
    assert "36.00" in page
    assert "20.00" in page
    assert change in page
    subsidy.refresh_from_db()
    assert subsidy.percent == 10


def test_a_form_with_a_mistake_is_shown_again(finance, tiger):
    answer = finance.post(reverse("admin:billing_usagesubsidy_add"), {**FILLED, "percent": "101", "_try": "Try…"})
    assert answer.status_code == 200
    assert "less than or equal to 100" in text_of(answer)
    assert not UsageSubsidy.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "reviewer", "pi"])
def test_who_may_not_change_subsidies_tries_none_by_the_form(client, cast, tiger, role):
    subsidy = a_subsidy()
    client.force_login(getattr(cast, role))
    for url in (
        reverse("admin:billing_usagesubsidy_add"),
        reverse("admin:billing_usagesubsidy_change", args=[subsidy.pk]),
    ):
        answer = client.post(url, {**FILLED, "_try": "Try…"})
        assert "usagesubsidy/try/" not in answer.headers.get("Location", "")
        assert answer.status_code != 200


@pytest.mark.parametrize("key", ["0" * 32, "x" * 300])
def test_what_is_kept_no_longer_is_said(finance, key):
    page = finance.get(reverse("admin:billing_usagesubsidy_try", args=[key]))
    assert "is not kept any more" in text_of(page)
    assert finance.get(reverse("admin:billing_usagesubsidy_tried", args=[key, "csv"])).status_code == 404


def test_the_worker_tries_a_subsidy_and_its_job_leads_to_the_result(finance, tiger, tmp_path, monkeypatch):
    used(tmp_path, job(1, JANUARY, 10, 50))
    monkeypatch.setattr("billing.usage.trying.asking.MOST_PRICED", 0)
    monkeypatch.setattr("billing.background.heartbeat.is_worker_alive", lambda *_: True)
    answer = finance.post(reverse("admin:billing_usagesubsidy_add"), {**FILLED, "_try": "Try…"})
    url = f"{answer['Location']}?on=tiger:2025-01"
    assert "The worker is trying it" in text_of(finance.get(url))
    asked = Job.objects.get(kind=Job.Kind.TRY)
    jobs_of_worker.run(asked.pk)
    # What the form said is in the job: the page is found again though the cache forgot it.
    caches["months"].delete(f"to-try-{answer['Location'].rstrip('/').rpartition('/')[2]}")
    page = text_of(finance.get(reverse("admin:billing_job_change", args=[asked.pk])))
    assert "Provost" in page
    assert "See what it would charge" in page
    assert "30.00" in text_of(finance.get(url))


# The command ----------------------------------------------------------------------------------------------


def test_the_command_tries_a_change_and_a_new_subsidy(tiger, tmp_path):
    a_subsidy()
    used(tmp_path, job(1, JANUARY, 10, 50))
    (one,) = command("subsidies", "list")["subsidies"]
    assert (one["code"], one["granted"]) == ("provost", "4.00")
    data = command("subsidies", "try", "provost", "--percent", "50")
    assert data["charged"] == {"now": "36.00", "then": "20.00", "difference": "-16.00"}
    # A new one comes after the one that is there, by its order and code: a tenth of 36.
    data = command("subsidies", "try", "rector", "--percent", "10", "--on", "2025-01", "-o", tmp_path / "a.csv")
    assert data["charged"]["then"] == "32.40"
    assert (tmp_path / "a.csv").read_text().count("\n") > 1
    assert UsageSubsidy.objects.get().percent == 10


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["rector"], "There is no subsidy rector. These exist: provost. A new one needs --percent."),
        (["provost", "--percent", "much"], "--percent: “much” is not a number"),
        (["provost", "--percent", "101"], "less than or equal to 100"),
        (["provost", "--recipient", "nobody@u.edu"], "nobody@u.edu"),
        (["provost", "--feed", "lion"], "There is no usage feed “lion”"),
    ],
)
def test_the_command_says_what_is_wrong(tiger, given, message):
    a_subsidy()
    with pytest.raises(CommandError, match=message):
        command("subsidies", "try", *given)


def test_months_go_on_from_each_other(tiger, tmp_path):
    """A cap over a fiscal year is used up by the month before, as it would have been."""
    used(tmp_path, job(1, JANUARY, 10, 50))
    used(tmp_path, job(2, FEBRUARY, 10, 50), name="b.txt")
    subsidy = UsageSubsidy(**{**FILLED, "cap": Decimal(15), "percent": Decimal(25), "span": "fiscal_year"})
    subsidy.valid_from = "2025-01-01"
    found = tried(subsidy)
    # 10 of 40 in January, and the 5 that are left of 15 in February.
    assert [(each.charged.now, each.charged.then) for each in found.months] == [(40, 30), (40, 35)]
