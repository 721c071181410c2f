"""Standard input and named pipes, for every command that takes a file."""

import gzip
import io
import os
import threading
import zipfile
from pathlib import Path

import openpyxl
import pytest
from django.core import management
from django.core.management.base import CommandError

from billing.files import piped
from billing.models import Charge, FundingSource, Import, Person
from tests import build
from tests.billing.deliveries import a_file, a_row

pytestmark = pytest.mark.django_db


class Input(io.BytesIO):
    """Standard input as the program sees it, with its bytes beneath."""

    def __init__(self, content=b"", is_terminal=False):
        super().__init__(content)
        self.is_terminal = is_terminal

    @property
    def buffer(self):
        return self

    def isatty(self):
        return self.is_terminal


@pytest.fixture
def given(monkeypatch):
    def give(content=b"", is_terminal=False):
        monkeypatch.setattr("sys.stdin", Input(content, is_terminal))

    return give


def run(*arguments):
    out = io.StringIO()
    management.call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


def content_of(tmp_path):
    return a_file(tmp_path, [a_row("12.50")]).read_bytes()


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("costs.csv", content)
    return file.getvalue()


@pytest.mark.parametrize("packed", [bytes, gzip.compress, zipped])
def test_standard_input_is_imported_whatever_it_is_written_in(tmp_path, given, settings, packed):
    build.a_source("aws")
    given(packed(content_of(tmp_path)))
    told = run("ingest", "-", "--source", "aws")
    assert f"Import {Import.objects.get().pk}: 1 row of aws for January 2025." in told
    assert Charge.objects.count() == 1
    assert Import.objects.get().name == "standard input"
    assert not list((Path(settings.VAR_DIR) / "piped").iterdir())


def test_standard_input_goes_with_other_files(tmp_path, given):
    build.a_source("aws")
    given(content_of(tmp_path))
    other = a_file(tmp_path, [a_row("1", ResourceId="i-2")], "aws_more.csv")
    run("ingest", "-", other, "-s", "aws")
    assert Charge.objects.count() == 2


@pytest.mark.parametrize(
    ("content", "is_terminal", "says"),
    [(b"", False, "Nothing came from standard input"), (b"x", True, "Standard input is a terminal")],
)
def test_an_input_that_gives_nothing_is_said(given, content, is_terminal, says):
    build.a_source("aws")
    given(content, is_terminal)
    for command in (
        ("ingest", "-", "-s", "aws"),
        ("funds", "load", "-"),
        ("people", "load", "-"),
        ("review", "apply", "-"),
    ):
        with pytest.raises(CommandError, match=says):
            run(*command)
    assert not Import.objects.exists()


def test_standard_input_is_named_once(given):
    given(b"x")
    with pytest.raises(CommandError, match="can be read once"):
        run("ingest", "-", "-")


def test_without_a_source_the_command_says_to_name_it(tmp_path, given):
    build.a_source("aws")
    given(content_of(tmp_path))
    with pytest.raises(CommandError, match="standard input"):
        run("ingest", "-")


def test_an_input_without_end_is_stopped(given, monkeypatch, settings):
    given(b"x" * 100)
    with pytest.raises(piped.NothingPiped, match="gives more than"), piped.copied("-", limit=10):
        pass
    assert not list((Path(settings.VAR_DIR) / "piped").iterdir())


def test_a_manifest_through_a_pipe_names_no_files_of_ours(tmp_path, given):
    build.a_source("aws")
    given(b'{"dataFiles": ["received/aa/secret.csv"]}')
    with pytest.raises(CommandError, match="are not there"):
        run("ingest", "-", "-s", "aws")


def test_a_named_pipe_is_read_by_its_name(tmp_path):
    build.a_source("aws")
    content = content_of(tmp_path)
    pipe = tmp_path / "aws_2025-01.fifo"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    told = run("ingest", pipe)
    writer.join()
    assert "1 row of aws" in told
    assert Import.objects.get().name == "aws_2025-01.fifo"


def test_a_pipe_of_the_shell_is_read(tmp_path):
    build.a_source("aws")
    reading, writing = os.pipe()
    os.write(writing, content_of(tmp_path))
    os.close(writing)
    run("ingest", f"/dev/fd/{reading}", "-s", "aws")
    os.close(reading)
    assert Import.objects.get().name == f"pipe {reading}"


def test_lists_are_loaded_from_standard_input(given):
    given(b"fund_org\nBIO-1\n")
    run("funds", "load", "-")
    assert FundingSource.objects.get().fund_org == "BIO-1"
    book = openpyxl.Workbook()
    book.active.append(["email"])
    book.active.append(["ada@u.edu"])
    file = io.BytesIO()
    book.save(file)
    given(file.getvalue())
    run("people", "load", "-")
    assert Person.objects.get().is_listed
