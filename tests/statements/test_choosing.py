"""Sending statements that somebody chose: these alone, with why some of them do not go."""

import json

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.management import CommandError, call_command

from billing.models import AuditEvent, Membership, Person
from statements import emails, issuing, tasks
from statements.emails import outbox
from statements.models import Email, Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

GENOMICS, PROTEINS, LASERS = "2025-01-0001-1", "2025-01-0002-1", "2025-01-0003-1"
BY = {"actor": SOMEBODY, "now": NOW}


@pytest.fixture
def issued():
    """Two statements of Ada's and one of Bob's."""
    build.a_charge("10.00", pi="ada@u.edu", project="genomics")
    build.a_charge("20.00", pi="ada@u.edu", project="proteins")
    build.a_charge("30.00", pi="bob@u.edu", project="lasers")
    issuing.generate(period=build.a_period(), **BY)


def send(*chosen, **options):
    return emails.send(period=build.a_period(), chosen=chosen, **options, **BY)


def preview(*chosen, **options):
    return emails.preview(period=build.a_period(), chosen=chosen, **options, **BY)


def mailed():
    return [(each.to[0], [name for name, _, _ in each.attachments]) for each in mail.outbox]


def states():
    return dict(Statement.objects.order_by("number").values_list("number", "state"))


def why(sent):
    return {each.number: each.why for each in sent.kept_back}


def refuse(monkeypatch, recipient):
    real = EmailMultiAlternatives.send

    def sends(message, *args, **options):
        if message.to == [recipient]:
            raise OSError("mailbox full")
        return real(message, *args, **options)

    monkeypatch.setattr(EmailMultiAlternatives, "send", sends)


def test_only_what_was_chosen_goes_and_the_rest_goes_with_the_month(issued):
    assert preview(PROTEINS).messages[0].statements == (PROTEINS,)
    sent = send(PROTEINS)
    assert mailed() == [("ada@u.edu", [f"statement-{PROTEINS}.pdf"])]
    assert (sent.statements, sent.kept_back, sent.besides) == (1, (), ())
    assert states() == {GENOMICS: "issued", PROTEINS: "sent", LASERS: "issued"}
    emails.send(period=build.a_period(), **BY)
    assert mailed()[1:] == [
        ("ada@u.edu", [f"statement-{GENOMICS}.pdf"]),
        ("bob@u.edu", [f"statement-{LASERS}.pdf"]),
    ]


def test_several_of_one_pi_are_one_e_mail(issued):
    send(GENOMICS, PROTEINS)
    assert mailed() == [("ada@u.edu", [f"statement-{GENOMICS}.pdf", f"statement-{PROTEINS}.pdf"])]


def test_copies_go_with_what_was_chosen_only(issued):
    Person.objects.filter(email="ada@u.edu").update(contact_email="office@u.edu")
    Membership.objects.create(
        person=Person.objects.get(email="ada@u.edu"),
        user=build.a_user("grace"),
        project=build.a_project("proteins"),
        valid_from=NOW.date(),
        receives_statements=True,
    )
    send(GENOMICS)
    assert [to for to, _ in mailed()] == ["ada@u.edu", "office@u.edu"]


def test_nothing_goes_twice_however_often_it_is_chosen(issued):
    send(PROTEINS)
    again = send(PROTEINS, GENOMICS)
    assert len(mail.outbox) == 2
    assert again.statements == 1
    assert "sent on Feb 3, 2025" in why(again)[PROTEINS]


def test_what_does_not_go_says_why(issued, monkeypatch):
    build.a_charge("1.00", pi="bob@u.edu", project="lasers")
    stale = preview(LASERS)
    assert ([each.number for each in stale.outdated], stale.messages, stale.kept_back) == ([LASERS], (), ())
    issuing.generate(period=build.a_period(), **BY)
    issuing.void(statement=Statement.objects.get(number=GENOMICS), reason="Wrong", **BY)
    Email.objects.create(
        period=build.a_period(),
        pi=Person.objects.get(email="ada@u.edu"),
        recipient="ada@u.edu",
        state="uncertain",
        created_at=NOW,
    ).statements.add(Statement.objects.get(number=PROTEINS))
    told = why(preview(GENOMICS, PROTEINS, LASERS))
    assert "void on Feb 3, 2025" in told[GENOMICS]
    assert "perhaps sent" in told[PROTEINS]
    assert told[LASERS] == "It was replaced by 2025-01-0003-2."
    assert mail.outbox == []


