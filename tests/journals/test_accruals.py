"""Accruals: what a month lacks in the ledger, reversed on a later day; they charge nobody and leave nothing."""

import datetime
import json
import re
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import charging, doors, reports, tracing
from billing.errors import WrongState
from billing.models import AuditEvent
from journals import crediting, estimates, posting, proving
from journals.models import Journal, JournalLine
from tests import build
from tests.billing.test_unposted import CHARGE, charged
from tests.journals import made

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}
JANUARY_31, FEBRUARY_1 = datetime.date(2025, 1, 31), datetime.date(2025, 2, 1)


def accrued(**more: Any) -> Journal:
    asked = {"period": build.a_period(), "format": "gl", "reversal_date": FEBRUARY_1, **BY}
    return posting.accrue(**asked | more)


def submitted(**more: Any) -> Journal:
    return posting.submit(journal=accrued(**more), format="gl", **BY)


def a_month() -> None:
    build.a_policy()
    build.a_charge("80.00")
    build.a_charge("15.00", flags=("pattern_match",))
    build.a_charge("7.50", fund_org="CHEM-2")


def broken() -> list[str]:
    return [str(each) for each in proving.journaled(build.a_period()).broken]


# Drafted and submitted -----------------------------------------------------------------------------------------------


def test_an_accrual_holds_what_is_charged_and_held_and_charges_no_pi():
    a_month()
    accrual = accrued()
    assert (accrual.number, accrual.posting_date, accrual.debits, accrual.credits) == (
        *("E2025-01-1", JANUARY_31),
        *(Decimal("102.5"), Decimal("102.5")),
    )
    lines = accrual.lines.order_by("number").values_list("side", "fund_org", "natural_account", "debit", "description")
    pending, held = "Accrual for 2025-01, AWS, not journaled yet", "Accrual for 2025-01, AWS, held for review"
    assert [line for line in lines if line[0] == "payer"] == [
        ("payer", "BIO-001", "6500", Decimal(80), pending),
        ("payer", "CHEM-2", "6500", Decimal("7.5"), pending),
        ("payer", "BIO-001", "6500", Decimal(15), held),
    ]
    assert not accrual.lines.exclude(pi_email="", pi_name="").exists()


def test_submitting_an_accrual_submits_its_reversal_and_both_leave_nothing():
    a_month()
    accrual = submitted()
    reversal = accrual.reversals.get()
    assert (reversal.number, reversal.kind, reversal.posting_date) == ("R2025-01-1", "reversal", FEBRUARY_1)
    assert (accrual.state, reversal.state) == ("submitted", "submitted")
    assert set(made.on_chartstrings(accrual, reversal).values()) == {0}
    for journal in (accrual, reversal):
        assert posting.content_of(journal)
    assert broken() == []


def test_what_it_holds_is_journaled_as_if_it_were_not_there():
    a_month()
    submitted()
    # The month's journal, its deltas, what reports count as credited and who was charged when.
    journal = made.submitted()
    assert journal.debits == Decimal("87.5")
    period = build.a_period()
    assert sum(each.amount for each in crediting.credited([period.pk], "USD")) == Decimal("87.5")
    keys = [(period.pk, key) for key in JournalLine.objects.values_list("payer_key", flat=True).distinct()]
    assert not any(key.startswith("accrual") for _, key in crediting.first_posted(keys))
    assert sum(line.amount for line in proving.journaled(period).lines.values()) == Decimal("87.5")
    found = tracing.find(f"A{period.iso_month}-1") if hasattr(tracing, "find") else None
    assert found is None or not any(line.stands for line in found.lines)


def test_what_was_posted_by_its_date_is_not_in_it():
    a_month()
    journal = made.submitted(posting_date=JANUARY_31)
    posting.post(journal=journal, document_number="D-1", **BY)
    assert accrued().debits == 15
    # A journal of February is not in January's books.
    build.a_charge("4.00")
    made.submitted(posting_date=datetime.date(2025, 2, 2))
    assert accrued().debits == 19


def test_what_names_no_fund_and_what_waits_is_left_out_and_named():
    a_month()
    build.a_charge("3.00", fund_org="", flags=("missing_fund_org",))
    build.a_charge("9.00", source="hpc", period="2024-12")
    found = posting.preview_accrual(period=build.a_period(), reversal_date=FEBRUARY_1, now=build.NOW)
    assert found.debits == Decimal("102.5")
    assert found.notes == (
        "3.00 USD held for review names no fund/org and is left out.",
        "Nothing of HPC is imported for January 2025: what it will bill is not counted.",
    )
    assert not Journal.objects.exists()


