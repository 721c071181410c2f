"""PDFs conform to PDF/A-3a and PDF/UA-1, and can be read along their structure by who does not see them."""

import io
import itertools
import re
import zlib

import page
import pytest
from PIL import Image, ImageCms
from pypdf import PdfReader

from statements.archival import Attachment
from statements.document import Resource, Section
from statements.drawing import draw, draw_proof
from statements.pdf_objects import stream
from statements.srgb import srgb_profile
from tests.statements.documents import HARD, PROOF, a_document, a_letter, a_line, figures
from tests.statements.pdf_reading import structure_of

PROFILES = ("3a", "ua1")

EVERY_SCRIPT = {
    "Łukasz Żółć-Größe": "",
    "Hà Nguyễn": "",
    "🦊 Fox": "",
    "Δt 5 µs": "",
    "Ангелина Жуковская": "ru",
    "Ελένη Παπαδοπούλου": "el",
    "山田太郎": "zh",
    "やまだ 太郎": "ja",
    "김민준": "ko",
    "נועה כהן": "he",
    "محمد الخوارزمي": "ar",
    "مُحَمَّد": "ar",
    "Աննա Գրիգորյան": "hy",
    "ნინო ბერიძე": "ka",
    "አበበ በቀለ": "am",
    "चन्द्रशेखर": "hi",
    "สมชาย ใจดี": "th",
    "চন্দ্রনাথ": "bn",
    "சுந்தர்": "ta",
    "கொடி": "ta",
    "సుబ్బారావు": "te",
    "ខេមរា": "km",
    "မြန်မာ": "my",
    "ଓଡ଼ିଆ": "or",
    "བོད་ཡིག": "bo",
    "ܣܘܪܝܝܐ": "syr",
    "ދިވެހި": "dv",
    "ᏣᎳᎩ": "chr",
    "𠮷田": "zh",
    "≤ ≥ ≠ ≈ ∞ √ ∑ ∂ ∆ ✓": "",
}

CSV = Attachment("charges.csv", b"Service,Charged\r\nCompute,10.00\r\n", "text/csv", "The charges of this statement")


def failures(data):
    """Return what the checker objects to."""
    reports = [page.validate_pdf_bytes(data, profile=profile) for profile in PROFILES]
    assert all(report.rules.total > 100 for report in reports)
    return [f"{failure.rule_id}: {failure.message}" for report in reports for failure in report.failures]


def root_of(data):
    return PdfReader(io.BytesIO(data)).trailer["/Root"]


def part_of(data, role, text):
    """Return the first part of a role whose text has another in it."""
    return next(part for part in structure_of(data).all(role) if text in part.aloud)


@pytest.mark.parametrize("what", HARD)
def test_a_statement_conforms(what):
    assert failures(draw(HARD[what], [CSV])) == []


def test_a_proof_conforms():
    assert failures(draw_proof(PROOF)) == []
    assert failures(draw_proof({**PROOF, "made_at": None})) == []


@pytest.mark.parametrize("name", EVERY_SCRIPT)
def test_a_name_in_any_script_conforms_and_says_its_language(name):
    lines = (a_line(name, source=name, resources=[Resource(name, name, 1, figures("1.00"))]),)
    data = draw(a_letter(Section(name, name, lines), pi_name=name, project_name=name, institution=name, footer=name))
    assert failures(data) == []
    marks = {mark.decode() for mark in re.findall(rb"/Lang \((\w+)\)", contents(data))}
    assert marks == {EVERY_SCRIPT[name]} - {""}


def contents(data):
    return b"".join(each.get_contents().get_data() for each in PdfReader(io.BytesIO(data)).pages)


