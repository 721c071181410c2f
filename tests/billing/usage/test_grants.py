"""Subsidies and allocations: what they may say, what was used of them, and what is left, on their screens."""

import datetime
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from billing.models import Allocation, AuditEvent, UsageSubsidy
from billing.usage import grants
from billing.usage.terms import subsidies_of
from tests import build

from .schedules import a_version
from .test_rate_pages import text_of
from .test_rate_versions import a_feed, priced

pytestmark = pytest.mark.django_db

MONTH = datetime.date(2025, 1, 1)


def a_subsidy(code="provost", **fields):
    given = {"name": "Provost's half", "percent": Decimal(50), "valid_from": MONTH, "reason": "By letter of May 2"}
    return UsageSubsidy(code=code, **given | fields)


def an_allocation(code="grant-1", **fields):
    given = {"amount": Decimal(100), "unit": "core-hour", "valid_from": MONTH, "reason": "Startup package"}
    return Allocation(code=code, pi=build.a_pi(), **given | fields)


@pytest.fixture
def version():
    return a_version()


def month_of(version, month, *drawn, feed=None):
    return priced(version, month, feed=feed, drawn=drawn)


def of_balance(quantity, code="grant-1"):
    return {"balance": code, "quantity": quantity, "left": "0"}


def of_subsidy(owner, amount, in_span, left, code="provost"):
    return {"granted": code, "owner": owner, "amount": amount, "in_span": in_span, "left": left}


def problems(check, row):
    with pytest.raises(ValidationError) as refused:
        check(row)
    return {field: " ".join(messages) for field, messages in refused.value.message_dict.items()}


def elsewhere(*rows, month="2025-02", **fields):
    """Return what a subsidy of tiger's month had elsewhere, where other feeds' months have had it."""
    a_subsidy(cap=Decimal(100), **fields).save()
    version = a_version()
    for feed, of, owner, amount in rows:
        month_of(version, of, of_subsidy(owner, amount, amount, "0"), feed=a_feed(feed))
    (found,) = subsidies_of(a_feed(), datetime.date.fromisoformat(f"{month}-01"))
    return {owner: str(each) for owner, each in found.elsewhere.items()}


def test_the_cap_of_a_subsidy_holds_over_all_its_feeds():
    rows = [
        ("nas", "2025-02", "ada@u.edu", "10"),
        ("ai", "2025-02", "ada@u.edu", "0.5"),
        ("ai", "2025-01", "bob@u.edu", "3"),
        ("tiger", "2025-02", "ada@u.edu", "50"),
    ]
    assert elsewhere(*rows) == {"ada@u.edu": "10.5"}


def test_the_cap_of_a_fiscal_year_counts_its_other_months():
    rows = [
        ("nas", "2024-06", "ada@u.edu", "9"),
        ("nas", "2024-07", "ada@u.edu", "1"),
        ("ai", "2025-06", "ada@u.edu", "2"),
    ]
    assert elsewhere(*rows, span="fiscal_year") == {"ada@u.edu": "3"}


def test_the_cap_of_an_account_is_each_feeds_own():
    assert elsewhere(("nas", "2025-02", "acct", "9"), scope="account") == {}


# What was used ----------------------------------------------------------------------------------------


def test_what_was_drawn_counts_as_each_month_was_priced_last(version):
    allocation = an_allocation()
    allocation.save()
    month_of(version, "2025-01", of_balance("30"))
    month_of(version, "2025-01", of_balance("20"))
    month_of(version, "2025-02", of_balance("60.5"), of_balance("7", "other"))
    month_of(version, "2025-02", of_balance("3"), feed=a_feed("lion"))
    balance = grants.balances([allocation])[allocation.pk]
    assert (balance.drawn, balance.left, balance.percent) == (Decimal("83.5"), Decimal("16.5"), 83)
    assert [(str(each.period), each.feed.name, each.quantity) for each in balance.months][-1] == (
        "January 2025",
        "tiger",
        Decimal(20),
    )


@pytest.mark.parametrize(("drawn", "percent"), [("0", 0), ("79.99", 79), ("99.99", 99), ("100", 100), ("120", 100)])
def test_a_balance_is_used_up_only_where_nothing_is_left(version, drawn, percent):
    allocation = an_allocation()
    allocation.save()
    month_of(version, "2025-01", of_balance(drawn))
    assert grants.balances([allocation])[allocation.pk].percent == percent


