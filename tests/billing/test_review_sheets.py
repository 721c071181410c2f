"""The review as a spreadsheet: out, filled in, and back, all of it or nothing."""

import datetime
import io
import json
import zipfile
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.urls import reverse
from openpyxl import load_workbook

from billing import review
from billing.models import AuditEvent, BillingPeriod, Charge, Flag, Person, Project, ReviewDecision
from billing.readers import workbooks
from billing.review import Reassignment, review_sheets
from tests.build import NOW, SOMEBODY, a_charge, a_fund, a_period, a_pi, a_policy, a_project, a_split

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

# Which takes some locks and ids with queries of their own.
IS_POSTGRESQL = "postgresql" in settings.DATABASES["default"]["ENGINE"]

BY: dict[str, Any] = {"actor": SOMEBODY, "now": NOW}
APPLY = reverse("admin:billing_heldcharge_apply")
EXPORT = reverse("admin:billing_heldcharge_export")


def exported(charges=None):
    file = io.BytesIO()
    review_sheets.export(
        charges=Charge.objects.held() if charges is None else charges, file=file, actor=SOMEBODY, now=NOW
    )
    file.seek(0)
    return load_workbook(file)


def filled_in(cells, book=None):
    """Write cells, such as {(2, "decision"): "approve"}, into an export and return it as a file."""
    book = book or exported()
    sheet = book["Charges"]
    columns = {cell.value: cell.column for cell in sheet[1]}
    for (line, name), value in cells.items():
        sheet.cell(line, columns[name]).value = value
    file = io.BytesIO()
    book.save(file)
    file.seek(0)
    return file


def apply(cells, book=None, **options):
    return review_sheets.apply(file=filled_in(cells, book), **options, **BY)


def errors_of(cells, book=None):
    with pytest.raises(review_sheets.SheetRefused) as refused:
        apply(cells, book)
    return [(error.line, error.column) for error in refused.value.errors], str(refused.value)


def a_held_charge(billed="100.00", *flags, **fields):
    return a_charge(billed, flags=flags or ("pattern_match",), **fields)


def test_an_export_has_a_row_per_charge_with_its_reasons():
    charge = a_held_charge("12.345678", "missing_fund_org", fund_org="", payer_split=a_split({"A": "60", "B": "40"}))
    Flag.objects.update(detail="no tag")
    sheet = exported()["Charges"]
    row = dict(zip([cell.value for cell in sheet[1]], [cell.value for cell in sheet[2]], strict=True))
    assert tuple(row) == tuple(review_sheets.COLUMNS)
    assert (row["id"], row["period"], row["source"]) == (str(charge.pk), "2025-01", "aws")
    assert (row["pi"], row["project"], row["fund_org"], row["split"]) == (
        "ada@u.edu",
        "genomics",
        None,
        "A=60; B=40",
    )
    assert row["reasons"] == "missing_fund_org: no tag"
    assert (row["decision"], row["note"]) == (None, None)


def test_amounts_are_exact_numbers_and_ids_are_text():
    a_held_charge("1234567890.12345678")
    file = io.BytesIO()
    review_sheets.export(charges=Charge.objects.held(), file=file, actor=SOMEBODY, now=NOW)
    xml = zipfile.ZipFile(file).read("xl/worksheets/sheet1.xml").decode()
    assert "<v>1234567890.12345678</v>" in xml


def test_the_sheet_is_ready_to_be_filled_in():
    a_held_charge()
    book = exported()
    sheet = book["Charges"]
    assert sheet.freeze_panes == "B2"
    assert [validation.formula1 for validation in sheet.data_validations.dataValidation][
        0
    ] == '"approve,reject,charge to center"'
    assert sheet.column_dimensions["D"].width > 20
    assert "A=60; B=40" in " ".join(str(row[0]) for row in book["Instructions"].values)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x")'])
