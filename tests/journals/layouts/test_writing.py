"""The writer of layouts: widths in bytes, signs and fills, letters, several files, and errors by line."""

import io
import zipfile
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from journals.formats.layouts import LayoutRefused
from journals.formats.layouts.characters import ENCODINGS, cut, transliterated, width_of
from journals.formats.sample import sample
from tests.journals.layouts.made import MADE_AT, a_format, a_journal, read_support


def lines_of(made, document=None):
    return made.write(document or a_journal("12.30")).content.decode().splitlines()


def field(value="", width=10, **more):
    return {"name": "Field", "value": value, "width": width, **more}


def amount(width=10, fill=" ", align=None, **more):
    return {"name": "Amount", "width": width, "fill": fill, "amount": more} | ({"align": align} if align else {})


def test_a_field_is_filled_up_to_its_width():
    assert lines_of(a_format([field("{fund_org}"), field("{account}", name="Account", align="right", fill="0")])) == [
        "BIO-001   0000006500",
        "RC-100    0000004900",
    ]


def test_a_value_that_does_not_fit_is_an_error_by_line():
    with pytest.raises(LayoutRefused) as refusal:
        a_format([field("{fund_org}", width=6)]).write(a_journal("12.30", "5.00"))

    assert str(refusal.value).splitlines() == [
        "The layout “ours” cannot write 2 fields of the journal:",
        "- Line 1 (journal line 1), Field: “BIO-001” takes 7 bytes, and the field holds 6.",
        "- Line 3 (journal line 3), Field: “BIO-001” takes 7 bytes, and the field holds 6.",
        "Correct the values where they come from, or the layout.",
    ]
    assert [(each.line, each.journal_lines, each.field) for each in refusal.value.problems] == [
        (1, (1,), "Field"),
        (3, (3,), "Field"),
    ]


def test_a_field_that_may_be_cut_is_cut_between_letters():
    made = a_format([field("{description}", width=8, may_be_cut=True)], encoding="utf-8")

    assert lines_of(made, a_journal(("1.00", {"description": "Zoë’s Größe"}))) == ["Zoë’s", "Zoë’s"]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"of": "amount"}, ["     12.30", "    -12.30"]),
        ({"of": "amount", "fill": "0"}, ["0000012.30", "-000012.30"]),
        ({"of": "amount", "sign": "plus"}, ["    +12.30", "    -12.30"]),
        ({"of": "amount", "sign": "plus", "fill": "0"}, ["+000012.30", "-000012.30"]),
        ({"of": "amount", "sign": "plus", "fill": "0", "point": False}, ["+000001230", "-000001230"]),
        ({"of": "amount", "sign": "trailing"}, ["    12.30 ", "    12.30-"]),
        ({"of": "amount", "sign": "trailing", "fill": "0"}, ["000012.30 ", "000012.30-"]),
        ({"of": "absolute", "sign": "none", "point": False}, ["      1230", "      1230"]),
        ({"of": "absolute", "align": "left"}, ["12.30     ", "12.30     "]),
        ({"of": "debit"}, ["     12.30", "      0.00"]),
        ({"of": "debit", "zero": "blank"}, ["     12.30", "          "]),
        ({"of": "credit", "zero": "blank"}, ["          ", "     12.30"]),
        ({"of": "credit", "decimals": 3}, ["     0.000", "    12.300"]),
    ],
)
def test_amounts_are_signed_filled_and_left_blank_as_the_layout_says(how, expected):
    assert lines_of(a_format([amount(**how)])) == expected


def test_an_amount_in_parts_of_the_decimals_asked_for_is_refused():
    with pytest.raises(LayoutRefused, match="12.34 has more than 1 decimals"):
        a_format([amount(of="debit", decimals=1)]).write(a_journal("12.34"))


def test_a_negative_amount_without_a_sign_is_refused():
    with pytest.raises(LayoutRefused, match=r"Line 2 .* -12.30 is negative, and the layout prints no sign"):
        a_format([amount(of="amount", sign="none")]).write(a_journal("12.30"))


