"""manage.py rates: schedules listed, shown, taken to a spreadsheet and back, put in force and retired."""

import json
from dataclasses import replace
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from billing.models import AuditEvent, RateSchedule
from billing.usage import rate_schedules
from billing.usage.pricing.terms import Tier

from .schedules import CPU, HOME, a_schedule, a_version
from .test_rate_versions import a_feed, priced

pytestmark = pytest.mark.django_db


def rates(*arguments):
    out = StringIO()
    call_command("rates", *arguments, stdout=out)
    return out.getvalue()


def a_file(tmp_path, schedule, name="rates.csv"):
    path = tmp_path / name
    with path.open("wb") as file:
        rate_schedules.write(schedule, file, path.suffix[1:])
    return str(path)


CHEAPER = replace(CPU, tiers=(Tier(Decimal("0.01")),))


def test_schedules_are_listed_with_their_feeds():
    assert "There is no rate schedule yet" in rates("list")
    a_version(note="By the board")
    a_version(released=False, month="2025-07")
    a_feed()
    assert [line.split() for line in rates("list").splitlines()[2:]] == [
        ["hpc", "2", "Draft", "2025-07", "2", "tiger"],
        ["hpc", "1", "In", "force", "2025-01", "2", "tiger", "By", "the", "board"],
    ]
    (draft, first) = json.loads(rates("list", "--json"))["schedules"]
    assert (draft["state"], first["state"], first["rates"], first["feeds"]) == ("draft", "released", 2, ["tiger"])


def test_a_version_is_shown_as_people_read_it():
    a_version()
    a_version(CHEAPER, HOME, month="2025-07")
    said = rates("show", "hpc", "2")
    assert said.splitlines()[0] == "hpc v2: in force, from July 2025 on. Prices are in USD."
    for line in (
        "cpu: HPC compute",
        "  0.01 per core-hour",
        "  external: 0.05 per core-hour",
        "  counts core-hour of core_seconds",
        "  where partition: cpu*, long",
        "  The first 1,000 core-hours are free for each PI and fiscal year.",
        "Class external (external): 150% of the list price, and 26.5% indirect cost",
        "Since hpc v1: 1 rate changed.",
    ):
        assert line in said.splitlines(), line
    assert rates("show", "hpc", "-p", "2025-06").startswith("hpc v1: in force")
    assert rates("show", "hpc").startswith("hpc v2")
    data = json.loads(rates("show", "hpc", "--json"))
    assert (data["compared_with"], data["changes"][0]["name"]) == (1, "cpu")
    assert data["content"]["rates"][1]["code"] == "home"


@pytest.mark.parametrize("form", rate_schedules.FORMATS)
def test_a_version_goes_to_a_file_and_comes_back_as_a_draft_of_nothing_new(tmp_path, form):
    a_version()
    path = str(tmp_path / f"hpc.{form}")
    assert rates("export", "hpc", "-o", path) == f"hpc v1 is in {path}.\n"
    said = rates("import", path, "--name", "hpc", "--from", "2025-07")
    assert said == (
        "hpc v2 is drafted, from July 2025 on: nothing differs since hpc v1.\nNext: `manage.py rates release hpc 2`.\n"
    )


def test_an_import_is_seen_before_it_is_stored_and_can_be_put_in_force_at_once(tmp_path):
    a_version()
    path = a_file(tmp_path, a_schedule(CHEAPER, HOME))
    arguments = ("import", path, "--name", "hpc", "--from", "2025-07", "--note", "Cheaper nodes")
    said = rates(*arguments, "--release", "--dry-run")
    assert "hpc v2 would be drafted, from July 2025 on: 1 rate changed since hpc v1." in said
    assert "Rate cpu changed: price: up to 50,000" in said
    assert RateSchedule.objects.count() == 1
    data = json.loads(rates(*arguments, "--release", "--json"))
    assert (data["version"], data["state"], data["replaces"], data["dry_run"]) == (2, "released", 1, False)
    assert [event.action for event in AuditEvent.objects.order_by("-pk")[:2]] == [
        "rate_schedule.released",
        "rate_schedule.drafted",
    ]


def test_an_import_that_cannot_be_put_in_force_stores_nothing(tmp_path):
    priced(a_version(), status="closed")
    path = a_file(tmp_path, a_schedule(CHEAPER))
    for extra in ((), ("--dry-run",)):
        with pytest.raises(CommandError, match="January 2025 of tiger by hpc v1") as refused:
            rates("import", path, "--name", "hpc", "--from", "2025-01", "--release", *extra)
        assert refused.value.returncode == 1
    assert RateSchedule.objects.count() == 1


def test_what_is_put_in_force_says_which_months_to_price_again():
    priced(a_version())
    a_version(CHEAPER, released=False)
    said = rates("release", "hpc", "v2")
    assert said.splitlines() == [
        "hpc v2 is in force from January 2025 on. It takes the place of hpc v1.",
        "Another version priced January 2025 of tiger. Next: `manage.py usage -f tiger -p 2025-01`.",
    ]


def test_drafts_are_discarded_and_versions_retired():
    a_version()
    a_version(released=False)
    assert rates("discard", "hpc", "2") == "The draft hpc v2 is discarded.\n"
    assert rates("retire", "hpc", "1", "--reason", "Wrong") == "hpc v1 is retired, and prices no month.\n"
    with pytest.raises(CommandError, match="hpc v1 is retired"):
        rates("release", "hpc", "1")


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("show", "gpu"), "There is no rate schedule “gpu”. These exist: hpc.", 1),
        (("show", "hpc", "9"), "has no version 9. It has: 1.", 1),
        (("show", "hpc", "-p", "2024-12"), "Its first version starts in January 2025.", 1),
        (("show", "hpc", "-p", "May"), "“May” is not a billing period", 2),
        (("show", "hpc", "1", "-p", "2025-01"), "Name a version or a month, not both.", 2),
        (("export", "hpc", "-o", "rates.ods"), "ends in none of .csv, .xlsx, .json", 2),
        (("import", "nowhere.csv", "--name", "hpc", "--from", "2025-07"), "nowhere.csv cannot be read", 1),
        (("import", "nowhere.csv", "--name", "hpc", "--from", "July"), "not a billing period", 2),
    ],
)
def test_what_cannot_be_done_is_told(tmp_path, monkeypatch, arguments, says, code):
    monkeypatch.chdir(tmp_path)
    a_version()
    with pytest.raises(CommandError, match=says) as refused:
        rates(*arguments)
    assert refused.value.returncode == code


def test_a_file_with_mistakes_is_refused_by_line(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("Rate,Service,Counts,Unit,Price\ncpu,HPC,cores,core-hour,0.02\n")
    with pytest.raises(CommandError, match="line 2, Counts: “cores” does not say what is counted"):
        rates("import", str(path), "--name", "hpc", "--from", "2025-07")
