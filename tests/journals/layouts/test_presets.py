"""Every preset, there and back: its file is read by the layout's own description, and says what the journal says."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journals.formats.layouts import LayoutRefused
from journals.formats.sample import sample
from tests.journals.layouts.made import (
    MADE_AT,
    PRESETS,
    a_journal,
    filled_in,
    of_preset,
    read_back,
    read_support,
    sides,
)

ROOT = Path(__file__).resolve().parents[3]
LONG = "Ø" * 200
HOSTILE = (
    "plain",
    "with, commas; and | bars",
    'says "this" and that',
    "=1+1",
    "+1-1",
    "Zoë Müller’s Größe",
    "محمد عبد الله",
    "שלום",
    "two\nlines\tand a tab",
    LONG,
)
# Where a preset has its debit and its credit.
SIGNED, BY_SIDE, IN_COLUMNS = "signed", "by side", "in columns"
AMOUNTS = {
    "banner-gurfeed": ("detail", BY_SIDE, "TRANS_AMT", "DR_CR_IND"),
    "banner-journal-voucher": ("detail", BY_SIDE, "AMOUNT", "DRCR"),
    "kfs-collector": ("entry", BY_SIDE, "Amount", "Debit or credit"),
    "kfs-enterprise-feed": ("entry", BY_SIDE, "Amount", "Debit or credit"),
    "oracle-fbdi": ("line", IN_COLUMNS, "Entered Debit Amount", "Entered Credit Amount"),
    "peoplesoft": ("line", SIGNED, "Amount", ""),
    "workday-csv": ("line", IN_COLUMNS, "L_DebitAmount", "L_CreditAmount"),
    "workday-eib": ("line", IN_COLUMNS, "Debit Amount", "Credit Amount"),
}


def test_every_preset_is_tried():
    assert set(AMOUNTS) == set(PRESETS)


def figure(value):
    return Decimal(str(value).strip() or "0") if value is not None else Decimal(0)


def read_sides(name, records):
    """Debit and credit of each line, as its loader reads them."""
    record, how, first, second = AMOUNTS[name]
    found = []
    for kind, values in records:
        if kind != record:
            continue
        amount = figure(values[first])
        if how == IN_COLUMNS:
            found.append((amount, figure(values[second])))
        else:
            is_debit = amount >= 0 if how == SIGNED else values[second].strip() == "D"
            assert how == SIGNED or values[second].strip() in ("D", "C")
            found.append((abs(amount), Decimal(0)) if is_debit else (Decimal(0), abs(amount)))
    return found


def of_record(records, name):
    (found,) = [values for kind, values in records if kind == name]
    return {
        field: (text or "").strip() if isinstance(text, str) or text is None else text for field, text in found.items()
    }


def require_totals(name, records, document):
    """What a preset's own control records say is what the lines come to."""
    lines, debits = document.ledger_lines, sum((line.debit for line in document.lines), Decimal(0))
    count = len(lines)
    if name == "banner-gurfeed":
        # The hash total of the header: all amounts, whichever side.
        assert figure(of_record(records, "header")["TRANS_AMT"]) == 2 * debits
    elif name == "kfs-collector":
        trailer = of_record(records, "trailer")
        assert (int(trailer["Records"]), figure(trailer["Amount"])) == (count, debits)
    elif name == "peoplesoft":
        control = of_record(records, "control")
        assert int(control["Total lines"]) == count
        assert figure(control["Total debits"]) == figure(control["Total credits"]) == debits
    elif name == "workday-eib":
        assert figure(of_record(records, "journal")["Control Total Amount"]) == debits


def there_and_back(name, document):
    written = of_preset(name).write(document)
    records = read_back(filled_in(name), written)
    assert read_sides(name, records) == sides(document)
    assert written.rows == len(document.ledger_lines)
    require_totals(name, records, document)
    rows = read_support(written)
    assert [(Decimal(row["debit"]), Decimal(row["credit"])) for row in rows] == sides(document)
    return written, records


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_preset_comes_back_whatever_people_are_called(name, text):
    document = a_journal(
        *[
            (amount, {"description": text, "pi_name": text, "project": text, "service": text})
            for amount in ("1250.40", "-25.00", "0.00", "0.01")
        ]
    )

    there_and_back(name, document)


@pytest.mark.parametrize("name", PRESETS)
@given(amounts=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=12), text=st.text(max_size=80))
@settings(max_examples=20, deadline=None)
def test_a_preset_comes_back_for_any_amounts(name, amounts, text):
    document = a_journal(*[(Decimal(cents).scaleb(-2), {"description": text or "x"}) for cents in amounts])
    if not document.ledger_lines:
        return
    try:
        there_and_back(name, document)
    except LayoutRefused as refusal:
        # A letter that no other is like, or a text that is nothing but what is not seen.
        assert all("no letter" in each.message or "empty" in each.message for each in refusal.problems)  # noqa: PT017


@pytest.mark.parametrize("name", PRESETS)
def test_a_code_that_is_too_long_for_a_ledger_is_never_cut(name):
    with pytest.raises(LayoutRefused) as refusal:
        of_preset(name).write(a_journal(("1.00", {"natural_account": "6" * 61})))

    assert {each.line for each in refusal.value.problems} == {1}


