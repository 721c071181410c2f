"""The preflight: what keeps a journal from the ledger, found on its draft, and what somebody acknowledges."""

import csv
import datetime
import io
import json
import re
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.test import override_settings
from django.urls import reverse
from openpyxl import load_workbook

from billing import doors
from billing.errors import ReasonMissing, WrongState
from billing.models import AuditEvent
from journals import accounting_calendar, layouts, ledger_lists, posting, preflight, valid_values
from journals.models import JournalLine, ValidValueList, WarningAcknowledgement
from journals.preflight import Remark, sheets
from openchargeback.checks import journal_validator_is_there
from tests.build import a_charge, a_fund, a_period, a_policy, a_source
from tests.journals.layouts.made import filled_in
from tests.journals.made import WHO, drafted, submitted

pytestmark = pytest.mark.django_db

DAY = datetime.date
SEGMENTS = r"(?P<fund>[A-Z]+)-(?P<org>[0-9]+)"


def loaded(text, **more):
    return valid_values.load_values(file=io.BytesIO(text.encode()), **more, **WHO)


def found(journal, format="gl"):
    return preflight.check(journal=journal, format=format, now=WHO["now"])


def told(journal, format="gl"):
    return [str(each) for each in found(journal, format).findings]


# Valid values --------------------------------------------------------------------------------------------------------


def test_a_list_replaces_the_values_of_its_segments_as_a_whole():
    a_policy(fund_org_segments=SEGMENTS)
    loaded("segment,value,name\nfund,BIO,Biology\nfund,CHEM,\norg,001,\n")
    done = loaded("segment,value,name,valid_until\nfund,BIO,Life,\nfund,PHYS,,2025-06-30\n")
    assert str(done) == "Replaced fund: 2 values (1 added, 1 removed, 1 changed)."
    assert done.examples == ["fund adds PHYS", "fund removes CHEM", "fund changes BIO"]
    lists = valid_values.in_force()
    assert {name: sorted(values) for name, values in lists.items()} == {"fund": ["BIO", "PHYS"], "org": ["001"]}
    assert [(each.version, each.replaced_at is None) for each in ValidValueList.objects.filter(name="fund")] == [
        (2, True),
        (1, False),
    ]
    event = AuditEvent.objects.filter(action="valid_values.loaded").latest("pk")
    assert event.after == {"segment": "fund", "version": 2, "values": 2, "added": 1, "removed": 1, "changed": 1}


def test_a_dry_run_of_values_stores_nothing():
    done = loaded("segment,value\naccount,6500\n", is_dry_run=True)
    assert str(done) == "Would replace account: 1 value (1 added, 0 removed, 0 changed)."
    assert not ValidValueList.objects.exists()


def test_wrong_values_are_refused_by_line_and_nothing_is_stored():
    with pytest.raises(valid_values.ValuesRefused) as refused:
        loaded(
            "segment,value,valid_from,valid_until\n"
            "account,6500,,2025-01-31\n"
            "color,red,,\n"
            "account,,,\n"
            "account,6500,2025-01-15,\n"
            "account,6500,2025-02-01,\n"
            "account,6600,2025-02-01,2025-01-01\n"
            "account,6700,soon,\n"
        )
    assert [str(each) for each in refused.value.errors] == [
        "line 3, segment: “color” is no segment. There are: fund_org, account",
        "line 4, value: is empty",
        "line 5, value: 6500 is on line 2 already, for days that overlap",
        "line 6, value: 6500 is on line 5 already, for days that overlap",
        "line 7, valid_until: The last day is before the first.",
        "line 8, valid_from: “soon” is not a date such as 2025-06-30",
    ]
    assert not ValidValueList.objects.exists()


def test_a_segment_whose_list_is_removed_is_not_checked():
    a_charge("100.00")
    loaded("segment,value\naccount,9999\n")
    journal = drafted().journal
    assert len(found(journal).errors) == 2
    valid_values.remove(name="account", **WHO)
    assert found(journal).has_passed
    with pytest.raises(ledger_lists.UnknownList, match="There are: none yet"):
        valid_values.remove(name="account", **WHO)


# What is found -------------------------------------------------------------------------------------------------------


