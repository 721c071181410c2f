"""The ledger's answers as a file: journals posted and rejected in one act, all of it or nothing."""

import io
import json
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from openpyxl import Workbook

from billing.models import AuditEvent
from journals import layouts, posting
from journals.models import AnswerMapping, Journal
from tests.build import a_charge
from tests.journals.layouts.made import filled_in
from tests.journals.made import WHO, submitted

pytestmark = pytest.mark.django_db

COLUMNS = {
    "journal_column": "Reference",
    "document_column": "Doc No",
    "line_column": "Line",
    "status_column": "Status",
    "reason_column": "Message",
}
HEAD = "Batch,Reference,Doc No,Line,Status,Message\n"


@pytest.fixture
def mapping():
    return posting.save_mapping(name="ledger", values=COLUMNS, **WHO)


def loaded(mapping, text, **more):
    return posting.load_answers(file=io.BytesIO(text.encode()), mapping=mapping, **more, **WHO)


def of_months(*months):
    for month in months:
        a_charge("100.00", period=month)
    return [submitted(month) for month in months]


def states():
    return {each.number: each.state for each in Journal.objects.all()}


def refused(mapping, text):
    with pytest.raises(posting.AnswersRefused) as error:
        loaded(mapping, text)
    return [str(each) for each in error.value.errors] or str(error.value)


def test_journals_are_posted_and_rejected_in_one_act(mapping):
    of_months("2025-01", "2024-12")
    text = f"{HEAD}7,J2025-01-1,GL-77,,Posted,\n7,j2024-12-1,,2,ERROR,Unknown org.\n"
    done = loaded(mapping, text)
    assert str(done) == "1 journal posted, 1 rejected."
    assert states() == {"J2025-01-1": "posted", "J2024-12-1": "rejected"}
    posted, rejected = Journal.objects.get(number="J2025-01-1"), Journal.objects.get(number="J2024-12-1")
    assert posted.document_number == "GL-77"
    assert rejected.rejection_reason == "Line 2: Unknown org."
    event = AuditEvent.objects.get(action="journal.answers_loaded")
    assert event.after == {"posted": 1, "rejected": 1, "unchanged": 0, "mapping": "ledger"}
    # The same file again changes nothing.
    assert str(loaded(mapping, text)) == "0 journals posted, 0 rejected, 2 answered so before."


def test_a_dry_run_records_nothing(mapping):
    of_months("2025-01")
    done = loaded(mapping, f"{HEAD},J2025-01-1,GL-77,,accepted,\n", is_dry_run=True)
    assert str(done) == "1 journal would be posted, 0 would be rejected."
    assert done.examples == ["J2025-01-1 is posted as document GL-77"]
    assert states() == {"J2025-01-1": "submitted"}


def test_lines_with_one_reason_are_named_together(mapping):
    a_charge("100.00", service_name="Storage")
    a_charge("50.00", service_name="Compute")
    journal = submitted()
    loaded(
        mapping,
        f"{HEAD},J2025-01-1,,1,error,Unknown org.\n,J2025-01-1,,2,posted,\n,J2025-01-1,,3,error,Unknown org.\n"
        ",J2025-01-1,,4,error,Closed.\n",
    )
    journal.refresh_from_db()
    assert journal.rejection_reason == "Lines 1, 3, 4: Lines 1, 3: Unknown org.; Line 4: Closed."
    assert AuditEvent.objects.get(action="journal.rejected").after["lines"] == [1, 3, 4]


def test_a_line_that_stands_for_several_rejects_all_of_them(mapping):
    condense = {"payers": "chartstring_and_source", "recoveries": "source"}
    layout = layouts.add(name="ours", content=filled_in("workday-csv"), condense=condense, **WHO)
    layouts.release(layout=layout, **WHO)
    a_charge("100.00", service_name="Storage")
    a_charge("50.00", service_name="Compute")
    journal = submitted(format="ours")
    assert journal.file_lines.filter(number=1).count() == 2
    loaded(mapping, f"{HEAD},J2025-01-1-1,,,error,Unknown org.\n")
    journal.refresh_from_db()
    assert journal.rejection_reason == "File line 1 (lines 1, 3): Unknown org."
    assert AuditEvent.objects.get(action="journal.rejected").after["file_lines"] == [1]


def test_a_wrong_file_is_refused_by_line_and_nothing_is_recorded(mapping):
    of_months("2025-01", "2024-12", "2024-11", "2024-10")
    assert refused(
        mapping,
        f"{HEAD},J2025-01-1,GL-77,,posted,\n"
        ",J2025-09-1,GL-78,,posted,\n"
        ",,GL-78,,posted,\n"
        ",J2024-12-1,GL-79,,pending,\n"
        ",J2024-11-1,,9,error,Unknown org.\n"
        ",J2024-10-1,,,posted,\n",
    ) == [
        "line 3, Reference: there is no journal “J2025-09-1”",
        "line 4, Reference: is empty",
        "line 5, Status: “pending” is none of the words for an answer: posted, accepted; rejected, error",
        "line 6, Line: the file of J2024-11-1 has no line 9",
        "line 7, Doc No: J2024-10-1 was posted, and has no document number",
    ]
    assert set(states().values()) == {"submitted"}


