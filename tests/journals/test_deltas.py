"""Properties of what a month's journals say together, whatever happens in between."""

import datetime
from collections import defaultdict
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from billing.fields import AmountSum
from billing.models import PayerLine
from journals import posting
from journals.deltas import Account, Pair, deltas
from journals.models import Journal, JournalLine
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_source
from tests.journals.made import submitted_anyhow

ZERO = Decimal(0)
WHO = {"actor": SOMEBODY, "now": NOW}


def a_pair(key, cents, account="6500", recovery="RC-1"):
    amount = Decimal(cents).scaleb(-2)
    return Pair(
        payer_key=key,
        amount=amount,
        list_cost=amount * 2,
        contracted_cost=amount,
        payer=Account(f"FUND-{key}", account),
        recovery=Account(recovery, "4900"),
        reference="2025-01-0001",
        description="",
        kind="charge",
        for_month="2025-01",
        pi_email="",
        pi_name="",
        project_code="",
        source_name="aws",
        service_name="",
    )


def by_key(pairs, name="amount"):
    sums = defaultdict(lambda: ZERO)
    for pair in pairs:
        sums[pair.payer_key] += getattr(pair, name)
    return {key: amount for key, amount in sums.items() if amount}


def by_account(pairs):
    sums = defaultdict(lambda: ZERO)
    for pair in pairs:
        sums[pair.payer] += pair.amount
        sums[pair.recovery] -= pair.amount
    return {account: amount for account, amount in sums.items() if amount}


keys = st.sampled_from("abc")
cents = st.integers(-10_000, 10_000)
accounts = st.sampled_from(["6500", "6501"])
recoveries = st.sampled_from(["RC-1", "RC-2"])
journaled = st.lists(st.builds(a_pair, keys, cents, accounts, recoveries), max_size=8)
charged = st.lists(
    st.builds(a_pair, keys, cents, accounts, recoveries), max_size=3, unique_by=lambda pair: pair.payer_key
)


@given(charged, journaled)
def test_what_stands_and_the_delta_make_what_is_charged_for_every_payer(charged, journaled):
    found = deltas(charged, journaled)

    assert by_key([*journaled, *found]) == by_key(charged)
    for name in ("list_cost", "contracted_cost"):
        assert by_key([*journaled, *found], name) == by_key(charged, name)


@given(charged, journaled)
def test_what_is_charged_nothing_comes_last_and_only_where_it_says_something(charged, journaled):
    found = deltas(charged, journaled)

    assert [bool(pair.amount) for pair in found] == sorted((bool(pair.amount) for pair in found), reverse=True)
    known = {pair.payer_key for pair in journaled}
    assert all(pair.says_something or pair.payer_key not in known for pair in found)


@given(charged, journaled)
def test_a_delta_leaves_nothing_more_to_say(charged, journaled):
    assert deltas(charged, [*journaled, *deltas(charged, journaled)]) == []


@given(journaled)
def test_what_nobody_is_charged_any_more_is_zero_on_every_account(journaled):
    assert by_account([*journaled, *deltas([], journaled)]) == {}


@given(charged, journaled, st.randoms())
def test_the_order_of_payer_lines_does_not_matter(charged, journaled, random):
    shuffled = list(charged)
    random.shuffle(shuffled)

    assert deltas(shuffled, journaled) == deltas(charged, journaled)


def test_list_costs_are_told_once_where_a_change_comes_from_two_accounts():
    standing = [a_pair("a", 1000, "6500"), a_pair("a", 500, "6501")]

    found = deltas([a_pair("a", 300)], standing)

    assert [(pair.payer.natural_account, pair.amount) for pair in found] == [("6500", -7), ("6501", -5)]
    assert sum(pair.list_cost for pair in [*standing, *found]) == 6


def live_by_key(period):
    rows = (
        JournalLine.objects.filter(journal__in=Journal.objects.live().filter(period=period), side="payer")
        .values_list("payer_key")
        .annotate(debits=AmountSum("debit"), credits=AmountSum("credit"))
        .order_by()
    )
    return {key: debits - credits for key, debits, credits in rows if debits != credits}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("charge"), st.sampled_from(["Compute", "Storage", "Network"]), cents),
        st.tuples(st.just("account"), recoveries),
        st.just(("submit",)),
        st.just(("reject",)),
        st.just(("post",)),
        st.just(("reverse",)),
    ),
    max_size=12,
)


class AnyMonth(TestCase):
    """Each example runs in a transaction of its own."""

    @settings(
        max_examples=25,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(steps)
    def test_after_any_history_live_journals_sum_to_the_payer_lines_and_every_journal_balances(self, steps):
        period, source = a_period(), a_source()
        charges = {}
        later = iter(range(1, 100))

        def who():
            return {"actor": SOMEBODY, "now": NOW + datetime.timedelta(minutes=next(later))}

        for step, *details in steps:
            newest = Journal.objects.order_by("-id")
            if step == "charge":
                service, amount = details
                if service not in charges:
                    charges[service] = a_charge("0.00", service_name=service)
                exact = Decimal(amount).scaleb(-2)
                charges[service].billed_cost = charges[service].list_cost = charges[service].contracted_cost = exact
                charges[service].save()
            elif step == "account":
                source.recovery_fund_org = details[0]
                source.save()
            elif step == "submit":
                submitted_anyhow(period, "gl", who)
            elif step == "reject":
                if journal := newest.filter(state="submitted").first():
                    posting.reject(journal=journal, reason="No.", **who())
            elif step == "post":
                if journal := newest.filter(state="submitted").first():
                    posting.post(journal=journal, document_number="1", **who())
            elif journal := newest.filter(state="posted", kind="journal").first():
                posting.reverse(journal=journal, reason="Oh.", **who())

        submitted_anyhow(period, "gl", who)

        lines = PayerLine.objects.filter(period=period).values_list("key", "charged")
        assert live_by_key(period) == {key: charged for key, charged in lines if charged}
        for journal in Journal.objects.all():
            sums = journal.lines.aggregate(debits=AmountSum("debit"), credits=AmountSum("credit"))
            assert sums["debits"] == sums["credits"] == journal.debits == journal.credits
            if journal.kind == "reversal" and journal.state != "rejected":
                net = defaultdict(lambda: ZERO)
                for line in JournalLine.objects.filter(journal__in=[journal, journal.reverses]):
                    net[line.fund_org, line.natural_account] += line.debit - line.credit
                assert not any(net.values())
