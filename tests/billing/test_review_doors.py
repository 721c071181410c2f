"""The review through its doors: engine, command and admin do the same; who may, and what is shown."""

import datetime
import io
import json
import re
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from billing import review
from billing.background import jobs
from billing.models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    Flag,
    Job,
    PayerSplitShare,
    Person,
    Project,
    ReviewDecision,
)
from billing.review import Reassignment, deciding
from tests.build import NOW, SOMEBODY, a_charge, a_fund, a_pi, a_policy, a_project, a_split

pytestmark = pytest.mark.django_db

QUEUE = reverse("admin:billing_heldcharge_changelist")
ALL = reverse("admin:billing_charge_changelist")


def command(*arguments):
    out = io.StringIO()
    call_command("review", *map(str, arguments), stdout=out)
    return out.getvalue()


def listed(*arguments):
    return json.loads(command("list", *arguments, "--json"))["charges"]


def messages_of(response):
    """Return what a page says, without what it offers to do next."""
    return [str(message).partition(" <")[0] for message in response.context["messages"]]


def act(client, action, ids, *, url=QUEUE, seen=None, follow=True, **data):
    """Choose charges in a list, then confirm the action's page."""
    chosen = {"action": action, "_selected_action": ids, "select_across": "0"}
    asked = client.post(url, {**chosen, "index": "0"})
    if asked.status_code != 200:
        return asked
    return client.post(url, {**chosen, "confirmed": len(ids) if seen is None else seen, **data}, follow=follow)


# The same through every door

