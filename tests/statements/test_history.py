"""The last months on a statement: frozen when it is issued, drawn as a chart, and the same in a table beside it."""

import datetime
import hashlib
from dataclasses import replace
from decimal import Decimal

import pytest

from billing.months import closing
from statements import issuing
from statements.document import Figures, MonthOfHistory, Section
from statements.drawing import draw
from statements.drawing.statement import StatementSheet
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.statements.documents import A_YEAR, a_document, a_history, a_letter, a_line, figures, resources
from tests.statements.pdf_reading import structure_of
from tests.statements.test_setting import collisions, placed


def generate(month, **options):
    return issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW, **options)


def history(number):
    return issuing.document_of(Statement.objects.get(number=number)).history


def a_month(text):
    return datetime.date.fromisoformat(f"{text}-01")


@pytest.mark.django_db
def test_a_statement_has_the_months_before_it_of_its_own_pi_and_project():
    for month, amount in (("2024-11", "10.00"), ("2025-01", "40.00")):
        build.a_charge(amount, period=month, list_cost=Decimal(100), contracted_cost=Decimal(80))
        build.a_charge("7.00", period=month, pi="bob@u.edu")
        build.a_charge("9.00", period=month, project="proteins")
        generate(month)
    ada = Statement.objects.get(period__month="2025-01-01", pi__email="ada@u.edu", project__code="genomics")
    assert history(ada.number) == (
        MonthOfHistory(a_month("2024-11"), figures("100", "80", "10")),
        # It had no statement.
        MonthOfHistory(a_month("2024-12"), None),
        MonthOfHistory(a_month("2025-01"), figures("100", "80", "40")),
    )


@pytest.mark.django_db
def test_a_first_statement_has_no_history():
    build.a_charge()
    generate("2025-01")
    assert history("2025-01-0001-1") == ()


@pytest.mark.django_db
def test_there_are_twelve_months_of_history_at_most():
    for number in range(14):
        month = f"{2024 + number // 12}-{number % 12 + 1:02}"
        build.a_charge(period=month)
        generate(month)
    found = history("2025-02-0001-1")
    assert (len(found), found[0].month, found[-1].month) == (12, a_month("2024-03"), a_month("2025-02"))


@pytest.mark.django_db
def test_the_history_is_frozen_when_the_statement_is_issued():
    build.a_charge("10.00", period="2024-12")
    generate("2024-12")
    build.a_charge("40.00")
    generate("2025-01")
    january = Statement.objects.get(period__month="2025-01-01")
    drawn = issuing.pdf_of(january)
    # December is revised: January's statement is neither drawn otherwise nor replaced.
    build.a_charge("5.00", period="2024-12")
    assert generate("2024-12").issued == 1
    assert generate("2025-01").issued == 0
    january.refresh_from_db()
    assert hashlib.sha256(draw(issuing.document_of(january), issuing.pdfs._attached_to(january))).hexdigest() == (
        january.pdf_sha256
    )
    assert issuing.pdf_of(january) == drawn
    assert history(january.number)[0].figures.charged == Decimal(10)
    # The next revision has what is in force then.
    build.a_charge("1.00")
    generate("2025-01")
    assert history("2025-01-0001-2")[0].figures.charged == Decimal(15)


@pytest.mark.django_db
def test_a_statement_issued_before_there_was_a_history_is_drawn_without_one():
    build.a_charge()
    generate("2025-01")
    statement = Statement.objects.get()
    statement.document = {key: value for key, value in statement.document.items() if key not in ("history", "notices")}
    assert issuing.document_of(statement).history == ()
    assert draw(issuing.document_of(statement)).startswith(b"%PDF")


