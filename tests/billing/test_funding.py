"""Loading the list of funds: all of it or nothing, and twice is once."""

import datetime
import io

import pytest

from billing import funding
from billing.models import AuditEvent, FundingSource
from tests import build

pytestmark = pytest.mark.django_db


def load(text: str | bytes) -> funding.LoadedFunds:
    file = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return funding.load_funds(file=file, actor=build.SOMEBODY, now=build.NOW)


LIST = "\ufeffFund/Org,Name,Sponsored,Valid from,Projects\nBIO-1,Biology,yes,2025-01-01,Genomics; atlas\nCHEM-2,,,,\n"


def test_a_list_adds_funds_with_their_projects():
    build.a_project("genomics")
    build.a_project("Atlas")
    assert load(LIST) == funding.LoadedFunds(added=2, changed=0, unchanged=0)
    fund = FundingSource.objects.get(fund_org="BIO-1")
    assert (fund.name, fund.is_sponsored, fund.valid_from) == ("Biology", True, datetime.date(2025, 1, 1))
    assert set(fund.projects.values_list("code", flat=True)) == {"genomics", "Atlas"}


def test_loading_twice_changes_nothing():
    build.a_project("genomics")
    build.a_project("atlas")
    load(LIST)
    events = AuditEvent.objects.exclude(action="funds.loaded").count()
    assert load(LIST) == funding.LoadedFunds(added=0, changed=0, unchanged=2)
    assert AuditEvent.objects.exclude(action="funds.loaded").count() == events


def test_a_column_that_is_missing_leaves_its_field_and_an_empty_cell_clears_it():
    build.a_fund("BIO-1", name="Biology", valid_until=datetime.date(2025, 6, 30))
    load("fund_org,valid_until\nBIO-1,\n")
    fund = FundingSource.objects.get()
    assert (fund.name, fund.valid_until) == ("Biology", None)
    event = AuditEvent.objects.get(action="funding_source.changed")
    assert (event.before, event.after) == ({"valid_until": "2025-06-30"}, {"valid_until": None})


def test_every_mistake_is_told_by_line_and_nothing_is_stored():
    with pytest.raises(funding.FundsRefused) as refused:
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
    with pytest.raises(funding.FundsRefused, match=said):
        load(content)