def test_text_is_never_a_formula_and_comes_back_as_it_was(text):
    charge = a_held_charge(resource_name=text, service_name=text, fund_org=text.strip())
    sheet = exported()["Charges"]
    cells = {heading.value: cell for heading, cell in zip(sheet[1], sheet[2], strict=True)}
    for name in ("service", "resource", "fund_org"):
        assert cells[name].data_type == "s"
        assert cells[name].quotePrefix
    assert cells["resource"].value == text.replace("\t", " ")
    assert apply({(2, "decision"): "approve"}).rows[0].changes == {}
    charge.refresh_from_db()
    assert charge.fund_org == text.strip()


def test_control_characters_do_not_break_the_export():
    a_held_charge(resource_name="bad\x00\x0bname".replace("\x00", ""))
    assert exported()["Charges"].max_row == 2


def test_decisions_and_corrections_come_back():
    a_policy(center_fund_org="RC-1")
    approved, rejected, centers, corrected, split, left = [
        a_held_charge("10.00", "missing_project", project=None) for _ in range(6)
    ]
    applied = apply(
        {
            (2, "decision"): "Approve",
            (2, "project"): "physics",
            (2, "create"): "yes",
            (3, "decision"): "reject",
            (3, "provider_credits"): "yes",
            (3, "reason"): "duplicate",
            (3, "note"): "See ticket 7",
            (4, "decision"): "charge to center",
            (5, "pi"): "new@u.edu",
            (5, "create"): "Yes",
            (5, "fund_org"): 12345,
            (6, "split"): "A=60; B=40",
            (6, "decision"): "approve",
        }
    )
    states = [Charge.objects.get(pk=each.pk).state for each in (approved, rejected, centers, corrected, split, left)]
    assert states == ["approved", "rejected", "charged_to_center", "held", "approved", "held"]
    approved.refresh_from_db()
    corrected.refresh_from_db()
    split.refresh_from_db()
    assert approved.project.code == "physics"
    assert (corrected.pi.email, corrected.fund_org) == ("new@u.edu", "12345")
    assert {share.fund_org: share.percent for share in split.payer_split.shares.all()} == {"A": 60, "B": 40}
    decision = ReviewDecision.objects.get(charge=rejected)
    assert (decision.reason, decision.note) == ("duplicate", "See ticket 7")
    assert applied.counts == {"approved": 2, "rejected": 1, "charged_to_center": 1, "reattributed": 3}
    assert str(applied) == (
        "5 charges: 2 approved, 1 rejected, 1 charged to center, 3 reattributed; 1 left as they are. "
        "Project physics is created. PI new@u.edu is created."
    )


def test_a_spreadsheet_is_one_act_that_is_undone_charge_by_charge():
    charge = a_held_charge("1.00", "missing_pi", pi=None)
    a_pi("ada@u.edu")
    apply({(2, "pi"): "ada@u.edu", (2, "decision"): "approve"})
    assert set(AuditEvent.objects.exclude(action="charges.exported").values_list("gesture", flat=True)) == set(
        ReviewDecision.objects.values_list("gesture", flat=True)
    )
    review.undo(charges=[charge.pk], **BY)
    charge.refresh_from_db()
    assert (charge.state, charge.pi) == ("held", None)


def test_a_dry_run_says_what_would_be_and_leaves_nothing():
    a_held_charge("1.00", "missing_pi", pi=None)
    before = list(Charge.objects.values())
    applied = apply({(2, "pi"): "new@u.edu", (2, "decision"): "approve", (2, "create"): "yes"}, dry_run=True)
    assert applied.rows[0].changes == {"pi": ("", "new@u.edu")}
    assert str(applied) == "1 charge: would be 1 approved, 1 reattributed. PI new@u.edu will be created."
    assert list(Charge.objects.values()) == before
    assert not ReviewDecision.objects.exists()
    assert not AuditEvent.objects.exclude(action="charges.exported").exists()
    assert not Person.objects.filter(email="new@u.edu").exists()


