"""Carrying what is held over a fiscal year-end, or past an award's end, takes a reason. In every door."""

import datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing.errors import ReasonMissing
from billing.models import AuditEvent, BillingPeriod, Charge
from billing.months import closing, crossing
from tests import build

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}
YEAR_END = "June 2025 is in FY2025, and July 2025, which would charge it, is in FY2026."


def held_in(month: str, fund_org: str = "BIO-001", **fields: Any) -> BillingPeriod:
    build.a_policy()
    build.a_charge("12.50", flags=("pattern_match",), period=month, fund_org=fund_org, **fields)
    return build.a_period(month)


def needed(month: str) -> list[str]:
    period = build.a_period(month)
    return crossing.reason_needed(period, crossing.month_after(period))


def months_charged() -> list[str]:
    return [each.charged_in.iso_month for each in Charge.objects.select_related("charged_in")]


def test_an_ordinary_month_end_needs_none():
    period = held_in("2025-01")
    assert needed("2025-01") == []
    assert closing.carry_over(period=period, **BY).into.iso_month == "2025-02"


def test_a_fiscal_year_end_needs_one_that_is_kept():
    period = held_in("2025-06")
    with pytest.raises(ReasonMissing, match=YEAR_END):
        closing.carry_over(period=period, reason="  ", **BY)
    assert months_charged() == ["2025-06"]
    # Nothing half done: the month after was not opened either.
    assert not BillingPeriod.objects.filter(month=datetime.date(2025, 7, 1)).exists()
    closing.carry_over(period=period, reason="The provider disputes it", **BY)
    assert months_charged() == ["2025-07"]
    notes = AuditEvent.objects.filter(action__endswith="carried_over").values_list("note", flat=True)
    assert set(notes) == {"The provider disputes it"}


def test_the_fiscal_year_is_the_policys():
    held_in("2025-06")
    build.a_policy(fiscal_year_start=1)
    assert needed("2025-06") == []
    held_in("2025-12")
    build.a_policy(fiscal_year_start=1)
    assert len(needed("2025-12")) == 1


@pytest.mark.parametrize(
    ("dates", "told"),
    [
        ({"valid_until": "2025-01-31"}, "NSF-3 is a sponsored award that is valid until Jan 31, 2025."),
        (
            {"valid_until": "2024-12-31", "last_posting_date": "2025-02-15"},
            "NSF-3 is a sponsored award that takes postings until Feb 15, 2025.",
        ),
        # It takes postings until the month that would charge it is over; or was over before the month began.
        ({"valid_until": "2025-01-31", "last_posting_date": "2025-02-28"}, ""),
        ({"valid_until": "2024-12-31"}, ""),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("is_split", [False, True])
def test_an_awards_end_needs_one(dates, told, is_split):
    days = {name: datetime.date.fromisoformat(day) for name, day in dates.items()}
    build.a_fund("NSF-3", is_sponsored=True, **days)
    build.a_fund("BIO-001", valid_until=datetime.date(2025, 1, 31))
    split = build.a_split({"NSF-3": "60", "BIO-001": "40"}) if is_split else None
    held_in("2025-01", "" if is_split else "NSF-3", payer_split=split)
    assert needed("2025-01") == ([told] if told else [])


def test_an_award_of_what_is_not_carried_counts_for_nothing():
    build.a_fund("NSF-3", is_sponsored=True, valid_until=datetime.date(2025, 1, 31))
    held_in("2025-01")
    build.a_charge("5.00", fund_org="NSF-3")
    assert needed("2025-01") == []


# Doors ----------------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("periods", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_asks():
    held_in("2025-06")
    with pytest.raises(CommandError, match=YEAR_END):
        command("carry", "2025-06")
    command("carry", "2025-06", "--reason", "Disputed")
    assert months_charged() == ["2025-07"]


def test_closing_that_carries_asks_and_its_notes_are_the_reason():
    period = held_in("2025-06")
    with pytest.raises(CommandError, match=YEAR_END):
        command("close", "2025-06", "--carry-held")
    period.refresh_from_db()
    assert (period.status, months_charged()) == ("open", ["2025-06"])
    command("close", "2025-06", "--carry-held", "--notes", "Disputed")
    assert AuditEvent.objects.get(action="period.carried_over").note == "Disputed"


def test_the_page_asks_for_it_and_says_why(cast, client):
    held_in("2025-06")
    client.force_login(cast.finance)
    url = reverse("admin:billing_billingperiod_carry", args=[build.a_period("2025-06").pk])
    assert YEAR_END in client.get(url).content.decode()
    assert "This field is required" in client.post(url, {"reason": ""}).content.decode()
    assert months_charged() == ["2025-06"]
    client.post(url, {"reason": "Disputed"})
    assert months_charged() == ["2025-07"]


def test_the_page_asks_for_none_at_an_ordinary_month_end(cast, client):
    held_in("2025-01")
    client.force_login(cast.finance)
    url = reverse("admin:billing_billingperiod_carry", args=[build.a_period("2025-01").pk])
    client.post(url, {})
    assert months_charged() == ["2025-02"]