VERBS = {
    "approve": (
        lambda ids, by: review.approve(charges=ids, note="n", **by),
        lambda ids: ["approve", "--id", *ids, "--note", "n"],
        ("approve", {"note": "n"}),
    ),
    "reject": (
        lambda ids, by: review.reject(provider_credits=True, charges=ids, reason="duplicate", note="n", **by),
        lambda ids: ["reject", "--id", *ids, "--reason", "duplicate", "--note", "n", "--provider-credits", "yes"],
        ("reject", {"reason": "duplicate", "note": "n", "provider_credits": "yes"}),
    ),
    "charge_to_center": (
        lambda ids, by: review.charge_to_center(charges=ids, note="n", **by),
        lambda ids: ["charge-to-center", "--id", *ids, "--note", "n"],
        ("charge_to_center", {"note": "n"}),
    ),
    "reattribute": (
        lambda ids, by: review.reattribute(
            charges=ids,
            reassignment=Reassignment(pi="new@u.edu", project="physics", fund_org="X-1"),
            create=True,
            note="n",
            **by,
        ),
        lambda ids: [
            *("reattribute", "--id", *ids, "--pi", "new@u.edu", "--project", "physics"),
            *("--fund-org", "X-1", "--create", "--note", "n"),
        ],
        (
            "correct",
            {
                **{"pi": "new@u.edu", "project": "physics", "fund_org": "X-1", "note": "n"},
                "create": ["pi:new@u.edu", "project:physics"],
            },
        ),
    ),
    "split and approve": (
        lambda ids, by: review.split(
            charges=ids, shares={"A": Decimal(60), "B": Decimal(40)}, approve=True, note="n", **by
        ),
        lambda ids: ["reattribute", "--id", *ids, "--split", "A=60,B=40", "--approve", "--note", "n"],
        ("correct", {"split": "A=60; B=40", "approve": "on", "note": "n"}),
    ),
    "undo": (
        lambda ids, by: review.undo(charges=ids, note="n", **by),
        lambda ids: ["undo", "--id", *ids, "--note", "n"],
        ("undo", {"note": "n"}),
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_engine_command_admin_and_worker_leave_the_same_rows_and_audit(verb, cast, client, monkeypatch):
    a_policy(center_fund_org="RC-1")
    engine, arguments, (action, data) = VERBS[verb]
    doors = {
        door: [a_charge("10.00", flags=("pattern_match",)), a_charge("-4.00", flags=("missing_project",), project=None)]
        for door in ("engine", "command", "admin", "worker")
    }
    if verb == "undo":
        review.approve(charges=Charge.objects.held(), actor=SOMEBODY, now=NOW)
    ids = {door: [charge.pk for charge in charges] for door, charges in doors.items()}
    engine(ids["engine"], {"actor": SOMEBODY, "now": NOW})
    command(*arguments(ids["command"]))
    client.force_login(cast.reviewer)
    url = ALL if verb == "undo" else QUEUE
    act(client, action, ids["admin"], url=url, **data)
    monkeypatch.setattr(jobs, "LARGE", 1)
    act(client, action, ids["worker"], url=url, **data)
    jobs.run(Job.objects.get(kind="decide").pk)

    def left(door):
        """Return all that a door left behind, less who, when and which charges."""
        charges = Charge.objects.filter(pk__in=ids[door]).order_by("pk")
        splits = [
            sorted(PayerSplitShare.objects.filter(split=charge.payer_split).values_list("fund_org", "percent"))
            for charge in charges
        ]
        rows = list(charges.values_list("state", "pi__email", "project__code", "fund_org", "attributed_by"))
        decisions = list(
            ReviewDecision.objects.filter(charge__in=ids[door], note="n")
            .order_by("charge", "pk")
            .values_list("action", "reason", "note", "before", "after")
        )
        events = list(
            AuditEvent.objects.filter(object_type="charge", object_id__in=[str(pk) for pk in ids[door]], note="n")
            .order_by("object_id", "pk")
            .values_list("action", "before", "after", "note")
        )
        flags = list(Flag.objects.filter(charge__in=ids[door]).order_by("pk").values_list("code", "is_resolved"))
        gestures = ReviewDecision.objects.filter(charge__in=ids[door], note="n").values("gesture").distinct().count()
        undone = [each[-1].pop("undone", None) for each in decisions] + [each[2].pop("undone", None) for each in events]
        return rows, splits, decisions, events, flags, gestures, [bool(each) for each in undone]

    assert left("engine")[2], "the verb decided something"
    assert left("engine") == left("command") == left("admin") == left("worker")
    assert left("engine")[5] == 1


def test_the_audit_log_knows_the_door_and_who_acted(cast, client):
    charges = [a_charge(flags=("pattern_match",)) for _ in range(2)]
    command("approve", "--id", charges[0].pk, "--as", "rex")
    client.force_login(cast.reviewer)
    act(client, "approve", [charges[1].pk])
    assert list(
        AuditEvent.objects.filter(action="charge.approved").order_by("pk").values_list("actor__username", "via")
    ) == [
        ("rex", "command"),
        ("rex", "web"),
    ]


def test_a_large_selection_is_decided_by_the_worker_once(cast, client, monkeypatch):
    monkeypatch.setattr(jobs, "LARGE", 1)
    ids = [a_charge(flags=("pattern_match",)).pk for _ in range(2)] + [a_charge(pi=None, flags=("missing_pi",)).pk]
    client.force_login(cast.reviewer)
    asked = [act(client, "approve", ids, note="Checked.", follow=False) for _ in range(2)]
    job = Job.objects.get()
    assert [response.url for response in asked] == [reverse("admin:billing_job_change", args=[job.pk])] * 2
    assert not ReviewDecision.objects.exists()
    queued = AuditEvent.objects.get(action="job.queued")
    assert queued.after == {"kind": "decide", "step": "approve", "number": 3, "note": "Checked."}
    # Another note is another act.
    act(client, "approve", ids, note="Seen.")
    assert Job.objects.count() == 2
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.message) == ("done", "2 charges approved; 1 skipped: no PI: correct who pays first.")
    event = AuditEvent.objects.filter(action="charge.approved").first()
    assert (event.actor, event.via, event.note) == (cast.reviewer, "task", "Checked.")
    page = client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()
    assert "Go to the review queue" in page
    assert "2 charges approved; 1 skipped: no PI: correct who pays first." in page
    # The other one finds nothing left to approve, and says so as a failure.
    other = Job.objects.get(state="queued")
    jobs.run(other.pk)
    other.refresh_from_db()
    assert other.state == "failed"
    assert "No charge approved; 3 skipped" in other.message


@given(st.sets(st.integers(1, 40)))
def test_the_numbers_of_a_large_selection_are_written_as_ranges(ids):
    assert deciding.ids_of(deciding.ranges_of(sorted(ids))) == sorted(ids)


def test_numbers_that_follow_each_other_take_little_room():
    assert deciding.ranges_of([3, 4, 5, 9, 11, 12]) == "3-5 9 11-12"
    assert deciding.ids_of("") == []


# Commands


def test_list_has_the_documented_keys():
    charge = a_charge("1234.5678", flags=("pattern_match",), resource_name="big-box")
    a_charge("1.00")
    [row] = listed()
    assert row == {
        "id": charge.pk,
        "period": "2025-01",
        "source": "aws",
        "pi": "ada@u.edu",
        "successor": "",
        "project": "genomics",
        "fund_org": "BIO-001",
        "service": "Compute",
        "resource": "big-box",
        "billed": "1234.5678",
        "currency": "USD",
        "flags": [{"code": "pattern_match", "detail": ""}],
        "state": "held",
    }


@pytest.fixture
def heirs():
    """Make a line of three: Cleo left, Dan after her, Ada is there."""
    ada, dan, cleo = a_pi("ada@u.edu"), a_pi("dan@u.edu"), a_pi("cleo@u.edu")
    Person.objects.filter(pk=dan.pk).update(active_until="2024-12-31", successor=ada)
    Person.objects.filter(pk=cleo.pk).update(active_until="2024-11-30", successor=dan)


def test_list_names_the_successor_of_a_pi_who_left(heirs):
    a_charge(pi="cleo@u.edu", flags=("pi_inactive", "missing_project"))
    a_charge(pi="cleo@u.edu", flags=("missing_project",))
    assert [row["successor"] for row in listed()] == ["ada@u.edu", ""]
    assert "pi_inactive (successor: ada@u.edu)" in command("list")


def test_a_line_of_successors_that_leads_nowhere_names_nobody(heirs):
    Person.objects.filter(email="ada@u.edu").update(
        active_until="2024-12-31", successor=Person.objects.get(email="dan@u.edu")
    )
    a_charge(pi="cleo@u.edu", flags=("pi_inactive",))
    assert listed()[0]["successor"] == ""


def test_correcting_proposes_the_successor_of_a_pi_who_left_and_moves_nothing_by_itself(heirs, client, cast):
    client.force_login(cast.reviewer)
    left, more = (a_charge(pi="cleo@u.edu", flags=("pi_inactive",)) for _ in range(2))
    other = a_charge(pi="dan@u.edu", flags=("pi_inactive",))
    answered = a_charge(pi="cleo@u.edu", flags=("missing_project",))
    for url, proposed in (
        (reverse("admin:billing_charge_correct", args=[left.pk]), "ada@u.edu"),
        (reverse("admin:billing_charge_correct", args=[answered.pk]), ""),
    ):
        assert client.get(url).context["form"]["pi"].value() == proposed
    for ids, proposed in (([left.pk, more.pk], "ada@u.edu"), ([left.pk, other.pk], ""), ([left.pk, answered.pk], "")):
        page = client.post(QUEUE, {"action": "correct", "_selected_action": ids, "select_across": "0"})
        assert page.context["form"]["pi"].value() == proposed
    assert not ReviewDecision.objects.exists()
    assert Charge.objects.get(pk=left.pk).pi.email == "cleo@u.edu"
    # The person may say otherwise.
    a_pi("mallory@u.edu")
    act(client, "correct", [left.pk], seen=1, pi="mallory@u.edu", approve="on")
    assert Charge.objects.get(pk=left.pk).pi.email == "mallory@u.edu"


def test_a_new_name_asks_for_a_tick_with_the_name_and_undo_removes_it(cast, client):
    client.force_login(cast.reviewer)
    charges = [a_charge(flags=("pattern_match",)) for _ in range(2)]
    ids = [charge.pk for charge in charges]
    url = reverse("admin:billing_charge_correct", args=[ids[0]])
    asked = client.post(url, {"project": "P-0123", "note": ""})
    page = asked.content.decode()
    assert "There is no project “P-0123”." in page
    assert "Project P-0123 will be created" in page
    assert not Project.objects.filter(code="P-0123").exists()
    # A tick for another name is none for this one.
    again = client.post(url, {"project": "P-0124", "note": "", "create": ["project:P-0123"]})
    assert "Project P-0124 will be created" in again.content.decode()
    bulk = act(client, "correct", ids, project="genomcs", create=["project:P-0123"])
    assert "Did you mean genomics?" in bulk.content.decode()
    assert Project.objects.count() == 1
    done = act(client, "correct", ids, project="P-0123", create=["project:P-0123"])
    assert messages_of(done) == ["2 charges reattributed. Project P-0123 is created."]
    undone = act(client, "undo", ids)
    assert messages_of(undone) == ["2 charges undone. Project P-0123 is removed: nothing else uses it."]


def test_what_there_is_is_offered_as_it_is_typed(cast, client):
    a_pi("grace@u.edu", name="Grace Hopper")
    a_project("genomics", name="Genomes")
    a_fund("BIO-001", name="Biology")
    url = reverse("admin:billing_heldcharge_suggest")
    client.force_login(cast.reviewer)
    for kind, term, value, label in (
        ("pi", "hopp", "grace@u.edu", "Grace Hopper"),
        ("project", "GENO", "genomics", "Genomes"),
        ("fund_org", "bio", "BIO-001", "Biology"),
    ):
        assert client.get(url, {"kind": kind, "term": term}).json() == {"results": [{"value": value, "label": label}]}
    assert client.get(url, {"kind": "pi", "term": ""}).json() == {"results": []}
    assert client.get(url, {"kind": "user", "term": "r"}).status_code == 403
    page = client.get(reverse("admin:billing_charge_correct", args=[a_charge().pk])).content.decode()
    assert f'data-suggest="{url}?kind=project"' in page
    assert "openchargeback/suggest.js" in page
    client.force_login(cast.pi)
    assert client.get(url, {"kind": "pi", "term": "a"}).status_code in (302, 403)


def test_the_command_creates_only_when_told_to():
    charge = a_charge(flags=("pattern_match",))
    a_pi("ada@u.edu")
    with pytest.raises(CommandError) as refused:
        command("reattribute", "--id", charge.pk, "--pi", "adda@u.edu", "--project", "P-0123")
    assert str(refused.value) == (
        "There is no PI “adda@u.edu”. Did you mean ada@u.edu? There is no project “P-0123”. "
        "Next: correct the name, or run the same with --create."
    )
    assert not Project.objects.filter(code="P-0123").exists()
    out = json.loads(command("reattribute", "--id", charge.pk, "--project", "P-0123", "--create", "--json"))
    assert out["created"] == ["Project P-0123"]
    assert json.loads(command("undo", "--id", charge.pk, "--json"))["removed"] == ["Project P-0123"]


def asked(client, action, ids, url=QUEUE):
    """Return the text of the page that asks about a selection."""
    page = client.post(url, {"action": action, "_selected_action": ids, "select_across": "0"})
    assert page.status_code == 200
    return page.content.decode()


@pytest.mark.parametrize("step", ["approve", "correct", "reject", "charge_to_center"])
def test_the_page_that_asks_shows_amount_reason_and_payer_of_one_charge_and_of_several(step, cast, client):
    client.force_login(cast.reviewer)
    one = a_charge("12.50", flags=("project_ended",), fund_org="BIO-7")
    Flag.objects.filter(charge=one).update(detail="genomics on Dec 31, 2024")
    more = a_charge("3.00", flags=("pattern_match",), pi="grace@u.edu", project="ships", currency="EUR", fund_org="SEA")
    page = client.get(reverse(f"admin:billing_charge_{step}", args=[one.pk])).content.decode()
    for text in ("12.50 USD", "Project has ended", "genomics on Dec 31, 2024", "ada@u.edu", "genomics", "BIO-7"):
        assert text in page
    page = asked(client, step, [one.pk, more.pk])
    for text in ("12.50 USD", "3.00 EUR", "Project has ended", "Matches a pattern", "grace@u.edu", "BIO-7", "SEA"):
        assert text in page


def test_the_page_of_a_correction_says_at_each_field_what_stands_there_now(cast, client):
    client.force_login(cast.reviewer)
    one, other = a_charge(flags=("pattern_match",), fund_org="BIO-7"), a_charge(flags=("pattern_match",), fund_org="B")
    page = client.get(reverse("admin:billing_charge_correct", args=[one.pk])).content.decode()
    assert "<bdi>BIO-7</bdi>" in page
    assert "<bdi>ada@u.edu</bdi>" in page
    # What it is about stands above the form.
    said = re.findall(rf"Charge {one.pk} · [^<]*", page)[-1]
    assert said.strip().endswith("January 2025 · 100.00 USD · Matches a pattern")
    page = asked(client, "correct", [one.pk, other.pk])
    assert "<bdi>several</bdi>" in page
    assert "<bdi>genomics</bdi>" in page


def test_a_large_selection_is_summed_by_reason_and_payer(cast, client, django_assert_max_num_queries):
    client.force_login(cast.reviewer)
    ids = [a_charge("2.00", flags=("pattern_match",)).pk for _ in range(20)]
    ids += [a_charge("1.00", flags=("missing_pi",), pi=None, currency="EUR").pk for _ in range(10)]
    with django_assert_max_num_queries(60):
        page = client.post(QUEUE, {"action": "approve", "_selected_action": ids, "select_across": "0"})
    selection = page.context["selection"]
    assert [(each.name, each.count, each.billed) for each in selection.reasons] == [
        ("Matches a pattern", 20, {"USD": Decimal(40)}),
        ("No PI", 10, {"EUR": Decimal(10)}),
    ]
    assert [(each.name, each.count) for each in selection.payers] == [
        ("ada@u.edu, genomics, BIO-001", 20),
        ("no PI, genomics, BIO-001", 10),
    ]
    assert len(page.context["rows"]) == 10
    text = page.content.decode()
    assert "10 of 30 cannot be approved yet" in text
    assert "No PI: correct who pays first" in text
    assert "10.00 EUR" in text


def test_the_page_of_an_approval_says_what_is_blocked_why_and_what_to_do(cast, client):
    client.force_login(cast.reviewer)
    good = a_charge("1.00", flags=("pattern_match",), fund_org="BIO-001")
    a_fund("BIO-001")
    a_fund("OLD-1", valid_until=datetime.date(2024, 12, 31))
    ended = a_charge("7.00", flags=("fund_not_valid",), fund_org="OLD-1")
    for page in (
        asked(client, "approve", [good.pk, ended.pk]),
        client.get(reverse("admin:billing_charge_approve", args=[ended.pk])).content.decode(),
    ):
        assert "cannot be approved yet" in page
        assert "correct who pays first, or have finance record an exception for the fund/org" in page
    assert "cannot be approved yet" not in asked(client, "approve", [good.pk])
    assert "cannot be approved yet" not in asked(client, "reject", [good.pk, ended.pk])
    assert not ReviewDecision.objects.exists()
    assert not AuditEvent.objects.filter(object_type="charge").exists()


def test_list_as_a_table_sums_what_waits():
    a_charge("10.00", flags=("missing_pi",), pi=None, payer_split=a_split({"A": "60", "B": "40"}))
    a_charge("-2.50", flags=("pattern_match",), currency="EUR")
    text = command("list")
    assert "A=60; B=40" in text
    assert "2 charges held, -2.50 EUR, 10.00 USD billed." in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-p", "2025-01"], {"jan", "hpc", "credit"}),
        (["--reason", "missing_pi"], {"feb"}),
        (["--source", "hpc"], {"hpc"}),
        (["--pi", "Mallory@u.edu"], {"credit"}),
        (["-p", "2025-01", "--source", "aws", "--reason", "pattern_match"], {"jan", "credit"}),
        ([], {"jan", "feb", "hpc", "credit"}),
    ],
)
def test_list_is_narrowed_by_period_reason_source_and_pi(arguments, expected):
    a_charge(flags=("pattern_match",), resource_name="jan")
    a_charge(flags=("missing_pi",), pi=None, period="2025-02", resource_name="feb")
    a_charge(flags=("project_ended",), source="hpc", resource_name="hpc")
    a_charge("-1.00", flags=("pattern_match",), pi="mallory@u.edu", resource_name="credit")
    assert {row["resource"] for row in listed(*arguments)} == expected


