"""Versions of rate schedules: drafted, changed, put in force and retired, and never changed once they were in force."""

import datetime
from dataclasses import replace
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from billing import safeguards
from billing.errors import ReasonMissing, WrongState
from billing.models import AuditEvent, PricedMonth, RateSchedule, Source, UsageFeed
from billing.models.rates import VersionLocked
from billing.usage import rate_schedules
from billing.usage.pricing.schedules import ScheduleNotUnderstood
from billing.usage.pricing.terms import Tier
from tests import build

from .schedules import CPU, HOME, a_schedule, a_version

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}
MONTH = datetime.date(2025, 1, 1)
CHEAPER = replace(CPU, tiers=(Tier(Decimal("0.01")),))


def a_feed(name="tiger", schedule="hpc"):
    source = build.a_source(f"of-{name}", import_mode=Source.ImportMode.SNAPSHOT)
    feed, _ = UsageFeed.objects.get_or_create(
        name=name, defaults={"source": source, "kind": "slurm", "schedule": schedule}
    )
    return feed


def priced(schedule, month="2025-01", *, status="", feed=None, drawn=()):
    """Have a month of a feed priced by a version, and shut where a status is given."""
    period = build.shut(month, status) if status else build.a_period(month)
    return PricedMonth.objects.create(
        feed=feed or a_feed(), period=period, schedule=schedule, digest="x", drawn=list(drawn), priced_at=build.NOW
    )


def events():
    return list(AuditEvent.objects.order_by("pk").values_list("action", "object_label"))


# Drafts -----------------------------------------------------------------------------------------------


def test_a_first_version_is_drafted_from_rates_and_a_second_from_the_first():
    first = rate_schedules.draft(name="hpc", valid_from=MONTH, rates=a_schedule(), note=" By the board. ", **BY)
    assert (first.schedule.version, first.schedule.state, first.schedule.note) == (1, "draft", "By the board.")
    assert first.before is None
    assert [each.how for each in first.changes] == ["added", "added", "added"]
    second = rate_schedules.draft(name="hpc", valid_from=datetime.date(2025, 7, 1), **BY)
    assert (second.schedule.version, second.before, second.changes) == (2, first.schedule, ())
    assert rate_schedules.content_of(second.schedule).rates == (CPU, HOME)
    assert events() == [("rate_schedule.drafted", "hpc v1"), ("rate_schedule.drafted", "hpc v2")]


def test_a_version_is_compared_with_the_one_whose_months_it_takes_over():
    a_version()
    a_version(CHEAPER, month="2025-07")
    rates = a_schedule(CHEAPER)
    early = rate_schedules.draft(name="hpc", valid_from=datetime.date(2025, 3, 1), rates=rates, **BY)
    assert early.before.version == 1
    assert len(early.changes) == 2
    late = rate_schedules.draft(name="hpc", valid_from=datetime.date(2025, 9, 1), rates=rates, **BY)
    assert (late.before.version, late.changes) == (2, ())
    kept = AuditEvent.objects.earliest("pk").after
    assert kept["valid_from"] == "2025-01"
    assert kept["rate cpu"]["tiers"] == [{"price": "0.014", "up_to": "50000"}, {"price": "0.008"}]


def test_a_dry_run_says_what_differs_and_stores_nothing():
    a_version()
    done = rate_schedules.draft(name="hpc", valid_from=MONTH, rates=a_schedule(CHEAPER, HOME), is_dry_run=True, **BY)
    assert [each.name for each in done.changes] == ["cpu"]
    assert (done.is_dry_run, done.schedule.pk, RateSchedule.objects.count()) == (True, None, 1)


