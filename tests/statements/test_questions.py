"""Questions in the portal: who may ask and read, what the pages say, and the e-mails both ways."""

import datetime
from decimal import Decimal
from email import message_from_bytes
from pathlib import Path

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import questions
from billing.audit import Actor
from billing.background import jobs
from billing.models import AuditEvent, Charge, Job, Membership, Person, Question
from statements import issuing
from statements.models import Statement
from statements.questions import mailing
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

BY = {"actor": SOMEBODY, "now": NOW}
SENT = {"reason": "usage", "text": "We did not use <b>that</b> much."}


@pytest.fixture
def statement(cast):
    """Ada's statement of an open month, with two charges on its one line; Mallory has one too."""
    build.a_charge("40.00", resource_name="login-node")
    build.a_charge("2.00", resource_name="gpu-14")
    build.a_charge("66.00", pi="mallory@u.edu", project="mischief")
    issuing.generate(period=build.a_period(), **BY)
    Membership.objects.update(may_act=True)
    return Statement.objects.get(pi__email="ada@u.edu")


def ask_url(statement, charge="", line=1):
    return reverse("portal:ask", args=[statement.number, line]) + (f"?charge={charge}" if charge else "")


def asked(client, user, statement, **more) -> Question:
    client.force_login(user)
    response = client.post(ask_url(statement), SENT | more)
    assert response.status_code == 302, response.context["form"].errors
    return Question.objects.latest("pk")


def told(client, url) -> str:
    return " ".join(client.get(url).content.decode().split())


# Who may -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["pi", "delegate"])
def test_a_pi_or_a_delegate_asks_and_both_read_it(client, cast, statement, who):
    question = asked(client, getattr(cast, who), statement)
    assert question.asked_by == getattr(cast, who)
    for reader in (cast.pi, cast.delegate):
        client.force_login(reader)
        page = told(client, reverse("portal:question", args=[question.pk]))
        assert "We did not use &lt;b&gt;that&lt;/b&gt; much." in page
        assert str(question.pk) in told(client, reverse("portal:questions"))


@pytest.mark.parametrize("who", ["stranger", "viewer", "reviewer", "finance", "admin"])
def test_nobody_else_asks_reads_or_writes(client, cast, statement, who):
    question = asked(client, cast.pi, statement)
    client.force_login(getattr(cast, who))
    one = reverse("portal:question", args=[question.pk])
    addresses = (ask_url(statement), one, reverse("portal:withdraw", args=[question.pk]))
    assert {client.post(address, SENT).status_code for address in addresses} == {404}
    assert client.get(one).status_code == 404
    assert "Question of" not in told(client, reverse("portal:questions"))
    assert Question.objects.count() == question.messages.count() == 1


def test_a_delegate_who_only_sees_reads_and_does_not_ask(client, cast, statement):
    question = asked(client, cast.pi, statement)
    Membership.objects.update(may_act=False)
    client.force_login(cast.delegate)
    assert "Ask about this line" not in told(client, reverse("portal:statement", args=[statement.number]))
    assert client.get(ask_url(statement)).status_code == 404
    one = reverse("portal:question", args=[question.pk])
    assert "Send message" not in told(client, one)
    assert client.post(one, {"text": "And?"}).status_code == 404
    assert client.post(reverse("portal:withdraw", args=[question.pk])).status_code == 404


def test_a_revoked_delegate_reads_nothing_at_once(client, cast, statement):
    question = asked(client, cast.delegate, statement)
    Membership.objects.update(valid_until=datetime.date(2024, 6, 1))
    assert client.get(reverse("portal:question", args=[question.pk])).status_code == 404
    assert "Nobody has asked anything yet" in told(client, reverse("portal:questions"))


def test_a_delegate_of_one_project_reads_no_question_of_another(client, cast, statement):
    question = asked(client, cast.pi, statement)
    Membership.objects.update(project=build.a_project("proteins"))
    client.force_login(cast.delegate)
    assert client.get(reverse("portal:question", args=[question.pk])).status_code == 404


def test_a_line_or_a_charge_that_the_statement_does_not_have_is_not_found(client, cast, statement):
    others = Charge.objects.get(pi__email="mallory@u.edu")
    client.force_login(cast.pi)
    for url in (ask_url(statement, line=9), ask_url(statement, others.pk), ask_url(statement, "1 OR 1")):
        assert client.get(url).status_code == 404
        assert client.post(url, SENT).status_code == 404
    assert not Question.objects.exists()


