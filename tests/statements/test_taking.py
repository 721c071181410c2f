"""Many statements at once: a zip file of PDFs or a workbook, of what the reader may see and nothing else."""

import datetime
import io
import zipfile
from decimal import Decimal

import pytest
from django.utils import timezone
from openpyxl import load_workbook

from billing.background import jobs
from billing.files import exports
from billing.models import AuditEvent, Job, Membership, Project
from statements import issuing, sheets, taking
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

DOWNLOADS = "/downloads/"


@pytest.fixture
def year(cast):
    """Ada has statements of two projects in three months of two fiscal years; Mallory has her own."""
    for month in ("2024-06", "2024-12", "2025-01"):
        build.a_charge("40.00", period=month, resource_name="node-1")
        build.a_charge("12.00", period=month, project="proteins")
        build.a_charge("99.00", pi="mallory@u.edu", project="mischief", period=month)
        issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)
    return cast


def take(client, form, of="FY2025"):
    return client.post(DOWNLOADS, {"form": form, "of": of})


def names_in(answer):
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert archive.testzip() is None
        assert {each.external_attr >> 16 for each in archive.infolist()} == {0o644}
        return {name: archive.read(name) for name in archive.namelist()}


def rows_in(data):
    book = load_workbook(io.BytesIO(data))
    assert book.sheetnames == ["Statements", "Lines"]
    return [[[cell.value for cell in row] for row in book[name]] for name in book.sheetnames]


def test_the_page_offers_the_months_and_fiscal_years_there_are(client, year):
    client.force_login(year.pi)
    page = client.get(f"{DOWNLOADS}?of=2024-12").content.decode()
    assert [each.label for each in client.get(DOWNLOADS).context["years"]] == ["FY2025", "FY2024"]
    assert '<option value="2024-12" selected>December 2024</option>' in page
    client.force_login(build.a_user("newcomer", "pi"))
    assert "There is no statement for you yet." in client.get(DOWNLOADS).content.decode()


def test_a_fiscal_year_is_one_zip_file_of_the_pdfs_in_force(client, year):
    build.a_charge("5.00", period="2025-01")
    issuing.generate(period=build.a_period("2025-01"), actor=SOMEBODY, now=NOW)
    client.force_login(year.pi)
    answer = take(client, "zip")
    assert answer["Content-Disposition"] == 'attachment; filename="statements-FY2025.zip"'
    assert answer["Cache-Control"] == "private, no-store"
    found = names_in(answer)
    hers = Statement.objects.live().filter(pi__email="ada@u.edu", period__month__gte="2024-07-01")
    assert set(found) == {f"statement-{each.number}.pdf" for each in hers}
    assert len(found) == 4
    assert all(found[f"statement-{each.number}.pdf"] == issuing.pdf_of(each) for each in hers)
    assert set(names_in(take(client, "zip", "2024-06"))) < {
        f"statement-{each.number}.pdf" for each in Statement.objects.filter(pi__email="ada@u.edu")
    }


def test_a_zip_file_is_made_piece_by_piece(year, monkeypatch):
    read = []
    monkeypatch.setattr(issuing, "pdf_of", lambda statement: read.append(statement) or b"x" * 1_000)
    pieces = taking.zipped(Statement.objects.live())
    next(pieces)
    assert len(read) == 1
    assert len(list(pieces)) == Statement.objects.live().count()


def test_a_workbook_has_every_statement_and_line_and_adds_up(client, year):
    client.force_login(year.pi)
    answer = take(client, "xlsx")
    listed, lines = rows_in(b"".join(answer.streaming_content))
    assert len(listed) == 1 + 4
    charged = listed[0].index("total_charged")
    assert sum(row[charged] for row in listed[1:]) == 104
    assert lines[0] == list(sheets.HEADINGS)
    of_lines = sheets.HEADINGS.index("Charged")
    assert sum(row[of_lines] for row in lines[1:]) == 104
    assert "mischief" not in str(lines)


