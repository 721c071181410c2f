"""Journals: what they hold, what they refuse, and what becomes of them."""

import csv
import datetime
import io
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from billing import charging, doors
from billing.errors import ReasonMissing, WrongState
from billing.fields import AmountSum
from billing.models import AuditEvent, PayerLine, Policy
from billing.months import checklist
from journals import drafting, posting
from journals.deltas import Account
from journals.models import Journal, JournalLine, JournalTemplate
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_pi, a_policy, a_project, a_source, a_split

pytestmark = pytest.mark.django_db

WHO = {"actor": SOMEBODY, "now": NOW}


def drafted(period="2025-01", **more):
    month = a_period(period)
    charging.make_payer_lines(period=month, **WHO)
    return posting.draft(period=month, **WHO, **more)


def submitted(period="2025-01", format="gl", **more):
    return posting.export(period=a_period(period), format=format, submit=True, **WHO, **more).journal


def sides(journal):
    """Each line as (fund/org, natural account, debit, credit)."""
    return [
        (line.fund_org, line.natural_account, str(line.debit.normalize()), str(line.credit.normalize()))
        for line in journal.lines.order_by("number")
    ]


def on_chartstrings(*journals):
    sums = {}
    for line in JournalLine.objects.filter(journal__in=journals):
        key = (line.fund_org, line.natural_account)
        sums[key] = sums.get(key, Decimal(0)) + line.debit - line.credit
    return sums


def live_by_key(period="2025-01"):
    """What live journals hold for each payer key, debit less credit of the payer's side."""
    rows = (
        JournalLine.objects.filter(journal__in=Journal.objects.live().filter(period=a_period(period)), side="payer")
        .values("payer_key")
        .annotate(debits=AmountSum("debit"), credits=AmountSum("credit"))
        .order_by()
    )
    return {row["payer_key"]: net for row in rows if (net := row["debits"] - row["credits"])}


def test_a_payer_is_debited_and_the_source_recovers():
    a_charge("100.00", fund_org="BIO-001")

    made = drafted()

    assert sides(made.journal) == [("BIO-001", "6500", "1E+2", "0"), ("RC-AWS", "4900", "0", "1E+2")]
    assert (made.journal.number, made.journal.state) == ("J2025-01-1", "draft")
    assert made.debits == made.credits == 100


def test_a_net_credit_changes_sides():
    a_charge("-25.00", charge_category="Credit")

    line_of_payer, line_of_recovery = drafted().journal.lines.order_by("number")

    assert (line_of_payer.side, line_of_payer.debit, line_of_payer.credit) == ("payer", 0, 25)
    assert (line_of_recovery.side, line_of_recovery.debit, line_of_recovery.credit) == ("recovery", 25, 0)


def test_a_charge_and_a_credit_of_one_fund_stand_in_lines_of_their_own():
    a_charge("100.00", service_name="Compute")
    a_charge("-25.00", service_name="Refunds")

    amounts = [(line.debit, line.credit) for line in drafted().journal.lines.filter(side="payer").order_by("number")]

    assert amounts == [(100, 0), (0, 25)]


def test_five_pis_at_ten_and_half_a_cent_balance():
    for name in "abcde":
        a_charge("10.005", pi=f"{name}@u.edu", project=f"project-{name}")

    made = drafted()

    assert made.debits == made.credits == Decimal("50.05")


def test_two_funds_of_one_project_are_debited_apart():
    a_charge("100.00", fund_org="BIO-001")
    a_charge("900.00", fund_org="BIO-002")

    debits = {line.fund_org: line.debit for line in drafted().journal.lines.filter(side="payer")}

    assert debits == {"BIO-001": 100, "BIO-002": 900}


def test_a_split_project_debits_each_fund_its_share():
    a_split({"A-1": "60", "B-1": "40"}, project=a_project())
    a_charge("10.0125")

    debits = {line.fund_org: line.debit for line in drafted().journal.lines.filter(side="payer")}

    assert debits == {"A-1": Decimal("6.01"), "B-1": Decimal("4.00")}


