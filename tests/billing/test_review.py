"""What people decide about charges, and what is kept of it."""

import datetime
import io
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import review
from billing.attribution import naming
from billing.errors import MissingCenterFundOrg, ReasonMissing
from billing.models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    Flag,
    ImportedFile,
    PayerSplit,
    Person,
    PersonAlias,
    Project,
    ReviewDecision,
    StoredFile,
)
from billing.review import Reassignment, selections
from billing.review.locked_charges import LockedCharges
from billing.setup import registers
from tests.build import (
    NOW,
    SOMEBODY,
    a_charge,
    a_fund,
    a_period,
    a_pi,
    a_policy,
    a_project,
    a_split,
)

pytestmark = pytest.mark.django_db

# Which takes some locks and ids with queries of their own.
IS_POSTGRESQL = "postgresql" in settings.DATABASES["default"]["ENGINE"]

BY: dict[str, Any] = {"actor": SOMEBODY, "now": NOW}


def a_held_charge(billed="100.00", *flags, **fields):
    return a_charge(billed, flags=flags or ("pattern_match",), **fields)


def close(period="2025-01"):
    BillingPeriod.objects.filter(pk=a_period(period).pk).update(status="closed", closed_at=NOW)


def state_of(charge):
    return Charge.objects.get(pk=charge.pk).state


def codes_of(charge):
    return sorted(Flag.objects.filter(charge=charge, is_resolved=False).values_list("code", flat=True))


def correct(charge, *, approve=False, create=True, note="", **reassignment):
    return review.reattribute(
        charges=[charge.pk], reassignment=Reassignment(**reassignment), approve=approve, create=create, note=note, **BY
    )


def approve(*charges):
    return review.approve(charges=[charge.pk for charge in charges], **BY)


# Approve


def test_an_approved_charge_is_paid_by_its_pi():
    charge = a_held_charge()
    decided = review.approve(charges=[charge.pk], note="Known instance", **BY)
    assert (decided.count, decided.skipped) == (1, {})
    assert state_of(charge) == "approved"
    assert str(decided) == "1 charge approved."


def test_a_decision_keeps_who_when_why_and_which_line_of_which_file():
    charge = a_held_charge()
    stored = StoredFile.objects.create(sha256="a" * 64, size=1, path="a", received_at=NOW)
    ImportedFile.objects.create(imported_in=charge.imported_in, file=stored, number=1, name="aws.csv")
    review.approve(charges=[charge.pk], note="Known instance", **BY)
    decision = ReviewDecision.objects.get()
    assert (decision.charge, decision.action, decision.note) == (charge, "approve", "Known instance")
    assert (decision.decided_by_name, decision.decided_at) == ("somebody", NOW)
    assert (decision.file_sha256, decision.line_number) == ("a" * 64, charge.line_number)
    assert (decision.before, decision.after) == ({"state": "held"}, {"state": "approved"})


def test_every_charge_has_an_event_and_one_act_groups_them():
    charges = [a_held_charge(), a_held_charge()]
    approve(*charges)
    events = AuditEvent.objects.filter(action="charge.approved")
    assert {event.object_id for event in events} == {str(charge.pk) for charge in charges}
    assert {event.gesture for event in events} == set(ReviewDecision.objects.values_list("gesture", flat=True))
    assert len({event.gesture for event in events}) == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"pi": None}, "no PI: correct who pays first"),
        ({"fund_org": ""}, "no fund/org or split: correct who pays first"),
        ({"pi": None, "fund_org": ""}, "no PI and no fund/org or split: correct who pays first"),
    ],
)
def test_a_charge_that_nobody_pays_is_not_approved(fields, why):
    charge = a_held_charge("100.00", "missing_project", **fields)
    decided = approve(charge)
    assert (decided.count, decided.skipped) == (0, {why: 1})
    assert state_of(charge) == "held"
    assert not ReviewDecision.objects.exists()
    assert str(decided) == f"No charge approved; 1 skipped: {why}."


@pytest.mark.parametrize("code", sorted(set(Flag.BLOCKING) - set(Flag.ANSWERED_ELSEWHERE)))
def test_a_blocking_flag_waits_for_a_reassignment_and_an_answered_one_does_not(code):
    charge = a_held_charge("100.00", code)
    assert approve(charge).count == 0
    Flag.objects.update(is_resolved=True)
    assert approve(charge).count == 1


@pytest.mark.parametrize("code", sorted(set(Flag.Code) - set(Flag.BLOCKING)))
def test_approval_answers_a_flag_that_only_asks(code):
    charge = a_held_charge("100.00", code)
    assert approve(charge).count == 1


