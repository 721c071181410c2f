"""A statement with a year behind it, and the page of the logo: for PIs and staff, wide and on a phone."""

from decimal import Decimal

import pytest
from django.urls import reverse

from billing.models import Project
from billing.setup import logos
from statements import issuing
from statements.models import Statement
from tests import build
from tests.statements.documents import a_png

from .pages import devices, session
from .test_accessible import faults, told

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

BY = {"actor": build.SOMEBODY, "now": build.NOW}


@pytest.fixture
def statement():
    """One of twelve months, with notices, and a character that no font has."""
    build.a_policy(statement_notices="Rates of the cluster change on July 1. See https://example.edu/rates.")
    for number in range(12):
        month = f"2024-{number + 2:02}" if number < 11 else "2025-01"
        if number == 4:
            continue
        amount = Decimal("12345.67") * (number + 1) / 12
        build.a_charge(str(amount.quantize(Decimal("0.01"))), period=month, list_cost=Decimal("19999.99"))
        issuing.generate(period=build.a_period(month), **BY)
    # It ends in 20 days, when a refund makes a revision.
    Project.objects.update(name="🐳 watch", end_date=build.NOW.date().replace(day=20))
    build.a_charge("-2500.00", period="2025-01", charge_category="Credit")
    issuing.generate(period=build.a_period(), **BY)
    return Statement.objects.live().get(period__month="2025-01-01")


def test_everybody_can_read_a_year_on_a_statement(browser, live_server, cast, statement):
    pages = {
        cast.pi: reverse("portal:statement", args=[statement.number]),
        cast.finance: reverse("admin:statements_statement_change", args=[statement.pk]),
    }
    with devices(browser):
        for user, url in pages.items():
            session(browser, live_server, user)
            found = faults(browser, live_server, [url])
            assert not found, told(found)
            text = browser.find_element("tag name", "body").text
            assert "The last 12 months" in text
            assert "Rates of the cluster change" in text
            assert ("[spouting whale]" in text) == (user == cast.finance)


def test_everybody_can_set_a_logo(browser, live_server, cast):
    build.a_policy()
    url = reverse("admin:billing_policy_logo")
    with devices(browser):
        session(browser, live_server, cast.finance)
        assert not (found := faults(browser, live_server, [url])), told(found)
        logos.set_logo(data=a_png(), **BY)
        assert not (found := faults(browser, live_server, [url])), told(found)
        picture = browser.find_element("css selector", ".logo-shown")
        assert picture.get_property("naturalWidth") == 300
        assert picture.accessible_name == "Logo of Example University"
