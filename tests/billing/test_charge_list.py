"""The list of charges: filters as chips, sums, files to take along, saved views, and the way to a charge and back."""

import csv
import io
import re
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import openpyxl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.admin import large_tables
from billing.admin.charges import all_list
from billing.background import jobs
from billing.files import exports
from billing.models import AuditEvent, Charge, Job, SavedView
from tests import build

pytestmark = pytest.mark.django_db

LIST = reverse("admin:billing_charge_changelist")
EXPORT = reverse("admin:billing_charge_export")


def text_of(html: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def sums_of(page) -> str:
    found = re.search(r'<p class="sub"[^>]*>(.*?)( <span class="related">|</p>)', page.content.decode(), re.DOTALL)
    assert found
    return text_of(found[1]).replace(" ,", ",")


def numbers_of(page) -> list[int]:
    return sorted(charge.pk for charge in page.context["cl"].result_list)


@pytest.fixture
def month():
    """Four charges of January and one of February, each unlike the others."""
    return {
        "disk": build.a_charge(
            "100.00",
            list_cost=Decimal(130),
            contracted_cost=Decimal(120),
            service_name="Disk",
            charge_category="Usage",
            fund_org="DISK-9",
            tags='{"pi": "=HYPERLINK(1)"}',
        ),
        "vm": build.a_charge("40.00", pi="mallory@u.edu", project="other", service_name="VM", charge_category="usage"),
        "tax": build.a_charge("7.50", source="azure", charge_category="Tax", service_name="Disk"),
        "held": build.a_charge("12.00", flags=("pattern_match",), resource_name="=1+1", resource_id="vm-blue"),
        "february": build.a_charge("5.00", period="2025-02"),
    }


# Filters --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found", "chip"),
    [
        ({"period": "2025-02"}, {"february"}, "Billing period: February 2025"),
        ({"pi": "mallory@u.edu"}, {"vm"}, "PI: Mallory"),
        ({"pi": "mallory"}, {"vm"}, "PI: Mallory"),
        ({"pi": "nobody@u.edu"}, set(), "PI: nobody@u.edu (no PI has this address or name)"),
        ({"project": "OTHER"}, {"vm"}, "Project: other"),
        ({"fund": "DISK-9"}, {"disk"}, "Fund/org: DISK-9"),
        ({"service": "VM"}, {"vm"}, "Service: VM"),
        ({"category": "Usage", "service": "Disk"}, {"disk"}, "Category: Usage"),
        ({"category": "Tax"}, {"tax"}, "Category: Tax"),
        ({"state__exact": "held"}, {"held"}, "State: Held for review"),
        ({"amount_from": "7.50", "amount_to": "40"}, {"vm", "tax", "held"}, "Billed from: 7.50"),
        ({"amount_to": "7.50"}, {"tax", "february"}, "Billed up to: 7.50"),
        ({"amount_from": "a lot"}, set(), "Billed from: a lot (not an amount)"),
        ({"amount_from": "1e99"}, set(), "Billed from: 1e99 (not an amount)"),
        ({"reason": "pattern_match"}, {"held"}, "Reason: Matches a pattern"),
        ({"q": "vm-blue", "amount_from": "10"}, {"held"}, "Billed from: 10"),
        ({"q": "vm-blue", "amount_from": "13"}, set(), "Billed from: 13"),
    ],
    # Sets have no order of their own.
    ids=lambda value: ", ".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_each_filter_narrows_the_list_and_says_so_in_a_chip(client, cast, month, query, found, chip):
    client.force_login(cast.viewer)
    page = client.get(LIST, query)
    assert numbers_of(page) == sorted(month[name].pk for name in found)
    chips = {f"{each.title[0].upper()}{each.title[1:]}: {each.value}" for each in page.context["cl"].chips}
    assert chip in chips
    assert len(chips) == len(query) - ("q" in query)


def test_a_chip_is_removed_by_its_own_link_and_the_others_stay(client, cast, month):
    client.force_login(cast.viewer)
    page = client.get(LIST, {"period": "2025-01", "service": "Disk", "q": "disk"})
    (link,) = (each.remove_url for each in page.context["cl"].chips if each.title == "service")
    assert parse_qs(urlsplit(link).query) == {"period": ["2025-01"], "q": ["disk"]}
    assert 'aria-label="Remove the filter service"' in page.content.decode()


def test_the_form_of_all_filters_works_without_script_and_leaves_a_short_address(client, cast, month):
    client.force_login(cast.viewer)
    page = client.get(LIST, {"q": "disk", "p": "0"})
    form = page.context["filter_form"]
    # What a browser sends: every field, most of them empty, and the search that was there.
    sent = dict.fromkeys(form.fields, "") | {"service": "Disk", "amount_from": "50", "q": "disk"}
    assert page.context["kept"] == [("q", "disk")]
    answer = client.get(LIST, sent)
    assert answer.status_code == 302
    assert parse_qs(urlsplit(answer.url).query) == {"service": ["Disk"], "amount_from": ["50"], "q": ["disk"]}
    assert numbers_of(client.get(answer.url)) == [month["disk"].pk]


def test_a_link_from_a_project_has_its_chip_too(client, cast, month):
    client.force_login(cast.viewer)
    page = client.get(LIST, {"project__id__exact": month["vm"].project_id})
    (chip,) = page.context["cl"].chips
    assert (chip.title, chip.value, chip.remove_url) == ("project", str(month["vm"].project), "?")


def test_a_fund_finds_the_charges_that_it_pays_in_a_split(client, cast, month):
    shared = build.a_charge("9.00", payer_split=build.a_split({"DISK-9": "60", "CHEM-2": "40"}))
    client.force_login(cast.viewer)
    page = client.get(LIST, {"fund": "DISK-9"})
    assert numbers_of(page) == sorted([month["disk"].pk, shared.pk])
    assert sums_of(page).startswith("2 charges in force")


# Sums -----------------------------------------------------------------------------------------------------------------


def test_sums_of_what_is_filtered_add_up_in_sight(client, cast, month):
    client.force_login(cast.viewer)
    said = sums_of(client.get(LIST, {"period": "2025-01"}))
    assert said == (
        "4 charges in force: list 189.50 − discount 10.00 − subsidy 20.00 = charged 147.50 USD "
        "+ held or rejected 12.00 USD"
    )


def test_totals_and_charges_come_to_the_same(client, cast, month):
    """A filter that holds for all is added up from the charges: the same sums."""
    client.force_login(cast.viewer)
    known = sums_of(client.get(LIST, {"period": "2025-01"}))
    counted = sums_of(client.get(LIST, {"period": "2025-01", "amount_from": "0"}))
    assert counted == known


def test_what_is_withdrawn_is_listed_and_not_added_up(client, cast, month):
    Charge.objects.filter(pk=month["vm"].pk).update(withdrawn_in=build.an_import())
    client.force_login(cast.viewer)
    page = client.get(LIST, {"period": "2025-01", "amount_from": "0"})
    assert month["vm"].pk in numbers_of(page)
    assert sums_of(page).startswith("3 charges in force: list 149.50")


def test_a_list_of_many_is_added_up_no_further_than_its_newest(client, cast, month, monkeypatch):
    client.force_login(cast.viewer)
    known = sums_of(client.get(LIST, {"amount_from": "0"}))
    monkeypatch.setattr(all_list, "COUNTED", 2)
    monkeypatch.setattr(large_tables, "COUNTED", 2)
    page = client.get(LIST, {"amount_from": "0"})
    assert sums_of(page).startswith("The newest 2 of 2+ charges: list 17.00")
    # Whoever wants to know about all of them asks, for this look alone.
    page = client.get(LIST + page.context["cl"].all_sums_url)
    assert sums_of(page) == known
    assert page.context["cl"].chips == client.get(LIST, {"amount_from": "0"}).context["cl"].chips
    assert "sums=" not in page.content.decode()
    # The totals of months know all.
    assert sums_of(client.get(LIST, {"period": "2025-01"})).startswith("4 charges in force")


@pytest.mark.parametrize("query", [{"period": "2025-01"}, {"amount_from": "0", "q": "disk"}], ids=str)
def test_the_list_asks_as_much_of_twice_as_many_charges(client, cast, query):
    client.force_login(cast.viewer)
    asked = []
    for _ in range(2):
        for number in range(4):
            build.a_charge(
                "3.00", pi=f"pi{number}@u.edu", project=f"p{number}", resource_name="disk", flags=("unknown_pi",)
            )
        client.get(LIST, query)
        with CaptureQueriesContext(connection) as captured:
            client.get(LIST, query)
        asked.append(len(captured))
    assert asked[0] == asked[1]
    assert asked[0] < 25


# Files ----------------------------------------------------------------------------------------------------------------


def csv_of(answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))


