"""Layouts of an institution, and journals submitted in them: versions, batches, files beside, lines both ways."""

import datetime
import json
import shutil
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from billing import tracing
from billing.errors import WrongState
from billing.files import documents
from billing.models import AuditEvent
from journals import layouts, posting
from journals.filing import kept_files
from journals.formats import Beside, Written
from journals.formats.layouts import LayoutRefused, presets
from journals.models import Journal, JournalFileLine, JournalLayout, JournalTemplate
from tests.build import NOW, SOMEBODY, a_charge, a_fund, a_period, a_policy, a_source
from tests.journals.layouts.made import PRESETS, filled_in, read_back, read_support
from tests.journals.made import WHO, on_chartstrings, submitted

pytestmark = pytest.mark.django_db

CONDENSED = {"payers": "chartstring_and_source", "recoveries": "source"}


def a_released(name="kfs-collector", called="", **changes):
    content = json.dumps(json.loads(filled_in(name)) | changes)
    return layouts.release(layout=layouts.add(name=called or name, content=content, **WHO), **WHO)


def a_month():
    a_charge("100.00")
    a_charge("2.50", service_name="Storage")
    a_charge("-25.00", service_name="Refunds", fund_org="BIO-002")


# Versions --------------------------------------------------------------------------------------------


def test_a_layout_is_drafted_from_a_preset_filled_in_and_released():
    layout = layouts.add(name="kfs", content=presets()["kfs-collector"].content, **WHO)
    with pytest.raises(
        layouts.LayoutNotReady, match=r"kfs, version 1 cannot be released.*Chart of accounts code \(chart"
    ):
        layouts.release(layout=layout, **WHO)
    values = {each.name: each.value or each.example for each in presets()["kfs-collector"].layout.settings}

    layout = layouts.set_up(layout=layout, settings=values, condense=CONDENSED, **WHO)
    layout = layouts.release(layout=layout, **WHO)

    assert (layout.state, layout.released_at) == ("released", NOW)
    assert layouts.read(layout).condense.payers == "chartstring_and_source"
    actions = AuditEvent.objects.filter(action__startswith="journal_layout.").order_by("id")
    assert [each.action.partition(".")[2] for each in actions] == ["added", "changed", "released"]


def test_a_released_version_never_changes_and_the_next_one_retires_it():
    first = a_released()

    with pytest.raises(WrongState, match="is released: only a draft one can be changed"):
        layouts.change(layout=first, content=first.content, **WHO)
    second = a_released()

    first.refresh_from_db()
    assert (first.state, second.version, second.state) == ("retired", 2, "released")


def test_a_layout_has_one_draft_and_a_name_of_its_own():
    content = filled_in("kfs-collector")
    layouts.add(name="kfs", content=content, **WHO)
    with pytest.raises(WrongState, match="kfs, version 1 is a draft already"):
        layouts.add(name="kfs", content=content, **WHO)
    JournalTemplate.objects.create(name="bank", line="x")
    for name, said in (("gl", "the program's own"), ("bank", "a journal template")):
        with pytest.raises(layouts.LayoutRefusedName, match=said):
            layouts.add(name=name, content=content, **WHO)


def test_a_draft_is_discarded_and_a_released_one_is_not():
    draft = layouts.add(name="kfs", content=filled_in("kfs-collector"), **WHO)
    layouts.discard(layout=draft, **WHO)
    assert not JournalLayout.objects.exists()
    with pytest.raises(WrongState, match="only a draft one can be discarded"):
        layouts.discard(layout=a_released(), **WHO)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE journals_journallayout SET content = '{}'",
        "UPDATE journals_journallayout SET state = 'draft'",
        "DELETE FROM journals_journallayout",
    ],
)
def test_the_database_refuses_to_change_a_released_layout(sql):
    a_released()

    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE journals_journalfileline SET number = 9",
        "DELETE FROM journals_journalfileline",
        "UPDATE journals_journalfile SET sha256 = ''",
        "DELETE FROM journals_journalfile",
    ],
)
def test_the_database_refuses_to_change_what_a_submitted_file_is_made_of(sql):
    a_month()
    a_released()
    submitted(format="kfs-collector")

    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_only_a_released_layout_is_a_format():
    a_month()
    layouts.add(name="kfs", content=filled_in("kfs-collector"), **WHO)

    with pytest.raises(posting.UnknownFormat, match="No version of the layout “kfs” is released"):
        submitted(format="kfs")
    with pytest.raises(posting.UnknownFormat, match="These exist: standard, summary, gl."):
        submitted(format="other")


