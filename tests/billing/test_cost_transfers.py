"""Cost transfers: what was moved between funds, how many days after it was posted, by whom and why."""

import csv
import datetime
import io
import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse
from openpyxl import load_workbook

from billing import charging, corrections, reports, review
from billing.audit import Actor
from billing.models import Charge, PayerLine
from billing.months import closing
from billing.review.reassignment import Reassignment
from journals import posting
from journals.models import Journal
from tests import build
from tests.journals import made
from tests.statements.pdf_reading import structure_of

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}
# 128 days after January 25.
JUNE = datetime.datetime(2025, 6, 2, 15, tzinfo=datetime.UTC)
FAY = Actor(name="fay", via="test")


@pytest.fixture
def january() -> PayerLine:
    """100.00 of Ada's on BIO-001, journaled on January 31 and closed; NSF-3 is a sponsored award of hers."""
    build.a_policy(center_fund_org="RC-000")
    build.a_charge("100.00")
    for name, is_sponsored in (("BIO-001", False), ("CHEM-2", False), ("NSF-3", True)):
        build.a_fund(name, is_sponsored=is_sponsored).projects.add(build.a_project())
    made.drafted(posting_date=datetime.date(2025, 1, 31))
    made.submitted()
    closing.close(period=build.a_period(), **BY)
    build.a_period("2025-06")
    return PayerLine.objects.get()


def moved(line: PayerLine, to: str, amount: str = "40.00", **how: Any) -> Any:
    given: dict[str, Any] = {
        **{"lines": [line], "to": {to: Decimal(100)}, "amount": Decimal(amount), "reason": "The wrong fund"},
        **{"charged_in": build.a_period("2025-06"), "actor": FAY, "now": JUNE},
    }
    return corrections.add_transfer(**given | how).correction


def told(**said: str) -> reports.Report:
    return reports.make(reports.read({"report": "transfers", "from": "2025-01", "to": "2025-06", **said}))


def texts(report: reports.Report, place: int = 0) -> dict[str, str]:
    return dict(zip(report.texts, report.rows[place].texts, strict=True))


def test_a_transfer_says_when_who_and_why(january):
    correction = moved(january, "NSF-3", justification="The award number was issued late.")
    report = told()
    (row,) = report.rows
    assert row.label == f"Correction {correction.pk}"
    assert texts(report) == {
        **{"From": "BIO-001", "To": "NSF-3", "Sponsored award": "NSF-3"},
        **{"First posted": "Jan 31, 2025", "Entered": "Jun 2, 2025", "Days": "122"},
        **{"Entered by": "fay", "Approved by": "fay", "Reason": "The wrong fund"},
        **{"Justification": "The award number was issued late.", "Remark": "Over 90 days"},
    }
    assert row.values == (0, 40)
    assert report.total == (0, 40)


def test_a_late_one_that_leaves_an_award_without_a_justification_is_marked(january):
    # To an award the door asks. An award that is relieved so late it does not ask about, and the report says it.
    moved(january, "NSF-3", justification="Late.")
    # Between funds that are no awards it is late, and nothing is missing.
    moved(january, "CHEM-2", "5.00")
    charging.make_payer_lines(period=build.a_period("2025-06"), **BY)
    made.drafted("2025-06")
    made.submitted_anyhow(build.a_period("2025-06"), "gl", lambda: {"actor": FAY, "now": JUNE})
    closing.close(period=build.a_period("2025-06"), actor=FAY, now=JUNE)
    on_award = PayerLine.objects.get(period=build.a_period("2025-06"), fund_org="NSF-3")
    december = datetime.datetime(2025, 12, 2, 15, tzinfo=datetime.UTC)
    moved(on_award, "CHEM-2", "10.00", charged_in=build.a_period("2025-12"), now=december)
    report = told(to="2025-12")
    latest = texts(report)
    assert latest["Remark"] == "Over 90 days without a justification"
    assert (latest["From"], latest["To"], latest["Sponsored award"]) == ("NSF-3", "CHEM-2", "NSF-3")
    assert [texts(report, place)["Remark"] for place in (1, 2)] == ["Over 90 days", "Over 90 days"]
    assert report.total == (1, 55)