def test_nothing_is_found_where_nothing_is_set_up():
    a_charge("100.00")
    report = found(drafted().journal)
    assert (report.findings, report.summary, report.has_passed) == ((), "nothing to mend", True)


def test_values_are_checked_on_the_posting_date_line_by_line():
    a_policy(fund_org_segments=r"(?P<fund>[A-Z]+)-(?P<org>[0-9A-Z]+)")
    a_charge("100.00", fund_org="BIO-001")
    a_charge("50.00", fund_org="CHEM-2")
    loaded("segment,value,valid_until\nfund,BIO,2025-01-30\nfund,RC,\nfund,PHYS,\naccount,6500,\naccount,4900,\n")
    assert told(drafted().journal) == [
        "Line 1, fund: “BIO” is valid until Jan 30, 2025, and the posting date is Jan 31, 2025.",
        "Line 3, fund: “CHEM” is not on the list of fund.",
    ]


def test_a_value_may_be_valid_again():
    a_charge("100.00")
    loaded(
        "segment,value,valid_from,valid_until\n"
        "account,6500,,2024-06-30\naccount,6500,2025-01-01,2025-12-31\naccount,4900,,\n"
    )
    assert found(drafted().journal).has_passed


def test_a_layout_has_segments_of_its_own():
    content = json.loads(filled_in("workday-csv")) | {
        "segments": r"(?P<fund>[A-Z]+)-(?P<cost_center>[^/]*)(?P<grant>/.*)?"
    }
    layouts.release(layout=layouts.add(name="ours", content=json.dumps(content), **WHO), **WHO)
    a_charge("100.00", fund_org="BIO-001")
    loaded("segment,value\ncost_center,AWS\n")
    journal = drafted().journal
    assert told(journal, "ours") == ["Line 1, cost_center: “001” is not on the list of cost_center."]
    assert found(journal, "gl").has_passed


def test_accounting_and_patterns_are_errors_by_line():
    a_policy(fund_org_segments=SEGMENTS)
    a_source(debit_account="", recovery_fund_org="")
    a_charge("100.00", fund_org="nonsense")
    assert told(drafted().journal) == [
        "Line 1, account code: aws has no debit account.",
        "Line 1, fund/org: “nonsense” does not match the policy's pattern of segments.",
        "Line 2, fund/org: aws has no recovery fund/org.",
    ]


def test_a_fund_past_its_last_posting_date_is_an_error_and_one_not_valid_on_days_of_service_a_warning():
    a_fund("BIO-001", last_posting_date=DAY(2025, 1, 30))
    a_fund("BIO-002", valid_until=DAY(2024, 12, 31))
    a_charge("100.00", fund_org="BIO-001")
    a_charge("50.00", fund_org="BIO-002", state="approved")
    report = found(drafted().journal)
    assert [str(each) for each in report.errors] == [
        "Line 1, fund/org: BIO-001 takes no posting after Jan 30, 2025. The posting date is Jan 31, 2025."
    ]
    assert [str(each) for each in report.warnings] == [
        "Line 3, fund/org: BIO-002 is valid until Dec 31, 2024. The service was Jan 1, 2025."
    ]
    assert [each.then.name for each in report.findings] == ["show_fund", "show_fund"]


def test_a_closed_period_is_an_error_and_so_is_a_lacking_reason():
    a_charge("100.00")
    journal = drafted().journal
    accounting_calendar.add_fiscal_year(fiscal_year=2025, days_to_cutoff=2, days_to_close=30, **WHO)
    (finding,) = found(journal).errors
    assert str(finding) == "The cutoff of period 7 of FY2025 was on Feb 2, 2025. Give the reason for the date."
    accounting_calendar.set_dates(
        period=accounting_calendar.period_named(2025, 7), dates={"closes_on": DAY(2025, 2, 2)}, **WHO
    )
    (finding,) = found(journal).errors
    assert "which closed on Feb 2, 2025" in str(finding)


def test_what_an_earlier_journal_has_just_so_may_be_a_duplicate():
    a_charge("100.00", service_name="Storage")
    submitted()
    a_charge("100.00", service_name="Storage")
    report = found(drafted().journal)
    (warning,) = report.warnings
    assert not report.errors
    assert str(warning).startswith("Line 1: Line 1 of J2025-01-1 says the same: BIO-001, ")


