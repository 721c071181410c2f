"""The checklist of a month: one list, read by every door, and the next step after each act."""

import datetime
import json

import pytest
from django.core.cache import caches
from django.core.cache.backends.db import DatabaseCache
from django.core.management import call_command
from django.urls import reverse

from billing import charging, corrections, doors, review, tasks
from billing.background import heartbeat, jobs
from billing.models import BillingPeriod, Charge
from billing.months import checklist, closing
from billing.months.checklist import State
from billing.proof import adding_up
from journals import posting
from journals.models import Journal
from statements import emails, issuing
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}


def january():
    return BillingPeriod.objects.get(month=datetime.date(2025, 1, 1))


def next_of():
    """Return what the month waits for: the step and its text."""
    item = checklist.of(january()).next
    return (item.then.name if item.then else "", item.text) if item else None


@pytest.fixture
def february_of_the_issue(cast):
    """Make a month with statements out, and four charges still held."""
    build.a_policy()
    build.a_charge("100.00")
    for amount in ("700.00", "50.00", "10.00", "3.08"):
        build.a_charge(amount, flags=("pattern_match",), project="held")
    issuing.generate(period=january(), **BY)
    emails.send(period=january(), **BY)
    return cast


def approve_all():
    review.approve(charges=Charge.objects.held(), note="Seen", **BY)


def test_the_next_step_follows_each_act_from_review_to_the_end(february_of_the_issue, monkeypatch):
    step, text = next_of()
    assert step == "review"
    assert text.startswith("4 charges are held for review (763.08 USD billed).")
    approve_all()
    # What was approved is on no statement yet, though others were sent.
    assert next_of() == ("issue_statements", "1 statement to issue: +763.08 USD.")
    issuing.generate(period=january(), **BY)
    assert next_of() == ("send_statements", "1 statement is not sent: 763.08 USD.")
    emails.send(period=january(), **BY)
    assert next_of()[0] == "close_period"
    closing.close(period=january(), **BY)
    step, text = next_of()
    assert (step, text) == ("export_journal", "863.08 USD of 2 payer lines is not journaled.")
    posting.draft(period=january(), **BY)
    assert next_of() == ("submit_journal", "Journal J2025-01-1 over 863.08 USD is not submitted.")
    journal = posting.submit(journal=Journal.objects.get(), format="gl", **BY)
    step, text = next_of()
    assert step == "answer_journal"
    assert "J2025-01-1 over 863.08 USD waits for the ledger's answer" in text
    posting.post(journal=journal, document_number="GL-1", **BY)
    listed = checklist.of(january())
    # Mail went to files in this test: said, and no reason to stop.
    assert {item.code for item in listed.items if item.is_to_do} == {"finalize"} | (
        {"proof"} if listed.item("proof").is_to_do else set()
    )


# Every door reads the list


def test_the_dashboard_the_period_page_and_the_command_say_the_same_next_step(february_of_the_issue, client, capsys):
    approve_all()
    client.force_login(february_of_the_issue.reviewer)
    dashboard = client.get(reverse("admin:index")).content.decode()
    page = client.get(reverse("admin:billing_billingperiod_change", args=[january().pk])).content.decode()
    call_command("periods", "show", "2025-01")
    command = capsys.readouterr().out
    for said in (dashboard, page, command):
        assert "1 statement to issue: +763.08 USD." in said
        assert "Statements are out" not in said
    url = reverse("admin:statements_statement_generate") + "?period=2025-01"
    assert f'href="{url}"' in dashboard
    assert f'href="{url}"' in page
    assert "Next: `manage.py generate -p 2025-01`" in command
    for page_said in (dashboard, page):
        assert "manage.py" not in page_said


