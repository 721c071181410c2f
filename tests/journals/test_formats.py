"""The formats of a journal's file: rows, guards, and templates that can do no harm."""

import csv
import datetime
import io
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from billing.sheets import guarded
from billing.texts import one_line
from journals.formats import BUILT_IN, TemplateFailed, TemplateFormat, templated
from journals.formats.documents import Document, Table, as_csv, as_spreadsheet
from journals.formats.sample import sample
from journals.formats.templated import csv_lines


def parsed(content):
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def of_lines(**changes):
    """The sample journal with the same changes made to every line."""
    document = sample(("fund", "org"))
    return replace(document, lines=[replace(line, **changes) for line in document.lines])


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "@SUM(A1)", "-1-1", "=cmd|' /C calc'!A0"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text):
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-25.00", "-25", "12.30", "plain", "", "a=b"])
def test_plain_text_and_numbers_stay_as_they_are(text):
    assert guarded(text) == text


@given(st.text())
def test_no_guarded_text_starts_a_formula(text):
    kept = guarded(text)

    assert not kept.startswith(("=", "+", "@", "\t", "\r", "\n"))
    # It stays on one line.
    assert kept in (one_line(text), f"'{one_line(text)}")


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1"])
def test_what_begins_a_line_begins_no_formula(text):
    assert guarded(text) == "' =1"


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_a_csv_reads_back_as_it_was_written(rows):
    written = as_csv(Table(["a", "b"], rows))

    back = list(csv.reader(io.StringIO(written.content.decode(errors="surrogatepass"), newline="")))

    assert back[1:] == [[guarded(cell) for cell in row] for row in rows]
    assert written.rows == len(rows)


def test_gl_has_a_debit_and_its_credit_with_a_column_for_each_segment():
    rows = parsed(BUILT_IN["gl"].write(of_lines(segments={"fund": "BIO", "org": "001"})).content)

    assert list(rows[0]) == [
        "journal",
        "state",
        "posting_date",
        "period",
        "line",
        "fund_org",
        "fund",
        "org",
        "natural_account",
        "debit",
        "credit",
        "currency",
        "reference",
        "description",
        "grant_number",
        "request_id",
    ]
    assert [(row["fund_org"], row["debit"], row["credit"]) for row in rows] == [
        ("BIO-001", "1250.40", "0.00"),
        ("RC-100", "0.00", "1250.40"),
        ("CHEM-014", "0.00", "25.00"),
        ("RC-100", "25.00", "0.00"),
    ]
    assert {row["fund"] for row in rows} == {"BIO"}


def test_a_segment_named_like_a_column_gets_a_column_of_its_own():
    rows = parsed(BUILT_IN["gl"].write(replace(sample(), segments=("period",))).content)

    assert "segment_period" in rows[0]
    assert rows[0]["period"] == "2025-01"


def test_standard_tells_discount_and_subsidy_of_each_payer():
    document = sample()
    payer = replace(
        document.lines[0],
        debit=Decimal("60.00"),
        credit=Decimal(0),
        list_cost=Decimal("100.00"),
        contracted_cost=Decimal("80.00"),
    )

    (row,) = parsed(BUILT_IN["standard"].write(replace(document, lines=[payer])).content)

    assert (row["list_cost"], row["discount"], row["subsidy"], row["charged"]) == ("100.00", "20.00", "20.00", "60.00")
    assert (row["reference"], row["pi_email"], row["project"], row["fund_org"]) == (
        "2025-01-0001",
        "ada@example.edu",
        "genomics",
        "BIO-001",
    )


def test_summary_adds_up_each_pi_project_and_fund():
    document = sample()
    twice = replace(document, lines=[*document.lines, *document.lines])

    rows = parsed(BUILT_IN["summary"].write(twice).content)

    assert [(row["fund_org"], row["lines"], row["charged"]) for row in rows] == [
        ("BIO-001", "2", "2500.80"),
        ("CHEM-014", "2", "-50.00"),
    ]


