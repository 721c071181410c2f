"""Workbooks recalculated by LibreOffice: formulas come to what the program says, and numbers stay as they are."""

import csv
import datetime
import io
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from openpyxl import load_workbook

from billing import reports
from billing.models import RateStudy, UsageFeed
from billing.reports.tables import PERCENT
from billing.reports.writing import FIRST_ROW, PIVOT
from billing.usage import studies
from billing.usage.studies.equation import Use
from journals.formats import BUILT_IN
from journals.formats.documents import as_spreadsheet
from journals.formats.sample import sample
from statements import issuing, sheets
from statements.models import Statement
from tests import build

OFFICE = shutil.which("soffice") or shutil.which("libreoffice") or ""

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.slow,
    pytest.mark.same_on_either,
    pytest.mark.skipif(not OFFICE, reason="LibreOffice is not installed (Debian: libreoffice-calc)"),
]

# A spreadsheet counts in binary: what it comes to is this close, and the cents are right.
CLOSE = Decimal("1e-6")


def recalculated(folder: Path, books: dict[str, bytes]) -> dict[str, object]:
    """Return the workbooks as LibreOffice saves them: with a value in each formula's cell."""
    for name, content in books.items():
        (folder / f"{name}.xlsx").write_bytes(content)
    out = folder / "recalculated"
    own = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    convert = [OFFICE, own, "--headless", "--convert-to", "xlsx", "--outdir", str(out)]
    subprocess.run([*convert, *sorted(folder.glob("*.xlsx"))], check=True, capture_output=True, timeout=300)
    return {name: load_workbook(out / f"{name}.xlsx", data_only=True) for name in books}


def formulas(content: bytes) -> int:
    book = load_workbook(io.BytesIO(content))
    return sum(cell.data_type == "f" for sheet in book.worksheets for row in sheet.iter_rows() for cell in row)


def near(found: object, wanted: Decimal | int) -> bool:
    return isinstance(found, int | float) and abs(Decimal(found) - wanted) < CLOSE


def differences(sheet, number, columns, values, first):
    """Return the cells of a row that do not hold these values: sums and percentages among them."""
    found = [cell.value for cell in sheet[number][first : first + len(values)]]
    whole = {column.name: value for column, value in zip(columns, values, strict=True)}
    wanted = [
        Decimal(whole[column.of[0]]) / whole[column.of[1]]
        if column.kind == PERCENT and whole[column.of[1]]
        else None
        if column.kind == PERCENT
        else value
        for column, value in zip(columns, values, strict=True)
    ]
    pairs = zip(columns, found, wanted, strict=True)
    return [
        (sheet.title, number, column.label, cell, value)
        for column, cell, value in pairs
        if not (cell in (None, "") if value is None else near(cell, value))
    ]


@pytest.fixture
def years():
    """Two fiscal years of charges in colleges and departments, with discounts, subsidies, credits and what is held."""
    build.a_policy(center_fund_org="RC-000")
    college = build.a_department("SCI", name="Science")
    build.a_pi("ada@u.edu", department=build.a_department("CHEM", name="Chemistry", parent=college))
    build.a_pi("b@u.edu", department=build.a_department("MED", name="Medicine"))
    build.a_pi("c@u.edu", department=college)
    prices = {"list_cost": "1000.10", "contracted_cost": "899.99"}
    for month in ("2025-05", "2025-06", "2025-07"):
        for number, pi in enumerate(("ada@u.edu", "b@u.edu", "c@u.edu")):
            said = {"pi": pi, "period": month, "service_name": ("Compute", "Storage", "")[number]}
            build.a_charge("333.33", fund_org=f"BIO-00{number}", source="hpc", **said, **prices)
            build.a_charge("-0.05", fund_org="CHEM-002", project=None, **said)
        build.a_charge("12.34", flags=("missing_pi",), pi=None, project=None, period=month)
        build.a_charge("5.00", state="charged_to_center", period=month)
        issuing.generate(period=build.a_period(month), actor=build.SOMEBODY, now=build.NOW)


