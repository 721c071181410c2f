"""The commands export_journal and journals: files, JSON and exit codes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from openpyxl import load_workbook

from journals.models import Journal, JournalTemplate
from tests.build import a_charge, a_period, a_source

pytestmark = pytest.mark.django_db


def run(*words, capsys):
    capsys.readouterr()
    call_command(*words)
    return capsys.readouterr().out


def run_json(*words, capsys):
    return json.loads(run(*words, "--json", capsys=capsys))


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("format", "lines"), [("gl", 4), ("standard", 2), ("summary", 1)])
def test_a_draft_is_written_below_var_dir_and_marked_so(format, lines, capsys, settings):
    a_charge("100.00", service_name="Compute")
    a_charge("-25.00", service_name="Refunds")

    said = run_json("export_journal", "-p", "2025-01", "-f", format, capsys=capsys)

    path = settings.VAR_DIR / f"journals/2025-01/J2025-01-1-{format}-DRAFT.csv"
    assert said == {
        "period": "2025-01",
        "format": format,
        "number": "J2025-01-1",
        "state": "draft",
        "lines": lines,
        "debits": "125.00",
        "credits": "125.00",
        "file": str(path),
    }
    assert len(rows_of(path)) == lines
    assert {row["state"] for row in rows_of(path)} == {"DRAFT"}


def test_submitting_keeps_the_file_without_the_mark(capsys, settings):
    a_charge("100.00")

    said = run_json("export_journal", "-p", "2025-01", "-f", "gl", "--submit", capsys=capsys)

    assert said["state"] == "submitted"
    assert said["file"] == str(settings.VAR_DIR / "journals/2025-01/J2025-01-1-gl.csv")
    assert {row["state"] for row in rows_of(said["file"])} == {"submitted"}


def test_the_file_goes_where_it_is_told_and_a_submitted_one_is_kept_as_well(capsys, settings, tmp_path):
    a_charge("100.00")
    target = tmp_path / "out.csv"

    said = run_json("export_journal", "-p", "2025-01", "-f", "gl", "-o", str(target), "--submit", capsys=capsys)

    assert said["file"] == str(target)
    assert target.read_bytes() == (settings.VAR_DIR / "journals/2025-01/J2025-01-1-gl.csv").read_bytes()


def test_a_name_that_ends_in_xlsx_makes_a_spreadsheet(capsys, tmp_path):
    a_charge("100.00")
    target = tmp_path / "out.xlsx"

    run("export_journal", "-p", "2025-01", "-f", "standard", "-o", str(target), capsys=capsys)

    assert not target.exists()
    sheet = load_workbook(tmp_path / "out-DRAFT.xlsx").active
    assert sheet.title == "DRAFT J2025-01-1"
    assert (sheet.max_row, sheet.cell(2, sheet.max_column).value) == (2, 100)


def test_a_template_of_ones_own_writes_the_file(capsys):
    JournalTemplate.objects.create(
        name="bank", extension="txt", header="H", line="{{ line.fund_org }},{{ line.debit }}"
    )
    a_charge("100.00")

    said = run_json("export_journal", "-p", "2025-01", "-f", "bank", capsys=capsys)

    assert said["file"].endswith("J2025-01-1-bank-DRAFT.txt")
    with open(said["file"], encoding="utf-8") as file:
        notice, *lines = file.read().splitlines()
    assert notice == "DRAFT: journal J2025-01-1 of 2025-01 is not submitted. Do not load it."
    assert lines == ["H", "BIO-001,100.00", "RC-AWS,0.00"]


def test_a_template_makes_no_spreadsheet(tmp_path):
    JournalTemplate.objects.create(name="bank", line="x")
    a_charge("100.00")

    with pytest.raises(CommandError, match="makes text, not a spreadsheet"):
        call_command("export_journal", "-p", "2025-01", "-f", "bank", "-o", str(tmp_path / "out.xlsx"))


def test_a_directory_that_is_not_there_is_refused_and_nothing_happens(tmp_path):
    a_charge("100.00")

    with pytest.raises(CommandError, match="does not exist"):
        call_command("export_journal", "-p", "2025-01", "-o", str(tmp_path / "nowhere" / "x.csv"))
    with pytest.raises(CommandError, match="is a directory"):
        call_command("export_journal", "-p", "2025-01", "-o", str(tmp_path))
    assert not Journal.objects.exists()


def test_a_refused_export_leaves_no_file(settings):
    a_source("hpc", recovery_fund_org="")
    a_charge("1.00", source="hpc")

    with pytest.raises(CommandError, match="hpc has no recovery fund/org"):
        call_command("export_journal", "-p", "2025-01", "-f", "gl", "--submit")
    assert [path for path in settings.VAR_DIR.rglob("*") if path.is_file()] == []


def test_an_unknown_format_lists_what_exists():
    JournalTemplate.objects.create(name="bank", line="x")
    a_period()

    with pytest.raises(CommandError, match="no journal format “nonsense”. These exist: standard, summary, gl, bank"):
        call_command("export_journal", "-p", "2025-01", "-f", "nonsense")


@pytest.mark.parametrize(("period", "said"), [("2031-07", "These exist: 2025-01"), ("2025-13", "not a billing period")])
def test_an_unknown_period_lists_what_exists(period, said):
    a_period()

    with pytest.raises(CommandError, match=said):
        call_command("export_journal", "-p", period, "-f", "gl")


def test_a_date_that_is_none_is_refused():
    a_period()

    with pytest.raises(CommandError, match="is not a date"):
        call_command("export_journal", "-p", "2025-01", "--date", "soon")


def test_nothing_to_journal_is_said_and_fails_only_when_submitting(capsys):
    a_period()

    said = run_json("export_journal", "-p", "2025-01", "-f", "gl", capsys=capsys)

    assert (said["lines"], said["debits"], said["number"]) == (0, "0.00", None)
    told = run("export_journal", "-p", "2025-01", capsys=capsys)
    assert "Nothing to journal for January 2025: nothing of it is charged by a journaled source." in told
    with pytest.raises(CommandError, match="nothing to submit"):
        call_command("export_journal", "-p", "2025-01", "--submit")


def test_a_month_that_is_held_whole_says_so_where_it_has_nothing_to_journal(capsys, admin_client):
    a_charge("125.00", state="held")
    held = "nothing of it is charged yet, and 1 charge is held for review"
    told = run("export_journal", "-p", "2025-01", capsys=capsys)
    assert f"Nothing to journal for January 2025: {held}. " in told
    with pytest.raises(CommandError, match=f"nothing to submit for January 2025: {held}"):
        call_command("export_journal", "-p", "2025-01", "--submit")
    page = admin_client.get(reverse("admin:journals_journal_export"), {"period": "2025-01", "format": "gl"})
    assert f"There is nothing to draft: {held}." in page.content.decode()


def test_a_journal_is_posted_by_its_period(capsys):
    a_charge("100.00")
    run("export_journal", "-p", "2025-01", "--submit", capsys=capsys)

    said = run_json("journals", "post", "2025-01", "--document", "JV-1", capsys=capsys)

    assert (said["number"], said["state"], said["document_number"]) == ("J2025-01-1", "posted", "JV-1")


def test_a_rejection_names_its_lines(capsys):
    a_charge("100.00")
    run("export_journal", "-p", "2025-01", "--submit", capsys=capsys)

    said = run("journals", "reject", "J2025-01-1", "--reason", "Bad org.", "--lines", "1,2", capsys=capsys)

    assert said.startswith("Journal J2025-01-1 rejected: Lines 1, 2: Bad org.")


def test_a_posted_journal_is_reversed_with_a_file_of_its_own(capsys):
    a_charge("100.00")
    run("export_journal", "-p", "2025-01", "--submit", capsys=capsys)
    run("journals", "post", "2025-01", "--document", "JV-1", capsys=capsys)

    said = run_json("journals", "reverse", "2025-01", "--reason", "Wrong.", capsys=capsys)

    assert said["journal"]["state"] == "reversed"
    assert (said["reversal"]["number"], said["reversal"]["state"]) == ("R2025-01-1", "submitted")
    first = rows_of(said["reversal"]["file"])[0]
    assert (first["fund_org"], first["credit"]) == ("BIO-001", "100.00")
    assert first["description"].startswith("Reversal of J2025-01-1: 2025-01-0001")


def test_the_list_shows_what_became_of_each(capsys):
    a_charge("100.00")
    a_charge("7.00", period="2025-02")
    run("export_journal", "-p", "2025-01", "--submit", capsys=capsys)
    run("export_journal", "-p", "2025-02", "-f", "standard", capsys=capsys)

    both = run_json("journals", "list", capsys=capsys)["journals"]

    assert [(each["number"], each["state"], each["debits"]) for each in both] == [
        ("J2025-01-1", "submitted", "100.00"),
        ("J2025-02-1", "draft", "7.00"),
    ]
    only = run("journals", "list", "-p", "2025-02", capsys=capsys)
    assert "J2025-02-1" in only
    assert "J2025-01-1" not in only


def test_a_journal_that_is_not_there_is_refused():
    with pytest.raises(CommandError, match="There is no journal J2025-01-9"):
        call_command("journals", "post", "J2025-01-9", "--document", "1")


def test_a_verb_is_needed():
    with pytest.raises(CommandError, match="required"):
        call_command("journals")


@pytest.mark.parametrize("command", [["export_journal"], ["journals", "post"]])
def test_wrong_usage_exits_with_two(command):
    done = subprocess.run([sys.executable, "manage.py", *command], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "required" in done.stderr


@pytest.mark.parametrize("format", ["gl", "standard", "summary", "bank", "fixed"])
@pytest.mark.parametrize("output", [False, True])
def test_a_draft_says_so_in_name_and_content_and_a_submitted_journal_never(format, output, capsys, tmp_path):
    JournalTemplate.objects.create(name="bank", header="fund,debit", line="{{ line.fund_org }},{{ line.debit }}")
    JournalTemplate.objects.create(name="fixed", is_csv=False, extension="txt", line="{{ line.fund_org|pad:20 }}")
    a_charge("100.00")
    named = ["-o", str(tmp_path / "ledger.csv")] if output else []

    draft = run_json("export_journal", "-p", "2025-01", "-f", format, *named, capsys=capsys)
    submitted = run_json("export_journal", "-p", "2025-01", "-f", format, *named, "--submit", capsys=capsys)

    for said, is_draft in ((draft, True), (submitted, False)):
        path = Path(said["file"])
        assert path.stem.endswith("-DRAFT") == is_draft
        assert ("DRAFT" in path.read_text()) == is_draft
    assert (tmp_path / "ledger.csv").exists() == output


def test_a_name_that_says_draft_already_is_kept_and_refused_for_a_submitted_journal(capsys, tmp_path):
    a_charge("100.00")
    target = tmp_path / "my draft.csv"

    said = run_json("export_journal", "-p", "2025-01", "-o", str(target), capsys=capsys)

    assert said["file"] == str(target)
    with pytest.raises(CommandError, match="a submitted journal is none"):
        call_command("export_journal", "-p", "2025-01", "-o", str(target), "--submit")
    assert Journal.objects.get().state == Journal.State.DRAFT


def test_a_draft_downloaded_from_the_web_says_so_in_name_and_content(cast, client, capsys):
    JournalTemplate.objects.create(name="bank", line="{{ line.fund_org }},{{ line.debit }}")
    a_charge("100.00")
    client.force_login(cast.finance)
    for format in ("gl", "bank"):
        client.post("/admin/journals/journal/export/", {"period": "2025-01-01", "format": format})
        response = client.get(f"/admin/journals/journal/{Journal.objects.get().pk}/file/")
        assert f"J2025-01-1-{format}-DRAFT" in response["Content-Disposition"]
        assert b"DRAFT" in response.content