@pytest.mark.parametrize("role", ["viewer", "reviewer", "finance", "admin"])
def test_who_may_not_do_the_next_step_sees_who_can(february_of_the_issue, client, role):
    approve_all()
    issuing.generate(period=january(), **BY)
    emails.send(period=january(), **BY)
    client.force_login(getattr(february_of_the_issue, role))
    board = client.get(reverse("admin:index")).context["board"]
    # To close is for finance and admin; the others see who it waits for, and get no button.
    assert board.next_item.item.code == "close"
    may = role in ("finance", "admin")
    assert bool(board.next_item.url) == may
    assert board.next_item.who == ("" if may else "admin or finance")


def test_the_command_shows_every_item_as_json(february_of_the_issue, capsys):
    call_command("periods", "show", "2025-01", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["next"] == "held"
    items = {item["code"]: item for item in shown["items"]}
    # Nothing is billed by usage here.
    assert list(items) == [each for each in checklist.LABELS if each != "usage"]
    assert items["held"] == {
        "code": "held",
        "label": "Review",
        "state": "open",
        "text": "4 charges are held for review (763.08 USD billed). Decide them, or carry them over to February 2025.",
        "details": [],
        "count": 4,
        "money": {"USD": "763.08"},
        "command": "manage.py review list -p 2025-01",
        "permission": "billing.review_charges",
        "roles": ["admin", "finance", "reviewer"],
    }


def test_closing_and_finalizing_refuse_what_the_list_says(february_of_the_issue):
    with pytest.raises(closing.PeriodHasHeldCharges) as refused:
        closing.close(period=january(), **BY)
    item = checklist.of(january()).item("held")
    assert item.text in str(refused.value)
    assert refused.value.then == item.then
    approve_all()
    closing.close(period=january(), **BY)
    with pytest.raises(closing.NotReadyToFinalize) as refused:
        closing.finalize(period=january(), **BY)
    listed = checklist.of(january())
    assert [each.code for each in refused.value.items] == [each.code for each in listed.keeping_from("finalize")]
    assert {"statements", "journal"} <= {each.code for each in refused.value.items}


def test_closing_says_what_it_leaves_undone_and_asks_for_a_tick(february_of_the_issue, client, capsys):
    approve_all()
    client.force_login(february_of_the_issue.finance)
    url = reverse("admin:billing_billingperiod_close", args=[january().pk])
    page = client.get(url).content.decode()
    assert "Statements: 1 statement to issue: +763.08 USD." in page
    client.post(url, {"notes": "Early"})
    assert january().status == "open"
    client.post(url, {"notes": "Early", "leave": "on"})
    assert january().status == "closed"
    build.a_charge("1.00", period="2025-02")
    call_command("periods", "close", "2025-02")
    assert "Not done yet: Statements. 1 statement to issue: +1.00 USD." in capsys.readouterr().out


def test_what_was_worked_out_is_kept_until_something_is_recorded(february_of_the_issue, monkeypatch):
    runs = []
    compute = charging.compute
    monkeypatch.setattr(charging, "compute", lambda period: runs.append(period) or compute(period))
    first = checklist.of(january())
    assert runs
    runs.clear()
    assert checklist.of(january()) == first
    assert not runs
    approve_all()
    assert checklist.of(january()).item("statements").state == State.OPEN
    assert runs
    # To refuse or go on, the steps of the month look afresh.
    runs.clear()
    checklist.of(january(), is_fresh=True)
    assert runs


def test_a_correction_waiting_for_a_second_person_is_on_the_list(cast):
    build.a_policy(corrections_need_second_person=True)
    charge = build.a_charge("100.00")
    rex = build.Actor.from_user(cast.reviewer)
    correction = build.a_correction(charge, actor=rex)
    february = BillingPeriod.objects.get(month=datetime.date(2025, 2, 1))
    item = checklist.of(february).item("corrections")
    assert (item.state, item.count, item.then.name) == (State.OPEN, 1, "approve_corrections")
    assert doors.holders(doors.permission_of(item.then)) == ["admin", "finance"]
    with pytest.raises(closing.PeriodHasProposedCorrections):
        closing.close(period=february, **BY)
    corrections.approve(correction=correction, actor=build.Actor.from_user(cast.finance), now=build.NOW)
    assert checklist.of(february).item("corrections").state == State.DONE


def test_a_source_that_had_an_import_the_month_before_is_missed(db):
    for month, sources in (("2024-12", ("aws", "hpc")), ("2025-01", ("aws",))):
        for source in sources:
            build.a_charge("5.00", period=month, source=source)
    item = checklist.of(january()).item("imports")
    assert (item.state, item.count) == (State.WARNING, 1)
    assert item.text.startswith("HPC has no import yet; the month before had.")


# Empty months, and notes


def test_an_empty_month_is_removed_and_comes_back_with_its_history(cast, client, capsys):
    wrong = build.a_charge("9.00", period="2025-06")
    june = wrong.period
    build.a_charge("5.00", flags=("pattern_match",), period="2025-07")
    with pytest.raises(closing.PeriodNotEmpty, match="June 2025 is not empty.* it has imports in force, charges"):
        closing.remove(period=june, **BY)
    withdrawn = wrong.imported_in
    withdrawn.state, withdrawn.withdrawn_at = "withdrawn", build.NOW
    withdrawn.save()
    Charge.objects.filter(pk=wrong.pk).update(withdrawn_in=withdrawn)
    client.force_login(cast.reviewer)
    # The dashboard does not open on it, for there is nothing to do.
    assert client.get(reverse("admin:index")).context["board"].period.iso_month == "2025-07"
    url = reverse("admin:billing_billingperiod_remove", args=[june.pk])
    assert client.post(url).status_code == 302
    call_command("periods", "list")
    assert "2025-06" not in capsys.readouterr().out
    assert client.get(reverse("admin:billing_billingperiod_changelist")).content.decode().count("June 2025</a>") == 0
    # What was withdrawn is there as before.
    assert Charge.objects.get(pk=wrong.pk).period == june
    again = closing.open_period(month=june.month, notes="Back", **BY)
    assert (again.pk, again.removed_at) == (june.pk, None)
    assert [note.text for note in closing.notes_of(again)] == ["Back"]


def test_nothing_is_charged_in_a_month_that_was_removed(cast, client):
    build.shut("2025-01")
    build.a_period("2025-03")
    closing.remove(period=build.a_period("2026-01"), **BY)
    assert corrections.month_for().iso_month == "2025-03"
    client.force_login(cast.finance)
    page = client.get(reverse("admin:billing_correction_enter")).content.decode()
    assert "2026" not in page.partition("Charged in")[2].partition("</select>")[0]
    generate = client.get(reverse("admin:statements_statement_generate"))
    assert str(generate.context["form"].data["period"]) == "2025-03-01"


def test_a_month_that_is_removed_while_its_file_comes_in_is_shown_again(tmp_path, monkeypatch):
    def removed_meanwhile(*periods, require_open=closing.require_open):
        # By somebody who does not see yet what comes in.
        BillingPeriod.objects.filter(month__year=2025).update(removed_at=build.NOW)
        return require_open(*periods)

    build.a_source("aws")
    monkeypatch.setattr(closing, "require_open", removed_meanwhile)
    delivered(tmp_path, [a_row("5")])
    assert january().removed_at is None


def test_a_month_with_a_journal_or_a_statement_is_not_removed(february_of_the_issue):
    Charge.objects.update(withdrawn_in=build.an_import(state="withdrawn", withdrawn_at=build.NOW))
    with pytest.raises(closing.PeriodNotEmpty, match="statements"):
        closing.remove(period=january(), **BY)


def test_notes_of_every_step_are_kept_and_shown(cast, client, capsys):
    call_command("periods", "open", "2025-01", "--notes", "First month of the grant")
    call_command("periods", "close", "2025-01", "--notes", "All is in")
    call_command("periods", "reopen", "2025-01", "--reason", "A late file")
    capsys.readouterr()
    call_command("periods", "show", "2025-01")
    shown = capsys.readouterr().out
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_billingperiod_change", args=[january().pk])).content.decode()
    for text in ("First month of the grant", "All is in", "A late file"):
        assert text in shown
        assert text in page
    assert january().notes == "First month of the grant\nAll is in\nA late file"
    client.force_login(cast.finance)
    client.post(reverse("admin:billing_billingperiod_open"), {"month": "2025-02", "notes": "Opened early"})
    assert BillingPeriod.objects.get(month=datetime.date(2025, 2, 1)).notes == "Opened early"


@pytest.fixture
def asked(monkeypatch):
    """Have every month be a large one, and note what the worker is asked for."""
    monkeypatch.setattr(checklist, "LARGE", 1)
    asked = []
    monkeypatch.setattr(jobs.queue, "async_task", lambda task, *arguments: asked.append((task, *arguments)))
    return asked


def test_no_page_of_a_large_month_waits_for_what_is_costly_and_the_worker_works_it_out(
    february_of_the_issue, client, asked
):
    heartbeat.beat()
    client.force_login(february_of_the_issue.reviewer)
    month = january()
    for url in ("/admin/?period=2025-01", f"/admin/billing/billingperiod/{month.pk}/change/"):
        page = client.get(url).content.decode()
        assert "Being checked against today&#x27;s charges." in page
        assert "data-busy" in page
        # What is cheap to know is said at once.
        assert "4 charges are held for review (763.08 USD billed)." in page
    # Asked once, however many look.
    assert asked == [("billing.tasks.work_out_month", month.pk)]
    tasks.work_out_month(month.pk)
    page = client.get("/admin/?period=2025-01").content.decode()
    assert "Being checked" not in page
    assert "data-busy" not in page
    assert "Held for review" in page
    assert len(asked) == 1
    # A change makes it unknown again, and the worker is asked again.
    approve_all()
    assert not checklist.of(month, waits=False).is_known
    assert len(asked) == 2


def test_a_page_works_a_large_month_out_itself_where_no_worker_is_alive(february_of_the_issue, asked, monkeypatch):
    monkeypatch.setattr(heartbeat, "is_worker_alive", lambda: False)
    assert checklist.of(january(), waits=False).is_known
    assert adding_up.kept_sights(january(), waits=False)
    assert asked == []


def test_a_month_that_is_being_checked_is_neither_closed_over_in_silence_nor_finalized(february_of_the_issue, asked):
    heartbeat.beat()
    approve_all()
    listed = checklist.of(january(), waits=False)
    assert "statements" in [item.code for item in listed.left_behind(checklist.CLOSE)]
    assert "statements" in [item.code for item in listed.keeping_from(checklist.FINALIZE)]
    # The steps themselves never go by what is being checked.
    assert checklist.of(january(), is_fresh=True).is_known


def test_what_is_kept_of_a_month_is_shared_by_the_processes_of_a_database(db, settings):
    shared = DatabaseCache("billing_kept", {"KEY_PREFIX": "x", "TIMEOUT": None})
    item = checklist.Item("sent", State.DONE, "1 statement sent.", 1, {"USD": build.Decimal("1.50")})
    shared.set("month", (("open", 1), [item]), None)
    assert DatabaseCache("billing_kept", {"KEY_PREFIX": "x"}).get("month") == (("open", 1), [item])


def test_what_another_version_kept_is_worked_out_anew(february_of_the_issue, monkeypatch):
    def unreadable(key):
        raise AttributeError("Can't get attribute 'Item'")

    monkeypatch.setattr(caches["months"], "get", unreadable)
    assert checklist.of(january()).is_known


def test_a_month_that_was_never_charged_is_not_told_of_a_change(cast):
    build.a_charge("40.00")
    item = checklist.of(january()).item("payer_lines")
    assert item.text == "1 payer line is to be made of the month's charges."
    issuing.generate(period=january(), **BY)
    build.a_charge("2.00", project="second")
    item = checklist.of(january()).item("payer_lines")
    assert item.text == "1 payer line is not up to date with the charges."