def test_an_answered_reason_is_not_listed():
    charge = a_charge(flags=("pattern_match", "missing_project"))
    Flag.objects.filter(charge=charge, code="missing_project").update(is_resolved=True)
    assert [flag["code"] for flag in listed()[0]["flags"]] == ["pattern_match"]
    assert listed("--reason", "missing_project") == []


def test_a_whole_period_is_approved_for_one_reason():
    a_charge(flags=("pattern_match",))
    a_charge(flags=("project_ended",))
    a_charge(flags=("pattern_match",), period="2025-02")
    out = json.loads(command("approve", "-p", "2025-01", "--reason", "pattern_match", "--json"))
    assert out == {
        **{"decision": "approved", "count": 1, "skipped": {}, "skipped_ids": []},
        **{"created": [], "removed": []},
    }
    assert Charge.objects.held().count() == 2


def test_a_month_without_held_charges_is_no_error():
    a_charge()
    assert "there is none to decide about" in command("approve", "-p", "2025-01")


def test_charges_asked_for_by_id_and_all_refused_are_an_error():
    charge = a_charge(flags=("missing_pi",), pi=None)
    with pytest.raises(CommandError, match="No charge approved; 1 skipped: no PI: correct who pays first."):
        command("approve", "--id", charge.pk)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["approve", "--id", "999"], "There is no charge 999"),
        (["reject", "--id", "1"], "needs a note"),
        (["charge-to-center", "--id", "1"], "Set it in the policy"),
        (["reattribute", "--id", "1"], "Say who pays"),
        (["reattribute", "--id", "1", "--pi", "nobody"], "is not an e-mail address"),
        (["reattribute", "--id", "1", "--split", "A=50"], "sum to 50 percent"),
        (["list", "-p", "2031-01"], "There is no billing period 2031-01"),
        (["list", "--source", "nonsense"], "There is no source “nonsense”"),
        (["list", "--pi", "nobody@u.edu"], "There is no PI “nobody@u.edu”"),
        (["apply", "/nowhere/at/all.xlsx"], "cannot be read"),
        (["export", "/nowhere/at/all.xlsx"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_decided(arguments, message):
    with pytest.raises(CommandError, match=message):
        command(*arguments)
    assert not ReviewDecision.objects.exists()


# The admin


@pytest.fixture
def queue(cast, client):
    """Six held charges that differ in what the queue filters by, and one that is clear; by a reviewer."""
    client.force_login(cast.reviewer)
    made = {
        "jan": a_charge("0.50", flags=("pattern_match",)),
        "feb": a_charge("50.00", flags=("pattern_match",), period="2025-02"),
        "hpc": a_charge("500.00", flags=("project_ended",), source="hpc", project="physics"),
        "nobody": a_charge("5000.00", flags=("missing_pi",), pi=None, project=None),
        "credit": a_charge("-5.00", flags=("missing_fund_org",), fund_org="", resource_name="the-box"),
        "free": a_charge("0.00", flags=("unknown_fund_org",), fund_org="ODD-9", pi="mallory@u.edu"),
    }
    a_charge("77.00")
    return made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"jan", "feb", "hpc", "nobody", "credit", "free"}),
        ("period=2025-02", {"feb"}),
        ("reason=project_ended", {"hpc"}),
        ("reason=missing_pi", {"nobody"}),
        ("amount=credit", {"credit"}),
        ("amount=zero", {"free"}),
        ("amount=cents", {"jan"}),
        ("amount=tens", {"feb"}),
        ("amount=hundreds", {"hpc"}),
        ("amount=thousands", {"nobody"}),
        ("payer=no-pi", {"nobody"}),
        ("payer=no-fund", {"credit"}),
        ("payer=known", {"jan", "feb", "hpc", "free"}),
        ("q=mallory", {"free"}),
        ("q=physics", {"hpc"}),
        ("q=the-box", {"credit"}),
        ("q=ODD-9", {"free"}),
        ("period=2025-01&reason=pattern_match", {"jan"}),
    ],
)
def test_the_queue_is_filtered_and_searched(queue, client, query, expected):
    shown = {charge.pk for charge in client.get(f"{QUEUE}?view=list&{query}").context["cl"].result_list}
    assert shown == {queue[name].pk for name in expected}


