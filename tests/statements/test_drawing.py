"""The PDF: its text, its structure, any script, and the same bytes every time."""

import datetime
import io
import re
import unicodedata
from decimal import Decimal

import pytest
from pypdf import PdfReader

from statements import lettering
from statements.document import Figures, Resource, Section, money, percent
from statements.drawing import draw, stand_ins
from statements.drawing.fitting import fitted, wrapped
from statements.drawing.letterhead import project_of
from statements.drawing.paper import Paper
from statements.drawing.statement import StatementSheet
from statements.drawing.styles import BODY, RESOURCE
from statements.lettering import MINUS
from tests.statements.documents import HARD, a_document, a_line, figures


def reader(document):
    return PdfReader(io.BytesIO(draw(document)))


def text_of(document):
    return "\n".join(page.extract_text() for page in reader(document).pages)


def roles(pdf):
    """Return the roles of the structure tree in order, each with its parent's."""
    found = []

    def walk(element, parent):
        element = element.get_object()
        found.append((element["/S"], parent))
        kids = element.get("/K", [])
        for kid in kids if isinstance(kids, list) else []:
            walk(kid, element["/S"])

    for top in pdf.trailer["/Root"]["/StructTreeRoot"]["/K"]:
        walk(top, "")
    return found


def test_the_sheet_says_who_what_when_and_how_much():
    text = text_of(
        a_document(
            Section("BIO-001", "Start-up funds", (a_line(of=figures("100.00", "80.00", "30.00")),)),
            department="Research Computing",
            address=("1 College Way",),
            contact_name="Billing desk",
            contact_email="billing@u.edu",
            contact_phone="555 0100",
            pi_department="Mathematics",
            project_name="Genome Engines",
            footer="Thank you.",
        )
    )
    for said in (
        *("Example University", "Research Computing", "1 College Way", "Ada Lovelace", "ada@u.edu", "Mathematics"),
        *("Genome Engines (genomics)", "January 2025", "2025-01-0007-1", "Feb 3, 2025", "billing@u.edu"),
        *("$100.00", "$20.00", "20% of list price", "$50.00", "62.5% of price after discount", "$30.00"),
        *("Charged to fund/org BIO-001", "Start-up funds", "Thank you.", "Page 1 of 1", "name 2025-01-0007"),
    ):
        assert said in text


def test_a_fully_subsidized_line_shows_its_list_price_and_100_percent():
    document = a_document(Section("BIO-001", "", (a_line("GPU hours", figures("1250.00", "1250.00", "0.00")),)))
    assert re.search(r"GPU hours.*1,250\.00.*1,250\.00\s*100%\s*0\.00", text_of(document))


def test_each_fund_has_a_section_with_its_subtotal():
    text = text_of(
        a_document(
            Section("BIO-001", "", (a_line(of=figures("100.00")),)),
            Section("CHEM-002", "", (a_line(of=figures("900.00")),)),
        )
    )
    assert re.search(r"Subtotal BIO-001\s*100\.00", text)
    assert re.search(r"Subtotal CHEM-002\s*900\.00", text)
    assert re.search(r"Total of all fund/orgs\s*1,000\.00", text)


def test_a_negative_amount_is_copied_with_a_hyphen():
    assert "-25.00" in text_of(a_document(Section("BIO-001", "", (a_line("Credit", figures("-25.00")),))))


def test_a_revision_names_what_it_replaces():
    text = text_of(a_document(revision=2, number="2025-01-0007-2", replaces="2025-01-0007-1"))
    assert "2, replaces 2025-01-0007-1" in text


def test_a_statement_says_until_when_to_ask_and_never_preliminary_or_final():
    text = text_of(a_document(review_until=datetime.date(2025, 2, 14)))
    assert "Questions until Feb 14, 2025" in text
    for said in (text, text_of(a_document())):
        assert "Preliminary" not in said
        assert "inal" not in said


def test_a_zero_revision_says_that_there_are_no_charges():
    text = text_of(a_document(sections=(), figures=Figures(), replaces="2025-01-0007-1"))
    assert "There are no charges" in text
    assert "replaces 2025-01-0007-1" in text


