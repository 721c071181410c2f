"""Closing: the steps of a period, what each needs, and what it refuses."""

import datetime
import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, ManagementUtility, call_command

from billing import charging, month_items, review
from billing.errors import NextStep, ReasonMissing
from billing.models import AuditEvent, BillingPeriod, Charge
from billing.months import checklist, closing
from billing.months.checklist import Item, State
from billing.months.closing import (
    NothingToCarry,
    NotReadyToFinalize,
    PeriodClosed,
    PeriodExists,
    PeriodHasHeldCharges,
    ReviewNeedsDate,
    StepNotPossible,
)
from tests import build

pytestmark = pytest.mark.django_db

SOON = datetime.date(2025, 2, 10)
LATER = datetime.date(2025, 2, 17)
Status = BillingPeriod.Status


def act(verb, period, **arguments):
    return verb(period=period, actor=build.SOMEBODY, now=build.NOW, **arguments)


@pytest.fixture
def checks(monkeypatch):
    """Start without the items that the apps registered, and leave none behind."""
    monkeypatch.setattr(checklist, "_providers", {})
    monkeypatch.setattr(closing, "_finalize_steps", {})


@pytest.fixture
def period():
    return build.a_period()


@pytest.fixture
def closed(period):
    return act(closing.close, period)


@pytest.fixture
def finalized(closed, checks):
    return act(closing.finalize, closed)


def test_a_period_is_opened_once():
    month = datetime.date(2025, 3, 1)
    period = closing.open_period(month=month, actor=build.SOMEBODY, now=build.NOW)
    assert (period.iso_month, period.status, period.opened_by) == ("2025-03", "open", "somebody")
    with pytest.raises(PeriodExists, match="March 2025 exists already: it is open"):
        closing.open_period(month=month, actor=build.SOMEBODY, now=build.NOW)
    assert AuditEvent.objects.filter(action="period.opened").count() == 1


def test_ensuring_a_period_opens_it_the_first_time_only():
    month = datetime.date(2025, 3, 1)
    made = closing.ensure_period(month=month, actor=build.SOMEBODY, now=build.NOW)
    assert closing.ensure_period(month=month, actor=build.SOMEBODY, now=build.NOW) == made
    assert AuditEvent.objects.filter(action="period.opened").count() == 1


def test_a_month_goes_all_the_way(period, checks):
    period = act(closing.start_review, period, until=SOON)
    assert (period.status, period.review_until, period.review_by) == ("review", SOON, "somebody")
    period = act(closing.close, period)
    assert (period.status, period.closed_at, period.closed_by) == ("closed", build.NOW, "somebody")
    period = act(closing.finalize, period, notes="Signed off by the dean.")
    period.refresh_from_db()
    assert (period.status, period.finalized_at, period.notes) == ("finalized", build.NOW, "Signed off by the dean.")
    assert list(AuditEvent.objects.order_by("id").values_list("action", "before__status", "after__status")) == [
        ("period.review_started", "open", "review"),
        ("period.closed", "review", "closed"),
        ("period.finalized", "closed", "finalized"),
    ]


def test_the_end_of_a_review_can_be_moved(period):
    act(closing.start_review, period, until=SOON)
    assert act(closing.start_review, period, until=LATER).review_until == LATER


def test_a_review_does_not_end_in_the_past(period):
    with pytest.raises(ReviewNeedsDate, match="Feb 2, 2025: that day has passed"):
        act(closing.start_review, period, until=datetime.date(2025, 2, 2))


def test_closing_refuses_pending_charges(period):
    build.a_charge("12.50", flags=("missing_pi",))
    build.a_charge("1", flags=("pattern_match",), currency="EUR")
    build.a_charge("1", flags=("pattern_match",), period="2025-02")
    with pytest.raises(PeriodHasHeldCharges, match=r"2 charges are held.*1.00 EUR and 12.50 USD"):
        act(closing.close, period)
    period.refresh_from_db()
    assert period.status == "open"
    assert not AuditEvent.objects.exists()


