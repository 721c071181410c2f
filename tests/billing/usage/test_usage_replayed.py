"""Usage priced again from what was kept: the same rows, or what was changed behind the program's back is named."""

from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError
from django.db.models import QuerySet

from billing import proof, review
from billing.files.received import local_copy
from billing.models import AuditEvent, BillingPeriod, Charge, Import, PricedMonth, RateSchedule, StoredFile, UsageFile
from billing.replay import repricing
from billing.replay.recording import NotReplayable, imports_of
from billing.usage import keeping
from tests.build import NOW, SOMEBODY
from tests.stories.stage import command
from tests.stories.tampered import tampering

from .test_bringing import DAY, JANUARY, a_schedule, job, jobs
from .test_kept_usage import _plain_lines, feed  # noqa: F401 (fixtures)

pytestmark = pytest.mark.django_db


@pytest.fixture
def january(feed, tmp_path):  # noqa: F811 (the fixture)
    """A month that was priced twice: of the second file, one job is new."""
    rows = [job(1, JANUARY, 10, 20), job(2, JANUARY, 5, 10, queue="failed"), job(3, JANUARY, 1, 7, account="mystery")]
    command("usage", jobs(tmp_path / "a.txt", *rows), "-f", "tiger")
    command("usage", jobs(tmp_path / "b.txt", job(4, JANUARY + DAY, 100, 10)), "-f", "tiger")
    return BillingPeriod.objects.get()


def priced_again(period):
    return repricing.reprice(period, imports_of(period))


def refused(period):
    with pytest.raises(NotReplayable) as caught:
        priced_again(period)
    return str(caught.value)


def problems(period):
    found = proof.prove(period)
    assert not found.reconciles
    return found.problems()


def test_a_replay_goes_from_usage_to_payer_lines(january):
    command("generate", "-p", "2025-01")
    answer = command("replay", "-p", "2025-01")
    assert answer["equal"]
    assert answer["usage"] == {"priced": 2, "files": 2, "rows": 7, "differences": 0}
    assert answer["imports"] == Import.objects.count()


def test_what_changed_since_changes_no_replay(january):
    """Payers, settings, subsidies and schedules of today price nothing again."""
    a_schedule([{"price": "7"}], version=2)
    command("feeds", "set", "tiger", "--time-zone", "America/New_York")
    assert not priced_again(january).differences


def test_a_reduced_file_that_was_altered_is_named(january):
    file = UsageFile.objects.earliest("pk")
    path = local_copy(file.records_file)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"\0")
    assert refused(january).startswith(f"The stored file of usage file {file.pk}, a.txt (SHA-256")
    (problem,) = problems(january)
    assert problem.startswith(f"Usage file {file.pk} (a.txt): its file is not the one that was recorded")
    with pytest.raises(CommandError, match="not as recorded"):
        command("verify_files", "-p", "2025-01")


@pytest.mark.parametrize("name", ["payers_file", "workings_file", "focus_file"])
def test_files_of_a_priced_month_that_are_gone_are_named(january, name):
    stored = getattr(PricedMonth.objects.latest("pk"), name)
    local_copy(stored).unlink()
    what = name.removesuffix("_file").replace("focus", "rows")
    assert f"The stored file of {what} of tiger, January 2025" in refused(january)
    assert any(f"{what.capitalize()} of tiger, January 2025: its file is gone" in each for each in problems(january))


def test_a_reduced_file_replaced_with_all_its_hashes_is_found(january, tmp_path):
    """Whoever changes the file and its hash changes what the month's digest is of."""
    file = UsageFile.objects.earliest("pk")
    with tampering():
        other = UsageFile.objects.latest("pk").records_file
        UsageFile.objects.filter(pk=file.pk).update(records_file=other)
        said = "tiger, January 2025: the list of the usage files that it was priced from is not what it was"
        assert any(each.startswith(said) for each in problems(january))
        assert said.removeprefix("tiger, January 2025: ") in refused(january)


def test_a_stored_hash_that_was_changed_is_found(january):
    file = UsageFile.objects.earliest("pk").records_file
    with tampering():
        StoredFile.objects.filter(pk=file.pk).update(sha256="0" * 64)
        assert any("the list of the usage files" in each for each in problems(january))
        assert "the list of the usage files" in refused(january)


def past_all(model):
    """Return rows past what their own queryset refuses."""
    return QuerySet(model)


def cheaper():
    schedule = RateSchedule.objects.get()
    schedule.content["rates"][0]["tiers"][0]["price"] = "0.01"
    past_all(RateSchedule).update(content=schedule.content)


def _change(**change):
    past_all(PricedMonth).filter(pk=PricedMonth.objects.latest("pk").pk).update(**change)


