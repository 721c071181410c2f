"""A balance from its purchase to its end: charged once, drawn, recognized month by month, given back, expired."""

import datetime
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import charging, corrections, prepayments, proof, tracing
from billing.audit import Actor
from billing.corrections import AmountRefused, NotCorrectable
from billing.models import (
    Allocation,
    AuditEvent,
    BillingPeriod,
    Correction,
    PayerLine,
    Person,
    PrepaidEntry,
    Project,
    RateSchedule,
    Source,
    UsageFeed,
)
from billing.money import plain, to_cents
from billing.prepayments import recognizing
from billing.usage import grants, prepaid
from journals.models import JournalLine
from statements.issuing import document_of
from statements.models import Statement
from tests.billing.usage.test_bringing import DAY, FEBRUARY, JANUARY, job, jobs
from tests.billing.usage.test_rate_versions import priced
from tests.build import NOW, SOMEBODY, a_fund, a_period, a_policy, a_source, a_user
from tests.stories.stage import command

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def deferred(tiger):
    """The cluster at 0.10 a core-hour, and a source that holds what is paid before; January is open."""
    a_period("2025-01")
    return a_source(
        "prepaid",
        kind="internal",
        holds_prepayments=True,
        recovery_fund_org="RC-DEF",
        recovery_account="2300",
        debit_account="6510",
    )


def bought(code="lab", actor=SOMEBODY, **given):
    given = {
        **{"feed": UsageFeed.objects.get(), "quantity": D(1000), "unit": "core-hour", "price": D("80.00")},
        **{"pi": Person.objects.named("ada@u.edu"), "project": Project.objects.get(code="genomics")},
        **{"fund_org": "BIO-001", "reason": "Order 7", "bought_on": datetime.date(2025, 1, 3)},
        **given,
    }
    purchase = prepayments.Purchase(code=code, **given)
    prepayments.buy(purchase=purchase, actor=actor, now=NOW)
    return Allocation.objects.get(code=code)


def paid(allocation):
    return prepaid.paid_of([allocation])[allocation.pk]


def money(allocation):
    found = paid(allocation)
    return tuple(map(plain, (found.purchased, found.recognized, found.refunded, found.expired, found.left)))


def used(tmp_path, name, *rows):
    return command("usage", jobs(tmp_path / name, *rows), "-f", "tiger")


def closed(month):
    command("generate", "-p", month)
    command("periods", "close", month)
    command("generate", "-p", month)
    command("export_journal", "-p", month, "-f", "gl", "--submit")


def ledger(month):
    """Return what the ledger has of a month, by fund/org and account."""
    found = {}
    for line in JournalLine.objects.filter(journal__period__month=f"{month}-01"):
        place = line.fund_org, line.natural_account
        found[place] = found.get(place, D(0)) + line.debit - line.credit
    return {place: plain(amount) for place, amount in sorted(found.items()) if amount}


@pytest.mark.parametrize("sql", ["UPDATE {table} SET kind = 'use'", "DELETE FROM {table}"])
def test_the_database_keeps_what_was_entered_for_a_balance(deferred, sql):
    bought()
    refused = pytest.raises(IntegrityError, match="an entry of a prepaid balance is kept: reverse its correction")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.format(table=PrepaidEntry._meta.db_table))


def test_a_purchase_is_charged_once_and_use_becomes_recovery(deferred, tmp_path):
    allocation = bought()
    # 300 core-hours, of which 100 are free and 200 drawn: at 0.08, where the rate is 0.10.
    used(tmp_path, "a.txt", job(1, JANUARY + DAY, 10, 30))
    command("generate", "-p", "2025-01")
    # Before the month closes its use is not recognized.
    assert money(allocation) == ("80.00", "0.00", "0.00", "0.00", "80.00")
    closed("2025-01")
    assert money(allocation) == ("80.00", "16.00", "0.00", "0.00", "64.00")
    assert ledger("2025-01") == {
        ("BIO-001", "6510"): "80.00",
        ("RC-DEF", "2300"): "-64.00",
        ("RC-HPC", "4900"): "-16.00",
    }
    assert not [
        each for each in proof.prove(BillingPeriod.objects.get(month="2025-01-01")).equations if each.difference
    ]
    document = document_of(Statement.objects.live().get())
    assert document.figures.charged == D("80.00")
    assert [notice.text for notice in document.notices] == [
        "Prepaid balance lab: 1,000 core-hours for 80.00 USD. Used in January 2025: 200 core-hours; so far: "
        "200 core-hours; left: 800 core-hours (64.00 USD). What it paid for is in the column Subsidy, for it is paid "
        "already."
    ]
    # 10.00 is free, 20.00 was drawn.
    assert document.figures.subsidy == D("30.00")
    # The payer line of the use says where it comes from.
    line = PayerLine.objects.get(kind="prepaid_use")
    told = tracing.trace(f"2025-01@{line.key}").as_text()
    assert "200 core-hours of 1,000 core-hours, which cost 80.00 USD" in told
    # The next month draws the rest, and the price is used up to the cent.
    used(tmp_path, "b.txt", job(2, FEBRUARY + DAY, 10, 100))
    closed("2025-02")
    assert money(allocation) == ("80.00", "80.00", "0.00", "0.00", "0.00")
    assert ledger("2025-02")["RC-DEF", "2300"] == "64.00"


