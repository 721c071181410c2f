"""Questions of PIs: in time they hold their line alone, are answered once, and keep no month from closing."""

import datetime
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from billing import charging, corrections, questions, review
from billing.audit import Actor
from billing.models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    Correction,
    DisputedCharge,
    Flag,
    FundingSource,
    Job,
    Message,
    PayerLine,
    Person,
    Question,
    ReviewDecision,
)
from billing.models.questions import QuestionFrozen
from billing.models.standing import KeptForEver
from billing.months import checklist, closing
from billing.questions import AnsweredAlready, AskedAlready, ProposalRefused, QuestionRefused, Subject, TooManyQuestions
from billing.replay import recording
from statements import issuing
from statements.models import Statement
from statements.questions import lines
from tests import build
from tests.billing.deliveries import a_row, delivered
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

State = Question.State
BY = {"actor": SOMEBODY, "now": NOW}
LATER = NOW + datetime.timedelta(days=30)


@pytest.fixture
def january(cast):
    """January with statements out, in review until February 10: Ada pays Compute and Storage, Mallory has her own."""
    build.a_charge("40.00", resource_name="login-node")
    build.a_charge("2.00", resource_name="gpu-14")
    build.a_charge("10.00", service_name="Storage")
    build.a_charge("66.00", pi="mallory@u.edu", project="mischief")
    period = build.a_period()
    issuing.generate(period=period, **BY)
    return closing.start_review(period=period, until=datetime.date(2025, 2, 10), **BY)


def hers() -> Statement:
    return Statement.objects.live().get(pi__email="ada@u.edu", project__code="genomics", period__month="2025-01-01")


def line_of(service: str) -> int:
    return hers().lines.filter(service_name=service).earliest("number").number


def subject(service: str = "Compute", charge: str = "") -> Subject:
    return lines.subject_of(hers(), line_of(service), charge=charge)


def ada(cast) -> Actor:
    return Actor.from_user(cast.pi)


def ask(cast, *, of: Subject | None = None, now=NOW, **given) -> Question:
    options = {"reason": "usage", "text": "We did not use that much.", **given}
    return questions.ask(subject=of or subject(), actor=ada(cast), now=now, **options)


def states(service: str = "Compute") -> set[str]:
    return set(
        Charge.objects.filter(pi__email="ada@u.edu", product__service_name=service).values_list("state", flat=True)
    )


def staff(user) -> dict:
    return {"actor": Actor.from_user(user), "now": NOW}


# Asking --------------------------------------------------------------------------------------------------------------


def test_a_question_in_time_holds_its_line_and_nothing_else(cast, january):
    question = ask(cast)
    assert (question.state, question.is_in_time, question.amount) == (State.ASKED, True, Decimal(42))
    assert question.line == f"{hers().number}:{line_of('Compute')}"
    assert states() == {"held"}
    assert states("Storage") == {"clear"}
    assert set(Charge.objects.filter(pi__email="mallory@u.edu").values_list("state", flat=True)) == {"clear"}
    flags = Flag.objects.filter(code="disputed")
    assert {(flag.detail, flag.is_resolved) for flag in flags} == {(f"Question {question.pk}", False)}
    assert flags.count() == 2


def test_a_question_about_one_charge_holds_that_charge(cast, january):
    of = Charge.objects.get(resource__resource_name="gpu-14")
    question = ask(cast, of=subject(charge=str(of.pk)))
    assert question.charge == of
    assert question.amount == Decimal(2)
    assert list(Charge.objects.held()) == [of]


def test_the_month_and_the_policy_decide_whether_a_question_holds(cast, january):
    late = ask(cast, now=datetime.datetime(2025, 2, 11, 12, tzinfo=datetime.UTC))
    assert not late.is_in_time
    assert states() == {"clear"}
    # It is marked all the same, while the month takes changes.
    assert Flag.objects.filter(code="disputed").count() == 2
    build.a_policy(questions_hold_charges=False)
    ask(cast, of=subject("Storage"))
    assert states("Storage") == {"clear"}