def test_a_split_is_as_good_as_a_fund():
    charge = a_held_charge("100.00", fund_org="", payer_split=a_split({"A": "60", "B": "40"}))
    assert approve(charge).count == 1


def test_charges_of_a_closed_period_are_skipped_and_said_so():
    january, february = a_held_charge(), a_held_charge(period="2025-02")
    close("2025-01")
    decided = approve(january, february)
    assert (decided.count, decided.skipped) == (1, {"period January 2025 is closed": 1})
    assert (state_of(january), state_of(february)) == ("held", "approved")
    assert str(decided) == "1 charge approved; 1 skipped: period January 2025 is closed."


@pytest.mark.parametrize(
    "verb",
    [
        lambda pk: review.approve(charges=[pk], **BY),
        lambda pk: review.reject(provider_credits=True, charges=[pk], reason="test", **BY),
        lambda pk: review.charge_to_center(charges=[pk], **BY),
        lambda pk: review.reattribute(charges=[pk], reassignment=Reassignment(pi="new@u.edu"), create=True, **BY),
        lambda pk: review.split(charges=[pk], shares={"A": Decimal(100)}, **BY),
        lambda pk: review.undo(charges=[pk], **BY),
    ],
)
def test_no_verb_touches_a_closed_period(verb):
    a_policy(center_fund_org="RC-1")
    charge = a_held_charge()
    approve(charge)
    close()
    was = Charge.objects.filter(pk=charge.pk).values().get()
    decided = verb(charge.pk)
    assert (decided.count, decided.skipped) == (0, {"period January 2025 is closed": 1})
    assert Charge.objects.filter(pk=charge.pk).values().get() == was


def test_a_withdrawn_charge_is_skipped():
    charge = a_held_charge()
    Charge.objects.update(withdrawn_in=charge.imported_in)
    assert approve(charge).skipped == {"withdrawn: a later import replaced it": 1}


def test_an_unknown_charge_is_named_and_nothing_is_decided():
    charge = a_held_charge()
    with pytest.raises(review.UnknownCharge, match="There is no charge 999999."):
        review.approve(charges=[charge.pk, 999999], **BY)
    assert state_of(charge) == "held"


def test_a_selection_can_be_a_query():
    charges = [a_held_charge(), a_held_charge(period="2025-02")]
    decided = review.approve(charges=Charge.objects.held().filter(charged_in=a_period("2025-02")), **BY)
    assert decided.count == 1
    assert [state_of(charge) for charge in charges] == ["held", "approved"]


def test_several_reasons_to_skip_are_counted_apart():
    approved = a_held_charge()
    approve(approved)
    decided = approve(a_held_charge(), approved, a_charge(), a_held_charge("1.00", pi=None), a_held_charge(pi=None))
    assert str(decided) == (
        "1 charge approved; 4 skipped: no PI: correct who pays first (2); approved already (1); "
        "clear: it needs no approval (1)."
    )


def test_a_race_is_refused_and_nothing_of_it_stays(monkeypatch):
    charges = [a_held_charge(), a_held_charge()]
    save = LockedCharges.save

    def save_after_somebody_else(self, ids):
        Charge.objects.filter(pk=charges[1].pk).update(state="rejected")
        save(self, ids)

    monkeypatch.setattr(LockedCharges, "save", save_after_somebody_else)
    with pytest.raises(review.ChargesChanged):
        approve(*charges)
    assert state_of(charges[0]) == "held"
    assert not ReviewDecision.objects.exists()
    assert not AuditEvent.objects.exists()


def test_approving_many_takes_no_more_queries_than_approving_few(django_assert_max_num_queries):
    for _ in range(60):
        a_held_charge()
    with django_assert_max_num_queries(34 + 4 * IS_POSTGRESQL):
        assert review.approve(charges=Charge.objects.held(), **BY).count == 60


# Reject, and charge to center


def test_a_rejection_has_a_reason_code():
    charge = a_held_charge()
    review.reject(provider_credits=True, charges=[charge.pk], reason="duplicate", note="See ticket 7", **BY)
    assert state_of(charge) == "rejected"
    decision = ReviewDecision.objects.get()
    assert (decision.action, decision.reason, decision.note) == ("reject", "duplicate", "See ticket 7")
    assert AuditEvent.objects.get().action == "charge.rejected"


@pytest.mark.parametrize(("reason", "note"), [("other", " "), ("nonsense", "because"), ("", "because")])
def test_a_rejection_without_a_reason_is_refused(reason, note):
    charge = a_held_charge()
    with pytest.raises(ReasonMissing):
        review.reject(provider_credits=True, charges=[charge.pk], reason=reason, note=note, **BY)
    assert state_of(charge) == "held"