def test_what_is_priced_again_is_recognized_by_its_difference(deferred, tmp_path):
    allocation = bought()
    used(tmp_path, "a.txt", job(1, JANUARY + DAY, 10, 30))
    january = BillingPeriod.objects.get(month="2025-01-01")
    prepayments.recognize(period=january, actor=SOMEBODY, now=NOW)
    assert prepayments.recognize(period=january, actor=SOMEBODY, now=NOW) == []
    used(tmp_path, "b.txt", job(1, JANUARY + DAY, 10, 20))
    (back,) = prepayments.recognize(period=january, actor=SOMEBODY, now=NOW)
    assert back.correction.total == D("-8.00")
    assert money(allocation)[1] == "8.00"


def test_no_second_person_is_asked_for_use_and_nothing_is_drawn_before_one_approved_the_purchase(deferred, tmp_path):
    a_policy(corrections_need_second_person=True)
    allocation = bought(actor=Actor.from_user(a_user("gil")))
    assert paid(allocation).waits
    used(tmp_path, "a.txt", job(1, JANUARY + DAY, 10, 30))
    assert not grants.balances([allocation])[allocation.pk].drawn
    corrections.approve(correction=Correction.objects.get(), note="", actor=Actor.from_user(a_user("fay")), now=NOW)
    command("usage", "-f", "tiger", "-p", "2025-01")
    command("periods", "close", "2025-01")
    assert money(allocation) == ("80.00", "16.00", "0.00", "0.00", "64.00")


def test_what_is_left_is_given_back_and_no_more(deferred, tmp_path):
    allocation = bought()
    used(tmp_path, "a.txt", job(1, JANUARY + DAY, 10, 30))
    closed("2025-01")
    a_period("2025-02")
    line = PayerLine.objects.get(kind="manual")
    with pytest.raises(AmountRefused, match=r"64\.00 is not used"):
        corrections.add_refund(lines=[line], reason="x", actor=SOMEBODY, now=NOW)
    with pytest.raises(NotCorrectable, match="is used already"):
        corrections.reverse(correction=Correction.objects.get(kind="manual"), reason="x", actor=SOMEBODY, now=NOW)
    with pytest.raises(NotCorrectable, match="follows from what was used"):
        corrections.reverse(correction=Correction.objects.get(kind="prepaid"), reason="x", actor=SOMEBODY, now=NOW)
    prepayments.refund(allocation=allocation, amount=D("8.00"), reason="Too many", actor=SOMEBODY, now=NOW)
    # With the money, 100 core-hours are gone.
    balance = grants.balances([allocation])[allocation.pk]
    assert (balance.size, balance.left) == (900, 700)
    prepayments.refund(allocation=allocation, reason="She leaves", actor=SOMEBODY, now=NOW)
    assert money(allocation) == ("80.00", "16.00", "64.00", "0.00", "0.00")
    with pytest.raises(prepayments.NothingLeft):
        prepayments.refund(allocation=allocation, reason="x", actor=SOMEBODY, now=NOW)
    used(tmp_path, "b.txt", job(2, FEBRUARY + DAY, 10, 100))
    closed("2025-02")
    assert ledger("2025-02")["RC-DEF", "2300"] == "64.00"
    assert money(allocation)[1] == "16.00"


def test_what_is_left_after_the_last_month_expires(deferred, tmp_path):
    allocation = bought(valid_until=datetime.date(2025, 1, 1))
    used(tmp_path, "a.txt", job(1, JANUARY + DAY, 10, 30))
    a_period("2025-02")
    with pytest.raises(prepayments.NotExpired, match="January 2025 is not closed"):
        prepayments.expire(allocation=allocation, reason="By contract", actor=SOMEBODY, now=NOW)
    closed("2025-01")
    prepayments.expire(allocation=allocation, reason="By contract", actor=SOMEBODY, now=NOW)
    assert money(allocation) == ("80.00", "16.00", "0.00", "64.00", "0.00")
    closed("2025-02")
    assert ledger("2025-02") == {("RC-DEF", "2300"): "64.00", ("RC-HPC", "4900"): "-64.00"}
    assert not Statement.objects.live().filter(period__month="2025-02-01").exists()