def test_a_question_of_an_open_month_is_in_time(cast):
    build.a_charge("40.00")
    issuing.generate(period=build.a_period(), **BY)
    assert ask(cast, now=LATER).is_in_time
    assert states() == {"held"}


def test_a_closed_month_takes_a_question_and_changes_nothing(cast, january):
    closing.close(period=january, **BY)
    before = list(Charge.objects.order_by("pk").values())
    question = ask(cast)
    assert not question.is_in_time
    assert list(Charge.objects.order_by("pk").values()) == before
    assert not Flag.objects.filter(code="disputed").exists()


def test_what_is_split_or_shared_is_on_other_lines_too_and_is_not_held(cast):
    split = build.a_split({"BIO-001": "60", "CHEM-2": "40"})
    build.a_charge("100.00", payer_split=split, fund_org="")
    issuing.generate(period=build.a_period(), **BY)
    question = ask(cast)
    assert questions.charges_of(question) == []
    assert states() == {"clear"}


def test_a_line_has_one_open_question_and_a_second_one_after_the_answer(cast, january):
    first = ask(cast)
    with pytest.raises(AskedAlready, match=f"open question {first.pk}"):
        ask(cast)
    questions.leave(question=first, text="It is right.", **staff(cast.reviewer))
    assert ask(cast).pk > first.pk


def test_the_database_takes_one_open_question_for_a_line(cast, january):
    first = ask(cast)
    values = {
        field.attname: getattr(first, field.attname)
        for field in Question._meta.concrete_fields
        if not field.primary_key
    }
    with pytest.raises(DatabaseError), transaction.atomic():
        Question.objects.create(**values)


@pytest.mark.parametrize("text", ["", " \n ", "x" * 2_001])
def test_a_message_says_something_and_not_too_much(cast, january, text):
    with pytest.raises(QuestionRefused):
        ask(cast, text=text)
    assert not Question.objects.exists()


def test_nobody_asks_or_writes_without_end(cast, january, monkeypatch):
    monkeypatch.setattr("billing.questions.asking.MOST_QUESTIONS", 1)
    monkeypatch.setattr("billing.questions.asking.MOST_MESSAGES", 3)
    question = ask(cast)
    with pytest.raises(TooManyQuestions):
        ask(cast, of=subject("Storage"))
    for _ in range(2):
        questions.write(question=question, text="And?", actor=ada(cast), now=NOW)
    with pytest.raises(TooManyQuestions):
        questions.write(question=question, text="And?", actor=ada(cast), now=NOW)
    # The next day is another one.
    assert ask(cast, of=subject("Storage"), now=NOW + datetime.timedelta(days=2))


def test_staff_have_a_day_to_answer_by(cast, january):
    build.a_policy(question_days=3)
    assert ask(cast).respond_by == datetime.date(2025, 2, 6)


def test_what_is_written_is_cleaned(cast, january):
    question = ask(cast, text="  a\u202eb\x07\r\nc ")
    assert question.messages.get().text == "ab\nc"


# Proposing -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def funds(january):
    """Ada's project has two further funds on the list, one of them a sponsored award; Mallory's has one."""
    project = build.a_project("genomics")
    project.pi = Person.objects.get(email="ada@u.edu")
    project.save()
    for fund_org, own, sponsored in (
        ("BIO-001", True, False),
        ("GIFT-2", True, False),
        ("NSF-3", True, True),
        ("ENDED-4", True, False),
        ("MAL-5", False, False),
    ):
        fund = build.a_fund(fund_org, is_sponsored=sponsored)
        fund.projects.set([project] if own else [build.a_project("mischief")])
    FundingSource.objects.filter(fund_org="ENDED-4").update(valid_until=datetime.date(2024, 12, 31))
    return project


def moved(cast, to: dict[str, str], **given) -> Question:
    proposed = {fund_org: Decimal(percent) for fund_org, percent in to.items()}
    return ask(cast, reason="fund", proposed=proposed, **given)


