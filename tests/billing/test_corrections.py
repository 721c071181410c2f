import datetime
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import IntegrityError, connection, transaction

from billing import charging, corrections
from billing.audit import Actor
from billing.errors import BillingError, MissingCenterFundOrg, NextStep, ReasonMissing, WrongState
from billing.models import AuditEvent, Correction, CorrectionLine, PayerLine, Source
from billing.models.corrections import CorrectionFrozen
from billing.months import checklist, closing
from billing.proof import seals
from tests import build
from tests.build import (
    NOW,
    SOMEBODY,
    a_charge,
    a_fund,
    a_period,
    a_pi,
    a_policy,
    a_project,
    a_source,
)

pytestmark = pytest.mark.django_db

BY = {"actor": SOMEBODY, "now": NOW}
LATER = datetime.datetime(2025, 6, 2, tzinfo=datetime.UTC)


def charged(period):
    """Make a month's payer lines and return them by fund/org and kind."""
    charging.make_payer_lines(period=period, **BY)
    return {
        (line.fund_org, line.kind): line.charged
        for line in PayerLine.objects.filter(period=period).exclude(kind=PayerLine.Kind.CHARGE)
    }


def the_line(month="2025-01", **fields):
    return PayerLine.objects.select_related("for_period", "period").get(period__month=f"{month}-01", **fields)


@pytest.fixture
def january(db):
    """January closed with 100.00 of Ada's on BIO-001; February open."""
    a_policy(center_fund_org="RC-000")
    a_charge("100.00")
    january = a_period("2025-01")
    charging.make_payer_lines(period=january, **BY)
    closing.close(period=january, **BY)
    a_period("2025-02")
    return january


def february():
    return a_period("2025-02")


def enter(verb, **options):
    if verb is not corrections.add_manual_charge and "lines" not in options:
        options["lines"] = [the_line()]
    return verb(**{"charged_in": february(), "reason": "The wrong tag", **BY, **options})


def a_transfer(**options):
    return enter(corrections.add_transfer, **{"to": {"BIO-002": Decimal(100)}, **options})


def test_a_transfer_moves_what_was_charged_and_sums_to_zero(january):
    entered = a_transfer()
    assert (entered.correction.amount, entered.correction.total, entered.correction.state) == (100, 0, "approved")
    assert charged(february()) == {("BIO-001", "transfer"): -100, ("BIO-002", "transfer"): 100}
    line = the_line("2025-02", fund_org="BIO-002")
    assert (line.for_period.iso_month, line.pi.email, line.project.code, line.service_name, line.charge_count) == (
        "2025-01",
        "ada@u.edu",
        "genomics",
        "Compute",
        0,
    )
    assert line.discount == line.subsidy == line.rounding == 0


def test_a_refund_is_given_out_of_the_recovery(january):
    assert enter(corrections.add_refund, amount=Decimal("30.00")).correction.total == -30
    assert charged(february()) == {("BIO-001", "refund"): -30}


def test_the_center_pays_a_write_off(january):
    assert enter(corrections.add_write_off).correction.total == 0
    assert charged(february()) == {("BIO-001", "write_off"): -100, ("RC-000", "borne"): 100}
    borne = the_line("2025-02", kind="borne")
    assert borne.pi is None
    assert borne.project is None
    assert borne.for_period.iso_month == "2025-01"


def test_a_write_off_needs_a_fund_of_the_center(january):
    a_policy(center_fund_org="")
    with pytest.raises(MissingCenterFundOrg):
        enter(corrections.add_write_off)


def test_a_manual_charge_is_of_a_source_and_of_the_month_it_is_charged_in(january):
    enter(
        corrections.add_manual_charge,
        pi=a_pi(),
        fund_org="BIO-001",
        source=a_source("consulting", kind=Source.Kind.INTERNAL),
        amount=Decimal("250.00"),
        service_name="Consulting",
    )
    assert charged(february()) == {("BIO-001", "manual"): 250}
    line = the_line("2025-02", kind="manual")
    assert (line.for_period.iso_month, line.source.name, line.natural_account) == ("2025-02", "consulting", "6500")


