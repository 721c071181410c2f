"""The proof: it comes out at every step of a month, and not when a row is touched behind its back."""

import hashlib
import io
import json
import re
from decimal import Decimal
from html import unescape
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import TestCase
from django.urls import reverse
from pypdf import PdfReader

from billing import corrections, doors, proof, review
from billing.fields import TOTAL_PLACES, to_units
from billing.files.received import local_copy
from billing.importing import booking, withdrawing
from billing.models import (
    DIMENSION_MODELS,
    PATHS,
    AuditEvent,
    BillingPeriod,
    Charge,
    Correction,
    CorrectionLine,
    ExchangeRate,
    FrozenProof,
    Import,
    ImportTotal,
    PayerLine,
    Product,
    ResourceText,
    Source,
    StoredFile,
)
from billing.months import closing
from billing.proof import coverage, invoices, rereading, seals, tieout
from billing.proof.month import Month
from billing.readers.dimensions import FIELDS, hash_of
from journals import posting
from journals.models import Journal, JournalLine
from statements import issuing
from statements.models import Statement, StatementLine
from tests import build, standing
from tests.billing.deliveries import NO_TAGS, a_row, delivered

pytestmark = [pytest.mark.django_db, pytest.mark.bends_charges]

DONE = {"actor": build.SOMEBODY, "now": build.NOW}


def proved(month="2025-01"):
    """Prove a month, demand that it comes out, and return the proof."""
    found = proof.prove(BillingPeriod.objects.named(month))
    assert found.reconciles, found.problems()
    return found


def equation(found, code="delivered", source="aws", **of):
    (only,) = [
        each
        for each in found.equations
        if (each.code, each.source) == (code, source)
        and all(getattr(each, name) == value for name, value in of.items())
    ]
    return only


def figures(each):
    """Return an equation's terms as code to (amount, count)."""
    return {term.code: (proof.exact_text(term.amount, each.currency), term.count) for term in (*each.left, *each.right)}


def told(month="2025-01", **of):
    return figures(equation(proved(month), **of))


def issue(month="2025-01"):
    issuing.generate(period=BillingPeriod.objects.named(month), **DONE)


def finish(month="2025-01"):
    """Close, charge, state and journal a month, as finalizing asks for."""
    period = BillingPeriod.objects.named(month)
    closing.close(period=period, **DONE)
    issue(month)
    posting.export(period=BillingPeriod.objects.named(month), format="standard", submit=True, **DONE)


def test_a_simple_month_comes_out_to_the_last_digit_with_counts(tmp_path):
    delivered(tmp_path, [a_row("100.00"), a_row("0.123456789012"), a_row("-20")])
    found = proved()
    assert figures(equation(found)) == {
        "files": ("80.123456789012", 3),
        "charged": ("80.12345679", 3),
        "rounding": ("-0.000000000988", 0),
    }
    assert [(each.note, each.then.name) for each in found.open] == [
        ("Payer lines are not made yet.", "issue_statements")
    ]
    issue()
    found = proved()
    assert figures(equation(found, "charged")) == {
        "chargeable": ("80.12345679", 3),
        "lines:charge": ("80.12", 1),
        "cents": ("0.00345679", 0),
    }
    assert [(each.code, each.then.name) for each in found.open] == [("journaled", "export_journal")]
    # Where there is a draft, nobody is asked to make one.
    draft = posting.draft(period=BillingPeriod.objects.named("2025-01"), **DONE).journal
    (then,) = [each.then for each in proved().open]
    assert doors.label_of(then) == f"Look at draft {draft.number}"
    assert doors.url_of(then) == reverse("admin:journals_journal_change", args=[draft.pk])
    assert doors.as_command(then) == "manage.py export_journal -p 2025-01 -f gl --submit"
    finish()
    found = proved()
    assert found.is_complete
    assert figures(equation(found, "journaled")) == {"lines": ("80.12", 1), "journaled": ("80.12", 1)}
    assert figures(equation(found, "stated")) == {"lines": ("80.12", 1), "stated": ("80.12", 1)}


def test_held_rejected_and_centers_own_charges_are_accounted_for(tmp_path):
    build.a_policy(center_fund_org="CTR-1")
    delivered(
        tmp_path, [a_row("100"), *(a_row(each, tags=NO_TAGS, ResourceId=f"i-{each}") for each in ("5", "7", "11"))]
    )
    assert told() == {"files": ("123.00", 4), "charged": ("100.00", 1), "held": ("23.00", 3)}
    of = {charge.billed_cost: charge for charge in Charge.objects.all()}
    review.reject(provider_credits=True, charges=[of[Decimal(5)].pk], reason="not_ours", note="theirs", **DONE)
    review.charge_to_center(charges=[of[Decimal(7)].pk], note="ours", **DONE)
    issue()
    found = proved()
    assert figures(equation(found)) == {
        "files": ("123.00", 4),
        "charged": ("100.00", 1),
        "charged_to_center": ("7.00", 1),
        "rejected": ("5.00", 1),
        "held": ("11.00", 1),
    }
    assert figures(equation(found, "charged")) == {
        "chargeable": ("107.00", 2),
        "lines:charge": ("100.00", 1),
        "lines:charged_to_center": ("7.00", 1),
    }
    # What the center bears is on no statement.
    assert figures(equation(found, "stated"))["lines"] == ("100.00", 1)


def test_a_merge_that_says_again_replaces_and_adds_counts_each_row_once(tmp_path):
    source = build.a_source("other", import_mode=Source.ImportMode.MERGE, file_name_patterns="")
    first = [a_row("10", ResourceId="i-1"), a_row("20", ResourceId="i-2"), a_row("30", ResourceId="i-3")]
    delivered(tmp_path, first, source=source)
    second = [a_row("20", ResourceId="i-2"), a_row("35", ResourceId="i-3"), a_row("40", ResourceId="i-4")]
    delivered(tmp_path, second, name="aws_2025-01-b.csv", source=source)
    assert told(source="other") == {
        "files": ("155.00", 6),
        "again": ("-20.00", -1),
        "displaced": ("-30.00", -1),
        "charged": ("105.00", 4),
    }


