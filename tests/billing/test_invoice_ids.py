"""Invoice ids that a provider fills in late: the same charges still, with all that was decided about them."""

import datetime

import pytest

from billing import review
from billing.importing import comparing
from billing.models import Charge
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db


def counts(result):
    return (result.counts.new, result.counts.changed, result.counts.unchanged, result.counts.withdrawn)


@pytest.fixture
def approved(tmp_path):
    """An account of three rows without an invoice id, of which the first is approved, and the second corrected."""
    rows = [a_row("100", ResourceId="a"), a_row("7", ResourceId="b"), a_row("7", ResourceId="b")]
    delivered(tmp_path, rows)
    first, second, _ = Charge.objects.order_by("id")
    reassignment = review.Reassignment(fund_org="OTHER-1")
    review.reattribute(
        create=True, charges=[second.pk], reassignment=reassignment, note="", actor=build.SOMEBODY, now=build.NOW
    )
    Charge.objects.filter(pk=first.pk).update(state="approved")
    return rows


def invoiced(rows, number="INV-1"):
    return [row | {"InvoiceId": number} for row in rows]


def test_decisions_survive_an_invoice_id_that_is_filled_in_later(tmp_path, approved):
    result = delivered(tmp_path, invoiced(approved))
    assert counts(result) == (0, 3, 0, 0)
    live = Charge.objects.live().order_by("id")
    assert list(live.values_list("resource__resource_id", "state", "fund_org", "account__invoice_id")) == [
        ("a", "approved", "BIO-001", "INV-1"),
        ("b", "clear", "OTHER-1", "INV-1"),
        ("b", "clear", "BIO-001", "INV-1"),
    ]
    assert counts(delivered(tmp_path, approved)) == (0, 3, 0, 0)
    assert list(live.values_list("state", "fund_org"))[:2] == [("approved", "BIO-001"), ("clear", "OTHER-1")]


def test_rows_of_one_identity_keep_their_amounts_when_invoice_ids_come_in_another_order(tmp_path):
    rows = [a_row("1"), a_row("50"), a_row("9")]
    delivered(tmp_path, rows)
    Charge.objects.filter(billed_cost=50).update(state="approved")
    assert counts(delivered(tmp_path, invoiced(rows[::-1]))) == (0, 3, 0, 0)
    assert Charge.objects.live().get(state="approved").billed_cost == 50


def test_an_amount_that_changes_with_the_invoice_id_is_the_same_charge_still(tmp_path, approved):
    changed = [approved[0] | {"BilledCost": "130"}, *approved[1:]]
    assert counts(delivered(tmp_path, invoiced(changed))) == (0, 3, 0, 0)
    charge = Charge.objects.live().get(resource__resource_id="a")
    assert (charge.state, charge.flags.get().code, charge.replaces.billed_cost) == ("held", "amount_changed", 100)


def test_another_invoice_is_another_charge(tmp_path):
    delivered(tmp_path, invoiced([a_row(ResourceId=str(n)) for n in range(5)]))
    result = delivered(tmp_path, invoiced([a_row(ResourceId=str(n)) for n in range(5)], "INV-2"), replace=True)
    assert counts(result) == (5, 0, 0, 5)


def test_a_tax_row_that_gets_its_invoice_id_is_not_counted_twice_where_files_are_merged(tmp_path):
    source = build.a_source("aws", import_mode="merge")
    rows = [a_row("19", ResourceId="", ChargeCategory="Tax"), a_row("5", ResourceId="", ChargeCategory="Credit")]
    delivered(tmp_path, rows, source=source)
    result = delivered(tmp_path, invoiced([rows[0], rows[1] | {"BilledCost": "6"}]), source=source)
    # What is equal but for the id is known again; without a resource, another amount is another row.
    assert counts(result) == (1, 1, 0, 0)
    assert result.counts.unseen == 1


def test_months_that_get_invoice_ids_are_not_mixed_up(tmp_path):
    january, february = a_row(), a_row() | {"BillingPeriodStart": "2025-02-01", "BillingPeriodEnd": "2025-03-01"}
    delivered(tmp_path, [january, february], name="aws_all.csv")
    assert counts(delivered(tmp_path, [january, *invoiced([february])], name="aws_all.csv")) == (0, 1, 1, 0)
    assert Charge.objects.live().get(account__invoice_id="INV-1").period.month == datetime.date(2025, 2, 1)


@pytest.mark.parametrize("grain", ["day", "month"])
def test_charges_that_were_added_up_are_known_again_too(tmp_path, grain):
    source = build.a_source("aws", grain=grain)
    delivered(tmp_path, [a_row("1"), a_row("2")], source=source)
    assert counts(delivered(tmp_path, invoiced([a_row("1"), a_row("2")]), source=source)) == (0, 1, 0, 0)


@pytest.mark.parametrize("is_remembered", [True, False])
def test_rows_of_several_months_are_matched_whether_they_were_remembered_or_not(tmp_path, monkeypatch, is_remembered):
    """Where nothing was charged when reading began, hashes are not kept; somebody else may have charged since."""
    february = {"BillingPeriodStart": "2025-02-01T00:00:00Z", "BillingPeriodEnd": "2025-03-01T00:00:00Z"}
    rows = [a_row("1", ResourceId="a"), a_row("2", ResourceId="b"), a_row("2", ResourceId="b")]
    delivered(tmp_path, rows)
    monkeypatch.setattr(comparing, "is_matched", lambda received: is_remembered)
    again = [a_row("2", ResourceId="b"), a_row("9", ResourceId="n", **february), a_row("3", ResourceId="a")]
    assert counts(delivered(tmp_path, [*again, *invoiced([a_row("2", ResourceId="b")])])) == (1, 2, 1, 0)
    changed = Charge.objects.live().filter(replaces__isnull=False).order_by("id")
    assert [(charge.line_number, charge.replaces.line_number) for charge in changed] == [(4, 2), (5, 4)]