def test_a_clear_charge_may_be_rejected_and_undone_it_is_held():
    charge = a_charge()
    assert review.reject(provider_credits=True, charges=[charge.pk], reason="test", **BY).count == 1
    assert state_of(charge) == "rejected"
    assert review.undo(charges=[charge.pk], **BY).count == 1
    assert state_of(charge) == "held"


def test_charging_to_the_center_needs_the_centers_own_fund():
    charge = a_held_charge()
    with pytest.raises(MissingCenterFundOrg, match="Set it in the policy"):
        review.charge_to_center(charges=[charge.pk], **BY)
    a_policy(center_fund_org="RC-1")
    assert review.charge_to_center(charges=[charge.pk], **BY).count == 1
    assert state_of(charge) == "charged_to_center"


def test_a_charge_without_pi_or_fund_may_be_charged_to_the_center_or_rejected():
    a_policy(center_fund_org="RC-1")
    charges = [a_held_charge("1.00", "missing_pi", pi=None, fund_org="") for _ in range(2)]
    assert review.charge_to_center(charges=[charges[0].pk], **BY).count == 1
    assert review.reject(provider_credits=True, charges=[charges[1].pk], reason="test", **BY).count == 1


@pytest.mark.parametrize("decided", ["approved", "rejected", "charged_to_center"])
def test_a_decision_has_to_be_undone_before_another_one(decided):
    a_policy(center_fund_org="RC-1")
    charge = a_held_charge(state=decided)
    skipped = {
        **approve(charge).skipped,
        **review.reject(provider_credits=True, charges=[charge.pk], reason="test", **BY).skipped,
        **review.charge_to_center(charges=[charge.pk], **BY).skipped,
    }
    assert skipped == {f"{decided} already: undo that first": 1, f"{decided} already": 1}
    assert state_of(charge) == decided


# Reattribute


def test_a_reassignment_says_who_pays_and_answers_what_was_missing():
    charge = a_held_charge(
        "100.00", "missing_pi", "missing_fund_org", "missing_project", pi=None, project=None, fund_org=""
    )
    decided = correct(charge, pi=" Ada@U.edu", project="genomics", fund_org="BIO-001", note="By phone")
    assert str(decided) == "1 charge reattributed. PI ada@u.edu is created. Project genomics is created."
    charge.refresh_from_db()
    assert (charge.pi.email, charge.project.code, charge.fund_org) == ("ada@u.edu", "genomics", "BIO-001")
    assert charge.attributed_by == "decision"
    assert charge.state == "held"
    assert codes_of(charge) == []
    assert Flag.objects.filter(charge=charge, is_resolved=True).count() == 3
    decision = ReviewDecision.objects.get()
    assert (decision.action, decision.note) == ("reattribute", "By phone")
    assert (decision.before["pi"], decision.before["fund_org"]) == ("", "")
    assert (decision.after["pi"], decision.after["project"], decision.after["fund_org"]) == (
        "ada@u.edu",
        "genomics",
        "BIO-001",
    )
    assert AuditEvent.objects.filter(action="charge.reattributed", object_id=str(charge.pk)).count() == 1


def test_what_a_reassignment_does_not_name_stays():
    charge = a_held_charge(cost_center="CC1", natural_account="6100")
    correct(charge, fund_org="BIO-002")
    charge.refresh_from_db()
    assert (charge.pi.email, charge.project.code, charge.fund_org) == ("ada@u.edu", "genomics", "BIO-002")
    assert (charge.cost_center, charge.natural_account) == ("CC1", "6100")
    correct(charge, natural_account="6200", cost_center="CC2")
    charge.refresh_from_db()
    assert (charge.fund_org, charge.cost_center, charge.natural_account) == ("BIO-002", "CC2", "6200")


def test_the_amounts_and_tags_are_facts_that_no_reassignment_touches():
    charge = a_held_charge("12.34567891", tags='{"pi_email": "ada@u.edu"}')
    facts = (
        Charge.objects.filter(pk=charge.pk)
        .values("billed_cost", "list_cost", "tag_set__tags", "source", "period")
        .get()
    )
    correct(charge, pi="new@u.edu", project="p2", fund_org="X-1", approve=True)
    assert (
        Charge.objects.filter(pk=charge.pk)
        .values("billed_cost", "list_cost", "tag_set__tags", "source", "period")
        .get()
        == facts
    )


