"""Lookup tables: loaded by line, printed by layouts and templates, and kept by the journals written with them."""

import io
import json
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing.files import documents
from billing.models import AuditEvent
from journals import layouts, lookups, posting, preflight
from journals.formats.layouts import LayoutRefused
from journals.models import JournalLookup, JournalTemplate, LookupTable
from tests.build import a_charge
from tests.journals.layouts.made import a_layout
from tests.journals.made import WHO, drafted, submitted

pytestmark = pytest.mark.django_db

WORKTAGS = (
    "table,fund_org,worktag,company,valid_from,valid_until\n"
    "worktags,BIO-001,GR1001,CO_1,,2025-01-15\n"
    "worktags,BIO-001,GR2002,CO_1,2025-01-16,\n"
    "worktags,RC-AWS,CC400,CO_2,,\n"
)
FIELDS = [
    {"name": "Account", "value": "{account}"},
    {"name": "Worktag", "value": "{lookup.worktags.worktag}", "width": 10, "required": True},
    {"name": "Company", "value": "{lookup.worktags.company}"},
    {"name": "Memo", "value": "{description}"},
]


def load(text=WORKTAGS, **more):
    return lookups.load_lookups(file=io.BytesIO(text.encode()), **more, **WHO)


def a_released(fields=FIELDS, **more):
    content = json.dumps(a_layout(fields, kind="csv", **more))
    return layouts.release(layout=layouts.add(name="ours", content=content, **WHO), **WHO)


def rows_of(journal):
    return posting.content_of(journal).decode().splitlines()


# Loaded --------------------------------------------------------------------------------------------------------------


def test_a_file_replaces_its_tables_as_a_whole():
    done = load()
    assert str(done) == "Replaced worktags: 3 rows (2 added, 0 removed, 0 changed)."
    load("table,account,spend_category\ncategories,6500,SC1\n")
    done = load("table,Fund/Org,Worktag\nworktags,BIO-001,GR3\nworktags,CHEM-2,GR4\n")
    assert done.examples == ["worktags adds CHEM-2", "worktags removes RC-AWS", "worktags changes BIO-001"]
    tables = LookupTable.objects.order_by("name", "version")
    assert [(each.name, each.version, each.keys, each.columns, each.replaced_at is None) for each in tables] == [
        ("categories", 1, ["account"], ["spend_category"], True),
        ("worktags", 1, ["fund_org"], ["worktag", "company"], False),
        ("worktags", 2, ["fund_org"], ["worktag"], True),
    ]
    event = AuditEvent.objects.filter(action="lookup_table.loaded").latest("pk")
    assert event.after == {"table": "worktags", "version": 2, "rows": 2, "added": 1, "removed": 1, "changed": 1}


def test_a_dry_run_stores_nothing():
    assert str(load(is_dry_run=True)).startswith("Would replace worktags: 3 rows")
    assert not LookupTable.objects.exists()


def test_what_is_wrong_is_told_by_line_and_nothing_is_stored():
    with pytest.raises(lookups.LookupsRefused) as refused:
        load(
            "table,fund_org,worktag,valid_from,valid_until\n"
            "worktags,BIO-001,GR1,,2025-06-30\n"
            "worktags,BIO-001,GR2,2025-06-30,\n"
            "worktags,BIO-001,GR3,2025-01-01,2024-01-01\n"
            "worktags,,GR4,,\n"
            "Work Tags,BIO-002,GR5,,\n"
            ",BIO-003,GR6,,\n"
            "worktags,BIO-004,GR7,soon,\n"
        )
    assert [str(each) for each in refused.value.errors] == [
        "line 3, fund_org: BIO-001 is on line 2 already, for days that overlap",
        "line 4, valid_until: The last day is before the first.",
        "line 4, fund_org: BIO-001 is on line 2 already, for days that overlap",
        "line 5, fund_org: is empty",
        "line 6, table: “Work Tags” is no name of a table. Write it in letters a–z, digits and _",
        "line 7, table: is empty. Write it in letters a–z, digits and _",
        "line 8, valid_from: “soon” is not a date such as 2025-06-30",
    ]
    assert not LookupTable.objects.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("table,worktag\nw,GR1\n", "line 2: w has no column to find rows by. There may be: fund_org, account, source"),
        ("table,fund_org\nw,BIO\n", "line 2: w has no column of values beside those its rows are found by"),
        ("table,fund_org,Größe\nw,BIO,1\n", "line 1, grösse: is no name of a column."),
        ("fund_org,worktag\nBIO,1\n", "The file has no column table."),
        ("table,fund_org,worktag\nw,BIO,1.5E+12\n", "line 2, worktag: "),
        ("", "The file"),
    ],
)
def test_a_file_that_is_no_table_is_refused(text, said):
    with pytest.raises(lookups.LookupsRefused, match=said.replace("(", r"\(")):
        load(text)