def test_a_name_that_does_not_exist_is_refused_by_line_unless_a_line_says_to_create_it():
    a_project("genomics")
    for _ in range(3):
        a_held_charge("1.00", "missing_project", project=None)
    cells = {(2, "project"): "genomcis", (3, "project"): "P-9", (4, "project"): "P-9"}
    where, text = errors_of({**cells, (3, "create"): "yes"})
    assert where == [(2, "project")]
    assert (
        "There is no project “genomcis”. Did you mean genomics? If it is new, write yes in the column create." in text
    )
    assert not Project.objects.filter(code="P-9").exists()
    applied = apply({**cells, (2, "project"): "Genomics", (3, "create"): "yes"})
    assert applied.creates == ["Project P-9 is created."]
    assert Charge.objects.filter(project__code="P-9").count() == 2
    where, text = errors_of({(2, "create"): "maybe", (2, "note"): "n", (2, "decision"): "approve"})
    assert where == [(2, "create")]


def test_a_fund_that_is_not_on_the_loaded_list_is_refused_by_line_unless_it_is_meant():
    a_held_charge()
    a_held_charge()
    cells = {(2, "fund_org"): "BIO-01", (3, "split"): "BIO-001=50; CHEM-2=50"}
    assert len(apply(cells, dry_run=True).rows) == 2
    a_fund("BIO-001")
    where, text = errors_of(cells)
    assert where == [(2, "fund_org"), (3, "split")]
    assert "Fund/org “BIO-01” is not on the list of fund/orgs. Did you mean BIO-001?" in text
    applied = apply({**cells, (2, "create"): "yes", (3, "create"): "yes"}, dry_run=True)
    assert "Fund/org BIO-01 will be used, though it is not on the list." in str(applied)


def test_the_same_shares_written_otherwise_are_no_change():
    a_held_charge(fund_org="", payer_split=a_split({"A": "60", "B": "40"}))
    assert apply({(2, "split"): "B=40.0,A=60 %", (2, "pi"): "ADA@u.edu"}).rows == []


def test_a_fund_takes_the_place_of_an_emptied_split():
    charge = a_held_charge(fund_org="", payer_split=a_split({"A": "60", "B": "40"}))
    apply({(2, "split"): None, (2, "fund_org"): "A"})
    charge.refresh_from_db()
    assert (charge.fund_org, charge.payer_split) == ("A", None)


@pytest.mark.parametrize(
    ("cells", "column", "message"),
    [
        ({"decision": "maybe"}, "decision", "“maybe” is no decision"),
        ({"decision": "reject"}, "reason", "“” is no reason to reject"),
        ({"decision": "reject", "reason": "nonsense"}, "reason", "These are: duplicate"),
        ({"decision": "reject", "reason": "other"}, "reason", "needs a note"),
        ({"decision": "approve", "reason": "test"}, "reason", "Only a rejection has a reason"),
        ({"decision": "charge to center"}, "decision", "Set it in the policy"),
        ({"note": "hm"}, "decision", "no decision to go with it"),
        ({"pi": "nobody"}, "pi", "is not an e-mail address"),
        ({"pi": None}, "pi", "cannot be emptied"),
        ({"split": "A=60; B=30"}, "split", "sum to 90 percent"),
        ({"split": "A=100", "fund_org": "B"}, "split", "either a fund/org or a split"),
        ({"fund_org": "F" * 65}, "fund_org", "at most 64"),
        ({"id": "x", "decision": "approve"}, "id", "is not the id of a charge"),
        ({"id": "999999", "decision": "approve"}, "id", "There is no charge 999999"),
        ({"fingerprint": "0", "decision": "approve"}, "fingerprint", "changed since the export"),
    ],
)
def test_errors_name_line_and_column_and_nothing_is_applied(cells, column, message):
    charges = [a_held_charge(), a_held_charge()]
    where, text = errors_of({(2, "decision"): "approve"} | {(3, name): value for name, value in cells.items()})
    assert where == [(3, column)]
    assert f"line 3, {column}: " in text
    assert message in text
    assert [Charge.objects.get(pk=charge.pk).state for charge in charges] == ["held", "held"]
    assert not ReviewDecision.objects.exists()
    assert not AuditEvent.objects.exclude(action="charges.exported").exists()