def test_who_had_a_subsidy_is_told_by_the_last_month_of_each_feed(version):
    subsidy = a_subsidy()
    subsidy.save()
    month_of(version, "2025-01", of_subsidy("ada@u.edu", "10", "10", "90"), of_subsidy("bob@u.edu", "5", "5", "95"))
    sums = {"subsidy": "provost", "fund_org": "", "amount": "30"}
    month_of(version, "2025-02", of_subsidy("ada@u.edu", "30", "40", "60"), sums)
    month_of(version, "2025-02", of_subsidy("ada@u.edu", "1", "1", None), feed=a_feed("lion"))
    assert [(each.owner, each.feed.name, each.in_span, each.left) for each in grants.had(subsidy)] == [
        ("ada@u.edu", "lion", Decimal(1), None),
        ("ada@u.edu", "tiger", Decimal(40), Decimal(60)),
        ("bob@u.edu", "tiger", Decimal(5), Decimal(95)),
    ]
    assert grants.granted(["provost", "other"]) == {"provost": Decimal(30), "other": Decimal(0)}


# What they may say ------------------------------------------------------------------------------------


def test_a_subsidy_names_whom_and_what_there_is(version):
    build.a_pi("ada@u.edu")
    right = a_subsidy(recipients=["ADA@u.edu"], rates=["cpu"])
    grants.check_subsidy(right)
    assert right.recipients == ["ada@u.edu"]
    wrong = a_subsidy(
        recipients=["nobody@u.edu"], rates=["tape"], feeds=["lynx"], valid_until=datetime.date(2024, 1, 1)
    )
    found = problems(grants.check_subsidy, wrong)
    assert set(found) == {"recipients", "rates", "feeds", "valid_until"}
    assert "There is no rate “tape”. Known: cpu, home." in found["rates"]
    assert "There is no usage feed “lynx”. There is none yet." in found["feeds"]


@pytest.mark.parametrize(("scope", "stored"), [("project", "genomics"), ("department", "BIO")])
def test_recipients_are_named_as_they_are_stored(scope, stored):
    build.a_project("genomics")
    build.a_department("BIO")
    subsidy = a_subsidy(scope=scope, recipients=[stored.swapcase()])
    grants.check_subsidy(subsidy)
    assert subsidy.recipients == [stored]
    subsidy.recipients = ["else"]
    assert "There is no" in problems(grants.check_subsidy, subsidy)["recipients"]


def test_a_subsidy_for_all_of_a_feed_names_nobody():
    subsidy = a_subsidy(scope="feed", recipients=["x"])
    assert "has no recipients" in problems(grants.check_subsidy, subsidy)["recipients"]


def test_an_allocation_is_in_the_unit_of_a_rate(version):
    found = problems(grants.check_allocation, an_allocation(unit="core-day", rates=["tape"]))
    assert found["unit"] == "No rate has the unit “core-day”. Known: TB-month, core-hour."
    assert "There is no rate “tape”" in found["rates"]


def test_what_was_paid_before_says_who_paid_what_and_where_it_lies():
    found = problems(grants.check_allocation, an_allocation(is_prepaid=True))
    assert set(found) == {"fund_org", "deferred_fund_org", "deferred_account", "price"}
    paid = {"is_prepaid": True, "fund_org": "BIO-001", "deferred_fund_org": "RC-DEF", "deferred_account": "2300"}
    grants.check_allocation(an_allocation(**paid, price=Decimal(500)))
    assert "above zero" in problems(grants.check_allocation, an_allocation(**paid, price=Decimal(0)))["price"]
    # Money is worth what it is.
    grants.check_allocation(an_allocation(**paid, unit=""))


def test_a_sponsored_fund_buys_no_balance_unless_finance_is_on_record():
    build.a_fund("430305-7320", is_sponsored=True)
    bought = an_allocation(
        is_prepaid=True,
        fund_org="430305-7320",
        deferred_fund_org="RC-DEF",
        deferred_account="2300",
        price=Decimal(500),
    )
    assert "is a sponsored fund" in problems(grants.check_allocation, bought)["approved_by"]
    bought.approved_by = "Fay Wong, sponsored programs, June 3"
    grants.check_allocation(bought)
    # What is granted, nobody pays for.
    grants.check_allocation(an_allocation(fund_org="430305-7320"))


