"""What a correction says of the line that it corrects: old and new amount, as they were when it was issued."""

import io
from decimal import Decimal

import pytest
from django.urls import reverse
from pypdf import PdfReader

from billing import corrections
from billing.models import BillingPeriod, Charge, Correction, PayerLine, Person
from billing.months import closing
from statements import issuing
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

BY = {"actor": SOMEBODY, "now": NOW}


def generate(month):
    return issuing.generate(period=build.a_period(month), **BY)


def close(month, then):
    generate(month)
    closing.close(period=build.a_period(month), **BY)
    return build.a_period(then)


def line_of(month, **fields):
    return PayerLine.objects.get(period__month=f"{month}-01", **fields)


def told(month, pi="ada@u.edu"):
    """Return, of each correction of a statement: what it corrects, and what that charged before and charges now."""
    statement = Statement.objects.live().get(period__month=f"{month}-01", pi__email=pi)
    return [
        (*line.corrected_lines, f"{line.charged_before:.2f}", f"{line.charged_after:.2f}")
        for section in issuing.document_of(statement).corrections
        for line in section.lines
    ]


def test_a_refund_says_what_the_line_charged_and_charges_now():
    build.a_charge("100.00")
    close("2025-01", "2025-02")
    corrections.add_refund(lines=[line_of("2025-01")], amount=Decimal("30.00"), reason="x", **BY)
    generate("2025-02")
    assert told("2025-02") == [("2025-01-0001-1, line 1", "100.00", "70.00")]


def test_a_correction_begins_with_what_those_of_earlier_months_made_of_it():
    build.a_charge("100.00")
    february = close("2025-01", "2025-02")
    build.a_charge("-10.00", charged_in=february, is_late=True)
    corrections.add_refund(lines=[line_of("2025-01")], amount=Decimal("30.00"), reason="x", **BY)
    close("2025-02", "2025-03")
    corrections.add_refund(lines=[line_of("2025-01")], amount=Decimal("5.00"), reason="x", **BY)
    build.a_charge("1.00", charged_in=build.a_period("2025-03"), is_late=True)
    generate("2025-03")
    assert told("2025-02") == [
        ("2025-01-0001-1, line 1", "100.00", "90.00"),
        ("2025-01-0001-1, line 1", "90.00", "60.00"),
    ]
    assert told("2025-03") == [
        ("2025-01-0001-1, line 1", "60.00", "61.00"),
        ("2025-01-0001-1, line 1", "61.00", "56.00"),
    ]


def test_it_stays_as_it_was_issued_whatever_comes_after():
    build.a_charge("100.00")
    close("2025-01", "2025-02")
    corrections.add_refund(lines=[line_of("2025-01")], amount=Decimal("30.00"), reason="x", **BY)
    generate("2025-02")
    closing.reopen(period=build.a_period("2025-01"), to="open", reason="A late file", **BY)
    build.a_charge("900.00")
    generate("2025-01")
    assert generate("2025-02").issued == 0
    assert told("2025-02") == [("2025-01-0001-1, line 1", "100.00", "70.00")]


def test_what_is_charged_late_to_nobody_before_begins_at_nothing():
    build.a_charge("100.00")
    february = close("2025-01", "2025-02")
    build.a_charge("7.00", service_name="Network", charged_in=february, is_late=True)
    generate("2025-02")
    assert told("2025-02") == [("0.00", "7.00")]


def test_both_sides_of_a_transfer_say_what_they_were():
    build.a_charge("100.00")
    close("2025-01", "2025-02")
    corrections.add_transfer(
        lines=[line_of("2025-01")],
        amount=Decimal("40.00"),
        to={"BOB-1": Decimal(100)},
        pi=build.a_pi("bob@u.edu"),
        reason="x",
        **BY,
    )
    generate("2025-02")
    assert told("2025-02") == [("2025-01-0001-1, line 1", "100.00", "60.00")]
    # Nothing of the other's line is said.
    assert told("2025-02", "bob@u.edu") == [("0.00", "40.00")]