@pytest.mark.parametrize("amount", ["0", "-5.00", "0.001", "NaN"])
def test_a_manual_charge_is_above_zero_and_in_whole_cents(january, amount):
    with pytest.raises(corrections.AmountRefused):
        enter(corrections.add_manual_charge, pi=a_pi(), fund_org="BIO-001", source=a_source(), amount=Decimal(amount))


def test_a_transfer_is_split_by_percent_without_losing_a_cent(january):
    a_transfer(to={"A": Decimal(50), "B": Decimal(50)}, amount=Decimal("0.01"))
    a_transfer(to={"C": Decimal("33.333333"), "D": Decimal("66.666667")}, amount=Decimal("10.00"))
    assert charged(february()) == {
        ("A", "transfer"): Decimal("0.01"),
        ("BIO-001", "transfer"): Decimal("-10.01"),
        ("C", "transfer"): Decimal("3.33"),
        ("D", "transfer"): Decimal("6.67"),
    }


def test_the_share_that_stays_is_not_moved(january):
    entered = a_transfer(to={"BIO-001": Decimal(60), "SEA-001": Decimal(40)})
    assert [(line.fund_org, line.amount) for line in entered.lines] == [("BIO-001", -40), ("SEA-001", 40)]
    assert corrections.correctable([the_line()])[0].left == 60


@pytest.mark.parametrize("shares", [{"A": Decimal(60)}, {"A": Decimal(60), "B": Decimal(41)}])
def test_shares_sum_to_a_hundred(january, shares):
    with pytest.raises(corrections.FundRefused, match="not to 100"):
        a_transfer(to=shares)


def test_a_transfer_that_moves_nothing_is_refused(january):
    with pytest.raises(corrections.FundRefused, match="is there already"):
        a_transfer(to={"BIO-001": Decimal(100)})
    with pytest.raises(corrections.FundRefused, match="Say where it goes"):
        a_transfer(to={})


def test_a_transfer_can_go_to_another_pi_and_project_on_the_same_fund(january):
    mallory, reef = a_pi("mallory@u.edu"), a_project("reef")
    a_transfer(to={}, pi=mallory, project=reef, natural_account="6600")
    charged(february())
    line = the_line("2025-02", pi=mallory)
    assert (line.fund_org, line.project, line.natural_account, line.charged) == ("BIO-001", reef, "6600", 100)
    assert the_line("2025-02", pi=a_pi()).charged == -100


def test_no_more_is_taken_back_than_was_charged_and_is_left(january):
    enter(corrections.add_refund, amount=Decimal("30.00"))
    with pytest.raises(
        corrections.AmountRefused,
        match=r"charged 100\.00, of which corrections took back 30\.00 already: 70\.00 is left, and 70\.01 is more",
    ):
        a_transfer(amount=Decimal("70.01"))
    a_transfer(amount=Decimal("70.00"))
    with pytest.raises(corrections.AmountRefused, match="Nothing is left"):
        enter(corrections.add_write_off)


@pytest.mark.parametrize("amount", ["-1.00", "0.00", "0.005", "Infinity"])
def test_an_amount_has_the_sign_of_its_line_and_whole_cents(january, amount):
    with pytest.raises(corrections.AmountRefused):
        enter(corrections.add_refund, amount=Decimal(amount))
    assert not Correction.objects.exists()


def test_a_credit_can_be_moved_but_not_refunded(january):
    a_charge("-40.00", period="2025-02", service_name="Credit")
    charging.make_payer_lines(period=february(), **BY)
    closing.close(period=february(), **BY)
    a_period("2025-03")
    line = the_line("2025-02")
    with pytest.raises(corrections.NotCorrectable, match="nothing to give back"):
        enter(corrections.add_refund, lines=[line], charged_in=a_period("2025-03"))
    a_transfer(lines=[line], charged_in=a_period("2025-03"))
    assert charged(a_period("2025-03")) == {("BIO-001", "transfer"): 40, ("BIO-002", "transfer"): -40}


