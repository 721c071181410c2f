import datetime
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import IntegrityError, connection, transaction

from billing import charging
from billing.audit import Actor
from billing.corrections import entries
from billing.errors import BillingError, MissingCenterFundOrg, NextStep, ReasonMissing, WrongState
from billing.models import AuditEvent, Entry, EntryLine, PayerLine, Source
from billing.models.entries import EntryFrozen
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
    if verb is not entries.add_manual_charge and "lines" not in options:
        options["lines"] = [the_line()]
    return verb(**{"charged_in": february(), "reason": "The wrong tag", **BY, **options})


def a_transfer(**options):
    return enter(entries.add_transfer, **{"to": {"BIO-002": Decimal(100)}, **options})


def test_a_transfer_moves_what_was_charged_and_sums_to_zero(january):
    entered = a_transfer()
    assert (entered.entry.amount, entered.entry.total, entered.entry.state) == (100, 0, "approved")
    assert charged(february()) == {("BIO-001", "transfer"): -100, ("BIO-002", "transfer"): 100}
    line = the_line("2025-02", fund_org="BIO-002")
    assert (str(line.for_period), line.pi.email, line.project.code, line.service_name, line.charge_count) == (
        "2025-01",
        "ada@u.edu",
        "genomics",
        "Compute",
        0,
    )
    assert line.discount == line.subsidy == line.rounding == 0


def test_a_refund_is_given_out_of_the_recovery(january):
    assert enter(entries.add_refund, amount=Decimal("30.00")).entry.total == -30
    assert charged(february()) == {("BIO-001", "refund"): -30}


def test_the_center_bears_a_write_off(january):
    assert enter(entries.add_write_off).entry.total == 0
    assert charged(february()) == {("BIO-001", "write_off"): -100, ("RC-000", "borne"): 100}
    borne = the_line("2025-02", kind="borne")
    assert borne.pi is None
    assert borne.project is None
    assert str(borne.for_period) == "2025-01"


def test_a_write_off_needs_a_fund_of_the_center(january):
    a_policy(center_fund_org="")
    with pytest.raises(MissingCenterFundOrg):
        enter(entries.add_write_off)


def test_a_manual_charge_is_of_a_source_and_of_the_month_that_bears_it(january):
    enter(
        entries.add_manual_charge,
        pi=a_pi(),
        fund_org="BIO-001",
        source=a_source("consulting", kind=Source.Kind.INTERNAL),
        amount=Decimal("250.00"),
        service_name="Consulting",
    )
    assert charged(february()) == {("BIO-001", "manual"): 250}
    line = the_line("2025-02", kind="manual")
    assert (str(line.for_period), line.source.name, line.natural_account) == ("2025-02", "consulting", "6500")


@pytest.mark.parametrize("amount", ["0", "-5.00", "0.001", "NaN"])
def test_a_manual_charge_is_above_zero_and_in_whole_cents(january, amount):
    with pytest.raises(entries.AmountRefused):
        enter(entries.add_manual_charge, pi=a_pi(), fund_org="BIO-001", source=a_source(), amount=Decimal(amount))


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
    assert entries.correctable([the_line()])[0].left == 60


@pytest.mark.parametrize("shares", [{"A": Decimal(60)}, {"A": Decimal(60), "B": Decimal(41)}])
def test_shares_sum_to_a_hundred(january, shares):
    with pytest.raises(entries.FundRefused, match="not to 100"):
        a_transfer(to=shares)


def test_a_transfer_that_moves_nothing_is_refused(january):
    with pytest.raises(entries.FundRefused, match="is there already"):
        a_transfer(to={"BIO-001": Decimal(100)})
    with pytest.raises(entries.FundRefused, match="Say where it goes"):
        a_transfer(to={})