def test_a_statement_that_was_replaced_leads_to_its_page(client, cast, statement):
    build.a_charge("5.00")
    issuing.generate(period=build.a_period(), **BY)
    client.force_login(cast.pi)
    assert client.get(ask_url(statement)).url == reverse("portal:statement", args=[statement.number])


# Pages ---------------------------------------------------------------------------------------------------------------


def test_from_the_line_to_the_answer(client, cast, statement):
    client.force_login(cast.pi)
    page = told(client, reverse("portal:statement", args=[statement.number]))
    assert ask_url(statement) in page
    assert "What you ask about is not charged until it is answered" in told(client, ask_url(statement))
    question = asked(client, cast.pi, statement)
    answer = client.get(reverse("portal:question", args=[question.pk])).content.decode()
    assert "2 charges are not charged until it is answered" in answer
    page = told(client, reverse("portal:statement", args=[statement.number]))
    assert "waiting for staff" in page
    assert ask_url(statement) not in page
    questions.reply(question=question, text="Which node?", actor=Actor.from_user(cast.reviewer), now=NOW)
    assert '1<span class="visually-hidden"> to answer' in told(client, reverse("portal:questions"))
    client.post(reverse("portal:question", args=[question.pk]), {"text": "gpu-14"})
    questions.leave(question=question, text="The meter is right.", actor=Actor.from_user(cast.reviewer), now=NOW)
    page = told(client, reverse("portal:question", args=[question.pk]))
    assert "The meter is right." in page
    assert "Stays as it is" in page
    assert "Send message" not in page
    assert "No question is open." in told(client, reverse("portal:questions"))
    assert f"/questions/{question.pk}/" in told(client, reverse("portal:questions") + "?all=")


def test_one_charge_behind_a_line_is_asked_about(client, cast, statement):
    of = Charge.objects.get(resource__resource_name="gpu-14")
    client.force_login(cast.pi)
    url = ask_url(statement, of.pk)
    assert url in told(client, reverse("portal:line", args=[statement.number, 1]))
    assert "$2.00" in told(client, url) or "2.00 USD" in told(client, url)
    assert client.post(url, SENT).status_code == 302
    assert list(Charge.objects.held()) == [of]


def test_who_asks_twice_is_led_to_the_open_question(client, cast, statement):
    question = asked(client, cast.pi, statement)
    page = client.post(ask_url(statement), SENT)
    assert page.status_code == 200
    assert reverse("portal:question", args=[question.pk]) in page.content.decode()
    assert Question.objects.count() == 1


def test_an_unfinished_form_says_what_is_missing_and_keeps_what_was_written(client, cast, statement):
    client.force_login(cast.pi)
    page = client.post(ask_url(statement), {"reason": "", "text": "Much too much"}).content.decode()
    assert "This field is required." in page
    assert "Much too much" in page
    assert "<title>Error: " in page
    assert client.post(ask_url(statement), {"reason": "usage", "text": "x" * 2_001}).status_code == 200
    assert not Question.objects.exists()


def test_only_own_valid_funds_are_offered_and_taken(client, cast, statement):
    project = statement.project
    Person.objects.get(email="ada@u.edu").projects.add(project)
    own, other = build.a_fund("GIFT-2"), build.a_fund("MAL-5")
    own.projects.add(project)
    client.force_login(cast.pi)
    page = told(client, ask_url(statement))
    assert "GIFT-2" in page
    assert "MAL-5" not in page
    refused = client.post(ask_url(statement), SENT | {"reason": "fund", f"fund_{other.pk}": "100"})
    # A fund that is not offered is no field: the question goes without a proposal.
    assert refused.status_code == 302
    assert Question.objects.latest("pk").proposed == {}
    questions.withdraw(question=Question.objects.latest("pk"), actor=Actor.from_user(cast.pi), now=NOW)
    assert asked(client, cast.pi, statement, reason="fund", **{f"fund_{own.pk}": "100"}).proposed == {"GIFT-2": "100"}


def test_a_project_is_proposed_where_policy_allows(client, cast, statement):
    project = statement.project
    Person.objects.get(email="ada@u.edu").projects.add(project)
    fund = build.a_fund("GIFT-2")
    fund.projects.add(project)
    client.force_login(cast.pi)
    url = reverse("portal:propose", args=[project.pk])
    assert client.get(url).status_code == 404
    build.a_policy(pis_propose=True)
    assert url in told(client, reverse("portal:project", args=[project.pk]))
    sent = {"reason": "mistake", "text": "The gift pays.", "starts_on": "2999-01-01", f"fund_{fund.pk}": "100"}
    assert client.post(url, sent).status_code == 302
    assert "open proposal for this project" in told(client, url)
    client.force_login(cast.stranger)
    assert client.get(url).status_code == 404