def test_a_snapshot_replaces_what_it_has_no_more_and_withdrawing_it_brings_that_back(tmp_path):
    delivered(tmp_path, [a_row("10", ResourceId="i-1"), a_row("20", ResourceId="i-2"), a_row("1", ResourceId="i-3")])
    again = delivered(
        tmp_path, [a_row("12", ResourceId="i-1"), a_row("20", ResourceId="i-2")], name="aws_2025-01-b.csv"
    )
    assert told() == {
        "files": ("63.00", 5),
        "again": ("-20.00", -1),
        "displaced": ("-11.00", -2),
        "charged": ("32.00", 2),
    }
    withdrawing.withdraw(imported=again.imported, **DONE)
    assert told() == {"files": ("31.00", 3), "charged": ("31.00", 3)}
    withdrawing.withdraw(imported=Import.objects.order_by("id").first(), **DONE)
    assert proved().equations == []


def test_rounding_beyond_eight_decimals_is_that_of_the_snapshot_in_force(tmp_path):
    delivered(tmp_path, [a_row("1.0000000012", ResourceId="i-1")])
    delivered(
        tmp_path, [a_row("1.0000000012", ResourceId="i-1"), a_row("2.0000000001", ResourceId="i-2")], name="b.csv"
    )
    assert told()["rounding"] == ("0.0000000013", 0)


def test_late_changes_of_minus_200_and_plus_50_are_borne_by_the_month_they_were_booked_in(tmp_path):
    delivered(tmp_path, [a_row("9000", ResourceId="i-1"), a_row("1000", ResourceId="i-2")])
    issue()
    closing.close(period=build.a_period("2025-01"), **DONE)
    march = build.a_period("2025-03")
    for number, amount in enumerate(("800", "850")):
        rows = [a_row("9000", ResourceId="i-1"), a_row(amount, ResourceId="i-2")]
        waits = delivered(tmp_path, rows, name=f"aws_2025-01-{number}.csv").deferred
        assert told() == {"files": ("10000.00", 2), "charged": ("10000.00", 2)}
        booking.book(imported=waits, into=march, **DONE)
        expected = Decimal(amount) - 1000
        assert equation(proved("2025-03")).left_sum == expected
        issue("2025-03")
        found = proved("2025-03")
        assert figures(equation(found, "charged"))["lines:late"] == (proof.plain(expected), 1)
    assert told() == {"files": ("10000.00", 2), "charged": ("10000.00", 2)}
    assert told("2025-03") == {"files": ("0.00", 0), "late": ("-150.00", 0), "charged": ("-150.00", 0)}


def test_held_charges_carried_over_leave_one_month_and_come_into_the_other(tmp_path):
    delivered(tmp_path, [a_row("100"), a_row("7", tags=NO_TAGS, ResourceId="i-2")])
    closing.close(period=build.a_period("2025-01"), carry_held=True, **DONE)
    assert told() == {"files": ("107.00", 2), "charged": ("100.00", 1), "carried_out": ("7.00", 1)}
    assert told("2025-02") == {"files": ("0.00", 0), "carried_in": ("7.00", 1), "held": ("7.00", 1)}
    # The provider changes it while it waits there.
    rows = [a_row("100"), a_row("9", tags=NO_TAGS, ResourceId="i-2")]
    waits = delivered(tmp_path, rows, name="aws_2025-01-b.csv").deferred
    booking.book(imported=waits, into=build.a_period("2025-02"), **DONE)
    assert told() == {"files": ("107.00", 2), "charged": ("100.00", 1), "carried_out": ("7.00", 1)}
    assert told("2025-02") == {
        "files": ("0.00", 0),
        "late": ("2.00", 0),
        "carried_in": ("7.00", 1),
        "held": ("9.00", 1),
    }


def test_a_reopened_month_that_had_late_changes_elsewhere_comes_out_in_both(tmp_path):
    delivered(tmp_path, [a_row("9000", ResourceId="i-1"), a_row("1000", ResourceId="i-2")])
    january = build.a_period("2025-01")
    closing.close(period=january, **DONE)
    rows = [a_row("9000", ResourceId="i-1"), a_row("800", ResourceId="i-2")]
    waits = delivered(tmp_path, rows, name="aws_2025-01-b.csv").deferred
    booking.book(imported=waits, into=build.a_period("2025-02"), **DONE)
    closing.reopen(period=january, reason="a file was missing", **DONE)
    delivered(tmp_path, [a_row("9000", ResourceId="i-1"), a_row("850", ResourceId="i-2")], name="aws_2025-01-c.csv")
    # 850 stays in February, which had 800: January carries it there.
    assert equation(proved("2025-01")).right_sum == 10850
    assert equation(proved("2025-02")).right_sum == -150


def test_foreign_currency_is_proved_as_delivered_and_converted(tmp_path):
    delivered(tmp_path, [a_row("100.10", BillingCurrency="EUR"), a_row("50", ResourceId="i-2")])
    found = proved()
    assert figures(equation(found, currency="EUR")) == {"files": ("100.10", 1), "charged": ("100.10", 1)}
    assert equation(found, "charged", of_currency="EUR").note == "There is no exchange rate for EUR in January 2025."
    ExchangeRate.objects.create(period=build.a_period(), currency="EUR", rate=Decimal("1.0837123456"))
    issue()
    found = proved()
    assert figures(equation(found, "charged", of_currency="EUR")) == {
        # 100.10 × 1.0837123456 = 108.47960579456
        "chargeable": ("108.47960579456", 1),
        "lines:charge": ("108.48", 1),
        "cents": ("-0.00039421", 0),
        "converted": ("0.00000000456", 0),
    }


def test_a_60_40_split_and_a_funded_subsidy_come_out(tmp_path):
    source = build.a_source("hpc", kind=Source.Kind.INTERNAL, subsidy_fund_org="SUB-1")
    split = build.a_split({"BIO-001": "60", "GIFT-2": "40"}, project=build.a_project())
    assert split
    rows = [a_row("10.0125", ListCost="50", ContractedCost="50")]
    delivered(tmp_path, rows, name="hpc_2025-01.csv", source=source)
    finish()
    found = proved()
    assert found.is_complete
    assert figures(equation(found, "charged", "hpc")) == {
        "chargeable": ("10.0125", 1),
        # What the user's cents leave of 10.0125, those of the subsidy take back.
        "subsidies": ("39.9875", 1),
        "lines:charge": ("10.01", 2),
        "lines:subsidy": ("39.99", 1),
    }
    assert figures(equation(found, "journaled", "hpc")) == {"lines": ("50.00", 3), "journaled": ("50.00", 3)}