def test_the_days_are_the_policys_and_end_with_it(january):
    build.a_policy(center_fund_org="RC-000", transfer_justification_days=122)
    moved(january, "CHEM-2")
    assert texts(told())["Remark"] == ""
    build.a_policy(center_fund_org="RC-000", transfer_justification_days=121)
    assert texts(told())["Remark"] == "Over 121 days"


def test_a_reversal_is_a_transfer_back(january):
    correction = moved(january, "CHEM-2")
    corrections.reverse(
        correction=correction, charged_in=build.a_period("2025-06"), reason="It was right", actor=FAY, now=JUNE
    )
    back = texts(told())
    assert (back["From"], back["To"], back["Reason"]) == ("CHEM-2", "BIO-001", "It was right")


def test_what_changes_no_fund_is_no_cost_transfer_and_what_waits_is_told(january):
    moved(january, "CHEM-2")
    build.a_policy(center_fund_org="RC-000", corrections_need_second_person=True)
    fay = Actor.from_user(build.a_user("fay"))
    moved(january, "CHEM-2", "1.00", actor=fay)
    other = build.a_project("reef")
    corrections.add_transfer(
        lines=[january],
        project=other,
        amount=Decimal(2),
        charged_in=build.a_period("2025-06"),
        reason="The other project",
        actor=fay,
        now=JUNE,
    )
    report = told()
    assert [row.values for row in report.rows] == [(0, 40)]
    assert "Corrections that wait for approval and are not counted: 2." in report.notes


def test_what_was_never_posted_has_no_days(january):
    journal = Journal.objects.get()
    posting.reject(journal=journal, reason="Closed period", **BY)
    moved(january, "CHEM-2")
    found = texts(told())
    assert (found["First posted"], found["Days"], found["Remark"]) == ("", "", "")


def test_it_is_narrowed_to_a_fund_and_a_pi(january):
    moved(january, "CHEM-2")
    assert told(fund="CHEM-2").rows
    assert told(pi="ada@u.edu").rows
    assert not told(fund="NSF-3").rows


# Doors ----------------------------------------------------------------------------------------------------------------


def test_files_have_every_word_and_text_is_no_formula(january):
    moved(january, "NSF-3", justification='=HYPERLINK("http://x")')
    report = told()
    headings, row, total = csv.reader(io.StringIO(reports.as_csv(report).decode("utf-8-sig")))
    said = dict(zip(headings, row, strict=True))
    assert (said["From"], said["To"], said["Days"], said["Moved"]) == ("BIO-001", "NSF-3", "122", "40.00")
    assert not said["Justification"].startswith("=")
    assert len(total) == len(headings)
    sheet = load_workbook(io.BytesIO(reports.as_xlsx(report)))["Report"]
    (cell,) = [each for each in sheet[5] if str(each.value).startswith("=HYPERLINK")]
    assert cell.data_type == "s"
    last = max(each.column for each in sheet[5] if each.value is not None)
    moved_cell = sheet.cell(row=5, column=last).coordinate
    assert sheet.cell(row=6, column=last).value == f"=SUM({moved_cell}:{moved_cell})"
    paper = " ".join(structure_of(reports.as_pdf(report)).aloud.split())
    assert "from BIO-001, to NSF-3" in paper


def test_months_without_a_transfer_are_not_told_to_issue_statements(cast, client):
    build.a_policy()
    build.a_charge()
    client.force_login(cast.viewer)
    for report, told in (("transfers", "Nobody moved costs"), ("value", "issue those of a month first")):
        page = client.get(reverse("admin:reports"), {"report": report, "from": "2025-01", "to": "2025-01"})
        assert told in page.content.decode(), report
    out = StringIO()
    call_command("report", "transfers", "--from", "2025-01", "--to", "2025-01", stdout=out)
    assert "There is nothing in these months. Nobody moved costs between fund/orgs." in out.getvalue()