def test_what_was_drawn_from_stays_what_it_was(version):
    allocation = an_allocation()
    allocation.save()
    month_of(version, "2025-01", of_balance("30"))
    allocation.amount = Decimal(30)
    grants.check_allocation(allocation)
    allocation.amount, allocation.unit, allocation.code = Decimal(29), "", "other"
    allocation.pi, allocation.project = None, build.a_project()
    found = problems(grants.check_allocation, allocation)
    assert set(found) == {"amount", "unit", "code", "__all__"}
    assert found["amount"] == "30 was drawn already: it cannot be less."


# The screens ------------------------------------------------------------------------------------------


@pytest.fixture
def finance(client, cast):
    client.force_login(cast.finance)
    return client


def url(model, name, *args):
    return reverse(f"admin:billing_{model}_{name}", args=args)


def test_a_subsidy_is_added_in_lines_and_ticks(finance, version):
    a_feed()
    given = {
        **{
            "code": "provost",
            "name": "Provost's half",
            "percent": "50",
            "cap": "500.00",
            "scope": "pi",
            "span": "month",
        },
        **{"recipients": "ADA@u.edu\r\n\r\n", "feeds": ["tiger"], "rates": ["cpu", "home"], "order": "0"},
        **{"valid_from": "2025-01", "valid_until": "", "reason": "By letter of May 2"},
    }
    answer = finance.post(url("usagesubsidy", "add"), given | {"recipients": "nobody@u.edu"})
    assert "There is no PI “nobody@u.edu”" in text_of(answer)
    answer = finance.post(url("usagesubsidy", "add"), given, follow=True)
    made = UsageSubsidy.objects.get()
    assert (made.recipients, made.feeds, made.rates, made.classes) == (["ada@u.edu"], ["tiger"], ["cpu", "home"], [])
    page = text_of(answer)
    for said in (
        "50%, up to 500.00 USD for each PI and month",
        "ada@u.edu",
        "forgone",
        "since January 2025",
        "Applies",
    ):
        assert said in page, said
    assert AuditEvent.objects.latest("pk").action == "usage_subsidy.added"


def test_the_page_of_a_subsidy_says_who_had_how_much_and_what_is_left(finance, version):
    subsidy = a_subsidy(cap=Decimal(100), span="fiscal_year")
    subsidy.save()
    month_of(version, "2025-01", of_subsidy("ada@u.edu", "10", "40", "60"))
    page = text_of(finance.get(url("usagesubsidy", "change", subsidy.pk)))
    assert "Who had it" in page
    for said in ("ada@u.edu", "10.00 USD", "40.00 USD", "60.00 USD", "January 2025"):
        assert said in page, said
    assert finance.get(url("usagesubsidy", "delete", subsidy.pk)).status_code == 403


def test_allocations_say_what_is_left_and_which_are_nearly_used_up(finance, version):
    for code, drawn in (("little", "10"), ("nearly", "80"), ("all", "100")):
        an_allocation(code).save()
        month_of(version, "2025-01", of_balance(drawn, code), feed=a_feed(code))
    page = text_of(finance.get(url("allocation", "changelist")))
    for said in ("10% used", "80% used", "Used up", "90 core-hours", "20 core-hours"):
        assert said in page, said
    found = finance.get(url("allocation", "changelist") + "?used=nearly").context["cl"].queryset
    assert {each.code for each in found} == {"nearly", "all"}
    allocation = Allocation.objects.get(code="nearly")
    page = text_of(finance.get(url("allocation", "change", allocation.pk)))
    assert "January 2025" in page
    assert "20 core-hours" in page
    assert finance.get(url("allocation", "delete", allocation.pk)).status_code == 403


def test_those_who_only_read_see_lists_and_months_in_words(client, cast, version):
    client.force_login(cast.viewer)
    subsidy = a_subsidy(recipients=["ada@u.edu", "bob@u.edu"])
    subsidy.save()
    page = text_of(client.get(url("usagesubsidy", "change", subsidy.pk)))
    for said in ("ada@u.edu, bob@u.edu", "since January 2025", "all that are not external"):
        assert said in page, said
    allocation = an_allocation(unit="", amount=Decimal(1000), is_prepaid=True, fund_org="BIO-001")
    allocation.save()
    page = text_of(client.get(url("allocation", "change", allocation.pk)))
    for said in ("1,000.00 USD", "paid before", "BIO-001", "Nothing was drawn from it yet."):
        assert said in page, said