def test_every_error_is_reported_at_once():
    for _ in range(3):
        a_held_charge()
    where, text = errors_of({(2, "decision"): "maybe", (3, "pi"): "x", (4, "split"): "A"})
    assert where == [(2, "decision"), (3, "pi"), (4, "split")]
    assert "3 errors" in text


def test_a_charge_named_twice_is_an_error():
    first, _ = a_held_charge(), a_held_charge()
    where, text = errors_of({(3, "id"): str(first.pk)})
    assert where == [(3, "id")]
    assert "is on line 2 already" in text


def test_a_charge_that_somebody_changed_since_the_export_is_refused():
    charge = a_held_charge()
    book = exported()
    review.reattribute(charges=[charge.pk], reassignment=Reassignment(pi="marie@u.edu"), create=True, **BY)
    where, text = errors_of({(2, "decision"): "approve"}, book)
    assert where == [(2, "fingerprint")]
    assert "Export it again" in text


def test_a_charge_that_cannot_be_approved_is_an_error_not_a_skip():
    a_held_charge("1.00", "missing_pi", pi=None)
    where, text = errors_of({(2, "decision"): "approve"})
    assert where == [(2, "decision")]
    assert "No PI: correct who pays first." in text


def test_a_charge_of_a_closed_period_is_an_error():
    a_held_charge()
    book = exported()
    BillingPeriod.objects.filter(pk=a_period().pk).update(status="closed", closed_at=NOW)
    where, text = errors_of({(2, "decision"): "approve"}, book)
    assert where == [(2, "decision")]
    assert "Period January 2025 is closed." in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column id"),
        (b"id,decision\n1,approve\n", "no column fingerprint"),
        (b"PK\x03\x04 broken", "damaged"),
        (b"%PDF-1.7", "This is a PDF"),
    ],
)
def test_what_is_no_spreadsheet_is_said_to_be_none(content, message):
    with pytest.raises(review_sheets.NotAReviewSheet, match=message):
        review_sheets.apply(file=io.BytesIO(content), **BY)


def test_a_zip_bomb_is_not_unpacked(monkeypatch):
    a_held_charge()
    monkeypatch.setattr(workbooks, "MAX_WHOLE", 1000)
    with pytest.raises(review_sheets.NotAReviewSheet, match="unpacks to .* Split it"):
        apply({})


def test_another_spreadsheet_is_refused_with_the_columns_it_lacks():
    a_held_charge()
    with pytest.raises(review_sheets.NotAReviewSheet, match="has no column decision"):
        apply({(1, "decision"): "verdict"})
    with pytest.raises(review_sheets.NotAReviewSheet, match="the column note twice"):
        apply({(1, "reasons"): "note"})


def test_an_empty_export_can_be_applied():
    assert str(apply({})) == "No row decides anything."


def test_applying_many_rows_takes_no_more_queries_than_few(django_assert_max_num_queries):
    a_held_charge()
    cells = {}
    for line in range(2, 62):
        a_held_charge("1.00", "missing_project", project=None)
        cells[line + 1, "project"] = f"p{line % 3}"
        cells[line + 1, "decision"] = "approve"
        cells[line + 1, "note"] = f"note {line}"
        cells[line + 1, "create"] = "yes"
    with django_assert_max_num_queries(80 + 8 * IS_POSTGRESQL):
        assert len(apply(cells).rows) == 60


# Through the command and the admin


