"""What others do while an import is read: it is taken into account, or the import is read once more."""

import contextlib
import datetime
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from billing import numbering
from billing.importing import applying, comparing, live_charges
from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused
from billing.models import AuditEvent, BillingPeriod, Charge, Flag, Import, Person, Project, Source
from billing.readers.cells import said_of
from tests import build
from tests.billing.deliveries import a_file, a_row, delivered

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="Another connection writes at the same time."),
    pytest.mark.django_db(transaction=True),
]

# More rows than go in one COPY.
MANY = 2_500


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


def test_texts_with_anything_in_them_come_through(tmp_path):
    rows = odd_rows()
    delivered(tmp_path, rows)
    said = Charge.objects.order_by("line_number").values_list("description__charge_description", flat=True)
    assert list(said) == [said_of(row.get("ChargeDescription", "")) for row in rows]
    assert {each.email for each in Person.objects.all()} == {"ada@u.edu", *(f"pi{number}@u.edu" for number in range(7))}
    assert Project.objects.count() == 6
    assert Flag.objects.count() > MANY // 11


def test_who_is_learned_is_told_as_ever(tmp_path):
    delivered(tmp_path, [a_row()])
    charge = Charge.objects.get()
    assert (charge.pi.email, charge.project.code) == ("ada@u.edu", "genomics")
    told = set(AuditEvent.objects.values_list("action", "object_id"))
    assert {("person.learned", str(charge.pi_id)), ("project.learned", str(charge.project_id))} <= told
    assert ("period.opened", str(charge.period_id)) in told


def test_few_rows_take_as_many_ids(tmp_path):
    for name in ("one", "other"):
        rows = [a_row(ResourceId=f"i-{number}", BillingAccountId=name) for number in range(3)]
        delivered(tmp_path, rows, source=build.a_source(name))
    ids = list(Charge.objects.order_by("id").values_list("id", flat=True))
    assert ids == list(range(ids[0], ids[0] + 6))


def test_a_file_that_is_refused_leaves_nothing(tmp_path):
    rows = odd_rows()
    rows[-1]["BilledCost"] = "abc"
    with pytest.raises(ImportRefused):
        delivered(tmp_path, rows)
    for model in (Charge, Flag, Person, Project, BillingPeriod):
        assert not model.objects.exists()
    assert Import.objects.get().state == Import.State.FAILED


def test_nobody_sees_or_waits_for_what_is_being_read(tmp_path, monkeypatch):
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
        cursor.execute("SELECT pg_advisory_lock(%s)", [numbering.CHARGE_IDS_LOCK])

    meanwhile(monkeypatch, look)
    delivered(tmp_path, odd_rows())
    assert seen == [0]
    assert Charge.objects.count() == MANY + 2


def test_a_pi_and_a_project_made_meanwhile_are_taken(tmp_path, monkeypatch):
    def make(cursor):
        person = _insert(cursor, Person(email="pi1@u.edu"))
        _insert(cursor, Project(code="p 2", pi_id=person))

    meanwhile(monkeypatch, make)
    delivered(tmp_path, odd_rows())
    person, project = Person.objects.get(email="pi1@u.edu"), Project.objects.get(code="p 2")
    assert not Project.objects.filter(code="P 2").exists()
    assert Charge.objects.filter(pi=person).count() == sum("pi1@u.edu" in row["Tags"] for row in odd_rows())
    assert Charge.objects.filter(project=project).count() == sum('"P 2"' in row["Tags"] for row in odd_rows())
    assert {each.pi_id for each in Charge.objects.exclude(pi=None)} == set(Person.objects.values_list("id", flat=True))


def test_a_pi_a_project_and_a_month_removed_meanwhile_are_made_again(tmp_path, monkeypatch):
    person = Person.objects.create(email="pi1@u.edu")
    project = Project.objects.create(code="P 2")
    period = build.a_period("2025-01")

    def remove(cursor):
        for row in (project, person, period):
            cursor.execute(f"DELETE FROM {row._meta.db_table} WHERE id = %s", [row.pk])

    meanwhile(monkeypatch, remove)
    delivered(tmp_path, odd_rows())
    again = Person.objects.get(email="pi1@u.edu"), Project.objects.get(code="P 2"), BillingPeriod.objects.get()
    assert all(one.pk != other.pk for one, other in zip((person, project, period), again, strict=True))
    assert set(Charge.objects.values_list("period_id", "charged_in_id")) == {(again[2].pk, again[2].pk)}
    for column, rows in (("pi_id", Person.objects.all()), ("project_id", Project.objects.all())):
        used = set(Charge.objects.exclude(**{column: None}).values_list(column, flat=True))
        assert used == {each.pk for each in rows}