# Journals in a layout --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_journal_is_submitted_in_a_layout_with_the_files_beside_it(name):
    a_month()
    layout = a_released(name)

    journal = submitted(format=name)

    journal.refresh_from_db()
    assert (journal.layout, journal.format, journal.batch) == (layout, name, 1)
    path = documents.where(journal.file_path)
    assert path.parent.name == "J2025-01-1"
    assert posting.content_of(journal) == path.read_bytes()
    for each in journal.files_beside.all():
        assert posting.content_of(journal, each.name) == path.with_name(each.name).read_bytes()
    kept = {each.place.path: each.sha256 for each in kept_files(a_period())}
    assert set(kept) == {path, *(path.with_name(each.name) for each in journal.files_beside.all())}


@pytest.mark.parametrize("name", PRESETS)
def test_a_file_that_is_gone_is_made_again_to_the_byte_whatever_changed_since(name):
    a_fund("BIO-001", is_sponsored=False)
    a_month()
    a_released(name, condense=CONDENSED)
    journal = submitted(format=name)
    path = documents.where(journal.file_path)
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    # What would be written otherwise today: the funds, the policy and the layout.
    a_policy(fiscal_year_start=1)
    a_fund("BIO-002", is_sponsored=True)
    a_released(name)
    shutil.rmtree(path.parent)

    journal = Journal.objects.get(pk=journal.pk)
    assert posting.content_of(journal) == before[path.name]
    for each in journal.files_beside.all():
        assert posting.content_of(journal, each.name) == before[each.name]


def test_a_file_beside_that_is_not_what_was_submitted_is_not_handed_out():
    a_month()
    a_released()
    journal = submitted(format="kfs-collector")
    support = journal.files_beside.get(name__endswith=".csv")
    documents.where(journal.file_path).with_name(support.name).write_text("other")

    with pytest.raises(posting.FileMissing, match="is not the one that was submitted"):
        posting.content_of(journal, support.name)
    with pytest.raises(posting.FileMissing, match="has no file x"):
        posting.content_of(journal, "x")


def test_each_file_of_a_day_has_the_next_batch_number():
    a_released("kfs-enterprise-feed")
    a_released()
    numbers = []
    for month in ("2024-11", "2024-12", "2025-01"):
        a_charge("1.00", period=month)
        numbers.append(submitted(month, format="kfs-collector").batch)
    a_charge("1.00", period="2024-10")
    other = submitted("2024-10", format="kfs-enterprise-feed")
    a_charge("1.00", period="2024-09")
    tomorrow = posting.export(
        period=a_period("2024-09"),
        format="kfs-collector",
        submit=True,
        actor=SOMEBODY,
        now=NOW + datetime.timedelta(days=1),
    )

    assert (numbers, other.batch, tomorrow.journal.batch) == ([1, 2, 3], 1, 1)


def test_a_value_that_does_not_fit_submits_nothing():
    a_source("hpc", debit_account="650000")
    a_charge("1.00", source="hpc")
    a_released()

    with pytest.raises(LayoutRefused, match=r"Line 1 \(journal line 1\), Object code: “650000” takes 6 bytes"):
        submitted(format="kfs-collector")
    assert not Journal.objects.exists()


def test_a_draft_in_a_layout_says_so_and_has_no_file_that_a_loader_waits_for(tmp_path):
    a_month()
    a_released()

    done = posting.export(period=a_period(), format="kfs-collector", **WHO)

    assert done.file.name == "J2025-01-1-kfs-collector-DRAFT.data"
    assert done.file.read_text().startswith("DRAFT: journal J2025-01-1")
    assert sorted(each.name for each in done.file.parent.iterdir()) == [
        "J2025-01-1-kfs-collector-DRAFT-support.csv",
        "J2025-01-1-kfs-collector-DRAFT.data",
    ]


@pytest.mark.parametrize("name", PRESETS)
def test_each_file_of_a_draft_says_so_in_its_name(name):
    a_month()
    a_released(name)
    done = posting.export(period=a_period(), format=name, **WHO)
    assert all("DRAFT" in each.name for each in done.file.parent.iterdir())


def test_a_file_of_another_name_has_its_companions_beside_it(tmp_path):
    a_month()
    a_released()

    posting.export(period=a_period(), format="kfs-collector", output=tmp_path / "ours.data", submit=True, **WHO)

    assert sorted(each.name for each in tmp_path.glob("ours*")) == ["ours-support.csv", "ours.data", "ours.done"]