def test_a_delegate_takes_what_they_see(client, year):
    Membership.objects.update(project=Project.objects.get(code="proteins"))
    client.force_login(year.delegate)
    listed, _ = rows_in(b"".join(take(client, "xlsx").streaming_content))
    assert {row[listed[0].index("project")] for row in listed[1:]} == {"proteins"}
    Membership.objects.update(valid_until=timezone.localdate() - datetime.timedelta(days=1))
    answer = take(client, "xlsx")
    assert (answer.status_code, answer.url) == (302, DOWNLOADS)


@pytest.mark.parametrize("of", ["", "FY", "FY20251", "FY0000", "2025-13", "x", "FY2031", "2031-01"])
def test_what_is_no_time_of_a_statement_leads_back(client, year, of):
    client.force_login(year.pi)
    answer = client.post(DOWNLOADS, {"form": "zip", "of": of}, follow=True)
    assert answer.redirect_chain == [(DOWNLOADS, 302)]
    assert len(answer.context["messages"]) == 1


def test_a_large_workbook_is_written_by_the_worker_for_who_asked(client, year, monkeypatch):
    monkeypatch.setattr(taking, "LARGE", 2)
    client.force_login(year.pi)
    answer = take(client, "xlsx")
    job = Job.objects.get()
    page = f"{DOWNLOADS}{job.pk}/"
    assert answer.url == page
    assert "Look again" in client.get(page).content.decode()
    file = f"{DOWNLOADS}{job.pk}.xlsx"
    assert client.get(file).status_code == 404
    # Asking twice is asking once.
    assert take(client, "xlsx").url == page
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.message) == (Job.State.DONE, "4 statements collected. The file is kept for 24 hours.")
    assert "Download the workbook" in client.get(page).content.decode()
    assert f'<a href="{page}">FY2025</a>' in client.get(DOWNLOADS).content.decode()
    listed, _ = rows_in(client.get(file).getvalue())
    assert len(listed) == 5
    for other in (year.delegate, year.stranger, year.admin):
        client.force_login(other)
        assert client.get(page).status_code == 404
        assert client.get(file).status_code == 404
    monkeypatch.setattr(exports, "EXPORTS_KEPT", -1)
    client.force_login(year.pi)
    assert "This file is no longer there" in client.get(file, follow=True).content.decode()
    assert "Collect it again" in client.get(page).content.decode()


def test_who_was_removed_meanwhile_does_not_get_what_was_collected(client, year, monkeypatch):
    monkeypatch.setattr(taking, "LARGE", 2)
    client.force_login(year.delegate)
    take(client, "xlsx")
    job = Job.objects.get()
    jobs.run(job.pk)
    assert client.get(f"{DOWNLOADS}{job.pk}.xlsx").getvalue().startswith(b"PK")
    Membership.objects.update(valid_until=timezone.localdate() - datetime.timedelta(days=1))
    answer = client.get(f"{DOWNLOADS}{job.pk}.xlsx", follow=True)
    assert "What you may see has changed" in answer.content.decode()


def test_lines_beyond_a_sheet_go_to_the_next(year, monkeypatch):
    monkeypatch.setattr(taking, "SHEET_ROWS", 3)
    file = io.BytesIO()
    assert taking.write_workbook(Statement.objects.live().filter(pi__email="ada@u.edu"), file) == 6
    book = load_workbook(file)
    assert book.sheetnames == ["Statements", "Lines", "Lines 2"]
    rows = [row for name in ("Lines", "Lines 2") for row in book[name].iter_rows(min_row=2, values_only=True)]
    assert sum(Decimal(str(row[sheets.HEADINGS.index("Charged")])) for row in rows) == 156


def test_staff_who_take_statements_along_are_in_the_audit_log(client, year):
    Membership.objects.create(
        person=Statement.objects.filter(pi__email="ada@u.edu").first().pi,
        user=year.viewer,
        valid_from=datetime.date(2024, 1, 1),
    )
    client.force_login(year.viewer)
    names_in(take(client, "zip", "2025-01"))
    event = AuditEvent.objects.get(action="statement.downloaded")
    assert (event.actor, event.after) == (year.viewer, {"format": "zip", "of": "2025-01", "count": 2})
