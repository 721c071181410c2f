"""A fiscal year is named for the year it ends in, has twelve months, and follows the policy's start."""

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from billing.fiscal_years import fiscal_year_of, label_of, months_of
from billing.models import Policy
from billing.setup import policies
from tests import build
from tests.build import a_policy

JULY = 7


@pytest.mark.parametrize(
    ("day", "start", "year"),
    [
        (datetime.date(2025, 6, 30), JULY, 2025),
        (datetime.date(2025, 7, 1), JULY, 2026),
        (datetime.date(2026, 6, 1), JULY, 2026),
        (datetime.date(2025, 12, 31), 1, 2025),
        (datetime.date(2025, 1, 1), 1, 2025),
        (datetime.date(2025, 9, 30), 10, 2025),
        (datetime.date(2025, 10, 1), 10, 2026),
        (datetime.date(2025, 12, 1), 12, 2026),
        (datetime.date(2025, 1, 31), 2, 2025),
        (datetime.date(2025, 2, 1), 2, 2026),
    ],
)
def test_a_fiscal_year_is_named_for_the_year_it_ends_in(day, start, year):
    assert fiscal_year_of(day, start=start) == year


@pytest.mark.parametrize("start", range(1, 13))
def test_a_fiscal_year_begins_in_its_start_and_has_twelve_months(start):
    first, last = months_of(2026, start=start)
    assert (first.month, first.day, last.day) == (start, 1, 1)
    # Named for the year of its last month.
    assert last.year == 2026
    numbers = [each.year * 12 + each.month for each in (first, last)]
    assert numbers[1] - numbers[0] == 11
    before, after = first - datetime.timedelta(days=1), last + datetime.timedelta(days=31)
    assert [fiscal_year_of(day, start=start) for day in (before, first, last, after)] == [2025, 2026, 2026, 2027]


def test_fiscal_years_that_start_in_january_are_calendar_years():
    assert months_of(2025, start=1) == (datetime.date(2025, 1, 1), datetime.date(2025, 12, 1))


@given(st.dates(min_value=datetime.date(2, 1, 1), max_value=datetime.date(9998, 12, 31)), st.integers(1, 12))
def test_every_day_is_in_the_months_of_its_fiscal_year(day, start):
    first, last = months_of(fiscal_year_of(day, start=start), start=start)
    assert first <= day.replace(day=1) <= last


def test_a_fiscal_year_is_written_as_people_write_it():
    assert label_of(2026) == "FY2026"


def test_the_policy_knows_its_fiscal_years():
    july = datetime.date(2025, 7, 1)
    # The built-in default starts in July.
    assert Policy().fiscal_year_of(july) == 2026
    policy = Policy(fiscal_year_start=10)
    assert policy.fiscal_year_of(july) == 2025
    assert policy.months_of_fiscal_year(2025) == (datetime.date(2024, 10, 1), datetime.date(2025, 9, 1))


@pytest.mark.django_db
def test_a_new_start_is_a_new_version_of_the_policy():
    earlier = a_policy(fiscal_year_start=7)
    later = policies.change_policy(changes={"fiscal_year_start": 9}, actor=build.SOMEBODY, now=build.NOW)
    earlier.refresh_from_db()
    assert (earlier.fiscal_year_start, later.fiscal_year_start) == (7, 9)


@pytest.mark.django_db
@pytest.mark.parametrize("start", [0, 13])
def test_a_start_that_is_no_month_is_refused(start):
    with pytest.raises(ValidationError, match="starts in a month from 1 to 12"):
        policies.change_policy(changes={"fiscal_year_start": start}, actor=build.SOMEBODY, now=build.NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        a_policy(fiscal_year_start=start)


@pytest.mark.django_db
def test_the_page_of_the_policy_says_which_months_the_fiscal_year_has(client, cast, monkeypatch):
    policy = a_policy(fiscal_year_start=10)
    monkeypatch.setattr("django.utils.timezone.localdate", lambda *_: datetime.date(2025, 10, 3))
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_policy_change", args=[policy.pk])).content.decode()
    assert "FY2026 is October 2025 to September 2026" in page
    client.force_login(cast.finance)
    form = client.get(reverse("admin:billing_policy_edit")).content.decode()
    assert '<option value="10" selected>October</option>' in form
    assert "named for the year it ends in" in form