def test_a_transfer_can_go_to_another_pi_and_project_on_the_same_fund(january):
    mallory, reef = a_pi("mallory@u.edu"), a_project("reef")
    a_transfer(to={}, pi=mallory, project=reef, natural_account="6600")
    charged(february())
    line = the_line("2025-02", pi=mallory)
    assert (line.fund_org, line.project, line.natural_account, line.charged) == ("BIO-001", reef, "6600", 100)
    assert the_line("2025-02", pi=a_pi()).charged == -100


def test_no_more_is_taken_back_than_was_charged_and_is_left(january):
    enter(entries.add_refund, amount=Decimal("30.00"))
    with pytest.raises(
        entries.AmountRefused,
        match=r"charged 100\.00, of which entries took back 30\.00 already: 70\.00 is left, and 70\.01 is more",
    ):
        a_transfer(amount=Decimal("70.01"))
    a_transfer(amount=Decimal("70.00"))
    with pytest.raises(entries.AmountRefused, match="Nothing is left"):
        enter(entries.add_write_off)


@pytest.mark.parametrize("amount", ["-1.00", "0.00", "0.005", "Infinity"])
def test_an_amount_has_the_sign_of_its_line_and_whole_cents(january, amount):
    with pytest.raises(entries.AmountRefused):
        enter(entries.add_refund, amount=Decimal(amount))
    assert not Entry.objects.exists()


def test_a_credit_can_be_moved_but_not_refunded(january):
    a_charge("-40.00", period="2025-02", service_name="Credit")
    charging.make_payer_lines(period=february(), **BY)
    closing.close(period=february(), **BY)
    a_period("2025-03")
    line = the_line("2025-02")
    with pytest.raises(entries.NotCorrectable, match="nothing to give back"):
        enter(entries.add_refund, lines=[line], charged_in=a_period("2025-03"))
    a_transfer(lines=[line], charged_in=a_period("2025-03"))
    assert charged(a_period("2025-03")) == {("BIO-001", "transfer"): 40, ("BIO-002", "transfer"): -40}


def test_the_centers_own_lines_are_not_corrected(january):
    a_charge("9.00", period="2025-02", state="absorbed")
    charging.make_payer_lines(period=february(), **BY)
    with pytest.raises(entries.NotCorrectable, match="center's own cost"):
        enter(entries.add_refund, lines=[the_line("2025-02")])


def test_an_entry_says_why(january):
    with pytest.raises(ReasonMissing):
        a_transfer(reason=" ")


def test_an_entry_is_refused_in_a_month_that_takes_no_changes(january):
    with pytest.raises(closing.PeriodClosed):
        a_transfer(charged_in=january)
    assert not Entry.objects.exists()
    assert not AuditEvent.objects.filter(action__startswith="entry").exists()


def test_lines_for_several_months_take_an_entry_each(january):
    a_charge("5.00", period="2025-02")
    charging.make_payer_lines(period=february(), **BY)
    with pytest.raises(entries.NotCorrectable, match="an entry for each month"):
        a_transfer(lines=[the_line(), the_line("2025-02")])


def test_a_fund_bears_what_falls_on_its_days_of_service(january):
    a_fund("BIO-001")
    a_fund("BIO-002", valid_until=datetime.date(2025, 1, 1))
    a_fund("BIO-003", valid_from=datetime.date(2025, 1, 2))
    # The one charge was on the first of January, and the fund that ended then bears it.
    a_transfer(amount=Decimal(10))
    with pytest.raises(entries.FundRefused, match="BIO-003 is valid from 2025-01-02, and the service was from"):
        a_transfer(to={"BIO-003": Decimal(100)})
    with pytest.raises(entries.FundRefused, match="BIO-009 is not on the list"):
        a_transfer(to={"BIO-009": Decimal(100)})


def test_a_fund_takes_no_posting_after_its_last(january):
    a_fund("BIO-002", last_posting_date=datetime.date(2025, 2, 2))
    with pytest.raises(entries.FundRefused, match="takes no postings after 2025-02-02"):
        a_transfer()


