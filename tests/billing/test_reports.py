"""Reports: each figure is the sum of the statement lines it is of, to the cent, whatever the months were."""

import csv
import html
import io
import json
import re
from collections import defaultdict
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from billing import reports
from billing.background import jobs
from billing.models import Job, PayerLine, Source
from billing.models.departments import DepartmentTree
from billing.reports import writing
from statements import issuing
from statements.models import Statement, StatementLine
from tests import build
from tests.statements.pdf_reading import structure_of

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}
MONTHS = ("2025-05", "2025-06", "2025-07")
PIS = ("ada@u.edu", "b@u.edu", "c@u.edu")
STATES = ("clear", "approved", "held", "rejected", "charged_to_center")

CHARGES = st.lists(
    st.fixed_dictionaries(
        {
            "period": st.sampled_from(MONTHS),
            "pi": st.sampled_from(PIS),
            "project": st.sampled_from(["genomics", "reef", None]),
            "source": st.sampled_from(["aws", "hpc"]),
            "service_name": st.sampled_from(["Compute", "Storage", ""]),
            "fund_org": st.sampled_from(["BIO-001", "CHEM-002"]),
            "state": st.sampled_from(STATES),
            # Thousandths, so that cents are rounded; nothing and credits are among them.
            "amounts": st.tuples(st.integers(-500, 99_999), st.integers(0, 99_999), st.integers(0, 99_999)),
        }
    ),
    max_size=12,
)


def the_departments() -> None:
    """Ada's is within a college; B's is a college; C has none. The project reef is of the college itself."""
    college = build.a_department("SCI", name="Science")
    ada = build.a_pi("ada@u.edu", name="Ada")
    ada.department = build.a_department("CHEM", name="Chemistry", parent=college)
    ada.save()
    build.a_pi("b@u.edu", name="B", department=build.a_department("MED", name="Medicine"))
    build.a_pi("c@u.edu")
    build.a_project("reef", department=college)


def charged(of: dict[str, Any]) -> None:
    billed, subsidy, discount = (Decimal(each).scaleb(-3) for each in of["amounts"])
    said = {key: value for key, value in of.items() if key != "amounts"}
    amounts: dict[str, Any] = {"contracted_cost": abs(billed) + subsidy, "list_cost": abs(billed) + subsidy + discount}
    build.a_charge(str(billed), **said, **amounts)


def issue(*months: str) -> None:
    for month in months or MONTHS:
        issuing.generate(period=build.a_period(month), **BY)


def told(**said: str) -> reports.Report:
    return reports.make(reports.read({"from": "2025-05", "to": "2025-07", **said}))


def stated() -> list[StatementLine]:
    """Return the lines of all statements in force, each with what a report could be by."""
    lines = StatementLine.objects.filter(statement__in=Statement.objects.live())
    found = list(lines.select_related("statement__pi__department", "statement__project__department"))
    tree = DepartmentTree()
    for line in found:
        pi, project = line.statement.pi, line.statement.project
        home = (project.home if project else None) or pi.department
        above = tree.above(home.pk) if home else []
        line.of = {  # type: ignore[attr-defined]
            "month": line.statement.period.iso_month,
            "year": str(line.statement.period.month.year + (line.statement.period.month.month >= 7)),
            "pi": pi.email,
            "project": project.code if project else "",
            "source": line.source_name,
            "service": line.service_name,
            "fund": line.fund_org,
            "college": (above[0] if above else home).code if home else "",
            "departments": [each.code for each in [*above, home]] if home else [""],
        }
    return found


def amounts_of(lines: Any) -> tuple[Decimal, ...]:
    """Return list price, discount, price after it, subsidy and charged of lines of statements."""
    lines = list(lines)
    listed, contracted, charged_sum = (
        sum((getattr(line, name) for line in lines), Decimal(0)) for name in ("list_cost", "contracted_cost", "charged")
    )
    return (listed, listed - contracted, contracted, contracted - charged_sum, charged_sum)


def rows_by_key(report: reports.Report) -> dict[str, tuple[Any, ...]]:
    """Return the figures of the rows but percentages; of departments without those of one itself."""
    return {row.key: row.values[:5] for row in report.rows if not row.label.endswith(" itself")}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(charges=CHARGES, fund=st.sampled_from(["", "PROV-1"]))
