"""Deliveries on PostgreSQL go straight into the charges where nothing is there to match them with."""

import contextlib
import datetime
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from billing.importing import applying, comparing, duplicates, ingestion, live_charges
from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused
from billing.importing.staging import direct_load
from billing.models import AuditEvent, BillingPeriod, Charge, Flag, Import, Person, Project, Source
from tests import build
from tests.billing.deliveries import a_file, a_row, delivered

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="On SQLite every delivery is staged."),
    pytest.mark.django_db(transaction=True),
]

# What two imports of the same file have each for itself.
NOT_THE_SAME = ("id", "source_id", "imported_in_id")
# More rows than go in one COPY.
MANY = 2_500


@pytest.fixture
def loads(monkeypatch):
    """Note how each delivery came in: True where it was loaded to its end, False where it was given up."""
    came = []
    leave = direct_load.DirectLoad.__exit__

    def noted(load, kind, error, trace):
        came.append(kind is None)
        return leave(load, kind, error, trace)

    monkeypatch.setattr(direct_load.DirectLoad, "__exit__", noted)
    return came


@contextlib.contextmanager
def somebody_else():
    """A cursor of a connection of its own, as another process has."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


def meanwhile(monkeypatch, act, step=(comparing, "survey")):
    """Have somebody else act once, before a step: when a delivery has been read and nothing of it is committed."""
    original = getattr(*step)

    def acted(*arguments):
        monkeypatch.setattr(*step, original)
        with somebody_else() as cursor:
            act(cursor)
        return original(*arguments)

    monkeypatch.setattr(*step, acted)


def odd_rows():
    texts = ("a\tb", "back\\slash \\N \\.", "new\nline", "\r", "\x1f", "ü", "", "'\"")
    rows = [
        a_row(
            f"{number}.12345678{number % 97}",
            ResourceId=f"i-{number}",
            ChargeDescription=texts[number % len(texts)],
            ListCost="" if number % 3 else "7",
            tags={"pi_email": f"pi{number % 7}@u.edu", "project_id": f"P {number % 5}", "fund_org": "F\\1"}
            if number % 11
            else "{not json",
        )
        for number in range(MANY)
    ]
    return [*rows, a_row("1", tags={}), a_row("2", ChargePeriodEnd="2025-01-01T00:00:00Z")]


def said_of(source):
    same = [each.attname for each in Charge._meta.concrete_fields if each.attname not in NOT_THE_SAME]
    flags = Flag.objects.filter(charge__source=source).order_by("charge__id", "code")
    return (
        list(Charge.objects.filter(source=source).order_by("id").values_list(*same)),
        list(flags.values_list("charge__line_number", "code", "detail", "is_resolved")),
        list(Import.objects.filter(source=source).values_list("state", "rows", "new", "flagged", "flags", "totals")),
    )


def test_a_loaded_delivery_makes_the_charges_that_a_staged_one_makes(tmp_path, loads, monkeypatch):
    rows = odd_rows()
    # The same costs of two sources would be asked about, and for that staged.
    monkeypatch.setattr(duplicates, "imports_elsewhere", lambda *_: {})
    delivered(tmp_path, rows, source=build.a_source("loaded"))
    assert loads == [True]
    monkeypatch.setattr(ingestion, "load_directly", lambda *_: None)
    delivered(tmp_path, rows, source=build.a_source("staged"))
    assert loads == [True]
    loaded, staged = said_of(Source.objects.get(name="loaded")), said_of(Source.objects.get(name="staged"))
    assert loaded == staged
    assert len(loaded[0]) == MANY + 2
    assert len(loaded[1]) > MANY // 11
    assert {each.email for each in Person.objects.all()} == {"ada@u.edu", *(f"pi{number}@u.edu" for number in range(7))}
    assert Project.objects.count() == 6


def test_who_is_learned_is_told_as_ever(tmp_path, loads):
    delivered(tmp_path, [a_row()])
    assert loads == [True]
    charge = Charge.objects.get()
    assert (charge.pi.email, charge.project.code) == ("ada@u.edu", "genomics")
    told = set(AuditEvent.objects.values_list("action", "object_id"))
    assert {("person.learned", str(charge.pi_id)), ("project.learned", str(charge.project_id))} <= told
    assert ("period.opened", str(charge.period_id)) in told


def test_few_rows_take_as_many_ids(tmp_path, loads):
    for name in ("one", "other"):
        rows = [a_row(ResourceId=f"i-{number}", BillingAccountId=name) for number in range(3)]
        delivered(tmp_path, rows, source=build.a_source(name))
    assert loads == [True, True]
    ids = list(Charge.objects.order_by("id").values_list("id", flat=True))
    assert ids == list(range(ids[0], ids[0] + 6))


def test_what_is_there_is_matched(tmp_path, loads):
    delivered(tmp_path, [a_row("1")])
    result = delivered(tmp_path, [a_row("2")])
    assert loads == [True]
    assert (result.counts.changed, Charge.objects.live().count()) == (1, 1)


def test_a_source_whose_files_add_up_has_nothing_to_match(tmp_path, loads):
    source = build.a_source("oci", import_mode=Source.ImportMode.APPEND)
    for name in ("oci_2025-01_a.csv", "oci_2025-01_b.csv"):
        delivered(tmp_path, [a_row("1", ResourceId=name)], name=name, source=source)
    assert loads == [True, True]
    assert Charge.objects.live().count() == 2


def test_a_row_of_a_month_that_has_charges_has_all_of_it_matched(tmp_path, loads):
    february = {"BillingPeriodStart": "2025-02-01T00:00:00Z", "BillingPeriodEnd": "2025-03-01T00:00:00Z"}
    delivered(tmp_path, [a_row("1", **february)], name="aws_2025-02.csv")
    rows = [a_row("1", ResourceId=f"i-{number}") for number in range(600)]
    result = delivered(tmp_path, [*rows, a_row("1", **february)])
    assert loads == [True, False]
    assert (result.counts.new, result.counts.unchanged) == (600, 1)
    assert Charge.objects.count() == 601
    assert BillingPeriod.objects.count() == 2


def test_a_file_that_is_refused_leaves_nothing(tmp_path, loads):
    rows = odd_rows()
    rows[-1]["BilledCost"] = "abc"
    with pytest.raises(ImportRefused):
        delivered(tmp_path, rows)
    assert loads == [False]
    for model in (Charge, Flag, Person, Project, BillingPeriod):
        assert not model.objects.exists()
    assert Import.objects.get().state == Import.State.FAILED


def test_nobody_sees_or_waits_for_what_is_being_loaded(tmp_path, loads, monkeypatch):
    build.a_period("2025-01")
    seen = []

    def look(cursor):
        cursor.execute("SET lock_timeout = '2s'")
        cursor.execute("SELECT count(*) FROM billing_charge")
        seen.append(cursor.fetchone()[0])
        # Closing the month, learning a PI and bringing in another delivery go on.
        cursor.execute("SELECT id FROM billing_billingperiod FOR UPDATE")
        cursor.execute("SELECT id FROM billing_source FOR UPDATE")
        _insert(cursor, Person(email="new@u.edu"))
        cursor.execute("SELECT pg_advisory_lock(%s)", [direct_load.numbering.CHARGE_IDS_LOCK])

    meanwhile(monkeypatch, look)
    delivered(tmp_path, odd_rows())
    assert (loads, seen) == ([True], [0])
    assert Charge.objects.count() == MANY + 2


def test_a_pi_and_a_project_made_meanwhile_are_taken(tmp_path, loads, monkeypatch):
    def make(cursor):
        person = _insert(cursor, Person(email="pi1@u.edu"))
        _insert(cursor, Project(code="p 2", pi_id=person))

    meanwhile(monkeypatch, make)
    delivered(tmp_path, odd_rows())
    assert loads == [True]
    person, project = Person.objects.get(email="pi1@u.edu"), Project.objects.get(code="p 2")
    assert not Project.objects.filter(code="P 2").exists()
    assert Charge.objects.filter(pi=person).count() == sum("pi1@u.edu" in row["Tags"] for row in odd_rows())
    assert Charge.objects.filter(project=project).count() == sum('"P 2"' in row["Tags"] for row in odd_rows())
    assert {each.pi_id for each in Charge.objects.exclude(pi=None)} == set(Person.objects.values_list("id", flat=True))


def test_a_pi_a_project_and_a_month_removed_meanwhile_are_made_again(tmp_path, loads, monkeypatch):
    person = Person.objects.create(email="pi1@u.edu")
    project = Project.objects.create(code="P 2")
    period = build.a_period("2025-01")

    def remove(cursor):
        for row in (project, person, period):
            cursor.execute(f"DELETE FROM {row._meta.db_table} WHERE id = %s", [row.pk])

    meanwhile(monkeypatch, remove)
    delivered(tmp_path, odd_rows())
    assert loads == [True]
    again = Person.objects.get(email="pi1@u.edu"), Project.objects.get(code="P 2"), BillingPeriod.objects.get()
    assert not {person.pk, project.pk, period.pk} & {each.pk for each in again}
    assert set(Charge.objects.values_list("period_id", "charged_in_id")) == {(again[2].pk, again[2].pk)}
    for column, rows in (("pi_id", Person.objects.all()), ("project_id", Project.objects.all())):
        used = set(Charge.objects.exclude(**{column: None}).values_list(column, flat=True))
        assert used == {each.pk for each in rows}


def test_a_month_opened_meanwhile_is_taken(tmp_path, loads, monkeypatch):
    period = BillingPeriod(month=datetime.date(2025, 1, 1), opened_at=build.NOW, opened_by="another")
    meanwhile(monkeypatch, lambda cursor: _insert(cursor, period))
    delivered(tmp_path, odd_rows())
    assert loads == [True]
    opened = BillingPeriod.objects.get()
    assert opened.opened_by == "another"
    assert set(Charge.objects.values_list("period_id", "charged_in_id")) == {(opened.pk, opened.pk)}


@pytest.mark.parametrize(
    "step",
    [
        (live_charges, "imports_so_far"),
        # Between the first look at the month and its first rows, which the safeguard then refuses.
        (direct_load.DirectLoad, "_meet"),
        (comparing, "survey"),
        (applying, "apply"),
    ],
)
@pytest.mark.parametrize("status", ["closed", "review"])
def test_a_month_that_takes_no_more_meanwhile_has_the_delivery_wait(tmp_path, loads, monkeypatch, status, step):
    period = build.a_period("2025-01")
    sql = (
        "UPDATE billing_billingperiod SET status = %s, review_until = '2099-01-01', closed_at = now(), "
        "closed_by = 'another' WHERE id = %s"
    )
    meanwhile(monkeypatch, lambda cursor: cursor.execute(sql, [status, period.pk]), step)
    result = delivered(tmp_path, odd_rows())
    assert loads == [False]
    with somebody_else() as cursor:
        # Nobody has to wait for the ids of a delivery that came to nothing.
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [direct_load.numbering.CHARGE_IDS_LOCK])
        assert cursor.fetchone() == (True,)
    assert result.state == Import.State.DEFERRED
    assert not Charge.objects.exists()
    assert not Flag.objects.exists()


@pytest.fixture
def fetched(monkeypatch):
    """Note by which way each look at what is charged went."""
    ways = []

    def note(name):
        original = getattr(comparing, name)

        def noted(*arguments):
            ways.append(name)
            return original(*arguments)

        monkeypatch.setattr(comparing, name, noted)

    note("live_elsewhere")
    note("live_hashes")
    return ways


def test_what_is_charged_is_fetched_while_the_next_delivery_is_read(tmp_path, fetched):
    rows = odd_rows()
    delivered(tmp_path, rows)
    rows[7]["BilledCost"] = "5"
    result = delivered(tmp_path, [*rows[::-1][1:], a_row("3", ResourceId="another")])
    assert fetched == ["live_elsewhere"]
    counts = result.counts
    assert (counts.new, counts.changed, counts.unchanged, counts.withdrawn) == (1, 1, MANY, 1)


def test_what_is_charged_in_months_that_come_later_in_the_file_is_fetched_with_them(tmp_path, fetched):
    february = {"BillingPeriodStart": "2025-02-01T00:00:00Z", "BillingPeriodEnd": "2025-03-01T00:00:00Z"}
    rows = [a_row("1", ResourceId=f"i-{number}") for number in range(300)]
    rows += [row | february for row in rows]
    delivered(tmp_path, rows, name="aws.csv")
    result = delivered(tmp_path, rows[:-1], name="aws_b.csv")
    assert fetched == ["live_elsewhere", "live_hashes"]
    assert (result.counts.unchanged, result.counts.withdrawn) == (599, 1)


@pytest.mark.bends_charges
def test_what_was_applied_since_is_fetched_again(tmp_path, fetched, monkeypatch):
    source = build.a_source("aws")
    before = build.an_import(source, state=Import.State.RECEIVED, applied_at=None)
    delivered(tmp_path, odd_rows())

    def apply(cursor):
        sql = "UPDATE billing_import SET state = 'applied', applied_at = now() WHERE id = %s"
        cursor.execute(sql, [before.pk])
        cursor.execute("UPDATE billing_charge SET withdrawn_in_id = %s WHERE line_number = 2", [before.pk])

    meanwhile(monkeypatch, apply)
    result = delivered(tmp_path, [*odd_rows(), a_row("3", ResourceId="another")])
    assert fetched == ["live_elsewhere", "live_hashes"]
    assert (result.counts.new, result.counts.unchanged) == (2, MANY + 1)


def brought_in_by_another(path, source):
    """A delivery by another thread, which has a connection of its own."""

    def there():
        try:
            return ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(there).result()


def test_a_delivery_that_a_later_one_overtook_is_refused(tmp_path, loads, monkeypatch):
    path, source = a_file(tmp_path, odd_rows()), build.a_source("aws")
    meanwhile(monkeypatch, lambda _: brought_in_by_another(path, source))
    with pytest.raises(ImportRefused, match="came after this one"):
        ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert loads == [True, False]
    assert Charge.objects.count() == MANY + 2


def test_a_delivery_before_this_one_applied_meanwhile_is_matched(tmp_path, loads, monkeypatch):
    path, source = a_file(tmp_path, odd_rows()), build.a_source("aws")
    before = build.an_import(source, state=Import.State.RECEIVED, applied_at=None)

    def apply(cursor):
        # What it brought: nothing, so that all of this one stays new.
        sql = "UPDATE billing_import SET state = 'applied', applied_at = now() WHERE id = %s"
        cursor.execute(sql, [before.pk])

    meanwhile(monkeypatch, apply)
    result = ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert loads == [False]
    assert (result.state, result.counts.new, Charge.objects.count()) == ("applied", MANY + 2, MANY + 2)


def test_a_file_of_a_source_that_adds_up_counts_once_where_two_bring_it_in(tmp_path, loads, monkeypatch):
    path = a_file(tmp_path, odd_rows(), "oci_2025-01.csv")
    source = build.a_source("oci", import_mode=Source.ImportMode.APPEND)
    meanwhile(monkeypatch, lambda _: brought_in_by_another(path, source))
    result = ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert loads == [True, False]
    assert result.seen_before == (f"oci_2025-01.csv (import {Import.objects.earliest('-pk').pk})",)
    assert Charge.objects.count() == MANY + 2
    # Nothing of what was rolled back is told of the one that came to nothing.
    kept = Import.objects.get(pk=result.imported.pk)
    assert (kept.state, kept.rows, kept.new, kept.totals, kept.difference) == ("applied", 0, 0, {}, {})


def test_two_files_of_a_source_that_adds_up_do_not_wait_for_each_other(tmp_path, loads, monkeypatch):
    source = build.a_source("oci", import_mode=Source.ImportMode.APPEND)
    one, other = (
        a_file(tmp_path, [{**row, "ServiceName": name} for row in odd_rows()], f"oci_2025-01_{name}.csv")
        for name in ("one", "other")
    )
    meanwhile(monkeypatch, lambda _: brought_in_by_another(other, source))
    ingest(paths=[one], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert loads == [True, True]
    assert Charge.objects.count() == 2 * (MANY + 2)


def _insert(cursor, row):
    """Write a row by a connection that is not ours; return its id."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    columns, marks = ", ".join(field.column for field in fields), ", ".join(["%s"] * len(fields))
    cursor.execute(f"INSERT INTO {row._meta.db_table} ({columns}) VALUES ({marks}) RETURNING id", values)
    return cursor.fetchone()[0]