def test_sides_have_letters():
    assert lines_of(a_format([{"name": "Side", "side": {"debit": "D", "credit": "C"}, "width": 1}])) == ["D", "C"]


def test_a_credit_may_have_a_text_of_its_own_and_a_recovery_no_text():
    made = a_format(
        [field("to {source}", credit_value="from {project}", width=20), field("x", name="Only", only="payer")]
    )

    assert lines_of(made) == ["to cluster          x         ", "from genomics                 "]


def test_a_journal_s_own_names():
    made = a_format(
        [field("{line}/{line_count}")],
        before=[[field("{journal.letter}{journal.month:YYMM}{journal.sequence:03}"), field("{batch:02}", name="B")]],
        after=[[field("{debit_count}-{credit_count}-{record_count}", name="Counts")]],
    )

    assert lines_of(made, a_journal("1.00", "-2.00", batch=7)) == [
        "J2501001  07        ",
        "1/4       ",
        "2/4       ",
        "3/4       ",
        "4/4       ",
        "2-2-6     ",
    ]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{posting_date}", "2025-01-31"),
        ("{posting_date:MM/DD/YYYY}", "01/31/2025"),
        ("{posting_date:DD-MON-YY}", "31-JAN-25"),
        ("{posting_date:Mon YYYY}", "Jan 2025"),
        ("{today:YYYYMMDDhhmiss}", "20250203093015"),
        ("{month:YYYYMM}", "202501"),
        ("FY{fiscal_year} P{fiscal_period:02}", "FY2025 P07"),
    ],
)
def test_dates_have_the_form_that_is_asked_for(form, expected):
    assert lines_of(a_format([field(form, width=20)]))[0].strip() == expected


def test_control_and_hash_totals():
    made = a_format(
        [field("{account}", name="Account")],
        after=[
            [
                {"name": "Debits", "amount": {"of": "debits"}, "width": 10},
                {"name": "Credits", "amount": {"of": "credits"}, "width": 10},
                {"name": "Total", "amount": {"of": "total", "point": False}, "width": 10, "fill": "0"},
                {"name": "Hash", "hash_of": "Account", "width": 4, "fill": "0"},
            ]
        ],
    )

    # 6500 + 4900 + 6500 + 4900 = 22800, of which four digits are kept.
    assert lines_of(made, a_journal("10.50", "1.00"))[-1] == "     11.50     11.5000000023002800"


def test_lines_end_as_the_layout_says():
    content = a_format([field("{line}", width=1)], line_end="crlf").write(a_journal("1.00")).content

    assert content == b"1\r\n2\r\n"


# Letters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("ascii", "Zoë Größe", "Zoe Grosse"),
        ("latin-1", "Zoë Größe", "Zoë Größe"),
        ("latin-1", "Łódź", "Lódz"),
        ("windows-1252", "“Zoë” – 5 €", "“Zoë” – 5 €"),
        ("ascii", "“Zoë” – 5 €", '"Zoe" - 5 EUR'),
        ("ascii", "e\u0301", "e"),
        ("ascii", "\u202eمحمد\u202c", "mhmd"),
        ("utf-8", "محمد", "محمد"),
    ],
)
def test_letters_that_an_encoding_lacks_are_written_by_a_like(encoding, text, expected):
    assert transliterated(text, encoding, asks=False) == expected


def test_a_letter_without_a_like_is_an_error_by_line_or_a_question_mark():
    document = a_journal("1.00", ("2.00", {"description": "a\ue123b"}))
    fields = [field("{description}", width=60)]

    with pytest.raises(LayoutRefused, match=r"Line 3 \(journal line 3\), Field: ascii has no letter for U\+E123"):
        a_format(fields).write(document)
    assert lines_of(a_format(fields, unknown_characters="question_mark"), document)[2].strip() == "a?b"