def test_every_figure_is_the_sum_of_the_statement_lines_it_is_of(db, charges, fund):
    with transaction.atomic():
        build.a_policy(center_fund_org="RC-000")
        the_departments()
        for each in charges:
            charged(each)
        # One source's subsidies are paid by a fund, the other's are forgone.
        Source.objects.filter(name="hpc").update(subsidy_fund_org=fund)
        issue()
        lines = stated()
        for by in ("month", "year", "pi", "project", "source", "service", "fund", "college"):
            found = rows_by_key(told(by=by))
            wanted = defaultdict(list)
            for line in lines:
                wanted[line.of[by]].append(line)
            assert found == {key: amounts_of(own) for key, own in wanted.items()}, by
        report = told(by="department")
        wanted = defaultdict(list)
        for line in lines:
            for code in line.of["departments"]:
                wanted[code].append(line)
        assert rows_by_key(report) == {key: amounts_of(own) for key, own in wanted.items()}
        for by in reports.WAYS["value"]:
            check_that_it_adds_up(told(by=by), amounts_of(lines))
        check_subsidies(lines)
        check_years(lines)
        for pi in PIS:
            own = amounts_of(line for line in lines if line.of["pi"] == pi)
            assert told(by="service", pi=pi).total[:5] == (
                own if any(own) or told(by="service", pi=pi).rows else (0,) * 5
            )
        inside = amounts_of(line for line in lines if "SCI" in line.of["departments"])
        assert told(by="project", department="SCI").total[:5] == inside
        transaction.set_rollback(True)


def check_that_it_adds_up(report: reports.Report, whole: tuple[Decimal, ...]) -> None:
    assert report.total[:5] == whole
    for row in report.rows:
        # A row with parts is their sum, column by column.
        if row.parts:
            parts = [report.rows[place].values[:5] for place in row.parts]
            assert row.values[:5] == tuple(sum(column) for column in zip(*parts, strict=True))
    assert report.trend is None or report.trend.total == whole[0]


def check_subsidies(lines: list[Any]) -> None:
    subsidy = amounts_of(lines)[3]
    paid = sum(PayerLine.objects.filter(kind="subsidy", pi__isnull=False).values_list("charged", flat=True), Decimal(0))
    for by in ("giver", "month", "pi", "department", "source"):
        report = told(report="subsidy", by=by)
        assert report.total[:3] == (subsidy, paid, subsidy - paid)
    by_source = rows_by_key(told(report="subsidy", by="source"))
    for name, figures in by_source.items():
        assert figures[0] == amounts_of(line for line in lines if line.of["source"] == name)[3]
        # Of a source, all of its subsidies are funded, or none.
        assert figures[2 if name == "hpc" and paid else 1] == 0 or not paid


def check_years(lines: list[Any]) -> None:
    for show, place in (("charged", 4), ("subsidy", 3), ("listed", 0)):
        report = reports.make(
            reports.read({"report": "years", "from": "2026-06", "to": "2026-06", "by": "pi", "show": show})
        )
        before = amounts_of(line for line in lines if line.of["month"] == "2025-06")[place]
        assert report.total[:3] == (0, before, -before)


# What can be asked ----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("report", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def a_subsidized_month() -> None:
    """Ada had 300.00 at list price, 250.00 after discount, and paid nothing; B paid all of 40.00."""
    build.a_policy()
    the_departments()
    build.a_charge("0.00", list_cost=Decimal(300), contracted_cost=Decimal(250), period="2025-07", source="hpc")
    build.a_charge("40.00", pi="b@u.edu", project=None, period="2025-07")
    issue("2025-07")


def test_a_month_that_was_charged_nothing_shows_what_it_was_worth():
    # A price of 0 charged needs no list price to be known: the usage itself says what it was worth.
    a_subsidized_month()
    report = told(by="pi")
    ada, b = report.rows
    assert (ada.key, *ada.values) == ("ada@u.edu", 300, 50, 250, 250, 0, Decimal(0))
    assert (b.key, *b.values) == ("b@u.edu", 40, 0, 40, 0, 40, 100)
    assert report.value("recovered") == Decimal("13.8")