def test_a_fund_of_an_unknown_form_is_refused(january):
    a_policy(center_fund_org="RC-000", fund_org_patterns=["BIO-[0-9]{3}"])
    with pytest.raises(entries.FundRefused, match="none of the forms"):
        a_transfer(to={"bio": Decimal(100)})


@pytest.mark.parametrize(
    ("today", "is_late"),
    [(datetime.date(2025, 4, 1), False), (datetime.date(2025, 4, 2), True)],
    ids=["after 90 days", "after 91 days"],
)
def test_a_sponsored_award_bears_late_only_what_is_justified(january, today, is_late):
    """The service ended on 1 January; 90 days later is 1 April."""
    a_fund("FED-1", is_sponsored=True)
    a_fund("BIO-001")
    now = datetime.datetime.combine(today, datetime.time(12), datetime.UTC)
    options = {"to": {"FED-1": Decimal(100)}, "now": now}
    if is_late:
        with pytest.raises(entries.JustificationMissing, match="FED-1 is a sponsored award.*91 days ago"):
            a_transfer(**options)
        options["justification"] = "The award number was issued late."
    assert a_transfer(**options).entry.justification == options.get("justification", "")


def test_the_days_are_the_policys_and_only_sponsored_awards_ask(january):
    a_fund("FED-1", is_sponsored=True)
    a_fund("BIO-002")
    a_policy(center_fund_org="RC-000", transfer_justification_days=365)
    a_transfer(to={"FED-1": Decimal(100)}, amount=Decimal(1), now=LATER)
    a_policy(center_fund_org="RC-000", transfer_justification_days=0)
    a_transfer(amount=Decimal(1), now=LATER)
    with pytest.raises(entries.JustificationMissing):
        a_transfer(to={"FED-1": Decimal(100)}, amount=Decimal(1))


def test_a_dry_run_says_what_would_be_entered_and_stores_nothing(january):
    entered = a_transfer(dry_run=True)
    assert entered.is_dry_run
    assert [line.amount for line in entered.lines] == [-100, 100]
    assert not Entry.objects.exists()
    assert not AuditEvent.objects.filter(action__startswith="entry").exists()
    with pytest.raises(entries.AmountRefused):
        a_transfer(amount=Decimal(101), dry_run=True)


def test_several_entries_for_one_payer_add_up_and_each_gives_its_printed_text(january):
    first = enter(entries.add_refund, amount=Decimal("10.00"), printed_text="Down on\n Monday").entry
    second = enter(entries.add_refund, amount=Decimal("5.50"), reason="An operator's mistake").entry
    assert charged(february()) == {("BIO-001", "refund"): Decimal("-15.50")}
    line = the_line("2025-02")
    (shares,) = charging.resources_of(february(), [line]).values()
    assert sorted((share.name, share.resource_id, share.charged) for share in shares) == [
        ("", f"Correction {second.pk}", Decimal("-5.50")),
        ("Down on Monday", f"Correction {first.pk}", Decimal("-10.00")),
    ]


def test_charging_again_changes_no_line_of_an_entry(january):
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
    with pytest.raises(entries.NotCorrectable, match="reverse that entry"):
        a_transfer(lines=[the_line("2025-02", fund_org="BIO-002")], to={"BIO-003": Decimal(100)})


# The second person


@pytest.fixture
def two_people(january, cast):
    a_policy(center_fund_org="RC-000", entries_need_second_person=True)
    return Actor.from_user(cast.reviewer), Actor.from_user(cast.finance)


def test_an_entry_is_charged_once_a_second_person_approved_it(two_people):
    first, second = two_people
    entry = a_transfer(actor=first).entry
    assert entry.state == "proposed"
    assert charged(february()) == {}
    entries.approve(entry=entry, note="Seen", actor=second, now=NOW)
    assert charged(february()) == {("BIO-001", "transfer"): -100, ("BIO-002", "transfer"): 100}
    entry.refresh_from_db()
    assert (entry.entered_by_name, entry.decided_by_name, entry.decision_note) == ("rex", "fay", "Seen")


