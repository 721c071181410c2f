"""Journals submitted, and the ledger's answer: posted, rejected, reversed."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from billing import charging, doors
from billing.errors import ReasonMissing, WrongState
from billing.models import AuditEvent
from billing.months import checklist
from journals import posting
from journals.models import Journal
from tests.build import NOW, a_charge, a_period, a_policy
from tests.journals.made import WHO, drafted, on_chartstrings, submitted

pytestmark = pytest.mark.django_db


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


def test_every_step_of_a_journal_is_in_the_audit_log():
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
    assert (outdated[2], blocked[2]) == ("draft_again", "draft_again")
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
