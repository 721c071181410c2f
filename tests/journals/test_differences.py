"""What a draft says otherwise than the one before it, and what is kept of that."""

from decimal import Decimal

import pytest

from billing.models import Source
from journals import posting
from journals.differences import Difference
from journals.models import Journal
from journals.posting import drafts
from tests.build import a_charge
from tests.journals.made import WHO, drafted, submitted

pytestmark = pytest.mark.django_db


def kept(journal):
    return Difference.from_data(Journal.objects.get(pk=journal.pk).draft_changes)


def told(found):
    return [(each.kind, each.service_name, str(each.before), str(each.after)) for each in found.changes]


def test_a_first_draft_differs_from_nothing():
    a_charge("100.00")

    assert drafted().journal.draft_changes is None


def test_a_draft_made_again_keeps_what_was_added_what_is_gone_and_what_changed():
    a_charge("100.00", service_name="Compute")
    gone = a_charge("7.00", service_name="Storage")
    first = drafted().journal
    a_charge("50.50", service_name="Compute")
    a_charge("3.00", service_name="Network")
    gone.delete()

    found = kept(drafted().journal)

    assert sorted(told(found)) == [
        ("added", "Network", "0.00", "3.00"),
        ("changed", "Compute", "100.00", "150.50"),
        ("gone", "Storage", "7.00", "0.00"),
    ]
    assert (found.added, found.gone, found.changed) == (1, 1, 1)
    # All changes together are what the whole changed by, and so are the recoveries.
    assert found.before + sum(each.by for each in found.changes) == found.after == Decimal("153.50")
    assert sum(each.by for each in found.recoveries) == found.by == Decimal("46.50")
    assert (found.earlier.debits, found.later.debits) == (107, Decimal("153.50"))
    assert found.earlier.at == first.drafted_at


def test_a_draft_made_again_without_a_change_keeps_the_last_difference():
    a_charge("100.00")
    drafted()
    a_charge("1.00", service_name="Network")
    before = kept(drafted().journal)

    assert kept(drafted().journal) == before


def test_a_line_that_moved_to_another_account_says_from_where():
    a_charge("100.00")
    drafted()
    Source.objects.update(debit_account="6600")

    found = kept(drafted().journal)

    assert sorted((each.kind, each.natural_account, each.reason) for each in found.changes) == [
        ("added", "6600", "Moved from BIO-001 6500"),
        ("gone", "6500", "Moved to BIO-001 6600"),
    ]
    assert found.by == 0


def test_another_recovery_account_is_a_difference_though_no_payer_changes():
    a_charge("100.00")
    drafted()
    Source.objects.update(recovery_account="4999")

    found = kept(drafted().journal)

    assert found.count == 0
    assert [(each.natural_account, each.before, each.after) for each in found.recoveries] == [
        ("4900", 100, 0),
        ("4999", 0, 100),
    ]


def test_lines_beyond_those_told_one_by_one_are_added_up(monkeypatch):
    a_charge("100.00", service_name="Compute")
    drafted()
    for number in range(4):
        a_charge(f"{number + 1}.00", service_name=f"Service {number}")
    monkeypatch.setattr(drafts, "difference", lambda *sides: real(*sides, most=2))

    found = kept(drafted().journal)

    assert [each.after for each in found.changes] == [4, 3]
    assert (found.unshown, found.unshown_by) == (2, 3)


real = drafts.difference


def test_a_submitted_journal_keeps_its_difference_as_it_was():
    a_charge("100.00")
    drafted()
    a_charge("1.00", service_name="Network")
    journal = drafted().journal
    posting.submit(journal=journal, format="gl", **WHO)

    assert kept(journal).by == 1


def test_the_second_journal_of_a_month_is_drafted_beside_the_first():
    a_charge("100.00")
    first = submitted()
    a_charge("5.00", service_name="Network")

    assert drafted().journal.draft_changes is None
    assert first.draft_changes is None