def test_the_queue_is_filtered_by_source(queue, client):
    source = queue["hpc"].source_id
    shown = client.get(f"{QUEUE}?source__id__exact={source}").context["cl"].result_list
    assert [charge.pk for charge in shown] == [queue["hpc"].pk]


@pytest.mark.parametrize("url", [f"{QUEUE}?view=list", ALL])
def test_a_longer_list_takes_no_more_queries(url, cast, client):
    client.force_login(cast.reviewer)

    def queries_of_a_page():
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(url).status_code == 200
        return len(queries)

    def add(name):
        split = a_split({"A": "60", "B": "40"})
        a_charge(flags=("pattern_match", "project_ended"), pi=f"{name}@u.edu", project=name, payer_split=split)

    add("first")
    queries_of_a_page()
    few = queries_of_a_page()
    for number in range(9):
        add(f"more{number}")
    assert queries_of_a_page() == few


def test_an_action_asks_first_and_says_what_came_of_it(queue, client):
    BillingPeriod.objects.filter(month="2025-02-01").update(status="closed", closed_at=NOW)
    ids = [queue[name].pk for name in ("jan", "hpc", "feb")]
    asked = client.post(QUEUE, {"action": "approve", "_selected_action": ids, "index": "0", "select_across": "0"})
    assert asked.status_code == 200
    assert "3 charges" in asked.content.decode()
    assert not ReviewDecision.objects.exists()
    done = act(client, "approve", ids)
    assert messages_of(done) == ["2 charges approved; 1 skipped: period February 2025 is closed."]