def test_rolled_up_imports_count_the_rows_of_the_files(tmp_path):
    source = build.a_source("aws", grain=Source.Grain.DAY)
    hours = [
        a_row(
            "0.1", ChargePeriodStart=f"2025-01-05T{hour:02}:00:00Z", ChargePeriodEnd=f"2025-01-05T{hour + 1:02}:00:00Z"
        )
        for hour in range(10)
    ]
    delivered(tmp_path, hours, source=source)
    assert Charge.objects.count() == 1
    assert told() == {"files": ("1.00", 10), "charged": ("1.00", 10)}
    delivered(tmp_path, hours[:9], name="aws_2025-01-b.csv", source=source)
    assert told()["charged"] == ("0.90", 9)


def test_a_source_charged_by_effective_cost_is_proved_by_it(tmp_path):
    source = build.a_source("aws", cost_measure=Source.Measure.EFFECTIVE)
    bought = a_row("100", EffectiveCost="0", ChargeCategory="Purchase", CommitmentDiscountId="sp-1")
    used = a_row("0", EffectiveCost="3.25", ResourceId="i-2", CommitmentDiscountId="sp-1")
    delivered(tmp_path, [bought, used], source=source)
    assert told() == {"files": ("3.25", 2), "charged": ("3.25", 2)}


def test_showback_is_accounted_for_without_the_ledger(tmp_path):
    source = build.a_source("aws", is_journaled=False)
    delivered(tmp_path, [a_row("100")], source=source)
    issue()
    assert told(code="journaled") == {"lines": ("100.00", 1), "showback": ("100.00", 1)}


def test_a_deferred_delivery_does_not_count(tmp_path):
    delivered(tmp_path, [a_row("100")])
    closing.close(period=build.a_period(), **DONE)
    waits = delivered(tmp_path, [a_row("90")], name="aws_2025-01-b.csv").deferred
    assert ImportTotal.objects.filter(imported_in=waits).exists()
    assert told()["files"] == ("100.00", 1)


# Tampering --------------------------------------------------------------------------------------


def of(resource):
    """Return SQL that matches the charges of a resource."""
    return f"resource_id IN (SELECT id FROM billing_resourcetext WHERE resource_id = '{resource}')"