def test_only_valid_funds_of_the_own_project_are_offered(cast, funds):
    january = {"first": datetime.date(2025, 1, 1), "last": datetime.date(2025, 1, 31)}
    pi = Person.objects.get(email="ada@u.edu")
    offered = questions.funds_for(pi=pi, project=funds, besides={"BIO-001"}, **january)
    assert [fund.fund_org for fund in offered] == ["GIFT-2", "NSF-3"]


def test_of_a_project_of_somebody_else_only_what_one_pays_with_is_offered(cast, funds):
    mallory = Person.objects.get(email="mallory@u.edu")
    build.a_charge("5.00", pi="mallory@u.edu", project="genomics", fund_org="MAL-5")
    charging.make_payer_lines(period=build.a_period(), **BY)
    offered = questions.funds_for(
        pi=mallory, project=funds, first=datetime.date(2025, 1, 1), last=datetime.date(2025, 1, 31)
    )
    assert [fund.fund_org for fund in offered] == ["MAL-5"]


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ({"MAL-5": "100"}, "not among the valid funds"),
        ({"ENDED-4": "100"}, "not among the valid funds"),
        ({"GIFT-2": "60", "NSF-3": "30"}, "make 100"),
        ({"BIO-001": "100"}, "pays already"),
    ],
)
def test_a_proposal_that_cannot_be_is_refused(cast, funds, to, said):
    with pytest.raises(ProposalRefused, match=said):
        moved(cast, to)
    assert not Question.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        "There is no money left.",
        "The award has been exhausted",
        "We are out of funds",
        "NSF is overspent",
        "over budget",
    ],
)
def test_no_money_left_is_no_reason_to_move_a_sponsored_award(cast, funds, text):
    with pytest.raises(ProposalRefused, match=r"2 CFR 200\.405"):
        moved(cast, {"NSF-3": "100"}, text=text)
    # From an own fund to another that is no award, it is for the institution to say.
    assert moved(cast, {"GIFT-2": "100"}, text=text)


def test_a_split_with_a_sponsored_award_needs_its_basis(cast, funds):
    with pytest.raises(ProposalRefused, match="basis"):
        moved(cast, {"NSF-3": "60", "BIO-001": "40"})
    question = moved(cast, {"NSF-3": "60", "BIO-001": "40"}, basis="Hours of use in January")
    assert question.is_sponsored
    assert question.proposed_text == "BIO-001 40%, NSF-3 60%"


def test_in_time_and_where_policy_allows_it_is_a_proposal(cast, funds):
    assert moved(cast, {"GIFT-2": "100"}).kind == "question"
    build.a_policy(pis_propose=True)
    assert moved(cast, {"GIFT-2": "100"}, of=subject("Storage")).kind == "proposal"


# Answering -----------------------------------------------------------------------------------------------------------


def test_a_reply_keeps_it_open_and_the_pi_answers(cast, january):
    question = ask(cast)
    replied = questions.reply(question=question, text="Which node?", **staff(cast.reviewer))
    assert replied.state == State.REPLIED
    assert states() == {"held"}
    again = questions.write(question=question, text="gpu-14", actor=ada(cast), now=NOW)
    assert again.state == State.ASKED
    thread = [(each.is_from_staff, each.written_by_name) for each in question.messages.order_by("pk")]
    assert thread == [(False, "Ada Lovelace"), (True, "rex"), (False, "Ada Lovelace")]


def test_what_stays_is_charged_as_before(cast, january):
    approved = Charge.objects.filter(resource__resource_name="gpu-14")
    approved.update(state="approved")
    question = ask(cast)
    done = questions.leave(question=question, text="It is right.", **staff(cast.reviewer))
    assert (done.state, done.outcome, done.ended_by_name) == (State.ANSWERED, "stays", "rex")
    assert states() == {"clear", "approved"}
    assert approved.get().state == "approved"
    assert not Flag.objects.filter(code="disputed", is_resolved=False).exists()
    assert not DisputedCharge.objects.filter(ended_at=None).exists()