def test_nobody_approves_an_own_entry_or_without_a_name(two_people):
    first, _ = two_people
    entry = a_transfer(actor=first).entry
    with pytest.raises(entries.SecondPersonNeeded, match="somebody else"):
        entries.approve(entry=entry, actor=first, now=NOW)
    with pytest.raises(entries.SecondPersonNeeded, match="say which user approves it"):
        entries.approve(entry=entry, actor=SOMEBODY, now=NOW)
    with pytest.raises(entries.SecondPersonNeeded, match="say which user enters it"):
        a_transfer()


def test_the_database_refuses_that_one_person_enters_and_approves(two_people):
    first, _ = two_people
    entry = a_transfer(actor=first).entry
    with pytest.raises(IntegrityError, match="entry_needs_second_person"), transaction.atomic():
        Entry.objects.filter(pk=entry.pk).update(state="approved", decided_at=NOW, decided_by_name="rex")
    with pytest.raises(IntegrityError, match="decided_entry_has_stamp"), transaction.atomic():
        Entry.objects.filter(pk=entry.pk).update(state="approved")


def test_a_rejected_entry_is_not_charged_and_frees_its_lines(two_people):
    first, second = two_people
    entry = a_transfer(actor=first).entry
    # While it waits, nobody else takes the same money.
    with pytest.raises(entries.AmountRefused):
        a_transfer(actor=second)
    with pytest.raises(ReasonMissing):
        entries.reject(entry=entry, note="", actor=second, now=NOW)
    entries.reject(entry=entry, note="Wrong award", actor=second, now=NOW)
    assert charged(february()) == {}
    with pytest.raises(WrongState, match="only one that waits"):
        entries.approve(entry=entry, actor=second, now=NOW)
    assert a_transfer(actor=second).entry.amount == 100


def test_a_month_does_not_close_while_entries_wait(two_people):
    first, second = two_people
    entry = a_transfer(actor=first).entry
    with pytest.raises(closing.PeriodHasEntries, match="1 correction waits for approval"):
        closing.close(period=february(), **BY)
    entries.approve(entry=entry, actor=second, now=NOW)
    closing.close(period=february(), **BY)


# Taking back


def test_a_reversal_takes_an_entry_back_once(january):
    entry = a_transfer().entry
    reversal = entries.reverse(entry=entry, charged_in=february(), reason="It was right", **BY).entry
    assert (reversal.reverses, reversal.amount, reversal.kind, reversal.total) == (entry, -100, "transfer", 0)
    assert charged(february()) == {}
    assert entries.correctable([the_line()])[0].left == 100
    with pytest.raises(WrongState, match=f"reversed already, by entry {reversal.pk}"):
        entries.reverse(entry=entry, charged_in=february(), reason="Again", **BY)
    with pytest.raises(IntegrityError), transaction.atomic():
        _copied(reversal).save()


def _copied(entry):
    copy = Entry.objects.get(pk=entry.pk)
    copy.pk, copy._state.adding = None, True
    return copy


def test_a_reversal_in_a_later_month_gives_back_there(january):
    entry = enter(entries.add_refund).entry
    closing.close(period=february(), **BY)
    march = a_period("2025-03")
    entries.reverse(entry=entry, charged_in=march, reason="Never paid out", **BY)
    assert charged(march) == {("BIO-001", "refund"): 100}
    assert str(the_line("2025-03").for_period) == "2025-01"


def test_a_reversal_can_be_reversed_while_the_money_is_there(january):
    entry = enter(entries.add_refund).entry
    reversal = entries.reverse(entry=entry, charged_in=february(), reason="No", **BY).entry
    a_transfer()
    with pytest.raises(entries.AmountRefused):
        entries.reverse(entry=reversal, charged_in=february(), reason="Yes", **BY)


