"""What is not posted, by fund/org: held, not journaled yet, or at the ledger without an answer."""

import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import charging, reports
from billing.models import Import, PayerLine
from journals import posting
from journals.models import Journal
from tests import build
from tests.journals import made

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}


def told(**said: str) -> reports.Report:
    return reports.make(reports.read({"report": "unposted", "from": "2024-12", "to": "2025-01", **said}))


def by_key(report: reports.Report) -> dict[str, tuple[Any, ...]]:
    return {row.key: row.values for row in report.rows}


def test_an_amount_goes_from_held_to_the_ledger_and_is_gone_once_posted():
    build.a_policy()
    build.a_charge("80.00")
    build.a_charge("15.00", flags=("pattern_match",))
    build.a_charge("7.50", fund_org="CHEM-2")
    # Payer lines need not be made first.
    assert by_key(told()) == {"BIO-001": (95, 15, 80, 0), "CHEM-2": (Decimal("7.5"), 0, Decimal("7.5"), 0)}
    made.drafted()
    assert told().total == (Decimal("102.5"), 15, Decimal("87.5"), 0)
    journal = made.submitted()
    assert by_key(told())["BIO-001"] == (95, 15, 0, 80)
    posting.post(journal=journal, document_number="D-1", **BY)
    assert by_key(told()) == {"BIO-001": (15, 15, 0, 0)}


def test_where_no_answer_is_awaited_what_is_submitted_is_posted():
    build.a_policy(requires_ledger_answer=False)
    build.a_charge("80.00")
    made.drafted()
    made.submitted()
    assert told().is_empty


def test_what_the_ledger_rejected_is_to_be_journaled_again():
    build.a_policy()
    build.a_charge("80.00")
    made.drafted()
    posting.reject(journal=made.submitted(), reason="No", **BY)
    assert told().total == (80, 0, 80, 0)


def test_it_is_split_and_narrowed_by_who_pays():
    build.a_policy()
    build.a_charge("10.00", fund_org="", payer_split=build.a_split({"A-1": "60", "B-2": "40"}))
    build.a_charge("5.00", fund_org="A-1", source="gcp", period="2024-12")
    assert by_key(told()) == {"A-1": (11, 0, 11, 0), "B-2": (4, 0, 4, 0)}
    assert told(fund="A-1").total[0] == 11
    assert told(source="gcp").total[0] == 5
    assert [row.values[0] for row in told(by="month").rows] == [5, 10]
    with pytest.raises(reports.ReportRefused, match="Narrow it to a fund/org or a source"):
        told(pi="ada@u.edu")


def test_what_is_shown_or_invoiced_alone_is_not_in_it():
    build.a_policy()
    build.a_source("lab", is_journaled=False)
    build.a_pi("acme@x.org", customer=build.a_customer())
    build.a_charge("3.00", source="lab")
    build.a_charge("4.00", source="lab", flags=("pattern_match",))
    build.a_charge("5.00", pi="acme@x.org", project=None, fund_org="")
    assert told().is_empty


def test_what_cannot_be_worked_out_and_what_waits_is_named():
    build.a_policy()
    build.a_charge("3.00", currency="EUR", period="2024-12")
    build.a_charge("4.00", currency="EUR", period="2024-12", flags=("pattern_match",))
    charge = build.a_charge("5.00")
    Import.objects.filter(pk=charge.imported_in_id).update(state=Import.State.DEFERRED)
    report = told()
    assert report.total == (5, 0, 5, 0)
    said = " ".join(report.notes)
    assert "What December 2024 has to journal is not counted" in said
    assert "What is held in EUR has no exchange rate and is not counted." in said
    assert f"Import {charge.imported_in_id} of AWS for January 2025 waits" in said


CHARGE = st.fixed_dictionaries(
    {
        "period": st.sampled_from(["2024-12", "2025-01"]),
        "source": st.sampled_from(["aws", "hpc"]),
        "state": st.sampled_from(["clear", "approved", "held", "rejected", "charged_to_center"]),
        "fund_org": st.sampled_from(["BIO-001", "CHEM-002"]),
        "billed": st.integers(-500, 99_999),
    }
)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(charges=st.lists(CHARGE, max_size=6), more=st.lists(CHARGE, max_size=4), is_posted=st.booleans())
def test_with_what_is_posted_it_is_all_that_is_charged_or_held(db, charges, more, is_posted):
    with transaction.atomic():
        build.a_policy(center_fund_org="RC-000")
        for each in charges:
            charged(each)
        build.a_period()
        if made.drafted().journal:
            journal = made.submitted_anyhow(build.a_period(), "gl", lambda: BY)
            if journal and is_posted:
                posting.post(journal=journal, document_number="D-1", **BY)
        for each in more:
            charged(each)
        for by in ("fund", "month", "source"):
            unposted, held, pending, submitted = told(by=by).total or (0, 0, 0, 0)
            assert unposted == held + pending + submitted
        made_now = made_lines()
        posted = paid("posted")
        assert pending + submitted + posted == made_now
        assert submitted == paid("submitted")
        exact = sum(each["billed"] for each in (*charges, *more) if each["state"] == "held")
        assert abs(held - Decimal(exact).scaleb(-3)) <= Decimal("0.005")
        transaction.set_rollback(True)


def charged(of: dict[str, Any]) -> None:
    build.a_charge(str(Decimal(of["billed"]).scaleb(-3)), **{name: of[name] for name in of if name != "billed"})


def paid(state: str) -> Decimal:
    """Return debits less credits of payers on journals of a state."""
    lines = [line for each in Journal.objects.filter(state=state) for line in each.lines.filter(side="payer")]
    return sum((line.debit - line.credit for line in lines), Decimal(0))


def made_lines() -> Decimal:
    """Make the payer lines of both months, and return what they charge."""
    for month in ("2024-12", "2025-01"):
        charging.make_payer_lines(period=build.a_period(month), **BY)
    return sum(PayerLine.objects.values_list("charged", flat=True), Decimal(0))


def test_the_command_and_the_page_show_it(cast, client):
    build.a_policy()
    build.a_charge("80.00")
    out = StringIO()
    call_command("report", "unposted", "--from", "2025-01", "--to", "2025-01", "--json", stdout=out)
    assert json.loads(out.getvalue())["total"]["pending"] == "80.00"
    with pytest.raises(CommandError, match="cannot be narrowed to a project"):
        call_command("report", "unposted", "--project", "genomics", stdout=StringIO())
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:reports"), {"report": "unposted", "from": "2025-01", "to": "2025-01"})
    for text in ("Not posted", "Awaits the ledger", "BIO-001", "80.00"):
        assert text in page.content.decode()