def test_what_something_else_holds_by_now_stays_held(cast, january):
    question = ask(cast)
    other = Charge.objects.get(resource__resource_name="gpu-14")
    Flag.objects.create(charge=other, code="fund_not_valid")
    questions.leave(question=question, text="It is right.", **staff(cast.reviewer))
    assert list(Charge.objects.held()) == [other]


def test_an_approval_is_a_decision_that_leads_to_the_question(cast, january):
    question = ask(cast)
    questions.charge_as_it_is(question=question, text="Read from the meter.", **staff(cast.reviewer))
    question.refresh_from_db()
    assert question.outcome == "approved"
    assert states() == {"approved"}
    decisions = ReviewDecision.objects.filter(gesture=question.gesture)
    assert {(each.action, each.note) for each in decisions} == {
        ("approve", f"Question {question.pk}: Read from the meter.")
    }


def test_a_rejection_needs_a_reason_and_nobody_pays(cast, january):
    question = ask(cast)
    with pytest.raises(review.decisions.ReasonMissing):
        questions.reject(question=question, reason="", text="Twice.", **staff(cast.reviewer))
    questions.reject(
        question=question, reason="duplicate", provider_credits=True, text="Billed twice.", **staff(cast.reviewer)
    )
    assert states() == {"rejected"}


def test_as_proposed_the_charges_go_to_the_other_fund(cast, funds):
    question = moved(cast, {"GIFT-2": "100"})
    done = questions.apply(question=question, **staff(cast.reviewer))
    assert (done.state, done.outcome) == (State.ANSWERED, "moved")
    mine = Charge.objects.filter(pi__email="ada@u.edu", product__service_name="Compute")
    assert set(mine.values_list("fund_org", "state", "attributed_by")) == {("GIFT-2", "clear", "decision")}
    assert done.messages.latest("pk").text == "It is charged to GIFT-2 as you proposed."


def test_as_proposed_the_charges_are_split(cast, funds):
    question = moved(cast, {"GIFT-2": "60", "BIO-001": "40"})
    questions.apply(question=question, **staff(cast.reviewer))
    charging.make_payer_lines(period=build.a_period(), **BY)
    lines_of = PayerLine.objects.filter(pi__email="ada@u.edu", service_name="Compute")
    assert dict(lines_of.values_list("fund_org", "charged")) == {
        "GIFT-2": Decimal("25.20"),
        "BIO-001": Decimal("16.80"),
    }


def test_a_move_of_a_sponsored_award_waits_for_finance(cast, funds):
    question = moved(cast, {"NSF-3": "100"}, text="It is the work of the award.")
    waiting = questions.apply(question=question, **staff(cast.reviewer))
    assert waiting.state == State.APPROVAL
    assert states() == {"held"}
    for verb in (questions.apply, questions.leave):
        with pytest.raises(Exception, match="waits for approval"):
            verb(question=question, text="x", **staff(cast.reviewer))
    back = questions.decline_move(question=question, text="Name the grant.", **staff(cast.finance))
    assert back.state == State.ASKED
    questions.apply(question=question, **staff(cast.reviewer))
    done = questions.approve_move(question=question, **staff(cast.finance))
    assert (done.outcome, done.ended_by_name) == ("moved", "fay")


def test_finance_applies_a_move_of_a_sponsored_award_at_once(cast, funds):
    question = moved(cast, {"NSF-3": "100"}, text="It is the work of the award.")
    assert questions.apply(question=question, **staff(cast.finance)).outcome == "moved"


@pytest.mark.parametrize("verb", [questions.reply, questions.leave, questions.charge_as_it_is, questions.apply])
def test_a_question_is_answered_once(cast, january, verb):
    question = ask(cast)
    questions.leave(question=question, text="It is right.", **staff(cast.reviewer))
    events = AuditEvent.objects.count()
    with pytest.raises(AnsweredAlready, match="was answered by rex already"):
        verb(question=question, text="No!", **staff(cast.finance))
    assert AuditEvent.objects.count() == events
    assert question.messages.count() == 2