def test_held_and_rejected_charges_are_in_no_journal():
    a_charge("10.00", flags=("missing_project",))
    a_charge("20.00", state="rejected")
    a_charge("30.00")

    assert drafted().debits == 30


FREE = {"list_cost": Decimal("90.00"), "contracted_cost": Decimal("90.00"), "service_name": "Free"}


def exported(format, **options):
    done = posting.export(period=a_period(), format=format, **options, **WHO)
    return done, list(csv.DictReader(io.StringIO(done.file.read_text())))


def test_showback_is_left_out_and_what_costs_nothing_alone_makes_no_journal():
    a_source("hpc", is_journaled=False)
    a_charge("70.00", source="hpc")
    a_charge("0.00", **FREE)

    assert drafted().journal is None
    with pytest.raises(posting.NothingToSubmit):
        submitted()
    done, rows = exported("standard")
    assert done.journal is None
    assert [(row["list_cost"], row["subsidy"], row["charged"], row["state"]) for row in rows] == [
        ("90.00", "90.00", "0.00", "DRAFT")
    ]
    assert exported("gl")[1] == []


def test_the_detail_shows_every_payer_line_and_the_ledger_none_of_nothing():
    a_source("free", recovery_fund_org="", recovery_account="", debit_account="")
    a_charge("40.00")
    a_charge("0.00", source="free", **FREE)

    _, rows = exported("standard")
    assert [(row["service"], row["list_cost"], row["subsidy"]) for row in rows] == [
        ("Compute", "40.00", "0.00"),
        ("Free", "90.00", "90.00"),
    ]
    [row] = exported("summary")[1]
    assert (row["lines"], row["list_cost"], row["subsidy"], row["charged"]) == ("2", "130.00", "90.00", "40.00")
    # The free source has no accounting, and needs none.
    done, rows = exported("gl", submit=True)
    assert [(row["line"], row["fund_org"]) for row in rows] == [("1", "BIO-001"), ("2", "RC-AWS")]
    assert (done.journal.line_count, done.debits) == (4, 40)
    assert checklist.of(a_period(), is_fresh=True).item("journal").state == checklist.State.DONE


def test_a_line_of_nothing_that_is_on_a_journal_does_not_come_again():
    a_charge("40.00")
    a_charge("0.00", **FREE)
    first = submitted()
    a_charge("5.00", service_name="Storage")

    _, rows = exported("standard")
    assert [row["service"] for row in rows] == ["Storage"]
    submitted()
    posting.reject(journal=Journal.objects.get(pk=first.pk), reason="No.", **WHO)
    _, rows = exported("standard")
    assert [row["service"] for row in rows] == ["Compute", "Free"]


def test_a_reversal_takes_list_price_and_subsidy_back_too():
    a_charge("40.00")
    a_charge("0.00", **FREE)
    journal = submitted()
    posting.post(journal=journal, document_number="1", **WHO)
    reversal = posting.reverse(journal=journal, reason="Wrong month.", **WHO).reversal
    lines = [line for line in reversal.lines.all() if line.side == "payer"]
    assert sum(line.list_cost for line in lines) == -130


def test_a_list_price_that_changed_alone_is_shown_and_not_submitted():
    charge = a_charge("40.00", list_cost=Decimal("50.00"))
    submitted()
    charge.list_cost = Decimal("60.00")
    charge.save()

    _, rows = exported("standard")
    assert [(row["list_cost"], row["charged"]) for row in rows] == [("10.00", "0.00")]
    with pytest.raises(posting.NothingToSubmit):
        submitted()
    assert checklist.of(a_period(), is_fresh=True).item("journal").state == checklist.State.DONE


def test_a_template_gets_no_lines_of_nothing():
    JournalTemplate.objects.create(name="bank", line="{{ line.service }}", footer="{{ journal.line_count }}")
    a_charge("40.00")
    a_charge("0.00", **FREE)
    done = posting.export(period=a_period(), format="bank", **WHO)
    assert done.file.read_text().splitlines()[1:] == ["Compute", "Compute", "2"]


