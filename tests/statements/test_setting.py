"""Where things stand on the pages: amounts beside each other, and totals with what they add up."""

from collections import defaultdict
from decimal import Decimal

import pytest

from statements.document import Section
from statements.drawing.proof import ProofSheet
from statements.drawing.statement import StatementSheet
from tests.statements.documents import HARD, PROOF, a_letter, a_line, figures, resources


def placed(sheet):
    """Set a sheet and return what stands on each page: left edge, right edge, height and text."""
    pages = defaultdict(list)
    show = sheet.show

    def noting(x, y, text, style):
        pages[len(sheet.pages)].append((x, x + style.width(text.rstrip()), round(y, 1), text))
        show(x, y, text, style)

    sheet.show = noting
    sheet.set()
    return list(pages.values())


def texts_by_page(document):
    return [[text for *_, text in page] for page in placed(StatementSheet(document))]


def collisions(pages):
    """Return the texts that overlap on one line."""
    found = []
    for page in pages:
        for one in page:
            for other in page:
                if one is not other and one[2] == other[2] and one[0] <= other[0] < one[1] - 0.01 and one[3].strip():
                    found.append((one[3], other[3]))
    return found


@pytest.mark.parametrize("what", HARD)
def test_nothing_overlaps_on_a_hard_statement(what):
    assert collisions(placed(StatementSheet(HARD[what]))) == []


def test_nothing_overlaps_on_a_proof():
    assert collisions(placed(ProofSheet(PROOF))) == []


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("amounts", [("999999999.99",) * 3, ("999999999.99", "0.00", "-999999999.99")])
@pytest.mark.parametrize("currency", ["USD", "EUR", "CHF", "KWD"])
def test_the_largest_amounts_stand_apart(sign, amounts, currency):
    of = figures(*(str(Decimal(f"{sign}1") * Decimal(amount)) for amount in amounts))
    sections = [Section(fund, "", (a_line("Compute " * 9, of=of, resources=resources(2)),)) for fund in ("A", "B")]
    late = Section("A", "", (a_line("Late", of=of, is_correction=True, correction="Late change"),))
    pages = placed(StatementSheet(a_letter(*sections, corrections=(late,), currency=currency)))
    assert collisions(pages) == []
    for page in pages:
        assert all(left >= 50 and right <= 562.5 for left, right, _, _ in page)


@pytest.mark.parametrize("count", range(1, 90))
def test_no_total_stands_on_a_page_without_what_it_adds_up(count):
    one = Section("BIO-001", "", (a_line(resources=resources(count)),))
    (*_, page) = (page for page in texts_by_page(a_letter(one)) if "Total" in page)
    assert any(text.startswith("node-") for text in page)

    several = (one, Section("CHEM-2", "", tuple(a_line(f"Service {number}") for number in range(count % 40 + 1))))
    (page,) = (page for page in texts_by_page(a_letter(*several)) if "Total of all fund/orgs" in page)
    assert "Subtotal CHEM-2" in page
    assert any(text.startswith("Service ") and text != "Service and resource" for text in page)


@pytest.mark.parametrize("count", range(1, 60))
def test_the_total_charged_stands_with_the_corrections_it_adds_up(count):
    late = tuple(a_line(f"Late {number}", is_correction=True, correction="Late change") for number in range(count))
    pages = texts_by_page(a_letter(corrections=(Section("BIO-001", "", late),)))
    (page,) = (page for page in pages[-2:] if "This month" in page)
    assert "Total of corrections" in page
    assert any(text.startswith("Late ") for text in page)


@pytest.mark.parametrize("count", range(1, 60))
def test_no_heading_stands_at_the_foot_of_a_page(count):
    one = Section("BIO-001", "", tuple(a_line(f"Service {number}") for number in range(count)))
    for page in texts_by_page(a_letter(one, Section("CHEM-2", "", (a_line("Own"),)))):
        if "Charged to fund/org CHEM-2" in page:
            assert "Own " in page or "Own" in page


def test_a_sum_of_very_many_funds_goes_on_over_pages():
    sections = [Section(f"FUND-{number:03d}", "", (a_line(),)) for number in range(120)]
    late = Section("FUND-000", "", (a_line("Late", is_correction=True),))
    pages = placed(StatementSheet(a_letter(*sections, corrections=(late,))))
    assert all(y > 30 for page in pages for _, _, y, _ in page)
    assert sum(text.startswith("Charged to FUND") for page in pages for *_, text in page) == 120


def test_what_is_taller_than_a_page_leaves_no_empty_page_before_it():
    line = a_line(references=(("Grant number", ", ".join(f"NSF-{number:07d}" for number in range(300))),))
    for page in texts_by_page(a_letter(Section("BIO-001", "", (line,)))):
        assert len(page) > 4