# Estimated: what is not imported yet ---------------------------------------------------------------------------------

HPC = ["hpc, BIO-001, 120.50, As in December", 'hpc, CHEM-2, -3, "A credit, promised by mail"']


def held_month_without_hpc() -> None:
    a_month()
    build.a_charge("9.00", source="hpc", period="2024-12")


def test_what_is_not_imported_can_be_entered_with_a_reason_and_is_reversed_too():
    held_month_without_hpc()
    accrual = submitted(estimates=estimates.read(HPC))
    lines = accrual.lines.filter(source_name="hpc").order_by("number")
    assert [
        (line.side, line.fund_org, line.debit - line.credit, line.description) for line in lines if line.side == "payer"
    ] == [
        ("payer", "BIO-001", Decimal("120.5"), "Accrual for 2025-01, HPC, estimate: As in December"),
        ("payer", "CHEM-2", -3, "Accrual for 2025-01, HPC, estimate: A credit, promised by mail"),
    ]
    assert accrual.debits == accrual.credits == Decimal("102.5") + Decimal("120.5") + 3
    assert set(made.on_chartstrings(accrual, accrual.reversals.get()).values()) == {0}
    assert accrual.estimates == [
        {"source": "hpc", "fund_org": "BIO-001", "amount": "120.50", "reason": "As in December"},
        {"source": "hpc", "fund_org": "CHEM-2", "amount": "-3.00", "reason": "A credit, promised by mail"},
    ]
    event = AuditEvent.objects.get(action="journal.submitted", object_id=str(accrual.pk))
    assert event.after["estimates"] == accrual.estimates
    assert broken() == []
    # What came of it since charges whom it charges: the estimate is in no way counted.
    assert made.submitted().debits == Decimal("87.5")


def test_a_draft_keeps_its_estimates_until_others_are_given():
    held_month_without_hpc()
    first = accrued(estimates=estimates.read(HPC))
    build.a_charge("1.00")
    with pytest.raises(posting.DraftOutdated):
        posting.submit(journal=first, format="gl", **BY)
    assert accrued().debits == Decimal("227.00")
    assert posting.preview_accrual(period=build.a_period(), reversal_date=FEBRUARY_1, now=build.NOW).debits == 227
    assert accrued(estimates=()).debits == Decimal("103.5")
    assert Journal.objects.get().estimates == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("hpc, BIO-001, 120.50", "has 3 of 4 values. Write source, fund/org, amount and reason"),
        ("hpc, BIO-001, 1,200.00, As in May", "no comma into an amount"),
        ("hpx, BIO-001, 1.00, As in May", "There is no source “hpx”. There are aws, hpc"),
        ("hpc, , 1.00, As in May", "Name the fund/org"),
        ("hpc, BIO-001, 0, As in May", "“0” is no amount in USD other than 0"),
        ("hpc, BIO-001, 1.005, As in May", "“1.005” is no amount in USD"),
        ("hpc, BIO-001, much, As in May", "“much” is not a number"),
        ("hpc, BIO-001, 1e12, As in May", "“1e12” is no amount in USD"),
        ("hpc, BIO-001, 1.00, ", "Say why it is this much"),
        (f"hpc, BIO-001, 1.00, {'x' * 91}", "in 90 characters at most"),
    ],
)
def test_an_estimate_that_says_too_little_is_named_by_its_line(line, problem):
    held_month_without_hpc()
    with pytest.raises(estimates.EstimateRefused, match=f"Estimate 3: .*{re.escape(problem)}"):
        estimates.read(["", "hpc, GEO-9, 1.00, As in May", line])
    with pytest.raises(estimates.EstimateRefused, match="Estimate 2: hpc has BIO-001 on a line above"):
        estimates.read([HPC[0], HPC[0]])


def test_a_source_that_is_only_shown_is_not_estimated():
    build.a_policy()
    build.a_source("zfs", is_journaled=False)
    with pytest.raises(estimates.EstimateRefused, match="is only shown"):
        estimates.read(["zfs, BIO-001, 1.00, As in May"])