def test_showback_is_marked_and_explained():
    text = text_of(a_document(Section("BIO-001", "", (a_line(is_showback=True),))))
    assert text.count("not charged to the ledger") == 2


def test_of_very_many_resources_the_largest_are_listed_and_the_rest_is_one_sum():
    resources = [Resource(f"node-{number:04d}", "", 1, figures("2.00")) for number in range(300)]
    text = text_of(a_document(Section("BIO-001", "", (a_line(resources=resources),))))
    assert "node-0199" in text
    assert "node-0200" not in text
    assert re.search(r"100 further resources\s*200\.00", text)


def test_every_page_says_which_it_is_and_of_what():
    resources = [Resource(f"node-{number:04d}", "", 1, figures("2.00")) for number in range(150)]
    pages = reader(a_document(Section("BIO-001", "", (a_line(resources=resources),)))).pages
    assert len(pages) > 1
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page.extract_text()
        assert "2025-01-0007-1" in page.extract_text()


@pytest.mark.parametrize(
    "name",
    [
        "Łukasz Żółć-Größe",
        "Ангелина Жуковская",
        "Ελένη Παπαδοπούλου",
        "山田太郎",
        "김민준",
        "נועה כהן",
        "محمد الخوارزمي",
        "Hà Nguyễn",
        "Աննա Գրիգորյան",
        "ნინო ბერიძე",
        "አበበ በቀለ",
    ],
)
def test_a_name_in_any_script_can_be_searched_and_copied(name):
    pdf = reader(a_document(pi_name=name))
    assert name in pdf.pages[0].extract_text()
    assert name in pdf.metadata.title


MATH = "≤ ≥ ≠ ≈ ∞ √ ∑ ∂ ∆ ✓ ← → ⇒ ∈ ∫ ± × ÷"


@pytest.mark.parametrize("text", [MATH, "𠮷野家", "㐂𠀋", "ଓଡ଼ିଆ", "བོད་ཡིག", "ܣܘܪܝܝܐ", "ދިވެހި", "ᏣᎳᎩ", "ꮳꮃꭹ"])
def test_rare_scripts_and_signs_are_printed_from_a_font(text):
    assert lettering.cleaned(text) == unicodedata.normalize("NFC", text)
    assert lettering.unprinted(text) == []
    for font in (lettering.REGULAR, lettering.BOLD):
        assert all(glyph.number for glyph in lettering.shaped(text, font))


def test_a_font_is_opened_when_a_text_first_needs_it():
    lettering.face.cache_clear()
    lettering.shaped.cache_clear()
    draw(a_document())
    assert lettering.face.cache_info().currsize == 2


def test_what_cannot_be_printed_is_told_with_what_stands_for_it():
    lines = (a_line("🐳 tidal", resources=[Resource("\ue000", "🐳", 1, figures("1.00"))]),)
    document = a_document(Section("BIO-001", "", lines), pi_name="Łukasz 太郎", notes=("≤ 5",))
    assert stand_ins(document) == {"🐳": "[spouting whale]", "\ue000": "[U+E000]"}
    text = text_of(document)
    assert all(printed in text for printed in ("[spouting whale]", "[U+E000]"))
    assert stand_ins(a_document()) == {}


@pytest.mark.parametrize("name", ["चन्द्रशेखर", "สมชาย ใจดี", "চন্দ্রনাথ", "சுந்தர்", "సుబ్బారావు", "ខេមរា", "မြန်မာ"])
def test_a_script_that_needs_shaping_leaves_no_empty_boxes(name):
    for font in (lettering.REGULAR, lettering.BOLD):
        assert all(glyph.number for glyph in lettering.shaped(name, font))
    assert draw(a_document(pi_name=name)).startswith(b"%PDF")


def test_letters_are_joined_and_run_to_the_left():
    glyphs = lettering.shaped("محمد", lettering.REGULAR)
    assert [glyph.text for glyph in glyphs] == ["د", "م", "ح", "م"]
    alone = lettering.shaped("م", lettering.REGULAR)[0].number
    assert glyphs[-1].number != alone