def test_a_new_schedule_needs_rates_a_name_and_the_first_of_a_month():
    with pytest.raises(rate_schedules.NoRates, match="no rate schedule “gpu” to take rates from. None exists yet"):
        rate_schedules.draft(name="gpu", valid_from=MONTH, **BY)
    with pytest.raises(ValidationError, match="lower-case letters"):
        rate_schedules.draft(name="GPU rates", valid_from=MONTH, rates=a_schedule(), **BY)
    with pytest.raises(ValidationError, match="year and month"):
        rate_schedules.draft(name="gpu", valid_from=datetime.date(2025, 1, 15), rates=a_schedule(), **BY)
    with pytest.raises(ScheduleNotUnderstood, match="2 rates have the code cpu"):
        rate_schedules.draft(name="gpu", valid_from=MONTH, rates=a_schedule(CPU, CPU), **BY)
    assert not RateSchedule.objects.exists()


def test_a_draft_is_changed_and_the_log_has_what_changed_alone():
    draft = a_version(released=False)
    changed = rate_schedules.change(
        schedule=draft, rates=a_schedule(CHEAPER, HOME), valid_from=datetime.date(2025, 2, 1), note="Cheaper", **BY
    )
    assert rate_schedules.content_of(changed.schedule).rates[0] == CHEAPER
    event = AuditEvent.objects.latest("pk")
    assert (event.action, set(event.after)) == ("rate_schedule.changed", {"rate cpu", "valid_from", "note"})
    assert (event.before["valid_from"], event.after["valid_from"]) == ("2025-01", "2025-02")
    rate_schedules.change(schedule=draft, note="Cheaper", **BY)
    assert AuditEvent.objects.latest("pk") == event


def test_two_who_change_a_draft_do_not_overwrite_each_other():
    draft = a_version(released=False)
    seen = rate_schedules.digest_of(draft)
    rate_schedules.change(schedule=draft, note="Mine", seen=seen, **BY)
    with pytest.raises(rate_schedules.DraftChanged, match="Somebody changed hpc v1 meanwhile"):
        rate_schedules.change(schedule=draft, note="Yours", seen=seen, **BY)


def test_a_draft_is_discarded_and_the_log_keeps_it():
    draft = a_version(released=False)
    rate_schedules.discard(schedule=draft, **BY)
    assert not RateSchedule.objects.exists()
    assert AuditEvent.objects.latest("pk").before["rate home"]["tiers"] == [{"price": "5"}]
    with pytest.raises(rate_schedules.NoSuchSchedule, match="somebody discarded it"):
        rate_schedules.change(schedule=draft, note="x", **BY)


# In force ---------------------------------------------------------------------------------------------


def test_a_version_takes_the_place_of_the_one_before_from_its_month_on():
    first = a_version()
    second = a_version(CHEAPER, HOME, month="2025-07", released=False)
    done = rate_schedules.release(schedule=second, **BY)
    assert (done.schedule.state, done.schedule.released_at, done.replaces) == ("released", build.NOW, first)
    assert rate_schedules.in_force("hpc", datetime.date(2025, 6, 1)) == first
    assert rate_schedules.in_force("hpc", datetime.date(2025, 7, 1)) == second
    assert AuditEvent.objects.latest("pk").action == "rate_schedule.released"


def test_which_version_prices_a_month_that_none_prices_is_told():
    with pytest.raises(rate_schedules.NoSuchSchedule, match="There is no rate schedule “hpc”. None exists yet."):
        rate_schedules.in_force("hpc", MONTH)
    a_version(released=False)
    with pytest.raises(rate_schedules.NoSuchSchedule, match="No version of it was put in force yet"):
        rate_schedules.in_force("hpc", MONTH)
    a_version(month="2025-03")
    with pytest.raises(rate_schedules.NoSuchSchedule, match="Its first version starts in March 2025"):
        rate_schedules.in_force("hpc", MONTH)
    with pytest.raises(rate_schedules.NoSuchSchedule, match="has no version 7. It has: 1, 2"):
        rate_schedules.named("hpc", 7)
    assert rate_schedules.named("HPC").version == 2