def test_an_action_works_for_all_that_match_beyond_the_page(queue, client):
    query = f"{QUEUE}?reason=pattern_match"
    chosen = {"action": "approve", "_selected_action": [queue["jan"].pk], "select_across": "1"}
    asked = client.post(query, {**chosen, "index": "0"})
    assert asked.context["number"] == 2
    client.post(query, {**chosen, "confirmed": "2", "note": ""})
    assert set(Charge.objects.filter(state="approved").values_list("pk", flat=True)) == {
        queue["jan"].pk,
        queue["feb"].pk,
    }


def test_a_selection_that_grew_meanwhile_is_asked_about_again(queue, client):
    done = act(client, "approve", [queue["jan"].pk, queue["hpc"].pk], seen=1)
    assert "The selection changed meanwhile: it has 2 charges now." in messages_of(done)
    assert not ReviewDecision.objects.exists()


@pytest.mark.parametrize(
    ("action", "data", "message"),
    [
        ("reject", {"reason": "other", "note": ""}, "needs a note"),
        ("reject", {"note": "because"}, "This field is required"),
        ("correct", {}, "Say who pays"),
        ("correct", {"pi": "nobody"}, "is not an e-mail address"),
        ("correct", {"split": "A=60; B=30"}, "sum to 90 percent"),
        ("correct", {"split": "A=100", "fund_org": "B"}, "either a fund/org or a split"),
        ("charge_to_center", {}, "Set it in the policy"),
    ],
)
def test_a_form_that_cannot_be_says_why(queue, client, action, data, message):
    done = act(client, action, [queue["jan"].pk], **data)
    assert done.status_code == 200
    assert message in done.content.decode()
    assert not ReviewDecision.objects.exists()