def test_a_draft_says_so_in_every_row():
    document = replace(sample(), state="DRAFT")

    for each in BUILT_IN.values():
        assert {row["state"] for row in parsed(each.write(document).content)} == {"DRAFT"}


def test_a_journal_without_lines_is_headings_only():
    document = replace(sample(), lines=[])

    for each in BUILT_IN.values():
        written = each.write(document)
        assert (written.rows, len(written.content.decode().splitlines())) == (0, 1)


def test_commas_and_formulas_in_a_description_break_nothing():
    rows = parsed(BUILT_IN["gl"].write(of_lines(description='=HYPERLINK("x"), "y"\nz')).content)

    assert len(rows) == 4
    assert rows[0]["description"] == '\'=HYPERLINK("x"), "y" z'


def test_a_spreadsheet_holds_numbers_as_numbers_and_formulas_as_text():
    table = BUILT_IN["gl"].table(of_lines(description="=1+1\x07"))

    sheet = load_workbook(io.BytesIO(as_spreadsheet(table, title="J2025-01-1").content)).active

    columns = {cell.value: cell.column for cell in sheet[1]}
    debit = sheet.cell(2, columns["debit"])
    description = sheet.cell(2, columns["description"])
    assert (debit.value, debit.data_type) == (1250.4, "n")
    assert (description.value, description.data_type) == ("=1+1", "s")
    assert sheet.cell(2, columns["posting_date"]).value == datetime.datetime(2025, 1, 31)  # noqa: DTZ001


def template(line, header="", footer="", **more):
    return TemplateFormat("bank", header, line, footer, **more)


def test_a_template_makes_a_file_of_header_lines_and_footer():
    made = template(
        "{{ line.debit_or_credit }},{{ line.fund_org }},{{ line.description }},{{ line.debit }}",
        header="side,fund,text,amount",
        footer="T,{{ journal.number }},{{ journal.line_count }},{{ journal.debits }}",
    ).write(sample())

    assert made.rows == 4
    rows = list(csv.reader(io.StringIO(made.content.decode(), newline="")))
    assert rows[0] == ["side", "fund", "text", "amount"]
    assert rows[3] == ["C", "CHEM-014", "2025-01-0002 genomics Cluster Storage, archived", "0.00"]
    assert rows[-1] == ["T", "J2025-01-1", "4", "1275.40"]


def test_a_value_never_ends_a_field_and_never_starts_a_formula():
    document = of_lines(description='=1, "2"\n3', project='"')

    made = template('{{ line.description }},"{{ line.description }}",x{{ line.project }}').write(document)

    rows = list(csv.reader(io.StringIO(made.content.decode(), newline="")))
    assert rows == [['\'=1, "2" 3', '\'=1, "2" 3', 'x"']] * 4


def test_marks_in_a_value_cannot_break_out_of_it():
    made = template("{{ line.description }}").write(of_lines(description=f"a{templated.SHUT},=b{templated.OPEN}"))

    assert next(csv.reader(io.StringIO(made.content.decode()))) == ["a,=b"]


def test_a_template_that_is_not_csv_is_written_as_it_stands():
    made = template("{{ line.fund_org|pad:12 }}{{ line.debit|cents|zeros:10 }}{{ line.debit_or_credit }}", is_csv=False)

    assert made.write(sample()).content.decode().splitlines()[0] == "BIO-001     0000125040D"


