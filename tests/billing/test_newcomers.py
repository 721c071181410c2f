"""PIs whom nobody knows yet: who they are, and what confirming one of them releases."""

import datetime
import json
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from billing.attribution import newcomers
from billing.models import Charge, Flag, Policy
from billing.months import closing
from billing.review import reattribution
from tests import build
from tests.billing.deliveries import a_row, delivered
from tests.build import a_pi, a_policy

pytestmark = pytest.mark.django_db


def test_where_neither_domains_nor_a_list_are_set_everybody_is_known():
    a_policy()
    stranger = a_pi("stranger@gmail.com")
    assert newcomers.unconfirmed([stranger]) == set()
    assert newcomers.known().knows("typo@gmial.com")


@pytest.mark.parametrize("email", ["ada@u.edu", "ada@bio.u.edu"])
def test_a_pi_of_an_own_domain_or_its_sub_domains_is_known(email):
    a_policy(own_domains=["u.edu"])
    assert newcomers.unconfirmed([a_pi(email)]) == set()
    assert newcomers.known().knows(email)


@pytest.mark.parametrize("email", ["ada@gmail.com", "ada@notu.edu", "ada@u.edu.evil.com", "u.edu@evil.com"])
def test_a_pi_of_another_domain_is_a_stranger(email):
    a_policy(own_domains=["u.edu"])
    person = a_pi(email)
    assert newcomers.unconfirmed([person]) == newcomers.unconfirmed([person.pk]) == {person.pk}
    assert not newcomers.known().knows(email)


def test_where_only_a_list_is_loaded_everybody_else_is_a_stranger():
    listed, other = a_pi("ada@u.edu", is_listed=True), a_pi("bob@u.edu")
    assert newcomers.unconfirmed([listed, other]) == {other.pk}


def test_whom_somebody_confirmed_is_known():
    a_policy(own_domains=["u.edu"])
    person = a_pi("ada@lab.org", confirmed_at=build.NOW, confirmed_by_name="rex")
    assert newcomers.unconfirmed([person]) == set()
    assert newcomers.known().knows("ada@lab.org")


@pytest.mark.parametrize("domain", ["U.EDU", "@u.edu", "edu", "u..edu", "-u.edu", "u.edu/x", ""])
def test_a_policy_refuses_what_is_no_domain(domain):
    with pytest.raises(ValidationError, match="not the domain of an e-mail address"):
        Policy(own_domains=[domain]).full_clean()


# What an import says of them


def tagged(email, billed="5", fund="BIO-001", **columns):
    tags = json.dumps({"pi_email": email, "project_id": "genomics", "fund_org": fund})
    return a_row(billed, Tags=tags, **columns)


def new_pis(result):
    return [(each.email, each.charges, dict(each.billed), each.is_known) for each in result.new_pis]


THREE_ROWS = (("ada@u.edu", "5"), ("stranger@gmail.com", "7.25"), ("stranger@gmail.com", "700"))


def rows_of(*told):
    return [tagged(email, billed, ResourceId=f"i-{number}") for number, (email, billed) in enumerate(told)]


@pytest.mark.parametrize("grain", ["line", "day"])
def test_an_import_says_whom_it_names_for_the_first_time_with_their_money(tmp_path, grain):
    build.a_source("aws", grain=grain)
    a_policy(own_domains=["u.edu"])
    dry = delivered(tmp_path, rows_of(*THREE_ROWS), "aws_2025-01.csv", dry_run=True)
    found = [
        ("stranger@gmail.com", 2, {"USD": Decimal("707.25")}, False),
        ("ada@u.edu", 1, {"USD": Decimal(5)}, True),
    ]
    assert new_pis(dry) == found
    result = delivered(tmp_path, rows_of(*THREE_ROWS), "aws_2025-01.csv")
    assert new_pis(result) == found
    text = result.as_text()
    assert "PIs named for the first time: 2" in text
    assert "stranger@gmail.com (not confirmed): 2 charges, 707.25 USD" in text
    assert [step.name for step in result.next_steps] == ["review", "confirm_pis"]
    assert result.as_data()["new_pis"][0] == {
        "pi": "stranger@gmail.com",
        "charges": 2,
        "billed": {"USD": "707.25"},
        "known": False,
    }
    assert result.imported.new_pis == result.as_data()["new_pis"]
    assert result.flags == {"unknown_pi": 2}
    assert Charge.objects.held().count() == 2
    again = delivered(tmp_path, rows_of(*THREE_ROWS, ("bob@u.edu", "1")), "aws_2025-01.csv")
    assert new_pis(again) == [("bob@u.edu", 1, {"USD": Decimal(1)}, True)]


def test_where_nobody_checks_nothing_is_held_but_it_is_said(tmp_path):
    result = delivered(tmp_path, rows_of(*THREE_ROWS), "aws_2025-01.csv")
    assert not Charge.objects.held().exists()
    assert "These addresses are not checked" in result.as_text()
    assert [step.name for step in result.next_steps] == ["own_domains"]


def test_a_fund_of_their_own_on_the_list_answers_for_a_pi_nobody_knows_and_a_default_does_not(tmp_path):
    a_policy(own_domains=["u.edu"])
    build.a_source("aws", overflow_fund_org="RC-999")
    for fund in ("BIO-001", "RC-999"):
        build.a_fund(fund)
    rows = [tagged("one@gmail.com", ResourceId="i-1"), tagged("two@gmail.com", fund="", ResourceId="i-2")]
    delivered(tmp_path, rows, "aws_2025-01.csv")
    assert [charge.pi.email for charge in Charge.objects.held()] == ["two@gmail.com"]
    assert list(Flag.objects.values_list("code", "detail")) == [("unknown_pi", "two@gmail.com")]


def test_reapplying_holds_and_clears_by_what_is_known_today(tmp_path):
    delivered(tmp_path, rows_of(*THREE_ROWS), "aws_2025-01.csv")
    a_policy(own_domains=["u.edu"])
    by = {"period": build.a_period("2025-01"), "actor": build.SOMEBODY, "now": build.NOW}
    assert reattribution.reapply(**by).held == 2
    Policy.objects.all().delete()
    assert reattribution.reapply(**by).cleared == 2


def test_a_carried_charge_is_held_for_a_fund_that_takes_no_posting_of_its_new_month(tmp_path):
    build.a_fund("BIO-001", last_posting_date=datetime.date(2025, 2, 10))
    charge = build.a_charge(flags=("pattern_match",))
    closing.carry_over(period=charge.charged_in, actor=build.SOMEBODY, now=build.NOW)
    codes = Flag.objects.filter(charge=charge, is_resolved=False).values_list("code", flat=True)
    assert sorted(codes) == ["fund_closed", "pattern_match"]


def test_a_first_import_is_held_for_a_fund_past_its_last_posting_date(tmp_path):
    build.a_fund("BIO-001", last_posting_date=datetime.date(2025, 1, 30))
    result = delivered(tmp_path, rows_of(("ada@u.edu", "5")), "aws_2025-01.csv")
    assert result.flags == {"fund_closed": 1}
    assert Flag.objects.get().detail == "BIO-001 takes no postings after Jan 30, 2025"


def test_the_share_of_a_split_on_an_award_that_ended_is_held(tmp_path):
    build.a_fund("BIO-001")
    build.a_fund("FED-1", valid_until=datetime.date(2024, 10, 31))
    build.a_split({"BIO-001": "60", "FED-1": "40"}, project=build.a_project("genomics"))
    result = delivered(tmp_path, rows_of(("ada@u.edu", "5")), "aws_2025-01.csv")
    assert result.flags == {"fund_not_valid": 1}