def test_a_month_opened_meanwhile_is_taken(tmp_path, monkeypatch):
    period = BillingPeriod(month=datetime.date(2025, 1, 1), opened_at=build.NOW, opened_by="another")
    meanwhile(monkeypatch, lambda cursor: _insert(cursor, period))
    delivered(tmp_path, odd_rows())
    opened = BillingPeriod.objects.get()
    assert opened.opened_by == "another"
    assert set(Charge.objects.values_list("period_id", "charged_in_id")) == {(opened.pk, opened.pk)}


@pytest.mark.parametrize(
    "step",
    [
        (live_charges, "imports_so_far"),
        (comparing, "survey"),
        (applying, "apply"),
    ],
)
@pytest.mark.parametrize("status", ["closed", "review"])
def test_a_month_that_takes_no_more_meanwhile_has_the_delivery_wait(tmp_path, monkeypatch, status, step):
    period = build.a_period("2025-01")
    sql = (
        "UPDATE billing_billingperiod SET status = %s, review_until = '2099-01-01', closed_at = now(), "
        "closed_by = 'another' WHERE id = %s"
    )
    meanwhile(monkeypatch, lambda cursor: cursor.execute(sql, [status, period.pk]), step)
    result = delivered(tmp_path, odd_rows())
    with somebody_else() as cursor:
        # Nobody has to wait for the ids of a delivery that came to nothing.
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [numbering.CHARGE_IDS_LOCK])
        assert cursor.fetchone() == (True,)
    assert result.state == Import.State.DEFERRED
    assert not Charge.objects.exists()
    assert not Flag.objects.exists()


def brought_in_by_another(path, source):
    """A delivery by another thread, which has a connection of its own."""

    def there():
        try:
            return ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(there).result()


def test_a_delivery_that_a_later_one_overtook_is_refused(tmp_path, monkeypatch):
    path, source = a_file(tmp_path, odd_rows()), build.a_source("aws")
    meanwhile(monkeypatch, lambda _: brought_in_by_another(path, source))
    with pytest.raises(ImportRefused, match="came after this one"):
        ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert Charge.objects.count() == MANY + 2


def test_a_delivery_before_this_one_applied_meanwhile_is_matched(tmp_path, monkeypatch):
    path, source = a_file(tmp_path, odd_rows()), build.a_source("aws")
    before = build.an_import(source, state=Import.State.RECEIVED, applied_at=None)

    def apply(cursor):
        # What it brought: nothing, so that all of this one stays new.
        sql = "UPDATE billing_import SET state = 'applied', applied_at = now() WHERE id = %s"
        cursor.execute(sql, [before.pk])

    meanwhile(monkeypatch, apply)
    result = ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert (result.state, result.counts.new, Charge.objects.count()) == ("applied", MANY + 2, MANY + 2)


def test_a_file_of_a_source_that_adds_up_counts_once_where_two_bring_it_in(tmp_path, monkeypatch):
    path = a_file(tmp_path, odd_rows(), "oci_2025-01.csv")
    source = build.a_source("oci", import_mode=Source.ImportMode.APPEND)
    meanwhile(monkeypatch, lambda _: brought_in_by_another(path, source))
    result = ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert result.seen_before == (f"oci_2025-01.csv (import {Import.objects.earliest('-pk').pk})",)
    assert Charge.objects.count() == MANY + 2
    # Nothing of what was rolled back is told of the one that came to nothing.
    kept = Import.objects.get(pk=result.imported.pk)
    assert (kept.state, kept.rows, kept.new, kept.totals, kept.difference) == ("applied", 0, 0, {}, {})


def test_two_files_of_a_source_that_adds_up_do_not_wait_for_each_other(tmp_path, monkeypatch):
    source = build.a_source("oci", import_mode=Source.ImportMode.APPEND)
    one, other = (
        a_file(tmp_path, [{**row, "ServiceName": name} for row in odd_rows()], f"oci_2025-01_{name}.csv")
        for name in ("one", "other")
    )
    meanwhile(monkeypatch, lambda _: brought_in_by_another(other, source))
    ingest(paths=[one], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert Charge.objects.count() == 2 * (MANY + 2)


def _insert(cursor, row):
    """Write a row by a connection that is not ours; return its id."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    columns, marks = ", ".join(field.column for field in fields), ", ".join(["%s"] * len(fields))
    cursor.execute(f"INSERT INTO {row._meta.db_table} ({columns}) VALUES ({marks}) RETURNING id", values)
    return cursor.fetchone()[0]
