"""Corrections through their doors: engine, command and admin enter the same; who may, and what is shown."""

import io
import json
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing import charging, corrections
from billing.audit import Actor
from billing.models import AuditEvent, Correction, CorrectionLine, PayerLine
from billing.months import closing
from tests.build import NOW, SOMEBODY, a_charge, a_correction, a_period, a_pi, a_policy, a_source

pytestmark = pytest.mark.django_db

BY = {"actor": SOMEBODY, "now": NOW}


@pytest.fixture
def january(cast):
    a_policy(center_fund_org="RC-000")
    a_charge("100.00")
    january = a_period("2025-01")
    charging.make_payer_lines(period=january, **BY)
    closing.close(period=january, **BY)
    a_period("2025-02")
    return january


def the_line():
    return PayerLine.objects.get(period__month="2025-01-01")


def command(*arguments):
    out = io.StringIO()
    call_command("corrections", *map(str, arguments), stdout=out)
    return out.getvalue()


def asked(*arguments):
    return json.loads(command(*arguments, "--json"))


def test_a_transfer_by_command_says_what_moves_and_what_comes_next(january):
    line = the_line()
    would = command("add", "transfer", "--line", line.pk, "--to", "A=60,B=40", "--reason", "Wrong tag", "--dry-run")
    assert "Would enter a transfer of 100.00 USD for January 2025, charged in February 2025: Wrong tag" in would
    assert not Correction.objects.exists()
    told = asked("add", "transfer", "--line", line.key, "--to", "A=60,B=40", "--reason", "Wrong tag")
    assert (told["kind"], told["state"], told["period"], told["for_period"]) == (
        "transfer",
        "approved",
        "2025-02",
        "2025-01",
    )
    assert [(each["fund_org"], each["amount"]) for each in told["lines"]] == [
        ("BIO-001", "-100.00"),
        ("A", "60.00"),
        ("B", "40.00"),
    ]
    assert told["lines"][0]["corrects"] == line.key
    assert "manage.py generate -p 2025-02" in command("show", told["number"])


def test_a_whole_reference_or_what_one_fund_paid_of_it_is_corrected(january):
    closing.reopen(period=january, reason="More", **BY)
    a_charge("7.00", service_name="Storage")
    a_charge("3.00", service_name="Storage", fund_org="BIO-007")
    charging.make_payer_lines(period=january, **BY)
    for options, amount in (
        ([], "110.00"),
        (["--from-fund-org", "BIO-001"], "107.00"),
        (["--service", "Storage"], "10.00"),
        (["--from-fund-org", "BIO-007", "--source", "aws"], "3.00"),
    ):
        told = asked("add", "refund", "--reference", "2025-01-0001", *options, "--reason", "Down", "--dry-run")
        assert told["amount"] == amount, options


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["add", "transfer", "--reason", "x"], 1, "Say what is corrected"),
        (["add", "transfer", "--line", "2025-01-0001-1:1", "--reason", "x"], 1, "There is no statement"),
        (["add", "refund", "--line", "9999", "--reason", "x"], 1, "There is no payer line"),
        (["add", "refund", "--reference", "2025-01-0001", "--to", "A", "--reason", "x"], 2, "takes no --to"),
        (["add", "refund", "--line", "1", "--service", "x", "--reason", "x"], 2, "narrow a --reference"),
        (["add", "manual", "--to", "A", "--reason", "x"], 2, "needs --pi, --source, --amount"),
        (["add", "transfer", "--reference", "2025-01-0001", "--pi", "nobody@u.edu", "--reason", "x"], 1, "no PI"),
        (
            ["add", "transfer", "--reference", "2025-01-0001", "--project", "nix", "--reason", "x"],
            1,
            "no project “nix”",
        ),
        (["add", "refund", "--reference", "2025-01-0001", "-p", "2025-01", "--reason", "x"], 1, "takes no changes"),
        (["approve", "1"], 1, "There is no correction 1"),
    ],
)
def test_what_cannot_be_done_says_so_with_its_exit_code(january, arguments, code, message):
    with pytest.raises(CommandError, match=message) as refused:
        command(*arguments)
    assert refused.value.returncode == code
    assert not Correction.objects.exists()