def test_a_new_pi_and_project_are_made_once_for_all_and_told_of():
    charges = [a_held_charge(), a_held_charge()]
    review.reattribute(
        charges=[charge.pk for charge in charges],
        reassignment=Reassignment(pi="new@u.edu", project="physics"),
        create=True,
        **BY,
    )
    new = Person.objects.get(email="new@u.edu")
    assert Project.objects.get(code="physics").pi == new
    assert Charge.objects.filter(pi=new, project__code="physics").count() == 2
    assert sorted(AuditEvent.objects.exclude(object_type="charge").values_list("action", flat=True)) == [
        "person.added",
        "project.added",
    ]


@pytest.mark.parametrize(
    ("reassignment", "said"),
    [
        ({"pi": "ad@u.edu"}, "There is no PI “ad@u.edu”. Did you mean ada@u.edu?"),
        ({"project": "Genomcis"}, "There is no project “Genomcis”. Did you mean genomics?"),
        ({"project": "zzz"}, "There is no project “zzz”."),
        ({"fund_org": "BIO-01"}, "Fund/org “BIO-01” is not on the list of fund/orgs. Did you mean BIO-001?"),
        (
            {"shares": (("BIO-001", Decimal(50)), ("CHEM", Decimal(50)))},
            "Fund/org “CHEM” is not on the list of fund/orgs.",
        ),
    ],
)
def test_a_typo_creates_nothing_and_names_what_is_like_it(reassignment, said):
    charge = a_held_charge()
    a_fund("BIO-001")
    with pytest.raises(naming.NotThere) as refused:
        correct(charge, create=False, **reassignment)
    assert str(refused.value) == said
    assert (Person.objects.count(), Project.objects.count(), ReviewDecision.objects.count()) == (1, 1, 0)


def test_any_fund_is_taken_while_no_list_is_loaded_and_names_are_known_in_any_case_or_by_alias():
    PersonAlias.objects.create(person=a_pi("ada@u.edu"), email="a.lovelace@u.edu")
    decided = correct(a_held_charge(), create=False, pi="A.Lovelace@u.edu", project="GENOMICS", fund_org="NEW")
    assert (decided.count, decided.created) == (1, ())


def test_undo_removes_what_its_act_created_if_nothing_else_uses_it():
    first, second, other = a_held_charge(), a_held_charge(), a_held_charge()
    reassignment = Reassignment(pi="new@u.edu", project="P-7", shares=(("A", Decimal(60)), ("B", Decimal(40))))
    decided = review.reattribute(charges=[first.pk, second.pk], reassignment=reassignment, create=True, **BY)
    assert str(decided) == "2 charges reattributed. PI new@u.edu is created. Project P-7 is created."
    correct(other, project="P-7")
    assert review.undo(charges=[first.pk], **BY).removed == ()
    # Its own reassignment is undone, yet the one of the other charge still names the project.
    assert review.undo(charges=[second.pk], **BY).removed == ()
    assert Project.objects.filter(code="P-7").exists()
    assert not PayerSplit.objects.exists()


def test_undo_leaves_a_pi_and_a_project_that_somebody_took_up_meanwhile():
    charge = a_held_charge()
    correct(charge, pi="new@u.edu", project="P-7")
    registers.load(registers.PEOPLE, file=io.BytesIO(b"email,name\nnew@u.edu,Nora\n"), **BY)
    assert review.undo(charges=[charge.pk], **BY).removed == ("Project P-7",)
    assert Person.objects.get(email="new@u.edu").is_listed


def test_undoing_many_acts_asks_no_more_of_the_database_for_each():
    asked = []
    for number in (2, 30):
        charges = [a_held_charge().pk for _ in range(number)]
        reassignment = Reassignment(pi="new@u.edu", project="P-7")
        review.reattribute(charges=charges, reassignment=reassignment, create=True, **BY)
        with CaptureQueriesContext(connection) as queries:
            assert review.undo(charges=charges, **BY).removed == ("Project P-7", "PI new@u.edu")
        asked.append(len(queries))
    assert asked[0] == asked[1]


def test_undo_does_not_leave_a_charge_approved_on_a_fund_that_is_no_longer_valid():
    fund = a_fund("BIO-001")
    a_fund("CHEM-002")
    charge = a_held_charge(fund_org="BIO-001")
    review.approve(charges=[charge.pk], **BY)
    correct(charge, fund_org="CHEM-002")
    fund.valid_until = datetime.date(2024, 12, 31)
    fund.save()
    review.undo(charges=[charge.pk], **BY)
    charge.refresh_from_db()
    assert (charge.fund_org, charge.state) == ("BIO-001", "held")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite has one writer at a time")
