"""What a screen reader says of PDFs makes sense: asked of `outloud`, which listens to their structure and text."""

import pytest
from outloud import check

from statements.drawing import draw, draw_proof
from tests.statements.documents import HARD, PROOF
from tests.statements.test_conformance import CSV


def found(data, folder):
    """Return what it finds: the rule, the page and what is wrong."""
    file = folder / "document.pdf"
    file.write_bytes(data)
    result = check(str(file))
    assert not result.error
    assert not [each for each in result.runs if each.status == "crashed"]
    return [(each.rule, each.page, each.message) for each in result.findings]


@pytest.mark.parametrize("what", HARD)
def test_a_statement_is_read_without_a_fault(what, tmp_path):
    assert found(draw(HARD[what], [CSV]), tmp_path) == []


def test_a_reconciliation_is_read_without_a_fault_but_for_short_tables(tmp_path):
    """Each row and column has a heading: a table of one row, or of two columns, has more of these than other cells."""
    shredded = "header cells look shredded: {} header cells against {} data cells"
    assert found(draw_proof(PROOF), tmp_path) == [
        ("TBL-010", 2, shredded.format(7, 5)),
        ("TBL-010", 3, shredded.format(4, 2)),
    ]


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        (b"/S /H1", b"/S /H3", "HDG"),
        (b"/Lang (en-US)", b"/Gang (en-US)", "DOC"),
        (b"/Alt (", b"/Blt (", "FIG"),
    ],
)
def test_what_is_wrong_is_found(before, after, rule, tmp_path):
    data = draw(HARD["one line"], [CSV])
    assert before in data
    assert any(each.startswith(rule) for each, _, _ in found(data.replace(before, after), tmp_path))