@pytest.mark.parametrize("unknown", ["refuse", "question_mark"])
def test_a_code_is_never_written_otherwise_than_it_is(unknown):
    made = a_format([field("{fund_org}")], unknown_characters=unknown)

    with pytest.raises(LayoutRefused, match=r"Line 1 .* ascii has no letter for U\+00C9"):
        made.write(a_journal(("1.00", {"fund_org": "É1"})))


ENCODED = st.sampled_from(sorted(ENCODINGS))


@given(st.text(), ENCODED, st.integers(0, 12))
def test_what_is_cut_never_takes_more_bytes_than_it_may(text, encoding, width):
    kept = cut(transliterated(text, encoding, asks=True), width, encoding)

    assert width_of(kept, encoding) <= width
    assert len(kept.encode(ENCODINGS[encoding].removesuffix("-sig"))) <= width


@given(st.text(max_size=200), st.sampled_from(["ascii", "latin-1", "windows-1252", "utf-8"]), st.integers(1, 40))
@settings(max_examples=200)
def test_a_field_never_takes_more_bytes_than_its_width(text, encoding, width):
    """Whatever it says: cut where it may be, refused where not."""
    document = a_journal(("1.00", {"description": text, "fund_org": text}))
    made = a_format(
        [field("{description}", width=width, may_be_cut=True), field("{fund_org}", name="Fund", width=width)],
        encoding=encoding,
        unknown_characters="question_mark",
    )
    try:
        content = made.write(document).content
    except LayoutRefused as refusal:
        assert {each.field for each in refusal.problems} == {"Fund"}  # noqa: PT017 (either way is right)
    else:
        assert [len(line) for line in content.split(b"\n")] == [2 * width, 2 * width, 0]


def test_blanks_and_line_ends_of_a_value_stay_on_its_line():
    assert lines_of(
        a_format([field("{description}", width=8)]), a_journal(("1.00", {"description": "a\r\n  b\tc"}))
    ) == [
        "a b c   ",
        "a b c   ",
    ]


# CSV, spreadsheets, archives -------------------------------------------------------------------------


def test_csv_has_headings_quotes_and_no_formula():
    made = a_format(
        [{"name": "Text", "value": "{description}"}, {"name": "Debit", "amount": {"of": "debit"}}], kind="csv"
    )
    made.layout.main.records[0]
    content = made.write(a_journal(("-25.00", {"description": '=1, "2"'}))).content.decode()

    assert content == '"\'=1, ""2""",0.00\n"\'=1, ""2""",25.00\n'


def test_csv_may_quote_all_or_nothing():
    fields = [{"name": "Text", "value": "{description}"}]
    document = a_journal(("1.00", {"description": "a|b"}))

    assert a_format(fields, kind="csv", file={"quote": "always"}).write(document).content == b'"a|b"\n"a|b"\n'
    bare = a_format(fields, kind="csv", file={"quote": "never", "delimiter": "|"})
    with pytest.raises(LayoutRefused, match=r"Line 1 .*“a\|b” has “\|” or a quotation mark"):
        bare.write(document)
    assert bare.write(a_journal(("1.00", {"description": "ab"}))).content == b"ab\nab\n"


def test_a_width_counts_the_apostrophe_that_disarms_a_formula():
    with pytest.raises(LayoutRefused, match="takes 4 bytes, and the field holds 3"):
        a_format([{"name": "Text", "value": "{description}", "width": 3}], kind="csv").write(
            a_journal(("1.00", {"description": "=12"}))
        )


def test_a_spreadsheet_has_numbers_for_amounts_and_text_for_all_else():
    made = a_format(
        [{"name": "Text", "value": "{description}"}, {"name": "Debit", "amount": {"of": "debit", "zero": "blank"}}],
        kind="xlsx",
    )

    written = made.write(a_journal(("12.30", {"description": "=1+1"})))

    sheet = load_workbook(io.BytesIO(written.content)).active
    assert [(cell.value, cell.data_type) for cell in sheet[1]] == [("=1+1", "s"), (12.3, "n")]
    assert sheet[2][1].value is None