def test_the_file_holds_exactly_what_is_filtered(client, cast, month):
    client.force_login(cast.viewer)
    answer = client.post(f"{EXPORT}?period=2025-01&service=Disk&q=disk", {"format": "csv"})
    rows = csv_of(answer)
    assert [int(row["charge"]) for row in rows] == [month["tax"].pk, month["disk"].pk]
    disk = rows[1]
    assert disk["pi"] == "ada@u.edu"
    assert [disk[name] for name in ("list_price", "provider_discount", "subsidy", "charged", "currency")] == [
        *("130.00", "10.00", "20.00", "100.00", "USD"),
    ]
    event = AuditEvent.objects.get(action="charges.exported")
    assert event.after == {"charges": 2, "format": "csv", "filters": "period=2025-01&q=disk&service=Disk"}
    assert event.actor_name == cast.viewer.username


def test_no_text_of_a_file_is_a_formula(client, cast, month):
    client.force_login(cast.viewer)
    held = csv_of(client.post(f"{EXPORT}?state__exact=held", {"format": "csv"}))
    assert held[0]["resource_name"] == "'=1+1"
    answer = client.post(f"{EXPORT}?state__exact=held", {"format": "xlsx"})
    book = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content)))
    heading, row = book["Charges"].iter_rows()
    cell = {name.value: value for name, value in zip(heading, row, strict=True)}
    assert (cell["resource_name"].value, cell["resource_name"].data_type) == ("=1+1", "s")
    assert cell["charged"].value == 12