def test_a_number_inside_text_that_runs_to_the_left_keeps_its_order():
    texts = "".join(glyph.text for glyph in lettering.shaped("מעבדה 12 א", lettering.REGULAR))
    assert "12" in texts
    assert texts.startswith("א")


def test_latin_before_and_after_keeps_its_place():
    texts = "".join(glyph.text for glyph in lettering.shaped("Lab שלום 5 end", lettering.REGULAR))
    assert texts == "Lab 5 םולש end"


def seen(text):
    """Return what stands on paper, from left to right."""
    return "".join(glyph.text for glyph in lettering.shaped(text, lettering.REGULAR))


@pytest.mark.parametrize(
    ("text", "on_paper"),
    [
        ("נועה (כהן)", "(ןהכ) העונ"),
        ("مختبر [أ]", "[أ] ربتخم"),
        ("Lab נועה (כהן) end", "Lab (ןהכ) העונ end"),
        ("מעבדה (12) א", "א (12) הדבעמ"),
        ("Lab (שלום) end", "Lab (םולש) end"),
        ("Ada (Lovelace)", "Ada (Lovelace)"),
    ],
)
def test_brackets_stand_around_what_they_hold_in_either_direction(text, on_paper):
    assert seen(text) == on_paper
    assert seen(lettering.isolated(text)) == on_paper


def test_a_name_that_begins_to_the_left_runs_so_as_a_whole():
    assert seen(lettering.isolated("נועה (Cohen)")) == "(Cohen) העונ"
    assert seen(lettering.isolated("Cohen (נועה)")) == "Cohen (העונ)"


def test_a_bracket_that_runs_to_the_left_is_drawn_turned_around():
    opening = lettering.shaped("(a)", lettering.REGULAR)[0].number
    assert lettering.shaped("א (ב)", lettering.REGULAR)[0].number == opening


def test_names_side_by_side_keep_their_order_whichever_way_they_run():
    hebrew, arabic = lettering.isolated("נועה כהן"), lettering.isolated("مختبر (أ)")
    assert seen(f"{hebrew} · {arabic}") == "ןהכ העונ · (أ) ربتخم"
    assert seen(f"{arabic}, Ada, {hebrew}!") == "(أ) ربتخم, Ada, ןהכ העונ!"
    assert seen(f"{lettering.isolated('שלום!')} (code)") == "!םולש (code)"
    # The project on paper: its name, then its code.
    document = a_document(project_name="גנומיקה (2025)", project_code="קוד")
    assert seen(project_of(document)) == "(2025) הקימונג (דוק)"


def test_a_mark_of_an_isolate_takes_no_room_and_cannot_be_smuggled_in():
    text = lettering.isolated("נועה")
    assert lettering.width(text, lettering.REGULAR) == lettering.width("נועה", lettering.REGULAR)
    assert seen(lettering.isolated("א\u2069\u2068\u202eב")) == "בא"


@pytest.mark.parametrize("text", ["in percent of the price after the discount " * 9, "שלום רב (לכולם) " * 30])
def test_wrapped_lines_read_one_after_the_other_are_the_text(text):
    text = text.strip()
    lines = wrapped(lettering.isolated(text), BODY, 200)
    assert len(lines) > 3
    assert lettering.plain("".join(lines)) == text
    # A word that is too long for a line is broken without a blank.
    assert "".join(wrapped("g" * 91, BODY, 200)) == "g" * 91


def test_no_two_words_of_the_notes_run_together_for_who_reads_along_the_structure():
    """What a line shows ends with a blank where the text goes on, within the same part of the structure."""
    shown = []
    sheet = StatementSheet(a_document(Section("BIO-001", "", (a_line(of=figures("10.00", "8.00", "6.00")),))))
    show = sheet.show
    sheet.show = lambda x, y, text, style: (shown.append(text), show(x, y, text, style))
    sheet.set()
    assert "what the center pays, as a percentage of the price after the discount. A subsidy is not cost" in "".join(
        shown
    )