def test_a_collector_s_records_have_their_places():
    """As the help of KFS has them: the header to column 172, entries of 187, the trailer to column 112."""
    written, _ = there_and_back("kfs-collector", a_journal("1250.40"))
    header, entry, _, trailer = written.content.decode().splitlines()

    assert (len(header), len(entry), len(trailer)) == (172, 187, 112)
    assert (header[0:4], header[4:6], header[6:10], header[15:25], header[25:28]) == (
        "2025",
        "UC",
        "RESC",
        "2025-02-03",
        "HD1",
    )
    assert (header[28:47], header[68:80], header[160:170]) == ("billing@example.edu", "Ada Lovelace", "5550100123")
    assert (entry[37:51].strip(), entry[51:56], entry[96:117].strip(), entry[117], entry[118:128]) == (
        *("J2025-01-1", "00001", "1250.40", "D", "2025-01-31"),
    )
    assert (trailer[25:27], trailer[46:51], trailer[92:112].strip()) == ("TL", "00002", "1250.40")
    assert [each.name for each in written.beside] == [
        "gl_collector_UCRESC_J2025-01-1.done",
        "gl_collector_UCRESC_J2025-01-1-support.csv",
    ]


def test_an_enterprise_feed_has_its_reconciliation_beside_it():
    written, _ = there_and_back("kfs-enterprise-feed", a_journal("1250.40", "-25.00"))

    recon = next(each.content.decode() for each in written.beside if each.name.endswith(".recon"))
    assert recon.splitlines() == ["c gl_entry_t 0000000004;", "s trn_ldgr_entr_amt +00000000002550.80;", "e 02;"]


def test_a_batch_of_a_tenth_file_in_a_day_is_refused_by_the_collector_s_layout():
    with pytest.raises(LayoutRefused, match="Record header, Batch sequence number: “10” takes 2 bytes"):
        of_preset("kfs-collector").write(a_journal("1.00", batch=10))


def test_gurfeed_has_the_key_of_its_header_in_every_record():
    _, records = there_and_back("banner-gurfeed", a_journal("1250.40", "-25.00"))

    keys = {
        tuple(values[name] for name in ("SYSTEM_ID", "SYSTEM_TIME_STAMP", "DOC_CODE", "USER_ID", "TRANS_DATE"))
        for _, values in records
    }
    assert len(keys) == 1
    assert [values["REC_TYPE"] for _, values in records] == ["1", "2", "2", "2", "2"]
    assert [int(values["SEQ_NUM"]) for _, values in records] == [0, 1, 2, 3, 4]
    assert next(iter(keys))[2] == "JC250101"


def test_a_reversal_has_a_document_number_of_its_own():
    _, records = there_and_back("banner-gurfeed", a_journal("1.00", number="R2025-01-2"))

    assert records[0][1]["DOC_CODE"] == "RC250102"


def test_fbdi_has_its_columns_in_their_order():
    data = json.loads(filled_in("oracle-fbdi"))
    names = [field["name"] for field in data["files"][0]["records"][0]["fields"]]

    assert names[:8] == [
        *("Status Code", "Ledger ID", "Effective Date of Transaction", "Journal Source", "Journal Category"),
        *("Currency Code", "Journal Entry Creation Date", "Actual Flag"),
    ]
    assert names[8:38] == [f"Segment{number}" for number in range(1, 31)]
    assert names[38:42] == [
        "Entered Debit Amount",
        "Entered Credit Amount",
        "Converted Debit Amount",
        "Converted Credit Amount",
    ]
    assert [name[:11] for name in names[42:45]] == ["REFERENCE1 ", "REFERENCE2 ", "REFERENCE3"]
    assert names[66] == "Interface Group Identifier"
    assert names[-1] == "Period Name"
    written, _ = there_and_back("oracle-fbdi", a_journal("1.00"))
    assert written.name == "GlInterface_J2025-01-1.zip"
    assert written.content.startswith(b"PK")


def test_peoplesoft_s_records_have_their_places():
    """The header as PeopleBooks has it to column 56; the rest is as GL_JRNL_IMPORT is shipped."""
    written, _ = there_and_back("peoplesoft", a_journal("1250.40"))
    header, line, _, control = written.content.decode().splitlines()

    assert (header[0], header[1:6], header[6:16].strip(), header[16:24], header[24]) == (
        "H",
        "UNIV1",
        "NEXT",
        "01312025",
        "N",
    )
    assert (header[36:46].strip(), header[56], header[77:80]) == ("ACTUALS", "N", "RCC")
    assert (line[0], line[25:35].strip(), line[69:74].strip(), line[187:215].strip()) == ("L", "6500", "BIO", "1250.40")
    assert (line[233:243].strip(), line[243:273].strip()) == ("S000001", "2025-01-0001 genomics cluster")
    assert control[0] == "C"


def test_an_eib_has_its_data_from_the_sixth_row_on():
    _, records = there_and_back("workday-eib", a_journal("1.00"))

    names = [kind for kind, _ in records]
    assert names == [
        *("title", "area", "restrictions", "format", "journal"),
        *("title", "area", "restrictions", "format", "line", "line"),
    ]


# The page of each ledger, and the presets whose files it shows, in its order.
PAGES = {
    "banner": ("banner-gurfeed", "banner-journal-voucher"),
    "kuali-kfs": ("kfs-collector", "kfs-enterprise-feed"),
    "oracle-fusion": ("oracle-fbdi",),
    "peoplesoft": ("peoplesoft",),
    "workday": ("workday-csv", "workday-eib"),
}


def test_every_preset_has_a_page():
    assert sorted(name for names in PAGES.values() for name in names) == sorted(PRESETS)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_ledger_s_page_are_what_its_presets_write(page):
    text = (ROOT / "docs" / "integrations" / f"{page}.md").read_text(encoding="utf-8")
    shown = re.findall(r"```text\n(.*?)\n```", text.partition("## Example")[2], re.DOTALL)

    for name, block in zip(PAGES[page], shown, strict=False):
        preview = of_preset(name).preview(replace(sample(), made_at=MADE_AT), 7)
        assert block.splitlines() == [line.rstrip() for line in preview], name
