"""Loading the list of funds: all of it or nothing, and twice is once."""

import datetime
import io
import json

import pytest
from django.core.management import CommandError, call_command

from billing import charging, review
from billing.models import AuditEvent, Charge, FundingSource
from billing.setup import funding, registers
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db


def load(text: str | bytes) -> registers.LoadedRegister:
    file = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return registers.load(registers.FUNDS, file=file, actor=build.SOMEBODY, now=build.NOW)


LIST = "\ufeffFund/Org,Name,Sponsored,Valid from,Projects\nBIO-1,Biology,yes,2025-01-01,Genomics; atlas\nCHEM-2,,,,\n"


def test_a_list_adds_funds_with_their_projects():
    build.a_project("genomics")
    build.a_project("Atlas")
    loaded = load(LIST)
    assert (loaded.added, loaded.changed, loaded.unchanged) == (2, 0, 0)
    fund = FundingSource.objects.get(fund_org="BIO-1")
    assert (fund.name, fund.is_sponsored, fund.valid_from) == ("Biology", True, datetime.date(2025, 1, 1))
    assert set(fund.projects.values_list("code", flat=True)) == {"genomics", "Atlas"}


def test_loading_twice_changes_nothing():
    build.a_project("genomics")
    build.a_project("atlas")
    load(LIST)
    events = AuditEvent.objects.exclude(action="funds.loaded").count()
    loaded = load(LIST)
    assert (loaded.added, loaded.changed, loaded.unchanged) == (0, 0, 2)
    assert AuditEvent.objects.exclude(action="funds.loaded").count() == events


def test_a_column_that_is_missing_leaves_its_field_and_an_empty_cell_clears_it():
    build.a_fund("BIO-1", name="Biology", valid_until=datetime.date(2025, 6, 30))
    load("fund_org,valid_until\nBIO-1,\n")
    fund = FundingSource.objects.get()
    assert (fund.name, fund.valid_until) == ("Biology", None)
    event = AuditEvent.objects.get(action="funding_source.changed")
    assert (event.before, event.after) == ({"valid_until": "2025-06-30"}, {"valid_until": None})


def test_every_mistake_is_told_by_line_and_nothing_is_stored():
    with pytest.raises(registers.FundsRefused) as refused:
        load(
            "fund_org,sponsored,valid_from,valid_until,projects\n"
            "OK-1,,,,\n"
            "BAD-1,perhaps,,,\n"
            "BAD-2,,1.2.2025,,\n"
            "BAD-3,,2025-02-01,2025-01-01,\n"
            "BAD-4,,,,nowhere\n"
            "OK-1,,,,\n"
            f"{'X' * 65},,,,\n"
        )
    assert [error.line for error in refused.value.errors] == [3, 4, 5, 6, 7, 8]
    assert not FundingSource.objects.exists()
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column fund_org"),
        (b"fund,name\nA,B\n", "no column fund_org"),
        (b"fund_org,color\nA,red\n", "Unknown columns: color"),
        (b"fund_org\n", "names no fund/org"),
        (b"fund_org\nA,B\n", "more cells"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b'fund_org\n"A\n', "line"),
    ],
)
def test_what_is_no_list_is_refused_in_words(content, said):
    with pytest.raises(registers.FundsRefused, match=said):
        load(content)


# Exceptions

BY = {"actor": build.SOMEBODY, "now": build.NOW}


def an_award(**fields):
    return build.a_fund("FED-1", **{"is_sponsored": True, "valid_until": datetime.date(2024, 10, 31)} | fields)


def test_an_exception_releases_what_waited_for_it_and_no_more():
    fund = an_award()
    only = build.a_charge("763.08", fund_org="FED-1", flags=("fund_not_valid",))
    two_reasons = build.a_charge(fund_org="FED-1", flags=("fund_not_valid", "pattern_match"))
    other = build.a_charge(fund_org="FED-2", flags=("fund_not_valid",))
    build.a_fund("FED-2", valid_until=datetime.date(2024, 10, 31))
    excepted = funding.record_exception(
        fund=fund, valid_until=datetime.date(2025, 6, 30), reason="No-cost extension of Nov 3", **BY
    )
    released = "1 held charge is clear now (763.08 USD)."
    assert str(excepted) == f"Exception of FED-1 recorded: valid until Jun 30, 2025. {released}"
    assert [Charge.objects.get(pk=each.pk).state for each in (only, two_reasons, other)] == ["clear", "held", "held"]
    fund.refresh_from_db()
    assert fund.valid_until == datetime.date(2024, 10, 31)
    event = AuditEvent.objects.get(action="fund_exception.recorded")
    assert (event.note, event.after["valid_until"]) == ("No-cost extension of Nov 3", "2025-06-30")
    # Approval goes by it, too.
    assert review.approve(charges=[two_reasons.pk], **BY).count == 1