def test_debits_and_credits_that_differ_are_an_error():
    a_charge("100.00")
    journal = drafted().journal
    JournalLine.objects.filter(journal=journal, side="recovery").update(credit=99)
    assert "Debits are 100.00 USD, and credits 99.00 USD." in told(journal)


def test_fields_of_a_layout_are_errors_by_line_of_the_file():
    layouts.release(layout=layouts.add(name="kfs", content=filled_in("kfs-collector"), **WHO), **WHO)
    a_source(debit_account="650000")
    a_charge("100.00", service_name="Storage")
    report = found(drafted().journal, "kfs")
    finding = next(each for each in report.errors if each.check == "format" and each.file_line)
    assert finding.place == f"Line {finding.file_line} of the file (journal line {finding.line})"
    assert finding.then.name == "journal_layouts"


# A validator ---------------------------------------------------------------------------------------------------------


def two_remarks(document):
    assert document.number == "J2025-01-1"
    return [Remark("No journal on Fridays."), Remark("Ask Grants.", line=1, is_warning=True)]


def broken(document):
    raise RuntimeError("The ledger's test service is down.")


def other(document):
    return ["text"]


def test_a_function_of_the_settings_validates():
    a_charge("100.00")
    journal = drafted().journal
    with override_settings(JOURNAL_VALIDATOR=f"{__name__}.two_remarks"):
        assert journal_validator_is_there(None) == []
        assert told(journal) == ["No journal on Fridays.", "Line 1: Ask Grants."]


@pytest.mark.parametrize(("name", "says"), [("broken", "RuntimeError: The ledger's test"), ("other", "no Remark")])
def test_a_validator_that_fails_is_an_error(name, says):
    a_charge("100.00")
    journal = drafted().journal
    with override_settings(JOURNAL_VALIDATOR=f"{__name__}.{name}"):
        (finding,) = found(journal).errors
    assert says in str(finding)


@pytest.mark.parametrize(
    ("path", "code"), [("no.such.thing", "E006"), (f"{__name__}.DAY.max", "E006"), (f"{__name__}.SEGMENTS", "E007")]
)
def test_a_validator_that_is_not_there_is_told_at_the_start(path, code):
    with override_settings(JOURNAL_VALIDATOR=path):
        (error,) = journal_validator_is_there(None)
    assert error.id == f"openchargeback.{code}"


# Submitting ----------------------------------------------------------------------------------------------------------


def test_a_journal_with_errors_is_not_submitted():
    a_charge("100.00")
    loaded("segment,value\naccount,4900\n")
    journal = drafted().journal
    with pytest.raises(posting.PreflightFailed) as refused:
        posting.submit(journal=journal, format="gl", **WHO)
    assert str(refused.value) == (
        "J2025-01-1 cannot be submitted: 1 error.\n- Line 1, account: “6500” is not on the list of account."
    )
    with pytest.raises(posting.PreflightFailed):
        submitted()
    journal.refresh_from_db()
    assert (journal.state, journal.file_sha256) == ("draft", "")


def a_draft_with_a_warning():
    a_charge("100.00", service_name="Storage")
    submitted()
    a_charge("100.00", service_name="Storage")
    return drafted().journal


def test_a_warning_is_acknowledged_with_a_reason_before_the_journal_is_submitted():
    journal = a_draft_with_a_warning()
    with pytest.raises(posting.PreflightFailed, match=r"1 warning to acknowledge\.\n- Line 1: .* \(a warning\)"):
        posting.submit(journal=journal, format="gl", **WHO)
    with pytest.raises(ReasonMissing, match="Say why J2025-01-2"):
        preflight.acknowledge(journal=journal, format="gl", reason=" ", **WHO)

    done = preflight.acknowledge(journal=journal, format="gl", reason="Two disks.", **WHO)

    assert (len(done.findings), done.left) == (1, 0)
    assert found(journal).summary == "1 warning acknowledged"
    event = AuditEvent.objects.get(action="journal.warnings_acknowledged")
    assert (event.after, event.note) == ({"warnings": {"duplicate": 1}}, "Two disks.")
    with pytest.raises(preflight.NothingToAcknowledge, match="has no open warning"):
        preflight.acknowledge(journal=journal, format="gl", reason="Again.", **WHO)
    # The same draft, made again, has the same warning: it stays acknowledged.
    journal = submitted()
    assert journal.state == "submitted"
    with pytest.raises(WrongState, match="is submitted: warnings are acknowledged on drafts"):
        preflight.acknowledge(journal=journal, format="gl", reason="Late.", **WHO)