def test_absorbed_charges_are_paid_by_the_center_through_the_journal():
    a_policy(center_fund_org="RC-000")
    a_charge("12.00", state="absorbed")

    payer = drafted().journal.lines.get(side="payer")

    assert (payer.fund_org, payer.debit, payer.kind) == ("RC-000", 12, PayerLine.Kind.ABSORBED)


def test_the_description_carries_the_reference_of_the_statement():
    a_charge("1.00", service_name="Amazon, Simple\nStorage", project="=genomics")

    line = drafted().journal.lines.first()

    assert line.reference == "2025-01-0001"
    assert line.description == "2025-01-0001 =genomics AWS Amazon, Simple Storage"


def test_a_long_description_is_cut_to_what_a_ledger_takes():
    a_charge("1.00", service_name="S" * 254, project="p" * 128)

    assert len(drafted().journal.lines.first().description) == 254


def test_a_second_draft_takes_the_place_of_the_first():
    a_charge("100.00")
    first = drafted().journal
    a_charge("5.00", service_name="Storage")

    second = drafted().journal

    assert second == first
    assert second.debits == 105
    assert Journal.objects.count() == 1


def test_a_draft_vanishes_when_nothing_is_left_to_journal():
    charge = a_charge("100.00")
    drafted()
    charge.delete()

    assert drafted().journal is None
    assert not Journal.objects.exists()


def test_submitting_freezes_the_journal_and_the_next_draft_holds_only_what_changed():
    a_charge("100.00", service_name="Compute")
    first = submitted()
    a_charge("7.50", service_name="Compute")
    a_charge("1.00", service_name="Storage")

    second = drafted().journal

    assert second.number == "J2025-01-2"
    amounts = {line.service_name: line.debit for line in second.lines.filter(side="payer")}
    assert amounts == {"Compute": Decimal("7.5"), "Storage": 1}
    first.refresh_from_db()
    assert (first.state, first.debits) == ("submitted", 100)


def test_charges_moved_to_another_project_are_taken_back_and_charged_anew():
    charge = a_charge("40.00", project="old", fund_org="OLD-1")
    submitted()
    charge.project, charge.fund_org = a_project("new"), "NEW-1"
    charge.save()

    second = drafted().journal

    payers = {
        (line.project_code, line.fund_org): line.debit - line.credit for line in second.lines.filter(side="payer")
    }
    assert payers == {("old", "OLD-1"): -40, ("new", "NEW-1"): 40}
    assert second.debits == second.credits == 80


def test_what_vanishes_is_taken_back_from_the_account_it_was_put_on():
    charge = a_charge("40.00")
    submitted()
    source = charge.source
    source.debit_account, source.recovery_fund_org = "6999", "RC-NEW"
    source.save()
    charge.delete()

    back = drafted().journal

    assert sides(back) == [("BIO-001", "6500", "0", "4E+1"), ("RC-AWS", "4900", "4E+1", "0")]


def test_what_is_taken_back_in_part_comes_from_the_old_account_and_what_is_added_goes_to_the_new():
    charge = a_charge("40.00")
    submitted()
    charge.source.recovery_fund_org = "RC-NEW"
    charge.source.save()
    charge.billed_cost = Decimal("30.00")
    charge.save()

    assert drafted().journal.lines.get(side="recovery").fund_org == "RC-AWS"

    charge.billed_cost = Decimal("55.00")
    charge.save()

    assert drafted().journal.lines.get(side="recovery").fund_org == "RC-NEW"


def test_a_row_with_its_own_natural_account_is_debited_there():
    a_charge("3.00", natural_account="7777")

    assert drafted().journal.lines.get(side="payer").natural_account == "7777"


def test_nothing_new_refuses_to_be_submitted_and_exports_headings_only():
    a_charge("100.00")
    submitted()

    exported = posting.export(period=a_period(), format="gl", **WHO)

    assert (exported.number, exported.lines) == ("", 0)
    assert len(exported.file.read_text().splitlines()) == 1
    with pytest.raises(posting.NothingToSubmit, match="J2025-01-1"):
        submitted()