def raw(sql, *values):
    """Change rows past every safeguard, the database's own taken off."""
    with build.safeguards_down(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def a_finished_month(folder):
    build.a_policy(requires_ledger_answer=False)
    rows = [a_row("100", ResourceId="i-1"), a_row("20.5", ResourceId="i-2"), a_row("3", ResourceId="i-3")]
    delivered(folder, rows)
    finish()
    assert proved().is_complete


@standing.fixture
def finished(folder):
    """A closed, stated and journaled January of three charges."""
    a_finished_month(folder)


def off(month="2025-01"):
    found = proof.prove(BillingPeriod.objects.named(month))
    assert not found.reconciles
    return found


def culprits(found):
    return [str(each) for each in tieout.Report(found).culprits]


def test_an_edited_charge_is_named_with_the_line_of_its_file(finished):
    raw("UPDATE billing_charge SET billed_cost = %s WHERE " + of("i-2"), to_units(Decimal("21.50")))
    found = off()
    assert "Delivered is accounted for (aws): off by -1.00 USD" in found.problems()
    edited = Charge.objects.get(resource__resource_id="i-2")
    assert culprits(found) == [
        f"Charge {edited.pk}: billed cost 21.50; line 3 of its file says billed cost 20.50.",
        *culprits(found)[1:],
    ]


def test_an_edited_charge_whose_file_is_gone_is_told_by_its_hash(finished, settings):
    raw("UPDATE billing_charge SET billed_cost = %s WHERE " + of("i-2"), to_units(Decimal("21.50")))
    for stored in StoredFile.objects.all():
        local_copy(stored).unlink()
    edited = Charge.objects.get(resource__resource_id="i-2")
    assert f"Charge {edited.pk}: 21.50 billed is not what was delivered." in culprits(off())


def test_of_many_edited_charges_the_first_are_named_and_the_others_counted(finished, monkeypatch):
    monkeypatch.setattr(rereading, "SUSPECTS", 1)
    raw("UPDATE billing_charge SET billed_cost = billed_cost + 100000000")
    first = Charge.objects.order_by("id").first()
    assert [str(each) for each in rereading.edited(build.a_period())] == [
        f"Charge {first.pk}: its billed cost is “101.00”; line 2 of its file says “100.00”.",
        "2 more charges: not named here. What they say is not what was delivered.",
    ]


def test_a_deleted_charge_is_named_by_its_line(finished):
    raw("DELETE FROM billing_charge WHERE " + of("i-3"))
    found = off()
    assert "Delivered is accounted for (aws): off by 3.00 USD and 1 row" in found.problems()
    number = Import.objects.get().pk
    assert f"Line 4 of import {number}: 3.00 billed, and there is no charge of it." in culprits(found)


def test_an_inserted_charge_is_named(finished):
    columns = [field.column for field in Charge._meta.concrete_fields]
    taken = ["id + 1000" if each == "id" else each for each in columns]
    raw(
        f"INSERT INTO billing_charge ({', '.join(columns)}) "  # noqa: S608
        f"SELECT {', '.join(taken)} FROM billing_charge WHERE {of('i-3')}"
    )
    found = off()
    assert "Delivered is accounted for (aws): off by -3.00 USD and 1 row" in found.problems()
    assert "stands for line 4 a second time, over 3.00" in " ".join(culprits(found))


def test_an_edit_that_changes_no_amount_is_found_by_the_totals_of_those_who_pay(finished):
    """The figures agree; who pays does not."""
    raw("UPDATE billing_charge SET fund_org = 'MINE-1' WHERE " + of("i-2"))
    found = proof.prove(build.a_period())
    assert (found.off, found.tampered) == ([], [])
    (told,) = found.problems()
    assert told.startswith("Totals of January 2025: they are not what the charges come to.")
    assert "MINE-1, Compute: 0 charges instead of 1" in told
    with pytest.raises(closing.NotReadyToFinalize):
        closing.finalize(period=build.a_period(), **DONE)


def test_edited_control_totals_are_found(finished):
    raw("UPDATE billing_importtotal SET billed_stored = '133.50'")
    found = off()
    assert found.problems()[0].startswith("Delivered is accounted for (aws): off by 10.00 USD")
    number = Import.objects.get().pk
    assert culprits(found) == [
        f"Import {number}: its charges of USD are 3 rows over 123.50 billed; its file said 3 over 133.50."
    ]


def test_a_charge_replaced_since_is_checked_too(tmp_path):
    delivered(tmp_path, [a_row("10", ResourceId="i-1"), a_row("20", ResourceId="i-2")])
    raw("UPDATE billing_charge SET billed_cost = billed_cost + 100000000 WHERE " + of("i-1"))
    delivered(tmp_path, [a_row("11", ResourceId="i-1"), a_row("20", ResourceId="i-2")], name="aws_2025-01-b.csv")
    first = Charge.objects.order_by("id").first()
    assert f"Charge {first.pk}: billed cost 11.00; line 2 of its file says billed cost 10.00." in culprits(off())


def test_an_edited_payer_line_is_named(finished):
    raw("UPDATE billing_payerline SET charged = charged + %s", to_units(Decimal("0.01"), TOTAL_PLACES))
    found = off()
    assert "Payer lines of January 2025" in " ".join(found.problems())
    line = PayerLine.objects.get()
    assert (
        f"Payer line {line.pk}: ada@u.edu, genomics, BIO-001, AWS, Compute, Charge: 123.51 (rounding 0.00); "
        "its charges make 123.50 (rounding 0.00)." in culprits(found)
    )


def test_an_edited_statement_line_is_named(finished):
    raw("UPDATE statements_statementline SET charged = charged - %s", to_units(Decimal("0.01"), TOTAL_PLACES))
    found = off()
    assert "its lines add up to 123.49" in " ".join(found.problems())
    line = StatementLine.objects.select_related("statement").get()
    said = f"Line 1 of statement {line.statement.number}: 123.49, where the payer line (aws) has 123.50."
    assert said in culprits(found)


def test_an_edited_journal_line_is_named(finished):
    raw(
        "UPDATE journals_journalline SET debit = debit - %s WHERE side = 'payer'",
        to_units(Decimal("0.01"), TOTAL_PLACES),
    )
    found = off()
    assert "its 2 lines debit 123.49 and credit 123.50" in " ".join(found.problems())
    journal = JournalLine.objects.first().journal
    assert f"Line 1 of journal {journal}: 123.49, where the payer line (aws) has 123.50." in culprits(found)


# Finalizing -------------------------------------------------------------------------------------


@standing.fixture
def finalized(folder):
    a_finished_month(folder)
    with TestCase.captureOnCommitCallbacks(execute=True):
        closing.finalize(period=build.a_period(), **DONE)


def test_finalizing_asks_for_the_proof_and_names_the_row(finished):
    raw("DELETE FROM billing_charge WHERE " + of("i-3"))
    with pytest.raises(closing.NotReadyToFinalize) as refused:
        closing.finalize(period=build.a_period(), **DONE)
    (told,) = [each for each in refused.value.items if each.code == "proof"]
    assert "off by 3.00 USD and 1 row" in told.text
    assert "3.00 billed, and there is no charge of it" in told.details[-1]
    assert doors.url_of(told.then).endswith("/proof/")
    assert BillingPeriod.objects.get().status == "closed"
    assert not FrozenProof.objects.exists()


def test_a_finalized_month_keeps_its_proof_with_hashes_and_files(finalized, settings):
    frozen = FrozenProof.objects.get()
    assert hashlib.sha256(frozen.text.encode()).hexdigest() == frozen.json_sha256
    folder = settings.VAR_DIR / "proofs"
    assert (folder / "proof-2025-01.json").read_text(encoding="utf-8") == frozen.text
    assert hashlib.sha256((folder / "proof-2025-01.pdf").read_bytes()).hexdigest() == frozen.pdf_sha256
    assert sorted(each.name for each in folder.iterdir()) == ["proof-2025-01.json", "proof-2025-01.pdf"]
    data = json.loads(frozen.text)
    assert (data["reconciles"], data["is_complete"], data["frozen_by"]) == (True, True, "somebody")
    recorded = AuditEvent.objects.get(action="proof.frozen").after
    assert recorded == {"json_sha256": frozen.json_sha256, "pdf_sha256": frozen.pdf_sha256}
    assert proved().is_complete
    assert proved().is_frozen


def test_the_pdf_says_what_the_proof_says(finalized):
    text = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(bytes(FrozenProof.objects.get().pdf))).pages)
    accounted = "everything in the files is accounted for"
    for told in ("Reconciliation of January 2025", accounted, "Files delivered", "123.50"):
        assert told in text
    # From the files to the ledger, as on the page.
    # No customer pays by invoice here.
    titles = [title for code, title in proof.TITLES.items() if code != proof.INVOICED]
    places = [text.index(f"{title}: aws") for title in titles]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE billing_charge SET billed_cost = billed_cost + 1 WHERE " + of("i-2"), "Charge "),
        ("DELETE FROM billing_charge WHERE " + of("i-3"), "Line 4 of import"),
        ("UPDATE billing_payerline SET charged = charged + 1000000", "Payer line"),
        ("UPDATE statements_statementline SET charged = charged + 1000000", "of statement"),
        ("UPDATE journals_journalline SET debit = debit + 1000000 WHERE side = 'payer'", "of journal"),
        ("UPDATE billing_frozenproof SET text = replace(text, '123.5', '124.5')", "its JSON is not the one"),
        ("DELETE FROM billing_frozenproof", "it is gone"),
    ],
)
def test_tampering_with_a_finalized_month_is_found(finalized, sql, told):
    raw(sql)
    found = off()
    assert told in " ".join([*found.problems(), *culprits(found)])


WHO_PAYS = [
    ("UPDATE billing_charge SET fund_org = 'MINE-1' WHERE " + of("i-2"), "Charges of aws"),
    ("UPDATE billing_charge SET pi_id = NULL WHERE " + of("i-2"), "Charges of aws"),
    ("UPDATE billing_payerline SET fund_org = 'MINE-1'", "Payer lines under 2025-01-0001"),
    ("UPDATE billing_payerline SET list_cost = list_cost + 1000000", "Payer lines under 2025-01-0001"),
    ("UPDATE statements_statementline SET fund_org = 'MINE-1'", "Statement 2025-01-0001-1: Line 1 changed."),
    ("UPDATE statements_statement SET document = '{}'", "Statement 2025-01-0001-1: Its lines are as they were."),
    (
        "UPDATE journals_journalline SET fund_org = 'MINE-1' WHERE side = 'recovery'",
        "Journal J2025-01-1: Line 2 changed.",
    ),
    (
        "UPDATE journals_journalline SET natural_account = '1' WHERE side = 'payer'",
        "Journal J2025-01-1: Line 1 changed.",
    ),
    ("UPDATE journals_journal SET posting_date = '2025-01-30'", "Journal J2025-01-1: Its lines are as they were."),
]