def test_a_page_that_asks_for_a_decision_does_not_wait_for_whoever_is_writing():
    charge = a_held_charge("100.00", "missing_fund_org", fund_org="")
    with CaptureQueriesContext(connection) as queries:
        weighed = selections.weigh(Charge.objects.filter(pk=charge.pk), approving=True, **BY)
    assert weighed.blocked_count == 1
    assert not [each["sql"] for each in queries if each["sql"].startswith(("BEGIN", "SAVEPOINT"))]


def test_undo_of_the_last_use_removes_the_project_and_its_pi_and_says_so():
    charge = a_held_charge()
    correct(charge, pi="new@u.edu", project="P-7")
    correct(charge, project="genomics")
    assert review.undo(charges=[charge.pk], **BY).removed == ()
    undone = review.undo(charges=[charge.pk], **BY)
    assert str(undone) == (
        "1 charge undone. Project P-7 is removed: nothing else uses it. PI new@u.edu is removed: nothing else uses it."
    )
    assert not Project.objects.filter(code="P-7").exists()
    assert not Person.objects.filter(email="new@u.edu").exists()
    assert set(AuditEvent.objects.filter(action__endswith=".deleted").values_list("action", flat=True)) == {
        "project.deleted",
        "person.deleted",
    }


def test_undo_keeps_a_project_that_a_later_decision_could_bring_back_or_that_staff_filled_in():
    charge, other = a_held_charge(), a_held_charge()
    correct(charge, project="P-7")
    correct(other, project="P-7")
    correct(other, project="genomics")
    review.undo(charges=[charge.pk], **BY)
    assert Project.objects.filter(code="P-7").exists()
    review.undo(charges=[other.pk], **BY)
    assert Charge.objects.get(pk=other.pk).project.code == "P-7"


def test_an_alias_leads_to_its_pi():
    PersonAlias.objects.create(person=a_pi("ada@u.edu"), email="a.lovelace@u.edu")
    charge = a_held_charge(pi="mallory@u.edu")
    correct(charge, pi="A.Lovelace@u.edu")
    charge.refresh_from_db()
    assert charge.pi.email == "ada@u.edu"
    assert not Person.objects.filter(email="a.lovelace@u.edu").exists()


def test_a_project_brings_its_pi_and_its_fund_where_there_is_none():
    a_project("physics", pi=a_pi("marie@u.edu"), default_fund_org="PHY-9")
    charge = a_held_charge("1.00", "missing_pi", "missing_fund_org", pi=None, project=None, fund_org="")
    assert correct(charge, project="PHYSICS", approve=True).count == 1
    charge.refresh_from_db()
    assert (charge.pi.email, charge.project.code, charge.fund_org) == ("marie@u.edu", "physics", "PHY-9")


@pytest.mark.parametrize("email", ["ada", "ada@", "ada@u edu", "a@b@c.de"])
def test_a_pi_is_an_email_address(email):
    charge = a_held_charge()
    with pytest.raises(review.BadPI, match="is not an e-mail address"):
        correct(charge, pi=email)
    assert not ReviewDecision.objects.exists()


def test_a_reassignment_says_one_thing_and_not_nothing():
    charge = a_held_charge()
    with pytest.raises(review.BadReassignment, match="Say who pays"):
        correct(charge, pi="  ")
    with pytest.raises(review.BadReassignment, match="either a fund/org or a split"):
        correct(charge, fund_org="A", shares=(("B", Decimal(100)),))
    with pytest.raises(review.BadReassignment, match="at most 64"):
        correct(charge, fund_org="F" * 65)


def test_reattribute_and_approve_in_one_call_is_one_act_with_two_decisions():
    charge = a_held_charge("100.00", "missing_pi", pi=None)
    decided = correct(charge, pi="ada@u.edu", approve=True)
    assert str(decided) == "1 charge reattributed and approved. PI ada@u.edu is created."
    assert state_of(charge) == "approved"
    assert list(ReviewDecision.objects.order_by("pk").values_list("action", flat=True)) == ["reattribute", "approve"]
    assert ReviewDecision.objects.values("gesture").distinct().count() == 1


def test_with_approve_a_charge_that_still_lacks_something_stays_as_it_is():
    charge = a_held_charge("100.00", "missing_pi", "missing_fund_org", pi=None, fund_org="")
    decided = correct(charge, pi="ada@u.edu", approve=True)
    assert decided.skipped == {"no fund/org or split: correct who pays first": 1}
    charge.refresh_from_db()
    assert charge.pi is None
    assert codes_of(charge) == ["missing_fund_org", "missing_pi"]


