"""`generate` and `send_statements`: the engine's results as text and as JSON."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.management import CommandError, call_command

from billing.background import jobs
from billing.models import AuditEvent, Job
from statements import emails, issuing
from statements.emails import outbox
from statements.models import Email, Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db


def run(capsys, *arguments):
    call_command(*arguments)
    return capsys.readouterr().out


def as_json(capsys, *arguments):
    return json.loads(run(capsys, *arguments, "--json"))


@pytest.fixture
def charges():
    build.a_charge("40.00", list_cost=Decimal(100), contracted_cost=Decimal(80), fund_org="BIO-001")
    build.a_charge("2.00", fund_org="CHEM-002")
    build.a_charge("7.25", flags=("pattern_match",))
    build.a_period()


def test_json_has_exact_amounts_and_says_where_the_pdf_lies(capsys, charges):
    told = as_json(capsys, "generate", "-p", "2025-01")
    (statement,) = told["statements"]
    assert {key: value for key, value in statement.items() if key != "pdf"} == {
        "number": "2025-01-0001-1",
        "revision": 1,
        "pi": "ada@u.edu",
        "pi_name": "ada@u.edu",
        "project": "genomics",
        "fund_orgs": ["BIO-001", "CHEM-002"],
        "list": "102.00",
        "discount": "20.00",
        "subsidy": "40.00",
        "corrections": "0.00",
        "due": "42.00",
        "new": True,
    }
    assert Path(statement["pdf"]).read_bytes().startswith(b"%PDF")
    assert told["held"] == {"count": 1, "billed": "7.25"}
    assert (told["period"], told["superseded"], told["sent"], told["unchanged"]) == ("2025-01", 0, 0, 0)


def test_a_second_run_reports_the_same_statements_as_unchanged(capsys, charges):
    first = as_json(capsys, "generate", "-p", "2025-01")
    second = as_json(capsys, "generate", "-p", "2025-01")
    assert (second["issued"], second["unchanged"]) == (0, 1)
    assert [each["number"] for each in second["statements"]] == [each["number"] for each in first["statements"]]


def test_the_text_is_a_table_with_totals_what_is_held_and_the_next_step(capsys, charges):
    text = run(capsys, "generate", "-p", "2025-01")
    for said in (
        *("2025-01-0001-1", "ada@u.edu", "BIO-001, CHEM-002", "102.00", "42.00"),
        "1 issued (0 revised), 0 unchanged",
        "Held for review and on no statement: 1 charge, billed 7.25 USD",
        "1 PDF drawn",
        "send_statements -p 2025-01",
    ):
        assert said in text


def test_a_dry_run_says_so_and_writes_nothing(capsys, charges):
    text = run(capsys, "generate", "-p", "2025-01", "--dry-run", "--send")
    assert "nothing was written" in text
    assert not Statement.objects.exists()
    assert mail.outbox == []


def test_send_mails_what_was_issued_and_reports_it(capsys, charges):
    told = as_json(capsys, "generate", "-p", "2025-01", "--send")
    assert told["sent"] == 1
    assert [message.to for message in mail.outbox] == [["ada@u.edu"]]
    again = as_json(capsys, "send_statements", "-p", "2025-01")
    assert (again["sent"], again["failed"]) == (0, [])


def test_send_statements_says_who_got_what(capsys, charges):
    run(capsys, "generate", "-p", "2025-01")
    told = as_json(capsys, "send_statements", "-p", "2025-01")
    (message,) = told["messages"]
    assert (message["pi"], message["statements"]) == ("ada@u.edu", ["2025-01-0001-1"])
    assert Path(message["message"]).is_file()


def test_a_message_that_fails_makes_the_command_fail_and_names_it(capsys, charges, monkeypatch):
    def refused(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(EmailMultiAlternatives, "send", refused)
    run(capsys, "generate", "-p", "2025-01")
    with pytest.raises(CommandError, match="1 of 1 e-mails were not sent: ada@u.edu"):
        call_command("send_statements", "-p", "2025-01")
    assert "no route to host" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["generate", "send_statements"])
def test_an_unknown_period_is_an_error_that_lists_what_exists(command, charges):
    with pytest.raises(CommandError, match="no billing period 2024-12. These exist: 2025-01"):
        call_command(command, "-p", "2024-12")
    with pytest.raises(CommandError, match="is not a billing period"):
        call_command(command, "-p", "January")


def test_a_finalized_period_is_refused(charges):
    build.a_period().__class__.objects.update(status="finalized", closed_at=NOW, finalized_at=NOW)
    with pytest.raises(CommandError, match="finalized"):
        call_command("generate", "-p", "2025-01")


@pytest.mark.parametrize("door", ["engine", "command", "task"])
def test_every_door_issues_the_same(door, charges, cast):
    period = build.a_period()
    if door == "engine":
        issuing.generate(period=period, actor=SOMEBODY, now=NOW)
    elif door == "command":
        call_command("generate", "-p", "2025-01", "--as", "rex")
    else:
        job = Job.objects.create(kind="generate", arguments={"period": period.pk}, created_at=NOW)
        jobs.run(job.pk)
    statement = Statement.objects.get()
    assert (statement.number, statement.charged, statement.lines.count()) == ("2025-01-0001-1", Decimal(42), 2)
    assert statement.pdf_sha256
    told = AuditEvent.objects.exclude(action="role.synced").order_by("id").values_list("action", flat=True)
    assert list(told) == ["payer_lines.made", "statement.issued"]


def test_a_dry_run_of_sending_says_who_would_get_what_and_writes_nothing(capsys, charges):
    run(capsys, "generate", "-p", "2025-01")
    told = as_json(capsys, "send_statements", "-p", "2025-01", "--dry-run")
    assert (told["dry_run"], told["sent"], told["totals"]) == (True, 1, {"USD": "42.00"})
    assert [each["recipient"] for each in told["messages"]] == told["first"] == ["ada@u.edu"]
    text = run(capsys, "send_statements", "-p", "2025-01", "--dry-run")
    assert "ada@u.edu" in text
    assert "42.00" in text
    assert "1 e-mail with 1 statement (42.00 USD) would be sent." in text
    assert mail.outbox == []
    assert not Email.objects.exists()


def test_without_a_mail_server_the_command_says_that_nothing_left_this_machine(capsys, charges, settings):
    settings.EMAIL_BACKEND = outbox.FILE_BACKEND
    run(capsys, "generate", "-p", "2025-01")
    text = run(capsys, "send_statements", "-p", "2025-01")
    assert "E-mail is not configured (EMAIL_URL): nothing leaves this machine" in text
    told = as_json(capsys, "send_statements", "-p", "2025-01")
    assert (told["configured"], told["sent"], told["written"], told["files"]) == (False, 0, 0, 1)
    with pytest.raises(CommandError, match="not configured"):
        call_command("send_statements", "-p", "2025-01", "--written")
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert as_json(capsys, "send_statements", "-p", "2025-01", "--written")["sent"] == 1


def test_outdated_statements_are_sent_only_when_told(capsys, charges):
    run(capsys, "generate", "-p", "2025-01")
    build.a_charge("5.00", fund_org="BIO-001")
    told = as_json(capsys, "send_statements", "-p", "2025-01")
    assert (told["sent"], told["outdated"]) == (
        0,
        [{"number": "2025-01-0001-1", "charged": "42.00", "now": "47.00", "sent": False}],
    )
    assert as_json(capsys, "send_statements", "-p", "2025-01", "--outdated")["sent"] == 1


def test_an_e_mail_in_doubt_is_reported_with_exit_1_and_settled_by_a_person(capsys, charges):
    run(capsys, "generate", "-p", "2025-01", "--send")
    Email.objects.update(state="uncertain", error=emails.INTERRUPTED)
    email = Email.objects.get()
    with pytest.raises(CommandError, match=f"#{email.pk} to ada@u.edu.*send_statements --again"):
        call_command("send_statements", "-p", "2025-01")
    capsys.readouterr()
    told = as_json(capsys, "send_statements", "--arrived", str(email.pk))
    assert told == {"id": email.pk, "recipient": "ada@u.edu", "state": "sent"}
    run(capsys, "send_statements", "-p", "2025-01")
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("arguments", [("--again", "99"), ("--again", "1", "--dry-run"), ()])
def test_wrong_usage_of_sending_is_refused(db, arguments):
    with pytest.raises(CommandError):
        call_command("send_statements", *arguments)