def test_a_letter_drawn_in_more_parts_than_it_has_is_told_beside_them():
    marks = re.findall(rb"/ActualText <FEFF([0-9A-F]+)>", contents(draw(a_letter(pi_name="கொடி"))))
    assert {bytes.fromhex(mark.decode()).decode("utf-16-be") for mark in marks} == {"கொடி"}


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        (b"<pdfuaid:part>1<", b"<pdfuaid:part>7<", "PDFUA1-ID"),
        (b"/O /Table /Scope", b"/O /Table /Skope", "PDFUA1-TABLE"),
        (b"/Contents (Write", b"/Kontents (Write", "PDFUA1-LINK"),
        (b"/S /GTS_PDFA1", b"/S /GTS_PDFX1", "PDFA3A"),
        (b"/AFRelationship", b"/XFRelationship", "PDFA3A"),
    ],
)
def test_the_checker_finds_what_is_wrong(before, after, rule):
    data = draw(a_letter(), [CSV])
    assert before in data
    found = failures(data.replace(before, after))
    assert any(each.startswith(rule) for each in found), found


def test_a_stream_whose_last_byte_is_a_line_end_is_read_with_its_length():
    # A stream ends with the sum of its bytes and 1.
    for end in (b"\r", b"\n"):
        data = bytes([end[0] - 1])
        assert zlib.compress(data).endswith(end)
        assert stream(data).endswith(end + b"\r\nendstream")
        assert failures(draw(a_document(), [CSV._replace(data=data)])) == []


def test_metadata_and_properties_say_the_same():
    data = draw(HARD["right-to-left names"])
    pdf = PdfReader(io.BytesIO(data))
    xmp = pdf.xmp_metadata
    assert xmp.dc_title["x-default"] == pdf.metadata.title
    assert xmp.dc_creator == [pdf.metadata.author] == ["جامعة المثال"]
    assert xmp.xmp_create_date.date() == pdf.metadata.creation_date.date()
    # Whoever knows no PDF can read them: they are not compressed.
    assert b"<pdfaid:part>3</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>" in data


def test_the_profile_has_the_colors_of_srgb():
    ours = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    picture = Image.new("RGB", (256, 3))
    picture.putdata(
        [tuple(value if each == band else 0 for each in range(3)) for band in range(3) for value in range(256)]
    )
    seen = ImageCms.profileToProfile(picture, ours, ImageCms.createProfile("sRGB"))
    assert seen is not None
    assert max(abs(a - b) for a, b in zip(picture.tobytes(), seen.tobytes(), strict=True)) <= 1


def test_attached_files_are_the_documents_data():
    root = root_of(draw(a_document(), [CSV, Attachment("a.txt", b"", "text/plain", "Größe")]))
    first, second = (each.get_object() for each in root["/AF"])
    assert (first["/UF"], first["/AFRelationship"], first["/Desc"]) == ("charges.csv", "/Data", CSV.description)
    assert second["/Desc"] == "Größe"
    inside = first["/EF"]["/F"].get_object()
    assert (inside.get_data(), inside["/Subtype"]) == (CSV.data, "/text/csv")
    assert (inside["/Params"]["/Size"], inside["/Params"]["/ModDate"]) == (len(CSV.data), "D:20250203000000Z")
    # A viewer lists them by name, whatever order they came in.
    assert root["/Names"]["/EmbeddedFiles"]["/Names"][::2] == ["a.txt", "charges.csv"]
    assert "/AF" not in root_of(draw(a_document()))


def test_the_same_document_and_files_give_the_same_bytes():
    assert draw(HARD["three funds"], [CSV]) == draw(HARD["three funds"], [CSV])
    assert draw(a_document(), [CSV]) != draw(a_document(), [CSV._replace(data=b"")])
    with pytest.raises(ValueError, match="Two attachments are named"):
        draw(a_document(), [CSV, CSV])


@pytest.mark.parametrize("what", HARD)
def test_every_row_has_as_many_cells_and_a_heading_at_its_head(what):
    for table in structure_of(draw(HARD[what])).all("Table"):
        assert len({len(row.parts) for row in table.parts}) == 1
        for number, row in enumerate(table.parts):
            head, *cells = row.parts
            is_headings = number == 0 and cells[0].role == "TH"
            assert (head.role, head.scope) == ("TH", "Column" if is_headings else "Row")
            assert head.aloud.strip()
            assert {cell.role for cell in cells} == {"TH" if is_headings else "TD"}