def test_unreadable_tags_are_answered_by_saying_who_pays():
    charge = a_held_charge("1.00", "invalid_tags", "missing_pi", pi=None)
    correct(charge, natural_account="6100")
    assert codes_of(charge) == ["invalid_tags", "missing_pi"]
    correct(charge, pi="ada@u.edu")
    assert codes_of(charge) == []
    assert approve(charge).count == 1


def test_other_questions_stay_for_approval_to_answer():
    charge = a_held_charge("1.00", "pattern_match", "amount_changed", "missing_pi", pi=None)
    correct(charge, pi="ada@u.edu")
    assert codes_of(charge) == ["amount_changed", "pattern_match"]


@pytest.mark.parametrize("state", ["clear", "approved"])
def test_a_reassignment_that_raises_a_question_holds_the_charge(state):
    a_policy(fund_org_patterns=[r"[A-Z]+-\d+"])
    charge = a_charge(state=state)
    correct(charge, fund_org="typo")
    assert state_of(charge) == "held"
    flag = Flag.objects.get()
    assert (flag.code, flag.detail) == ("invalid_fund_org", "typo")
    correct(charge, fund_org="BIO-002")
    assert codes_of(charge) == []
    assert state_of(charge) == "held"
    assert approve(charge).count == 1


def test_a_reassignment_that_is_in_order_leaves_a_clear_charge_clear():
    charge = a_charge()
    assert correct(charge, pi="marie@u.edu").count == 1
    charge.refresh_from_db()
    assert (charge.state, charge.pi.email, charge.attributed_by) == ("clear", "marie@u.edu", "decision")


def test_with_approve_a_question_is_answered_at_once():
    a_fund("BIO-001")
    charge = a_charge()
    assert correct(charge, fund_org="NEW-1", approve=True).count == 1
    assert state_of(charge) == "approved"
    assert codes_of(charge) == ["unknown_fund_org"]


@pytest.mark.parametrize(
    ("make", "reassignment", "code"),
    [
        (lambda: a_fund("BIO-001"), {"fund_org": "NEW-1"}, "unknown_fund_org"),
        (
            lambda: a_fund("OLD-1", valid_until=datetime.date(2024, 12, 31)),
            {"fund_org": "OLD-1"},
            "fund_not_valid",
        ),
        (lambda: a_pi("gone@u.edu", active_until=datetime.date(2024, 6, 30)), {"pi": "gone@u.edu"}, "pi_inactive"),
        (lambda: a_project("done", end_date=datetime.date(2024, 6, 30)), {"project": "done"}, "project_ended"),
    ],
)
def test_new_values_are_checked_on_the_dates_of_service(make, reassignment, code):
    charge = a_charge()
    make()
    correct(charge, **reassignment)
    assert codes_of(charge) == [code]
    assert state_of(charge) == "held"


def test_the_day_after_the_last_day_of_service_is_not_service():
    a_fund("JAN-1", valid_from=datetime.date(2025, 1, 1), valid_until=datetime.date(2025, 1, 31))
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    end = datetime.datetime(2025, 2, 1, tzinfo=datetime.UTC)
    charge = a_charge(charge_period_start=start, charge_period_end=end)
    correct(charge, fund_org="JAN-1")
    assert codes_of(charge) == []


@pytest.mark.parametrize("state", ["rejected", "charged_to_center"])
def test_what_nobody_or_the_center_pays_is_undone_before_it_is_reattributed(state):
    charge = a_charge(state=state)
    assert correct(charge, pi="new@u.edu").skipped == {f"{state} already: undo that first": 1}


def test_the_same_reassignment_twice_is_one_decision():
    charge = a_held_charge()
    assert correct(charge, fund_org="BIO-002").count == 1
    assert correct(charge, fund_org="BIO-002").skipped == {"attributed so already": 1}
    assert ReviewDecision.objects.count() == 1


def test_another_projects_split_does_not_come_along():
    ours = a_split({"A": "60", "B": "40"}, project=a_project("genomics"))
    charge = a_charge(payer_split=ours)
    correct(charge, project="physics")
    charge.refresh_from_db()
    assert (charge.payer_split, charge.fund_org) == (None, "BIO-001")


def test_the_new_projects_split_holds_on_the_day_of_service():
    physics = a_project("physics")
    a_split({"A": "100"}, project=physics, valid_until=datetime.date(2024, 12, 31))
    theirs = a_split({"A": "60", "B": "40"}, project=physics, valid_from=datetime.date(2025, 1, 1))
    charge = a_charge()
    correct(charge, project="physics")
    charge.refresh_from_db()
    assert charge.payer_split == theirs


# Split