def test_a_purchase_in_a_month_that_is_open_is_reversed_whole(deferred):
    allocation = bought()
    with pytest.raises(prepayments.NothingLeft, match="reverse correction"):
        prepayments.refund(allocation=allocation, reason="x", actor=SOMEBODY, now=NOW)
    purchase = Correction.objects.get()
    corrections.reverse(correction=purchase, reason="Wrong PI", actor=SOMEBODY, now=NOW)
    assert money(allocation) == ("80.00", "0.00", "80.00", "0.00", "0.00")
    assert not grants.balances([allocation])[allocation.pk].left


def test_a_purchase_says_what_it_lacks_and_stores_nothing_then(deferred):
    a_fund("430305-7320", is_sponsored=True)
    a_fund("BIO-001")
    with pytest.raises(ValidationError) as refused:
        bought(fund_org="430305-7320", unit="core-day", price=D(0))
    assert set(refused.value.message_dict) == {"approved_by", "unit", "price"}
    with pytest.raises(prepayments.NoPrepaidSource, match="does not hold prepayments"):
        bought(source=Source.objects.get(name="hpc"))
    Source.objects.filter(name="prepaid").update(recovery_account="")
    with pytest.raises(prepayments.NoPrepaidSource, match="no recovery account code"):
        bought()
    Source.objects.filter(name="prepaid").update(holds_prepayments=False)
    with pytest.raises(prepayments.NoPrepaidSource, match="No source holds prepayments"):
        bought()
    assert not Allocation.objects.exists()
    assert not Correction.objects.exists()


def test_finance_on_record_lets_a_sponsored_fund_buy(deferred):
    a_fund("430305-7320", is_sponsored=True)
    allocation = bought(fund_org="430305-7320", approved_by="Fay Wong, June 3")
    assert AuditEvent.objects.get(action="allocation.bought").after["approved_by"] == "Fay Wong, June 3"
    allocation.price = D("90.00")
    with pytest.raises(ValidationError, match="bought so"):
        grants.check_allocation(allocation)


MONTHS = st.lists(st.tuples(st.integers(0, 5), st.decimals(0, 400, places=3), st.booleans()), min_size=1, max_size=12)


@pytest.mark.parametrize("unit", ["core-hour", ""])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=MONTHS,
    quantity=st.decimals("0.001", 1000, places=3),
    price=st.decimals("0.01", 999, places=2),
    back=st.integers(0, 100),
)
def test_purchased_is_recognized_refunded_and_left_to_the_cent(unit, deferred, steps, quantity, price, back):
    """Months are priced, and priced again, in any order, and closed when it happens; some of the rest is given back."""
    with transaction.atomic():
        price = price if unit else quantity.quantize(D("0.01")) or D("0.01")
        quantity = quantity if unit else price
        allocation = bought(quantity=quantity, unit=unit, price=price, project=None)
        drawn = {}
        for month, wanted, recognizes in steps:
            period = f"2025-{month + 1:02}"
            drawn[month] = min(wanted, quantity - sum(each for of, each in drawn.items() if of != month))
            entry = {"balance": allocation.code, "quantity": str(drawn[month]), "left": "0"}
            priced(_version(), period, drawn=[entry])
            if recognizes:
                prepayments.recognize(period=BillingPeriod.objects.get(month=f"{period}-01"), actor=SOMEBODY, now=NOW)
        last = a_period("2025-07")
        prepayments.recognize(period=last, actor=SOMEBODY, now=NOW)
        _adds_up(allocation, sum(drawn.values()))
        # Some of the rest is given back, and the units that are left are drawn.
        charging.make_payer_lines(period=BillingPeriod.objects.get(month="2025-01-01"), actor=SOMEBODY, now=NOW)
        amount = to_cents(grants.unused(allocation) * back / 100, "USD")
        if amount:
            given = {"charged_in": last, "actor": SOMEBODY, "now": NOW}
            prepayments.refund(allocation=allocation, amount=amount, reason="x", **given)
        left = grants.balances([allocation])[allocation.pk].left
        priced(_version(), "2025-07", drawn=[{"balance": allocation.code, "quantity": str(left), "left": "0"}])
        prepayments.recognize(period=last, actor=SOMEBODY, now=NOW)
        found = paid(allocation)
        assert found.refunded == amount
        assert found.left == 0
        assert not recognizing.due(last)
        transaction.set_rollback(True)


def _adds_up(allocation, used):
    found = paid(allocation)
    assert found.purchased == found.recognized + found.left
    assert found.recognized == found.worth(used)
    assert abs(found.recognized - allocation.price * used / allocation.amount) <= D("0.005")
    assert found.left == 0 or used < allocation.amount
    lines = Correction.objects.filter(prepaid_entry__allocation=allocation, prepaid_entry__kind="use")
    assert sum((each.total for each in lines), D(0)) == found.recognized


def _version():
    return RateSchedule.objects.first()