def test_many_charges_are_written_by_the_worker_for_who_asked(client, cast, month, monkeypatch):
    """Whoever asks waits on the job's page and downloads the file. Nobody else can, and only for a day."""
    monkeypatch.setattr(jobs, "LARGE", 2)
    client.force_login(cast.viewer)
    answer = client.post(f"{EXPORT}?period=2025-01", {"format": "csv"})
    job = Job.objects.get(kind=Job.Kind.EXPORT)
    page = reverse("admin:billing_job_change", args=[job.pk])
    assert answer.url == page
    download = reverse("admin:billing_job_download", args=[job.pk])
    assert client.get(download).status_code == 404

    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.message) == (Job.State.DONE, "4 charges exported. The file is kept for 24 hours.")
    assert "Download the CSV file" in client.get(page).content.decode()
    assert [int(row["charge"]) for row in csv_of(client.get(download))] == sorted(
        (month[name].pk for name in ("disk", "vm", "tax", "held")), reverse=True
    )

    client.force_login(cast.admin)
    assert client.get(download).status_code == 404
    assert "Download the CSV file" not in client.get(page).content.decode()

    # Who may see charges no more has no file either.
    client.force_login(cast.viewer)
    cast.viewer.groups.clear()
    assert client.get(download).status_code in (302, 403, 404)


def test_a_file_is_kept_for_a_day(client, cast, month, monkeypatch):
    monkeypatch.setattr(jobs, "LARGE", 2)
    client.force_login(cast.viewer)
    client.post(f"{EXPORT}?period=2025-01", {"format": "xlsx"})
    job = Job.objects.get(kind=Job.Kind.EXPORT)
    jobs.run(job.pk)
    monkeypatch.setattr(exports, "EXPORTS_KEPT", -1)
    answer = client.get(reverse("admin:billing_job_download", args=[job.pk]), follow=True)
    assert "This file is no longer there" in answer.content.decode()
    assert "Download the Excel file" not in answer.content.decode()
    assert f"{LIST}?period=2025-01" in answer.content.decode()


# Saved views ----------------------------------------------------------------------------------------------------------


def save(client, query: str, **fields):
    return client.post(reverse("admin:billing_charge_save_view"), {"query": query, **fields}, follow=True)


def test_a_view_is_saved_followed_renamed_and_deleted(client, cast, month):
    client.force_login(cast.viewer)
    page = save(client, "period=2025-01&service=Disk&p=", name="Disks")
    assert "The view “Disks” is saved." in page.content.decode()
    view = SavedView.objects.get()
    # The month is no part of it: it opens in the one that is shown.
    assert (view.owner, view.query, view.is_shared) == (cast.viewer, "service=Disk", False)
    (shown,) = client.get(LIST, {"period": "2025-02"}).context["views"]
    assert parse_qs(shown.url[1:]) == {"period": ["2025-02"], "service": ["Disk"]}
    (current,) = client.get(LIST, {"service": "Disk", "period": "2025-01"}).context["views"]
    assert current.is_current

    save(client, "period=2025-01&service=Disk", name="All disks", view=view.pk)
    view.refresh_from_db()
    assert (view.name, view.query) == ("All disks", "service=Disk")
    client.post(reverse("admin:billing_charge_delete_view", args=[view.pk]), {"query": "service=Disk"})
    assert not SavedView.objects.exists()


def test_a_view_keeps_its_month_where_that_is_asked_for(client, cast, month):
    client.force_login(cast.viewer)
    save(client, "period=2025-01", name="January", keeps_month="on")
    (shown,) = client.get(LIST, {"period": "2025-02"}).context["views"]
    assert shown.url == "?period=2025-01"