def test_an_export_is_of_todays_charges():
    a_charge("100.00")
    drafted()
    a_charge("1.00")

    exported = posting.export(period=a_period(), format="gl", **WHO)

    assert exported.debits == 101


def test_a_finalized_period_exports_its_payer_lines_as_they_stand():
    a_charge("100.00")
    charging.make_payer_lines(period=a_period(), **WHO)
    month = a_period()
    month.status, month.closed_at, month.finalized_at = "finalized", NOW, NOW
    month.save()

    assert posting.export(period=month, format="gl", **WHO).debits == 100


def test_a_source_without_accounting_refuses_the_ledger_and_says_how_to_set_it():
    a_source("hpc", recovery_fund_org="", recovery_account="", debit_account="")
    a_source("storage", recovery_fund_org="")
    a_charge("1.00", source="hpc")
    a_charge("2.00", source="storage")
    a_charge("3.00", source="aws")

    with pytest.raises(drafting.AccountingMissing) as refusal:
        posting.export(period=a_period(), format="gl", **WHO)

    said = str(refusal.value)
    assert "- hpc has no debit account code, no recovery account code, no recovery fund/org\n" in said
    assert "- storage has no recovery fund/org\n" in said
    assert doors.as_command(refusal.value.then).startswith("manage.py sources set hpc --recovery-fund-org")
    assert "aws" not in said
    assert not Journal.objects.exists()


@pytest.mark.parametrize("format", ["standard", "summary"])
def test_a_draft_for_people_needs_no_accounting_but_submitting_it_does(format):
    a_source("hpc", recovery_fund_org="")
    a_charge("1.00", source="hpc")

    assert posting.export(period=a_period(), format=format, **WHO).lines == 1
    with pytest.raises(drafting.AccountingMissing):
        submitted(format=format)


def test_zero_lines_need_no_accounting():
    a_source("hpc", recovery_fund_org="", recovery_account="")
    a_charge("0.00", source="hpc")
    a_charge("5.00")

    assert submitted().debits == 5


def test_segments_are_parsed_by_the_policy():
    a_policy(fund_org_segments=r"(?P<fund>[A-Z]+)-(?P<org>[A-Z0-9]+)")
    a_charge("1.00")

    payer, recovery = drafted().journal.lines.order_by("number")

    assert payer.segments == {"fund": "BIO", "org": "001"}
    assert recovery.segments == {"fund": "RC", "org": "AWS"}


def test_a_fund_that_does_not_parse_refuses_the_ledger_by_name():
    a_policy(fund_org_segments=r"(?P<fund>[A-Z]+)-(?P<org>[A-Z0-9]+)")
    a_charge("1.00", fund_org="bio/1")

    with pytest.raises(drafting.FundOrgNotParsed, match="bio/1"):
        posting.export(period=a_period(), format="gl", **WHO)
    assert posting.export(period=a_period(), format="standard", **WHO).lines == 1


@pytest.mark.parametrize(
    ("date", "refusal"),
    [
        (datetime.date(2025, 2, 4), "in the future"),
        (datetime.date(2025, 1, 9), "before the last charge of 2025-01, on 2025-01-10"),
    ],
)
def test_a_journal_refuses_a_date_it_cannot_bear(date, refusal):
    a_charge(
        "1.00",
        charge_period_start=datetime.datetime(2025, 1, 10, tzinfo=datetime.UTC),
        charge_period_end=datetime.datetime(2025, 1, 11, tzinfo=datetime.UTC),
    )

    with pytest.raises(drafting.PostingDateRefused, match=refusal):
        submitted(posting_date=date)


def test_a_journal_stays_in_the_fiscal_year_of_its_period():
    a_policy(fiscal_year_start=7)
    a_charge("1.00", period="2025-06")
    later = datetime.datetime(2025, 7, 3, tzinfo=datetime.UTC)

    with pytest.raises(drafting.PostingDateRefused, match="fiscal year 2025"):
        posting.export(
            period=a_period("2025-06"),
            format="gl",
            posting_date=datetime.date(2025, 7, 2),
            submit=True,
            actor=SOMEBODY,
            now=later,
        )
    exported = posting.export(period=a_period("2025-06"), format="gl", submit=True, actor=SOMEBODY, now=later)
    assert exported.journal.posting_date == datetime.date(2025, 6, 30)