def test_who_asked_takes_it_back(cast, january):
    question = ask(cast)
    gone = questions.withdraw(question=question, actor=ada(cast), now=NOW)
    assert (gone.state, gone.outcome) == (State.WITHDRAWN, "")
    assert states() == {"clear"}
    with pytest.raises(AnsweredAlready, match="was withdrawn by Ada Lovelace"):
        questions.leave(question=question, text="It is right.", **staff(cast.reviewer))


def test_two_questions_about_a_charge_hold_it_until_both_are_answered(cast, january):
    of = Charge.objects.get(resource__resource_name="gpu-14")
    one = ask(cast, of=subject(charge=str(of.pk)))
    whole = ask(cast)
    questions.leave(question=one, text="It is right.", **staff(cast.reviewer))
    of.refresh_from_db()
    assert of.state == "held"
    questions.leave(question=whole, text="It is right.", **staff(cast.reviewer))
    assert states() == {"clear"}


# The close -----------------------------------------------------------------------------------------------------------


def item(code: str):
    return checklist.of(BillingPeriod.objects.get(month=datetime.date(2025, 1, 1)), only=[code]).item(code)


def test_no_question_keeps_a_month_from_closing_and_its_charges_post(cast, january):
    question = ask(cast)
    assert item("held").state == checklist.State.DONE
    told = item("questions")
    assert (told.state, told.count) == (checklist.State.WARNING, 1)
    assert (
        "2 charges wait for an answer (42.00 USD billed). If the month closes first, they are charged as before."
        in told.text
    )
    closing.close(period=january, **BY)
    question.refresh_from_db()
    assert question.state == State.ASKED
    assert states() == {"clear"}
    assert AuditEvent.objects.filter(action="charge.released").count() == 2
    assert "1 question is open" in item("questions").text


def test_what_is_held_for_another_reason_too_keeps_the_month_open(cast, january):
    ask(cast)
    other = Charge.objects.get(resource__resource_name="gpu-14")
    Flag.objects.create(charge=other, code="missing_pi")
    assert item("held").count == 1
    with pytest.raises(closing.PeriodHasHeldCharges):
        closing.close(period=january, **BY)
    # A refused close changes nothing.
    assert states() == {"held"}


def test_what_a_question_holds_is_carried_to_no_other_month(cast, january):
    ask(cast)
    with pytest.raises(closing.NothingToCarry):
        closing.carry_over(period=january, **BY)
    held = build.a_charge("3.00", flags=("pattern_match",))
    closing.close(period=january, carry_held=True, **BY)
    held.refresh_from_db()
    assert held.charged_in.iso_month == "2025-02"
    assert {charge.charged_in.iso_month for charge in Charge.objects.filter(product__service_name="Compute")} == {
        "2025-01",
        "2025-02",
    }
    assert Charge.objects.in_month(january).held().count() == 0


def test_a_question_about_a_closed_month_is_answered_by_a_correction(cast, january):
    question = ask(cast)
    closing.close(period=january, **BY)
    for verb in (questions.charge_as_it_is, questions.reject):
        with pytest.raises(Exception, match="the month is closed|The month is closed"):
            verb(question=question, text="x", **({"reason": "duplicate"} if verb is questions.reject else {}), **BY)
    entered = corrections.add_refund(
        lines=corrections.lines_named([question.line]),
        amount=Decimal(2),
        reason="gpu-14 was down",
        printed_text="The failed node is no longer charged.",
        charged_in=build.a_period("2025-02"),
        question=question,
        **staff(cast.reviewer),
    )
    question.refresh_from_db()
    assert (question.state, question.outcome) == (State.ANSWERED, "corrected")
    assert entered.correction.question == question
    said = question.messages.latest("pk").text
    assert said == "The failed node is no longer charged. It is on your next statement of February 2025."
    with pytest.raises(AnsweredAlready):
        corrections.add_refund(
            lines=corrections.lines_named([question.line]), reason="again", question=question, **staff(cast.reviewer)
        )