def test_a_name_is_used_once_by_each(client, cast, month):
    client.force_login(cast.viewer)
    save(client, "service=Disk", name="Mine")
    page = save(client, "service=VM", name="Mine")
    assert "You have a view with this name." in page.content.decode()
    client.force_login(cast.reviewer)
    save(client, "service=VM", name="Mine")
    assert SavedView.objects.count() == 2


def test_who_may_shares_a_view_with_all_staff(client, cast, month):
    client.force_login(cast.viewer)
    save(client, "service=Disk", name="Of a viewer", is_shared="on")
    assert not SavedView.objects.get().is_shared
    client.force_login(cast.reviewer)
    assert client.get(LIST).context["views"] == []
    save(client, "service=VM", name="For all", is_shared="on")
    client.force_login(cast.viewer)
    views = {each.view.name: each for each in client.get(LIST).context["views"]}
    assert set(views) == {"Of a viewer", "For all"}
    shared = views["For all"].view.pk
    # A shared view is followed by all, and changed by those who may share.
    assert client.post(reverse("admin:billing_charge_delete_view", args=[shared])).status_code == 403
    client.force_login(cast.finance)
    own = views["Of a viewer"].view.pk
    assert client.post(reverse("admin:billing_charge_delete_view", args=[own])).status_code == 404
    assert client.post(reverse("admin:billing_charge_delete_view", args=[shared])).status_code == 302


# A charge -------------------------------------------------------------------------------------------------------------


def test_from_the_list_to_a_charge_to_the_next_and_back(client, cast, month):
    client.force_login(cast.reviewer)
    page = client.get(LIST, {"service": "Disk"}).content.decode()
    (link,) = re.findall(rf'href="(/admin/billing/charge/{month["tax"].pk}/change/\?[^"]+)"', page)
    record = client.get(link.replace("&amp;", "&"))
    assert f'href="{LIST}?service=Disk"' in record.content.decode()
    (url,) = (url for way, url in record.context["beside"] if way == "next")
    onward = client.get(url)
    assert onward.url.startswith(reverse("admin:billing_charge_change", args=[month["disk"].pk]))
    end = client.get(client.get(onward.url).context["beside"][1][1], follow=True)
    assert end.redirect_chain[-1][0] == f"{LIST}?service=Disk"
    assert "There is no next charge in this list." in end.content.decode()


def test_a_decision_made_on_the_way_leads_back_to_the_same_list(client, cast, month):
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_charge_change", args=[month["held"].pk])
    page = client.get(url, {"_changelist_filters": "state__exact=held"})
    (approve,) = (each["url"] for each in page.context["buttons"] if "/approve/" in each["url"])
    answer = client.post(approve, {"note": ""})
    assert "_changelist_filters=state__exact%3Dheld" in answer.url


def test_the_page_of_a_charge_leads_with_amount_state_and_next_step(client, cast, month):
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:billing_charge_change", args=[month["held"].pk])).content.decode()
    said = text_of(page)
    assert "It waits for a decision. Nobody is charged until it is approved. Next: Approve…" in said
    assert "The policy holds what looks like this." in said
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_charge_change", args=[month["disk"].pk])).content.decode()
    assert "list price 130.00 − provider discount 10.00 − subsidy 20.00 = charged 100.00 USD" in text_of(page)


def test_tags_are_a_table_that_says_what_each_was_used_for(client, cast):
    build.a_policy()
    charge = build.a_charge(tags='{"pi_email": "ada@u.edu", "color": "blue"}')
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_charge_change", args=[charge.pk]))
    assert page.context["tags"] == [("pi_email", "ada@u.edu", "PI email"), ("color", "blue", "")]


def test_the_money_of_a_charge_is_followed_to_statement_and_correction(client, cast):
    charge = build.a_charge("50.00", fund_org="BIO-001")
    correction = build.a_correction(charge)
    client.force_login(cast.viewer)
    url = reverse("admin:billing_charge_change", args=[charge.pk])
    page = client.get(url, {"tab": "money"})
    ((line, _),) = page.context["lines"]
    assert (line.charged, line.fund_org) == (Decimal("50.00"), "BIO-001")
    ((corrected, _),) = page.context["corrected"]
    assert corrected.correction == correction
    assert "It is on no statement or journal yet." in page.content.decode()


@pytest.mark.parametrize("tab", ["", "money", "delivered"])
def test_no_part_of_the_page_asks_for_more_than_it_shows(client, cast, month, tab):
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_charge_change", args=[month["disk"].pk])
    client.get(url, {"tab": tab} if tab else {})
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url, {"tab": tab} if tab else {}).status_code == 200
    assert len(captured) < 25, "\n".join(each["sql"][:300] for each in captured)