def test_the_centers_own_lines_are_not_corrected(january):
    a_charge("9.00", period="2025-02", state="charged_to_center")
    charging.make_payer_lines(period=february(), **BY)
    with pytest.raises(corrections.NotCorrectable, match="center's own cost"):
        enter(corrections.add_refund, lines=[the_line("2025-02")])


def test_a_correction_says_why(january):
    with pytest.raises(ReasonMissing):
        a_transfer(reason=" ")


def test_a_correction_is_refused_in_a_month_that_takes_no_changes(january):
    with pytest.raises(closing.PeriodClosed):
        a_transfer(charged_in=january)
    assert not Correction.objects.exists()
    assert not AuditEvent.objects.filter(action__startswith="correction").exists()


def test_lines_for_several_months_take_a_correction_each(january):
    a_charge("5.00", period="2025-02")
    charging.make_payer_lines(period=february(), **BY)
    with pytest.raises(corrections.NotCorrectable, match="a correction for each month"):
        a_transfer(lines=[the_line(), the_line("2025-02")])


def test_a_fund_pays_what_falls_on_its_days_of_service(january):
    a_fund("BIO-001")
    a_fund("BIO-002", valid_until=datetime.date(2025, 1, 1))
    a_fund("BIO-003", valid_from=datetime.date(2025, 1, 2))
    # The one charge was on the first of January, and the fund that ended then pays it.
    a_transfer(amount=Decimal(10))
    with pytest.raises(corrections.FundRefused, match="BIO-003 is valid from Jan 2, 2025, and the dates of service"):
        a_transfer(to={"BIO-003": Decimal(100)})
    with pytest.raises(corrections.FundRefused, match="BIO-009 is not on the list"):
        a_transfer(to={"BIO-009": Decimal(100)})


def test_a_fund_takes_no_posting_after_its_last(january):
    a_fund("BIO-002", last_posting_date=datetime.date(2025, 2, 2))
    with pytest.raises(corrections.FundRefused, match="takes no postings after Feb 2, 2025"):
        a_transfer()


def test_a_fund_of_an_unknown_form_is_refused(january):
    a_policy(center_fund_org="RC-000", fund_org_patterns=["BIO-[0-9]{3}"])
    with pytest.raises(corrections.FundRefused, match="none of the forms"):
        a_transfer(to={"bio": Decimal(100)})


@pytest.mark.parametrize(
    ("today", "is_late"),
    [(datetime.date(2025, 4, 1), False), (datetime.date(2025, 4, 2), True)],
    ids=["after 90 days", "after 91 days"],
)
def test_a_sponsored_award_pays_late_only_what_is_justified(january, today, is_late):
    """The service ended on 1 January; 90 days later is 1 April."""
    a_fund("FED-1", is_sponsored=True)
    a_fund("BIO-001")
    now = datetime.datetime.combine(today, datetime.time(12), datetime.UTC)
    options = {"to": {"FED-1": Decimal(100)}, "now": now}
    if is_late:
        with pytest.raises(corrections.JustificationMissing, match="FED-1 is a sponsored award.*91 days ago"):
            a_transfer(**options)
        options["justification"] = "The award number was issued late."
    assert a_transfer(**options).correction.justification == options.get("justification", "")


def test_the_days_are_the_policys_and_only_sponsored_awards_ask(january):
    a_fund("FED-1", is_sponsored=True)
    a_fund("BIO-002")
    a_policy(center_fund_org="RC-000", transfer_justification_days=365)
    a_transfer(to={"FED-1": Decimal(100)}, amount=Decimal(1), now=LATER)
    a_policy(center_fund_org="RC-000", transfer_justification_days=0)
    a_transfer(amount=Decimal(1), now=LATER)
    with pytest.raises(corrections.JustificationMissing):
        a_transfer(to={"FED-1": Decimal(100)}, amount=Decimal(1))