@pytest.mark.parametrize(
    ("charged", "expected"), [("6.00", ["cost share", "list price"]), ("8.00", ["list price"]), ("10.00", [])]
)
def test_what_is_subsidized_is_said_not_to_be_cost_share(charged, expected):
    contracted = "10.00" if charged == "10.00" else "8.00"
    document = a_document(Section("BIO-001", "", (a_line(of=figures("10.00", contracted, charged)),)))
    said = [each for each in ("cost share", "list price") if each in document.note_on_reductions]
    assert said == expected


@pytest.mark.parametrize(
    "name",
    [
        "<b>Ada</b> & (Sons)",
        "\\) Tj ET",
        "\x00\x07Ada\u202e\u2066",
        "Ada\nLovelace",
        "\U0010ffff\ue000",
        "🦊 Fox",
        "a" * 5000,
    ],
)
def test_no_text_breaks_the_file(name):
    document = a_document(
        Section(name, name, (a_line(name, source=name, resources=[Resource(name, name, 1, figures("1.00"))]),)),
        pi_name=name,
        institution=name,
        project_name=name,
        footer=name,
        contact_email=name,
        address=(name,),
    )
    for page in reader(document).pages:
        assert "2025-01-0007-1" in page.extract_text()


def test_marks_that_turn_the_direction_of_text_are_left_out():
    assert "Ada fdp.exe" not in text_of(a_document(pi_name="Ada \u202eexe.pdf"))
    assert "Ada exe.pdf" in text_of(a_document(pi_name="Ada \u202eexe.pdf"))


def test_the_same_document_gives_the_same_bytes():
    document = a_document(pi_name="محمد الخوارزمي")
    first = draw(document)
    lettering.shaped.cache_clear()
    lettering.width.cache_clear()
    lettering.face.cache_clear()
    draw(a_document(pi_name="Somebody else"))
    assert draw(document) == first


def test_another_figure_gives_other_bytes():
    assert draw(a_document()) != draw(a_document(Section("BIO-001", "", (a_line(of=figures("10.01")),))))


def test_the_file_says_what_it_is():
    pdf = reader(a_document())
    assert pdf.metadata.title == "Statement 2025-01-0007-1, Ada Lovelace, January 2025"
    assert pdf.metadata.author == "Example University"
    assert pdf.metadata.creation_date.date() == datetime.date(2025, 2, 3)
    root = pdf.trailer["/Root"]
    assert root["/Lang"] == "en-US"
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]


def test_a_screen_reader_finds_headings_and_tables_with_equal_rows():
    pdf = reader(a_document(Section("BIO-001", "", (a_line(), a_line("Storage")))))
    found = roles(pdf)
    names = [role for role, _ in found]
    assert names.count("/H1") == 1
    assert "/H2" in names
    assert {parent for role, parent in found if role in ("/TD", "/TH")} == {"/TR"}
    assert {parent for role, parent in found if role == "/TR"} == {"/Table"}


def test_every_mark_on_a_page_is_in_the_structure():
    pdf = reader(a_document())
    page = pdf.pages[0]
    marks = {int(number) for number in re.findall(rb"/MCID (\d+)>> BDC", page.get_contents().get_data())}
    parents = pdf.trailer["/Root"]["/StructTreeRoot"]["/ParentTree"]["/Nums"]
    assert parents[0] == page["/StructParents"] == 0
    assert marks == set(range(len(parents[1])))