@given(
    amount=st.decimals(min_value=-(10**8), max_value=10**8, places=2).filter(bool),
    reason=st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=90),
    fund_org=st.from_regex(r"[A-Z0-9-]{1,20}", fullmatch=True),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_estimate_is_read_as_it_is_written(db, amount, reason, fund_org):
    with transaction.atomic():
        build.a_policy()
        build.a_source("hpc")
        one = estimates.Estimate("hpc", fund_org, amount, reason)
        assert estimates.read([str(one)]) == (one,)
        assert estimates.of_data([one.as_data()]) == (one,)
        transaction.set_rollback(True)


def test_what_did_not_come_begins_as_it_was_the_month_before(client, cast):
    held_month_without_hpc()
    charging.make_payer_lines(period=build.a_period("2024-12"), **BY)
    (only,) = estimates.as_last_month(build.a_period())
    assert str(only) == "hpc, BIO-001, 9.00, As in December 2024"
    out = StringIO()
    command = ["journals", "accrue", "2025-01", "--reverse-on", "2025-02-01"]
    call_command(*command, "--as-last-month", "--estimate", HPC[1], "--dry-run", stdout=out)
    assert "Entered: 9.00 USD of hpc for BIO-001. As in December 2024" in out.getvalue()
    assert "Entered: -3.00 USD of hpc for CHEM-2. A credit, promised by mail" in out.getvalue()
    client.force_login(cast.finance)
    address = reverse("admin:journals_journal_accrue")
    asked = {"period": "2025-01", "reversal_date": "2025-02-01", "estimates": HPC[1]}
    page = client.get(address, asked | {"as_last_month": "Add"})
    assert not page.context["form"].errors
    assert [each.amount for each in page.context["seen"].estimates] == [Decimal(-3), Decimal(9)]
    assert "Entered: 9.00 USD of hpc for BIO-001. As in December 2024" in page.content.decode()
    again = client.get(
        address, asked | {"as_last_month": "Add", "estimates": page.context["form"]["estimates"].value()}
    )
    assert len(again.context["seen"].estimates) == 2
    client.post(address, asked | {"format": "gl"})
    assert Journal.objects.get().estimates[0]["fund_org"] == "CHEM-2"
    # The page begins with what the draft has; emptied, it has none.
    page = client.get(address, {"period": "2025-01"})
    assert "A credit, promised by mail" in page.content.decode()
    client.post(address, asked | {"format": "gl", "estimates": ""})
    assert Journal.objects.get().estimates == []
    call_command(*command, "--estimate", HPC[0])
    call_command(*command)
    assert len(Journal.objects.get().estimates) == 1
    call_command(*command, "--no-estimates")
    assert Journal.objects.get().estimates == []
    refused = client.get(address, asked | {"estimates": "hpc, BIO-001"})
    assert "has 2 of 4 values" in refused.content.decode()


# Refused -------------------------------------------------------------------------------------------------------------


def test_a_second_accrual_waits_until_the_first_is_taken_back():
    a_month()
    submitted()
    with pytest.raises(posting.AccrualRefused, match="until R2025-01-1 reverses it on Feb 1, 2025"):
        accrued()
    again = accrued(posting_date=FEBRUARY_1, reversal_date=datetime.date(2025, 3, 1))
    assert again.debits == Decimal("102.5")


def test_dates_and_months_that_do_not_fit_are_refused():
    a_month()
    with pytest.raises(posting.PostingDateRefused, match="is not after the posting date Jan 31, 2025"):
        accrued(reversal_date=JANUARY_31)
    build.shut("2025-01", "finalized")
    with pytest.raises(posting.AccrualRefused, match="is finalized"):
        accrued()


def test_nothing_to_accrue_is_said():
    build.a_policy()
    build.a_period()
    with pytest.raises(posting.AccrualRefused, match="Nothing of January 2025 is to be accrued"):
        accrued()


def test_a_draft_that_is_not_what_the_ledger_lacks_is_drafted_again():
    a_month()
    first = accrued()
    build.a_charge("1.00")
    with pytest.raises(posting.DraftOutdated) as refused:
        posting.submit(journal=first, format="gl", **BY)
    assert doors.as_command(refused.value.then) == "manage.py journals accrue 2025-01 --reverse-on 2025-02-01"
    assert doors.url_of(refused.value.then) == reverse("admin:journals_journal_redraft", args=[first.pk])
    again = accrued()
    assert (again.pk, again.debits) == (first.pk, Decimal("103.5"))