def test_a_dry_run_says_what_would_be_entered_and_stores_nothing(january):
    entered = a_transfer(dry_run=True)
    assert entered.is_dry_run
    assert [line.amount for line in entered.lines] == [-100, 100]
    assert not Correction.objects.exists()
    assert not AuditEvent.objects.filter(action__startswith="correction").exists()
    with pytest.raises(corrections.AmountRefused):
        a_transfer(amount=Decimal(101), dry_run=True)


def test_several_corrections_for_one_payer_add_up_and_each_gives_its_printed_text(january):
    first = enter(corrections.add_refund, amount=Decimal("10.00"), printed_text="Down on\n Monday").correction
    second = enter(corrections.add_refund, amount=Decimal("5.50"), reason="An operator's mistake").correction
    assert charged(february()) == {("BIO-001", "refund"): Decimal("-15.50")}
    line = the_line("2025-02")
    (shares,) = charging.resources_of(february(), [line]).values()
    assert sorted((share.name, share.resource_id, share.charged) for share in shares) == [
        ("", f"Correction {second.pk}", Decimal("-5.50")),
        ("Down on Monday", f"Correction {first.pk}", Decimal("-10.00")),
    ]


def test_charging_again_changes_no_line_of_a_correction(january):
    a_transfer()
    charged(february())
    again = charging.make_payer_lines(period=february(), **BY)
    assert (again.created, again.changed, again.deleted) == (0, 0, 0)


def test_who_paid_by_a_transfer_can_be_relieved_in_a_later_month(january):
    a_transfer()
    charged(february())
    closing.close(period=february(), **BY)
    line = the_line("2025-02", fund_org="BIO-002")
    a_transfer(lines=[line], to={"BIO-003": Decimal(100)}, charged_in=a_period("2025-03"))
    assert charged(a_period("2025-03")) == {("BIO-002", "transfer"): -100, ("BIO-003", "transfer"): 100}


def test_what_was_entered_in_the_same_month_is_reversed_instead(january):
    a_transfer()
    charged(february())
    with pytest.raises(corrections.NotCorrectable, match="reverse that correction"):
        a_transfer(lines=[the_line("2025-02", fund_org="BIO-002")], to={"BIO-003": Decimal(100)})


# The second person


@pytest.fixture
def two_people(january, cast):
    a_policy(center_fund_org="RC-000", corrections_need_second_person=True)
    return Actor.from_user(cast.reviewer), Actor.from_user(cast.finance)


def test_a_correction_is_charged_once_a_second_person_approved_it(two_people):
    first, second = two_people
    correction = a_transfer(actor=first).correction
    assert correction.state == "proposed"
    assert charged(february()) == {}
    corrections.approve(correction=correction, note="Seen", actor=second, now=NOW)
    assert charged(february()) == {("BIO-001", "transfer"): -100, ("BIO-002", "transfer"): 100}
    correction.refresh_from_db()
    assert (correction.entered_by_name, correction.decided_by_name, correction.decision_note) == ("rex", "fay", "Seen")


def test_nobody_approves_an_own_correction_or_without_a_name(two_people):
    first, _ = two_people
    correction = a_transfer(actor=first).correction
    with pytest.raises(corrections.SecondPersonNeeded, match="somebody else"):
        corrections.approve(correction=correction, actor=first, now=NOW)
    with pytest.raises(corrections.SecondPersonNeeded, match="say which user approves it"):
        corrections.approve(correction=correction, actor=SOMEBODY, now=NOW)
    with pytest.raises(corrections.SecondPersonNeeded, match="say which user enters it"):
        a_transfer()


def test_the_database_refuses_that_one_person_enters_and_approves(two_people):
    first, _ = two_people
    correction = a_transfer(actor=first).correction
    with pytest.raises(IntegrityError, match="correction_needs_second_person"), transaction.atomic():
        Correction.objects.filter(pk=correction.pk).update(state="approved", decided_at=NOW, decided_by_name="rex")
    with pytest.raises(IntegrityError, match="decided_correction_has_stamp"), transaction.atomic():
        Correction.objects.filter(pk=correction.pk).update(state="approved")