def test_who_is_left_out_because_the_pi_waits_is_told_as_waiting(issued):
    build.a_policy(own_domains=["u.edu"])
    build.a_charge("7.00", pi="guest@gmail.com", project="mining")
    issuing.generate(period=build.a_period(), **BY)
    looked = preview("2025-01-0004-1")
    assert [each.recipient for each in looked.waiting] == ["guest@gmail.com"]
    assert (looked.messages, looked.kept_back) == ((), ())


def test_an_e_mail_that_failed_is_tried_again_whole_and_says_what_it_brings_besides(issued, monkeypatch):
    with monkeypatch.context() as patched:
        refuse(patched, "ada@u.edu")
        emails.send(period=build.a_period(), **BY)
    assert states()[GENOMICS] == "issued"
    assert preview(GENOMICS).besides == (PROTEINS,)
    sent = send(GENOMICS)
    assert (sent.besides, sent.statements) == ((PROTEINS,), 2)
    assert set(states().values()) == {"sent"}
    assert Email.objects.filter(pi__email="ada@u.edu").count() == 1


def test_what_is_only_a_file_goes_where_that_is_asked_for(issued, settings):
    settings.EMAIL_BACKEND = outbox.FILE_BACKEND
    send(LASERS)
    assert states()[LASERS] == "written"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert "written to a file on Feb 3, 2025" in why(preview(LASERS))[LASERS]
    send(LASERS, written=True)
    assert mailed() == [("bob@u.edu", [f"statement-{LASERS}.pdf"])]


def test_a_choice_of_nothing_or_of_another_month_is_refused_and_never_means_everything(issued):
    with pytest.raises(emails.UnknownStatement, match="No statement is chosen"):
        send()
    with pytest.raises(emails.UnknownStatement, match="January 2025 has no statement 2025-02-0001-1"):
        send("2025-02-0001-1", LASERS)
    assert mail.outbox == []


def test_a_job_sends_what_was_chosen(issued):
    arguments = {"period": build.a_period().pk, "statements": [LASERS]}
    result = tasks.send(job=None, arguments=arguments, progress=lambda *told: None, **BY)
    assert [to for to, _ in mailed()] == ["bob@u.edu"]
    assert "1 e-mail with 1 statement (30.00 USD) sent" in result["message"]


def test_the_command_sends_what_was_chosen_and_says_what_it_did_not(issued, capsys):
    send(PROTEINS)
    chosen = ("--statement", PROTEINS, "--statement", LASERS)
    call_command("send_statements", "-p", "2025-01", *chosen, "--dry-run")
    assert f"Not sent: {PROTEINS}: It was sent on Feb 3, 2025." in capsys.readouterr().out
    call_command("send_statements", "-p", "2025-01", *chosen, "--json")
    told = json.loads(capsys.readouterr().out)
    assert [each["statements"] for each in told["messages"]] == [[LASERS]]
    assert [(each["number"], each["charged"]) for each in told["kept_back"]] == [(PROTEINS, "20.00")]
    assert states() == {GENOMICS: "issued", PROTEINS: "sent", LASERS: "sent"}
    events = AuditEvent.objects.filter(action="email.sent").order_by("pk")
    assert [each.after["statements"] for each in events] == [[PROTEINS], [LASERS]]


def test_the_command_takes_statements_with_their_month_only(issued):
    with pytest.raises(CommandError, match="--statement goes with --period only"):
        call_command("send_statements", "--again", "1", "--statement", LASERS)
    with pytest.raises(CommandError, match="January 2025 has no statement 2025-01-0009-1"):
        call_command("send_statements", "-p", "2025-01", "--statement", "2025-01-0009-1")


def test_the_words_of_an_e_mail_are_those_that_are_sent(issued):
    Membership.objects.create(
        person=Person.objects.get(email="ada@u.edu"),
        user=build.a_user("grace"),
        project=build.a_project("proteins"),
        valid_from=NOW.date(),
        receives_statements=True,
    )
    period = build.a_period()
    looked = preview(GENOMICS, PROTEINS)
    letters = [emails.letter_to(each, period=period, now=NOW).letter for each in looked.messages]
    send(GENOMICS, PROTEINS)
    assert [(each.subject, each.text) for each in letters] == [(each.subject, each.body) for each in mail.outbox]
    # The delegate of one project reads no total of the month.
    assert "Total for January 2025" in letters[0].text
    assert "Total for January 2025" not in letters[1].text


def test_what_the_checklist_works_out_is_not_worked_out_again_by_a_page(issued, monkeypatch):
    from billing.months import checklist

    build.a_charge("1.00", pi="bob@u.edu", project="lasers")
    checklist.of(build.a_period())
    monkeypatch.setattr(issuing.comparing, "plan", None)
    assert [each.number for each in issuing.outdated_kept(build.a_period())] == [LASERS]