def test_a_charges_page_shows_facts_payer_reasons_and_history(queue, client):
    older = queue["jan"]
    Charge.objects.filter(pk=queue["hpc"].pk).update(replaces=older.pk)
    review.reattribute(
        charges=[queue["hpc"].pk],
        reassignment=Reassignment(pi="marie@u.edu", shares=(("A", Decimal(60)), ("B", Decimal(40)))),
        create=True,
        note="<b>By phone</b>",
        actor=SOMEBODY,
        now=NOW,
    )
    page = client.get(reverse("admin:billing_charge_change", args=[queue["hpc"].pk])).content.decode()
    for expected in ("Held for review", "marie@u.edu", "A=60; B=40", "Project has ended", "By phone", "somebody"):
        assert expected in page
    assert "<b>By phone</b>" not in page
    assert reverse("admin:billing_charge_change", args=[older.pk]) in page


def test_a_charge_that_left_the_queue_keeps_its_page(queue, client):
    page = client.get(reverse("admin:billing_heldcharge_change", args=[queue["jan"].pk]))
    assert page.url == reverse("admin:billing_charge_change", args=[queue["jan"].pk])


def test_a_charge_is_decided_about_on_its_own_page(queue, client):
    charge = queue["nobody"]
    url = reverse("admin:billing_charge_correct", args=[charge.pk])
    assert "Choose who pays" in client.get(url).content.decode()
    done = client.post(url, {"pi": "ada@u.edu", "approve": "on", "note": ""}, follow=True)
    assert messages_of(done) == ["1 charge reattributed and approved."]
    charge.refresh_from_db()
    assert (charge.state, charge.pi.email) == ("approved", "ada@u.edu")


