"""charges.csv written ahead of the month's lock: it is taken only while it still says what it would say now."""

import datetime
import hashlib
from decimal import Decimal

import pytest

from billing import audit
from billing.errors import BillingError
from billing.files import documents
from billing.models import Charge, ExchangeRate, PayerSplitShare, Source
from billing.months import closing
from statements.issuing import ahead, charge_files, revisions
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.statements.test_charges_csv import check_sums, generate, the_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def events(monkeypatch):
    """What is done, in order: "locked", and the number of each statement whose charges are written."""
    done = []
    lock, written = closing.locked, charge_files.written

    def locking(period):
        done.append("locked")
        return lock(period)

    def writing(period, issued):
        for statement, data in written(period, issued):
            done.append(statement.number)
            yield statement, data

    monkeypatch.setattr(closing, "locked", locking)
    monkeypatch.setattr(charge_files, "written", writing)
    return done


@pytest.fixture
def meanwhile(monkeypatch):
    """Have something happen once after the charges are written ahead, before the month is locked."""
    write = ahead.ChargesAhead.write

    def have(happen):
        def writing(self, *arguments, **options):
            write(self, *arguments, **options)
            monkeypatch.setattr(ahead.ChargesAhead, "write", write)
            happen()

        monkeypatch.setattr(ahead.ChargesAhead, "write", writing)

    return have


def recorded():
    """Something was done, so that what was written ahead is looked at closely."""
    with audit.gesture(actor=SOMEBODY, now=NOW) as gesture:
        gesture.record("policy.changed")


def files():
    return sorted(
        path.name for path in documents.where(charge_files.name_of(Statement.objects.first())).parent.iterdir()
    )


def check_files():
    """Every statement has its file as hashed, which adds up to it; nothing else is there but the PDFs."""
    for statement in Statement.objects.all():
        data = documents.where(charge_files.name_of(statement)).read_bytes()
        assert hashlib.sha256(data).hexdigest() == statement.charges_sha256
        check_sums(statement)
    expected = [f"{each}{end}" for each in Statement.objects.all() for end in ("-charges.csv", ".pdf")]
    assert files() == sorted(expected)


def test_all_is_written_before_the_month_is_locked_and_nothing_under_the_lock(events):
    build.a_split({"A": "60", "B": "40"}, project=build.a_project("genomics"))
    for number in range(3):
        build.a_charge("10.01", project="genomics", resource_id=f"i-{number}", list_cost=Decimal(20))
    build.a_charge("5.00", pi="bob@u.edu")
    generate()
    locked = events.index("locked")
    assert events[:locked] == ["2025-01-0001-1", "2025-01-0002-1"]
    assert set(events[locked:]) == {"locked"}
    check_files()


def test_a_later_run_writes_only_what_it_issues(events):
    build.a_charge("1.00")
    build.a_charge("2.00", pi="bob@u.edu")
    generate()
    del events[:]
    build.a_charge("3.00", pi="bob@u.edu")
    generate()
    assert set(events) == {"locked", "2025-01-0002-2"}
    del events[:]
    generate()
    assert set(events) == {"locked"}
    check_files()


def test_what_has_nothing_to_do_with_the_charges_writes_nothing_anew(events, meanwhile):
    build.a_charge("1.00")
    meanwhile(lambda: build.a_charge("7.00", period="2024-12"))
    generate()
    assert events.count("2025-01-0001-1") == 1
    check_files()


def test_a_charge_that_came_meanwhile_writes_its_own_pi_s_anew(events, meanwhile):
    build.a_charge("1.00")
    build.a_charge("2.00", pi="bob@u.edu")
    meanwhile(lambda: build.a_charge("3.00", pi="bob@u.edu"))
    generate()
    assert (events.count("2025-01-0001-1"), events.count("2025-01-0002-1")) == (1, 2)
    assert sum(Decimal(row["Charged"]) for row in the_rows(Statement.objects.get(number="2025-01-0002-1"))) == 5
    check_files()


def test_equal_figures_of_other_charges_are_written_anew(events, meanwhile):
    old = build.a_charge("1.00")

    def replaced():
        new = build.a_charge("1.00")
        Charge.objects.filter(pk=old.pk).update(withdrawn_in=new.imported_in)

    meanwhile(replaced)
    generate()
    assert events.count("2025-01-0001-1") == 2
    (row,) = the_rows()
    assert row["Charge"] == str(Charge.objects.live().get().pk)
    check_files()