def test_a_journal_that_was_posted_in_part_is_refused(mapping):
    of_months("2025-01")
    (error,) = refused(mapping, f"{HEAD},J2025-01-1,GL-77,1,posted,\n,J2025-01-1,GL-77,2,error,Closed.\n")
    assert error == (
        "line 3, Doc No: J2025-01-1 was posted as GL-77, and lines of it rejected. Correct the file, or answer it by "
        "hand"
    )
    (error,) = refused(mapping, f"{HEAD},J2025-01-1,GL-77,,posted,\n,J2025-01-1,GL-78,,posted,\n")
    assert error == "line 3, Doc No: J2025-01-1 has two: GL-77 and GL-78"


def test_a_journal_that_does_not_wait_is_refused(mapping):
    (journal,) = of_months("2025-01")
    posting.post(journal=journal, document_number="GL-1", **WHO)
    (error,) = refused(mapping, f"{HEAD},J2025-01-1,GL-2,,posted,\n")
    assert error == "line 2, Reference: J2025-01-1 is posted: only a submitted one waits for an answer"


def test_a_file_without_its_columns_is_refused(mapping):
    assert refused(mapping, "Reference,Status\nJ2025-01-1,posted\n") == (
        "The file has no column Doc No, Line, Message, which the form “ledger” names."
    )
    assert refused(mapping, HEAD) == "The file has no answer."


def test_without_a_status_a_row_with_a_reason_was_rejected():
    values = {"journal_column": "ref", "document_column": "doc", "reason_column": "why"}
    mapping = posting.save_mapping(name="plain", values=values, **WHO)
    of_months("2025-01", "2024-12")
    book = Workbook()
    for row in (["ref", "doc", "why"], ["J2025-01-1", "GL-1", None], ["J2024-12-1#2", None, "Closed fund."]):
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    content.seek(0)
    posting.load_answers(file=content, mapping=mapping, **WHO)
    assert states() == {"J2025-01-1": "posted", "J2024-12-1": "rejected"}


def test_a_rejected_reversal_leaves_its_journal_posted(mapping):
    (journal,) = of_months("2025-01")
    posting.post(journal=journal, document_number="GL-1", **WHO)
    posting.reverse(journal=journal, reason="Wrong.", **WHO)
    loaded(mapping, f"{HEAD},R2025-01-1,,,rejected,Closed.\n")
    assert states() == {"J2025-01-1": "posted", "R2025-01-1": "rejected"}


def test_answers_on_the_command_line(tmp_path):
    out = StringIO()
    call_command(
        *("journals", "mapping", "ledger", "--journal", "Reference", "--document", "Doc No", "--reason", "Message"),
        stdout=out,
    )
    assert out.getvalue() == "Answers in the form ledger are read by Reference, Doc No, Message.\n"
    of_months("2025-01")
    file = tmp_path / "answers.csv"
    file.write_text("Reference,Doc No,Message\nJ2025-01-1,GL-77,\n")
    out = StringIO()
    call_command("journals", "answers", str(file), "-m", "ledger", "--json", stdout=out)
    assert json.loads(out.getvalue())["posted"] == [{"journal": "J2025-01-1", "document_number": "GL-77"}]
    with pytest.raises(CommandError, match="There is no form of answers “other”. There are: ledger"):
        call_command("journals", "answers", str(file), "-m", "other")
    with pytest.raises(CommandError, match="Name the column of the status or of the reason"):
        call_command("journals", "mapping", "x", "--journal", "a", "--document", "b")


def test_answers_on_their_page(client, cast):
    client.force_login(cast.finance)
    page = reverse("admin:journals_journal_answers")
    assert "Add one" in client.get(page).content.decode()
    AnswerMapping.objects.create(name="ledger", **COLUMNS)
    of_months("2025-01")

    def upload(text):
        return {"mapping": "ledger", "file": SimpleUploadedFile("answers.csv", text.encode())}

    answer = client.post(page, upload(f"{HEAD},J2025-01-9,GL-77,,posted,\n")).content.decode()
    assert "line 2, Reference: there is no journal “J2025-01-9”" in answer
    preview = client.post(page, upload(f"{HEAD},J2025-01-1,GL-77,,posted,\n"))
    assert preview.context["planned"] == "1 journal would be posted, 0 would be rejected."
    answer = client.post(page, {"kept": preview.context["kept"]}, follow=True).content.decode()
    assert "1 journal posted, 0 rejected." in answer
    assert states() == {"J2025-01-1": "posted"}
    # Once more: the preview is gone.
    answer = client.post(page, {"kept": preview.context["kept"]}, follow=True).content.decode()
    assert "Choose the file again" in answer