def test_a_refusal_on_a_charges_page_is_shown_there(queue, client):
    url = reverse("admin:billing_charge_approve", args=[queue["nobody"].pk])
    done = client.post(url, {"note": ""}, follow=True)
    assert messages_of(done) == ["No charge approved; 1 skipped: no PI: correct who pays first."]


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("held", {"approve", "correct", "reject", "charge_to_center"}),
        ("clear", {"correct", "reject", "charge_to_center"}),
        ("approved", {"correct"}),
        ("rejected", set()),
    ],
)
def test_a_page_offers_only_what_is_legal(cast, client, state, offered):
    client.force_login(cast.reviewer)
    charge = a_charge(state=state)
    page = reverse("admin:billing_charge_change", args=[charge.pk])

    def buttons():
        return {button["url"].rstrip("/").rpartition("/")[2] for button in client.get(page).context["buttons"]}

    assert buttons() == offered
    ReviewDecision.objects.create(
        charge=charge,
        line_number=1,
        action="approve",
        decided_by_name="x",
        decided_at=NOW,
        gesture="00000000-0000-0000-0000-000000000001",
    )
    assert buttons() == offered | {"undo"}
    BillingPeriod.objects.update(status="closed", closed_at=NOW)
    assert buttons() == set()


def test_a_viewer_sees_everything_and_decides_nothing(cast, client):
    charge = a_charge(flags=("pattern_match",))
    client.force_login(cast.viewer)
    assert client.get(QUEUE).status_code == client.get(ALL).status_code == 200
    page = client.get(reverse("admin:billing_charge_change", args=[charge.pk]))
    assert page.context["buttons"] == []
    for verb in ("approve", "correct", "reject", "charge_to_center", "undo"):
        assert client.post(reverse(f"admin:billing_charge_{verb}", args=[charge.pk]), {"note": ""}).status_code == 403
        act(client, verb, [charge.pk], note="")
        act(client, verb, [charge.pk], url=ALL, note="")
    assert client.get(reverse("admin:billing_heldcharge_export")).status_code == 403
    assert client.get(reverse("admin:billing_heldcharge_apply")).status_code == 403
    charge.refresh_from_db()
    assert charge.state == "held"
    assert not ReviewDecision.objects.exists()


