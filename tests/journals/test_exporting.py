"""Files of journals, and what keeps one from the ledger: accounting, segments, dates."""

import datetime

import pytest

from billing import charging, doors
from billing.models import AuditEvent, Policy
from journals import drafting, posting
from journals.models import Journal, JournalTemplate
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_pi, a_policy, a_source
from tests.journals.made import WHO, drafted, submitted

pytestmark = pytest.mark.django_db


def test_nothing_new_refuses_to_be_submitted_and_exports_headings_only():
    a_charge("100.00")
    submitted()

    exported = posting.export(period=a_period(), format="gl", **WHO)

    assert (exported.number, exported.lines) == ("", 0)
    assert len(exported.file.read_text().splitlines()) == 1
    with pytest.raises(posting.NothingToSubmit, match="J2025-01-1"):
        submitted()


def test_an_export_is_of_todays_charges():
    a_charge("100.00")
    drafted()
    a_charge("1.00")

    exported = posting.export(period=a_period(), format="gl", **WHO)

    assert exported.debits == 101


def test_a_finalized_period_exports_its_payer_lines_as_they_stand():
    a_charge("100.00")
    charging.make_payer_lines(period=a_period(), **WHO)
    month = a_period()
    month.status, month.closed_at, month.finalized_at = "finalized", NOW, NOW
    month.save()

    assert posting.export(period=month, format="gl", **WHO).debits == 100


def test_a_source_without_accounting_refuses_the_ledger_and_says_how_to_set_it():
    a_source("hpc", recovery_fund_org="", recovery_account="", debit_account="")
    a_source("storage", recovery_fund_org="")
    a_charge("1.00", source="hpc")
    a_charge("2.00", source="storage")
    a_charge("3.00", source="aws")

    with pytest.raises(drafting.AccountingMissing) as refusal:
        posting.export(period=a_period(), format="gl", **WHO)

    said = str(refusal.value)
    assert "- hpc has no debit account code, no recovery account code, no recovery fund/org\n" in said
    assert "- storage has no recovery fund/org\n" in said
    assert doors.as_command(refusal.value.then).startswith("manage.py sources set hpc --recovery-fund-org")
    assert "aws" not in said
    assert not Journal.objects.exists()


@pytest.mark.parametrize("format", ["standard", "summary"])
def test_a_draft_for_people_needs_no_accounting_but_submitting_it_does(format):
    a_source("hpc", recovery_fund_org="")
    a_charge("1.00", source="hpc")

    assert posting.export(period=a_period(), format=format, **WHO).lines == 1
    with pytest.raises(drafting.AccountingMissing):
        submitted(format=format)


def test_zero_lines_need_no_accounting():
    a_source("hpc", recovery_fund_org="", recovery_account="")
    a_charge("0.00", source="hpc")
    a_charge("5.00")

    assert submitted().debits == 5


def test_segments_are_parsed_by_the_policy():
    a_policy(fund_org_segments=r"(?P<fund>[A-Z]+)-(?P<org>[A-Z0-9]+)")
    a_charge("1.00")

    payer, recovery = drafted().journal.lines.order_by("number")

    assert payer.segments == {"fund": "BIO", "org": "001"}
    assert recovery.segments == {"fund": "RC", "org": "AWS"}


def test_a_fund_that_does_not_parse_refuses_the_ledger_by_name():
    a_policy(fund_org_segments=r"(?P<fund>[A-Z]+)-(?P<org>[A-Z0-9]+)")
    a_charge("1.00", fund_org="bio/1")

    with pytest.raises(drafting.FundOrgNotParsed, match="bio/1"):
        posting.export(period=a_period(), format="gl", **WHO)
    assert posting.export(period=a_period(), format="standard", **WHO).lines == 1


@pytest.mark.parametrize(
    ("date", "refusal"),
    [
        (datetime.date(2025, 2, 4), "in the future"),
        (datetime.date(2025, 1, 9), "before the last charge of January 2025, on Jan 10, 2025"),
    ],
)
def test_a_journal_refuses_a_date_it_cannot_bear(date, refusal):
    a_charge(
        "1.00",
        charge_period_start=datetime.datetime(2025, 1, 10, tzinfo=datetime.UTC),
        charge_period_end=datetime.datetime(2025, 1, 11, tzinfo=datetime.UTC),
    )

    with pytest.raises(drafting.PostingDateRefused, match=refusal):
        submitted(posting_date=date)


def test_a_journal_stays_in_the_fiscal_year_of_its_period():
    a_policy(fiscal_year_start=7)
    a_charge("1.00", period="2025-06")
    later = datetime.datetime(2025, 7, 3, tzinfo=datetime.UTC)

    with pytest.raises(drafting.PostingDateRefused, match="fiscal year 2025"):
        posting.export(
            period=a_period("2025-06"),
            format="gl",
            posting_date=datetime.date(2025, 7, 2),
            submit=True,
            actor=SOMEBODY,
            now=later,
        )
    exported = posting.export(period=a_period("2025-06"), format="gl", submit=True, actor=SOMEBODY, now=later)
    assert exported.journal.posting_date == datetime.date(2025, 6, 30)


def test_a_period_under_way_is_dated_today():
    a_charge("1.00", period="2025-02")

    assert drafted("2025-02").journal.posting_date == NOW.date()


def test_a_lost_file_is_made_again_and_an_altered_one_is_refused(settings):
    a_charge("100.00")
    journal = submitted()
    path = settings.VAR_DIR / journal.file_path
    before = path.read_bytes()

    path.unlink()
    assert posting.content_of(journal) == before
    assert path.read_bytes() == before

    path.write_bytes(before.replace(b"100.00", b"900.00"))
    with pytest.raises(posting.FileMissing, match="not the one that was submitted"):
        posting.content_of(journal)


def test_downloading_is_in_the_audit_log():
    a_charge("100.00")
    journal = submitted()

    handed = posting.download(journal=journal, **WHO)

    assert handed.name == "J2025-01-1-gl.csv"
    event = AuditEvent.objects.get(action="journal.downloaded")
    assert (event.actor_name, event.object_label) == ("somebody", "J2025-01-1")


def test_template_is_the_one_there_is():
    a_charge("1.00")
    with pytest.raises(posting.UnknownFormat, match="no journal template yet"):
        posting.export(period=a_period(), format="template", **WHO)
    JournalTemplate.objects.create(name="bank", line="{{ line.fund_org }},{{ line.debit }}")
    assert posting.export(period=a_period(), format="template", **WHO).format == "bank"
    JournalTemplate.objects.create(name="other", line="x")
    with pytest.raises(posting.UnknownFormat, match="bank, other"):
        posting.export(period=a_period(), format="template", **WHO)


def test_a_pi_without_a_name_is_still_in_the_detail():
    a_pi("ada@u.edu", name="")
    a_charge("1.00")

    assert drafted().journal.lines.first().pi_email == "ada@u.edu"


def test_the_currency_is_the_policys():
    a_policy(currency="EUR")
    a_charge("1.00", currency="EUR")

    assert drafted().journal.currency == Policy.objects.current().currency == "EUR"