def test_a_rejected_correction_is_not_charged_and_frees_its_lines(two_people):
    first, second = two_people
    correction = a_transfer(actor=first).correction
    # While it waits, nobody else takes the same money.
    with pytest.raises(corrections.AmountRefused):
        a_transfer(actor=second)
    with pytest.raises(ReasonMissing):
        corrections.reject(correction=correction, note="", actor=second, now=NOW)
    corrections.reject(correction=correction, note="Wrong award", actor=second, now=NOW)
    assert charged(february()) == {}
    with pytest.raises(WrongState, match="only one that waits"):
        corrections.approve(correction=correction, actor=second, now=NOW)
    assert a_transfer(actor=second).correction.amount == 100


def test_a_month_does_not_close_while_corrections_wait(two_people):
    first, second = two_people
    correction = a_transfer(actor=first).correction
    with pytest.raises(closing.PeriodHasProposedCorrections, match="1 correction waits for approval"):
        closing.close(period=february(), **BY)
    corrections.approve(correction=correction, actor=second, now=NOW)
    closing.close(period=february(), **BY)


# Taking back


def test_a_reversal_takes_a_correction_back_once(january):
    correction = a_transfer().correction
    reversal = corrections.reverse(correction=correction, charged_in=february(), reason="It was right", **BY).correction
    assert (reversal.reverses, reversal.amount, reversal.kind, reversal.total) == (correction, -100, "transfer", 0)
    assert charged(february()) == {}
    assert corrections.correctable([the_line()])[0].left == 100
    with pytest.raises(WrongState, match=f"reversed already, by correction {reversal.pk}"):
        corrections.reverse(correction=correction, charged_in=february(), reason="Again", **BY)
    with pytest.raises(IntegrityError), transaction.atomic():
        _copied(reversal).save()


def _copied(correction):
    copy = Correction.objects.get(pk=correction.pk)
    copy.pk, copy._state.adding = None, True
    return copy


def test_a_reversal_in_a_later_month_gives_back_there(january):
    correction = enter(corrections.add_refund).correction
    closing.close(period=february(), **BY)
    march = a_period("2025-03")
    corrections.reverse(correction=correction, charged_in=march, reason="Never paid out", **BY)
    assert charged(march) == {("BIO-001", "refund"): 100}
    assert the_line("2025-03").for_period.iso_month == "2025-01"


def test_a_reversal_can_be_reversed_while_the_money_is_there(january):
    correction = enter(corrections.add_refund).correction
    reversal = corrections.reverse(correction=correction, charged_in=february(), reason="No", **BY).correction
    a_transfer()
    with pytest.raises(corrections.AmountRefused):
        corrections.reverse(correction=reversal, charged_in=february(), reason="Yes", **BY)


def test_what_was_corrected_since_is_not_reversed(january):
    correction = a_transfer().correction
    charged(february())
    closing.close(period=february(), **BY)
    march = a_period("2025-03")
    line = the_line("2025-02", fund_org="BIO-002")
    second = a_transfer(lines=[line], to={"BIO-003": Decimal(100)}, charged_in=march).correction
    with pytest.raises(corrections.NotCorrectable, match=f"by correction {second.pk}: reverse that first"):
        corrections.reverse(correction=correction, charged_in=march, reason="It was right", **BY)
    corrections.reverse(correction=second, charged_in=march, reason="Back", **BY)
    corrections.reverse(correction=correction, charged_in=march, reason="It was right", **BY)


def test_a_correction_is_never_edited_or_deleted(january):
    correction = a_transfer().correction
    line = correction.lines.first()
    correction.reason = "Another"
    line.amount = Decimal(1)
    for attempt in (
        correction.save,
        correction.delete,
        line.save,
        line.delete,
        lambda: Correction.objects.update(reason="Another"),
        lambda: Correction.objects.all().delete(),
        lambda: Correction.objects.bulk_update([correction], ["reason"]),
        lambda: CorrectionLine.objects.update(amount=1),
        lambda: CorrectionLine.objects.all().delete(),
        lambda: CorrectionLine.objects.bulk_update([line], ["amount"]),
    ):
        with pytest.raises(CorrectionFrozen):
            attempt()