def test_an_exception_that_is_revoked_holds_no_more():
    fund = an_award()
    funding.record_exception(fund=fund, valid_until=datetime.date(2025, 6, 30), reason="Extension", **BY)
    charge = build.a_charge(fund_org="FED-1", flags=("pattern_match",))
    funding.revoke_exceptions(fund=fund, **BY)
    assert review.approve(charges=[charge.pk], **BY).count == 0
    with pytest.raises(funding.ExceptionRefused, match="FED-1 has no exception in force"):
        funding.revoke_exceptions(fund=fund, **BY)


def test_an_exception_from_the_last_posting_date_lets_a_month_post():
    fund = an_award(valid_until=None, last_posting_date=datetime.date(2025, 1, 15))
    charge = build.a_charge(fund_org="FED-1", flags=("fund_closed",))
    funding.record_exception(fund=fund, last_posting_date=datetime.date(2025, 1, 31), reason="Agreed", **BY)
    assert Charge.objects.get(pk=charge.pk).state == "clear"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"valid_until": datetime.date(2025, 1, 1), "reason": " "}, "Say why FED-1"),
        ({"reason": "because"}, "at least one date"),
        ({"valid_until": datetime.date(2024, 10, 31), "reason": "x"}, "is Oct 31, 2024: an exception moves it on"),
        ({"last_posting_date": datetime.date(2025, 1, 1), "reason": "x"}, "FED-1 has no last posting date"),
    ],
)
def test_an_exception_says_something_and_why(given, said):
    with pytest.raises(funding.ExceptionRefused, match=said):
        funding.record_exception(fund=an_award(), **given, **BY)


def test_a_list_that_extends_an_award_releases_its_charges():
    an_award()
    charge = build.a_charge(fund_org="FED-1", flags=("fund_not_valid",))
    assert load("fund_org,valid_until\nFED-1,2025-06-30\n").released == 1
    assert Charge.objects.get(pk=charge.pk).state == "clear"


def test_a_dry_run_of_a_list_stores_nothing():
    file = io.BytesIO(b"fund_org\nA-1\n")
    loaded = registers.load(registers.FUNDS, file=file, is_dry_run=True, **BY)
    assert str(loaded) == "1 fund would be added, 0 would be changed, 0 stay as they are."
    assert not FundingSource.objects.exists()


# Through the command


def test_the_command_excepts_a_fund_and_revokes_it(tmp_path):
    def run(*arguments):
        out = io.StringIO()
        call_command("funds", *arguments, stdout=out)
        return out.getvalue()

    path = tmp_path / "funds.csv"
    path.write_text("fund_org,valid_until\nFED-1,2024-10-31\n")
    assert run("load", str(path)) == "1 fund added, 0 changed, 0 stay as they are.\n"
    build.a_charge("763.08", fund_org="FED-1", flags=("fund_not_valid",))
    said = run("except", "FED-1", "--valid-until", "2025-06-30", "--reason", "No-cost extension")
    assert said == "Exception of FED-1 recorded: valid until Jun 30, 2025. 1 held charge is clear now (763.08 USD).\n"
    [fund] = json.loads(run("list", "--json"))["funds"]
    assert (fund["valid_until"], fund["exceptions"][0]["reason"]) == ("2024-10-31", "No-cost extension")
    assert "valid until Jun 30, 2025" in run("list")
    assert run("revoke", "FED-1") == "Exception of FED-1 revoked: valid until Jun 30, 2025.\n"
    with pytest.raises(CommandError, match="no fund/org “FED-9” on the list"):
        run("revoke", "FED-9")
    with pytest.raises(CommandError, match="is not a date"):
        run("except", "FED-1", "--valid-until", "June", "--reason", "x")


def test_a_split_entered_after_the_import_gives_nothing_to_a_fund_that_is_over(tmp_path):
    by = {"actor": build.SOMEBODY, "now": build.NOW}
    build.a_fund("BIO-001")
    ended = build.a_fund("OLD-1", valid_until=datetime.date(2024, 11, 30))
    tags = json.dumps({"pi_email": "ada@u.edu", "project_id": "genomics", "fund_org": "BIO-001"})
    build.a_source("aws")
    delivered(tmp_path, [a_row("5", Tags=tags)])
    charge = Charge.objects.get()
    build.a_split({"OLD-1": "100"}, project=charge.project)
    made = charging.make_payer_lines(period=charge.period, **by)
    assert (made.lines, made.held_count) == (0, 1)
    assert list(charge.flags.values_list("code", flat=True)) == ["fund_not_valid"]
    funding.record_exception(fund=ended, reason="Extension", valid_until=datetime.date(2025, 6, 30), **by)
    assert charging.make_payer_lines(period=charge.period, **by).charged == 5