def test_charges_that_swap_their_funds_are_written_anew(meanwhile):
    first, second = (build.a_charge("1.00", fund_org=fund) for fund in ("A", "B"))

    def swapped():
        for charge, fund in ((first, "B"), (second, "A")):
            Charge.objects.filter(pk=charge.pk).update(fund_org=fund)
        recorded()

    meanwhile(swapped)
    generate()
    assert {row["Fund/org"]: row["Charge"] for row in the_rows()} == {"A": str(second.pk), "B": str(first.pk)}


@pytest.mark.parametrize(
    "change",
    [
        lambda: ExchangeRate.objects.create(period=build.a_period(), currency="EUR", rate=Decimal(2)),
        lambda: PayerSplitShare.objects.filter(fund_org="A").update(fund_org="C"),
        lambda: Source.objects.update(subsidy_fund_org="RC-1"),
    ],
    ids=["rate", "split", "source"],
)
def test_what_all_charges_share_writes_all_anew(events, meanwhile, change):
    build.a_split({"A": "60", "B": "40"}, project=build.a_project("genomics"))
    build.a_charge("1.00", project="genomics")
    build.a_charge("1.00", pi="bob@u.edu", project="proteins")

    def changed():
        change()
        recorded()

    meanwhile(changed)
    generate()
    assert (events.count("2025-01-0001-1"), events.count("2025-01-0002-1")) == (2, 2)
    check_files()


def test_a_new_owner_who_takes_a_number_meanwhile_gets_a_file_of_their_own(meanwhile):
    build.a_charge("1.00", pi="bob@u.edu")
    meanwhile(lambda: build.a_charge("2.00", pi="al@u.edu"))
    generate()
    assert {(each.number, each.pi.email) for each in Statement.objects.all()} == {
        ("2025-01-0001-1", "al@u.edu"),
        ("2025-01-0002-1", "bob@u.edu"),
    }
    check_files()


def test_a_split_past_its_dates_holds_charges_that_were_written_ahead():
    build.a_fund("A", valid_until=datetime.date(2024, 12, 31))
    build.a_split({"A": "100"}, project=build.a_project("genomics"))
    build.a_charge("1.00", project="genomics")
    build.a_charge("2.00", project="proteins")
    generate()
    assert [row["Charged"] for row in the_rows()] == ["2.00"]
    check_files()


def test_two_runs_of_which_one_issues_while_the_other_waits_make_one_statement(meanwhile):
    build.a_charge("1.00")
    build.a_charge("2.00", pi="bob@u.edu")
    meanwhile(generate)
    assert generate().issued == 0
    assert Statement.objects.count() == 2
    check_files()


def test_a_run_that_waited_does_not_touch_what_another_issued(meanwhile):
    build.a_charge("1.00")

    def issued_and_changed():
        generate()
        build.a_charge("3.00")

    meanwhile(issued_and_changed)
    assert generate().issued == 1
    first, second = Statement.objects.order_by("number")
    assert [row["Charged"] for row in the_rows(first)] == ["1.00"]
    assert [row["Charged"] for row in the_rows(second)] == ["1.00", "3.00"]
    check_files()


def test_a_run_that_is_undone_leaves_a_file_that_the_next_replaces(monkeypatch):
    build.a_charge("1.00")

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(revisions, "_record_issued", full)
        with pytest.raises(OSError, match="No space"):
            generate()
    assert not Statement.objects.exists()
    build.a_charge("2.00")
    generate()
    assert [row["Charged"] for row in the_rows()] == ["1.00", "2.00"]
    check_files()


def test_a_disk_that_is_full_stops_the_run_before_anybody_waits(events, monkeypatch, settings):
    build.a_charge("1.00")

    def full(self):
        raise OSError("No space left on device")

    monkeypatch.setattr(ahead.documents.Ready, "complete", full)
    with pytest.raises(OSError, match="No space"):
        generate()
    assert "locked" not in events
    assert not list(settings.VAR_DIR.rglob("*.part"))


def test_a_file_that_was_cleared_away_while_the_run_waited_is_written_anew(events, meanwhile, settings):
    build.a_charge("1.00")
    meanwhile(lambda: [path.unlink() for path in settings.VAR_DIR.rglob("*.part")])
    generate()
    assert events.count("2025-01-0001-1") == 2
    check_files()


def test_what_cannot_be_charged_is_told_by_the_run_itself(events, settings):
    build.a_charge("1.00", currency="EUR")
    with pytest.raises(BillingError, match="EUR"):
        generate()
    assert events[0] == "locked"
    assert not list(settings.VAR_DIR.rglob("*.part"))