def test_what_is_held_is_carried_over_to_the_next_open_month_and_listed(period):
    held = build.a_charge("12.50", flags=("missing_pi",))
    clear = build.a_charge("7")
    build.a_charge("1", flags=("missing_pi",), period="2025-02")
    act(closing.close, build.a_period("2025-02"), carry_held=True)
    carried = act(closing.carry_over, period)
    # February is closed, and its own held charge had gone to March before.
    assert (carried.into.iso_month, carried.charges, carried.billed) == ("2025-03", 1, {"USD": Decimal("12.5")})
    held.refresh_from_db()
    clear.refresh_from_db()
    assert (held.charged_in.iso_month, held.period.iso_month, held.state) == ("2025-03", "2025-01", "held")
    assert clear.charged_in.iso_month == "2025-01"
    event = AuditEvent.objects.get(action="charge.carried_over", object_id=str(held.pk))
    assert (event.before, event.after["charged_in"]) == ({"charged_in": "2025-01"}, "2025-03")
    assert AuditEvent.objects.filter(action="period.carried_over").latest("id").after["charges"] == 1
    assert act(closing.close, period).status == "closed"
    assert period.iso_month == "2025-01"


def test_carrying_over_opens_the_month_after_where_none_is_open(period):
    build.a_charge("3", flags=("missing_pi",))
    closed = act(closing.close, period, carry_held=True)
    assert closed.status == "closed"
    assert BillingPeriod.objects.named("2025-02").status == "open"
    assert list(AuditEvent.objects.order_by("id").values_list("action", flat=True)) == [
        "period.opened",
        "charge.carried_over",
        "period.carried_over",
        "period.closed",
    ]


def test_there_is_nothing_to_carry_over_from_a_month_without_held_charges(period):
    build.a_charge("3")
    with pytest.raises(NothingToCarry, match="January 2025 holds no charges"):
        act(closing.carry_over, period)
    assert act(closing.close, period, carry_held=True).status == "closed"
    assert not BillingPeriod.objects.filter(month=datetime.date(2025, 2, 1)).exists()


def test_a_closed_month_carries_nothing_over(closed):
    with pytest.raises(PeriodClosed):
        act(closing.carry_over, closed)


def test_a_carried_charge_is_charged_by_the_month_that_bears_it(period):
    build.a_policy()
    held = build.a_charge("12.50", flags=("pattern_match",), fund_org="BIO-001", pi=build.a_pi())
    into = act(closing.carry_over, period).into
    review.approve(charges=[held.pk], actor=build.SOMEBODY, now=build.NOW)
    assert act(charging.make_payer_lines, period).lines == 0
    act(charging.make_payer_lines, into)
    (line,) = into.payer_lines.all()
    assert (line.for_period.iso_month, line.charged) == ("2025-01", Decimal("12.50"))


def test_a_withdrawn_held_charge_stops_nobody(period):
    build.a_charge("1", flags=("missing_pi",), withdrawn_in=build.an_import())
    assert act(closing.close, period).status == "closed"


STEPS = {
    "review": lambda period: act(closing.start_review, period, until=SOON),
    "closed": lambda period: act(closing.close, period),
    "finalized": lambda period: act(closing.finalize, period),
    "open": lambda period: act(closing.reopen, period, reason="late invoice"),
}
STAMPS: dict[str, Any] = {
    "open": {},
    "review": {"review_until": SOON},
    "closed": {"closed_at": build.NOW},
    "finalized": {"closed_at": build.NOW, "finalized_at": build.NOW},
}


@pytest.mark.parametrize("to", STEPS)
@pytest.mark.parametrize("at", STAMPS)
def test_a_period_takes_the_steps_of_its_table_and_no_other(at, to, checks):
    period = build.a_period("2025-01", status=at, **STAMPS[at])
    if to in BillingPeriod.TRANSITIONS[Status(at)] or at == to == "review":
        assert STEPS[to](period).status == to
    else:
        with pytest.raises(StepNotPossible, match=f"January 2025 is {period.get_status_display().lower()}"):
            STEPS[to](period)
        period.refresh_from_db()
        assert period.status == at