def test_who_was_made_to_pay_is_named(finalized):
    raw("UPDATE billing_payerline SET fund_org = 'MINE-1'")
    (named,) = culprits(off())
    assert named.startswith("Payer line ")
    assert "“MINE-1” is not in its key, 2025-01|charge|ada@u.edu|genomics|BIO-001|aws|" in named
    raw("UPDATE billing_payerline SET fund_org = 'BIO-001'")
    raw("UPDATE billing_charge SET fund_org = 'MINE-1' WHERE " + of("i-2"))
    missing, line = sorted(culprits(off()))
    assert "MINE-1" in missing
    assert "20.50 is to be charged, and there is no line" in missing
    assert "123.50 (rounding 0.00); its charges make 103.00" in line


@pytest.mark.parametrize(("sql", "told"), WHO_PAYS)
def test_tampering_with_who_pays_in_a_finalized_month_is_found(finalized, sql, told):
    raw(sql)
    name, _, lines = told.partition(": ")
    problems = off().problems()
    assert problems[0] == f"{name}: changed since January 2025 was finalized.{lines and f' {lines}'}"
    if name != "Charges of aws":
        assert not problems[1:]
        return
    # What a charge says includes who pays for it, and totals are kept by who pays.
    said, counted = problems[1:]
    assert said == "What charges of aws say: changed since January 2025 was finalized."
    assert counted.startswith("Totals of January 2025: they are not what the charges come to.")


# A text that no figure and no payer hangs on, and what an auditor is told of it.
TEXTS = [
    ("charge_description", "Coffee", "its charge description is “Coffee”; line 3 of its file says “”."),
    ("resource_name", "gpu", "its resource name is “gpu”; line 3 of its file says “”."),
    ("service_name", "Compute ", "its service name is “Compute ”; line 3 of its file says “Compute”."),
    ("list_unit_price", "17", "its list unit price is “17”; line 3 of its file says “”."),
    ("tags", "{}", "its tags is “{}”; line 3 of its file says “{"),
    ("invoice_id", "INV-9", "its invoice id is “INV-9”; line 3 of its file says “”."),
]
# The same of other columns.
SAID = [
    ("charge_period_end = 1736208000", "its charge period end is “2025-01-07 00:00:00"),
    ("row_count = 2", "its charges of USD are 4 rows over 123.50 billed; its file said 3"),
    ("consumed_quantity = '17'", "its consumed quantity is “17”; line 3 of its file says “”."),
    # These stand beside what the file says: that one was changed is seen, and by the replay which.
    ("reference_1 = 'R01'", ""),
    ("cost_center = 'C'", ""),
    ("attributed_by = 'rule'", ""),
    ("line_number = 7", ""),
]


def relink(resource, name, text):
    """Link the charge of a resource to a dimension that says something else."""
    charge = Charge.objects.get(**{PATHS["resource_id"]: resource})
    model = next(each for each in DIMENSION_MODELS if PATHS[name].partition("__")[0] == each.NAME)
    said = {field: getattr(charge, field) for field in FIELDS[model.NAME]} | {name: text}
    raw(f"UPDATE billing_charge SET {model.NAME}_id = %s WHERE id = %s", model.of(said).pk, charge.pk)


def overwrite(resource, name, text):
    """Edit the dimension of the charge of a resource."""
    charge = Charge.objects.get(**{PATHS["resource_id"]: resource})
    row = getattr(charge, PATHS[name].partition("__")[0])
    raw(f"UPDATE {row._meta.db_table} SET {name} = %s WHERE id = %s", text, row.pk)  # noqa: S608


@pytest.mark.parametrize("how", [relink, overwrite])
@pytest.mark.parametrize(("name", "text", "told"), TEXTS)
def test_no_text_of_a_finalized_charge_is_changed_unseen(finalized, how, name, text, told):
    how("i-2", name, text)
    found = off()
    assert "What charges of aws say: changed since January 2025 was finalized." in found.problems()
    charge = Charge.objects.get(**{PATHS["resource_id"]: "i-2"})
    assert f"Charge {charge.pk}: {told}" in " ".join(culprits(found))


@pytest.mark.parametrize("model", DIMENSION_MODELS, ids=lambda model: model.NAME)
def test_a_text_that_is_gone_from_a_finalized_month_is_named(finalized, model):
    charge = Charge.objects.get(**{PATHS["resource_id"]: "i-2"})
    raw(f"DELETE FROM {model._meta.db_table} WHERE id = %s", getattr(charge, f"{model.NAME}_key"))  # noqa: S608
    found = off()
    # A charge without one of its texts says nothing.
    assert re.search("What charges of aws say: (changed|gone) since January 2025", " ".join(found.problems()))
    assert f"Charge {charge.pk}: the {model._meta.verbose_name} of it is gone." in culprits(found)


def test_a_text_that_many_charges_share_is_named_with_how_many_have_it(finalized):
    product = Product.objects.get()
    overwrite("i-2", "service_name", "Storage")
    assert f"Product {product.pk}: it does not say any more what it was stored with; 3 charges have it." in culprits(
        off()
    )
    # Nor is a hash that fits the new text of any help.
    said = [getattr(Product.objects.get(), name) for name in FIELDS["product"]]
    raw("UPDATE billing_product SET text_hash = %s", hash_of(said))
    found = off()
    assert "What charges of aws say: changed since January 2025 was finalized." in found.problems()
    assert "its service name is “Storage”; line 3 of its file says “Compute”." in " ".join(culprits(found))


def test_the_form_by_which_a_resource_is_known_is_held_against_its_id(finalized):
    resource = ResourceText.objects.get(resource_id="i-2")
    raw("UPDATE billing_resourcetext SET folded_id = 'i-1' WHERE id = %s", resource.pk)
    found = off()
    assert "What charges of aws say: changed since January 2025 was finalized." in found.problems()
    assert (
        f"Resource text {resource.pk}: it does not say any more what it was stored with; 1 charge has it."
        in culprits(found)
    )


@pytest.mark.parametrize(("change", "told"), SAID)
def test_no_date_or_number_of_a_finalized_charge_is_changed_unseen(finalized, change, told):
    raw(f"UPDATE billing_charge SET {change} WHERE {of('i-2')}")
    found = off()
    assert "What charges of aws say: changed since January 2025 was finalized." in found.problems()
    assert told in " ".join(culprits(found))


