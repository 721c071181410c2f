"""The queue in groups: by reason and owner with money, decided in one click, undone, and what is known of resources."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import review
from billing.background import jobs
from billing.models import AttributionRule, BillingPeriod, Charge, Job, ReviewDecision
from billing.review import held_groups
from tests.build import NOW, SOMEBODY, a_charge, a_pi, a_policy, a_project

pytestmark = pytest.mark.django_db

QUEUE = reverse("admin:billing_heldcharge_changelist")
DECIDE = reverse("admin:billing_heldcharge_decide")


@pytest.fixture
def reviewer(client, cast):
    client.force_login(cast.reviewer)
    return client


def messages_of(page):
    return [str(message).partition(" <")[0] for message in page.context["messages"]]


def press(client, do, *, period="2025-01", **sent):
    """Press a button of the page, and follow to where it leads."""
    return client.post(DECIDE, {"do": do, "period": period, "back": f"period={period}", **sent}, follow=True)


def groups(period="2025-01"):
    charges = Charge.objects.held().filter(charged_in__month=f"{period}-01")
    return held_groups.groups_of(charges)


def state_of(charge):
    return Charge.objects.get(pk=charge.pk).state


def test_groups_are_by_the_reason_that_leads_and_by_owner_with_money_by_currency():
    a_charge("10.10", flags=("pattern_match",))
    a_charge("5.05", flags=("pattern_match", "missing_project"))
    a_charge("7.00", flags=("pattern_match",), currency="EUR")
    a_charge("3.00", flags=("pattern_match",), project="other")
    # What no approval answers leads.
    a_charge("1.00", flags=("pattern_match", "fund_not_valid"))
    nobodys = {"pi": None, "project": None, "flags": ("missing_pi",)}
    for invoice in ("I-1", "I-2"):
        a_charge("2.00", **nobodys, sub_account_id="4471", sub_account_name="lab", invoice_id=invoice)
    a_charge("4.00", **nobodys, billing_account_id="B-9")
    a_charge("1.00")
    found = [(each.code, each.owner, each.count, each.billed) for each in groups()]
    assert found == [
        ("fund_not_valid", "ada@u.edu · genomics", 1, {"USD": Decimal(1)}),
        ("missing_pi", "Unassigned · account lab (4471)", 2, {"USD": Decimal(4)}),
        ("missing_pi", "Unassigned · account B-9", 1, {"USD": Decimal(4)}),
        ("missing_project", "ada@u.edu · genomics", 1, {"USD": Decimal("5.05")}),
        ("pattern_match", "ada@u.edu · genomics", 2, {"USD": Decimal("10.10"), "EUR": Decimal(7)}),
        ("pattern_match", "ada@u.edu · other", 1, {"USD": Decimal(3)}),
    ]
    assert held_groups.summed(groups()) == (8, {"EUR": Decimal(7), "USD": Decimal("27.15")})


def test_a_group_is_found_again_by_its_key():
    a_charge(flags=("pattern_match",))
    a_charge(flags=("pattern_match",), pi=None)
    a_charge(flags=("missing_pi",), pi=None, project=None, sub_account_id="a:b|c")
    a_charge(flags=("pattern_match",), pi=None, project=None, fund_org="", shared_as="support")
    undone = a_charge(flags=())
    Charge.objects.filter(pk=undone.pk).update(state="held")
    charges = Charge.objects.held()
    keys = [each.key for each in groups()]
    assert len(keys) == 5
    assert [held_groups.in_group(charges, key).count() for key in keys] == [1] * 5
    assert {pk for key in keys for pk in held_groups.in_group(charges, key).values_list("pk", flat=True)} == set(
        charges.values_list("pk", flat=True)
    )
    first = held_groups.first_of(charges, dict.fromkeys(keys, 3))
    assert {key: len(ids) for key, ids in first.items()} == dict.fromkeys(keys, 1)


@pytest.mark.parametrize(
    "key", ["", "x", "pattern_match", "nothing:owner:1-2", "pattern_match:owner:1-²", "none:who:1"]
)
def test_what_is_no_group_is_refused_in_words_and_lists_nothing(key, reviewer):
    charge = a_charge(flags=("pattern_match",))
    with pytest.raises(held_groups.UnknownGroup):
        held_groups.in_group(Charge.objects.held(), key)
    press(reviewer, f"approve {key}|1")
    assert state_of(charge) == "held"
    if key:
        assert not reviewer.get(QUEUE, {"group": key}).context["cl"].result_list


def test_the_page_shows_groups_with_money_and_the_list_is_one_click_away(reviewer):
    for _ in range(7):
        a_charge("1234.50", flags=("pattern_match",))
    page = reviewer.get(QUEUE, {"period": "2025-01"})
    text = page.content.decode()
    assert "7 charges" in text
    assert "8,641.50 USD" in text
    assert "Approve all 7" in text
    assert text.count('name="_selected_action"') == 5
    [part] = page.context["parts"]
    opened = reviewer.get(f"{QUEUE}{part['groups'][0].open_url.partition('#')[0]}")
    assert opened.content.decode().count('name="_selected_action"') == 7
    listed = reviewer.get(page.context["flat_url"])
    assert listed.context["cl"].result_count == 7
    assert "Show in groups" in listed.content.decode()
    assert reviewer.get(part["groups"][0].list_url).context["cl"].result_count == 7
    # A month without anything says so.
    assert "Nothing waits for review" in reviewer.get(QUEUE, {"period": "2024-12"}).content.decode()


def test_a_group_is_approved_in_one_click_and_undone_in_one(reviewer):
    charges = [a_charge(flags=("pattern_match",)) for _ in range(20)]
    other = a_charge(flags=("pattern_match",), project="other")
    [group, _] = groups()
    page = press(reviewer, f"approve {group.key}|20")
    assert messages_of(page) == ["20 charges approved."]
    assert {state_of(each) for each in charges} == {"approved"}
    assert state_of(other) == "held"
    gesture = str(ReviewDecision.objects.first().gesture)
    assert f'form="review-undo" name="gesture" value="{gesture}"' in page.content.decode()
    # The page offers it still when it is opened again.
    again = reviewer.get(QUEUE)
    assert again.context["undoable"]["said"] == "20 charges approved"
    assert "data-undo" in again.content.decode()
    page = press(reviewer, "undo", gesture=gesture)
    assert messages_of(page) == ["20 charges undone."]
    assert {state_of(each) for each in charges} == {"held"}
    assert "data-undo" not in page.content.decode()
    assert messages_of(press(reviewer, "undo", gesture=gesture))[0].startswith("There is nothing to undo")


def test_a_decision_in_the_list_is_undone_from_there(reviewer):
    charge = a_charge(flags=("pattern_match",))
    listed = f"{QUEUE}?view=list"
    sent = {"action": "approve", "_selected_action": [charge.pk], "select_across": "0", "confirmed": 1}
    page = reviewer.post(listed, sent, follow=True)
    assert messages_of(page) == ["1 charge approved."]
    text = page.content.decode()
    assert 'form="review-undo"' in text
    assert '<form id="review-undo"' in text
    gesture = ReviewDecision.objects.get().gesture
    undone = reviewer.post(DECIDE, {"do": "undo", "gesture": gesture, "back": "view=list"})
    assert undone.url == listed
    assert state_of(charge) == "held"
    # From the groups of all months it leads back to these.
    assert reviewer.post(DECIDE, {"do": "undo", "gesture": gesture, "back": ""}).url == QUEUE


def test_undo_leaves_alone_what_somebody_decided_since(reviewer):
    first, second = (a_charge(flags=("pattern_match",)) for _ in range(2))
    press(reviewer, "approve", _selected_action=[first.pk, second.pk])
    gesture = ReviewDecision.objects.first().gesture
    acting = {"actor": SOMEBODY, "now": NOW}
    review.undo(charges=[first.pk], **acting)
    review.reject(provider_credits=True, charges=[first.pk], reason="duplicate", **acting)
    assert messages_of(press(reviewer, "undo", gesture=gesture)) == ["1 charge undone."]
    assert (state_of(first), state_of(second)) == ("rejected", "held")


def test_nothing_is_undone_once_the_month_is_closed(reviewer):
    charge = a_charge(flags=("pattern_match",))
    press(reviewer, f"approve {charge.pk}")
    BillingPeriod.objects.update(status="closed", closed_at=NOW)
    page = press(reviewer, "undo", gesture=ReviewDecision.objects.get().gesture)
    assert "period January 2025 is closed" in messages_of(page)[0]
    assert state_of(charge) == "approved"


@pytest.mark.parametrize("code", ["fund_not_valid", "fund_closed", "missing_pi", "unknown_pi"])
def test_a_group_held_for_what_no_approval_answers_cannot_be_approved(code, reviewer):
    charge = a_charge(flags=("pattern_match", code))
    page = reviewer.get(QUEUE, {"period": "2025-01"}).content.decode()
    assert 'data-step="approve"' not in page
    assert "Cannot be approved as it is. Correct who pays" in page
    assert 'data-step="correct"' in page
    [group] = groups()
    assert "cannot be approved as they are" in messages_of(press(reviewer, f"approve {group.key}|1"))[0]
    assert state_of(charge) == "held"
    # Ticked as a whole, each is left with its reason.
    if code == "missing_pi":
        Charge.objects.filter(pk=charge.pk).update(pi=None)
        [group] = groups()
        press(reviewer, "approve", group=f"{group.key}|1")
        assert state_of(charge) == "held"


def test_finance_is_led_to_an_exception_and_a_reviewer_is_not(client, cast):
    a_charge(flags=("fund_closed",))
    for name, sees in (("finance", True), ("reviewer", False)):
        client.force_login(getattr(cast, name))
        assert ("Record an exception" in client.get(QUEUE).content.decode()) == sees


def test_a_group_that_grew_since_it_was_shown_is_not_decided(reviewer):
    charge = a_charge(flags=("pattern_match",))
    [group] = groups()
    a_charge(flags=("pattern_match",))
    page = press(reviewer, f"approve {group.key}|1")
    assert messages_of(page) == ["The group changed meanwhile: it has 2 charges now. Look at it again."]
    assert state_of(charge) == "held"


def test_a_selection_of_charges_and_groups_is_corrected_after_a_page_that_asks(reviewer):
    a_policy(center_fund_org="RC-1")
    a_pi("grace@u.edu")
    grouped = [a_charge(flags=("missing_pi",), pi=None, project=None, sub_account_id="1") for _ in range(30)]
    single = a_charge(flags=("pattern_match",))
    key = groups()[0].key
    chosen = {"group": f"{key}|30", "_selected_action": [single.pk]}
    asked = press(reviewer, "correct", **chosen)
    page = asked.content.decode()
    assert "Correct 31 charges" in page
    sent = dict(asked.context["sent"])
    assert sent["group"] == f"{key}|30"
    done = press(reviewer, "correct", **chosen, confirmed=31, pi="grace@u.edu", fund_org="BIO-001", approve="on")
    assert messages_of(done) == ["31 charges reattributed and approved."]
    assert done.redirect_chain == [(f"{QUEUE}?period=2025-01", 302)]
    assert {Charge.objects.get(pk=each.pk).pi.email for each in [*grouped, single]} == {"grace@u.edu"}
    # The rule is one click from there.
    assert "Make a rule of this" in done.content.decode()


def test_a_rejection_asks_why(reviewer):
    charge = a_charge(flags=("pattern_match",))
    assert "Why nobody should pay" in press(reviewer, f"reject {charge.pk}").content.decode()
    press(
        reviewer,
        "reject",
        _selected_action=[charge.pk],
        confirmed=1,
        reason="duplicate",
        provider_credits="yes",
        note="",
    )
    assert state_of(charge) == "rejected"


def test_very_many_are_decided_by_the_worker(reviewer, monkeypatch):
    monkeypatch.setattr(jobs, "LARGE", 2)
    for _ in range(3):
        a_charge(flags=("pattern_match",))
    [group] = groups()
    page = press(reviewer, f"approve {group.key}|3")
    job = Job.objects.get()
    assert page.redirect_chain[-1][0] == reverse("admin:billing_job_change", args=[job.pk])
    jobs.run(job.pk)
    assert not Charge.objects.held().exists()


@pytest.mark.parametrize("do", ["", "approve", "nothing 1", "approve x", "accept 1", "undo", "approve |", "correct ²"])
def test_nonsense_is_answered_in_words(do, reviewer):
    page = press(reviewer, do, gesture="x")
    assert page.status_code == 200
    assert messages_of(page)


def test_viewers_see_groups_and_no_buttons(client, cast):
    charge = a_charge(flags=("pattern_match",))
    client.force_login(cast.viewer)
    page = client.get(QUEUE).content.decode()
    assert "1 charge" in page
    assert '<button type="submit" class="btn small" name="do"' not in page
    assert client.post(DECIDE, {"do": f"approve {charge.pk}"}).status_code == 403


# What the resource was charged to before


def before(**fields):
    """Make a charge of the same resource a month earlier, charged to Grace."""
    a_project("physics", pi=a_pi("grace@u.edu"))
    return a_charge(
        period="2024-12", resource_id="i-7", pi="grace@u.edu", project="physics", fund_org="PHY-1", **fields
    )


def test_who_paid_before_is_shown_and_suggested_and_accepted_in_one_click(reviewer):
    before()
    a_charge(period="2024-11", resource_id="i-7")
    charge = a_charge(flags=("missing_pi",), pi=None, project=None, fund_org="", resource_id="i-7")
    page = reviewer.get(QUEUE, {"period": "2025-01"})
    text = page.content.decode()
    assert "December 2024: <bdi>grace@u.edu · physics · PHY-1</bdi>" in text
    [row] = page.context["parts"][0]["groups"][0].rows
    done = press(reviewer, f"accept {charge.pk}|{row.known.suggestion.digest}")
    assert messages_of(done) == ["1 charge reattributed and approved."]
    charge.refresh_from_db()
    assert (charge.state, charge.pi.email, charge.project.code, charge.fund_org) == (
        "approved",
        "grace@u.edu",
        "physics",
        "PHY-1",
    )
    assert ReviewDecision.objects.filter(charge=charge).values_list("note", flat=True)[0] == "As in December 2024."


def test_a_group_whose_charges_were_all_the_same_payers_is_accepted_at_once(reviewer):
    before()
    ids = [a_charge(flags=("missing_pi",), pi=None, project=None, fund_org="", resource_id="i-7").pk for _ in range(3)]
    [shown] = reviewer.get(QUEUE, {"period": "2025-01"}).context["parts"][0]["groups"]
    done = press(reviewer, f"accept {shown.group.key}|3|{shown.suggestion.digest}")
    assert messages_of(done) == ["3 charges reattributed and approved."]
    assert ReviewDecision.objects.filter(charge__in=ids).values("gesture").distinct().count() == 1


def test_a_suggestion_that_is_another_by_now_is_not_accepted(reviewer):
    before()
    charge = a_charge(flags=("missing_pi",), pi=None, project=None, fund_org="", resource_id="i-7")
    [row] = reviewer.get(QUEUE).context["parts"][0]["groups"][0].rows
    Charge.objects.filter(charged_in__month="2024-12-01").update(fund_org="PHY-2")
    page = press(reviewer, f"accept {charge.pk}|{row.known.suggestion.digest}")
    assert "changed meanwhile" in messages_of(page)[0]
    assert state_of(charge) == "held"


def known_of(client):
    return client.get(QUEUE, {"period": "2025-01"}).context["parts"][0]["groups"][0].rows[0].known


def test_several_payers_of_a_month_are_shown_and_none_is_suggested(reviewer):
    before()
    a_charge(period="2024-12", resource_id="i-7")
    a_charge(flags=("missing_pi",), pi=None, project=None, resource_id="i-7")
    known = known_of(reviewer)
    assert len(known.payers) == 2
    assert known.suggestion is None


def test_what_had_no_resource_or_was_held_tells_nothing(reviewer):
    before(state="held")
    a_charge(period="2024-12", resource_id="", pi="grace@u.edu")
    a_charge(flags=("missing_pi",), pi=None, project=None, resource_id="")
    assert known_of(reviewer).month is None


def test_the_rule_that_would_match_now_is_suggested(reviewer):
    charge = a_charge(flags=("missing_pi",), pi=None, project=None, resource_id="genome-1")
    rule = AttributionRule.objects.create(
        source=charge.source, resource="genome-*", pi=a_pi("grace@u.edu"), fund_org="PHY-1"
    )
    AttributionRule.objects.create(source=charge.source, resource="other-*", pi=a_pi(), fund_org="X", priority=1)
    suggestion = known_of(reviewer).suggestion
    assert (str(suggestion.payer), suggestion.why) == (
        "grace@u.edu · PHY-1",
        f"As attribution rule {rule.pk} says.",
    )
    press(reviewer, f"accept {charge.pk}|{suggestion.digest}")
    assert state_of(charge) == "approved"


def test_queries_do_not_grow_with_rows_or_groups(reviewer):
    before()
    AttributionRule.objects.create(resource="none", tag_key="x", pi=a_pi())

    def more():
        for number in range(3):
            owner = {"pi": f"pi{number}-{Charge.objects.count()}@u.edu", "project": f"p{Charge.objects.count()}"}
            for code in ("pattern_match", "missing_pi", "fund_not_valid"):
                a_charge(flags=(code, "missing_project"), **owner)
                a_charge(flags=(code,), pi=None, project=None, resource_id="i-7", sub_account_id=f"{number}")

    def asked():
        reviewer.get(QUEUE, {"period": "2025-01"})
        with CaptureQueriesContext(connection) as queries:
            assert reviewer.get(QUEUE, {"period": "2025-01"}).status_code == 200
        return len(queries)

    more()
    once = asked()
    more()
    assert asked() == once
    assert once <= 25, once