def test_lists_take_as_many_queries_for_many_as_for_few(client, cast, statement):
    asked(client, cast.pi, statement)
    counts = []
    for number in range(2):
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse("portal:questions"))
            client.get(reverse("portal:statement", args=[statement.number]))
        counts.append(len(captured))
        for charge in Charge.objects.filter(pi__email="ada@u.edu") if not number else ():
            assert client.post(ask_url(statement, charge.pk), SENT).status_code == 302
    assert counts[0] == counts[1]


def test_no_page_carries_an_inline_style_or_script(client, cast, statement):
    question = asked(client, cast.pi, statement)
    urls = (ask_url(statement), reverse("portal:questions"), reverse("portal:question", args=[question.pk]))
    for url in urls:
        page = client.get(url).content.decode()
        assert " style=" not in page
        assert "<script>" not in page


# What is split or shared ---------------------------------------------------------------------------------------------


def test_of_a_line_with_a_split_charge_only_what_is_its_own_is_held_and_that_is_said(client, cast):
    build.a_charge("40.00", resource_name="own")
    split = build.a_split({"BIO-001": "60", "CHEM-002": "40"})
    build.a_charge("100.00", payer_split=split, fund_org="", resource_name="split")
    issuing.generate(period=build.a_period(), **BY)
    statement = Statement.objects.get(pi__email="ada@u.edu")
    number = statement.lines.get(fund_org="BIO-001").number
    client.force_login(cast.pi)
    page = told(client, ask_url(statement, line=number))
    assert "1 charge of this line is not charged until it is answered." in page
    assert "1 charge is split or shared: your line has a part of it, and so have other lines." in page
    assert "CHEM-002" not in page
    client.post(ask_url(statement, line=number), SENT)
    question = Question.objects.get()
    assert [each.resource.resource_name for each in Charge.objects.held().select_related("resource")] == ["own"]
    assert Charge.objects.get(payer_split=split).state == Charge.State.CLEAR
    page = told(client, reverse("portal:question", args=[question.pk]))
    assert "1 charge is not charged until this is answered" in page
    assert "1 charge is split or shared" in page
    # Of a split charge alone nothing is held, and the page promises nothing.
    other = statement.lines.get(fund_org="CHEM-002").number
    page = told(client, ask_url(statement, line=other))
    assert "is not charged until" not in page
    assert "That part stays charged meanwhile. If your part is wrong, it is changed or corrected." in page


def test_a_question_about_a_part_of_a_shared_cost_names_no_other_payer_anywhere(client, cast, outbox):
    build.a_charge("100.00", fund_org="BIO-001")
    build.a_charge("50.00", pi="mallory@u.edu", project="mischief", fund_org="EVIL-9")
    shared = {"attributed_by": "rule", "deciders": "rule 1 (shared)", "resource_id": "", "shared_as": "AWS Support"}
    build.a_charge("30.00", pi=None, project=None, fund_org="", service_name="AWS Support", **shared)
    issuing.generate(period=build.a_period(), **BY)
    statement = Statement.objects.get(pi__email="ada@u.edu")
    line = statement.lines.get(service_name="AWS Support")
    assert line.charged == 20
    client.force_login(cast.pi)
    asking = client.get(ask_url(statement, line=line.number)).content.decode()
    assert "That part stays charged meanwhile." in " ".join(asking.split())
    client.post(ask_url(statement, line=line.number), SENT)
    question = Question.objects.get()
    assert question.amount == 20
    assert not Charge.objects.held().exists()
    questions.reply(question=question, text="Support is shared.", actor=Actor.from_user(cast.reviewer), now=NOW)
    questions.leave(question=question, text="It is right.", actor=Actor.from_user(cast.reviewer), now=NOW)
    run_jobs()
    pages = [
        client.get(url).content.decode() for url in (reverse("portal:questions") + "?all=", question_url(question))
    ]
    mailed = [each.message().as_string() for each in outbox if each.to == ["ada@u.edu"]]
    assert len(mailed) == 2
    for text in (asking, *pages, *mailed):
        assert not [name for name in ("mallory", "mischief", "EVIL-9", "50.00", "10.00") if name in text.lower()]


def question_url(question):
    return reverse("portal:question", args=[question.pk])