def test_a_split_takes_the_place_of_the_fund():
    charge = a_held_charge("100.00", "missing_fund_org", fund_org="")
    decided = review.split(charges=[charge.pk], shares={"A": Decimal(60), "B": Decimal(40)}, **BY)
    assert str(decided) == "1 charge split."
    charge.refresh_from_db()
    assert {share.fund_org: share.percent for share in charge.payer_split.shares.all()} == {"A": 60, "B": 40}
    assert (charge.payer_split.project, charge.fund_org, charge.attributed_by) == (None, "", "decision")
    assert codes_of(charge) == []
    decision = ReviewDecision.objects.get()
    assert (decision.action, decision.after["split"]) == ("split", "A=60; B=40")
    assert AuditEvent.objects.filter(action="charge.split").count() == 1


def test_an_identical_split_is_used_again_and_a_projects_is_not():
    a_split({"A": "60", "B": "40"}, project=a_project("genomics"))
    a_split({"A": "60", "B": "30", "C": "10"})
    charges = [a_held_charge(), a_held_charge()]
    for charge in charges:
        review.split(charges=[charge.pk], shares={"B": Decimal(40), "A": Decimal("60.000")}, **BY)
    assert Charge.objects.values("payer_split").distinct().count() == 1
    assert PayerSplit.objects.count() == 3


def test_each_fund_of_a_split_is_checked():
    a_policy(fund_org_patterns=["[A-Z]"])
    charge = a_charge()
    review.split(charges=[charge.pk], shares={"A": Decimal(60), "b": Decimal(40)}, **BY)
    assert [(flag.code, flag.detail) for flag in Flag.objects.all()] == [("invalid_fund_org", "b")]


def test_a_fund_takes_the_place_of_a_split():
    charge = a_charge(fund_org="", payer_split=a_split({"A": "60", "B": "40"}))
    correct(charge, fund_org="BIO-001")
    charge.refresh_from_db()
    assert (charge.payer_split, charge.fund_org) == (None, "BIO-001")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=60; B=30", "sum to 90 percent"),
        ("A=60; B=40.000001", "sum to 100.000001 percent"),
        ("A=60; A=40", "two shares"),
        ("A=110; B=-10", "above 0"),
        ("A=100; B=0", "above 0"),
        ("A=NaN", "above 0"),
        ("A=33.3333333; B=66.6666667", "more than 6 decimals"),
        ("=100", "names its fund/org"),
        ("A", "is no share"),
        ("A=lots", "is no share"),
        ("", "sum to 0"),
    ],
)
def test_shares_that_are_no_split_are_refused(text, message):
    with pytest.raises(review.BadSplit, match=message):
        review.parse_shares(text)


def test_shares_are_written_with_commas_semicolons_and_percent_signs():
    expected = {"A": Decimal("33.333333"), "B=C": Decimal("66.666667")}
    assert review.parse_shares("A = 33.333333 %, B=C=66.666667") == expected
    assert review.parse_shares(review.shares_text(expected)) == expected


# Undo


def test_an_undone_approval_is_held_again_and_both_decisions_stay():
    charge = a_held_charge()
    approve(charge)
    assert str(review.undo(charges=[charge.pk], note="Too early", **BY)) == "1 charge undone."
    assert state_of(charge) == "held"
    assert list(ReviewDecision.objects.order_by("pk").values_list("action", flat=True)) == ["approve", "undo"]
    assert ReviewDecision.objects.first().note == "Too early"
    assert AuditEvent.objects.filter(action="charge.undone").count() == 1


def test_an_undone_reassignment_brings_back_the_attribution_and_its_flags():
    charge = a_held_charge("1.00", "missing_pi", "invalid_tags", pi=None, project=None, cost_center="CC1")
    before = Charge.objects.filter(pk=charge.pk).values().get()
    correct(charge, pi="ada@u.edu", project="genomics", fund_org="X-1", cost_center="CC2", approve=True)
    review.undo(charges=[charge.pk], **BY)
    assert Charge.objects.filter(pk=charge.pk).values().get() == before
    assert "missing_pi" in codes_of(charge)
    assert "invalid_tags" in codes_of(charge)


def test_undo_goes_back_act_by_act():
    charge = a_held_charge("1.00", "missing_pi", pi=None)
    correct(charge, pi="ada@u.edu")
    correct(charge, pi="marie@u.edu")
    approve(charge)
    seen = []
    for _ in range(4):
        decided = review.undo(charges=[charge.pk], **BY)
        charge.refresh_from_db()
        seen.append((decided.count, charge.state, charge.pi and charge.pi.email))
    assert seen == [(1, "held", "marie@u.edu"), (1, "held", "ada@u.edu"), (1, "held", None), (0, "held", None)]
    assert decided.skipped == {"nothing was decided about it": 1}