def test_two_charges_do_not_change_places_unseen(finalized):
    """The sums of each payer stay as they were."""
    keys = dict(Charge.objects.values_list("resource__resource_id", "resource_key"))
    one, other = keys["i-1"], keys["i-2"]
    swapped = "UPDATE billing_charge SET resource_id = %s - resource_id WHERE resource_id IN (%s, %s)"
    raw(swapped, one + other, one, other)
    assert off().problems() == ["What charges of aws say: changed since January 2025 was finalized."]


def test_a_charge_edited_before_its_month_is_finalized_is_named_and_stops_it(tmp_path):
    build.a_policy(requires_ledger_answer=False)
    delivered(tmp_path, [a_row("100.00"), a_row("3.123456789012", ResourceId="i-2")])
    finish()
    overwrite("i-1", "charge_description", "Coffee")
    with pytest.raises(closing.NotReadyToFinalize, match="its charge description is “Coffee”; line 2 of its file says"):
        closing.finalize(period=BillingPeriod.objects.named("2025-01"), **DONE)
    assert not FrozenProof.objects.exists()
    # More decimals in the file than an amount keeps are no edit.
    overwrite("i-1", "charge_description", "")
    closing.finalize(period=BillingPeriod.objects.named("2025-01"), **DONE)
    proved()


def test_an_edited_charge_is_named_without_its_file_too(finalized):
    overwrite("i-2", "charge_description", "Coffee")
    local_copy(StoredFile.objects.get()).unlink()
    assert "it does not say any more what was delivered." in " ".join(culprits(off()))


def test_a_month_frozen_before_its_charges_were_sealed_by_what_they_say_still_comes_out(finalized):
    text = json.loads(FrozenProof.objects.get().text)
    del text["seals"]["said"]
    frozen = json.dumps(text).encode()
    raw(
        "UPDATE billing_frozenproof SET text = %s, json_sha256 = %s",
        frozen.decode(),
        hashlib.sha256(frozen).hexdigest(),
    )
    assert not [each for each in proof.prove(BillingPeriod.objects.get()).problems() if "say" in each]


def test_a_received_file_that_is_gone_or_another_breaks_the_proof_of_a_finalized_month(finalized):
    path = local_copy(StoredFile.objects.get())
    content = path.read_bytes()
    path.chmod(0o640)
    path.write_bytes(content.replace(b"Compute", b"Cempute"))
    (said,) = off().problems()
    assert said.startswith("aws_2025-01.csv of import ")
    assert "is not the one that was recorded" in said
    path.unlink()
    (said,) = off().problems()
    assert "its file is gone" in said
    path.write_bytes(content)
    proved()


def test_of_a_document_that_was_bent_each_line_is_named(finalized):
    raw("UPDATE journals_journalline SET description = 'else'")
    raw("UPDATE statements_statementline SET number = 4")
    assert off().problems() == [
        "Statement 2025-01-0001-1: changed since January 2025 was finalized. Line 1 gone; line 4 new.",
        "Journal J2025-01-1: changed since January 2025 was finalized. Lines 1, 2 changed.",
    ]
    then = {str(each): "then" for each in range(1, 8)}
    now = dict.fromkeys(then, "now")
    assert seals.broken_lines(then, now) == "lines 1, 2, 3, 4, 5 and 2 more changed"


def test_a_month_frozen_before_lines_were_sealed_still_names_the_document(finalized):
    raw("UPDATE statements_statementline SET fund_org = 'MINE-1'")
    text = json.loads(FrozenProof.objects.get().text)
    del text["line_seals"]
    frozen = json.dumps(text).encode()
    digest = hashlib.sha256(frozen).hexdigest()
    raw("UPDATE billing_frozenproof SET text = %s, json_sha256 = %s", frozen.decode(), digest)
    assert "Statement 2025-01-0001-1: changed since January 2025 was finalized." in off().problems()


def test_tampering_with_the_decisions_and_corrections_of_a_finalized_month_is_found(finalized, tmp_path):
    build.a_fund("BIO-001")
    line = PayerLine.objects.get()
    february = build.a_period("2025-02")
    corrections.add_refund(lines=[line], charged_in=february, amount=Decimal("1.00"), reason="Down", **DONE)
    dates = {"BillingPeriodStart": "2025-02-01T00:00:00Z", "BillingPeriodEnd": "2025-03-01T00:00:00Z"}
    dates |= {"ChargePeriodStart": "2025-02-05T00:00:00Z", "ChargePeriodEnd": "2025-02-06T00:00:00Z"}
    delivered(tmp_path, [a_row("7", tags=NO_TAGS, **dates)], name="aws_2025-02.csv")
    review.reject(provider_credits=True, charges=Charge.objects.held(), reason="not_ours", note="theirs", **DONE)
    finish("2025-02")
    closing.finalize(period=BillingPeriod.objects.named("2025-02"), **DONE)
    proved("2025-02")
    raw("UPDATE billing_reviewdecision SET note = 'ours'")
    raw("UPDATE billing_correctionline SET fund_org = 'MINE-1'")
    assert off("2025-02").problems() == [
        "Decisions about charges of aws: changed since February 2025 was finalized.",
        f"Correction {Correction.objects.get().pk}: changed since February 2025 was finalized.",
    ]
    proved("2025-01")


def test_a_finalized_month_that_is_open_again_is_found(finalized):
    raw("UPDATE billing_billingperiod SET status = 'closed', finalized_at = NULL")
    (said,) = off().problems()
    assert said == "Billing period January 2025: it was finalized, and is closed now. No step leads there."


def test_what_the_ledger_answers_and_what_is_mailed_breaks_no_seal(finalized):
    raw("UPDATE statements_statement SET state = 'sent', sent_at = issued_at, pdf_path = 'elsewhere.pdf'")
    proved()
    build.a_policy(requires_ledger_answer=True)
    journal = Journal.objects.get()
    posting.reverse(journal=journal, reason="Wrong year", **DONE)
    posting.export(period=BillingPeriod.objects.get(), format="standard", submit=True, **DONE)
    assert Journal.objects.count() == 3
    proved()


