"""The screen of layouts, and what it adds to that of journals."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from billing.models import AuditEvent
from journals import layouts, posting
from journals.formats.layouts import presets
from journals.models import Journal, JournalLayout
from tests.build import a_charge, a_period
from tests.journals.layouts.made import PRESETS, filled_in
from tests.journals.made import WHO, submitted

pytestmark = pytest.mark.django_db

VALUES = {each.name: each.value or each.example for each in presets()["kfs-collector"].layout.settings}
CONDENSED = {"payers": "chartstring_and_source", "recoveries": "source", "sponsored": "statement"}


@pytest.fixture
def finance(cast, client):
    client.force_login(cast.finance)
    return client


def page(name, *args):
    return reverse(f"admin:journals_journallayout_{name}", args=args)


def text_of(answer):
    return answer.content.decode()


def a_draft(name="kfs-collector", called="kfs"):
    return layouts.add(name=called, content=filled_in(name), **WHO)


def a_released(name="kfs-collector", called="kfs", condense=None):
    layout = layouts.add(name=called, content=filled_in(name), condense=condense, **WHO)
    return layouts.release(layout=layout, **WHO)


def test_a_layout_is_added_from_a_preset_filled_in_and_released(finance):
    shown = text_of(finance.get(page("changelist")))
    assert "There are no layouts yet. Add one from a preset for your ledger." in shown
    answer = finance.post(page("new"), {"name": "kfs", "preset": "kfs-collector"}, follow=True)
    layout = JournalLayout.objects.get()
    assert answer.redirect_chain[-1][0] == page("change", layout.pk)
    assert "Enter its settings, then release it." in text_of(answer)
    assert "To be set" in text_of(answer)
    assert "Settings that are empty are written as their examples." in text_of(answer)
    assert "2025UCRESC" in text_of(answer)
    assert f'Next: <a href="{page("settings", layout.pk)}">Settings…</a>' in text_of(answer)

    refused = finance.post(page("release", layout.pk), follow=True)
    assert "these settings are empty: Chart of accounts code" in text_of(refused)
    form = text_of(finance.get(page("settings", layout.pk)))
    assert "Chart of accounts code" in form
    assert "Such as UC." in form
    given = {f"setting_{name}": value for name, value in VALUES.items()} | CONDENSED
    answer = finance.post(page("settings", layout.pk), given, follow=True)
    assert "2025UCRESC" in text_of(answer)
    finance.post(page("release", layout.pk))

    layout.refresh_from_db()
    assert layout.state == "released"
    assert layouts.read(layout).condense.payers == "chartstring_and_source"
    assert AuditEvent.objects.filter(action="journal_layout.released", actor_name="fay", via="web").exists()


def test_a_file_of_json_makes_the_same_layout(finance):
    layout = a_draft()
    file = finance.get(page("json", layout.pk))
    assert file["Content-Disposition"] == 'attachment; filename="kfs-1.json"'

    finance.post(page("new"), {"name": "other", "file": SimpleUploadedFile("kfs.json", file.content)})

    assert JournalLayout.objects.get(name="other").content == layout.content


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"name": "kfs"}, "Choose a preset or a file, one of them."),
        ({"name": "kfs", "file": b"\xff"}, "The file is no text in UTF-8."),
        ({"name": "kfs", "file": b"{\n x"}, "Line 2, column 2: this is not JSON"),
        ({"name": "kfs", "file": b"{}"}, "The layout has no files. Add it."),
        ({"name": "kfs", "file": b" " * 1_000_001}, "The file is larger than 1 MB."),
        ({"name": "gl", "preset": "kfs-collector"}, "a format of the program"),
    ],
)
def test_what_is_no_layout_is_not_added_and_says_where(finance, sent, said):
    if "file" in sent:
        sent = sent | {"file": SimpleUploadedFile("x.json", sent["file"])}

    assert said in text_of(finance.post(page("new"), sent))
    assert not JournalLayout.objects.exists()


def test_the_json_of_a_draft_is_edited_and_shown_on_a_journal_before_it_is_saved(finance):
    layout = a_draft()
    a_charge("123.45")
    posting.export(period=a_period(), format="gl", **WHO)
    changed = layout.content.replace('"HD"', '"HX"')

    answer = text_of(finance.post(page("edit", layout.pk), {"content": changed, "journal": "J2025-01-1", "_show": "1"}))
    assert "How the file begins: journal J2025-01-1" in answer
    assert "HX1billing@example.edu" in answer
    assert "123.45D2025-01-31" in answer
    layout.refresh_from_db()
    assert "HX" not in layout.content

    wrong = changed.replace('{settings.email}", "width": 40', '{settings.email}", "width": "40"', 1)
    answer = text_of(finance.post(page("edit", layout.pk), {"content": wrong}))
    assert "file 1, record header, field E-mail: width is “40”. Allowed: a whole number from 1 to 4000." in answer

    finance.post(page("edit", layout.pk), {"content": changed.replace("\n", "\r\n")})
    layout.refresh_from_db()
    assert layout.content == changed


def test_a_page_shows_where_each_field_is(finance):
    shown = text_of(finance.get(page("change", a_draft().pk)))

    assert "<td>Transmission date</td><td>16–25</td>" in shown
    assert "<td>Debit or credit</td><td>118</td>" in shown


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_its_page(finance, name):
    layout = a_draft(name)

    assert finance.get(page("change", layout.pk)).status_code == 200
    assert finance.get(page("settings", layout.pk)).status_code == 200


def test_a_released_layout_is_copied_to_its_next_version_or_under_another_name(finance):
    layout = a_released()

    finance.post(page("copy", layout.pk), {"name": "kfs"})
    finance.post(page("copy", layout.pk), {"name": "other"})

    made = JournalLayout.objects.filter(state="draft").values_list("name", "version")
    assert set(made) == {("kfs", 2), ("other", 1)}


def test_a_draft_is_deleted_and_the_list_follows(finance):
    layout = a_draft()

    answer = finance.post(page("discard", layout.pk), follow=True)

    assert answer.redirect_chain[-1][0] == page("changelist")
    assert not JournalLayout.objects.exists()


def test_a_released_layout_is_not_edited(finance):
    layout = a_released()

    for name in ("edit", "settings", "release", "discard"):
        assert "is not possible for" in text_of(finance.get(page(name, layout.pk), follow=True))
    finance.post(page("retire", layout.pk))
    layout.refresh_from_db()
    assert layout.state == "retired"


def test_a_reviewer_looks_and_changes_nothing(cast, client):
    layout = a_draft()
    client.force_login(cast.reviewer)

    assert client.get(page("change", layout.pk)).status_code == 200
    assert client.get(page("json", layout.pk)).status_code == 200
    assert "Add a layout" not in text_of(client.get(page("changelist")))
    for name in ("settings", "edit", "release", "copy", "discard"):
        assert client.post(page(name, layout.pk), {}).status_code == 403
    assert client.get(page("new")).status_code == 403


def test_a_journal_is_submitted_in_a_layout_and_hands_out_every_file(finance):
    layout = a_released(condense=CONDENSED)
    a_charge("100.00", service_name="Storage")
    a_charge("2.50")
    journal = posting.export(period=a_period(), format="gl", **WHO).journal
    submit = reverse("admin:journals_journal_submit", args=[journal.pk])
    assert "2025UCRESC" in text_of(finance.get(submit, {"format": "kfs"}))

    finance.post(submit, {"format": "kfs"})

    journal.refresh_from_db()
    assert (journal.state, journal.layout) == ("submitted", layout)
    record = reverse("admin:journals_journal_change", args=[journal.pk])
    shown = text_of(finance.get(record, {"tab": "file"}))
    assert "kfs, version 1" in shown
    file = reverse("admin:journals_journal_file", args=[journal.pk])
    for each in journal.files_beside.all():
        assert each.name in shown
        assert finance.get(file, {"name": each.name})["Content-Disposition"] == f'attachment; filename="{each.name}"'
    assert finance.get(file, {"name": "../x"}).status_code == 302
    # A line of the file leads to the journal lines in it.
    shown = text_of(finance.get(record, {"tab": "lines", "file_line": "1"}))
    assert "2 lines" in shown
    assert "Line of the file" in shown


def test_a_value_that_does_not_fit_is_told_where_the_journal_is_submitted(finance):
    a_released()
    a_charge("1.00", fund_org="TOOLONG123")
    journal = posting.export(period=a_period(), format="gl", **WHO).journal
    submit = reverse("admin:journals_journal_submit", args=[journal.pk])

    shown = text_of(finance.get(submit, {"format": "kfs"}))
    assert "Line 1 (journal line 1), fund/org: “TOOLONG123” does not match" in shown
    finance.post(submit, {"format": "kfs"})
    journal.refresh_from_db()
    assert journal.state == "draft"


def test_the_ledger_s_lines_are_recorded_by_their_numbers_in_the_file(finance):
    a_released(condense=CONDENSED)
    a_charge("100.00", service_name="Storage")
    a_charge("2.50")
    journal = submitted(format="kfs")
    rejected = reverse("admin:journals_journal_rejected", args=[journal.pk])

    assert "such as 3, 7" in text_of(finance.post(rejected, {"reason": "No.", "file_lines": "x"}))
    finance.post(rejected, {"reason": "No.", "file_lines": "1"})

    assert Journal.objects.get().rejection_reason == "File line 1 (lines 1, 3): No."


def test_a_template_cannot_take_a_layout_s_name(finance):
    a_draft()
    sent = {"name": "kfs", "extension": "csv", "line": "x"}

    assert "is a journal layout" in text_of(finance.post(reverse("admin:journals_journaltemplate_add"), sent))


def test_hostile_text_in_a_layout_is_shown_as_text(finance):
    data = json.loads(filled_in("kfs-collector"))
    data["title"] = data["files"][0]["records"][0]["fields"][0]["name"] = "<script>alert(1)</script>"
    layout = layouts.add(name="kfs", content=json.dumps(data), **WHO)

    assert "<script>alert(1)" not in text_of(finance.get(page("change", layout.pk)))
    assert "<script>alert(1)" not in text_of(finance.get(page("changelist")))


# Descriptions --------------------------------------------------------------------------------------------------------


def settings_form(**more):
    return {f"setting_{name}": value for name, value in VALUES.items()} | CONDENSED | more


def test_descriptions_are_shown_on_a_real_draft_before_they_are_saved(finance):
    a_charge("12.30", project="genomics")
    posting.export(period=a_period(), format="gl", **WHO)
    layout = a_draft()
    form = text_of(finance.get(page("settings", layout.pk)))
    assert "Printed in Description (40 bytes, cut where it is longer)." in form

    sent = settings_form(description_debit="RC {project} {reference}", description_credit="Recovery {source}")
    sent |= {"payers": "line", "recoveries": "line", "journal": Journal.objects.get().number, "_show": "1"}
    shown = text_of(finance.post(page("settings", layout.pk), sent))
    assert "RC genomics 2025-01-0001" in shown
    assert "Recovery aws" in shown
    assert "RC genomics" not in JournalLayout.objects.get().content

    del sent["_show"]
    finance.post(page("settings", layout.pk), sent)
    content = JournalLayout.objects.get().content
    assert json.loads(content)["descriptions"] == {
        "debit": "RC {project} {reference}",
        "credit": "Recovery {source}",
    }
    assert "RC {project} {reference}" in text_of(finance.get(page("change", layout.pk)))


def test_an_unknown_name_in_a_description_is_told_by_its_place_beside_it(finance):
    layout = a_draft()
    answer = finance.post(page("settings", layout.pk), settings_form(description_credit="To {projekt}"))
    assert (
        answer.context["form"]
        .errors["description_credit"][0]
        .startswith("There is no {projekt}, at character 4. Allowed: journal.number, ")
    )
    assert "projekt" not in JournalLayout.objects.get().content