# E-mail --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def outbox(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    build.a_policy(contact_email="help@u.edu", questions_email="questions@u.edu")
    return mail.outbox


def run_jobs() -> list[str]:
    """Do what the worker would; return what became of each job."""
    waiting = list(Job.objects.filter(kind=Job.Kind.TELL, state=Job.State.QUEUED).order_by("pk"))
    for job in waiting:
        jobs.run(job.pk)
        job.refresh_from_db()
    return [job.state for job in waiting]


def test_staff_are_mailed_what_is_asked_and_who_asked_the_answer(client, cast, statement, outbox, settings):
    question = asked(client, cast.delegate, statement)
    assert run_jobs() == ["done"]
    (first,) = outbox
    assert first.to == ["questions@u.edu"]
    assert first.subject == f"New question about statement {statement.number}, line 1"
    assert f"{settings.SITE_URL}/admin/billing/question/{question.pk}/change/" in first.body
    assert "We did not use <b>that</b> much." in first.body
    questions.reply(question=question, text="Which node?", actor=Actor.from_user(cast.reviewer), now=NOW)
    assert run_jobs() == ["done"]
    questions.write(question=question, text="gpu-14", actor=Actor.from_user(cast.pi), now=NOW)
    questions.leave(question=question, text="It is right.", actor=Actor.from_user(cast.reviewer), now=NOW)
    assert run_jobs() == ["done"] * 2
    _, reply, more, answer = outbox
    assert [each.to for each in (reply, more, answer)] == [["grace@u.edu"], ["questions@u.edu"], ["grace@u.edu"]]
    assert reply.reply_to == ["questions@u.edu"]
    assert "is answered" in answer.subject
    assert "Outcome: Stays as it is" in answer.body
    page = f"{settings.SITE_URL}/questions/{question.pk}/\n\nExample University\n"
    assert f"\nRead and answer it here:\n{page}" in reply.body
    assert f"\nRead it here:\n{page}" in answer.body
    assert AuditEvent.objects.filter(action="question.mailed").count() == 4


def test_the_answer_to_a_delegate_who_was_revoked_goes_to_the_pi(client, cast, statement, outbox):
    question = asked(client, cast.delegate, statement)
    Membership.objects.update(valid_until=datetime.date(2024, 6, 1))
    questions.leave(question=question, text="It is right.", actor=Actor.from_user(cast.reviewer), now=NOW)
    run_jobs()
    assert outbox[-1].to == ["ada@u.edu"]


def test_no_line_of_a_message_becomes_a_header(client, cast, statement, outbox):
    Charge.objects.update(resource=Charge.objects.first().resource)
    question = asked(client, cast.pi, statement, text="a\r\nBcc: everybody@u.edu")
    assert "\n" not in mailing.subject_of(question.messages.get())
    run_jobs()
    assert outbox[0].message()["Bcc"] is None


def test_a_refused_e_mail_is_recorded_and_can_be_tried_again(client, cast, statement, outbox, monkeypatch):
    asked(client, cast.pi, statement)

    def refuse(self, message):
        raise OSError("no route")

    with monkeypatch.context() as patched:
        patched.setattr("statements.emails.outbox.Outbox.send", refuse)
        assert run_jobs() == ["failed"]
    assert AuditEvent.objects.filter(action="question.mail_failed").exists()
    job = Job.objects.get(kind=Job.Kind.TELL)
    assert "questions@u.edu was not mailed" in job.message
    jobs.retry(job=job, actor=Actor.from_user(cast.reviewer), now=NOW)
    assert run_jobs() == ["done"]
    assert len(outbox) == 1


def test_without_a_mail_server_it_is_a_file_and_without_an_address_nothing(client, cast, statement, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    question = asked(client, cast.pi, statement)
    assert run_jobs() == ["done"]
    assert "names no address" in Job.objects.latest("pk").message
    build.a_policy(contact_email="help@u.edu")
    questions.write(question=question, text="And?", actor=Actor.from_user(cast.pi), now=NOW)
    assert run_jobs() == ["done"]
    (path,) = Path(settings.EMAIL_FILE_PATH).glob("question-*.eml")
    assert message_from_bytes(path.read_bytes())["To"] == "help@u.edu"


def test_a_question_that_was_withdrawn_is_not_mailed(client, cast, statement, outbox):
    question = asked(client, cast.pi, statement)
    client.post(reverse("portal:withdraw", args=[question.pk]))
    assert run_jobs() == ["done"]
    assert not outbox
    assert Decimal(42) == question.amount