def test_only_our_own_fonts_are_in_the_file_and_only_what_is_used_of_them():
    data = draw(a_document())
    fonts = PdfReader(io.BytesIO(data)).pages[0]["/Resources"]["/Font"]
    assert {font.get_object()["/BaseFont"] for font in fonts.values()} == {
        "/AAAAAA+NotoSans-Regular",
        "/AAAAAA+NotoSans-Bold",
    }
    assert len(data) < 60_000


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [
        ("50", "100", "50%"),
        ("100", "100", "100%"),
        ("12.5", "100", "12.5%"),
        ("99.96", "100", "99.9%"),
        ("0.01", "100", "<0.1%"),
        ("0", "100", ""),
        ("5", "0", ""),
        ("-5", "-10", "50%"),
        ("-5", "10", ""),
        ("15", "10", ""),
    ],
)
def test_percent_never_says_all_where_something_is_left(part, whole, written):
    assert percent(Decimal(part), Decimal(whole)) == written


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        ("1234.5", "USD", "1,234.50"),
        ("-25", "EUR", "-25.00"),
        ("0", "USD", "0.00"),
        ("-0", "USD", "0.00"),
        ("1234.00000000", "JPY", "1,234"),
        ("0", "JPY", "0"),
        ("1.5", "KWD", "1.500"),
        # What was charged before currencies had their own decimals is shown as it was.
        ("33.40000000", "JPY", "33.4"),
    ],
)
def test_amounts_are_written_with_the_decimals_of_their_currency(amount, currency, written):
    assert money(Decimal(amount), currency) == written


def test_a_long_id_keeps_both_its_ends():
    style = RESOURCE
    text = "/subscriptions/0000/resourceGroups/lab/providers/Microsoft.Compute/virtualMachines/vm-42"
    cut = fitted(text, style, 150)
    assert style.width(cut) <= 150
    assert cut.startswith("/subscriptions")
    assert cut.endswith("vm-42")
    assert "…" in cut


def test_a_share_of_a_shared_cost_says_what_it_is_and_of_how_much():
    share = a_line("AWS Support", figures("8.33"), shared_total=Decimal("33.33"))
    text = text_of(a_document(Section("BIO-001", "", (a_line(), share))))
    assert "Share of: AWS Support" in text
    assert "25% of 33.33 shared" in text
    assert "everybody whom the source charged" in " ".join(text.split())
    assert "everybody whom" not in text_of(a_document())
    # Nothing is not a part in percent.
    assert a_line("Tax", figures("0.00"), shared_total=Decimal("0.02")).share == "of 0.02 shared"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("🐳 tidal", "[spouting whale] tidal"),
        ("👩‍🔬 lab", "[woman][microscope] lab"),
        ("👍🏽 ok", "👍 ok"),
        ("🇩🇪 data", "DE data"),
        ("👍 ok", "👍 ok"),
        ("ᚠ", "[runic letter fehu feoh fe f]"),
        ("\ue000 7 \U0010ffff", "[U+E000] 7 [U+10FFFF]"),
        ("\U0002a6d6", "[U+2A6D6]"),
        ("naïve 数据 ±", "naïve 数据 ±"),
    ],
)
def test_what_no_font_has_is_named_and_never_an_empty_box(text, told):
    assert lettering.cleaned(text) == told
    for font in (lettering.REGULAR, lettering.BOLD):
        assert all(glyph.number for glyph in lettering.shaped(text, font))


def test_no_address_pushes_the_figures_off_the_page():
    for address in (tuple(f"Line {number}" for number in range(80)), ("x" * 20_000,)):
        document = a_document(address=address)
        first = reader(document).pages[0].extract_text()
        assert "PREPARED FOR" in first
        assert "Ada Lovelace" in first
        assert "Total charged" in first


@pytest.mark.parametrize(("what", "sentence"), [("a revision", "Total charged:"), ("late change and refund", "Within")])
def test_a_minus_in_a_sentence_is_that_of_the_tables(monkeypatch, what, sentence):
    shown = []
    show = Paper.show
    monkeypatch.setattr(Paper, "show", lambda self, *at: (shown.append(at[2]), show(self, *at)))
    draw(HARD[what])
    (told,) = [text for text in shown if text.startswith(sentence) and MINUS in text]
    assert "-" not in told


def test_the_head_of_a_further_page_names_the_project_by_its_code():
    _, second = reader(HARD["very long names"]).pages
    assert "genomics" in second.extract_text()
    assert "(genomics)" not in second.extract_text()