@pytest.mark.parametrize(
    ("arguments", "told_why"),
    [
        (["value", "--from", "2025-13"], "is not a billing period"),
        (["value", "--from", "2025-07", "--to", "2025-06"], "July 2025 comes after June 2025"),
        (["value", "--from", "1999-01", "--to", "2025-06"], "more than 120 months"),
        (["value", "--year", "soon"], "is not a fiscal year"),
        (["value", "--year", "2025", "--to", "2025-06"], "not both"),
        (["value", "--by", "shoe size"], "cannot be shown by"),
        (["uncharged", "--by", "pi"], "cannot be shown by"),
        (["value", "--pi", "nobody@u.edu"], "There is no PI"),
        (["value", "--source", "shelf"], "There is no source"),
        (["value", "--project", "none"], "There is no project"),
        (["value", "--department", "none"], "There is no department"),
        (["value", "--currency", "XXQ"], "XXQ"),
        (["subsidy", "--fund", "BIO-001"], "cannot be narrowed to a fund/org"),
        (["value", "-o", "report.doc"], "end its name in"),
    ],
)
def test_what_cannot_be_reported_is_refused_with_a_reason(arguments, told_why):
    with pytest.raises(CommandError, match=told_why):
        call_command("report", *arguments, stdout=StringIO())


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    a_subsidized_month()
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("report", "value", "-o", str(tmp_path / "nowhere" / "report.csv"), stdout=StringIO())


def test_without_months_it_is_the_fiscal_year_until_the_newest_month_with_payer_lines():
    a_subsidized_month()
    build.a_charge("1.00", period="2025-09")
    answer = run("value")
    assert (answer["from"], answer["to"]) == ("2025-07", "2025-07")
    assert run("value", "--year", "FY2026")["to"] == "2026-06"
    assert answer["total"]["listed"] == "340.00"


def test_months_that_may_change_and_months_without_statements_are_named():
    a_subsidized_month()
    build.shut("2025-07")
    build.a_charge("12.50", period="2025-08")
    build.a_charge("5.00", period="2025-09")
    issue("2025-09")
    notes = reports.make(reports.read({"from": "2025-07", "to": "2025-09"})).notes
    assert notes == (
        "September 2025 is not closed: its figures may still change.",
        "August 2025 has no statements yet and is not included. Its charges so far: list price 12.50, "
        "charged 12.50 USD.",
    )


def test_currencies_are_never_added():
    a_subsidized_month()
    # As after the institution changed its currency.
    PayerLine.objects.filter(pi__email="b@u.edu").update(currency="JPY")
    assert told().total[0] == 300
    assert told(currency="jpy").total[0] == 40
    assert "There are amounts in JPY too." in told().notes[-1]


def test_what_is_not_charged_counts_each_charge_once():
    build.a_policy(center_fund_org="RC-000")
    build.a_charge("1.005", period="2025-07", state="held")
    build.a_charge("1.005", period="2025-07", state="held", service_name="Storage")
    build.a_charge("2.00", period="2025-07", state="rejected")
    build.a_charge("3.00", period="2025-07", state="charged_to_center")
    build.a_charge("4.00", period="2025-07", pi=None, project=None, fund_org="", shared_as="Rack")
    build.a_charge("5.00", period="2025-07")
    for by in ("month", "source", "service"):
        report = told(report="uncharged", by=by)
        # The halves of a cent are rounded once, in the whole.
        assert report.total == (2, Decimal("2.01"), 1, 2, 1, 3, 1, 4)
        assert tuple(sum(column) for column in zip(*(row.values for row in report.rows), strict=True)) == report.total


def test_who_gave_a_subsidy_is_named_and_the_rest_is_forgone():
    build.a_policy()
    build.a_fund("PROV-1", name="Provost")
    for source in ("aws", "hpc"):
        build.a_charge("10.00", list_cost=Decimal(30), contracted_cost=Decimal(30), period="2025-07", source=source)
    Source.objects.filter(name="hpc").update(subsidy_fund_org="PROV-1")
    issue("2025-07")
    report = told(report="subsidy")
    assert [(row.label, row.values[:3]) for row in report.rows] == [
        ("PROV-1 – Provost", (20, 20, 0)),
        ("Forgone: paid by nobody", (20, 0, 20)),
    ]
    assert [each.label for each in report.trend.series] == ["PROV-1 – Provost", "Forgone"]


# Files ----------------------------------------------------------------------------------------------------------------


def computed(sheet: Any) -> dict[str, Decimal]:
    """Return the numbers of a sheet by their cells, with its formulas worked out."""
    found: dict[str, Decimal] = {}

    def value(name: str) -> Decimal:
        if name not in found:
            content = sheet[name].value
            if isinstance(content, str) and content.startswith("=SUM("):
                content = sum((value(each) for each in cells_in(content)), Decimal(0))
            elif isinstance(content, str) and content.startswith("=IF("):
                part, whole = re.findall(r"[A-Z]+\d+", content)[1:]
                content = value(part) / value(whole) if value(whole) else 0
            found[name] = Decimal(str(content or 0))
        return found[name]

    for row in sheet.iter_rows():
        for cell in row:
            if isinstance(cell.value, int | float) or str(cell.value).startswith("="):
                value(cell.coordinate)
    return found