def test_a_layout_of_text_makes_no_spreadsheet_and_a_spreadsheet_does(tmp_path):
    a_month()
    a_released()
    a_released("workday-eib")

    with pytest.raises(posting.OutputRefused, match="The layout “kfs-collector” makes text, not a spreadsheet"):
        posting.export(period=a_period(), format="kfs-collector", output=tmp_path / "x.xlsx", **WHO)
    made = posting.export(period=a_period(), format="workday-eib", output=tmp_path / "x.xlsx", **WHO)
    assert made.file.read_bytes().startswith(b"PK")


def test_a_month_with_nothing_to_journal_makes_a_file_without_lines():
    a_period()
    a_released("workday-csv")

    done = posting.export(period=a_period(), format="workday-csv", **WHO)

    assert done.lines == 0
    assert done.file.read_text().startswith("DRAFT: journal of 2025-01")


def test_a_retired_layout_still_writes_the_reversal_of_its_journals():
    a_month()
    layout = a_released(condense=CONDENSED)
    journal = posting.post(journal=submitted(format="kfs-collector"), document_number="1", **WHO)
    layouts.retire(layout=layout, **WHO)

    reversal = posting.reverse(journal=journal, reason="Wrong.", **WHO).reversal

    assert (reversal.layout, reversal.batch) == (layout, 2)
    text = posting.content_of(reversal).decode()
    assert "R2025-01-1" in text
    assert set(on_chartstrings(journal, reversal).values()) == {Decimal(0)}


# Lines both ways -------------------------------------------------------------------------------------


def test_every_journal_line_that_the_ledger_gets_is_in_one_line_of_the_file():
    a_month()
    a_charge("0.00", service_name="Free")
    a_released(condense=CONDENSED)

    journal = submitted(format="kfs-collector")

    groups = {}
    for each in JournalFileLine.objects.filter(journal=journal).select_related("line"):
        groups.setdefault(each.number, []).append(each.line)
    posted = [line for line in journal.lines.all() if line.is_posted]
    assert sorted(line.pk for group in groups.values() for line in group) == sorted(line.pk for line in posted)
    assert len(posted) == 6
    # A debit and a credit of each fund and source, and of each side.
    assert len(groups) == 4


def test_why_this_number_works_from_the_file_to_the_charges_and_back():
    a_month()
    a_released(condense=CONDENSED)
    journal = submitted(format="kfs-collector")

    found = tracing.trace("J2025-01-1#1")

    assert found.title == "Line of the file of journal J2025-01-1#1"
    assert [(what, amount) for what, _, amount, _ in found.choices] == [
        ("J2025-01-1:1", 100),
        ("J2025-01-1:3", Decimal("2.5")),
    ]
    line = tracing.trace("J2025-01-1:3")
    assert "line 1 of its file" in line.asked.text
    assert journal.lines.get(number=3).file_line.number == 1
    with pytest.raises(tracing.NothingFound):
        tracing.trace("J2025-01-1#99")
    with pytest.raises(tracing.NothingFound):
        tracing.trace("J2025-01-1#x")


def test_rejecting_a_line_of_the_file_rejects_all_journal_lines_in_it():
    a_month()
    a_released(condense=CONDENSED)
    journal = submitted(format="kfs-collector")
    with pytest.raises(posting.UnknownJournal, match="The file of J2025-01-1 has no line 9; it has 4"):
        posting.reject(journal=journal, reason="No.", file_lines=[9], **WHO)

    posting.reject(journal=journal, reason="Unknown org.", file_lines=[1], **WHO)

    journal.refresh_from_db()
    assert journal.rejection_reason == "File line 1 (lines 1, 3): Unknown org."
    assert AuditEvent.objects.get(action="journal.rejected").after["lines"] == [1, 3]


def test_a_journal_in_no_layout_has_no_lines_of_a_file():
    a_month()

    with pytest.raises(posting.UnknownJournal, match="has no line 1; it was written in no layout"):
        posting.reject(journal=submitted(), reason="No.", file_lines=[1], **WHO)


@pytest.mark.parametrize("name", PRESETS)
def test_a_change_after_submission_posts_only_its_difference_in_each_preset(name):
    a_month()
    a_released(name)
    submitted(format=name)
    a_charge("7.00", service_name="Storage")

    second = submitted(format=name)

    assert (second.debits, second.credits) == (7, 7)
    rows = read_support(kept_of(second))
    assert [(row["debit"], row["credit"]) for row in rows] == [("7.00", "0.00"), ("0.00", "7.00")]
    read_back(filled_in(name), kept_of(second))


def kept_of(journal):
    """A submitted journal's files as they are kept."""
    beside = tuple(Beside(each.name, posting.content_of(journal, each.name)) for each in journal.files_beside.all())
    return Written(posting.content_of(journal), 0, beside=beside)