def test_the_command_exports_and_applies(tmp_path):
    a_held_charge()
    a_held_charge(source="hpc")
    path = tmp_path / "held.xlsx"
    out = io.StringIO()
    call_command("review", "export", str(path), "--source", "hpc", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"charges": 1, "file": str(path)}
    path.write_bytes(filled_in({(2, "decision"): "approve"}, load_workbook(path)).getvalue())
    out = io.StringIO()
    call_command("review", "apply", str(path), "--dry-run", stdout=out)
    assert "would be 1 approved" in out.getvalue()
    assert Charge.objects.held().count() == 2
    out = io.StringIO()
    call_command("review", "apply", str(path), "--json", stdout=out)
    data = json.loads(out.getvalue())
    assert (data["approved"], data["dry_run"], len(data["rows"])) == (1, False, 1)
    assert Charge.objects.get(state="approved").source.name == "hpc"
    with pytest.raises(CommandError, match="line 2, fingerprint: The charge was changed since the export"):
        call_command("review", "apply", str(path))


def test_the_queue_is_exported_as_filtered(cast, client):
    a_held_charge()
    charge = a_held_charge("5.00", "project_ended")
    client.force_login(cast.reviewer)
    response = client.get(f"{EXPORT}?reason=project_ended")
    sheet = load_workbook(io.BytesIO(b"".join(response.streaming_content)))["Charges"]
    response.close()
    assert [row[0].value for row in sheet.iter_rows(min_row=2)] == [str(charge.pk)]
    assert "attachment" in response["Content-Disposition"]


def upload(client, file):
    file.name = "../../held.xlsx"
    return client.post(APPLY, {"file": file})


def test_an_upload_is_previewed_and_applied_once_confirmed(cast, client, settings):
    charge = a_held_charge("1.00", "missing_pi", pi=None)
    a_pi("ada@u.edu")
    client.force_login(cast.reviewer)
    page = upload(client, filled_in({(2, "pi"): "ada@u.edu", (2, "decision"): "approve"}))
    assert "would be 1 approved, 1 reattributed" in page.content.decode()
    charge.refresh_from_db()
    assert charge.state == "held"
    done = client.post(APPLY, {"kept": page.context["kept"]}, follow=True)
    assert [str(message) for message in done.context["messages"]] == ["1 charge: 1 approved, 1 reattributed."]
    charge.refresh_from_db()
    assert (charge.state, charge.pi.email) == ("approved", "ada@u.edu")
    assert ReviewDecision.objects.first().decided_by == cast.reviewer
    assert list((settings.VAR_DIR / "review-sheets").iterdir()) == []


def test_an_upload_with_errors_shows_them_by_line(cast, client):
    a_held_charge()
    client.force_login(cast.reviewer)
    page = upload(client, filled_in({(2, "decision"): "maybe"}))
    assert "“maybe” is no decision" in page.content.decode()
    assert "kept" not in page.context
    assert "has no column id" in upload(client, io.BytesIO(b"nonsense")).content.decode()


def test_a_preview_is_applied_only_by_who_saw_it_and_only_while_it_is_there(cast, client):
    a_held_charge()
    client.force_login(cast.reviewer)
    kept = upload(client, filled_in({(2, "decision"): "approve"})).context["kept"]
    client.force_login(cast.finance)
    for token in (kept, "forged"):
        done = client.post(APPLY, {"kept": token}, follow=True)
        assert "no longer there" in str(list(done.context["messages"])[0])
    assert Charge.objects.held().count() == 1


def test_a_charge_changed_between_preview_and_confirmation_is_refused(cast, client):
    charge = a_held_charge()
    client.force_login(cast.reviewer)
    kept = upload(client, filled_in({(2, "decision"): "approve"})).context["kept"]
    review.reject(provider_credits=True, charges=[charge.pk], reason="test", **BY)
    done = client.post(APPLY, {"kept": kept}, follow=True)
    assert "changed since the export" in str(list(done.context["messages"])[0])
    charge.refresh_from_db()
    assert charge.state == "rejected"


def test_exact_amounts_survive_the_round_trip_because_they_are_never_taken_back():
    charge = a_held_charge("0.12345678")
    apply({(2, "billed"): 99, (2, "decision"): "approve"})
    charge.refresh_from_db()
    assert charge.billed_cost == Decimal("0.12345678")
    assert charge.charge_period_start.tzinfo == datetime.UTC
