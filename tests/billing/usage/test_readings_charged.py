"""Readings through to charges: daily files of storage, reports of licenses and allocations, by the commands."""

import json
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from billing.models import Charge, RateSchedule, UsageFile
from billing.usage import bringing
from tests import build
from tests.billing.usage.snapshots import written
from tests.billing.usage.test_kubernetes import an_allocation, answer, idle
from tests.billing.usage.test_licenses import a_report
from tests.build import NOW, a_pi, a_policy, a_project, a_source
from tests.stories.stage import command

pytestmark = pytest.mark.django_db

TB = 10**12


def a_feed(folder, kind, settings, *, measure, unit, price, **fields):
    """Make a feed whose schedule has one rate, and a project `genomics` that it may be charged to."""
    a_policy()
    a_project(pi=a_pi(), default_fund_org="BIO-001")
    a_source("storage", kind="internal", import_mode="snapshot")
    rate = {"code": "one", "service": "Service", "unit": unit, "tiers": [{"price": price}], **fields}
    rate["counts"] = [{"measure": measure, "unit": unit}]
    RateSchedule.objects.create(
        name="plain", version=1, state="released", valid_from="2026-01-01", content={"rates": [rate]}, created_at=NOW
    )
    path = written(folder, settings, "settings.json")
    command(
        *("feeds", "add", "feed", "-s", "storage", "--kind", kind, "--schedule", "plain"),
        *("--time-zone", "America/New_York", "--reader-settings", str(path)),
    )


def quotas(folder, day, *paths):
    """Write a day's file of Qumulo: paths with what each uses and its limit, in TB."""
    rows = [
        {"id": "1", "path": path, "capacity_usage": str(int(used * TB)), "limit": str(int(limit * TB))}
        for path, used, limit in paths
    ]
    return str(written(folder, {"quotas": rows}, f"quotas-{day}.json"))


def days_of(month, first=1, last=31):
    return [f"2026-{month:02}-{day:02}" for day in range(first, last + 1)]


def charged(month):
    charges = Charge.objects.live().filter(charged_in__month=f"{month}-01")
    return sum((charge.billed_cost for charge in charges), Decimal(0))


def test_a_quota_that_grows_in_the_middle_of_november_is_charged_by_its_days(tmp_path):
    """10 TB for 15 days, then 20 TB for 15 days, at 2.50 for a TB-month: 15 × 2.50."""
    settings = {"charge": "quota", "account": "name", "system": "nas1"}
    a_feed(tmp_path, "storage", settings, measure="charged_byte_days", unit="TB-month", price="2.50")
    first = [quotas(tmp_path, day, ("/labs/genomics/", 4, 10)) for day in days_of(11, 1, 15)]
    second = [quotas(tmp_path, day, ("/labs/genomics/", 5, 20)) for day in days_of(11, 16, 30)]
    result = command("usage", *first, *second, "-f", "feed")
    (month,) = result["months"]
    assert month["period"] == "2026-11"
    assert month["units"][0]["delivered"] == month["units"][0]["charged"] == "15"
    (charge,) = Charge.objects.live()
    assert (charge.billed_cost, charge.state) == (Decimal("37.50"), "clear")
    assert charge.pi.email == "ada@u.edu"


def test_files_of_a_month_in_any_order_and_in_parts_give_the_same_charges(tmp_path):
    settings = {"account": "name"}
    a_feed(tmp_path, "storage", settings, measure="used_byte_days", unit="TB-day", price="1")
    paths = [quotas(tmp_path, day, ("/genomics", 2, 0)) for day in days_of(1)]
    command("usage", *paths[20:], "-f", "feed")
    command("usage", *paths[:10], "-f", "feed")
    # The days between them are bridged for now, and then read.
    assert charged("2026-01") == 62
    result = command("usage", *paths[10:20], "-f", "feed")
    assert charged("2026-01") == 62
    assert (result["months"][0]["import"]["unchanged"], result["months"][0]["import"]["changed"]) == (1, 0)


def test_the_same_content_of_another_day_is_another_reading(tmp_path):
    a_feed(tmp_path, "storage", {"account": "name"}, measure="used_byte_days", unit="TB-day", price="1")
    one, other = (quotas(tmp_path, day, ("/genomics", 2, 0)) for day in ("2026-01-05", "2026-01-06"))
    again = str(written(tmp_path, (tmp_path / "quotas-2026-01-06.json").read_text(), "copy of 2026-01-06.json"))
    # Three files of one content, of two days.
    assert len(command("usage", one, other, again, "-f", "feed")["files"]) == 2
    assert charged("2026-01") == 4
    found = command("usage", again, one, "-f", "feed")
    numbers = {file.first.day: file.pk for file in UsageFile.objects.all()}
    assert [file["already_read"] for file in found["files"]] == [numbers[6], numbers[5]]
    assert UsageFile.objects.count() == 2
    with pytest.raises(IntegrityError), transaction.atomic():
        UsageFile.objects.update(original_sha256="0" * 64, first=NOW)