def test_what_was_corrected_since_is_not_reversed(january):
    entry = a_transfer().entry
    charged(february())
    closing.close(period=february(), **BY)
    march = a_period("2025-03")
    line = the_line("2025-02", fund_org="BIO-002")
    second = a_transfer(lines=[line], to={"BIO-003": Decimal(100)}, charged_in=march).entry
    with pytest.raises(entries.NotCorrectable, match=f"by entry {second.pk}: reverse that first"):
        entries.reverse(entry=entry, charged_in=march, reason="It was right", **BY)
    entries.reverse(entry=second, charged_in=march, reason="Back", **BY)
    entries.reverse(entry=entry, charged_in=march, reason="It was right", **BY)


def test_an_entry_is_never_edited_or_deleted(january):
    entry = a_transfer().entry
    line = entry.lines.first()
    entry.reason = "Another"
    line.amount = Decimal(1)
    for attempt in (
        entry.save,
        entry.delete,
        line.save,
        line.delete,
        lambda: Entry.objects.update(reason="Another"),
        lambda: Entry.objects.all().delete(),
        lambda: Entry.objects.bulk_update([entry], ["reason"]),
        lambda: EntryLine.objects.update(amount=1),
        lambda: EntryLine.objects.all().delete(),
        lambda: EntryLine.objects.bulk_update([line], ["amount"]),
    ):
        with pytest.raises(EntryFrozen):
            attempt()