def test_the_list_is_narrowed_by_month_state_and_kind(january):
    line = the_line()
    for kind, more in (("refund", []), ("transfer", ["--to", "BIO-002"])):
        command("add", kind, "--line", line.pk, "--amount", "10", "--reason", kind, *more)
    number = asked("list", "--kind", "refund")["corrections"][0]["number"]
    command("reverse", number, "--reason", "No")
    kinds = [each["kind"] for each in asked("list", "-p", "2025-02", "--state", "approved")["corrections"]]
    assert kinds == ["refund", "transfer", "refund"]
    first, _, third = asked("list")["corrections"]
    assert (first["reversed_by"], third["reverses"], third["amount"]) == (third["number"], number, "-10.00")
    assert asked("list", "-p", "2025-01")["corrections"] == []
    assert "There is no such correction." in command("list", "--state", "rejected")


def test_a_second_person_approves_or_rejects_by_command(january):
    a_policy(center_fund_org="RC-000", corrections_need_second_person=True)
    add = ["add", "refund", "--line", the_line().pk, "--amount", "10", "--reason", "Down"]
    with pytest.raises(CommandError, match="--as USER"):
        command(*add)
    assert "It waits for a second person: `manage.py corrections approve" in command(*add, "--as", "fay")
    (waiting,) = asked("list", "--state", "proposed")["corrections"]
    with pytest.raises(CommandError, match="somebody else"):
        command("approve", waiting["number"], "--as", "fay")
    with pytest.raises(CommandError, match="rex may not do this"):
        command("approve", waiting["number"], "--as", "rex")
    assert asked("approve", waiting["number"], "--as", "root")["decided_by"] == "root"
    number = asked(*add, "--as", "rex")["number"]
    assert "Rejected by fay: no" in command("reject", number, "--note", "no", "--as", "fay")


# The same through every door

ENTER, MANUAL = reverse("admin:billing_correction_enter"), reverse("admin:billing_correction_manual")
HALF = {"A": Decimal(50), "B": Decimal(50)}
CHARGED = {"pi": "ada@u.edu", "project": "genomics", "source": "aws", "amount": "250.00"}

DOORS = {
    "transfer": (
        lambda by: corrections.add_transfer(lines=[the_line()], to=HALF, reason="r", printed_text="p", **by),
        lambda: ["transfer", "--line", the_line().pk, "--to", "A=50,B=50", "--reason", "r", "--printed-text", "p"],
        (
            ENTER,
            lambda: {
                "which": the_line().pk,
                "kind": "transfer",
                "to": "A=50; B=50",
                "reason": "r",
                "printed_text": "p",
            },
        ),
    ),
    "refund": (
        lambda by: corrections.add_refund(lines=[the_line()], amount=Decimal("9.99"), reason="r", **by),
        lambda: ["refund", "--line", the_line().key, "--amount", "9.99", "--reason", "r"],
        (ENTER, lambda: {"which": the_line().key, "kind": "refund", "amount": "9.99", "reason": "r"}),
    ),
    "write-off": (
        lambda by: corrections.add_write_off(lines=[the_line()], reason="r", justification="j", **by),
        lambda: ["write-off", "--reference", "2025-01-0001", "--reason", "r", "--justification", "j"],
        (
            ENTER,
            lambda: {"which": "2025-01-0001", "kind": "write_off", "reason": "r", "justification": "j"},
        ),
    ),
    "manual": (
        lambda by: corrections.add_manual_charge(
            **{"pi": a_pi(), "project": the_line().project, "source": a_source(), "amount": Decimal(250)},
            **{"fund_org": "A", "service_name": "Advice", "reason": "r", "for_period": a_period("2025-01"), **by},
        ),
        lambda: [
            *("manual", "--pi", "ada@u.edu", "--project", "genomics", "--source", "aws", "--amount", "250"),
            *("--to", "A", "--service", "Advice", "--reason", "r", "--for", "2025-01"),
        ],
        (
            MANUAL,
            lambda: {**CHARGED, "fund_org": "A", "service_name": "Advice", "reason": "r", "for_period": "2025-01-01"},
        ),
    ),
}


def entered_by(door, kind, cast, client):
    engine, arguments, (url, data) = DOORS[kind]
    if door == "engine":
        engine({"actor": Actor.from_user(cast.finance), "now": NOW})
    elif door == "command":
        command("add", *arguments(), "--as", "fay")
    else:
        client.force_login(cast.finance)
        shown = client.post(url, data())
        assert shown.status_code == 200, shown
        assert shown.context["planned"], shown.context["form"].errors
        assert not Correction.objects.exists()
        done = client.post(url, {**data(), "confirmed": shown.context["seen"]})
        assert done.status_code == 302


