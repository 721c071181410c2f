"""The ledger's calendar: how it is made and loaded, and which dates journals and reversals get by it."""

import datetime
import io
import json
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.urls import reverse

from billing.errors import ReasonMissing
from billing.models import AuditEvent
from journals import accounting_calendar, posting
from journals.models import AccountingPeriod, Journal
from journals.writing import document_of
from tests.build import NOW, SOMEBODY, a_charge, a_period
from tests.journals.made import WHO, drafted, on_chartstrings, submitted

pytestmark = pytest.mark.django_db

DAY = datetime.date
# The clocks of the stories below: early February, and November of the next fiscal year.
FEBRUARY = NOW
NOVEMBER = datetime.datetime(2025, 11, 12, 9, 30, tzinfo=datetime.UTC)
AUTUMN = {"actor": SOMEBODY, "now": NOVEMBER}


def a_year(year, **days):
    return accounting_calendar.add_fiscal_year(fiscal_year=year, **days, **WHO)


def loaded(text, **more):
    return accounting_calendar.load_calendar(file=io.BytesIO(text.encode()), **more, **WHO)


def two_years():
    """Fiscal years 2025 and 2026, of which each month closes ten days after its end."""
    for year in (2025, 2026):
        a_year(year, days_to_cutoff=5, days_to_close=10)


# The calendar --------------------------------------------------------------------------------------------------------


def test_a_fiscal_year_begins_as_the_policy_says():
    made = a_year(2025, days_to_cutoff=5, days_to_close=10)
    january = made[6]
    assert (len(made), str(made[0]), made[0].first_day) == (12, "period 1 of FY2025", DAY(2024, 7, 1))
    assert (january.first_day, january.last_day) == (DAY(2025, 1, 1), DAY(2025, 1, 31))
    assert (january.cutoff_on, january.closes_on) == (DAY(2025, 2, 5), DAY(2025, 2, 10))
    assert AuditEvent.objects.filter(action="accounting_period.added").count() == 12
    with pytest.raises(accounting_calendar.FiscalYearRefused, match="FY2025 is in the calendar already"):
        a_year(2025)


def test_a_calendar_is_loaded_and_changed_by_the_same_list():
    done = loaded("fiscal_year,period,first_day,last_day,closes\nFY2025,7,2025-01-01,2025-01-31,2025-02-10\n")
    assert str(done) == "1 accounting period added, 0 changed, 0 stay as they are."
    done = loaded("fiscal_year,period,cutoff\n2025,7,2025-02-05\n")
    assert str(done) == "0 accounting periods added, 1 changed, 0 stay as they are."
    period = AccountingPeriod.objects.get()
    # The column that the list lacks stays as it is.
    assert (period.cutoff_on, period.closes_on) == (DAY(2025, 2, 5), DAY(2025, 2, 10))
    event = AuditEvent.objects.filter(action="accounting_period.changed").get()
    assert (event.before, event.after) == ({"cutoff_on": None}, {"cutoff_on": "2025-02-05"})


def test_a_dry_run_of_a_list_stores_nothing():
    done = loaded("fiscal_year,period,first_day,last_day\n2025,7,2025-01-01,2025-01-31\n", is_dry_run=True)
    assert str(done) == "1 accounting period would be added, 0 would be changed, 0 stay as they are."
    assert not AccountingPeriod.objects.exists()


def test_a_wrong_list_is_refused_by_line_and_nothing_of_it_is_stored():
    text = (
        "fiscal_year,period,first_day,last_day,opens,cutoff,closes\n"
        "2025,1,2024-07-01,2024-07-31,,,\n"
        "2025,x,2024-08-01,2024-08-31,,,\n"
        "2025,3,2024-09-01,30.9.2024,,,\n"
        "2025,1,2024-07-01,2024-07-31,,,\n"
        "2025,4,,2024-10-31,,,\n"
        "2025,5,2024-11-30,2024-11-01,,,\n"
        "2025,6,2024-12-01,2024-12-31,,2025-01-20,2025-01-10\n"
    )
    with pytest.raises(accounting_calendar.CalendarRefused) as refused:
        loaded(text)
    assert [str(each) for each in refused.value.errors] == [
        "line 3, period: “x” is not a whole number, such as 2026 or 7",
        "line 4, last_day: “30.9.2024” is not a date such as 2025-06-30",
        "line 5, period: period 1 of FY2025 is on line 2 already",
        "line 6, first_day: is empty",
        "line 7: The last day is before the first.",
        "line 8: A period opens, then comes its cutoff, then it closes.",
    ]
    assert not AccountingPeriod.objects.exists()


