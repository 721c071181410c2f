"""What uploads leave behind: lists that nobody confirmed, and copies of processes that were killed."""

import fcntl
import os
import time
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from billing.files import leftovers, own_folder
from billing.models import Job
from billing.setup import kept_sheets
from tests import build

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own(settings, tmp_path):
    settings.VAR_DIR = tmp_path


def kept(content: bytes = b"code") -> str:
    return kept_sheets.keep(SimpleUploadedFile("funds.csv", content))


def long_ago(path: Path) -> Path:
    then = time.time() - 2 * kept_sheets.KEPT_SECONDS
    os.utime(path, (then, then))
    return path


def asked_for(name: str, file_name: str = "funds.csv") -> Job:
    return kept_sheets.load_by_job(
        kind=Job.Kind.FUNDS,
        kept=name,
        file_name=file_name,
        is_dry_run=False,
        actor=build.SOMEBODY,
        now=timezone.now(),
    )


def test_what_nobody_confirmed_goes_with_the_next_upload_but_not_what_a_job_waits_for():
    waited_for, forgotten = kept(), kept()
    asked_for(waited_for)
    for name in (waited_for, forgotten):
        long_ago(own_folder(kept_sheets.FOLDER) / name)
    newest = kept()
    assert {path.name for path in own_folder(kept_sheets.FOLDER).iterdir()} == {waited_for, newest}


def test_two_uploads_may_throw_away_the_same(monkeypatch):
    name = kept()
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [folder / "gone.xlsx", folder / name])
    assert kept()


def test_the_name_of_a_list_is_one_that_can_be_shown():
    job = asked_for(kept(), "../../etc/\x1b[2Jfunds.csv")
    assert job.arguments["file"] == "\N{REPLACEMENT CHARACTER}[2Jfunds.csv"


def test_copies_of_a_killed_process_are_removed_and_none_that_is_in_use(tmp_path):
    left = []
    for name in ("piped/tmp1", "piped/tmp2", "journals/2025-01/.journal.csv.1.part", "journals/2025-01/journal.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        left.append(long_ago(path))
    with left[1].open() as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        leftovers.clear_leftovers(timezone.now())
    assert [path.exists() for path in left] == [False, True, False, True]