def state():
    """Return corrections, lines and events without keys and times."""
    own = {"id", "gesture", "entered_at", "decided_at"}
    told = []
    for correction in Correction.objects.values():
        told.append({name: value for name, value in correction.items() if name not in own})
    lines = list(
        CorrectionLine.objects.order_by("number").values_list("kind", "pi", "fund_org", "amount", "corrects_key")
    )
    events = []
    for event in AuditEvent.objects.filter(action__startswith="correction").order_by("id"):
        after = {name: value for name, value in event.after.items() if name not in own}
        events.append((event.action, event.actor_name, after, event.note))
    return told, lines, events


@pytest.mark.parametrize("kind", DOORS)
def test_every_door_enters_the_same(january, cast, client, kind):
    from django.db import transaction

    found = {}
    for door in ("engine", "command", "admin"):
        point = transaction.savepoint()
        entered_by(door, kind, cast, client)
        found[door] = state()
        transaction.savepoint_rollback(point)
    assert found["engine"][0], "nothing was entered"
    assert found["command"] == found["admin"] == found["engine"]


# The pages


def page_of(client, url):
    return client.get(url).content.decode()


def test_a_line_of_a_statement_leads_to_its_correction_and_back(january, cast, client):
    from statements import issuing
    from statements.models import Statement

    issuing.generate(period=january, **BY)
    statement = Statement.objects.get()
    page = f"{reverse('admin:statements_statement_change', args=[statement.pk])}?tab=lines"
    client.force_login(cast.viewer)
    assert "Correct…" not in page_of(client, page)
    client.force_login(cast.reviewer)
    url = f"{ENTER}?line=2025-01-0001-1%3A1"
    assert url in page_of(client, page)
    form = client.get(url)
    assert form.context["form"]["which"].value() == "2025-01-0001-1:1"
    assert [each.left for each in form.context["lines"]] == [100]
    data = {"which": "2025-01-0001-1:1", "kind": "transfer", "to": "BIO-002", "reason": "Wrong tag"}
    shown = client.post(ENTER, data)
    assert "Transfer of" in shown.content.decode()
    done = client.post(ENTER, {**data, "confirmed": shown.context["seen"]}, follow=True).content.decode()
    assert "It is on the next statements and journal of February 2025" in done
    assert f'<a href="{page}">statement 2025-01-0001-1, line 1</a>' in done
    assert "payer line of January 2025</a>" in done
    # On the next statement it is shown, with its month and reason.
    issuing.generate(period=a_period("2025-02"), **BY)
    correction = reverse("admin:billing_correction_change", args=[Correction.objects.get().pk])
    assert "statement 2025-02-0001-1, line 1" in page_of(client, correction)
    later = Statement.objects.get(period__month="2025-02-01")
    shown_to = page_of(client, reverse("admin:statements_statement_change", args=[later.pk]))
    block = shown_to[shown_to.index("Corrections to earlier months") :]
    for told in ("January 2025", "2025-01-0001-1, line 1", "Transfer", "Old", "New"):
        assert told in block


def test_why_a_number_leads_to_its_correction(january, cast, client):
    line = the_line()
    why = reverse("admin:billing_charge_why")
    link = f"{ENTER}?line={line.pk}"
    client.force_login(cast.viewer)
    assert link not in client.get(why, {"what": f"2025-01@{line.key}"}).content.decode()
    client.force_login(cast.reviewer)
    assert link in client.get(why, {"what": f"2025-01@{line.key}"}).content.decode()


def test_what_changed_since_it_was_shown_is_shown_again(january, cast, client):
    client.force_login(cast.reviewer)
    data = {"which": str(the_line().pk), "kind": "refund", "reason": "Down"}
    shown = client.post(ENTER, data)
    corrections.add_refund(lines=[the_line()], amount=Decimal(30), reason="Another", **BY)
    again = client.post(ENTER, {**data, "confirmed": shown.context["seen"]})
    assert again.status_code == 200
    assert "changed meanwhile" in again.content.decode()
    assert Correction.objects.count() == 1
    assert client.post(ENTER, {**data, "confirmed": again.context["seen"]}).status_code == 302
    assert [correction.amount for correction in Correction.objects.order_by("id")] == [30, 70]