@pytest.mark.parametrize(("kind", "date"), [("accrual", None), ("accrual", JANUARY_31), ("journal", FEBRUARY_1)])
def test_only_an_accrual_says_on_which_later_day_it_is_reversed(kind, date):
    period = build.a_period()
    fields = {"period": period, "posting_date": JANUARY_31, "currency": "USD", "drafted_at": build.NOW}
    with pytest.raises(IntegrityError), transaction.atomic():
        Journal.objects.create(number="X", kind=kind, reversal_date=date, **fields)


# Answered ------------------------------------------------------------------------------------------------------------


def test_a_rejected_accrual_takes_its_reversal_with_it():
    a_month()
    accrual = submitted()
    posting.reject(journal=accrual, reason="Closed.", **BY)
    reversal = accrual.reversals.get()
    assert (reversal.state, reversal.rejection_reason) == (
        "rejected",
        "The ledger rejected E2025-01-1, which it reverses.",
    )
    assert broken() == []
    assert accrued().number == "E2025-01-2"


def test_an_accrual_whose_reversal_is_posted_cannot_be_rejected():
    a_month()
    accrual = submitted()
    posting.post(journal=accrual.reversals.get(), document_number="D-2", **BY)
    with pytest.raises(WrongState, match="The ledger has to take E2025-01-1, too"):
        posting.reject(journal=accrual, reason="No", **BY)


def test_a_rejected_reversal_leaves_a_finding_until_somebody_reverses_it_again():
    a_month()
    accrual = posting.post(journal=submitted(), document_number="D-1", **BY)
    with pytest.raises(WrongState, match="is reversed by R2025-01-1 already"):
        posting.reverse(journal=accrual, reason="Twice.", **BY)
    posting.reject(journal=accrual.reversals.get(), reason="No such period.", **BY)
    accrual.refresh_from_db()
    assert accrual.state == "posted"
    (said,) = broken()
    assert "Accrual E2025-01-1" in said
    assert "nothing reverses it. Reverse it: " in said
    assert "95.00 on BIO-001 6500" in said
    done = posting.reverse(journal=accrual, reason="Again.", **BY)
    assert set(made.on_chartstrings(accrual, done.reversal).values()) == {0}
    assert broken() == []


def test_where_no_answer_is_awaited_both_count_as_posted():
    a_month()
    build.a_policy(requires_ledger_answer=False)
    accrual = submitted()
    assert (accrual.state, accrual.reversals.get().state) == ("posted", "posted")


# Told ----------------------------------------------------------------------------------------------------------------


def test_reports_name_accruals_and_count_none():
    a_month()
    before = {name: told(name).total for name in ("unposted", "reconciliation")}
    submitted()
    for name, total in before.items():
        assert told(name).total == total
        assert any(
            note == "Accrual E2025-01-1 has 102.50 USD on Jan 31, 2025, and R2025-01-1 reverses it on Feb 1, 2025. "
            "It charges nobody and is in no figure here."
            for note in told(name).notes
        )


def told(name: str, **said: str) -> reports.Report:
    return reports.make(reports.read({"report": name, "from": "2025-01", "to": "2025-01", **said}))


def test_what_is_not_posted_is_told_as_of_a_posting_date():
    a_month()
    first = made.submitted(posting_date=JANUARY_31)
    posting.post(journal=first, document_number="D-1", **BY)
    assert told("unposted").total == (15, 15, 0, 0)
    assert told("unposted", as_of="2025-01-30").total == (Decimal("102.5"), 15, Decimal("87.5"), 0)
    assert told("unposted", as_of="2025-01-31").total == (15, 15, 0, 0)
    # What was reversed on Feb 3 was in the ledger until then.
    posting.reverse(journal=first, reason="Wrong.", posting_date=datetime.date(2025, 2, 3), **BY)
    assert told("unposted").total == (Decimal("102.5"), 15, Decimal("87.5"), 0)
    assert told("unposted", as_of="2025-02-02").total == (15, 15, 0, 0)
    assert told("unposted", as_of="2025-02-03").total == (Decimal("102.5"), 15, Decimal("87.5"), 0)
    assert "Of that day nothing else is known" in told("unposted", as_of="2025-02-03").notes[0]