def test_totals_of_every_report_agree_with_its_values(years, tmp_path):
    made = {
        f"{name}-{by}": reports.make(reports.read({"report": name, "by": by, "from": "2025-05", "to": "2025-07"}))
        for name, ways in reports.WAYS.items()
        for by in ways
    }
    written = {name: reports.as_xlsx(report) for name, report in made.items()}
    filled = {name for name, report in made.items() if report.rows}
    assert {name.partition("-")[0] for name in filled} >= {"value", "subsidy", "years", "uncharged"}
    assert all(formulas(written[name]) for name in filled)

    books = recalculated(tmp_path, written)
    wrong = []
    for name, report in made.items():
        sheet, first = books[name]["Report"], 1 + len(report.texts)
        for place, row in enumerate(report.rows):
            wrong += differences(sheet, FIRST_ROW + place, report.columns, row.values, first)
        wrong += differences(sheet, FIRST_ROW + len(report.rows), report.columns, report.total, first)
        if report.trend:
            months = books[name]["By month"]
            for number, (_, amounts, _) in enumerate(report.trend.rows, start=2):
                found = [cell.value for cell in months[number][1:]]
                if not all(map(near, found, [*amounts, sum(amounts, Decimal(0))])):
                    wrong.append((name, months.title, number, found, amounts))
    assert not wrong

    # What is for pivot tables adds up to the report.
    pivot = list(books["value-pi"]["For pivot tables"].iter_rows(min_row=2, values_only=True))
    place = PIVOT.index("List price")
    sums = [sum(Decimal(str(row[place + each])) for row in pivot) for each in range(len(PIVOT) - place)]
    assert sums == list(made["value-pi"].total[:5])


def test_a_study_in_a_spreadsheet_comes_to_the_rate_that_it_proposes(tmp_path):
    costs = (
        studies.Cost("Staff", "staff", Decimal("60000.00")),
        studies.Cost(
            *("Cluster", "depreciation", Decimal("15000.01"), Decimal("3333.33")),
            cost=Decimal("110000.05"),
            federally_funded=Decimal("20000.00"),
            life_years=6,
            months=12,
        ),
        studies.Cost("Reception", "unallowable", Decimal(0), Decimal("1200.00")),
    )
    use = tuple(
        Use(
            datetime.date(2025, month, 1),
            *map(Decimal, ("1000.125", "800", "150.125", "50", "25")),
            listed=Decimal("4000.55"),
            billed=Decimal("3200.15"),
        )
        for month in (1, 2, 3)
    )
    nobody = studies.Paid()
    figures = studies.Figures(
        *("core-hour", "USD", 4, costs, use, Decimal("-2500.00"), None, None, None, nobody, nobody)
    )
    study = RateStudy(rate="cpu", fiscal_year=2025, feed=UsageFeed(name="tiger", display_name="Tiger"))
    file = io.BytesIO()
    studies.write_workbook(studies.Studied(study, figures, ()), file)

    sheet = recalculated(tmp_path, {"study": file.getvalue()})["study"]["Rate"]
    found = {label: value for label, value, *_ in sheet.iter_rows(min_row=2, values_only=True)}
    wanted = {
        "Costs that count": figures.allowable,
        "Recovered at list price": figures.recovered,
        "Balance carried forward": figures.balance,
        "To be recovered": figures.to_recover,
        "Units": figures.units,
        "Break-even rate": figures.break_even,
        "Rate": figures.rate,
        "Excluded from the rate": figures.excluded,
    }
    assert {label: found[label] for label, value in wanted.items() if not near(found[label], value)} == {}


def test_statements_and_journals_hold_numbers_that_stay_as_they_are(years, tmp_path):
    """They have no formulas: each amount is a number, and adds up in a spreadsheet as on the document."""
    statement = Statement.objects.live().filter(pi__email="ada@u.edu", project__isnull=False).latest("period__month")
    document = issuing.document_of(statement)
    journal = sample(("fund",))
    books = {"statement": sheets.as_xlsx(document)}
    for name, form in BUILT_IN.items():
        books[name] = as_spreadsheet(form.table(journal), title="Journal").content
    assert [formulas(content) for content in books.values()] == [0] * len(books)
    for name, book in recalculated(tmp_path, books).items():
        was = [list(row) for row in load_workbook(io.BytesIO(books[name])).active.iter_rows(values_only=True)]
        assert [list(row) for row in book.active.iter_rows(values_only=True)] == was
    headings, *rows = csv.reader(io.StringIO(sheets.as_csv(document).decode("utf-8-sig")))
    place = headings.index("Charged")
    assert sum(Decimal(row[place]) for row in rows) == statement.charged
