"""The paper of statements: its size and the logo on it, as the policy was when they were issued."""

import io
import subprocess
from dataclasses import replace

import pytest
from PIL import Image
from pypdf import PdfReader

from billing.setup import logos
from statements import issuing
from statements.document import Section
from statements.drawing import draw
from statements.drawing.pictures import picture_of
from statements.drawing.statement import StatementSheet
from statements.drawing.styles import TOP
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.statements.documents import HARD, a_document, a_drawing, a_letter, a_line, a_png, resources
from tests.statements.pdf_reading import structure_of
from tests.statements.test_setting import collisions, placed

SIZES = {"letter": (612, 792), "a4": (595.28, 841.89)}


@pytest.mark.parametrize("paper", SIZES)
@pytest.mark.parametrize("what", HARD)
def test_what_is_set_stands_within_the_margins_of_its_paper(what, paper):
    sheet = StatementSheet(replace(HARD[what], paper=paper))
    pages = placed(sheet)
    assert collisions(pages) == []
    left, low, right, high = sheet.size.box
    for page in pages:
        for begins, ends, y, text in page:
            assert begins - left > 40, text
            assert right - ends > 40, text
            assert low + 30 < y < high - 30, text


@pytest.mark.parametrize("paper", SIZES)
def test_a_page_has_the_size_of_its_paper(paper):
    for page in PdfReader(io.BytesIO(draw(a_document(paper=paper)))).pages:
        assert (float(page.mediabox.width), float(page.mediabox.height)) == pytest.approx(SIZES[paper])


def test_a_longer_paper_holds_more_rows():
    sections = [Section("BIO-001", "", (a_line(resources=resources(count)),)) for count in (60, 110, 160)]
    pages = {
        paper: [len(placed(StatementSheet(a_letter(section, paper=paper)))) for section in sections] for paper in SIZES
    }
    assert sum(pages["a4"]) < sum(pages["letter"])


def test_the_logo_stands_at_the_head_with_a_text_for_who_cannot_see_it():
    png = a_png(300, 100)
    data = draw(a_document(logo=png))
    (figure,) = structure_of(data).all("Figure")
    assert figure.alternative == "Logo of Example University"
    (image,) = PdfReader(io.BytesIO(data)).pages[0].images
    assert image.image.convert("RGB").tobytes() == Image.open(io.BytesIO(png)).tobytes()
    # The institution's name makes room for it.
    left = {text: x for page in placed(StatementSheet(a_document(logo=png))) for x, _, _, text in page}
    assert left["Example University"] == pytest.approx(50 + 120 + 12)


def test_a_picture_of_many_colors_is_read_as_it_was_written():
    picture = Image.effect_noise((97, 31), 80).convert("RGB")
    png = io.BytesIO()
    picture.save(png, "PNG", optimize=True)
    (image,) = PdfReader(io.BytesIO(draw(a_document(logo=png.getvalue())))).pages[0].images
    assert image.image.convert("RGB").tobytes() == picture.tobytes()


def test_only_the_plainest_png_is_drawn():
    gray = io.BytesIO()
    Image.new("L", (20, 20)).save(gray, "PNG")
    for data, said in ((b"GIF89a", "no SVG"), (gray.getvalue(), "PNG")):
        with pytest.raises(ValueError, match=said):
            picture_of(data)


def test_an_svg_is_drawn_by_its_shapes_the_same_each_time(tmp_path):
    """Its left half is filled, with a hole; its right half has the stroke of a circle."""
    drawing = a_drawing(
        '<g fill="#0000ff"><path fill-rule="evenodd" d="M0 0h100v100H0zM25 25h50v50H25z"/></g>'
        '<circle cx="150" cy="50" r="40" fill="none" stroke="rgb(255,0,0)" stroke-width="10"/>'
        '<rect x="300" y="0" width="900" height="900"/>',
        box="0 0 200 100",
    )
    data = draw(a_document(logo=drawing))
    assert draw(a_document(logo=drawing)) == data
    (figure,) = structure_of(data).all("Figure")
    assert figure.alternative == "Logo of Example University"
    left = {text: x for page in placed(StatementSheet(a_document(logo=drawing))) for x, _, _, text in page}
    # 40 points high, and twice as wide.
    assert left["Example University"] == pytest.approx(50 + 80 + 12)

    path = tmp_path / "statement.pdf"
    path.write_bytes(data)
    subprocess.run(["pdftoppm", "-r", "144", "-png", "-singlefile", path, tmp_path / "page"], check=True)
    page = Image.open(tmp_path / "page.png").convert("RGB")
    top = 792 - TOP - 2

    def color(x, y):
        """Return the color at a place of the drawing, in percent of its height."""
        return page.getpixel((round((50 + 0.4 * x) * 2), round((top + 0.4 * y) * 2)))

    assert color(10, 10) == color(90, 50) == (0, 0, 255)
    assert color(50, 50) == color(150, 50) == (255, 255, 255)
    assert color(110, 50) == color(150, 90) == (255, 0, 0)
    # What reaches beyond its box is cut.
    assert color(199, 5) == (255, 255, 255)


@pytest.mark.django_db
def test_a_statement_keeps_the_paper_and_the_logo_that_it_was_issued_with():
    build.a_policy(paper_size="a4")
    logos.set_logo(data=a_png(), actor=SOMEBODY, now=NOW)
    build.a_charge()
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    statement = Statement.objects.get()
    drawn = issuing.pdf_of(statement)
    build.a_policy(paper_size="letter")
    assert issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW).issued == 0
    document = issuing.document_of(Statement.objects.get())
    assert document.paper == "a4"
    assert document.logo
    assert issuing.pdf_of(Statement.objects.get()) == drawn
    assert len(PdfReader(io.BytesIO(drawn)).pages[0].images) == 1