@pytest.mark.parametrize("role", ["pi", "delegate", "stranger"])
def test_who_is_not_staff_does_not_get_in(cast, client, role):
    client.force_login(cast.everybody[role])
    assert client.get(QUEUE).status_code == 302
    assert client.get(ALL).status_code == 302


def test_nobody_adds_edits_or_deletes_a_charge(cast, client):
    charge = a_charge()
    client.force_login(cast.admin)
    assert client.get(reverse("admin:billing_charge_add")).status_code == 403
    assert client.post(reverse("admin:billing_charge_delete", args=[charge.pk])).status_code == 403
    assert client.post(reverse("admin:billing_charge_change", args=[charge.pk]), {"state": "held"}).status_code == 403


def test_all_charges_are_filtered_by_state_and_standing(cast, client):
    client.force_login(cast.viewer)
    clear, held, gone = a_charge(), a_charge(flags=("pattern_match",)), a_charge()
    Charge.objects.filter(pk=gone.pk).update(withdrawn_in=gone.imported_in)

    def shown(query):
        return {charge.pk for charge in client.get(f"{ALL}?{query}").context["cl"].result_list}

    assert shown("state__exact=held") == {held.pk}
    assert shown("standing=live") == {clear.pk, held.pk}
    assert shown("standing=withdrawn") == {gone.pk}
    assert shown("period=2025-01&payer=known") == {clear.pk, held.pk, gone.pk}


def test_an_alias_of_a_pi_is_found_by_the_command():
    a_pi("ada@u.edu").aliases.create(email="countess@u.edu")
    a_charge(flags=("pattern_match",))
    assert len(listed("--pi", "countess@u.edu")) == 1


def test_a_charge_shows_its_service_in_utc_wherever_the_office_is(client, cast, settings):
    settings.TIME_ZONE = "America/Los_Angeles"
    start = datetime.datetime(2025, 1, 5, tzinfo=datetime.UTC)
    charge = a_charge("5", charge_period_start=start, charge_period_end=start + datetime.timedelta(days=1))
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:billing_charge_change", args=[charge.pk]), {"tab": "delivered"}).content.decode()
    assert "<dt>Service from</dt><dd>Jan 5, 2025, 00:00 UTC</dd>" in page
    assert "<dt>Service until (exclusive)</dt><dd>Jan 6, 2025, 00:00 UTC</dd>" in page