@pytest.mark.parametrize("status", ["closed", "finalized"])
def test_no_version_starts_before_a_closed_month_that_another_priced(status):
    first = a_version()
    priced(first, "2025-02", status=status)
    priced(first, "2025-01", status="closed")
    second = a_version(CHEAPER, month="2025-01", released=False)
    with pytest.raises(
        rate_schedules.CannotRelease,
        match=r"January 2025 of tiger by hpc v1; February 2025 of tiger by hpc v1. It can start in March 2025 or later",
    ):
        rate_schedules.release(schedule=second, **BY)
    assert RateSchedule.objects.get(version=2).state == "draft"
    changed = rate_schedules.change(schedule=second, valid_from=datetime.date(2025, 3, 1), **BY)
    assert rate_schedules.release(schedule=changed.schedule, **BY).replaces == first


def test_open_months_that_another_version_priced_are_to_be_priced_again():
    first = a_version()
    priced(first, "2025-01", status="closed")
    priced(first, "2025-02")
    priced(first, "2025-03")
    priced(a_version(CHEAPER, month="2025-03"), "2025-03")
    third = a_version(HOME, month="2025-02", released=False)
    done = rate_schedules.release(schedule=third, **BY)
    # March stays with the version that starts then.
    assert [(feed.name, str(period)) for feed, period in done.months] == [("tiger", "February 2025")]


def test_a_version_that_a_later_one_hides_is_not_put_in_force():
    draft = a_version(released=False)
    a_version()
    with pytest.raises(rate_schedules.CannotRelease, match="hpc v2 is in force from January 2025 on, and comes after"):
        rate_schedules.release(schedule=draft, **BY)


def test_a_version_is_retired_unless_a_closed_month_was_priced_by_it():
    first, second = a_version(), a_version(CHEAPER, month="2025-02")
    with pytest.raises(ReasonMissing):
        rate_schedules.retire(schedule=second, reason=" ", **BY)
    rate_schedules.retire(schedule=second, reason="Not approved", **BY)
    assert rate_schedules.in_force("hpc", datetime.date(2025, 3, 1)) == first
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.note) == ("rate_schedule.retired", "Not approved")
    with pytest.raises(WrongState, match="hpc v2 is retired"):
        rate_schedules.retire(schedule=second, reason="Again", **BY)
    priced(first, status="closed")
    with pytest.raises(rate_schedules.PricedClosedMonths, match="January 2025 of tiger was priced by hpc v1"):
        rate_schedules.retire(schedule=first, reason="Wrong", **BY)


@pytest.mark.parametrize("verb", ["change", "discard", "release"])
def test_a_version_that_was_in_force_does_not_change_by_verb(verb):
    version = a_version()
    with pytest.raises(WrongState, match="hpc v1 is in force, and does not change any more"):
        getattr(rate_schedules, verb)(schedule=version, **BY)


@pytest.mark.parametrize("state", ["released", "retired"])
def test_a_version_that_was_in_force_does_not_change_by_queryset_or_row(state):
    version = a_version()
    if state == "retired":
        version = rate_schedules.retire(schedule=version, reason="x", **BY)
    version.note = "other"
    for attempt in (
        version.save,
        version.delete,
        RateSchedule.objects.all().delete,
        lambda: RateSchedule.objects.update(content={}),
        lambda: RateSchedule.objects.bulk_create(
            [version], update_conflicts=True, unique_fields=["name", "version"], update_fields=["note"]
        ),
    ):
        with pytest.raises(VersionLocked, match="hpc v1 was put in force"):
            attempt()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_rateschedule SET content = '{}'",
        "UPDATE billing_rateschedule SET valid_from = '2024-01-01'",
        "UPDATE billing_rateschedule SET name = 'other'",
        "UPDATE billing_rateschedule SET state = 'draft'",
        "DELETE FROM billing_rateschedule",
    ],
)
def test_the_database_refuses_to_change_a_version_that_was_in_force(sql):
    a_version()
    with pytest.raises(IntegrityError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    assert safeguards.said(refused.value) == "A rate schedule that was put in force is locked."


def test_the_database_lets_drafts_change_and_versions_retire_once():
    draft = a_version(released=False)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE billing_rateschedule SET note = 'x', valid_from = '2025-03-01'")
    draft.refresh_from_db()
    rate_schedules.release(schedule=draft, **BY)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE billing_rateschedule SET state = 'retired'")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE billing_rateschedule SET state = 'released'")