def test_tampering_with_everything_alike_still_differs_from_what_was_frozen(finalized):
    """Every book agrees with every other, and none with the proof that was kept."""
    units, cents = to_units(Decimal("1.00")), to_units(Decimal("1.00"), TOTAL_PLACES)
    raw("UPDATE billing_charge SET billed_cost = billed_cost + %s WHERE " + of("i-2"), units)
    raw("UPDATE billing_importtotal SET billed_stored = '124.50', billed_exact = '124.50'")
    raw("UPDATE billing_payerline SET charged = charged + %s", cents)
    raw("UPDATE statements_statementline SET charged = charged + %s", cents)
    raw("UPDATE statements_statement SET charged = charged + %s", cents)
    raw("UPDATE journals_journalline SET debit = debit + %s WHERE side = 'payer'", cents)
    raw("UPDATE journals_journalline SET credit = credit + %s WHERE side = 'recovery'", cents)
    raw("UPDATE journals_journal SET debits = debits + %s, credits = credits + %s", cents, cents)
    raw("DELETE FROM billing_auditevent WHERE action = 'payer_lines.made'")
    found = off()
    assert not found.off
    assert "“files” was 123.50 (3) when January 2025 was finalized, and is 124.50 (3) now" in " ".join(found.problems())


# Beside the proof -------------------------------------------------------------------------------


def test_an_invoice_is_compared_with_what_the_files_bill_under_its_number(tmp_path):
    delivered(tmp_path, [a_row("100", InvoiceId="INV-1"), a_row("20", InvoiceId="INV-2", ResourceId="i-2")])
    period, source = build.a_period(), build.a_source("aws")
    invoices.enter(source=source, period=period, amount=Decimal("101"), currency="usd", invoice_id="INV-1", **DONE)
    told = [(each.invoice_id, each.billed, each.said, each.difference) for each in invoices.bridges(Month(period))]
    assert told == [("INV-1", 100, 101, 1), ("INV-2", 20, None, None)]
    # Only a warning: the proof is about what the files say.
    assert proved().reconciles
    invoices.enter(source=source, period=period, amount=Decimal("100"), currency="USD", invoice_id="INV-1", **DONE)
    assert [each.difference for each in invoices.bridges(Month(period))] == [0, None]
    invoices.enter(source=source, period=period, amount=Decimal("120"), currency="USD", **DONE)
    assert (invoices.bridges(Month(period))[0].invoice_id, invoices.bridges(Month(period))[0].difference) == ("", 0)
    events = AuditEvent.objects.filter(action="invoice.entered").order_by("id")
    assert [event.after["amount"] for event in events] == ["101.00", "100.00", "120.00"]
    assert events[1].before["amount"] == "101.00"


def test_the_invoices_of_a_finalized_month_stand(finalized):
    with pytest.raises(invoices.InvoiceFrozen, match="January 2025 is finalized"):
        invoices.enter(source=build.a_source("aws"), period=build.a_period(), amount=Decimal(1), currency="USD", **DONE)


def test_commitments_stand_between_billed_and_effective_cost(tmp_path):
    source = build.a_source("aws", cost_measure=Source.Measure.EFFECTIVE)
    bought = a_row("100", EffectiveCost="0", ChargeCategory="Purchase", CommitmentDiscountId="sp-1")
    used = a_row("0", EffectiveCost="3.25", ResourceId="i-2", CommitmentDiscountId="sp-1")
    delivered(tmp_path, [bought, used, a_row("7", EffectiveCost="6", ResourceId="i-3")], source=source)
    (bridge,) = invoices.amortized(Month(build.a_period()))
    assert (bridge.billed, bridge.bought, bridge.used, bridge.other, bridge.effective) == (
        107,
        -100,
        Decimal("3.25"),
        -1,
        Decimal("9.25"),
    )


def test_who_was_charged_last_month_and_is_not_this_month():
    build.a_charge("5", period="2024-12", source="hpc", project="reef")
    build.a_charge("7", period="2024-12", sub_account_id="111", project="genomics")
    build.a_charge("8", period="2024-12", sub_account_id="222", project="genomics")
    build.a_charge("9", period="2025-01", sub_account_id="222", project="genomics")
    found = coverage.uncharged(Month(build.a_period()))
    assert [(each.kind, each.name, each.charges, each.billed) for each in found] == [
        ("source", "hpc", 1, {"USD": 5}),
        ("project", "reef", 1, {"USD": 5}),
        ("cloud account", "111", 1, {"USD": 7}),
    ]
    assert coverage.uncharged(Month(build.a_period("2024-12"))) == []


def test_the_page_shows_the_verdict_and_leads_from_each_figure_to_its_rows(finished, client, cast):
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_billingperiod_proof", args=[build.a_period().pk]))
    text = page.content.decode()
    assert "Reconciles" in text
    links = set(
        re.findall(r'href="([^"]*(?:changelist|/billing/(?:charge|import)/|/statement/|/journal/)[^"]*)"', text)
    )
    figures = [unescape(link) for link in links if "?" in link]
    assert len(figures) >= 4
    for link in figures:
        found = client.get(link)
        assert found.status_code == 200, link
        assert "e=1" not in found.request["QUERY_STRING"]


def test_the_rows_that_a_figure_leads_to_are_as_many_as_it_counts(tmp_path, client, cast):
    build.a_policy(center_fund_org="CTR-1")
    source = build.a_source("hpc", kind=Source.Kind.INTERNAL, subsidy_fund_org="SUB-1")
    build.a_split({"BIO-001": "60", "GIFT-2": "40"}, project=build.a_project())
    waiting = [a_row(each, tags=NO_TAGS, ResourceId=f"i-{each}") for each in ("5", "7", "11")]
    rows = [a_row("10.0125", ListCost="50", ContractedCost="50"), *waiting]
    delivered(tmp_path, rows, name="hpc_2025-01.csv", source=source)
    delivered(tmp_path, [a_row("2.000000001"), *waiting])
    of = {(charge.source.name, int(charge.billed_cost)): charge.pk for charge in Charge.objects.held()}
    review.reject(provider_credits=True, charges=[of["hpc", 5]], reason="not_ours", note="theirs", **DONE)
    review.charge_to_center(charges=[of["hpc", 7], of["aws", 11]], note="ours", **DONE)
    issue()
    client.force_login(cast.viewer)
    counted = set()
    for each in proved().equations:
        for term in (*each.left, *each.right):
            url = doors.page_about(term.about, cast.viewer)
            assert url, (each.code, term.code)
            page = client.get(url)
            assert page.status_code == 200
            if re.search("/billing/(charge|payerline)/", url) and term.count:
                assert page.context["cl"].queryset.count() == term.count, (each.code, each.source, term.code)
                counted.add(term.code)
    kinds = {"lines", "lines:charge", "lines:charged_to_center", "lines:subsidy", "subsidies"}
    assert counted == {"charged", "charged_to_center", "rejected", "held", "chargeable"} | kinds