def cells_in(formula: str) -> list[str]:
    return [
        f"{chr(letter)}{number}"
        for left, first, right, last in re.findall(r"([A-Z])(\d+):([A-Z])(\d+)", formula)
        for letter in range(ord(left), ord(right) + 1)
        for number in range(int(first), int(last) + 1)
    ]


@pytest.mark.parametrize("by", ["month", "department", "pi"])
def test_the_formulas_of_a_workbook_agree_with_the_figures(by):
    a_subsidized_month()
    build.a_charge("7.77", project="reef", period="2025-06")
    issue("2025-06")
    report = told(by=by)
    book = load_workbook(io.BytesIO(reports.as_xlsx(report)))
    assert book.sheetnames == ["Report", "By month", "For pivot tables"]
    numbers = computed(book["Report"])
    for place, row in enumerate((*report.rows, None)):
        figures = row.values if row else report.total
        for letter, figure in zip("BCDEF", figures, strict=False):
            assert numbers[f"{letter}{5 + place}"] == figure
    total = numbers[f"B{5 + len(report.rows)}"]
    monthly = computed(book["By month"])
    assert monthly[f"E{2 + len(report.trend.months)}"] == total
    pivot = book["For pivot tables"]
    rows = list(pivot.iter_rows(min_row=2, values_only=True))
    assert sum(Decimal(str(row[11])) for row in rows) == total
    assert {row[5] for row in rows} == {"Science", "Chemistry", "Medicine"}


def test_a_csv_has_the_rows_and_their_total():
    a_subsidized_month()
    rows = list(csv.reader(io.StringIO(reports.as_csv(told(by="college")).decode("utf-8-sig"))))
    assert rows[0][:4] == ["College", "Key", "Level", "List price"]
    assert [row[:4] for row in rows[1:]] == [
        ["Science", "SCI", "0", "300.00"],
        ["Medicine", "MED", "0", "40.00"],
        ["Total", "", "0", "340.00"],
    ]


def test_a_pdf_says_the_sums_in_words():
    a_subsidized_month()
    build.shut("2025-07")
    content = reports.as_pdf(told(by="college"))
    said = " ".join(structure_of(content).aloud.split())
    assert "Services worth 340.00 USD at list price were delivered." in said
    assert "Projects were charged 40.00 USD: 13.8% of the price after discounts was recovered." in said
    for heading in ("Value delivered", "Month by month", "By college", "By service", "Who paid the subsidies"):
        assert heading in said
    assert content == reports.as_pdf(told(by="college"))


@pytest.mark.parametrize("report", reports.TITLES)
def test_every_report_is_a_pdf_also_where_there_is_nothing(report):
    build.a_policy()
    assert "nothing in these months" in structure_of(reports.as_pdf(told(report=report))).aloud
    a_subsidized_month()
    assert reports.TITLES[report] in structure_of(reports.as_pdf(told(report=report))).aloud


# The page -------------------------------------------------------------------------------------------------------------


URL = reverse("admin:reports")


@pytest.mark.parametrize(("report", "by"), [(report, by) for report, ways in reports.WAYS.items() for by in ways])
def test_every_way_of_every_report_opens_and_is_given_out(cast, client, report, by):
    a_subsidized_month()
    client.force_login(cast.viewer)
    query = {"report": report, "by": by, "from": "2025-05", "to": "2025-07"}
    page = client.get(URL, query)
    assert page.status_code == 200
    assert reports.TITLES[report] in page.content.decode()
    for form in ("csv", "xlsx", "pdf"):
        file = client.get(URL, query | {"file": form})
        assert file["Content-Disposition"] == f'attachment; filename="{report}-by-{by}-2025-05-to-2025-07.{form}"'


def test_a_row_leads_to_what_is_within_it(cast, client):
    a_subsidized_month()
    client.force_login(cast.viewer)
    college = client.get(URL, {"by": "college"}).content.decode()
    (within,) = set(re.findall(r'href="(\?[^"]*department=SCI[^"]*)"', college))
    shown = client.get(URL + html.unescape(within)).content.decode()
    assert "Chemistry" in shown
    assert "Medicine" not in re.search(r"<tbody>.*", shown, re.DOTALL)[0]
    assert 'aria-label="Remove the filter Department"' in shown