def test_the_tables_of_a_proof_have_headings_on_each_page():
    document = structure_of(draw_proof(PROOF))
    for table in document.all("Table"):
        assert {cell.scope for cell in table.parts[0].parts} == {"Column"}
        assert {row.parts[0].scope for row in table.parts[1:]} == {"Row"}
    texts = [each.extract_text() for each in PdfReader(io.BytesIO(draw_proof(PROOF))).pages]
    assert "File 69" in texts[1]
    assert "Amount" in texts[1]


@pytest.mark.parametrize("what", HARD)
def test_headings_are_in_order_and_are_the_bookmarks(what):
    data = draw(HARD[what])
    headings = structure_of(data).all("H1", "H2", "H3")
    levels = [int(each.role[1]) for each in headings]
    assert levels[0] == 1
    # None is passed over on the way down, and the title stands alone.
    assert all(below in range(2, above + 2) for above, below in itertools.pairwise(levels))
    titles = []
    for each in PdfReader(io.BytesIO(data)).outline:
        titles += [below.title for below in each] if isinstance(each, list) else [each.title]
    if what != "right-to-left names":
        # What runs left is drawn from left to right, and read so here.
        assert titles == [each.aloud for each in headings]
    assert "\u2068" not in "".join(titles)


def test_addresses_are_links_that_say_what_they_open():
    found = {}
    for link in structure_of(draw(a_letter())).all("Link"):
        (annotation,) = link.annotations
        found[link.aloud] = (annotation["/A"]["/URI"], annotation["/Contents"])
        left, low, right, high = annotation["/Rect"]
        assert right - left > 30
        assert high > low
    assert found["billing@example.edu"] == ("mailto:billing@example.edu", "Write to billing@example.edu")
    url = "https://billing.example.edu/statements/2025-01-0007-1/"
    assert found[url] == (url, f"Open {url}")
    # The comma and the point behind them are no part of them.
    assert {"https://example.edu/rates", "rates@example.edu"} <= {*found}


def test_an_address_over_several_lines_is_one_link_with_a_place_on_each():
    document = HARD["very long names"]
    link = part_of(draw(document), "Link", "2025-01-0007-1/")
    assert link.aloud == document.portal_url
    assert len(link.annotations) > 1
    assert {each["/A"]["/URI"] for each in link.annotations} == {document.portal_url}
    assert len({each["/Rect"][1] for each in link.annotations}) == len(link.annotations)


@pytest.mark.parametrize("what", HARD)
def test_no_two_words_run_together_for_who_reads_along_the_structure(what):
    whole = structure_of(draw(HARD[what]))
    said = [part.aloud for part in whole.all("P", "H1", "H2", "TH", "TD")]
    if what != "right-to-left names":
        assert not [text for text in said if re.search(r"ComputeAWS|priceafter|inpercent|apercentage|writeto|  ", text)]
    assert HARD[what].question in said
    assert "Billing desk" in " ".join(said)


def test_a_percent_says_of_which_column_it_is():
    root = structure_of(draw(a_document()))
    heads = root.all("Table")[-1].parts[0].parts
    assert [head.aloud for head in heads].count("%") == 2
    assert b"/ActualText (Discount in percent)" in draw(a_document())


def test_what_runs_left_stands_as_it_is_seen():
    """Viewers turn it around when they copy it; given in its own order they would turn that around, too."""
    data = draw(HARD["right-to-left names"])
    assert b"/ActualText" not in contents(data)
    text = "\n".join(each.extract_text() for each in PdfReader(io.BytesIO(data)).pages)
    for name in ("محمد الخوارزمي", "גנומיקה השוואתית", "جامعة المثال", "صندوق البحث", "חישוב"):
        assert name in text
