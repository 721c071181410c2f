"""manage.py journal_layouts, and export_journal in what it made."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from journals.formats.layouts import presets
from journals.models import Journal, JournalLayout
from tests.build import a_charge
from tests.journals.layouts.made import filled_in

pytestmark = pytest.mark.django_db

SET = [f"--set={each.name}={each.value or each.example}" for each in presets()["kfs-collector"].layout.settings]


def said(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_descriptions_are_set_and_taken_away():
    said("journal_layouts", "add", "kfs", "--preset", "kfs-collector", *SET, "--debit-description", "RC {service}")
    assert json.loads(JournalLayout.objects.get().content)["descriptions"] == {
        "debit": "RC {service}",
        "many": "{count} charges {source} {month}",
    }
    said("journal_layouts", "set", "kfs", "--debit-description", "", "--many-description", "")
    assert "descriptions" not in json.loads(JournalLayout.objects.get().content)
    with pytest.raises(CommandError, match="descriptions, credit: there is no {x}, at character 4. Allowed: journal"):
        said("journal_layouts", "set", "kfs", "--credit-description", "To {x}")


def test_a_layout_goes_from_a_preset_to_the_ledger():
    assert "kfs-collector: Kuali KFS: Collector flat file\n  to set: chart, organization," in said(
        "journal_layouts", "presets"
    )
    assert "There is no layout." in said("journal_layouts", "list")

    told = said("journal_layouts", "add", "kfs", "--preset", "kfs-collector", "--set", "chart=UC")
    assert told.startswith("The layout kfs, version 1 is drafted. Set organization, email,")
    told = said("journal_layouts", "set", "kfs", *SET, "--payers", "chartstring_and_source", "--recoveries", "source")
    assert told == "The layout kfs, version 1 is changed. Release it next.\n"
    assert "is released: `manage.py export_journal -f kfs`" in said("journal_layouts", "release", "kfs")

    a_charge("100.00", service_name="Storage")
    a_charge("2.50")
    answer = json.loads(said("export_journal", "-p", "2025-01", "-f", "kfs", "--submit", "--json"))
    assert (answer["format"], answer["lines"]) == ("kfs", 2)
    assert Journal.objects.get().layout.name == "kfs"
    assert "rejected: File line 1 (lines 1, 3): No." in said(
        *("journals", "reject", "2025-01", "--reason", "No.", "--file-lines", "1")
    )


def test_a_layout_is_exported_and_imported_as_a_file(tmp_path):
    said("journal_layouts", "add", "kfs", "--preset", "kfs-collector", *SET)
    file = tmp_path / "kfs.json"

    assert "kfs, version 1 is in" in said("journal_layouts", "show", "kfs", "-o", str(file))
    assert said("journal_layouts", "show", "kfs").rstrip() == file.read_text().rstrip()
    assert "other, version 1 is drafted" in said("journal_layouts", "add", "other", "--file", str(file))
    contents = JournalLayout.objects.order_by("name").values_list("content", flat=True)
    assert contents[0] == contents[1] == filled_in("kfs-collector")


def test_a_layout_is_retired_and_a_draft_discarded():
    said("journal_layouts", "add", "kfs", "--preset", "kfs-collector", *SET)
    said("journal_layouts", "release", "kfs")
    said("journal_layouts", "add", "kfs", "--preset", "kfs-collector")

    # The released version, though a draft is newer.
    assert "kfs, version 1 is retired" in said("journal_layouts", "retire", "kfs")
    assert "kfs, version 2 is deleted" in said("journal_layouts", "discard", "kfs")
    assert [
        (each["version"], each["state"]) for each in json.loads(said("journal_layouts", "list", "--json"))["layouts"]
    ] == [(1, "retired")]


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (("show", "x"), "There is no layout “x”. These exist: none yet."),
        (("add", "kfs", "--preset", "x"), "There is no preset “x”. These exist: banner-gurfeed"),
        (("add", "kfs", "--preset", "kfs-collector", "--set", "x"), "“x” is no setting. Write it such as chart=UC."),
        (("add", "kfs", "--preset", "kfs-collector", "--set", "x=1"), "The layout has no setting “x”. It has: chart,"),
        (("add", "gl", "--preset", "kfs-collector"), "“gl” is a format of the program's own."),
        (("add", "kfs", "--file", "/nowhere.json"), "/nowhere.json cannot be read: No such file or directory."),
    ],
)
def test_what_cannot_be_done_says_why(arguments, refused):
    with pytest.raises(CommandError) as refusal:
        said("journal_layouts", *arguments)

    assert str(refusal.value).startswith(refused)
    assert not JournalLayout.objects.exists()