@pytest.mark.parametrize(
    ("table", "column", "value", "constraint"),
    [
        ("correction", "total", 10**8, "correction_sums_to_zero"),
        ("correction", "amount", 0, "correction_is_over_something"),
        ("correction", "reason", "", "correction_has_reason"),
        ("correction", "kind", "gift", "correction_is_known"),
        ("correctionline", "amount", 0, "correction_line_is_over_something"),
        ("correctionline", "fund_org", "", "correction_line_has_payer"),
        ("correctionline", "corrects_key", "", "corrected_line_is_named"),
    ],
)
def test_the_database_refuses_what_no_correction_is(january, table, column, value, constraint):
    a_transfer()
    # Only the lines that take back name a payer line.
    where = " WHERE number = 1" if table == "correctionline" else ""
    with (
        build.safeguards_down(),
        pytest.raises(IntegrityError, match=constraint),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE billing_{table} SET {column} = %s{where}", [value])


def test_a_reopened_month_that_charges_less_than_was_taken_back_is_not_finalized(january):
    correction = enter(corrections.add_refund, amount=Decimal("80.00")).correction
    closing.reopen(period=january, reason="Wrong rate", **BY)
    PayerLine.objects.filter(period=january).update(charged=Decimal("60.00"))
    (item,) = checklist.of(january, only=["corrections"]).keeping_from("finalize")
    assert "charges 60.00, and corrections took back 80.00" in item.text
    assert f"correction {correction.pk}" in item.text


def test_every_step_is_in_the_audit_log(two_people):
    first, second = two_people
    correction = a_transfer(actor=first).correction
    corrections.approve(correction=correction, actor=second, now=NOW)
    reversal = corrections.reverse(
        correction=correction, charged_in=february(), reason="No", actor=first, now=NOW
    ).correction
    corrections.reject(correction=reversal, note="It stays", actor=second, now=NOW)
    events = AuditEvent.objects.filter(action__startswith="correction.").order_by("id")
    assert [(event.action, event.actor_name, event.object_id) for event in events] == [
        ("correction.entered", "rex", str(correction.pk)),
        ("correction.approved", "fay", str(correction.pk)),
        ("correction.entered", "rex", str(reversal.pk)),
        ("correction.reversed", "rex", str(correction.pk)),
        ("correction.rejected", "fay", str(reversal.pk)),
    ]
    told = events[0].after
    assert told["charged_in"] == "2025-02"
    assert told["reason"] == "The wrong tag"
    assert [(line["fund_org"], line["amount"]) for line in told["lines"]] == [
        ("BIO-001", "-100.00"),
        ("BIO-002", "100.00"),
    ]
    assert told["lines"][0]["corrects"] == the_line().key


# Which lines


def test_a_line_is_named_by_its_number_or_key(january):
    line = the_line()
    assert corrections.line_named(str(line.pk)) == corrections.line_named(line.key) == line
    for text in ("999999", "nonsense", ""):
        with pytest.raises(corrections.NothingToCorrect):
            corrections.line_named(text)


def test_all_lines_of_a_reference_are_corrected_together(january):
    closing.reopen(period=january, reason="More", **BY)
    a_charge("7.00", service_name="Storage")
    a_charge("3.00", service_name="Storage", fund_org="BIO-007")
    charging.make_payer_lines(period=january, **BY)
    lines = corrections.lines_of_reference("2025-01-0001")
    assert len(lines) == 3
    assert len(corrections.lines_of_reference("2025-01-0001", fund_org="BIO-001")) == 2
    (storage,) = corrections.lines_of_reference("2025-01-0001", fund_org="BIO-001", service_name="Storage")
    assert a_transfer(lines=[storage, the_line(service_name="Compute")]).correction.amount == 107
    for text in ("2025-01-0009", "2025-01", "nonsense", "0001-01-1", "2031-12-1", "2025-13-1", "0000-01-1"):
        with pytest.raises(corrections.NothingToCorrect):
            corrections.lines_of_reference(text)


@pytest.mark.parametrize("verb", [corrections.add_refund, corrections.add_write_off])
def test_lines_of_nothing_stop_no_correction_of_a_whole_reference(january, verb):
    closing.reopen(period=january, reason="More", **BY)
    a_charge("0.00", service_name="Free tier")
    charging.make_payer_lines(period=january, **BY)
    lines = corrections.lines_of_reference("2025-01-0001")
    assert len(lines) == 2
    assert enter(verb, lines=lines).correction.amount == 100
    # By itself it is refused, and with lines that are taken back already nothing is left.
    with pytest.raises(corrections.NotCorrectable, match="nothing to give back"):
        enter(verb, lines=[the_line(service_name="Free tier")])
    with pytest.raises(corrections.AmountRefused, match="Nothing is left"):
        enter(verb, lines=lines)


def test_a_correction_is_charged_in_the_next_open_month(january):
    march = a_period("2025-03")
    assert corrections.month_for([the_line()]) == february()
    assert corrections.month_for() == march
    for period in (february(), march):
        closing.close(period=period, **BY)
    with pytest.raises(
        corrections.NoOpenMonth, match="Open the month that the correction is to be charged in"
    ) as refused:
        corrections.month_for([the_line()])
    assert refused.value.then == NextStep("open_period", {"period": "2025-04"})


# Seals


def test_the_seal_of_a_correction_without_printed_text_is_what_it_was_before_there_was_one(january):
    plain = enter(corrections.add_refund, amount=Decimal("10.00")).correction
    printed = enter(corrections.add_refund, amount=Decimal("20.00"), printed_text="An outage").correction
    sealed = seals.seals_of(february())["corrections"]
    columns = (
        *("correction__kind", "correction__for_period", "correction__reason", "correction__justification"),
        *("correction__entered_by_name", "correction__decided_by_name"),
        *("number", "kind", "pi", "project", "fund_org", "source", "natural_account", "service_name", "amount"),
        *("corrects_period", "corrects_key"),
    )
    before = seals.sealed(CorrectionLine.objects.charged_in(february()), "correction", *columns)
    assert sealed[str(plain.pk)] == before[str(plain.pk)]
    assert sealed[str(printed.pk)] != before[str(printed.pk)]


# Races


def at_once(*works):
    """Run works side by side, each in a connection of its own; return what came of each, errors by name."""
    start = Barrier(len(works))

    def run(work):
        start.wait()
        try:
            work()
            return "done"
        except BillingError as error:
            return type(error).__name__
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_two_who_take_back_the_same_money_do_not_both_get_it(january):
    line, month = the_line(), february()
    options = {"lines": [line], "charged_in": month, "reason": "Down", **BY}
    came = at_once(
        lambda: corrections.add_refund(**options),
        lambda: corrections.add_write_off(**options),
        lambda: corrections.add_transfer(to={"A": Decimal(100)}, **options),
    )
    assert sorted(came) == ["AmountRefused", "AmountRefused", "done"]
    assert sum(correction.amount for correction in Correction.objects.all()) == 100


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_a_correction_and_the_close_of_its_month_do_not_pass_each_other(january):
    line, month = the_line(), february()
    entering, closed = at_once(
        lambda: corrections.add_refund(lines=[line], charged_in=month, reason="Down", **BY),
        lambda: closing.close(period=month, **BY),
    )
    assert closed == "done"
    assert (entering, Correction.objects.count()) in (("done", 1), ("PeriodClosed", 0))


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_a_correction_is_reversed_by_one_of_two(january):
    correction = enter(corrections.add_refund).correction
    options = {"correction": correction, "charged_in": february(), "reason": "No", **BY}
    assert sorted(at_once(lambda: corrections.reverse(**options), lambda: corrections.reverse(**options))) == [
        "WrongState",
        "done",
    ]