def test_a_warning_that_says_something_else_in_the_next_draft_is_open_again():
    journal = a_draft_with_a_warning()
    preflight.acknowledge(journal=journal, format="gl", reason="Two disks.", **WHO)
    # Other lines of the draft do not matter.
    a_charge("7.00", service_name="Backup")
    journal = posting.export(period=a_period(), format="gl", **WHO).journal
    assert found(journal).open_warnings == []

    with override_settings(JOURNAL_VALIDATOR=f"{__name__}.counting"):
        preflight.acknowledge(journal=journal, format="gl", reason="Seen.", **WHO)
        a_charge("8.00", service_name="Compute")
        journal = posting.export(period=a_period(), format="gl", **WHO).journal
        (warning,) = found(journal).open_warnings
    assert str(warning) == "6 lines."


def counting(document):
    return [Remark(f"{len(document.lines)} lines.", is_warning=True)]


@pytest.mark.same_on_either
def test_an_acknowledgement_is_locked_with_its_journal():
    journal = a_draft_with_a_warning()
    preflight.acknowledge(journal=journal, format="gl", reason="Two disks.", **WHO)
    submitted()
    for change in (
        lambda: WarningAcknowledgement.objects.update(reason="Else."),
        lambda: WarningAcknowledgement.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_a_reversal_needs_no_preflight():
    a_charge("100.00")
    journal = posting.post(journal=submitted(), document_number="1", **WHO)
    loaded("segment,value\naccount,1\n")
    assert posting.reverse(journal=journal, reason="Wrong.", **WHO).reversal.state == "submitted"


# Doors ---------------------------------------------------------------------------------------------------------------


def said(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_preflight_on_the_command_line(tmp_path):
    journal = a_draft_with_a_warning()
    out = StringIO()
    how = "Mend what is named, or acknowledge it: `manage.py preflight J2025-01-2 -f gl --acknowledge all --reason WHY`"
    with pytest.raises(CommandError, match=f"J2025-01-2 cannot be submitted: 1 warning to acknowledge. {how}"):
        call_command("preflight", "2025-01", "--json", stdout=out)
    data = json.loads(out.getvalue())
    assert (data["journal"], data["passed"], data["errors"]) == ("J2025-01-2", False, [])
    (warning,) = data["warnings"]
    assert (warning["check"], warning["line"], warning["acknowledged_by"]) == ("duplicate", 1, None)
    assert warning["next"] == "manage.py journals list -p 2025-01"

    with pytest.raises(CommandError, match="cannot be submitted"):
        call_command("export_journal", "-p", "2025-01", "--submit")
    file = tmp_path / "found.csv"
    text = said("preflight", "2025-01", "--acknowledge", "duplicate", "--reason", "Two disks.", "-o", str(file))
    assert text.startswith("J2025-01-2 in gl: 1 warning acknowledged.\nacknowledged: Line 1: ")
    (row,) = csv.DictReader(io.StringIO(file.read_text()))
    assert (row["severity"], row["check"], row["journal_line"], row["reason"]) == (
        "warning",
        "duplicate",
        "1",
        "Two disks.",
    )
    assert "submitted" in said("export_journal", "-p", "2025-01", "--submit")
    journal.refresh_from_db()
    assert journal.state == "submitted"
    with pytest.raises(CommandError, match="No journal of January 2025 is a draft"):
        call_command("preflight", "2025-01")


def test_the_preflight_names_one_of_two_drafts_and_what_is_refused_leads_to_its_own():
    journal = a_draft_with_a_warning()
    other = posting.accrue(period=journal.period, format="gl", reversal_date=DAY(2025, 2, 1), **WHO)
    refused = f"Of January 2025, each of 2 journals is a draft: name one of {journal}, {other}."
    with pytest.raises(CommandError, match=re.escape(refused)):
        call_command("preflight", "2025-01")
    with pytest.raises(posting.PreflightFailed) as failed:
        posting.submit(journal=journal, format="summary", **WHO)
    assert doors.as_command(failed.value.then) == f"manage.py preflight {journal} -f summary"


def test_findings_as_a_spreadsheet_run_no_formula():
    a_charge("100.00", fund_org="=1+1")
    loaded("segment,value\nfund_org,RC-AWS\n")
    journal = drafted().journal
    content = sheets.write(journal=journal, report=found(journal), form="xlsx", **WHO)
    sheet = load_workbook(io.BytesIO(content)).worksheets[0]
    rows = list(sheet.iter_rows(values_only=True))
    assert "=1+1" in rows[1]
    assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)
    assert "'=1+1" in sheets.write(journal=journal, report=found(journal), form="csv", **WHO).decode()


def test_values_on_the_command_line(tmp_path):
    assert "There is no list of valid values." in said("valid_values", "list")
    file = tmp_path / "values.csv"
    file.write_text("segment,value,name,valid_from\naccount,6500,Cloud,2024-07-01\n")
    assert said("valid_values", "load", str(file), "--dry-run").startswith("Would replace account")
    said("valid_values", "load", str(file))
    assert "Cloud" in said("valid_values", "show", "account")
    (row,) = json.loads(said("valid_values", "list", "--json"))["segments"]
    assert (row["segment"], row["version"], row["values"], row["in_force"]) == ("account", 1, 1, True)
    assert "against no list" in said("valid_values", "remove", "account")


def test_values_on_their_pages(client, cast):
    client.force_login(cast.finance)
    page = reverse("admin:journals_validvaluelist_load")
    upload = SimpleUploadedFile("values.csv", b"segment,value,name\naccount,6500,Cloud\naccount,4900,Recovery\n")
    preview = client.post(page, {"file": upload})
    assert preview.context["planned"] == "Would replace account: 2 values (2 added, 0 removed, 0 changed)."
    client.post(page, {"kept": preview.context["kept"]})
    (listed,) = ValidValueList.objects.all()
    change = reverse("admin:journals_validvaluelist_change", args=[listed.pk])
    assert b"Recovery" in client.get(change).content
    assert b"Recovery" not in client.get(f"{change}?q=cloud").content
    client.post(reverse("admin:journals_validvaluelist_remove", args=[listed.pk]))
    listed.refresh_from_db()
    assert listed.replaced_at


def test_acknowledging_is_offered_only_where_there_is_a_warning(client, cast):
    a_charge("100.00")
    journal = drafted().journal
    client.force_login(cast.finance)
    page = reverse("admin:journals_journal_change", args=[journal.pk])
    acknowledge = reverse("admin:journals_journal_acknowledge", args=[journal.pk])
    for tab in ("summary", "preflight"):
        assert acknowledge not in client.get(f"{page}?tab={tab}").content.decode()
    # Who kept the address is told.
    assert f"{journal} has no warning to acknowledge." in client.get(acknowledge).content.decode()


def test_the_pages_of_a_draft_lead_from_the_preflight_to_submitting(client, cast):
    # The pages have the clock of today.
    journal = a_draft_with_a_warning()
    client.force_login(cast.finance)
    page = reverse("admin:journals_journal_change", args=[journal.pk])
    shown = client.get(f"{page}?tab=preflight").content.decode()
    assert "1 warning to acknowledge." in shown
    assert reverse("admin:journals_journal_acknowledge", args=[journal.pk]) in shown
    submit = reverse("admin:journals_journal_submit", args=[journal.pk])
    assert "1 warning to acknowledge, with the reason." in client.get(submit).content.decode()
    client.post(submit, {"format": "gl"})
    journal.refresh_from_db()
    assert journal.state == "draft"
    exported = client.get(reverse("admin:journals_journal_preflight", args=[journal.pk, "csv"]))
    assert b"duplicate" in exported.content
    acknowledge = reverse("admin:journals_journal_acknowledge", args=[journal.pk])
    assert "Possible duplicates (1)" in client.get(acknowledge).content.decode()
    client.post(acknowledge, {"checks": "duplicate", "reason": "Two disks."})
    assert "Two disks." in client.get(f"{page}?tab=preflight").content.decode()
    client.post(submit, {"format": "gl"})
    journal.refresh_from_db()
    assert journal.state == "submitted"
    assert "Two disks." in client.get(f"{page}?tab=preflight").content.decode()