def test_documents_and_corrections_that_a_figure_leads_to_hold_as_many_lines_of_its_source_as_it_counts(
    tmp_path, client, cast
):
    """Each PI has one source alone, and each book also holds what no figure counts."""
    for name, pi in (("aws", "ada@u.edu"), ("hpc", "mallory@u.edu")):
        tags = f'{{"pi_email": "{pi}", "project_id": "{name}", "fund_org": "BIO-001"}}'
        source = build.a_source(name)
        for amount in ("10", "25"):
            delivered(tmp_path, [a_row(amount, tags=tags)], name=f"{name}_2025-01.csv", source=source)
            issue()
    build.a_fund("BIO-001")
    posting.export(period=build.a_period(), format="standard", submit=True, **DONE)
    given = {"pi": build.a_pi("ada@u.edu"), "fund_org": "BIO-001", "amount": Decimal(3), "reason": "Setup"}
    for name in ("aws", "hpc"):
        corrections.add_manual_charge(source=build.a_source(name), charged_in=build.a_period(), **given, **DONE)
    issue()
    posting.export(period=build.a_period(), format="standard", submit=True, **DONE)
    # The last journal is of one source alone, and says nothing that one before it says.
    given["amount"] = Decimal(4)
    corrections.add_manual_charge(source=build.a_source("aws"), charged_in=build.a_period(), **given, **DONE)
    issue()
    posting.export(period=build.a_period(), format="standard", submit=True, **DONE)
    last = Journal.objects.latest("id")
    assert set(JournalLine.objects.filter(journal=last).values_list("source_name", flat=True)) == {"aws"}
    assert Statement.objects.exclude(state__in=Statement.LIVE).exists()
    client.force_login(cast.viewer)
    lines_of = {
        "stated": lambda shown, name: StatementLine.objects.filter(statement__in=shown, source_name=name),
        "journaled": lambda shown, name: JournalLine.objects.filter(journal__in=shown, source_name=name, side="payer"),
        "corrections": lambda shown, name: CorrectionLine.objects.filter(correction__in=shown, source__name=name),
    }
    counted = set()
    for each in proved().equations:
        for term in (*each.left, *each.right):
            if term.code in lines_of:
                shown = client.get(doors.page_about(term.about, cast.viewer)).context["cl"].queryset
                lines = lines_of[term.code](shown.order_by().values("pk"), each.source)
                assert (lines.count(), lines.count() > 0) == (term.count, True), (term.code, each.source)
                # Nothing is listed that has no line of the source.
                assert all(lines_of[term.code]([one.pk], each.source).exists() for one in shown)
                counted.add((term.code, each.source))
    assert counted == {(code, name) for code in lines_of for name in ("aws", "hpc")}


def test_a_payer_line_leads_to_what_it_is_made_of(finished, client, cast):
    client.force_login(cast.viewer)
    line = PayerLine.objects.get()
    page = client.get(reverse("admin:billing_payerline_changelist"), {"period": "2025-01"})
    address = reverse("admin:billing_payerline_change", args=[line.pk])
    assert address in page.content.decode()
    made_of = client.get(address, follow=True)
    assert f"{made_of.context['what']}" == f"2025-01@{line.key}"
    assert client.get(reverse("admin:billing_payerline_change", args=[line.pk + 1])).status_code == 302


def test_the_page_says_what_does_not_hold_and_names_the_row(finished, client, cast):
    raw("DELETE FROM billing_charge WHERE " + of("i-3"))
    client.force_login(cast.viewer)
    text = client.get(reverse("admin:billing_billingperiod_proof", args=[build.a_period().pk])).content.decode()
    assert "Does not reconcile" in text
    assert "3.00 billed, and there is no charge of it" in text


def test_the_proof_comes_as_json_and_pdf_and_its_download_is_audited(finalized, client, cast):
    client.force_login(cast.viewer)
    url = reverse("admin:billing_billingperiod_proof", args=[build.a_period().pk])
    frozen = FrozenProof.objects.get()
    assert client.get(url, {"format": "json"}).content == frozen.text.encode()
    pdf = client.get(url, {"format": "pdf"})
    assert pdf.content == bytes(frozen.pdf)
    assert pdf["Content-Disposition"] == 'attachment; filename="proof-2025-01.pdf"'
    assert AuditEvent.objects.filter(action="proof.downloaded").count() == 2
    client.force_login(cast.pi)
    assert client.get(url).status_code in (302, 403)


def test_the_command_prints_the_proof_and_exits_with_1_when_it_does_not_come_out(finished):
    out = StringIO()
    call_command("proof", "-p", "2025-01", "--json", stdout=out)
    data = json.loads(out.getvalue())
    assert (data["reconciles"], data["is_complete"]) == (True, True)
    raw("DELETE FROM billing_charge WHERE " + of("i-3"))
    with pytest.raises(CommandError, match="does not reconcile"):
        call_command("proof", "-p", "2025-01", stdout=out)
    assert "off by 3.00 USD and 1 row" in out.getvalue()


def test_the_command_writes_a_pdf_and_enters_invoices(finished, tmp_path, settings):
    call_command("proof", "-p", "2025-01", "--pdf", str(tmp_path / "proof.pdf"), stdout=StringIO())
    assert (tmp_path / "proof.pdf").read_bytes().startswith(b"%PDF")
    event = AuditEvent.objects.get(action="proof.downloaded")
    assert (event.via, event.after) == ("command", {"format": "pdf"})
    with pytest.raises(CommandError, match="cannot be written: No such file"):
        call_command("proof", "-p", "2025-01", "--pdf", str(tmp_path / "none" / "proof.pdf"), stdout=StringIO())
    out = StringIO()
    call_command("proof", "-p", "2025-01", "--pdf", "--json", stdout=out)
    assert json.loads(out.getvalue())["pdf"] == str(settings.VAR_DIR / "proofs" / "proof-2025-01-DRAFT.pdf")
    out = StringIO()
    call_command("invoices", "add", "-p", "2025-01", "-s", "aws", "--amount", "123.50", "--json", stdout=out)
    assert json.loads(out.getvalue())["invoices"][0]["difference"] == "0.00"
    with pytest.raises(CommandError, match="is not an amount"):
        call_command("invoices", "add", "-p", "2025-01", "-s", "aws", "--amount", "1,2", stdout=out)
