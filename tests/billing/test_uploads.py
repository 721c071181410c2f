"""The list of files to import: the worker checks each, and the page says what it found and what to do next."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.background import jobs
from billing.models import Charge, Import, Job
from tests import build
from tests.test_pages import CONTENT, UPLOAD, imports_asked, sent, uploaded

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

ONE = CONTENT.format("1.50")
HEAD = "BilledCost,BillingPeriodStart,ChargePeriodStart,ResourceId\n"


@pytest.fixture(autouse=True)
def var_dir(tmp_path, settings):
    settings.VAR_DIR = tmp_path / "var"
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def reviewer(client, cast):
    client.force_login(cast.reviewer)
    for name in ("aws", "hpc"):
        build.a_source(name)
    return client


def checked(client):
    """Have the worker do what waits, and return the rows of the page."""
    for job in Job.objects.filter(state=Job.State.QUEUED).order_by("pk"):
        jobs.run(job.pk)
    return client.get(UPLOAD).context["rows"]


def imported(client, content=ONE):
    client.post(UPLOAD, sent(uploaded(client, "aws_2025-01.csv", content=content)) | {"import": "1"})
    return checked(client)


def page_of(client):
    return client.get(UPLOAD).content.decode()


def test_what_a_file_would_do_is_said_before_it_is_imported(reviewer):
    uploaded(reviewer, "aws_2025-01.csv", content=CONTENT.format("1906.40"))
    (row,) = reviewer.get(UPLOAD).context["rows"]
    assert (row.state, row.is_importable) == ("checking", True)
    assert "data-busy" in page_of(reviewer)
    (row,) = checked(reviewer)
    assert row.state == "ready"
    assert row.lines[:2] == [
        "Adds 1 charge: +1,906.40 USD. The file comes to 1,906.40 USD.",
        "1 charge would be held for review.",
    ]
    page = page_of(reviewer)
    assert "<strong>1 file, 1 row, 1,906.40 USD</strong>" in page
    assert "data-busy" not in page
    assert not Charge.objects.exists()


def test_a_typo_is_caught_by_line_and_column_and_the_mended_file_takes_its_place(reviewer):
    files = [
        SimpleUploadedFile("aws_2025-01.csv", CONTENT.format('"1.204,50"').encode()),
        SimpleUploadedFile("hpc_2025-01.csv", CONTENT.format("2").encode()),
    ]
    reviewer.post(UPLOAD, {"files": files})
    broken, right = checked(reviewer)
    assert (broken.state, broken.is_importable, right.state) == ("broken", False, "ready")
    assert broken.lines[0].startswith("Line 2, column BilledCost: “1.204,50” is formatted for people.")
    assert "drop it here again" in broken.next_step
    assert "Import 1 file" in page_of(reviewer)
    # The same name again, with the source that was chosen for it meanwhile.
    reviewer.post(UPLOAD, {"files": SimpleUploadedFile("aws_2025-01.csv", CONTENT.format("1204.50").encode())})
    mended, right = checked(reviewer)
    assert [each.row.name for each in (mended, right)] == ["aws_2025-01.csv", "hpc_2025-01.csv"]
    assert mended.state == "ready"
    assert "Import 2 files" in page_of(reviewer)


def test_a_file_that_is_right_stays_when_another_of_its_name_comes(reviewer):
    uploaded(reviewer, "aws_2025-01.csv", content=CONTENT.format("1"))
    checked(reviewer)
    assert len(uploaded(reviewer, "aws_2025-01.csv", content=CONTENT.format("2"))) == 2


def test_an_unreadable_file_is_broken_before_anything_is_checked(reviewer):
    (row,) = uploaded(reviewer, "nobody.csv", content="")
    assert (row.state, row.lines, row.is_importable) == ("broken", ["The file is empty."], False)


def test_parts_of_one_import_wait_for_the_part_that_is_broken(reviewer):
    uploaded(reviewer, "aws_2025-01.csv")
    whole, broken = uploaded(reviewer, "aws_2025-01_b.csv", content="")
    assert (whole.state, whole.is_importable, broken.state) == ("checking", False, "broken")
    page = reviewer.post(UPLOAD, sent([whole, broken]) | {"import": "1"}).content.decode()
    assert "Nothing here can be imported as it is." in page
    assert not imports_asked().exists()


def test_a_change_of_source_is_checked_anew_and_nothing_twice(reviewer):
    rows = uploaded(reviewer, "aws_2025-01.csv", "hpc_2025-01.csv", content=CONTENT)
    checked(reviewer)
    hpc = rows[1].source
    reviewer.post(UPLOAD, sent(rows) | {"keep": "1"})
    assert Job.objects.count() == 1
    reviewer.post(UPLOAD, sent(rows, source_0=hpc.pk) | {"keep": "1"})
    first, second = Job.objects.order_by("pk")
    # Both are parts of one import now.
    assert [each["names"] for each in second.arguments["imports"]] == [["aws_2025-01.csv", "hpc_2025-01.csv"]]
    assert first.is_over


def test_a_period_that_is_none_is_said_beside_it_and_stops_only_its_file(reviewer):
    rows = uploaded(reviewer, "aws_2025-01.csv", "hpc_2025-01.csv")
    reviewer.post(UPLOAD, sent(rows, period_0="2025-0l") | {"keep": "1"})
    wrong, right = checked(reviewer)
    assert (wrong.state, wrong.is_importable, right.state) == ("waits", False, "ready")
    assert "“2025-0l” is not a billing period" in page_of(reviewer)


def test_a_file_that_changes_nothing_is_told_apart(reviewer):
    imported(reviewer)
    uploaded(reviewer, "aws_2025-01.csv", content=CONTENT.format("1.50"))
    (row,) = checked(reviewer)
    assert (row.state, row.lines[0].split(".")[0]) == ("seen", "Importing it changes nothing")
    assert not row.is_importable


def test_what_changes_is_said_in_money(reviewer):
    imported(reviewer, f"{HEAD}10,2025-01-01,2025-01-02,i-1\n2,2025-01-01,2025-01-03,i-2\n")
    content = f"{HEAD}12.50,2025-01-01,2025-01-02,i-1\n2,2025-01-01,2025-01-03,i-2\n4,2025-01-01,2025-01-03,i-3\n"
    uploaded(reviewer, "aws_2025-01.csv", content=content)
    (row,) = checked(reviewer)
    assert row.lines[0] == "Adds 1 charge, changes 1: +6.50 USD. The file comes to 18.50 USD."


def test_what_changes_a_closed_month_is_said_to_wait(reviewer):
    imported(reviewer)
    build.shut()
    uploaded(reviewer, "aws_2025-01.csv", content=CONTENT.format("2"))
    (row,) = checked(reviewer)
    assert (row.state, row.is_importable) == ("waits", True)
    assert "January 2025 is closed or in review: what changes there waits for a decision." in row.lines


def test_an_import_does_not_wait_for_its_check(reviewer):
    rows = uploaded(reviewer, "aws_2025-01.csv")
    reviewer.post(UPLOAD, sent(rows) | {"import": "1"})
    check, wanted = Job.objects.order_by("pk")
    assert (check.state, wanted.state) == ("canceled", "queued")


def test_a_check_that_broke_off_stops_no_import(reviewer):
    uploaded(reviewer, "aws_2025-01.csv")
    Job.objects.update(state=Job.State.FAILED, message="The worker was stopped.", finished_at=build.NOW)
    (row,) = reviewer.get(UPLOAD).context["rows"]
    assert (row.state, row.lines) == ("unchecked", ["It could not be checked: The worker was stopped."])
    reviewer.post(UPLOAD, sent([row]) | {"import": "1"})
    checked(reviewer)
    assert Import.objects.get().state == Import.State.APPLIED


def test_a_large_file_is_checked_by_its_import_alone(reviewer, monkeypatch):
    monkeypatch.setattr("billing.admin.imports.checks.MOST_BYTES", 10)
    (row,) = uploaded(reviewer, "aws_2025-01.csv")
    assert not Job.objects.exists()
    assert (row.state, row.is_importable) == ("unchecked", True)


def test_the_checks_of_somebody_else_are_not_shown(reviewer, cast):
    uploaded(reviewer, "aws_2025-01.csv")
    Job.objects.update(created_by=cast.admin)
    (row,) = reviewer.get(UPLOAD).context["rows"]
    assert row.state == "unchecked"


def test_six_files_are_one_job_and_as_many_queries_as_three(reviewer):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as asked:
            reviewer.get(UPLOAD)
        return len(asked)

    uploaded(reviewer, *(f"aws_2025-0{month}.csv" for month in range(1, 4)))
    checked(reviewer)
    few = queries()
    uploaded(reviewer, *(f"aws_2025-0{month}.csv" for month in range(4, 7)))
    rows = checked(reviewer)
    assert queries() == few
    assert few <= 25
    reviewer.post(UPLOAD, sent(rows) | {"import": "1"})
    assert len(imports_asked().get().arguments["imports"]) == 6