def test_what_the_address_cannot_ask_is_told_on_the_page(cast, client):
    a_subsidized_month()
    client.force_login(cast.viewer)
    page = client.get(URL, {"pi": "nobody@u.edu"}).content.decode()
    assert "There is no PI" in page
    assert "2025-14 " not in client.get(URL, {"from": "2025-14"}).content.decode()
    assert client.get(URL, {"report": "=1+1", "by": "x", "currency": "x", "year": "9" * 900}).status_code == 200


def test_many_rows_are_shortened_on_the_page_and_whole_in_the_files(cast, client):
    build.a_policy()
    for number in range(103):
        build.a_charge("1.00", project=f"p-{number:03}", period="2025-07")
    issue("2025-07")
    client.force_login(cast.viewer)
    page = client.get(URL, {"by": "project"}).content.decode()
    assert "3 others, in the files" in page
    assert len(client.get(URL, {"by": "project", "file": "csv"}).content.splitlines()) == 105


def test_the_page_asks_as_often_for_twice_as_much(cast, client):
    build.a_policy()
    the_departments()
    client.force_login(cast.viewer)

    def asked(by: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(URL, {"by": by, "year": "2026"}).status_code == 200
        return len(queries)

    counted = []
    for month in ("2025-07", "2025-08"):
        for number in range(4):
            build.a_charge("1.00", pi=f"{month}-{number}@u.edu", project=f"{month}-{number}", period=month)
        issue(month)
        counted.append({by: asked(by) for by in reports.WAYS["value"]})
    assert counted[0] == counted[1]
    assert max(counted[1].values()) <= 25


# Large workbooks ------------------------------------------------------------------------------------------------------


def test_a_large_workbook_is_written_by_the_worker_for_who_asked(cast, client, monkeypatch):
    the_departments()
    for pi in PIS:
        build.a_charge("10.00", pi=pi, period="2025-05")
    issue("2025-05")
    client.force_login(cast.viewer)
    url = f"{reverse('admin:reports')}?report=value&from=2025-05&to=2025-05&by=pi"
    assert 'method="post"' not in client.get(url).content.decode().split('class="object-tools"')[1].split("</ul>")[0]
    monkeypatch.setattr(writing, "LARGE", 2)
    tools = client.get(url).content.decode().split('class="object-tools"')[1].split("</ul>")[0]
    assert 'method="post"' in tools
    # An address that somebody kept leads to the page and its button.
    answer = client.get(f"{url}&file=xlsx", follow=True)
    assert "the worker writes it" in answer.content.decode()
    assert not Job.objects.exists()
    answer = client.post(f"{url}&file=xlsx")
    job = Job.objects.get(kind=Job.Kind.REPORT_FILE)
    assert answer.url == reverse("admin:billing_job_change", args=[job.pk])
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.message == "Value delivered, May 2025: 3 rows for pivot tables. The file is kept for 24 hours."
    page = client.get(answer.url).content.decode()
    assert "Download the Excel file" in page
    assert "Go to this report" in page
    file = client.get(reverse("admin:billing_job_download", args=[job.pk]))
    assert file["Content-Disposition"] == 'attachment; filename="value-by-pi-2025-05-to-2025-05.xlsx"'
    book = load_workbook(io.BytesIO(b"".join(file.streaming_content)))
    assert [row[2] for row in book["For pivot tables"].iter_rows(min_row=2, values_only=True)] == list(PIS)
    client.force_login(cast.admin)
    assert client.get(reverse("admin:billing_job_download", args=[job.pk])).status_code == 404


def test_rows_beyond_what_a_sheet_holds_go_to_further_sheets(monkeypatch):
    for pi in PIS:
        build.a_charge("10.00", pi=pi, period="2025-05")
    issue("2025-05")
    monkeypatch.setattr(writing, "SHEET_ROWS", 2)
    told_of: list[tuple[int, int]] = []
    monkeypatch.setattr(writing, "CHUNK", 1)
    file = io.BytesIO()
    report = told(by="pi")
    assert reports.write_xlsx(report, file, lambda done, total, doing: told_of.append((done, total))) == 3
    assert told_of == [(1, 3), (2, 3), (3, 3)]
    book = load_workbook(file)
    pivots = [book["For pivot tables"], book["For pivot tables 2"]]
    assert [row[2] for sheet in pivots for row in sheet.iter_rows(min_row=2, values_only=True)] == list(PIS)
    assert [sheet.auto_filter.ref for sheet in pivots] == ["A1:P3", "A1:P2"]