def test_a_correction_that_moves_a_sponsored_award_waits_for_finance(cast, funds):
    question = moved(cast, {"NSF-3": "100"}, text="It is the work of the award.")
    closing.close(period=build.a_period(), **BY)
    given = {
        "lines": corrections.lines_named([question.line]),
        "to": {"NSF-3": Decimal(100)},
        "reason": "As asked",
        "charged_in": build.a_period("2025-02"),
        "question": question,
    }
    entered = corrections.add_transfer(**given, **staff(cast.reviewer)).correction
    question.refresh_from_db()
    assert (entered.state, question.state) == ("proposed", State.APPROVAL)
    with pytest.raises(Exception, match="approve or reject that"):
        questions.approve_move(question=question, **staff(cast.finance))
    corrections.reject(correction=entered, note="Wrong", **staff(cast.finance))
    question.refresh_from_db()
    assert question.state == State.ASKED
    again = corrections.add_transfer(**given, **staff(cast.reviewer)).correction
    corrections.approve(correction=again, **staff(cast.finance))
    question.refresh_from_db()
    assert (question.outcome, Correction.objects.get(pk=again.pk).state) == ("corrected", "approved")


@pytest.mark.parametrize("was", ["clear", "approved"])
def test_a_newer_file_leaves_what_it_changes_in_question(cast, tmp_path, was):
    delivered(tmp_path, [a_row("40.00"), a_row("2.00", ResourceId="i-2")])
    Charge.objects.update(state=was)
    issuing.generate(period=build.a_period(), **BY)
    question = ask(cast)
    delivered(tmp_path, [a_row("41.00"), a_row("2.00", ResourceId="i-2"), a_row("3.00", ResourceId="i-3")], "aws_2.csv")
    live = Charge.objects.live().order_by("billed_cost")
    assert [charge.state for charge in live] == ["held", "clear", "held"]
    questions.leave(question=question, text="It is right.", **staff(cast.reviewer))
    # Nobody approved the new amount; nothing stands against it either.
    assert [charge.state for charge in live.all()] == [was, "clear", "clear"]
    assert not Flag.objects.filter(code="disputed", is_resolved=False).exists()


# Projects ------------------------------------------------------------------------------------------------------------


def propose(cast, funds, to: dict[str, str], **given) -> Question:
    proposed = {fund_org: Decimal(percent) for fund_org, percent in to.items()}
    options = {"reason": "mistake", "text": "The work is of the gift.", "starts_on": datetime.date(2025, 3, 1), **given}
    pi = Person.objects.get(email="ada@u.edu")
    return questions.propose(pi=pi, project=funds, proposed=proposed, actor=ada(cast), now=NOW, **options)


def test_a_proposal_needs_the_policy_and_is_for_what_comes(cast, funds):
    with pytest.raises(ProposalRefused, match="takes no proposals"):
        propose(cast, funds, {"GIFT-2": "100"})
    build.a_policy(pis_propose=True)
    with pytest.raises(ProposalRefused, match="for what comes"):
        propose(cast, funds, {"GIFT-2": "100"}, starts_on=datetime.date(2025, 2, 2))
    with pytest.raises(QuestionRefused, match="Choose why"):
        propose(cast, funds, {"GIFT-2": "100"}, reason="usage")


def test_one_fund_becomes_the_default_and_ends_the_split(cast, funds):
    build.a_policy(pis_propose=True)
    split = build.a_split({"BIO-001": "60", "NSF-3": "40"}, project=funds)
    question = propose(cast, funds, {"GIFT-2": "100"}, text="The award does not benefit.")
    assert question.is_sponsored
    with pytest.raises(AskedAlready):
        propose(cast, funds, {"BIO-001": "100"})
    done = questions.apply(question=question, **staff(cast.finance))
    assert done.outcome == "changed"
    funds.refresh_from_db()
    split.refresh_from_db()
    assert funds.default_fund_org == "GIFT-2"
    assert split.valid_until == datetime.date(2025, 2, 28)
    assert {"project.changed", "payer_split.changed"} <= set(AuditEvent.objects.values_list("action", flat=True))