def test_the_command_and_the_page_show_it(cast, client, january):
    moved(january, "NSF-3", justification="The award number was issued late.")
    out = StringIO()
    call_command("report", "transfers", "--from", "2025-01", "--to", "2025-06", "--json", stdout=out)
    (row,) = json.loads(out.getvalue())["rows"]
    assert (row["from"], row["to"], row["days"], row["amount"]) == ("BIO-001", "NSF-3", "122", "40.00")
    out = StringIO()
    call_command("report", "transfers", "--from", "2025-01", "--to", "2025-06", stdout=out)
    assert "The award number was issued late." in out.getvalue()
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:reports"), {"report": "transfers", "from": "2025-01", "to": "2025-06"})
    assert "The award number was issued late." in page.content.decode()


# In the review -------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(january) -> Charge:
    """January is open again, and its charge of 100.00 is on the journal of January 31."""
    closing.reopen(period=build.a_period(), reason="A wrong tag", **BY)
    return Charge.objects.get()


def to(fund_org: str, note: str = "", now: datetime.datetime = JUNE, **names: Any) -> None:
    reassignment = Reassignment(fund_org=fund_org, **names)
    review.reattribute(charges=Charge.objects.all(), reassignment=reassignment, note=note, actor=FAY, now=now)


def test_who_pays_is_changed_in_the_review_after_a_journal_and_is_a_transfer(opened):
    to("NSF-3", note="The award's own run")
    (row,) = told().rows
    assert row.label.startswith("Review decision ")
    assert row.label.endswith(", 1 charge")
    assert row.values == (0, 100)
    assert row.texts == (
        *("BIO-001", "NSF-3", "NSF-3", "Jan 31, 2025", "Jun 2, 2025", "122", "fay", ""),
        *("Reattribute", "The award's own run", "Over 90 days"),
    )
    # The next journal moves just that.
    build.a_policy(center_fund_org="RC-000")
    journal = made.drafted().journal
    assert sorted((line.fund_org, line.debit - line.credit) for line in journal.lines.filter(side="payer")) == [
        ("BIO-001", -100),
        ("NSF-3", 100),
    ]


def test_one_without_a_note_is_without_a_justification(opened):
    to("NSF-3")
    (row,) = told().rows
    assert (row.values, row.texts[-1]) == ((1, 100), "Over 90 days without a justification")


def test_what_leads_back_or_was_on_no_journal_is_none(opened):
    to("NSF-3")
    to("BIO-001")
    build.a_charge("7.00", fund_org="CHEM-2")
    charge = Charge.objects.latest("pk")
    review.reattribute(charges=[charge.pk], reassignment=Reassignment(fund_org="NSF-3"), actor=FAY, now=JUNE)
    assert told().is_empty


def test_of_several_between_two_journals_the_last_one_stands(opened):
    to("CHEM-2", note="First")
    to("NSF-3", note="Then")
    (row,) = told().rows
    assert (row.texts[:2], row.texts[9]) == (("BIO-001", "NSF-3"), "Then")
    # After the next journal it is a transfer of its own.
    later = JUNE + datetime.timedelta(days=1)
    february = datetime.date(2025, 2, 2)
    posting.export(period=build.a_period(), format="gl", submit=True, posting_date=february, actor=FAY, now=later)
    to("BIO-001", note="Back", now=later + datetime.timedelta(days=1))
    assert [row.texts[:2] for row in told().rows] == [("NSF-3", "BIO-001"), ("BIO-001", "NSF-3")]


def test_what_is_held_or_rejected_since_is_none_and_the_center_is(opened):
    review.reject(charges=Charge.objects.all(), note="No", reason="not_ours", actor=FAY, now=JUNE)
    assert told().is_empty
    review.undo(charges=Charge.objects.all(), note="Yes", actor=FAY, now=JUNE)
    review.charge_to_center(charges=Charge.objects.all(), note="Ours", actor=FAY, now=JUNE)
    (row,) = told().rows
    assert row.texts[:2] == ("BIO-001", "RC-000")


def test_review_transfers_are_narrowed_and_shares_are_named(opened):
    shares = {"CHEM-2": Decimal(60), "NSF-3": Decimal(40)}
    review.split(charges=Charge.objects.all(), shares=shares, note="Both", actor=FAY, now=JUNE)
    assert [row.texts[:3] for row in told(fund="CHEM-2").rows] == [("BIO-001", "CHEM-2, NSF-3", "NSF-3")]
    assert told(fund="GIFT-1").is_empty
    assert told(source="aws").rows
    assert told(service="Storage").is_empty