def test_only_what_is_not_posted_is_told_as_of_a_day():
    with pytest.raises(reports.ReportRefused, match="cannot be shown as of a day"):
        told("value", as_of="2025-01-30")
    with pytest.raises(reports.ReportRefused, match="is not a day such as"):
        told("unposted", as_of="soon")


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(charges=st.lists(CHARGE, min_size=1, max_size=6), more=st.lists(CHARGE, max_size=3), is_first=st.booleans())
def test_an_accrual_and_its_reversal_are_nothing_whatever_the_month_holds(db, charges, more, is_first):
    with transaction.atomic():
        build.a_policy(center_fund_org="RC-000")
        for each in charges:
            charged(each)
        if is_first and made.drafted().journal:
            made.submitted_anyhow(build.a_period(), "gl", lambda: BY)
        for each in more:
            charged(each)
        due = told("unposted", as_of="2025-01-31").total
        try:
            accrual = submitted()
        except posting.AccrualRefused:
            assert not due or not any(due[1:3])
        else:
            reversal = accrual.reversals.get()
            assert not any(made.on_chartstrings(accrual, reversal).values())
            assert accrual.debits == accrual.credits == reversal.debits
            net = sum(line.debit - line.credit for line in accrual.lines.filter(side="payer"))
            assert net == due[1] + due[2]
            # It changes nothing of what is to be journaled, and the proof finds nothing.
            assert told("unposted", as_of="2025-01-31").total == due
            assert broken() == []
        transaction.set_rollback(True)


# Doors ---------------------------------------------------------------------------------------------------------------


def test_an_accrual_is_previewed_drafted_and_submitted_on_its_pages(cast, client):
    a_month()
    client.force_login(cast.finance)
    url = reverse("admin:journals_journal_accrue")
    assert "Reversal date" in client.get(url, {"period": "2025-01"}).content.decode()
    asked = {"period": "2025-01-01", "format": "gl", "posting_date": "2025-01-31", "reversal_date": "2025-02-01"}
    page = client.get(url, asked).content.decode()
    assert "The accrual charges no PI and is on no statement" in page
    assert "102.50" in page
    assert not Journal.objects.exists()
    client.post(url, asked)
    accrual = Journal.objects.get()
    change = reverse("admin:journals_journal_change", args=[accrual.pk])
    shown = client.get(change).content.decode()
    assert "Its reversal is submitted with it, for Feb 1, 2025" in shown
    client.post(reverse("admin:journals_journal_redraft", args=[accrual.pk]))
    client.post(reverse("admin:journals_journal_submit", args=[accrual.pk]), {"format": "gl"})
    assert sorted(Journal.objects.values_list("number", "state")) == [
        ("E2025-01-1", "submitted"),
        ("R2025-01-1", "submitted"),
    ]
    assert "R2025-01-1" in client.get(change).content.decode()


def test_a_month_without_a_charge_is_not_said_to_be_in_the_ledger():
    build.a_policy()
    build.a_period()
    with pytest.raises(CommandError, match="is to be accrued: nothing of it is charged by a journaled source"):
        call_command("journals", "accrue", "2025-01", "--reverse-on", "2025-02-01", "--date", "2025-01-31")


def test_submitting_an_accrual_names_both_of_its_files():
    a_month()
    call_command("journals", "accrue", "2025-01", "--reverse-on", "2025-02-01", "--date", "2025-01-31")
    out = StringIO()
    call_command("journals", "submit", "E2025-01-1", stdout=out)
    accrual, reversal = out.getvalue().splitlines()
    assert accrual.startswith("Accrual E2025-01-1 submitted: ")
    assert accrual.endswith("E2025-01-1-gl.csv")
    assert reversal.startswith("Its reversal R2025-01-1 submitted: ")
    assert reversal.endswith("R2025-01-1-gl.csv")


def test_an_accrual_on_the_command_line():
    a_month()

    def said(*arguments: str) -> Any:
        out = StringIO()
        call_command("journals", *arguments, "--json", stdout=out)
        return json.loads(out.getvalue())

    dry = said("accrue", "2025-01", "--reverse-on", "2025-02-01", "--date", "2025-01-31", "--dry-run")
    assert (dry["debits"], dry["reversal_date"]) == ("102.50", "2025-02-01")
    assert not Journal.objects.exists()
    done = said("accrue", "2025-01", "--reverse-on", "2025-02-01", "--date", "2025-01-31")
    assert done["journal"]["kind"] == "accrual"
    assert said("submit", "E2025-01-1")["state"] == "submitted"
    assert [each["kind"] for each in said("list")["journals"]] == ["accrual", "reversal"]
    with pytest.raises(CommandError, match="is not after the posting date"):
        call_command("journals", "accrue", "2025-01", "--reverse-on", "2025-01-01", "--date", "2025-01-31")