def test_a_file_written_twice_is_the_same_to_the_byte():
    for kind in ("fixed", "csv", "xlsx"):
        made = a_format([field("{line}")], kind=kind)
        assert made.write(a_journal("1.00")) == made.write(a_journal("1.00"))


def test_an_archive_holds_the_files_that_belong_in_it():
    made = a_format(
        [field("{line}")], file={"name": "Gl.txt", "zipped": True}, zip="{journal.number}.zip", files=[SUPPORT]
    )

    written = made.write(a_journal("1.00"))

    assert (written.name, [each.name for each in written.beside]) == ("J2025-01-1.zip", ["Gl-support.csv"])
    with zipfile.ZipFile(io.BytesIO(written.content)) as archive:
        assert archive.namelist() == ["Gl.txt"]


SUPPORT = {"name": "{file.stem}-support.csv", "kind": "support"}
DONE = {"name": "{file.stem}.done", "kind": "fixed"}


def test_a_second_file_lies_beside_the_first_under_the_same_name():
    made = a_format([field("{line}")], files=[DONE])

    written = made.write(a_journal("1.00"))

    assert [(each.name, each.content) for each in written.beside] == [("J2025-01-1.done", b"")]
    renamed = made.write(replace(a_journal("1.00"), file_stem="ours"))
    assert renamed.beside[0].name == "ours.done"


def test_a_draft_says_so_first_and_has_no_file_that_a_loader_waits_for():
    written = a_format([field("{line}")], files=[DONE, SUPPORT]).write(a_journal("1.00", state="DRAFT"))

    assert written.content.decode().splitlines()[0].startswith("DRAFT: journal J2025-01-1 of 2025-01 is not submitted")
    assert [each.name for each in written.beside] == ["J2025-01-1-support-DRAFT.csv"]
    sheet = a_format([field("{line}")], kind="xlsx").write(a_journal("1.00", state="DRAFT"))
    book = load_workbook(io.BytesIO(sheet.content))
    assert book.sheetnames == ["DRAFT Lines"]
    assert book.active["A1"].value.startswith("DRAFT: journal J2025-01-1")


def test_a_name_that_leads_out_of_the_folder_is_refused():
    with pytest.raises(LayoutRefused, match="names a file “../x”"):
        a_format([field("{line}")], file={"name": "../x"}).write(a_journal("1.00"))


def test_a_layout_that_is_not_filled_in_writes_nothing():
    made = a_format(
        [field("{settings.chart}")],
        settings=[{"name": "chart", "label": "Chart of accounts"}, {"name": "o", "label": "O", "optional": True}],
    )

    with pytest.raises(LayoutRefused, match=r"is not filled in: Chart of accounts \(chart\)"):
        made.write(a_journal("1.00"))


def test_segments_are_the_layout_s_own_or_the_policy_s():
    own = a_format([field("{segments.org}/{segments.fund}")], segments="(?P<fund>[A-Z]+)-(?P<org>[0-9]+)")
    assert lines_of(own)[0].strip() == "001/BIO"
    with pytest.raises(LayoutRefused, match="Line 1 .*, fund/org: “bio” does not match the layout's segments"):
        own.write(a_journal(("1.00", {"fund_org": "bio"})))
    policys = a_format([field("{segments.org}")])
    document = a_journal("1.00")
    with pytest.raises(LayoutRefused, match=r"“BIO-001” has no segment org. The policy's pattern has: none"):
        policys.write(document)
    document.lines[:] = [replace(line, segments={"org": "77"}) for line in document.lines]
    assert lines_of(policys, document)[0].strip() == "77"


def test_what_the_ledger_needs_may_not_be_empty():
    with pytest.raises(LayoutRefused, match="Line 2 .* it is empty, and the ledger needs it"):
        a_format([field("{service}", required=True)]).write(a_journal(("1.00", {"service": ""})))
    # Where a field is not printed, it need not say anything.
    assert lines_of(a_format([field("x", only="payer", required=True)])) == ["x         ", "          "]


def test_lines_of_nothing_are_in_no_file():
    assert lines_of(a_format([field("{line}")]), a_journal("0.00", "1.00")) == ["1         ", "2         "]


