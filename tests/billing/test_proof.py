"""The proof: it comes out at every step of a month, and not when a row is touched behind its back."""

import json
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing import closing, ingestion, proof, review
from billing.fields import to_units
from billing.models import BillingPeriod, Charge, ExchangeRate, Import, ImportTotal, Source
from journals import posting
from statements import issuing
from tests import build
from tests.billing.deliveries import NO_TAGS, a_row, delivered

pytestmark = pytest.mark.django_db

DONE = {"actor": build.SOMEBODY, "now": build.NOW}


def proved(month="2025-01"):
    """Prove a month, demand that it comes out, and return the proof."""
    found = proof.prove(BillingPeriod.objects.named(month))
    assert found.comes_out, found.problems()
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
    return {term.code: (proof.exact_text(term.amount), term.count) for term in (*each.left, *each.right)}


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
    assert [each.note for each in found.open] == ["Payer lines are not made yet: manage.py generate -p 2025-01."]
    issue()
    found = proved()
    assert figures(equation(found, "charged")) == {
        "chargeable": ("80.12345679", 3),
        "lines:charge": ("80.12", 1),
        "cents": ("0.00345679", 0),
    }
    assert [each.code for each in found.open] == ["journaled"]
    finish()
    found = proved()
    assert found.is_complete
    assert figures(equation(found, "journaled")) == {"lines": ("80.12", 1), "journaled": ("80.12", 1)}
    assert figures(equation(found, "stated")) == {"lines": ("80.12", 1), "stated": ("80.12", 1)}


def test_held_rejected_and_absorbed_charges_are_accounted_for(tmp_path):
    build.a_policy(center_fund_org="CTR-1")
    delivered(
        tmp_path, [a_row("100"), *(a_row(each, tags=NO_TAGS, ResourceId=f"i-{each}") for each in ("5", "7", "11"))]
    )
    assert told() == {"files": ("123.00", 4), "charged": ("100.00", 1), "held": ("23.00", 3)}
    of = {charge.billed_cost: charge for charge in Charge.objects.all()}
    review.reject(charges=[of[Decimal(5)].pk], reason="not_ours", note="theirs", **DONE)
    review.absorb(charges=[of[Decimal(7)].pk], note="ours", **DONE)
    issue()
    found = proved()
    assert figures(equation(found)) == {
        "files": ("123.00", 4),
        "charged": ("100.00", 1),
        "absorbed": ("7.00", 1),
        "rejected": ("5.00", 1),
        "held": ("11.00", 1),
    }
    assert figures(equation(found, "charged")) == {
        "chargeable": ("107.00", 2),
        "lines:charge": ("100.00", 1),
        "lines:absorbed": ("7.00", 1),
    }
    # What the center bears is on no statement.
    assert figures(equation(found, "stated"))["lines"] == ("100.00", 1)


def test_a_merge_that_says_again_replaces_and_adds_counts_each_row_once(tmp_path):
    source = build.a_source("other", delivery=Source.Delivery.MERGE, file_name_patterns="")
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
    ingestion.withdraw(imported=again.imported, **DONE)
    assert told() == {"files": ("31.00", 3), "charged": ("31.00", 3)}
    ingestion.withdraw(imported=Import.objects.order_by("id").first(), **DONE)
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
        ingestion.book(imported=waits, into=march, **DONE)
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
    ingestion.book(imported=waits, into=build.a_period("2025-02"), **DONE)
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
    ingestion.book(imported=waits, into=build.a_period("2025-02"), **DONE)
    closing.reopen(period=january, reason="a file was missing", **DONE)
    delivered(tmp_path, [a_row("9000", ResourceId="i-1"), a_row("850", ResourceId="i-2")], name="aws_2025-01-c.csv")
    assert equation(proved("2025-01")).right_sum == 10850
    assert equation(proved("2025-02")).right_sum == -1000


def test_foreign_currency_is_proved_as_delivered_and_converted(tmp_path):
    delivered(tmp_path, [a_row("100.10", BillingCurrency="EUR"), a_row("50", ResourceId="i-2")])
    found = proved()
    assert figures(equation(found, currency="EUR")) == {"files": ("100.10", 1), "charged": ("100.10", 1)}
    assert equation(found, "charged", of_currency="EUR").note == "There is no exchange rate for EUR in 2025-01."
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
        "subsidies": ("39.99", 1),
        "lines:charge": ("10.01", 2),
        "lines:subsidy": ("39.99", 1),
        "cents": ("0.0025", 0),
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


def raw(sql, *values):
    """Change rows past every wall but the database."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


@pytest.fixture
def finished(tmp_path):
    """A closed, stated and journaled January of three charges."""
    rows = [a_row("100", ResourceId="i-1"), a_row("20.5", ResourceId="i-2"), a_row("3", ResourceId="i-3")]
    delivered(tmp_path, rows)
    finish()
    assert proved().is_complete


def off(month="2025-01"):
    found = proof.prove(BillingPeriod.objects.named(month))
    assert not found.comes_out
    return found


def test_an_edited_charge_is_found(finished):
    raw("UPDATE billing_charge SET billed_cost = %s WHERE resource_id = 'i-2'", to_units(Decimal("21.50")))
    assert "Delivered is accounted for (aws): off by -1.00 USD" in off().problems()


def test_a_deleted_charge_is_found(finished):
    raw("DELETE FROM billing_charge WHERE resource_id = 'i-3'")
    assert "Delivered is accounted for (aws): off by 3.00 USD and 1 row" in off().problems()


def test_an_edited_payer_line_is_found(finished):
    raw("UPDATE billing_payerline SET charged = charged + %s", to_units(Decimal("0.01")))
    assert "Payer lines of 2025-01" in " ".join(off().problems())


def test_an_edited_statement_line_is_found(finished):
    raw("UPDATE statements_statementline SET charged = charged - %s", to_units(Decimal("0.01")))
    assert "its lines add up to 123.49" in " ".join(off().problems())


def test_an_edited_journal_line_is_found(finished):
    raw("UPDATE journals_journalline SET debit = debit - %s WHERE side = 'payer'", to_units(Decimal("0.01")))
    assert "its 2 lines debit 123.49 and credit 123.50" in " ".join(off().problems())


def test_the_command_prints_the_proof_and_exits_with_1_when_it_does_not_come_out(finished):
    out = StringIO()
    call_command("proof", "-p", "2025-01", "--json", stdout=out)
    data = json.loads(out.getvalue())
    assert (data["comes_out"], data["is_complete"]) == (True, True)
    raw("DELETE FROM billing_charge WHERE resource_id = 'i-3'")
    with pytest.raises(CommandError, match="does not come out"):
        call_command("proof", "-p", "2025-01", stdout=out)
    assert "off by 3.00 USD and 1 row" in out.getvalue()
