"""What a line says besides its amounts: days of service, the share of a split, grants, a fund's end, and credits."""

import datetime
import io
import re
from decimal import Decimal

import pytest
from django.urls import reverse
from pypdf import PdfReader

from billing.models import FundException, FundingSource
from statements import issuing
from statements.archival import Attachment
from statements.document import Section
from statements.drawing import draw
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.statements.documents import a_letter, a_line, figures, resources

CSV = Attachment("charges.csv", b"", "text/csv", "The charges of this statement")


def generate(month="2025-01"):
    issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)
    return Statement.objects.live().get(period__month=f"{month}-01")


def read(data):
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages).split())


def lines_of(statement):
    return issuing.document_of(statement).lines


def a_day(number, hour=0):
    return datetime.datetime(2025, 1, number, hour, tzinfo=datetime.UTC)


@pytest.mark.django_db
def test_a_line_says_from_when_to_when_its_service_was():
    for first, last in ((3, 4), (9, 12)):
        build.a_charge(charge_period_start=a_day(first), charge_period_end=a_day(last))
    (line,) = lines_of(generate())
    assert line.served == "Jan 3, 2025 to Jan 11, 2025"


@pytest.mark.django_db
def test_a_service_of_an_hour_is_of_one_day():
    build.a_charge(charge_period_start=a_day(31, 22), charge_period_end=a_day(31, 23))
    (line,) = lines_of(generate())
    assert line.served == "Jan 31, 2025"


@pytest.mark.django_db
def test_a_service_that_ends_before_it_begins_is_of_the_day_that_it_begins():
    build.a_charge(charge_period_start=a_day(9), charge_period_end=a_day(9))
    (line,) = lines_of(generate())
    assert line.served == "Jan 9, 2025"


@pytest.mark.django_db
def test_a_share_of_a_split_says_of_how_much_to_the_cent():
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    for cents in ("128.665", "128.665"):
        build.a_charge(cents)
    first, second = lines_of(generate())
    assert (first.split_share, first.figures.charged) == ("60% of $257.33", Decimal("154.40"))
    assert (second.split_share, second.figures.charged) == ("40% of $257.33", Decimal("102.93"))
    assert first.figures.charged + second.figures.charged == first.split_whole


@pytest.mark.django_db
def test_a_fund_that_pays_by_a_split_and_alone_as_well_says_no_share():
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    build.a_charge("100.00")
    build.a_charge("10.00", fund_org="A", attributed_by="decision")
    shares = {line.split_share for line in lines_of(generate()) if line.figures.charged > 60}
    assert shares == {""}


@pytest.mark.django_db
def test_a_cost_of_its_own_says_no_share():
    build.a_charge("100.00")
    (line,) = lines_of(generate())
    assert (line.split_share, line.split_percent) == ("", None)


@pytest.mark.django_db
def test_a_fund_says_when_it_ends_as_it_was_at_issue(client, cast):
    fund = build.a_fund("BIO-001", name="Start-up funds", valid_until=datetime.date(2025, 5, 5))
    build.a_charge()
    statement = generate()
    FundingSource.objects.update(valid_until=datetime.date(2030, 1, 1))
    (section,) = issuing.document_of(statement).sections
    assert (section.fund_name, section.ends) == ("Start-up funds", "ends May 5, 2025")
    client.force_login(cast.pi)
    page = client.get(reverse("portal:statement", args=[statement.number])).content.decode()
    for said in (page, read(issuing.pdf_of(statement))):
        assert "ends May 5, 2025" in said
    assert fund.pk


@pytest.mark.django_db
def test_an_exception_of_finance_moves_the_end_of_a_fund():
    fund = build.a_fund("BIO-001", valid_until=datetime.date(2025, 5, 5))
    FundException.objects.create(
        fund=fund,
        valid_until=datetime.date(2025, 8, 31),
        reason="No-cost extension",
        recorded_at=NOW,
        recorded_by_name="fay",
    )
    build.a_charge()
    (section,) = issuing.document_of(generate()).sections
    assert section.ends == "ends Aug 31, 2025"


@pytest.mark.django_db
def test_pdf_and_page_say_grant_request_days_and_share(client, cast):
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    build.a_charge("100.00", reference_1="NSF-1", reference_2="REQ-7")
    statement = generate()
    client.force_login(cast.pi)
    page = client.get(reverse("portal:statement", args=[statement.number])).content.decode()
    shown = " ".join(re.sub(r"<[^>]+>", "", page).split())
    for said in (shown, read(issuing.pdf_of(statement))):
        for text in (
            "1. Compute",
            "2. Compute",
            "Grant number NSF-1",
            "Request id REQ-7",
            "Jan 1, 2025",
            "60% of $100.00",
        ):
            assert text in said, text


def test_a_credit_is_said_as_a_credit():
    credit = a_line("Credit", figures("-130.00"))
    said = read(draw(a_letter(Section("CHEM-2", "", (credit,)), Section("BIO-001", "", (a_line(),)))))
    assert "Credited to fund/org CHEM-2" in said
    assert "Credit of $130.00" in said
    assert "Charged to fund/org BIO-001" in said


def test_a_statement_that_comes_to_a_credit_says_so_at_its_head_and_by_fund():
    credit = a_line("Refund", figures("-150.00"), is_correction=True, correction="Refund", for_month="2024-12")
    letter = a_letter(
        Section("BIO-001", "", (a_line(),)),
        Section("CHEM-2", "", (a_line(),)),
        corrections=(Section("CHEM-2", "", (credit,)),),
        history=(),
    )
    said = read(draw(letter))
    assert letter.total_label == "Credit"
    assert "Credit of $140.00 to CHEM-2" in said
    assert "Charged to BIO-001" in said
    assert "Total charged" not in said


def test_what_is_not_listed_is_in_the_file_that_is_attached():
    letter = a_letter(Section("BIO-001", "", (a_line(resources=resources(400)),)))
    assert "200 further resources: see the attached charges.csv" in read(draw(letter, [CSV]))
    alone = read(draw(letter))
    assert "200 further resources" in alone
    assert "charges.csv" not in alone


def test_the_month_in_review_asks_about_the_fund():
    said = read(draw(a_letter(review_until=datetime.date(2025, 2, 14))))
    assert "If a charge does not belong on this fund/org, tell us by Feb 14, 2025." in said
    assert "tell us by" not in read(draw(a_letter()))
