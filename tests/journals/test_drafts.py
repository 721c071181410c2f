"""What a draft holds: each payer debited, each source recovered, and only what no live journal has."""

from decimal import Decimal

import pytest

from billing.models import PayerLine
from billing.months import checklist
from journals import posting
from journals.deltas import Account
from journals.models import Journal, JournalTemplate
from tests.build import NOW, a_charge, a_period, a_policy, a_project, a_source, a_split
from tests.journals.made import WHO, drafted, exported, on_chartstrings, sides, submitted

pytestmark = pytest.mark.django_db

FREE = {"list_cost": Decimal("90.00"), "contracted_cost": Decimal("90.00"), "service_name": "Free"}


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


def test_charges_to_the_center_are_paid_by_the_center_through_the_journal():
    a_policy(center_fund_org="RC-000")
    a_charge("12.00", state="charged_to_center")

    payer = drafted().journal.lines.get(side="payer")

    assert (payer.fund_org, payer.debit, payer.kind) == ("RC-000", 12, PayerLine.Kind.CHARGED_TO_CENTER)


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


def test_a_preview_writes_nothing_and_names_the_problems():
    a_source("hpc", recovery_fund_org="")
    a_charge("10.00", source="hpc")

    seen = posting.preview(period=a_period(), format="gl", now=NOW)

    assert (seen.prospect.pairs, seen.prospect.debits, seen.prospect.credits) == (1, 10, 10)
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