def test_a_stale_copy_of_a_period_decides_nothing(period, closed):
    assert period.status == "open"
    with pytest.raises(StepNotPossible, match="is closed"):
        act(closing.close, period)


def test_reopening_needs_a_reason(closed):
    with pytest.raises(ReasonMissing):
        act(closing.reopen, closed, reason="  ")


def test_reopening_clears_the_stamps_and_the_audit_log_keeps_them(closed):
    period = act(closing.reopen, closed, reason="late invoice")
    assert (period.status, period.closed_at, period.closed_by) == ("open", None, "")
    event = AuditEvent.objects.filter(action="period.reopened").values("note", "before__closed_by").get()
    assert event == {"note": "late invoice", "before__closed_by": "somebody"}


def test_a_period_goes_back_in_review_until_the_day_it_had_or_a_new_one(period):
    act(closing.start_review, period, until=SOON)
    for until, ends in ((None, SOON), (LATER, LATER)):
        act(closing.close, period)
        again = act(closing.reopen, period, reason="dispute", to="review", until=until)
        assert (again.status, again.review_until) == ("review", ends)


def test_a_period_never_in_review_needs_a_day_to_go_back_to_it(closed):
    with pytest.raises(ReviewNeedsDate, match="Say until when"):
        act(closing.reopen, closed, reason="dispute", to="review")


def test_nothing_reopens_to_closed(period):
    act(closing.start_review, period, until=SOON)
    with pytest.raises(StepNotPossible):
        act(closing.reopen, period, reason="trick", to="closed")


def test_a_finalized_period_never_reopens(finalized):
    with pytest.raises(StepNotPossible, match="finalized.*takes no other"):
        act(closing.reopen, finalized, reason="please")


def item(code, text, state=State.OPEN, then=None):
    return Item(code, state, text, then=then, holds_up=(checklist.FINALIZE,))


def test_finalizing_names_everything_that_is_open(checks):
    build.a_charge("5", flags=("missing_pi",))
    closed = build.shut()
    issue = NextStep("issue_statements", {"period": "2025-01"})
    checklist.register("held", provider=month_items.held)
    checklist.register(
        "statements", provider=lambda month: [item("statements", f"{month.period} is stale.", then=issue)]
    )
    checklist.register("journal", provider=lambda month: [item("journal", "Nothing.", State.NOT_APPLICABLE)])
    checklist.register("proof", provider=lambda month: [item("proof", "It is off by 0.01.", State.BLOCKED)])
    with pytest.raises(NotReadyToFinalize) as refused:
        act(closing.finalize, closed)
    assert [each.code for each in refused.value.items] == ["held", "statements", "proof"]
    assert refused.value.then == NextStep("review", {"period": "2025-01", "id": str(closed.pk)})
    for text in ("1 charge is held", "January 2025 is stale.", "It is off by 0.01."):
        assert text in str(refused.value)
    closed.refresh_from_db()
    assert closed.status == "closed"


def test_items_registered_again_take_the_place_of_the_first(closed, checks):
    checklist.register("statements", provider=lambda month: [item("statements", "old")])
    checklist.register("statements", provider=lambda month: [])
    assert act(closing.finalize, closed).status == "finalized"


def test_a_closed_period_takes_no_changes(closed):
    with pytest.raises(PeriodClosed, match="January 2025 is closed"):
        closing.require_open(closed)


# The command


def run(*arguments, capsys):
    call_command("periods", *arguments)
    return capsys.readouterr().out