def test_periods_that_cross_are_refused_and_one_for_adjustments_is_not():
    text = "fiscal_year,period,first_day,last_day\n2025,12,2025-06-01,2025-06-30\n"
    with pytest.raises(accounting_calendar.CalendarRefused, match="line 3, first_day: its days .* cross those of"):
        loaded(f"{text}2026,1,2025-06-15,2025-07-31\n")
    loaded(f"{text}2025,13,2025-06-30,2025-06-30\n")
    loaded("fiscal_year,period,first_day,last_day\n2030,2,2025-07-20,2025-08-10\n")
    with pytest.raises(accounting_calendar.FiscalYearRefused, match="cross those of"):
        a_year(2026)


@pytest.mark.same_on_either
def test_the_database_refuses_days_out_of_order():
    period = a_year(2025)[0]
    for wrong in (
        {"last_day": DAY(2024, 1, 1)},
        {"opens_on": DAY(2025, 3, 1), "closes_on": DAY(2025, 2, 1)},
        {"cutoff_on": DAY(2025, 3, 1), "closes_on": DAY(2025, 2, 1)},
        {"number": 0},
        {"number": 2},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            AccountingPeriod.objects.filter(pk=period.pk).update(**wrong)


def test_the_days_of_the_last_month_are_those_of_the_adjustments_once_it_closed():
    a_year(2025, days_to_close=5)
    loaded("fiscal_year,period,first_day,last_day,closes\n2025,13,2025-06-30,2025-06-30,2025-08-15\n")
    calendar = accounting_calendar.current()
    june = DAY(2025, 6, 30)
    assert calendar.period_of(june, DAY(2025, 7, 3)).number == 12
    assert calendar.period_of(june, DAY(2025, 7, 20)).number == 13
    assert calendar.default_date(june, DAY(2025, 7, 20)) == june
    assert accounting_calendar.fiscal_place(june, DAY(2025, 7, 20)) == (2025, 13)


# The dates of journals -----------------------------------------------------------------------------------------------


def test_a_month_is_dated_on_its_last_day_while_its_period_takes_journals():
    two_years()
    a_charge("100.00")
    assert drafted().journal.posting_date == DAY(2025, 1, 31)


def test_after_its_cutoff_a_month_is_dated_in_the_first_period_that_takes_journals():
    two_years()
    a_charge("100.00")
    for day, expected in (((2025, 2, 5), (2025, 1, 31)), ((2025, 2, 6), (2025, 2, 6)), ((2025, 3, 3), (2025, 2, 28))):
        now = NOW.replace(month=day[1], day=day[2])
        exported = posting.export(period=a_period(), format="gl", actor=SOMEBODY, now=now)
        assert exported.journal.posting_date == DAY(*expected)


def test_a_date_that_the_ledger_does_not_take_is_refused_with_one_that_it_does():
    two_years()
    a_charge("100.00")
    with pytest.raises(posting.PostingDateRefused) as refused:
        posting.export(period=a_period(), format="gl", posting_date=DAY(2025, 1, 31), **AUTUMN)
    assert str(refused.value) == (
        "The posting date Jan 31, 2025 is in period 7 of FY2025, which closed on Feb 10, 2025. Today the ledger takes "
        "Nov 12, 2025."
    )
    AccountingPeriod.objects.filter(fiscal_year=2026).delete()
    with pytest.raises(posting.PostingDateRefused, match="no period for the posting date Nov 1, 2025"):
        posting.export(period=a_period(), format="gl", posting_date=DAY(2025, 11, 1), **AUTUMN)


def test_a_period_that_is_not_open_yet_takes_nothing():
    a_year(2025)
    february = AccountingPeriod.objects.get(number=8)
    accounting_calendar.set_dates(period=february, dates={"opens_on": DAY(2025, 2, 4)}, **WHO)
    a_charge("100.00", period="2025-02")
    with pytest.raises(posting.PostingDateRefused, match="period 8 of FY2025, which opens on Feb 4, 2025"):
        posting.export(period=a_period("2025-02"), format="gl", posting_date=DAY(2025, 2, 3), **WHO)


def test_a_first_journal_after_the_year_end_needs_a_reason_and_keeps_it():
    two_years()
    a_charge("100.00")
    found = posting.preview(period=a_period(), format="gl", now=NOVEMBER)
    assert (found.posting_date, found.problems) == (DAY(2025, 11, 12), [])
    assert found.date_reason_needed == "The posting date Nov 12, 2025 is in FY2026, and the month is in FY2025."
    with pytest.raises(ReasonMissing, match=r"and the month is in FY2025\. Give the reason for the date\."):
        posting.export(period=a_period(), format="gl", submit=True, **AUTUMN)

    exported = posting.export(period=a_period(), format="gl", date_reason="Late bill.", **AUTUMN)
    # Drafted again, the reason stays as long as the date does.
    exported = posting.export(period=a_period(), format="gl", **AUTUMN)
    journal = posting.submit(journal=exported.journal, format="gl", **AUTUMN)
    assert (journal.posting_date, journal.date_reason) == (DAY(2025, 11, 12), "Late bill.")
    assert (journal.fiscal_year, journal.fiscal_period) == (2026, 5)
    assert AuditEvent.objects.filter(action="journal.submitted").get().after["date_reason"] == "Late bill."


def test_after_a_cutoff_a_date_of_the_open_period_needs_a_reason():
    two_years()
    a_charge("100.00")
    late = {"actor": SOMEBODY, "now": NOW.replace(day=8)}
    given = {"period": a_period(), "format": "gl", "posting_date": DAY(2025, 1, 31), "submit": True}
    with pytest.raises(ReasonMissing, match="The cutoff of period 7 of FY2025 was on Feb 5, 2025"):
        posting.export(**given, **late)
    journal = posting.export(**given, date_reason="Agreed with the controller.", **late).journal
    assert (journal.posting_date, journal.fiscal_period) == (DAY(2025, 1, 31), 7)


def test_a_reversal_and_its_replacement_after_the_year_end_are_dated_in_the_open_period():
    two_years()
    a_charge("100.00")
    journal = posting.post(journal=submitted(), document_number="1", **WHO)
    assert journal.posting_date == DAY(2025, 1, 31)

    done = posting.reverse(journal=journal, reason="Wrong fund.", **AUTUMN)

    assert done.reversal.posting_date == DAY(2025, 11, 12)
    assert done.reversal.date_reason == "Wrong fund."
    assert (done.reversal.fiscal_year, done.reversal.fiscal_period) == (2026, 5)
    assert set(on_chartstrings(journal, done.reversal).values()) == {0}
    again = posting.export(period=a_period(), format="gl", submit=True, date_reason="Replaces it.", **AUTUMN).journal
    assert (again.posting_date, again.fiscal_year) == (DAY(2025, 11, 12), 2026)


def test_a_reversal_stays_in_its_own_year_while_that_takes_journals():
    a_year(2025)
    a_year(2026)
    a_charge("100.00")
    journal = posting.post(journal=submitted(), document_number="1", **WHO)
    assert posting.reversal_date(journal, FEBRUARY) == DAY(2025, 2, 3)
    assert posting.reversal_date(journal, NOVEMBER) == DAY(2025, 1, 31)


@pytest.mark.parametrize(
    ("date", "told"),
    [
        (DAY(2025, 2, 28), "period 8 of FY2025, which closed"),
        (DAY(2025, 11, 13), "is in the future"),
        (DAY(2025, 1, 30), "is before that of J2025-01-1, Jan 31, 2025"),
    ],
)
def test_a_reversal_on_a_day_that_is_not_taken_is_refused(date, told):
    two_years()
    a_charge("100.00")
    journal = posting.post(journal=submitted(), document_number="1", **WHO)
    with pytest.raises(posting.PostingDateRefused, match=told):
        posting.reverse(journal=journal, reason="Wrong.", posting_date=date, **AUTUMN)
    assert not Journal.objects.filter(kind="reversal").exists()


def test_without_a_calendar_all_goes_on_by_the_policy():
    a_charge("100.00")
    journal = posting.post(journal=submitted(), document_number="1", **WHO)
    assert (journal.fiscal_year, journal.fiscal_period, journal.date_reason) == (2025, 7, "")
    with pytest.raises(posting.PostingDateRefused, match="Without an accounting calendar, a reversal stays"):
        posting.reverse(journal=journal, reason="Wrong.", posting_date=DAY(2025, 11, 12), **AUTUMN)
    done = posting.reverse(journal=journal, reason="Wrong.", **AUTUMN)
    assert done.reversal.posting_date == DAY(2025, 1, 31)


def test_a_draft_is_written_with_the_fiscal_period_of_the_calendar():
    loaded("fiscal_year,period,first_day,last_day\n2031,4,2025-01-01,2025-01-31\n")
    a_charge("100.00")
    journal = drafted().journal
    assert journal.posting_date == DAY(2025, 1, 31)
    document = document_of(journal)
    assert (document.fiscal_year, document.fiscal_period) == (2031, 4)


# Doors ---------------------------------------------------------------------------------------------------------------


def said(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_calendar_on_the_command_line(tmp_path):
    assert "There is no accounting calendar." in said("accounting_calendar", "list")
    told = said("accounting_calendar", "add", "2025", "--days-to-close", "10")
    assert told == "FY2025 is added: 12 periods, from 2024-07-01 to 2025-06-30.\n"
    assert said("accounting_calendar", "set", "2025", "7", "--closes", "none") == "Period 7 of FY2025 is open today.\n"
    file = tmp_path / "calendar.csv"
    file.write_text("fiscal_year,period,cutoff\n2025,7,2025-02-05\n")
    assert "would be changed" in said("accounting_calendar", "load", str(file), "--dry-run")
    said("accounting_calendar", "load", str(file))
    january = json.loads(said("accounting_calendar", "list", "--json"))["periods"][6]
    assert (january["period"], january["cutoff"], january["closes"]) == (7, "2025-02-05", None)
    with pytest.raises(CommandError, match="Give at least one of --opens, --cutoff and --closes"):
        call_command("accounting_calendar", "set", "2025", "7")
    with pytest.raises(CommandError, match="has no period 13 of FY2025"):
        call_command("accounting_calendar", "set", "2025", "13", "--closes", "2025-02-05")


def test_the_calendar_on_its_pages(client, cast):
    client.force_login(cast.finance)
    page = reverse("admin:journals_accountingperiod_year")
    data = {"fiscal_year": 2025, "days_to_cutoff": 5, "days_to_close": 3}
    assert "A period closes on its cutoff or later." in client.post(page, data).content.decode()
    answer = client.post(page, data | {"days_to_close": 10}, follow=True).content.decode()
    assert "FY2025 is added: July 2024 is its period 1." in answer
    assert "Load a list" in answer
    upload = SimpleUploadedFile("calendar.csv", b"fiscal_year,period,closes\n2025,7,\n")
    page = reverse("admin:journals_accountingperiod_load")
    preview = client.post(page, {"file": upload})
    assert preview.context["planned"] == "0 accounting periods would be added, 1 would be changed, 0 stay as they are."
    client.post(page, {"kept": preview.context["kept"]})
    january = AccountingPeriod.objects.get(number=7)
    assert january.closes_on is None
    change = reverse("admin:journals_accountingperiod_change", args=[january.pk])
    wrong = {"fiscal_year": 2025, "number": 7, "first_day": "2025-01-15", "last_day": "2025-02-15"}
    assert "Its days cross those of" in client.post(change, wrong).content.decode()


def test_the_pages_of_a_journal_ask_for_the_reason_of_its_date(client, cast):
    two_years()
    a_charge("100.00")
    journal = drafted().journal
    # The pages have the clock of today: by it, January of 2025 is long closed, and so are both years.
    client.force_login(cast.finance)
    today = datetime.date.today()  # noqa: DTZ011
    loaded(f"fiscal_year,period,first_day,last_day\n2099,1,{today:%Y-%m}-01,{today}\n")
    answer = client.post(reverse("admin:journals_journal_redraft", args=[journal.pk]), follow=True)
    journal.refresh_from_db()
    assert journal.posting_date == today, answer.content.decode()
    submit = reverse("admin:journals_journal_submit", args=[journal.pk])
    assert "Reason for the date" in client.get(submit).content.decode()
    client.post(submit, {"format": "gl"})
    journal.refresh_from_db()
    assert journal.state == "draft"
    client.post(submit, {"format": "gl", "date_reason": "Late bill."})
    journal.refresh_from_db()
    assert (journal.state, journal.date_reason, journal.fiscal_year) == ("submitted", "Late bill.", 2099)
    page = client.get(reverse("admin:journals_journal_change", args=[journal.pk]) + "?tab=file").content.decode()
    assert "Late bill." in page
    assert "period 1 of FY2099" in page