def test_chart_and_table_say_the_same_for_who_cannot_see_them():
    whole = structure_of(draw(a_letter()))
    (figure,) = whole.all("Figure")
    assert figure.alternative == (
        "Chart of what makes up the list price, by month. From February 2024 to January 2025: "
        "list price $6,120.25, then $10,703.40; subsidy $1,836.00, then $3,586.52; "
        "total charged $3,672.00, then $7,042.88. The table after it has the same figures."
    )
    assert figure.aloud.endswith("Charged Subsidy Provider discount Corrections ")
    table = next(each for each in whole.all("Table") if each.parts[0].aloud.startswith("Month"))
    rows = [[cell.aloud for cell in row.parts] for row in table.parts]
    assert rows[0] == ["Month", "List price", "Discount", "Subsidy", "Corrections", "Total charged"]
    assert rows[-1] == ["Jan 2025", "10,703.40", "74.00", "3,586.52", "0.00", "7,042.88"]
    assert rows[-2] == ["Dec 2024", "1,204.50", "0.00", "204.50", "-2,204.50", "-1,204.50"]
    assert rows[6] == ["Jul 2024", "", "", "", "", "no statement"]
    assert len(rows) == 1 + len(A_YEAR)


def test_without_corrections_there_is_no_column_of_them():
    whole = structure_of(draw(a_letter(history=A_YEAR[:4])))
    table = next(each for each in whole.all("Table") if each.parts[0].aloud.startswith("Month"))
    assert [cell.aloud for cell in table.parts[0].parts] == [
        *("Month", "List price", "Discount", "Subsidy", "Total charged")
    ]
    assert "Corrections" not in whole.all("Figure")[0].aloud


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("currency", ["USD", "KWD"])
def test_the_largest_amounts_stand_apart_in_the_table(sign, currency):
    large = f"{sign}999999999.99"
    months = a_history(a_month("2025-01"), *([(large, "-999999999.99", large, large)] * 12))
    assert collisions(placed(StatementSheet(a_letter(history=months, currency=currency)))) == []


@pytest.mark.django_db
def test_corrections_are_no_part_of_a_months_own_figures():
    build.a_charge("10.00", period="2024-12")
    generate("2024-12")
    closing.close(period=build.a_period("2024-12"), actor=SOMEBODY, now=NOW)
    january = build.a_period("2025-01")
    build.a_charge("40.00")
    build.a_charge("-3.00", period="2024-12", charged_in=january, is_late=True)
    generate("2025-01")
    own = history("2025-01-0001-1")[-1]
    assert (own.figures, own.corrections, own.charged) == (figures("40"), Decimal(-3), Decimal(37))


def test_a_statement_with_one_month_has_no_chart():
    one = a_history(a_month("2025-01"), ("10.00",))
    for history in ((), one):
        assert not structure_of(draw(a_document(history=history))).all("Figure")
    assert structure_of(draw(a_document(history=A_YEAR[-2:]))).all("Figure")


@pytest.mark.parametrize("count", range(2, 13))
@pytest.mark.parametrize("paper", ["letter", "a4"])
def test_chart_and_table_stand_on_one_page(count, paper):
    for rows in (1, 12, 22, 28, 34):
        section = Section("BIO-001", "", (a_line(resources=resources(rows)),))
        pages = placed(StatementSheet(a_letter(section, history=A_YEAR[-count:], paper=paper)))
        (page,) = (page for page in pages if any(text == f"The last {count} months" for *_, text in page))
        texts = [text for *_, text in page]
        assert {"List price", "Jan 2025", "7,042.88", "Subsidy ", "Total charged"} <= {*texts}


def test_bars_add_up_to_the_list_price_and_corrections_stand_apart():
    parts = [each.parts for each in A_YEAR]
    assert [sum(each[:3]) for each in parts] == [each.figures.list_cost if each.figures else 0 for each in A_YEAR]
    assert parts[-2] == (Decimal(1000), Decimal("204.50"), 0, Decimal("-2204.50"))
    assert A_YEAR[-2].charged == Decimal("-1204.50")


def test_the_chart_changes_with_a_figure():
    other = (*A_YEAR[:-2], replace(A_YEAR[-2], figures=Figures()), A_YEAR[-1])
    assert draw(a_letter(history=other)) != draw(a_letter())
    assert draw(a_letter()) == draw(a_letter())