def test_change_leads_back_to_the_form_as_filled_in(january, cast, client):
    client.force_login(cast.reviewer)
    data = {"which": str(the_line().pk), "kind": "transfer", "to": "A=60; B=40", "reason": "Down", "again": "1"}
    back = client.post(ENTER, data)
    assert back.context["planned"] is None
    assert back.context["form"]["to"].value() == "A=60; B=40"
    assert 'type="hidden" name="to"' not in back.content.decode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "refund", "to": "A"}, "Only a transfer moves the cost"),
        ({"kind": "transfer", "to": "A=60"}, "100"),
        ({"kind": "transfer"}, "Say where it goes"),
        ({"kind": "transfer", "pi": "nobody@u.edu"}, "There is no PI"),
        ({"kind": "transfer", "project": "nix"}, "There is no project “nix”"),
        ({"kind": "refund", "amount": "100.01"}, "100.00 is left"),
        ({"kind": "refund", "which": "2025-01-0099"}, "There is no reference"),
        ({"kind": "refund", "which": "0001-01-0001"}, "There is no billing period 0001-01"),
        ({"kind": "refund", "which": "2025-13-0001"}, "is not a billing period"),
        ({"kind": "refund", "reason": ""}, "This field is required"),
    ],
)
def test_a_form_that_is_wrong_says_so_and_enters_nothing(january, cast, client, data, message):
    client.force_login(cast.reviewer)
    shown = client.post(ENTER, {"which": str(the_line().pk), "reason": "Down", **data})
    assert message in shown.content.decode()
    assert not Correction.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "reviewer", "finance", "admin"])
def test_who_may_not_enter_is_refused_also_when_posting(january, cast, client, role):
    client.force_login(getattr(cast, role))
    data = {"which": str(the_line().pk), "kind": "refund", "reason": "Down"}
    for url in (ENTER, MANUAL):
        assert client.post(url, data).status_code == (403 if role == "viewer" else 200)


def test_finance_approves_on_the_page_what_somebody_else_entered(january, cast, client):
    a_policy(center_fund_org="RC-000", corrections_need_second_person=True)
    correction = corrections.add_refund(
        lines=[the_line()], reason="Down", actor=Actor.from_user(cast.finance), now=NOW
    ).correction
    page = reverse("admin:billing_correction_change", args=[correction.pk])
    approve, reject = f"{page.removesuffix('change/')}approve/", f"{page.removesuffix('change/')}reject/"
    client.force_login(cast.reviewer)
    assert "Approve…" not in page_of(client, page)
    assert client.post(approve, {"note": ""}).status_code == 403
    client.force_login(cast.finance)
    shown = page_of(client, page)
    assert "You entered it, so somebody else has to approve it." in shown
    assert ("Approve…" in shown, "Reject…" in shown) == (False, True)
    assert "somebody else has to approve it" in client.post(approve, {"note": ""}).content.decode()
    client.force_login(cast.admin)
    assert "Approve…" in page_of(client, page)
    assert "1 correction waits for approval" in page_of(
        client, reverse("admin:billing_billingperiod_close", args=[correction.charged_in_id])
    )
    assert "is approved" in client.post(approve, {"note": "Seen"}, follow=True).content.decode()
    assert "is not possible for" in client.post(reject, {"note": "No"}, follow=True).content.decode()
    correction.refresh_from_db()
    assert (correction.state, correction.decided_by) == ("approved", cast.admin)


def test_a_correction_is_reversed_on_its_page_once(cast, client):
    correction = a_correction(a_charge())
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_correction_reverse", args=[correction.pk])
    said = client.post(url, {"reason": "It worked after all", "justification": "", "charged_in": ""}, follow=True)
    reversal = Correction.objects.get(reverses=correction)
    assert f"is reversed by correction {reversal.pk}, in February 2025" in said.content.decode()
    assert "is not possible for" in client.post(url, {"reason": "Again"}, follow=True).content.decode()


def test_the_list_finds_corrections(cast, client):
    correction = a_correction(a_charge(), reason="A very wet cellar")
    client.force_login(cast.viewer)
    url = reverse("admin:billing_correction_changelist")
    label = f"Correction {correction.pk}"
    for query, found in {
        "": True,
        "?period=2025-02": True,
        "?period=2025-01": False,
        "?for_period=2025-01": True,
        "?state__exact=proposed": False,
        "?kind__exact=refund": True,
        "?q=cellar": True,
        "?q=BIO-001": True,
        "?q=nothing": False,
    }.items():
        assert (label in page_of(client, url + query)) is found, query