@pytest.mark.parametrize(
    ("day", "start", "year"),
    [
        (datetime.date(2025, 6, 30), 7, 2025),
        (datetime.date(2025, 7, 1), 7, 2026),
        (datetime.date(2025, 12, 31), 1, 2025),
        (datetime.date(2025, 1, 1), 1, 2025),
    ],
)
def test_a_fiscal_year_is_named_for_the_year_it_ends_in(day, start, year):
    assert drafting.fiscal_year(day, start) == year


def test_a_period_under_way_is_dated_today():
    a_charge("1.00", period="2025-02")

    assert drafted("2025-02").journal.posting_date == NOW.date()


def test_the_ledgers_document_number_posts_a_journal():
    a_charge("1.00")
    journal = submitted()

    posted = posting.post(journal=journal, document_number=" JV-77 ", **WHO)

    assert (posted.state, posted.document_number, posted.posted_at) == ("posted", "JV-77", NOW)
    with pytest.raises(WrongState, match="is posted: only a submitted one"):
        posting.post(journal=journal, document_number="JV-78", **WHO)


def test_posting_needs_a_document_number_and_rejecting_a_reason():
    a_charge("1.00")
    journal = submitted()

    with pytest.raises(ReasonMissing, match="document number"):
        posting.post(journal=journal, document_number=" ", **WHO)
    with pytest.raises(ReasonMissing, match="why the ledger rejected"):
        posting.reject(journal=journal, reason="", **WHO)
    journal.refresh_from_db()
    assert journal.state == "submitted"


def test_a_rejected_journal_frees_its_lines():
    a_charge("100.00")
    journal = submitted()

    posting.reject(journal=journal, reason="Unknown org.", lines=[1], **WHO)

    journal.refresh_from_db()
    assert (journal.state, journal.rejection_reason) == ("rejected", "Line 1: Unknown org.")
    again = drafted().journal
    assert (again.number, again.debits) == ("J2025-01-2", 100)


def test_rejecting_a_line_that_is_not_there_says_so():
    a_charge("100.00")

    with pytest.raises(posting.UnknownJournal, match="has no line 9; it has 2"):
        posting.reject(journal=submitted(), reason="No.", lines=[9], **WHO)


def test_a_journal_and_its_reversal_are_zero_on_every_chartstring():
    a_charge("100.00")
    a_charge("-25.00", service_name="Refunds", fund_org="BIO-002")
    journal = posting.post(journal=submitted(), document_number="1", **WHO)

    taken_back = posting.reverse(journal=journal, reason="Wrong month.", **WHO)

    assert taken_back.reversal.number == "R2025-01-1"
    assert taken_back.reversal.state == "submitted"
    assert taken_back.journal.state == "reversed"
    sums = on_chartstrings(journal, taken_back.reversal)
    assert len(sums) == 3
    assert set(sums.values()) == {Decimal(0)}
    assert drafted().journal.debits == journal.debits


def test_only_a_posted_journal_is_reversed_and_a_reversal_never():
    a_charge("1.00")
    journal = submitted()
    with pytest.raises(WrongState, match="only a posted one can be reversed"):
        posting.reverse(journal=journal, reason="Oh.", **WHO)
    posting.post(journal=journal, document_number="1", **WHO)
    reversal = posting.reverse(journal=journal, reason="Oh.", **WHO).reversal

    with pytest.raises(WrongState, match="is a reversal itself"):
        posting.reverse(journal=reversal, reason="Oh.", **WHO)


