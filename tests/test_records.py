"""A record of a file is one line, whatever a provider or a person wrote into its texts."""

import io

import pytest
from openpyxl import load_workbook

from billing.models import Charge
from billing.review import review_sheets
from journals.formats import BUILT_IN, TemplateFormat
from statements import sheets
from tests import build
from tests.test_formulas import journal_of, statement_of

ENDS = ("\r\n", "\n", "\r", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e")
HOSTILE = [f"a{end}b" for end in ENDS] + ["a\tb", "a\x00b\x1b"]


def lines_of(content: bytes) -> int:
    """Count the lines that any program could see."""
    return len(content.decode("utf-8-sig").splitlines())


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_journal_has_a_line_for_each_record(name, hostile):
    plain, made = (BUILT_IN[name].write(journal_of(text)).content for text in ("a b", hostile))
    assert lines_of(made) == lines_of(plain)
    assert not set(made.decode()) & {"\t", "\x00", "\x1b"}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_record_of_fixed_width_keeps_its_width(hostile):
    fixed = TemplateFormat(
        "bank",
        "H{{ journal.number|pad:10 }}",
        "D{{ line.description|pad:12 }}{{ line.fund_org|pad:3 }}|",
        is_csv=False,
    )
    document = journal_of(hostile)
    written = fixed.write(document).content.decode()
    records = written.splitlines()
    assert len(records) == 1 + len(document.ledger_lines)
    assert {len(record) for record in records[1:]} == {1 + 12 + 3 + 1}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_statement_has_a_line_for_each_record(hostile):
    assert lines_of(sheets.as_csv(statement_of(hostile))) == lines_of(sheets.as_csv(statement_of("a b")))


@pytest.mark.django_db
def test_a_review_sheet_has_texts_of_one_line():
    build.a_charge(flags=("pattern_match",), service_name="a\r\nb\u2028c", resource_name="a\x85b\td")
    file = io.BytesIO()
    review_sheets.export(charges=Charge.objects.held(), file=file, actor=build.SOMEBODY, now=build.NOW)
    cells = [str(cell) for row in load_workbook(file)["Charges"].values for cell in row if cell]
    assert "a b c" in cells
    assert all(len(cell.splitlines()) == 1 and "\t" not in cell for cell in cells)