# Printed -------------------------------------------------------------------------------------------------------------


def test_a_layout_prints_what_its_tables_have_on_the_posting_date():
    load()
    a_released(descriptions={"debit": "{lookup.worktags.worktag} {service}"})
    a_charge("100.00")
    journal = submitted(format="ours")
    assert rows_of(journal) == ["6500,GR2002,CO_1,GR2002 Compute", "4900,CC400,CO_2,CC400 Compute"]
    early = posting.reverse(journal=posting.post(journal=journal, document_number="1", **WHO), reason="x", **WHO)
    assert rows_of(early.reversal)[0].startswith("6500,GR2002,CO_1,")


def test_a_table_may_go_by_several_names_and_segments():
    load("table,segments.fund,account,code\ncodes,BIO,6500,X1\ncodes,BIO,4900,X2\ncodes,RC,4900,X3\n")
    segments = "(?P<fund>[A-Z]+)-.*"
    a_released([{"name": "Code", "value": "{lookup.codes.code}"}], segments=segments)
    a_charge("100.00")
    assert rows_of(submitted(format="ours")) == ["X1", "X3"]


def test_a_missing_row_is_an_error_by_line_that_leads_to_its_table():
    load("table,fund_org,worktag,company,valid_until\nworktags,RC-AWS,CC400,CO_2,\nworktags,BIO-001,GR1,C,2024-06-30\n")
    a_released()
    a_charge("100.00", fund_org="BIO-001")
    a_charge("50.00", fund_org="CHEM-2")
    journal = drafted().journal
    found = preflight.check(journal=journal, format="ours", now=WHO["now"]).findings
    assert [str(each) for each in found] == [
        "Line 1 of the file (journal line 1), lookup table: worktags has no row for fund_org “BIO-001” on "
        "Jan 31, 2025.",
        "Line 3 of the file (journal line 3), lookup table: worktags has no row for fund_org “CHEM-2”.",
    ]
    assert {each.check for each in found} == {"lookups"}
    assert {(each.then.name, each.then.about["table"]) for each in found} == {("lookups", "worktags")}
    with pytest.raises(LayoutRefused, match="worktags has no row for fund_org “CHEM-2”"):
        posting.submit(journal=journal, format="ours", **WHO)


def test_what_a_line_for_several_is_found_by_has_to_be_the_same_for_all():
    load("table,project,tag\nprojects,genomics,P1\nprojects,physics,P2\n")
    condense = {"payers": "chartstring", "recoveries": "source"}
    a_released(
        [{"name": "Tag", "value": "{lookup.projects.tag}"}, {"name": "Ref", "value": "{support}"}],
        condense=condense,
        files=[{"name": "support.csv", "kind": "support"}],
    )
    a_charge("100.00", project="genomics")
    a_charge("50.00", project="physics")
    told = [str(each) for each in preflight.check(journal=drafted().journal, format="ours", now=WHO["now"]).findings]
    said = "projects goes by project, and the line has no project, or stands for several that differ in it."
    assert [said in each for each in told] == [True, True]


def test_a_layout_that_asks_for_what_no_table_has_is_not_released():
    with pytest.raises(layouts.LayoutNotReady, match="There is no lookup table worktags. There are: none yet."):
        a_released()
    load("table,fund_org,worktag\nworktags,BIO-001,GR1\n")
    draft = layouts.layout_named("ours")
    with pytest.raises(layouts.LayoutNotReady, match="worktags has no column company. It has: worktag."):
        layouts.release(layout=draft, **WHO)