def test_several_become_a_split_from_its_day_on(cast, funds):
    build.a_policy(pis_propose=True)
    question = propose(cast, funds, {"GIFT-2": "50", "BIO-001": "50"})
    questions.apply(question=question, **staff(cast.reviewer))
    split = funds.payer_splits.get()
    assert split.valid_from == datetime.date(2025, 3, 1)
    assert dict(split.shares.values_list("fund_org", "percent")) == {"GIFT-2": Decimal(50), "BIO-001": Decimal(50)}
    before, after = build.a_charge(), build.a_charge(period="2025-03")
    for period in ("2025-01", "2025-03"):
        charging.make_payer_lines(period=build.a_period(period), **BY)
    assert {line.fund_org for line in PayerLine.objects.filter(period=after.period)} == {"GIFT-2", "BIO-001"}
    assert "GIFT-2" not in {line.fund_org for line in PayerLine.objects.filter(period=before.period)}


# What stands ---------------------------------------------------------------------------------------------------------


def test_what_was_asked_and_written_stands(cast, january):
    question = ask(cast)
    for change in (
        lambda: Question.objects.update(reason="other"),
        lambda: Question.objects.all().delete(),
        lambda: question.delete(),
        lambda: question.save(),
    ):
        with pytest.raises(QuestionFrozen):
            change()
    with pytest.raises(KeptForEver):
        Message.objects.update(text="x")
    questions.leave(question=question, text="It is right.", **staff(cast.reviewer))
    statements = (
        "UPDATE billing_question SET reason = 'other'",
        "UPDATE billing_question SET state = 'asked', outcome = '', ended_at = NULL, ended_by_name = ''",
        "DELETE FROM billing_question",
        "UPDATE billing_message SET text = 'x'",
        "DELETE FROM billing_message",
        "UPDATE billing_disputedcharge SET was = 'held'",
        "DELETE FROM billing_disputedcharge",
    )
    for statement in statements:
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_everything_is_in_the_audit_log_and_is_mailed(cast, january):
    question = ask(cast)
    questions.reply(question=question, text="Which node?", **staff(cast.reviewer))
    questions.write(question=question, text="gpu-14", actor=ada(cast), now=NOW)
    questions.leave(question=question, text="It is right.", **staff(cast.finance))
    told = AuditEvent.objects.filter(object_type="question").order_by("pk").values_list("action", "actor_name")
    assert list(told) == [
        ("question.asked", "ada"),
        ("question.replied", "rex"),
        ("question.asked_again", "ada"),
        ("question.answered", "fay"),
    ]
    jobs = Job.objects.filter(kind=Job.Kind.TELL)
    assert [job.arguments["message"] for job in jobs.order_by("pk")] == list(
        question.messages.order_by("pk").values_list("pk", flat=True)
    )
    # A PI has no role that a job would take.
    assert {job.created_by for job in jobs} == {None}


def test_a_month_can_be_replayed_whose_correction_answers_a_question(cast, tmp_path):
    delivered(tmp_path, [a_row("40.00")])
    issuing.generate(period=build.a_period(), **BY)
    question = ask(cast)
    closing.close(period=build.a_period(), **BY)
    corrections.add_refund(
        lines=corrections.lines_named([question.line]),
        reason="Two days without service",
        charged_in=build.a_period("2025-02"),
        question=question,
        **BY,
    )
    folder = tmp_path / "replayed"
    folder.mkdir()
    recording.record(build.a_period("2025-02"), folder)
    recorded = (folder / "recording.json").read_text(encoding="utf-8")
    # Questions are not taken along: they decide neither who pays nor how much.
    assert '"question": null' in recorded
    assert "billing.question" not in recorded