def test_a_rejected_reversal_leaves_the_journal_posted_and_can_be_made_again():
    a_charge("100.00")
    journal = posting.post(journal=submitted(), document_number="1", **WHO)
    reversal = posting.reverse(journal=journal, reason="Wrong.", **WHO).reversal

    posting.reject(journal=reversal, reason="Period shut in the ledger.", **WHO)

    journal.refresh_from_db()
    assert journal.state == "posted"
    assert drafted().journal is None
    assert posting.reverse(journal=journal, reason="Now.", **WHO).reversal.number == "R2025-01-2"


def test_without_a_ledgers_answer_a_submitted_journal_counts_as_posted():
    a_policy(requires_ledger_answer=False)
    a_charge("1.00")

    journal = submitted()

    assert (journal.state, journal.posted_at) == ("posted", NOW)
    assert posting.reverse(journal=journal, reason="Oh.", **WHO).reversal.state == "posted"


def test_a_draft_seen_before_the_charges_changed_is_not_submitted():
    a_charge("100.00")
    seen = drafted().journal
    a_charge("1.00")

    with pytest.raises(posting.DraftOutdated) as refusal:
        posting.submit(journal=seen, format="gl", **WHO)

    assert doors.as_command(refusal.value.then) == "manage.py export_journal -p 2025-01 -f gl"
    assert doors.url_of(refusal.value.then) == reverse("admin:journals_journal_redraft", args=[seen.pk])


def test_a_draft_is_submitted_as_seen():
    a_charge("100.00")

    journal = posting.submit(journal=drafted().journal, format="gl", **WHO)

    assert journal.state == "submitted"
    assert posting.content_of(journal).startswith(b"journal,")


def test_a_lost_file_is_made_again_and_an_altered_one_is_refused(settings):
    a_charge("100.00")
    journal = submitted()
    path = settings.VAR_DIR / journal.file_path
    before = path.read_bytes()

    path.unlink()
    assert posting.content_of(journal) == before
    assert path.read_bytes() == before

    path.write_bytes(before.replace(b"100.00", b"900.00"))
    with pytest.raises(posting.FileMissing, match="not the one that was submitted"):
        posting.content_of(journal)


def test_downloading_is_in_the_audit_trail():
    a_charge("100.00")
    journal = submitted()

    handed = posting.download(journal=journal, **WHO)

    assert handed.name == "J2025-01-1-gl.csv"
    event = AuditEvent.objects.get(action="journal.downloaded")
    assert (event.actor_name, event.object_label) == ("somebody", "J2025-01-1")


def test_every_step_of_a_journal_is_in_the_audit_trail():
    a_charge("100.00")
    journal = submitted()
    posting.post(journal=journal, document_number="1", **WHO)
    posting.reverse(journal=journal, reason="Wrong.", **WHO)

    actions = AuditEvent.objects.filter(action__startswith="journal.").order_by("id").values_list("action", flat=True)

    assert list(actions) == [
        "journal.drafted",
        "journal.submitted",
        "journal.posted",
        "journal.reversed",
        "journal.submitted",
    ]


def left():
    """Return what of the journals keeps the month from being finalized: code, text and next step."""
    listed = checklist.of(a_period(), only=["journal", "submitted", "answered"], is_fresh=True)
    return [(item.code, item.text, item.then.name) for item in listed.keeping_from("finalize")]


def test_finalizing_waits_until_everything_is_journaled_and_answered():
    a_charge("100.00")
    charging.make_payer_lines(period=a_period(), **WHO)
    assert left()[0] == ("journal", "100.00 USD of 1 payer line is not journaled.", "export_journal")
    drafted()
    assert left() == [("submitted", "Journal J2025-01-1 over 100.00 USD is not submitted.", "submit_journal")]
    # Whoever follows the way to an outdated draft would only be refused there.
    a_charge("5.00")
    outdated, blocked = left()
    assert outdated[1].startswith("Draft J2025-01-1 is not what is to be journaled today: 1 payer line, 105.00 USD.")
    assert (outdated[2], blocked[2]) == ("export_journal", "export_journal")
    journal = submitted()
    ((code, text, then),) = left()
    assert (code, then) == ("answered", "answer_journal")
    assert "waits for the ledger's answer" in text
    posting.post(journal=journal, document_number="1", **WHO)
    assert left() == []