def other_terms():
    terms = PricedMonth.objects.latest("pk").terms
    _change(terms={**terms, "fiscal_year_start": 1})


TAMPERED = [
    (cheaper, "the rate schedule hpc v1 is not what it was when the month was priced."),
    (other_terms, "what is kept of its settings, subsidies and balances is not what it was when the month was priced."),
    (lambda: _change(units=[]), "what is kept of its units is not what it was when the month was priced."),
    (lambda: _change(used={}), "what is kept of what was used by its end is not what it was when the month was"),
    (lambda: _change(digests={}), "the digests of what it was priced from are not those of its pricing."),
    (lambda: _change(digest="0" * 64), "its digest is not the one in the audit log."),
    (lambda: PricedMonth.objects.latest("pk").files.clear(), "the list of the usage files that it was priced from is"),
    (lambda: past_all(AuditEvent).filter(action=keeping.PRICED).delete(), "the audit log does not have its pricing."),
]


@pytest.mark.parametrize(("change", "said"), TAMPERED)
def test_what_a_month_was_priced_from_is_found_changed(january, change, said):
    with tampering():
        change()
        assert any(each.startswith(f"tiger, January 2025: {said}") for each in problems(january))
        assert refused(january).startswith("The usage of tiger, January 2025 cannot be priced again: ")
        assert said in refused(january)


def test_a_schedule_changed_with_every_digest_of_it_makes_other_rows(january):
    """Who rewrites the digests and the event breaks the audit log; pricing again still finds the first record."""
    with tampering():
        cheaper()
        for priced in keeping.pricings_of():
            digests = keeping.digests_of(priced, keeping.files_of(priced))
            digest = keeping.digest_of(digests)
            past_all(PricedMonth).filter(pk=priced.pk).update(digests=digests, digest=digest)
            event = AuditEvent.objects.get(action=keeping.PRICED, object_id=str(priced.pk))
            past_all(AuditEvent).filter(pk=event.pk).update(after={**event.after, "digest": digest})
        first = priced_again(january).differences[0]
        assert str(first) == (
            "usage of tiger, January 2025, row 1, record 1: BilledCost is 10.00000000, and rebuilt 1.00000000"
        )


def first_row(folder, *tables):
    paths = [folder / f"{number}.parquet" for number, _ in enumerate(tables)]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path)
    return repricing._first_row("usage", *paths)


def test_a_row_that_was_not_priced_so_is_named_by_its_record(january, tmp_path):
    table = pq.read_table(local_copy(PricedMonth.objects.latest("pk").focus_file))
    costs = table.column("ListCost").to_pylist()
    costs[2] += Decimal("0.01")
    place = table.schema.get_field_index("ListCost")
    changed = table.set_column(place, "ListCost", pa.array(costs, table.schema.field(place).type))
    (difference,) = first_row(tmp_path, changed, table)
    assert (difference.of, difference.figure) == (f"usage, row 3, record {table['x_UsageId'][2].as_py()}", "ListCost")
    (difference,) = first_row(tmp_path, table.slice(1), table)
    assert (difference.of, difference.figure) == (f"usage, row 1, record {table['x_UsageId'][1].as_py()}", "x_UsageId")
    (difference,) = first_row(tmp_path, table.slice(0, 2), table)
    assert (difference.figure, difference.stored, difference.rebuilt) == ("rows", "2", "4")


def units_of(period):
    """Return the units of the month's one rate, which have to come to what was delivered."""
    (units,) = proof.prove(period).as_data()["usage"]
    parts = [units["charged"], *units["free"].values(), units["held"], units["rejected"], units["difference"]]
    assert sum(map(Decimal, parts)) == Decimal(units["delivered"])
    return units


def test_units_delivered_are_charged_free_held_and_rejected(january):
    held = Charge.objects.held().get()
    assert {name: units_of(january)[name] for name in ("delivered", "charged", "held", "rejected")} == {
        "delivered": "1257",
        "charged": "1100",
        "held": "7",
        "rejected": "0",
    }
    review.reject(provider_credits=True, charges=[held.pk], reason="test", actor=SOMEBODY, now=NOW)
    units = units_of(january)
    assert (units["free"], units["held"], units["rejected"]) == ({"failed": "50", "free_amount": "100"}, "0", "7")
    assert units["difference"] == "0"


def test_units_that_a_charge_lost_are_missed(january):
    charge = Charge.objects.live().filter(billed_cost__gt=50).get()
    with tampering():
        QuerySet(Charge).filter(pk=charge.pk).update(pricing_quantity="990")
        assert units_of(january)["difference"] == "10"
        said = "tiger, January 2025: The charges lack 10 core-hours of cpu."
        assert said in problems(january)