def test_undoing_a_reassignment_of_an_approved_charge_leaves_it_approved():
    charge = a_held_charge()
    approve(charge)
    correct(charge, pi="marie@u.edu")
    review.undo(charges=[charge.pk], **BY)
    charge.refresh_from_db()
    assert (charge.state, charge.pi.email) == ("approved", "ada@u.edu")


def test_an_inherited_approval_can_be_undone():
    charge = a_held_charge(state="approved")
    ReviewDecision.objects.create(
        charge=charge,
        line_number=1,
        action="inherit",
        before={},
        after={"state": "approved"},
        decided_by_name="x",
        decided_at=NOW,
        gesture="00000000-0000-0000-0000-000000000001",
    )
    assert review.undo(charges=[charge.pk], **BY).count == 1
    assert state_of(charge) == "held"


# What no approval answers


JANUARY: dict[str, Any] = {"valid_until": datetime.date(2024, 10, 31), "is_sponsored": True}


def test_a_charge_on_an_award_that_ended_is_not_approved_in_any_way():
    a_fund("FED-1", **JANUARY)
    a_fund("BIO-001")
    charge = a_held_charge("763.08", "fund_not_valid", fund_org="FED-1")
    decided = review.approve(charges=Charge.objects.held(), note="It is theirs", **BY)
    assert decided.skipped == {
        "fund/org not valid on the dates of service: correct who pays first, or have finance record an exception for "
        "the fund/org": 1
    }
    assert correct(charge, project="other", approve=True).count == 0
    assert state_of(charge) == "held"
    assert correct(charge, fund_org="BIO-001", approve=True).count == 1
    assert state_of(charge) == "approved"


def test_a_fund_that_was_not_on_the_list_as_ended_when_the_charge_came_blocks_it_all_the_same():
    charge = a_held_charge(fund_org="FED-1")
    a_fund("FED-1", **JANUARY)
    assert approve(charge).count == 0
    assert codes_of(charge) == ["fund_not_valid", "pattern_match"]


def test_a_fund_that_is_valid_again_blocks_no_more():
    a_fund("FED-1")
    charge = a_held_charge("1.00", "fund_not_valid", fund_org="FED-1")
    assert approve(charge).count == 1
    assert codes_of(charge) == []


def test_a_fund_past_its_last_posting_date_blocks_the_charges_of_the_month():
    a_fund("FED-1", last_posting_date=datetime.date(2025, 1, 30))
    a_fund("FED-2", last_posting_date=datetime.date(2025, 1, 31))
    late, in_time = a_held_charge(fund_org="FED-1"), a_held_charge(fund_org="FED-2")
    decided = approve(late, in_time)
    assert (state_of(late), state_of(in_time)) == ("held", "approved")
    assert codes_of(late) == ["fund_closed", "pattern_match"]
    [why] = decided.skipped
    assert why.startswith("fund/org past its last posting date: correct who pays first")


def test_a_charge_of_a_pi_nobody_knows_waits_for_the_pi_to_be_confirmed():
    a_policy(own_domains=["u.edu"])
    charge = a_held_charge(pi="stranger@gmail.com")
    assert approve(charge).skipped == {"PI not confirmed: correct who pays first, or confirm the PI": 1}
    assert correct(charge, pi="ada@u.edu", approve=True).count == 1


def test_correcting_to_a_pi_nobody_knows_and_approving_changes_nothing():
    a_policy(own_domains=["u.edu"])
    charge = a_held_charge()
    decided = correct(charge, pi="stranger@gmail.com", approve=True)
    assert (decided.count, len(decided.why_skipped)) == (0, 1)
    assert Charge.objects.get(pk=charge.pk).pi == a_pi("ada@u.edu")
    assert codes_of(charge) == ["pattern_match"]
    # Without approval it is corrected, and held.
    assert correct(charge, pi="stranger@gmail.com").count == 1
    assert codes_of(charge) == ["pattern_match", "unknown_pi"]


def test_a_fund_on_the_list_answers_for_a_pi_nobody_knows_while_it_is_valid():
    a_policy(own_domains=["u.edu"])
    a_fund("BIO-001")
    a_fund("OLD-1", **JANUARY)
    charge, old = a_held_charge(pi="new@lab.org"), a_held_charge(pi="new@lab.org", fund_org="OLD-1")
    approve(charge, old)
    assert (state_of(charge), state_of(old)) == ("approved", "held")
    assert codes_of(old) == ["fund_not_valid", "pattern_match", "unknown_pi"]