def test_conditions_dates_and_filters_work():
    made = template(
        '{% if line.debit %}D{% else %}C{% endif %},{{ journal.posting_date|date:"Ymd" }},{{ line.amount|absolute }},'
        "{{ line.source|upper|left:3 }}"
    ).write(sample())

    assert made.content.decode().splitlines()[2] == "C,20250131,25.00,CLU"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "{{ line.nothing }}",
            "Template “bank”, line, line 1: there is no “line.nothing”. There are: journal.accounts",
        ),
        ("a\n{{ settings }}", "Template “bank”, line, line 2: there is no “settings”"),
        ("a\n{% for x in line %}{% endfor %}", "“line” is no list to go through."),
        ("{{ journal.accounts }}", "line 1: “journal.accounts” is a list. Go through it with for."),
        ("{% include 'x' %}", "Invalid block tag"),
        ("{% load static %}", "Invalid block tag"),
        ("{% extends 'x' %}", "Invalid block tag"),
        ("{{ line.debit|stringformat:'999999999d' }}", "Invalid filter"),
        ("{{ line.debit|ljust:'999999999' }}", "Invalid filter"),
        ("{{ line.debit|pad:'999999999' }}", "A width is from 0 to 1000"),
        ("{{ line.fund_org|cents }}", "cannot be printed"),
        ("{{ line.debit.__class__ }}", "may not begin with underscores"),
        ("{% if line.debit %}", "Unclosed tag"),
    ],
)
def test_a_template_that_cannot_be_used_says_where(line, said):
    with pytest.raises(TemplateFailed) as failure:
        template(line).write(sample())

    assert said in str(failure.value)


def test_a_template_cannot_fill_the_disk(monkeypatch):
    monkeypatch.setattr(templated, "MAX_BYTES", 1000)

    with pytest.raises(templated.TemplateTooLarge, match="bank"):
        template("{{ line.description|pad:900 }}").write(sample())


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_fields_of_a_template_are_its_values_whatever_they_hold(values):
    cleaned = [templated.MARKS.sub("", value) for value in values]
    rendered = ",".join(f"{templated.OPEN}{value}{templated.SHUT}" for value in cleaned)

    written = csv_lines(rendered)

    rows = list(csv.reader(io.StringIO(written, newline="")))
    assert (rows[0] if rows and rows[0] else [""]) == [guarded(value) for value in cleaned]


def test_a_document_adds_up_its_sides():
    document = sample()

    assert document.debits == document.credits == Decimal("1275.40")
    assert isinstance(document, Document)


# Totals --------------------------------------------------------------------------------------------------------------


def test_a_footer_has_totals_of_what_it_goes_through():
    document = sample()
    footer = (
        "{% for each in journal.accounts %}T,{{ each.natural_account }},{{ each.debit }},{{ each.credit }},"
        "{{ each.line_count }}\n{% endfor %}END,{{ journal.debits }},{{ journal.credits }},{{ journal.line_count }}"
    )
    made = TemplateFormat(name="bank", header="", line="L,{{ line.debit }},{{ line.credit }}", footer=footer)
    rows = list(csv.reader(io.StringIO(made.write(document).content.decode())))
    assert rows[-3:] == [
        ["T", "4900", "25.00", "1250.40", "2"],
        ["T", "6500", "1250.40", "25.00", "2"],
        ["END", "1275.40", "1275.40", "4"],
    ]
    lines = [row for row in rows if row[0] == "L"]
    for place in (1, 2):
        assert sum(Decimal(row[place]) for row in lines) == Decimal(rows[-1][place])


@pytest.mark.parametrize(
    ("of", "field", "said"),
    [
        ("fund_orgs", "fund_org", "BIO-001=1250.40 CHEM-014=-25.00 RC-100=-1225.40 "),
        ("sources", "source", "cluster=0.00 "),
        ("chartstrings", "natural_account", "6500=1250.40 6500=-25.00 4900=-1225.40 "),
    ],
)
def test_totals_are_of_fund_orgs_sources_and_chartstrings(of, field, said):
    header = f"{{% for each in journal.{of} %}}{{{{ each.{field} }}}}={{{{ each.amount }}}} {{% endfor %}}"
    made = TemplateFormat(name="bank", header=header, line="x", is_csv=False)
    assert made.write(sample()).content.decode().splitlines()[0] == said