def test_a_template_prints_lookups_and_names_the_line_that_has_none():
    load()
    JournalTemplate.objects.create(name="bank", line="{{ line.fund_org }},{{ line.lookup.worktags.worktag }}")
    a_charge("100.00")
    first = submitted(format="bank")
    assert rows_of(first) == ["BIO-001,GR2002", "RC-AWS,CC400"]
    assert JournalLookup.objects.get(journal=first).table.version == 1
    a_charge("7.00", fund_org="CHEM-2")
    journal = drafted().journal
    (found,) = preflight.check(journal=journal, format="bank", now=WHO["now"]).findings
    assert "line 1 of the journal: worktags has no row for fund_org “CHEM-2”." in found.message
    assert found.then.name == "lookups"


# Kept ----------------------------------------------------------------------------------------------------------------


def test_a_submitted_journal_keeps_its_version_and_its_file_can_be_made_again():
    load()
    a_released()
    a_charge("100.00")
    journal = submitted(format="ours")
    content = posting.content_of(journal)
    load("table,fund_org,worktag,company\nworktags,BIO-001,GR9,CO_9\nworktags,RC-AWS,CC9,CO_9\n")
    lookups.remove(name="worktags", **WHO)
    documents.where(journal.file_path).unlink()
    assert posting.content_of(journal) == content
    assert [(each.table.name, each.table.version) for each in JournalLookup.objects.filter(journal=journal)] == [
        ("worktags", 1)
    ]
    # Its reversal undoes it on the same worktags, whatever the table says today.
    reversal = posting.reverse(
        journal=posting.post(journal=journal, document_number="1", **WHO), reason="Wrong.", **WHO
    ).reversal
    assert [row.split(",")[1] for row in rows_of(reversal)] == ["GR2002", "CC400"]


# Shown ---------------------------------------------------------------------------------------------------------------


def test_a_table_is_loaded_searched_and_removed_on_its_pages(cast, client):
    client.force_login(cast.finance)
    url = reverse("admin:journals_lookuptable_load")
    file = SimpleUploadedFile("worktags.csv", WORKTAGS.encode())
    page = client.post(url, {"file": file})
    assert "Would replace worktags: 3 rows" in page.content.decode()
    client.post(url, {"kept": page.context["kept"], "file_name": "worktags.csv"})
    table = LookupTable.objects.get()
    change = reverse("admin:journals_lookuptable_change", args=[table.pk])
    shown = client.get(change).content.decode()
    assert "{lookup.worktags.worktag}" in shown
    assert "GR2002" in shown
    found = client.get(change, {"q": "cc400"}).content.decode()
    assert "CC400" in found
    assert "GR2002" not in found
    client.post(reverse("admin:journals_lookuptable_remove", args=[table.pk]))
    assert LookupTable.objects.get().replaced_at


def test_the_command_loads_shows_and_removes(tmp_path):
    path = tmp_path / "worktags.csv"
    path.write_text(WORKTAGS)

    def said(*arguments):
        out = StringIO()
        call_command("lookups", *arguments, stdout=out)
        return out.getvalue()

    assert "There is no lookup table." in said("list")
    assert said("load", str(path), "--dry-run").startswith("Would replace worktags")
    assert said("load", str(path)).startswith("Replaced worktags: 3 rows")
    assert "GR2002" in said("show", "worktags")
    data = json.loads(said("show", "worktags", "--json"))
    assert data["lines"][0] == {
        **{"fund_org": "BIO-001", "worktag": "GR1001", "company": "CO_1"},
        **{"valid_from": None, "valid_until": "2025-01-15"},
    }
    assert "fund_org" in said("list")
    assert said("remove", "worktags") == "Nothing is looked up in worktags any more.\n"
    with pytest.raises(CommandError, match="There is no lookup table “worktags”. There are: none yet."):
        said("show", "worktags")