def test_all_problems_are_listed_and_twenty_are_named():
    document = a_journal(*["1.00"] * 30)
    made = a_format([field("{fund_org}", width=1)])

    assert len(made.problems(document)) == 60
    with pytest.raises(LayoutRefused, match=r"60 fields[\s\S]*- and 40 more"):
        made.write(document)


def test_a_preview_is_the_first_lines_as_text():
    document = a_journal("12.30", "5.00")

    assert a_format([field("{line}")]).preview(document, 2) == ["1         ", "2         "]
    shown = a_format([field("{line}"), amount(of="debit")], kind="xlsx").preview(document, 1)
    assert shown == ["Lines", "1 | 12.30"]


def test_the_support_file_has_the_lines_behind_each_line():
    written = a_format([field("{support}", width=20)], files=[SUPPORT], support="S{line:04}").write(a_journal("12.30"))

    assert written.content.decode().split() == ["S0001", "S0002"]
    rows = read_support(written)
    assert [(row["file_line"], row["support"], row["journal_line"], row["debit"]) for row in rows] == [
        ("1", "S0001", "1", "12.30"),
        ("2", "S0002", "2", "0.00"),
    ]


def test_yen_have_no_decimals():
    document = replace(sample(currency="JPY"), made_at=MADE_AT)

    assert lines_of(a_format([amount(of="debit")]), document)[0] == "      1250"
    assert Decimal(1250) in [line.debit for line in document.lines]


# Descriptions --------------------------------------------------------------------------------------------------------

MEMO = {"name": "Memo", "value": "{description}", "width": 20, "may_be_cut": True}
NUMBER = {"name": "Support", "value": "{support}", "width": 20}


def memos(journal, descriptions, *, memo=MEMO, **more):
    made = a_format([memo, NUMBER], descriptions=descriptions, **more)
    return [line[:20].rstrip() for line in made.write(journal).content.decode().splitlines()]


def test_debits_and_credits_have_descriptions_of_their_own():
    journal = a_journal("10.00", ("-5.00", {"service": "Storage"}))
    assert memos(journal, {"debit": "RC {service}"}) == ["RC Compute", "RC Compute", "RC Storage", "RC Storage"]
    both = {"debit": "D {source}", "credit": "C {reference}"}
    assert memos(journal, both) == ["D cluster", "C 2025-01-0001", "C 2025-01-0001", "D cluster"]


def test_without_a_description_of_its_own_a_line_has_that_of_the_journal():
    journal = a_journal(("10.00", {"description": "As drafted"}))
    assert memos(journal, {}) == ["As drafted"] * 2
    assert memos(journal, {"credit": "Recovery"}) == ["As drafted", "Recovery"]


def test_a_line_for_several_has_a_description_of_its_own():
    journal = a_journal("10.00", ("20.00", {"project": "other"}))
    more = {"condense": {"payers": "chartstring", "recoveries": "source"}, "files": [{"name": "s", "kind": "support"}]}
    assert memos(journal, {"debit": "{project}", "many": "{count} of {month:MM/YYYY}"}, **more) == ["2 of 01/2025"] * 2
    assert memos(journal, {"debit": "RC {project}"}, **more) == ["RC"] * 2


def test_a_description_is_cut_only_where_its_field_says_so():
    journal = a_journal(("10.00", {"service": "Größe " * 10}))
    assert memos(journal, {"debit": "{service}"})[0] == "Grosse Grosse Grosse"
    with pytest.raises(LayoutRefused, match="Line 1 .*, Memo: .* takes 69 bytes, and the field holds 20"):
        memos(journal, {"debit": "{service}"}, memo=MEMO | {"may_be_cut": False})


def test_a_code_in_a_description_is_never_written_otherwise():
    journal = a_journal(("10.00", {"fund_org": "BÏO-1"}))
    with pytest.raises(LayoutRefused, match=r"Line 1 .*, Memo: ascii has no letter for U\+00CF"):
        memos(journal, {"debit": "{fund_org}"})
