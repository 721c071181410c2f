"""Two at once, in processes of their own: one wins, the other hears why not, and nothing is half done."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from billing.texts import month_name

from .machines import scratch_database
from .stage import row, tags, write

pytestmark = [pytest.mark.own_database, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent
RACER = Path(__file__).with_name("racer.py")
# Each race is run this many times, with one or the other a little ahead.
ROUNDS = 2


class Racer:
    """A process on the scratch database."""

    def __init__(self, environment):
        self.process = subprocess.Popen(
            [sys.executable, str(RACER)],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ready(self):
        assert self.hear() == {"ready": True}
        return self

    def say(self, **asked):
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the process is gone"
        return json.loads(line)

    def hear(self):
        answer = self.answer()
        assert "crashed" not in answer, answer["crashed"]
        return answer

    def command(self, *arguments):
        """Run a command that must do its work."""
        self.say(command=[str(argument) for argument in arguments])
        answer = self.hear()
        assert "answer" in answer, answer
        return answer["answer"]

    def value(self, expression):
        self.say(evaluate=expression)
        return self.hear()["value"]


class Field:
    """Two racers and one who prepares and looks."""

    def __init__(self, environment, folder):
        self.first, self.second, self.stage = (Racer(environment) for _ in range(3))
        for racer in self.racers:
            racer.ready()
        self.folder = folder
        # The months of the race that is run.
        self.raced = []
        self.random = random.Random(7)
        self.months = iter(f"20{year}-{month:02}" for year in range(20, 60) for month in range(1, 13))

    @property
    def racers(self):
        return self.first, self.second, self.stage

    def race(self, one, other):
        """Let both run at the same moment, give or take 30 ms; return what each heard."""
        start = time.time() + 0.1
        self.first.say(at=start, command=[str(argument) for argument in one])
        self.second.say(at=start + self.random.uniform(-0.03, 0.03), command=[str(argument) for argument in other])
        return self.both()

    def meet(self, one, other):
        """Have both evaluate an expression at the same moment, give or take 10 ms; return both values."""
        start = time.time() + 0.1
        self.first.say(at=start, evaluate=one)
        self.second.say(at=start + self.random.uniform(-0.01, 0.01), evaluate=other)
        first, second = self.both()
        return first["value"], second["value"]

    def both(self):
        """Return what both answer. Both are heard before one may fail, or every later race hears the one before."""
        answers = [racer.answer() for racer in (self.first, self.second)]
        for answer in answers:
            assert "crashed" not in answer, answer["crashed"]
        return tuple(answers)

    def delivery(self, month, *rows):
        number = self.random.randrange(10**6)
        columns = {
            "BillingPeriodStart": f"{month}-01T00:00:00Z",
            "BillingPeriodEnd": f"{month}-28T00:00:00Z",
            "ChargePeriodStart": f"{month}-10T00:00:00Z",
            "ChargePeriodEnd": f"{month}-11T00:00:00Z",
        }
        return write(self.folder / f"aws_{month}_{number}.csv", [{**each, **columns} for each in rows])

    def a_month(self, *rows):
        """Import a month and return it."""
        month = next(self.months)
        self.raced.append(month)
        self.stage.command("ingest", self.delivery(month, *(rows or (row("100.00"),))), "-s", "aws", "-p", month)
        return month

    def a_closed_month(self):
        """Return a month that is closed, stated and journaled: all that is left is to finalize it."""
        month = self.a_month()
        for arguments in (
            ("periods", "close", month),
            ("generate", "-p", month),
            ("export_journal", "-p", month, "-f", "gl", "--submit"),
            ("journals", "post", month, "--document", f"GL-{month}"),
        ):
            self.stage.command(*arguments)
        return month

    def end(self):
        for racer in self.racers:
            racer.end()


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    folder = tmp_path_factory.mktemp("races")
    url, drop = scratch_database(folder, "races")
    environment = os.environ | {"DEBUG": "true", "DATABASE_URL": url, "VAR_DIR": str(folder), "EMAIL_URL": ""}
    try:
        for arguments in (
            ("initialize",),
            (
                "sources",
                "set",
                "aws",
                "--recovery-fund-org",
                "RC",
                "--recovery-account",
                "4900",
                "--debit-account",
                "6500",
            ),
        ):
            done = subprocess.run(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        racing = Field(environment, folder)
        yield racing
        racing.end()
    finally:
        drop()


def outcomes(*heard):
    return sorted("answer" if "answer" in each else "refused" for each in heard)


@pytest.fixture(autouse=True)
def _the_audit_log_holds(field):
    """Whatever happened: the chain of audit events is whole, and the proof of the month comes out."""
    field.raced.clear()
    yield
    assert field.stage.command("verify_audit")
    for month in field.raced:
        assert field.stage.command("proof", "-p", month)["reconciles"]


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_of_two_who_finalize_one_does(field, _round):
    month = field.a_closed_month()
    finalize = ("periods", "finalize", month)
    heard = field.race(finalize, finalize)
    assert outcomes(*heard) == ["answer", "refused"]
    (refused,) = (each["refused"] for each in heard if "refused" in each)
    assert f"{month_name(month)} is finalized" in refused
    assert events_of(field, month, "period.finalized") == 1


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_delivery_is_applied_before_the_close_or_waits_after_it(field, _round):
    month = field.a_month()
    again = field.delivery(month, row("100.00"), row("7.00", ResourceId="i-2"))
    closed, imported = field.race(("periods", "close", month), ("ingest", again, "-s", "aws", "-p", month))
    charges = field.stage.value(f"Charge.objects.live().filter(charged_in__month='{month}-01').count()")
    assert "answer" in closed
    if "refused" in imported:
        # It was read before the close and was to be applied after it.
        assert "closed" in imported["refused"]
        assert charges == 1
    else:
        assert (imported["answer"]["state"], charges) in (("applied", 2), ("deferred", 1))


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_finalized_month_is_never_changed_by_a_delivery(field, _round):
    month = field.a_closed_month()
    again = field.delivery(month, row("130.00"))
    finalized, imported = field.race(("periods", "finalize", month), ("ingest", again, "-s", "aws", "-p", month))
    assert "answer" in finalized
    assert imported["answer"]["state"] == "deferred"
    assert (
        field.stage.value(f"plain(Charge.objects.live().get(charged_in__month='{month}-01').billed_cost)") == "100.00"
    )


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_who_generate_issue_each_statement_once(field, _round):
    month = field.a_month()
    heard = field.race(("generate", "-p", month), ("generate", "-p", month))
    assert "answer" in heard[0] or "answer" in heard[1]
    assert field.stage.value(f"Statement.objects.filter(period__month='{month}-01').count()") == 1
    assert field.stage.value(f"PayerLine.objects.filter(period__month='{month}-01').count()") == 1


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_an_approval_and_a_new_delivery_of_the_charge_lose_neither(field, _round):
    untagged = {"Tags": '{"pi_email": "ada@u.edu", "fund_org": "BIO-001"}'}
    month = field.a_month(row("100.00", **untagged))
    charge = field.stage.value(f"Charge.objects.held().get(charged_in__month='{month}-01').pk")
    again = field.delivery(month, row("120.00", **untagged))
    approved, imported = field.race(("review", "approve", "--id", charge), ("ingest", again, "-s", "aws", "-p", month))
    assert "answer" in imported
    old, new = field.stage.value(
        f"list(Charge.objects.filter(charged_in__month='{month}-01').order_by('pk')"
        ".values_list('state', 'withdrawn_in', 'replaces'))"
    )
    assert old[1] is not None
    assert (new[1], new[2]) == (None, charge)
    # An approval that came first is kept as such, and the new amount is asked about; one that came late is refused.
    was_approved = "answer" in approved and approved["answer"].get("count", 0) == 1
    assert (old[0], new[0]) == (("approved", "held") if was_approved else ("held", "held"))
    flags = field.stage.value(f"list(Flag.objects.filter(charge__replaces={charge}).values_list('code', flat=True))")
    assert ("amount_changed" in flags) == was_approved


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_journal_is_submitted_once(field, _round):
    month = field.a_month()
    field.stage.command("generate", "-p", month)
    submit = ("export_journal", "-p", month, "-f", "gl", "--submit")
    heard = field.race(submit, submit)
    assert outcomes(*heard) == ["answer", "refused"]
    assert field.stage.value(f"Journal.objects.filter(period__month='{month}-01').count()") == 1


def status_of(field, month):
    return field.stage.value(f"BillingPeriod.objects.get(month='{month}-01').status")


def events_of(field, month, action):
    return field.stage.value(
        f"AuditEvent.objects.filter(action='{action}', object_label='{month_name(month)}').count()"
    )


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_of_two_who_close_one_does(field, _round):
    month = field.a_month()
    close = ("periods", "close", month)
    heard = field.race(close, close)
    assert outcomes(*heard) == ["answer", "refused"]
    (refused,) = (each["refused"] for each in heard if "refused" in each)
    assert f"{month_name(month)} is closed" in refused
    assert (status_of(field, month), events_of(field, month, "period.closed")) == ("closed", 1)


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_no_month_is_closed_over_a_charge_that_waits(field, _round):
    """The approval comes first, or the close is refused for what it has not seen approved."""
    month = field.a_month(row("100.00", Tags='{"pi_email": "ada@u.edu", "fund_org": "BIO-001"}'))
    charge = field.stage.value(f"Charge.objects.held().get(charged_in__month='{month}-01').pk")
    closed, approved = field.race(("periods", "close", month), ("review", "approve", "--id", charge))
    assert approved["answer"]["count"] == 1
    assert field.stage.value(f"Charge.objects.get(pk={charge}).state") == "approved"
    if "refused" in closed:
        assert "1 charge" in closed["refused"]
    assert status_of(field, month) == ("open" if "refused" in closed else "closed")


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_correction_is_made_before_the_close_or_refused_after_it(field, _round):
    month = field.a_month()
    charge = field.stage.value(f"Charge.objects.get(charged_in__month='{month}-01').pk")
    correct = ("review", "reattribute", "--id", charge, "--fund-org", "CHEM-002", "--approve")
    closed, corrected = field.race(("periods", "close", month), correct)
    fund_org = field.stage.value(f"Charge.objects.get(pk={charge}).fund_org")
    decisions = field.stage.value(f"ReviewDecision.objects.filter(charge={charge}).count()")
    if "refused" in corrected:
        assert f"{month_name(month)} is closed" in corrected["refused"]
        assert (fund_org, decisions, status_of(field, month)) == ("BIO-001", 0, "closed")
    elif corrected["answer"]["count"]:
        assert fund_org == "CHEM-002"
        assert decisions > 0
        # A correction may leave reasons to look at: then the close waits for them.
        assert status_of(field, month) == ("closed" if "answer" in closed else "open")
    else:
        assert "closed" in json.dumps(corrected["answer"])
        assert (fund_org, decisions, status_of(field, month)) == ("BIO-001", 0, "closed")


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_month_is_finalized_or_reopened_and_never_both(field, _round):
    month = field.a_closed_month()
    heard = field.race(("periods", "finalize", month), ("periods", "reopen", month, "--reason", "A late tag"))
    assert outcomes(*heard) == ["answer", "refused"]
    finalized, reopened = heard
    if "answer" in finalized:
        assert f"{month_name(month)} is finalized" in reopened["refused"]
    else:
        assert month_name(month) in finalized["refused"]
    assert (status_of(field, month) == "finalized") == ("answer" in finalized)
    done = ("answer" in finalized, "answer" in reopened)
    assert (events_of(field, month, "period.finalized"), events_of(field, month, "period.reopened")) == done
    assert field.stage.value(f"FrozenProof.objects.filter(period__month='{month}-01').count()") == done[0]


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_journal_holds_the_payer_lines_before_a_run_or_those_after_it(field, _round):
    month = field.a_month()
    field.stage.command("generate", "-p", month)
    field.stage.command(
        *("ingest", field.delivery(month, row("100.00"), row("7.00", ResourceId="i-2")), "-s", "aws", "-p", month)
    )
    submit = ("export_journal", "-p", month, "-f", "gl", "--submit")
    submitted, generated = field.race(submit, ("generate", "-p", month))
    assert "answer" in generated
    debits = field.stage.value(f"[plain(each.debits) for each in Journal.objects.filter(period__month='{month}-01')]")
    if "refused" in submitted:
        assert month_name(month) in submitted["refused"]
        assert debits == []
        field.stage.command(*submit)
    else:
        assert debits in (["100.00"], ["107.00"])
        if debits == ["100.00"]:
            field.stage.command(*submit)
    # In the end each cent is in the ledger once.
    assert field.stage.value(
        f"plain(sum(each.debits for each in Journal.objects.filter(period__month='{month}-01')))"
    ) == "107.00"  # fmt: skip


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_late_delivery_is_booked_once(field, _round):
    month = field.a_month()
    field.stage.command("periods", "close", month)
    late = field.stage.command("ingest", field.delivery(month, row("90.00")), "-s", "aws", "-p", month)
    into = next(field.months)
    field.stage.command("periods", "open", into)
    book = ("imports", "book", late["deferred"]["import"], "--to", into)
    heard = field.race(book, book)
    assert outcomes(*heard) == ["answer", "refused"]
    assert field.stage.value(
        f"plain(sum(Charge.objects.live().filter(charged_in__month='{into}-01').values_list('billed_cost', flat=True)))"
    ) == "-10.00"  # fmt: skip


def people_of(month, number, *, reverse=False):
    """Rows of as many PIs and projects of a month that nobody has heard of, one way round or the other."""
    rows = [
        row(
            "1.00",
            ResourceId=f"{'later' if reverse else 'first'}-{each}",
            Tags=tags(f"pi{each}@{month}.edu", f"p{each}-{month}"),
        )
        for each in range(number)
    ]
    return rows[::-1] if reverse else rows


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_first_deliveries_of_a_month_learn_its_people_once(field, _round):
    month = next(field.months)
    field.raced.append(month)
    one = field.delivery(month, *people_of(month, 300))
    other = field.delivery(month, *people_of(month, 300, reverse=True))
    heard = field.race(
        ("ingest", one, "-s", "aws", "-p", month), ("ingest", other, "-s", "gcp", "-p", month, "--force")
    )
    assert [each["answer"]["new"] for each in heard] == [300, 300]
    assert field.stage.value(f"Person.objects.filter(email__endswith='@{month}.edu').count()") == 300
    assert field.stage.value(f"Project.objects.filter(code__endswith='-{month}').count()") == 300
    charges = f"Charge.objects.live().filter(charged_in__month='{month}-01', pi__email__endswith='@{month}.edu')"
    assert field.stage.value(f"{charges}.filter(project__code__endswith='-{month}').count()") == 600
    assert events_of(field, month, "period.opened") == 1


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_first_deliveries_of_a_source_charge_nobody_twice(field, _round):
    month = next(field.months)
    field.raced.append(month)
    one, other = (field.delivery(month, *people_of(month, 300)) for _ in range(2))
    heard = field.race(("ingest", one, "-s", "aws", "-p", month), ("ingest", other, "-s", "aws", "-p", month))
    # The one that was received first may be overtaken while it is read.
    assert outcomes(*heard) in (["answer", "answer"], ["answer", "refused"])
    assert field.stage.value(f"Charge.objects.live().filter(charged_in__month='{month}-01').count()") == 300
    refused = [each["refused"] for each in heard if "refused" in each]
    assert all("meanwhile" in each or "came after this one" in each for each in refused)


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_first_delivery_is_applied_before_the_close_or_waits_after_it(field, _round):
    month = field.a_month()
    first = field.delivery(month, *people_of(month, 300))
    closed, imported = field.race(("periods", "close", month), ("ingest", first, "-s", "gcp", "-p", month, "--force"))
    assert "answer" in closed
    charges = field.stage.value(f"Charge.objects.live().filter(charged_in__month='{month}-01').count()")
    if "refused" in imported:
        assert "closed" in imported["refused"]
        assert charges == 1
    else:
        assert (imported["answer"]["state"], charges) in (("applied", 301), ("deferred", 1))


# Totals of months -------------------------------------------------------------------------------------------------


def a_month_of_held(field, number):
    """Import a month of so many charges, of two services in turn, that are all held; return it with their ids."""
    untagged = {"Tags": '{"pi_email": "ada@u.edu", "fund_org": "BIO-001"}'}
    rows = [
        row(f"{line}.25", ResourceId=f"i-{line}", ServiceName=("EC2", "S3")[line // 2 % 2], **untagged)
        for line in range(number)
    ]
    month = field.a_month(*rows)
    ids = field.stage.value(
        f"list(Charge.objects.held().filter(charged_in__month='{month}-01').values_list('pk', flat=True))"
    )
    assert len(ids) == number
    return month, ids


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_reviewers_of_the_same_groups_are_both_counted_and_neither_waits_for_ever(field, _round):
    month, ids = a_month_of_held(field, 40)
    approve, reject = (
        ("review", "approve", "--id"),
        ("review", "reject", "--reason", "not_ours", "--provider-credits", "yes", "--id"),
    )
    heard = field.race((*approve, *ids[::2]), (*reject, *ids[::-1][::2]))
    assert outcomes(*heard) == ["answer", "answer"], heard
    by_state = field.stage.value(f"list(MonthTotal.objects.filter(charged_in__month='{month}-01').summed('state'))")
    assert {each["state"]: each["number"] for each in by_state} == {"approved": 20, "rejected": 20}


@pytest.mark.parametrize("_round", range(ROUNDS * 4))
def test_of_two_changes_of_the_same_charges_each_counts_what_it_changed(field, _round):
    month, _ = a_month_of_held(field, 12)
    held = f"Charge.objects.filter(charged_in__month='{month}-01', state='held')"
    changed = field.meet(f"{held}.update(state='approved')", f"{held}.update(state='rejected')")
    assert sorted(changed) == [0, 12]
    assert (
        field.stage.value(f"MonthTotal.objects.filter(charged_in__month='{month}-01').held().billed_by_currency()")
        == {}
    )


@pytest.mark.parametrize("_round", range(ROUNDS * 4))
def test_folding_loses_nothing_that_others_add_meanwhile(field, _round):
    month, ids = a_month_of_held(field, 12)
    period = field.stage.value(f"BillingPeriod.objects.get(month='{month}-01').pk")
    for state in ("approved", "held"):
        field.stage.value(f"[Charge.objects.filter(pk=pk).update(state='{state}') for pk in {ids}]")
    field.meet(
        f"[totalling.fold([{period}]) for _ in range(5)]",
        f"[Charge.objects.filter(pk=pk).update(state='approved') for pk in {ids}]",
    )
    field.meet(f"totalling.fold([{period}])", f"totalling.fold([{period}])")
    rows = field.stage.value(f"list(MonthTotal.objects.filter(charged_in={period}).values_list('state', 'charges'))")
    assert sorted(map(tuple, rows)) == [("approved", 6), ("approved", 6)]


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_of_requests_by_one_token_at_once_as_many_are_answered_as_may_be(field, _round):
    """Two processes of a web server ask the database whether a request of the token is one too many."""
    name = f"raced {_round}"
    owner = f"User.objects.create_user('racer-{_round}')"
    moment = "api_tokens.datetime.datetime(2025, 2, 3, tzinfo=api_tokens.datetime.UTC)"
    field.stage.value(
        f"ApiToken.objects.create(owner={owner}, name='{name}', prefix='{name}', kind='portal', created_at={moment}, "
        f"valid_until={moment}.date())"
    )
    token = f"ApiToken.objects.filter(name='{name}')"
    asking = f"sum({token}.count_request(limit=50, now={moment}) for _ in range(40))"
    answered = field.meet(asking, asking)
    assert sum(answered) == 50
    assert min(answered) >= 10
    assert field.stage.value(f"{token}.get().window_requests") == 50