def test_a_reversal_gives_the_line_back_what_the_correction_took():
    build.a_charge("100.00")
    close("2025-01", "2025-02")
    corrections.add_refund(lines=[line_of("2025-01")], amount=Decimal("30.00"), reason="x", **BY)
    close("2025-02", "2025-03")
    corrections.reverse(correction=Correction.objects.get(), reason="x", **BY)
    generate("2025-03")
    assert told("2025-03") == [("2025-01-0001-1, line 1", "70.00", "100.00")]


def test_a_manual_charge_begins_at_nothing():
    build.a_charge("100.00")
    close("2025-01", "2025-02")
    corrections.add_manual_charge(
        pi=Person.objects.get(),
        project=None,
        fund_org="BIO-001",
        source=build.a_source(),
        amount=Decimal("20.00"),
        for_period=build.a_period("2025-01"),
        reason="x",
        **BY,
    )
    generate("2025-02")
    assert told("2025-02") == [("0.00", "20.00")]


def test_what_was_held_and_carried_over_adds_to_the_line_of_its_month():
    build.a_charge("100.00")
    held = build.a_charge("10.00", flags=("pattern_match",))
    generate("2025-01")
    closing.close(period=build.a_period("2025-01"), carry_held=True, **BY)
    Charge.objects.filter(pk=held.pk).update(state=Charge.State.APPROVED)
    generate("2025-02")
    assert told("2025-02") == [("2025-01-0001-1, line 1", "100.00", "110.00")]
    (line,) = issuing.document_of(Statement.objects.live().get(period__month="2025-02-01")).lines
    assert line.reasons == ("Charged late",)


def test_a_correction_of_the_month_itself_is_called_so():
    build.a_charge("100.00")
    generate("2025-01")
    corrections.add_refund(lines=[line_of("2025-01")], amount=Decimal("30.00"), reason="x", **BY)
    generate("2025-01")
    document = issuing.document_of(Statement.objects.live().get())
    assert document.corrections_title == "Corrections"
    (line,) = (line for line in document.lines if line.is_correction)
    assert (line.charged_before, line.charged_after, line.corrected_month) == (Decimal(100), Decimal(70), "")


def test_the_two_blocks_stand_on_the_pdf_and_the_page_with_reason_old_and_new(client, cast):
    build.a_charge("100.00", service_name="Storage")
    february = close("2025-01", "2025-02")
    build.a_charge("50.00", period="2025-02")
    build.a_charge("-10.00", charged_in=february, is_late=True, service_name="Storage", resource_id="disk-7")
    given = {"lines": [line_of("2025-01")], "reason": "x", **BY}
    corrections.add_refund(amount=Decimal("30.00"), printed_text="Three days without service", **given)
    second = corrections.add_refund(amount=Decimal("1.00"), **given)
    generate("2025-02")
    statement = Statement.objects.live().get(period=february)
    pdf = " ".join(
        " ".join(page.extract_text() for page in PdfReader(io.BytesIO(issuing.pdf_of(statement))).pages).split()
    )
    client.force_login(cast.pi)
    page = " ".join(client.get(reverse("portal:statement", args=[statement.number])).content.decode().split())
    for said in (pdf, page):
        said = said.replace("−", "-")
        for text in (
            *("This month: February 2025", "Corrections to earlier months", "January 2025"),
            *("2025-01-0001-1, line 1", "Three days without service", f"Correction {second.correction.pk}", "disk-7"),
            *("100.00", "90.00", "59.00", "-10.00", "30.00", "1.00", "-41.00"),
        ):
            assert text in said, text
        assert said.index("This month") < said.index("Corrections to earlier months")
    assert BillingPeriod.objects.count() == 2


def test_lines_are_numbered_in_the_order_in_which_they_are_printed():
    build.a_charge("100.00", fund_org="A-1")
    february = close("2025-01", "2025-02")
    for fund_org in ("A-1", "B-2"):
        build.a_charge("50.00", period="2025-02", fund_org=fund_org)
        build.a_charge("-10.00", charged_in=february, is_late=True, fund_org=fund_org)
    generate("2025-02")
    document = issuing.document_of(Statement.objects.live().get(period=february))
    assert [line.number for line in document.lines] == [1, 2, 3, 4]
    assert [line.is_correction for line in document.lines] == [False, False, True, True]