@pytest.mark.parametrize(
    ("table", "column", "value", "constraint"),
    [
        ("entry", "total", 10**8, "entry_sums_to_zero"),
        ("entry", "amount", 0, "entry_is_over_something"),
        ("entry", "reason", "", "entry_has_reason"),
        ("entry", "kind", "gift", "entry_is_known"),
        ("entryline", "amount", 0, "entry_line_is_over_something"),
        ("entryline", "fund_org", "", "entry_line_has_payer"),
        ("entryline", "corrects_key", "", "corrected_line_is_named"),
    ],
)
def test_the_database_refuses_what_no_entry_is(january, table, column, value, constraint):
    a_transfer()
    # Only the lines that take back name a payer line.
    where = " WHERE number = 1" if table == "entryline" else ""
    with (
        build.walls_down(),
        pytest.raises(IntegrityError, match=constraint),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE billing_{table} SET {column} = %s{where}", [value])


def test_a_reopened_month_that_charges_less_than_was_taken_back_is_not_finalized(january):
    entry = enter(entries.add_refund, amount=Decimal("80.00")).entry
    closing.reopen(period=january, reason="Wrong rate", **BY)
    PayerLine.objects.filter(period=january).update(charged=Decimal("60.00"))
    (item,) = checklist.of(january, only=["corrections"]).keeping_from("finalize")
    assert "charges 60.00, and corrections took back 80.00" in item.text
    assert f"correction {entry.pk}" in item.text


def test_every_step_is_in_the_audit_trail(two_people):
    first, second = two_people
    entry = a_transfer(actor=first).entry
    entries.approve(entry=entry, actor=second, now=NOW)
    reversal = entries.reverse(entry=entry, charged_in=february(), reason="No", actor=first, now=NOW).entry
    entries.reject(entry=reversal, note="It stays", actor=second, now=NOW)
    events = AuditEvent.objects.filter(action__startswith="entry.").order_by("id")
    assert [(event.action, event.actor_name, event.object_id) for event in events] == [
        ("entry.entered", "rex", str(entry.pk)),
        ("entry.approved", "fay", str(entry.pk)),
        ("entry.entered", "rex", str(reversal.pk)),
        ("entry.reversed", "rex", str(entry.pk)),
        ("entry.rejected", "fay", str(reversal.pk)),
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
    assert entries.line_named(str(line.pk)) == entries.line_named(line.key) == line
    for text in ("999999", "nonsense", ""):
        with pytest.raises(entries.NothingToCorrect):
            entries.line_named(text)


def test_all_lines_of_a_reference_are_corrected_together(january):
    closing.reopen(period=january, reason="More", **BY)
    a_charge("7.00", service_name="Storage")
    a_charge("3.00", service_name="Storage", fund_org="BIO-007")
    charging.make_payer_lines(period=january, **BY)
    lines = entries.lines_of_reference("2025-01-0001")
    assert len(lines) == 3
    assert len(entries.lines_of_reference("2025-01-0001", fund_org="BIO-001")) == 2
    (storage,) = entries.lines_of_reference("2025-01-0001", fund_org="BIO-001", service_name="Storage")
    assert a_transfer(lines=[storage, the_line(service_name="Compute")]).entry.amount == 107
    for text in ("2025-01-0009", "2025-01", "nonsense"):
        with pytest.raises(entries.NothingToCorrect):
            entries.lines_of_reference(text)


@pytest.mark.parametrize("verb", [entries.add_refund, entries.add_write_off])
def test_lines_of_nothing_stop_no_correction_of_a_whole_reference(january, verb):
    closing.reopen(period=january, reason="More", **BY)
    a_charge("0.00", service_name="Free tier")
    charging.make_payer_lines(period=january, **BY)
    lines = entries.lines_of_reference("2025-01-0001")
    assert len(lines) == 2
    assert enter(verb, lines=lines).entry.amount == 100
    # By itself it is refused, and with lines that are taken back already nothing is left.
    with pytest.raises(entries.NotCorrectable, match="nothing to give back"):
        enter(verb, lines=[the_line(service_name="Free tier")])
    with pytest.raises(entries.AmountRefused, match="Nothing is left"):
        enter(verb, lines=lines)


def test_the_next_open_month_bears_a_correction(january):
    march = a_period("2025-03")
    assert entries.month_for([the_line()]) == february()
    assert entries.month_for() == march
    for period in (february(), march):
        closing.close(period=period, **BY)
    with pytest.raises(entries.NoOpenMonth, match="Open the month that is to bear") as refused:
        entries.month_for([the_line()])
    assert refused.value.then == NextStep("open_period", {"period": "2025-04"})


# Seals


def test_the_seal_of_a_correction_without_printed_text_is_what_it_was_before_there_was_one(january):
    plain = enter(entries.add_refund, amount=Decimal("10.00")).entry
    printed = enter(entries.add_refund, amount=Decimal("20.00"), printed_text="An outage").entry
    sealed = seals.seals_of(february())["entries"]
    columns = (
        *("entry__kind", "entry__for_period", "entry__reason", "entry__justification"),
        *("entry__entered_by_name", "entry__decided_by_name"),
        *("number", "kind", "pi", "project", "fund_org", "source", "natural_account", "service_name", "amount"),
        *("corrects_period", "corrects_key"),
    )
    before = seals.sealed(EntryLine.objects.charged_in(february()), "entry", *columns)
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
        lambda: entries.add_refund(**options),
        lambda: entries.add_write_off(**options),
        lambda: entries.add_transfer(to={"A": Decimal(100)}, **options),
    )
    assert sorted(came) == ["AmountRefused", "AmountRefused", "done"]
    assert sum(entry.amount for entry in Entry.objects.all()) == 100


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_an_entry_and_the_close_of_its_month_do_not_pass_each_other(january):
    line, month = the_line(), february()
    entering, closed = at_once(
        lambda: entries.add_refund(lines=[line], charged_in=month, reason="Down", **BY),
        lambda: closing.close(period=month, **BY),
    )
    assert closed == "done"
    assert (entering, Entry.objects.count()) in (("done", 1), ("PeriodClosed", 0))


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_an_entry_is_reversed_by_one_of_two(january):
    entry = enter(entries.add_refund).entry
    options = {"entry": entry, "charged_in": february(), "reason": "No", **BY}
    assert sorted(at_once(lambda: entries.reverse(**options), lambda: entries.reverse(**options))) == [
        "WrongState",
        "done",
    ]