def test_the_command_lists_periods_with_their_figures(capsys):
    build.a_charge("100.005")
    build.a_charge("7", currency="EUR", flags=("pattern_match",))
    build.a_source("hpc", subsidy_fund_org="PROVOST")
    build.a_charge("0", source="hpc", list_cost=Decimal(80), contracted_cost=Decimal(80))
    build.a_charge("9", currency="EUR", period="2025-02")
    build.a_charge("3", withdrawn_in=build.an_import())
    charging.make_payer_lines(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    listed = json.loads(run("list", "--json", capsys=capsys))["periods"]
    assert [each["period"] for each in listed] == ["2025-02", "2025-01"]
    february, january = listed
    assert (february["charges"], february["billed"], february["due"]) == (1, {"EUR": "9.00"}, "0.00")
    assert (january["charges"], january["held"], january["due"]) == (3, 1, "100.01")
    assert january["billed"] == {"EUR": "7.00", "USD": "100.005"}
    text = run("list", capsys=capsys)
    assert "7.00 EUR, 100.01 USD" in text
    assert "100.01" in text


def test_the_command_says_that_there_is_none_yet(capsys):
    assert "There are no billing periods yet" in run("list", capsys=capsys)


def test_the_command_takes_a_period_through_its_life(capsys, checks):
    build.the_cast()
    assert run("open", "2025-01", capsys=capsys) == "Billing period January 2025 is open.\n"
    assert "in review until Jan 31, 2999" in run("review", "2025-01", "--until", "2999-01-31", capsys=capsys)
    assert "is closed" in run("close", "2025-01", "--as", "fay", capsys=capsys)
    assert "is open again" in run("reopen", "2025-01", "--reason", "late invoice", capsys=capsys)
    run("close", "2025-01", capsys=capsys)
    again = run("reopen", "2025-01", "--reason", "x", "--to", "review", "--until", "2999-02-01", capsys=capsys)
    assert "is in review again until Feb 1, 2999" in again
    run("close", "2025-01", capsys=capsys)
    done = json.loads(run("finalize", "2025-01", "--notes", "Done.", "--json", capsys=capsys))
    assert (done["period"], done["status"], done["notes"]) == ("2025-01", "finalized", "late invoice\nx\nDone.")
    assert AuditEvent.objects.filter(action="period.closed", actor_name="fay", via="command").count() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["close", "2025-07"], "There is no billing period 2025-07. These exist: 2025-01."),
        (["close", "July"], "is not a billing period"),
        (["open", "2025-01"], "exists already"),
        (["finalize", "2025-01"], "its next step cannot be"),
        (["reopen", "2025-01", "--reason", "x"], "its next step cannot be"),
        (["close", "2025-01", "--as", "nobody"], "There is no user"),
    ],
)
def test_the_command_refuses_in_one_line(period, arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("periods", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: VERB"),
        (["open", "2025-13"], "is not a billing period"),
        (["review", "2025-01"], "required: --until"),
        (["review", "2025-01", "--until", "soon"], "is not a day"),
        (["reopen", "2025-01"], "required: --reason"),
        (["reopen", "2025-01", "--reason", "x", "--to", "closed"], "invalid choice"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", "periods", *arguments]).execute()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_carries_over_what_is_held(capsys):
    build.a_charge("12.50", flags=("missing_pi",))
    assert json.loads(run("carry", "2025-01", "--json", capsys=capsys)) == {
        "period": "2025-01",
        "into": "2025-02",
        "charges": 1,
        "billed": {"USD": "12.50"},
    }
    build.a_charge("1", flags=("missing_pi",), period="2025-02")
    assert "is closed" in run("close", "2025-02", "--carry-held", capsys=capsys)
    assert Charge.objects.held().filter(charged_in__month=datetime.date(2025, 3, 1)).count() == 2


def test_the_command_and_the_engine_leave_the_same_rows_and_audit(capsys):
    one, other = build.a_period("2025-01"), build.a_period("2025-02")
    act(closing.close, one)
    run("close", "2025-02", capsys=capsys)
    by_engine, by_command = AuditEvent.objects.order_by("id")
    assert (by_engine.action, by_engine.object_id) == ("period.closed", str(one.pk))
    assert (by_command.action, by_command.object_id) == ("period.closed", str(other.pk))
    assert set(by_engine.after or {}) == set(by_command.after or {}) == {"status", "closed_at", "closed_by"}
    one.refresh_from_db()
    other.refresh_from_db()
    assert one.status == other.status == "closed"