def test_a_gap_over_the_end_of_a_month_is_charged_once_the_next_month_is_read(tmp_path):
    a_feed(tmp_path, "storage", {"account": "name"}, measure="used_byte_days", unit="TB-day", price="1")
    command("usage", *[quotas(tmp_path, day, ("/genomics", 2, 0)) for day in days_of(1, 1, 29)], "-f", "feed")
    assert charged("2026-01") == 58
    found = command("usage", quotas(tmp_path, "2026-02-02", ("/genomics", 3, 0)), "-f", "feed")
    assert [each["period"] for each in found["months"]] == ["2026-01", "2026-02"]
    assert (charged("2026-01"), charged("2026-02")) == (62, 2 + 3)
    # A later reading changes nothing of January, and one that is withdrawn takes the bridge away.
    found = command("usage", quotas(tmp_path, "2026-02-03", ("/genomics", 3, 0)), "-f", "feed")
    assert [each["period"] for each in found["months"]] == ["2026-02"]


def test_a_bridge_goes_with_the_reading_that_it_led_to(tmp_path):
    a_feed(tmp_path, "storage", {"account": "name"}, measure="used_byte_days", unit="TB-day", price="1")
    command("usage", *[quotas(tmp_path, day, ("/genomics", 2, 0)) for day in days_of(1, 1, 29)], "-f", "feed")
    command("usage", quotas(tmp_path, "2026-02-02", ("/genomics", 3, 0)), "-f", "feed")
    latest = UsageFile.objects.latest("first")
    bringing.withdraw(file=latest, reason="Read twice.", actor=build.SOMEBODY, now=NOW)
    assert (charged("2026-01"), charged("2026-02")) == (58, 0)


def test_what_is_free_by_the_day_is_free_on_each_day(tmp_path):
    """Princeton CS: each day the larger of quota and use of a PI's spaces, less a base subsidy: here 2 TB a day."""
    settings = {"account": "name", "charge": "larger", "method": "daily"}
    rate = {"free": "2", "span": "day"}
    a_feed(tmp_path, "storage", settings, measure="charged_byte_days", unit="TB-day", price="0.30", **rate)
    days = [quotas(tmp_path, day, ("/genomics", 0.5, 1)) for day in days_of(6, 1, 20)]
    days += [quotas(tmp_path, day, ("/genomics", 5, 1)) for day in days_of(6, 21, 30)]
    units = command("usage", *days, "-f", "feed")["months"][0]["units"][0]
    assert (units["records"], units["delivered"], units["charged"]) == (30, "70", "30")
    assert charged("2026-06") == 9
    assert Charge.objects.live().count() == 30


def test_seats_are_charged_by_the_hour(tmp_path):
    settings = {"tags": {"project_id": "user"}}
    a_feed(tmp_path, "licenses", settings, measure="seat_seconds", unit="seat-hour", price="0.40")
    reports = [a_report(f"11/5/2026 10:{minute:02}", [("genomics", 3)]) for minute in (0, 15, 30)]
    result = command("usage", str(written(tmp_path, "".join(reports), "lmstat.txt")), "-f", "feed")
    units = result["months"][0]["units"][0]
    assert (units["delivered"], units["difference"]) == ("1.5", "0")
    assert charged("2026-11") == Decimal("0.60")


def test_the_costs_of_a_cluster_are_charged_as_opencost_has_them(tmp_path):
    a_feed(tmp_path, "kubernetes", {"detail": "namespace"}, measure="cost_pico", unit="USD", price="1")
    path = written(tmp_path, answer([an_allocation("genomics", cost=1.25), idle(4.0)]), "allocation.json")
    result = command("usage", str(path), "-f", "feed")
    units = result["months"][0]["units"][0]
    assert (units["delivered"], units["charged"], units["free"]) == ("5.25", "1.25", {"idle": "4"})
    assert charged("2026-01") == Decimal("1.25")


def test_a_file_that_is_wrong_is_refused_as_a_whole(tmp_path):
    a_feed(tmp_path, "storage", {"account": "name"}, measure="used_byte_days", unit="TB-day", price="1")
    path = written(tmp_path, json.dumps({"quotas": [{"path": "/a", "limit": "0", "capacity_usage": "-1"}]}))
    with pytest.raises(Exception, match="is negative"):
        command("usage", str(path), "-f", "feed")
    assert not Charge.objects.exists()
