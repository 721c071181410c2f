"""Questions of PIs on the pages of the staff: the list by state, each page, and what each answer does."""

import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from billing import questions
from billing.models import Charge, Correction, Policy, Question
from billing.months import closing
from openchargeback.navigation import NAVIGATION, waits
from statements import issuing
from statements.models import Statement
from statements.questions import lines
from tests import build
from tests.build import NOW, SOMEBODY, Actor

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": SOMEBODY, "now": NOW}
LIST = reverse("admin:billing_question_changelist")


@pytest.fixture
def question(cast) -> Question:
    """Ada asks about a line of 42.00, and proposes a sponsored award of hers."""
    build.a_charge("40.00", resource_name="login-node")
    charge = build.a_charge("2.00", resource_name="gpu-14")
    assert charge.project
    build.a_fund("NSF-3", is_sponsored=True).projects.add(charge.project)
    issuing.generate(period=build.a_period(), **BY)
    return questions.ask(
        subject=lines.subject_of(Statement.objects.get(), 1),
        reason="fund",
        text="<script>alert(1)</script> belongs to the award.",
        proposed={"NSF-3": Decimal(100)},
        actor=Actor.from_user(cast.pi),
        now=NOW,
    )


def url(question, verb="change") -> str:
    return reverse(f"admin:billing_question_{verb}", args=[question.pk])


def told(client, address) -> str:
    return " ".join(client.get(address).content.decode().split())


def test_the_list_shows_what_waits_and_counts_the_states(client, cast, question):
    client.force_login(cast.viewer)
    page = client.get(LIST)
    chips = {chip.label: chip.count for chip in page.context["cl"].state_chips}
    assert chips == {"Waiting for us": 1, "To answer": 1, "All": 1}
    assert f"Question {question.pk}" in page.content.decode()
    questions.reply(question=question, text="Which?", actor=Actor.from_user(cast.reviewer), now=NOW)
    assert "No question waits." in told(client, LIST) or "Nothing here matches" in told(client, LIST)
    assert f"Question {question.pk}" in told(client, f"{LIST}?state=all")
    assert f"Question {question.pk}" in told(client, f"{LIST}?state=replied&period=2025-01")


def test_what_waits_is_counted_in_a_navigation_of_at_most_18_items(client, cast, question):
    assert sum(len(items) for items in NAVIGATION.values()) <= 18
    # Two charges that are held for it, and the question itself.
    assert waits(build.a_period())["Review"] == 3
    client.force_login(cast.reviewer)
    assert "Questions (1)" in told(client, LIST)


def test_the_page_has_the_thread_escaped_and_its_charges(client, cast, question):
    client.force_login(cast.reviewer)
    page = told(client, url(question))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; belongs to the award." in page
    assert "2 charges; 2 held until this is answered" in page
    assert "finance approves it next" in page
    held = Charge.objects.held().earliest("pk")
    assert reverse("admin:billing_charge_change", args=[held.pk]) in page
    assert f"Question {question.pk}" in told(client, reverse("admin:billing_charge_change", args=[held.pk]))


def test_the_queue_leads_to_the_question(client, cast, question):
    client.force_login(cast.reviewer)
    page = told(client, reverse("admin:billing_heldcharge_changelist"))
    assert "Questioned by the PI" in page
    assert url(question) in page


def test_a_viewer_reads_and_answers_nothing(client, cast, question):
    client.force_login(cast.viewer)
    page = told(client, url(question))
    assert "Apply as proposed" not in page
    assert "Reply…" not in page
    for verb in ("reply", "leave", "apply", "reject"):
        assert client.post(url(question, verb), {"text": "x"}).status_code == 403


def test_an_answer_is_a_form_and_its_text_is_asked_for(client, cast, question):
    client.force_login(cast.reviewer)
    assert client.post(url(question, "leave"), {"text": ""}).status_code == 200
    response = client.post(url(question, "leave"), {"text": "It is right."}, follow=True)
    assert f"Question {question.pk} is answered: stays as it is." in response.content.decode()
    again = client.post(url(question, "leave"), {"text": "No."}, follow=True)
    assert "is not possible for question" in again.content.decode()


def test_a_reviewer_asks_finance_and_finance_approves_in_one_click(client, cast, question):
    client.force_login(cast.reviewer)
    response = client.post(url(question, "apply"), follow=True)
    assert "waits for approval by finance" in response.content.decode()
    assert client.get(url(question, "approve_move")).status_code == 403
    client.force_login(cast.finance)
    client.post(url(question, "approve_move"))
    question.refresh_from_db()
    assert question.outcome == "moved"
    page = told(client, url(question))
    assert "Charged as proposed, 2 decisions" in page
    moved = Charge.objects.earliest("pk")
    page = told(client, reverse("admin:billing_charge_change", args=[moved.pk]))
    assert f"Answers question {question.pk}" in page


def test_a_closed_month_leads_to_a_correction_filled_in(client, cast, question):
    period = build.a_period()
    closing.close(period=period, **BY)
    build.a_period("2025-02")
    client.force_login(cast.finance)
    page = client.get(url(question))
    (button,) = [each for each in page.context["buttons"] if each["label"] == "Enter a correction…"]
    form = client.get(button["url"])
    given = form.context["form"].initial
    assert (given["which"], given["kind"], given["to"]) == (question.line, "transfer", "NSF-3")
    assert given["reason"] == f"Question {question.pk}: it belongs on another fund/org"
    sent = {name: given[name] for name in ("which", "kind", "to", "reason")} | {
        "question": question.pk,
        "charged_in": "2025-02-01",
        "printed_text": "Moved to the award.",
        "justification": "Asked in time, and answered late.",
    }
    shown = client.post(button["url"], sent)
    assert shown.context["planned"], shown.context["form"].errors
    client.post(button["url"], sent | {"confirmed": shown.context["seen"]})
    correction = Correction.objects.get()
    question.refresh_from_db()
    assert (correction.question, question.outcome) == (question, "corrected")
    assert url(question) in told(client, reverse("admin:billing_correction_change", args=[correction.pk]))
    assert reverse("admin:billing_correction_change", args=[correction.pk]) in told(client, url(question))


def test_a_question_that_is_late_says_so(client, cast, question):
    client.force_login(cast.reviewer)
    assert question.respond_by == datetime.date(2025, 2, 8)
    assert "Late" in told(client, url(question))


def test_the_policy_says_where_and_how_long(client, cast):
    client.force_login(cast.finance)
    page = told(client, reverse("admin:billing_policy_edit"))
    assert "Questions are mailed to" in page
    assert Policy().question_days == 5


def test_the_command_lists_and_shows(cast, question, capsys):
    call_command("questions", "list", "-p", "2025-01")
    assert f"{question.line}" in capsys.readouterr().out
    call_command("questions", "show", str(question.pk))
    assert "belongs to the award." in capsys.readouterr().out


def test_the_month_counts_what_a_question_holds_among_what_is_held_and_asks_nobody_to_decide_it(question, cast, client):
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:index"), {"period": "2025-01"})
    board = page.context["board"]
    assert (board.held, board.held_billed) == (2, {"USD": Decimal(42)})
    assert [(reason.code, reason.count) for reason in board.reasons] == [("disputed", 2)]
    assert (board.to_decide, board.may_carry) == (0, False)
    assert "Nothing is held." not in page.text


def test_a_line_is_named_as_people_read_it(question, cast, client):
    client.force_login(cast.reviewer)
    record = client.get(reverse("admin:billing_question_change", args=[question.pk])).text
    for page in (client.get(LIST).text, record):
        assert "2025-01-0001-1, line 1" in page