def test_the_close_asks_the_journals():
    a_charge("100.00")
    charging.make_payer_lines(period=a_period(), **WHO)

    assert checklist.of(a_period()).item("journal") in checklist.of(a_period()).keeping_from("finalize")


def test_the_database_refuses_an_unbalanced_journal():
    a_charge("100.00")
    journal = submitted()

    with pytest.raises(IntegrityError), transaction.atomic():
        Journal.objects.filter(pk=journal.pk).update(debits=Decimal("100.01"))


def test_the_database_refuses_a_second_draft():
    a_charge("100.00")
    journal = drafted().journal
    journal.pk, journal.number = None, "J2025-01-99"

    with pytest.raises(IntegrityError), transaction.atomic():
        Journal.objects.bulk_create([journal])


def test_a_journal_is_found_by_number_id_or_period():
    a_charge("100.00")
    journal = submitted()

    for text in ("J2025-01-1", "j2025-01-1", str(journal.pk), "2025-01"):
        assert posting.journal_named(text, among=Journal.objects.open(), waiting="waits") == journal
    with pytest.raises(posting.UnknownJournal, match="There is no journal J2025-01-9"):
        posting.journal_named("J2025-01-9", among=Journal.objects.open(), waiting="waits")


def test_a_period_with_two_open_journals_asks_for_one_by_number():
    a_charge("100.00")
    submitted()
    a_charge("1.00")
    submitted()

    with pytest.raises(posting.UnknownJournal, match="J2025-01-1, J2025-01-2"):
        posting.journal_named("2025-01", among=Journal.objects.open(), waiting="wait")


def test_a_preview_writes_nothing_and_names_the_problems():
    a_source("hpc", recovery_fund_org="")
    a_charge("10.00", source="hpc")

    seen = posting.preview(period=a_period(), format="gl", now=NOW)

    assert (seen.pairs, seen.debits, seen.credits) == (1, 10, 10)
    assert "hpc has no recovery fund/org" in seen.problems[0]
    assert not PayerLine.objects.exists()
    assert not Journal.objects.exists()


def test_deltas_clear_every_account_of_a_vanished_payer():
    """40 on the old account, 15 added on the new: when the charge goes, both go."""
    charge = a_charge("40.00")
    submitted()
    charge.source.recovery_fund_org = "RC-NEW"
    charge.source.save()
    charge.billed_cost = Decimal("55.00")
    charge.save()
    submitted()
    charge.delete()

    submitted()

    assert set(on_chartstrings(*Journal.objects.all()).values()) == {Decimal(0)}


def test_a_journal_of_two_late_months_keeps_which_month_a_line_is_for():
    a_charge("10.00")
    late = a_charge("4.00")
    late.period = a_period("2024-12")
    late.save()

    months = set(drafted().journal.lines.values_list("for_month", flat=True))

    assert months == {"2025-01", "2024-12"}


def test_an_account_is_whole_only_with_both_parts():
    assert Account("F", "1").is_whole
    assert not Account("F", "").is_whole


def test_template_is_the_one_there_is():
    a_charge("1.00")
    with pytest.raises(posting.UnknownFormat, match="no journal template yet"):
        posting.export(period=a_period(), format="template", **WHO)
    JournalTemplate.objects.create(name="bank", line="{{ line.fund_org }},{{ line.debit }}")
    assert posting.export(period=a_period(), format="template", **WHO).format == "bank"
    JournalTemplate.objects.create(name="other", line="x")
    with pytest.raises(posting.UnknownFormat, match="bank, other"):
        posting.export(period=a_period(), format="template", **WHO)


def test_a_pi_without_a_name_is_still_in_the_detail():
    a_pi("ada@u.edu", name="")
    a_charge("1.00")

    assert drafted().journal.lines.first().pi_email == "ada@u.edu"


def test_the_currency_is_the_policys():
    a_policy(currency="EUR")
    a_charge("1.00", currency="EUR")

    assert drafted().journal.currency == Policy.objects.current().currency == "EUR"
