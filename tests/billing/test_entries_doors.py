"""Corrections through their doors: engine, command and admin enter the same; who may, and what is shown."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from billing import charging, closing
from billing.models import Entry, PayerLine
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_policy

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
    call_command("entries", *map(str, arguments), stdout=out)
    return out.getvalue()


def asked(*arguments):
    return json.loads(command(*arguments, "--json"))


def test_a_transfer_by_command_says_what_moves_and_what_comes_next(january):
    line = the_line()
    would = command("add", "transfer", "--line", line.pk, "--to", "A=60,B=40", "--reason", "Wrong tag", "--dry-run")
    assert "Would enter a transfer of 100.00 USD for 2025-01, borne by 2025-02: Wrong tag" in would
    assert not Entry.objects.exists()
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
        (["add", "transfer", "--reference", "2025-01-0001", "--project", "nix", "--reason", "x"], 1, "no project nix"),
        (["add", "refund", "--reference", "2025-01-0001", "-p", "2025-01", "--reason", "x"], 1, "takes no changes"),
        (["approve", "1"], 1, "There is no entry 1"),
    ],
)
def test_what_cannot_be_done_says_so_with_its_exit_code(january, arguments, code, message):
    with pytest.raises(CommandError, match=message) as refused:
        command(*arguments)
    assert refused.value.returncode == code
    assert not Entry.objects.exists()


def test_the_list_is_narrowed_by_month_state_and_kind(january):
    line = the_line()
    for kind, more in (("refund", []), ("transfer", ["--to", "BIO-002"])):
        command("add", kind, "--line", line.pk, "--amount", "10", "--reason", kind, *more)
    number = asked("list", "--kind", "refund")["entries"][0]["number"]
    command("reverse", number, "--reason", "No")
    kinds = [each["kind"] for each in asked("list", "-p", "2025-02", "--state", "approved")["entries"]]
    assert kinds == ["refund", "transfer", "refund"]
    first, _, third = asked("list")["entries"]
    assert (first["reversed_by"], third["reverses"], third["amount"]) == (third["number"], number, "-10.00")
    assert asked("list", "-p", "2025-01")["entries"] == []
    assert "There is no such entry." in command("list", "--state", "rejected")


def test_a_second_person_approves_or_rejects_by_command(january):
    a_policy(center_fund_org="RC-000", entries_need_second_person=True)
    add = ["add", "refund", "--line", the_line().pk, "--amount", "10", "--reason", "Down"]
    with pytest.raises(CommandError, match="--as USER"):
        command(*add)
    assert "It waits for a second person: `manage.py entries approve" in command(*add, "--as", "rex")
    (waiting,) = asked("list", "--state", "proposed")["entries"]
    with pytest.raises(CommandError, match="somebody else"):
        command("approve", waiting["number"], "--as", "rex")
    assert asked("approve", waiting["number"], "--as", "fay")["decided_by"] == "fay"
    number = asked(*add, "--as", "rex")["number"]
    assert "Rejected by fay: no" in command("reject", number, "--note", "no", "--as", "fay")
