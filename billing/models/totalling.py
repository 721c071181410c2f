"""Keeping the totals of months: whatever changes charges adds to the totals what came, and what left.

It stands below the querysets and `save` of charges, so that nothing that changes a charge through the models can
forget it. Statements written by hand call `add` and `subtract`.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from django.core.exceptions import EmptyResultSet, FieldDoesNotExist
from django.db import connection, models, transaction
from django.db.models import QuerySet

from ..fields import halves_sql, in_halves, of_halves
from ..inserting import insert_values
from .month_totals import AMOUNTS, HALVES, KEY, KNOWN_PRICES, MonthTotal
from .standing import BATCH, Standing, StandingQuerySet

# The way from a charge to the service it is of, by which a query names the column, too.
SERVICE = "product__service_name"

_CHARGED_IN = KEY.index("charged_in_id")
_OWN = tuple(name for name in KEY if name not in ("prices", "service_name"))
_COSTS = tuple(f"{name}_cost" for name in AMOUNTS)
# The columns of a charge that its total is worked out from, and the fields whose change counts it elsewhere.
_READ = ("withdrawn_in_id", *_OWN, SERVICE, *_COSTS)
_PLAIN = {"withdrawn_in_id", *_OWN}
_WATCHED = {*_PLAIN, *_COSTS, "product_key"}

# Rows of one key are added up whenever so many rows were written, of all months together.
FOLDED_EVERY = 1_000
# The turn to fold, on PostgreSQL: an advisory lock of this number.
TURN = 7_305_731_401
# How often a change begins again that somebody else came in between.
ATTEMPTS = 20

Key = tuple[Any, ...]
# By key: how many charges, and the units of each of AMOUNTS.
Totals = dict[Key, list[int]]

Row = TypeVar("Row", bound="Counted")


class _Overtaken(Exception):
    """Somebody changed charges between the look at them and their change."""


class Group(NamedTuple):
    """Charges that are alike in all of KEY."""

    is_live: bool
    key: Key
    sums: list[int]
    # Rows of files, less those of charges that reverse others; 0 where nobody asked.
    rows: int = 0


def groups_of(charges: "QuerySet[Any]", *, with_rows: bool = False) -> list[Group]:
    """Add up charges, live and withdrawn ones apart."""
    try:
        read = (*_READ, "reverses_id", "row_count") if with_rows else _READ
        inner, values = _plain(charges).values_list(*read).query.sql_with_params()
    except EmptyResultSet:
        return []
    sums = ", ".join(halves_sql(f"coalesce(c.{name}, 0)") for name in _COSTS)
    if with_rows:
        sums += ", sum(CASE WHEN c.reverses_id IS NULL THEN c.row_count ELSE -c.row_count END)"
    own = {"prices": KNOWN_PRICES, "service_name": f"c.{SERVICE}"}
    key = ", ".join(own.get(name, f"c.{name}") for name in KEY)
    grouped = ", ".join(str(place) for place in range(1, len(KEY) + 2))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key}, CASE WHEN c.withdrawn_in_id IS NULL THEN 1 ELSE 0 END, count(*), {sums} "
            f"FROM ({inner}) c GROUP BY {grouped}",
            values,
        )
        rows = cursor.fetchall()
    width = len(KEY)
    end = width + 2 + len(HALVES)
    return [
        Group(
            bool(row[width]),
            tuple(row[:width]),
            [int(row[width + 1]), *_paired(row[width + 2 : end])],
            int(row[end]) if with_rows else 0,
        )
        for row in rows
    ]


def totals_of(charges: "QuerySet[Any]") -> Totals:
    """Return what the live ones of these charges come to."""
    return {group.key: group.sums for group in groups_of(charges) if group.is_live}


def totals_of_new(charges: "QuerySet[Any]") -> Totals:
    """Return what charges come to that were just inserted."""
    with _hashing():
        return totals_of(charges)


def add(charges: "QuerySet[Any]") -> None:
    """Count charges that a statement written by hand inserted."""
    count(totals_of_new(charges))


def subtract(charges: "QuerySet[Any]") -> None:
    """Count charges no longer that a statement written by hand is about to withdraw; they are locked."""
    exchange(totals_of(charges), {})


def exchange(left: Totals, came: Totals) -> None:
    """Count what came, and no longer what left: of what is alike, the difference alone."""
    count(_difference(left, came))


def kept(months: Iterable[int]) -> Totals:
    """Return what is kept of months (ids): the rows of each key added up, those left out that come to nothing."""
    found: Totals = {}
    for row in MonthTotal.objects.filter(charged_in__in=list(months)).values_list(*KEY, "charges", *HALVES):
        _add(found, row[: len(KEY)], [row[len(KEY)], *_paired(row[len(KEY) + 1 :])])
    return {key: sums for key, sums in found.items() if any(sums)}


def rebuild(month: int, charges: "QuerySet[Any]") -> None:
    """Replace what is kept of a month (id) by what its charges come to. The caller has it to itself."""
    MonthTotal.objects.filter(charged_in=month).delete()
    count(totals_of(charges))


def fold(months: Iterable[int]) -> None:
    """Add up the rows of one key in months (ids) that the caller holds open; those that come to nothing go.

    Where another transaction is at it already, nothing happens: it is done another time. Rows are only ever added
    and, here, deleted, so what others add meanwhile is neither lost nor waited for.
    """
    wanted = list(months)
    with transaction.atomic():
        if not _is_our_turn():
            return
        alike: dict[Key, list[int]] = {}
        sums: Totals = {}
        rows = MonthTotal.objects.filter(charged_in__in=wanted).order_by("pk")
        for pk, *row in rows.values_list("pk", *KEY, "charges", *HALVES):
            key = tuple(row[: len(KEY)])
            alike.setdefault(key, []).append(pk)
            _add(sums, key, [row[len(KEY)], *_paired(row[len(KEY) + 1 :])])
        several = [key for key, ids in alike.items() if len(ids) > 1]
        gone = [pk for key in several for pk in alike[key]]
        for start in range(0, len(gone), BATCH):
            MonthTotal.objects.filter(pk__in=gone[start : start + BATCH]).delete()
        _insert(_row(key, sums[key]) for key in several if any(sums[key]))


@contextmanager
def _hashing() -> Iterator[None]:
    """Have PostgreSQL hash rows that were just inserted: it takes a million for one, and would sort them."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off")
        yield
        cursor.execute("SET LOCAL enable_sort = on")


def _is_our_turn() -> bool:
    if connection.vendor != "postgresql":
        return True  # The transaction holds the only write lock.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [TURN])
        return bool(cursor.fetchone()[0])


def count(changes: Mapping[Key, list[int]]) -> None:
    """Add to the totals what came, and what left with a minus, in the transaction of the change itself."""
    rows = [_row(key, sums) for key, sums in changes.items() if any(sums)]
    if not rows:
        return
    _insert(rows)
    latest = MonthTotal.objects.order_by("-pk").values_list("pk", flat=True)[0]
    if latest // FOLDED_EVERY != (latest - len(rows)) // FOLDED_EVERY:
        fold({row[_CHARGED_IN] for row in rows})


def _insert(rows: Iterable[tuple[Any, ...]]) -> None:
    insert_values(MonthTotal, (*KEY, "charges", *HALVES), rows)


def _row(key: Key, sums: list[int]) -> tuple[Any, ...]:
    """Return the columns of a row: KEY, how many charges, and HALVES."""
    count, *amounts = sums
    return (*key, count, *(half for units in amounts for half in in_halves(units)))


def _paired(halves: Iterable[Any]) -> list[int]:
    each = iter(halves)
    return [of_halves(high, low) for high, low in zip(each, each, strict=True)]


def _add(totals: Totals, key: Key, sums: list[int], sign: int = 1) -> None:
    known = totals.setdefault(key, [0] * len(sums))
    for place, value in enumerate(sums):
        known[place] += sign * value


def _plain(charges: "QuerySet[Any]") -> "QuerySet[Any]":
    """Return the same charges as a selection that tells each once."""
    query = charges.query
    is_joined = sum(1 for number in query.alias_refcount.values() if number) > 1
    if is_joined or query.distinct or query.combinator:
        return _all(charges.model).filter(pk__in=charges.order_by().values("pk"))
    return charges.order_by()


def _all(model: type[models.Model]) -> "QuerySet[Any]":
    return model._base_manager.all()  # noqa: SLF001 (past every custom manager)


def _locked(charges: "QuerySet[Any]") -> int | None:
    """Lock charges in the order of their ids, so that they are counted as they are changed; return how many.

    On SQLite the transaction holds the only write lock already.
    """
    if connection.vendor != "postgresql":
        return None
    chosen = _plain(charges).order_by("pk").select_for_update(no_key=True).values_list("pk")
    try:
        sql, values = chosen.query.sql_with_params()
    except EmptyResultSet:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({sql}) c", values)
        return int(cursor.fetchone()[0])


def _watched(model: type[models.Model], names: Iterable[str]) -> dict[str, str]:
    """Return which of these fields count, by their column: names as `update` and `update_fields` have them."""
    found = {}
    for name in names:
        with suppress(FieldDoesNotExist):
            column = getattr(model._meta.get_field(name), "attname", name)
            if column in _WATCHED:
                found[column] = name
    return found


def _is_told(column: str, value: object) -> bool:
    """Whether a new value of a column says by itself what charges will be counted under."""
    return column in _PLAIN and not hasattr(value, "resolve_expression")


class CountedQuerySet(StandingQuerySet[Row]):
    """Charges in a queryset: what changes them changes the totals of their months, in one transaction."""

    def update(self, **fields: Any) -> int:
        """Change charges, and count them where they belong then.

        1. The charges are locked, and added up as they are (on SQLite the transaction has the only write lock).
        2. They are changed. Where that were others than were added up, because somebody changed charges in between,
           all of it is rolled back and done again.
        3. Rows are added to the totals: less what the charges were counted as, and what they count as now. Given
           values say that by themselves; for others the charges are added up again.
        """
        watched = _watched(self.model, fields)
        if not watched:
            return super().update(**fields)
        told = {column: fields[name] for column, name in watched.items()}
        for _ in range(ATTEMPTS):
            with suppress(_Overtaken), transaction.atomic():
                if all(_is_told(column, value) for column, value in told.items()):
                    return self._update_told(fields, told)
                return self._update_anew(fields)
        raise RuntimeError("The charges changed again and again while they were changed here.")

    def _update_told(self, fields: dict[str, Any], told: dict[str, Any]) -> int:
        locked = _locked(self)
        groups = groups_of(self)
        changed = super().update(**fields)
        counted = sum(group.sums[0] for group in groups)
        if changed != counted or locked not in (None, changed):
            raise _Overtaken
        new = {
            column: value.pk if isinstance(value, models.Model) else str(value) if isinstance(value, str) else value
            for column, value in told.items()
        }
        changes: Totals = {}
        for group in groups:
            if group.is_live:
                _add(changes, group.key, group.sums, -1)
            if group.is_live if "withdrawn_in_id" not in new else new["withdrawn_in_id"] is None:
                key = tuple(new.get(name, value) for name, value in zip(KEY, group.key, strict=True))
                _add(changes, key, group.sums)
        count(changes)
        return changed

    def _update_anew(self, fields: dict[str, Any]) -> int:
        _locked(self)
        ids = list(_plain(self).values_list("pk", flat=True))
        before = _totals_by_id(self.model, ids)
        changed = super().update(**fields)
        if changed != len(ids):
            raise _Overtaken
        count(_difference(before, _totals_by_id(self.model, ids)))
        return changed

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            _locked(self)
            before = totals_of(self)
            done = super().delete()
            count(_difference(before, {}))
        return done

    def bulk_create(self, objs: Iterable[Row], *args: Any, **options: Any) -> list[Row]:
        if options.get("ignore_conflicts") or options.get("update_conflicts"):
            raise NotImplementedError("Which of the charges are new could not be told: their months count them.")
        with transaction.atomic():
            rows = super().bulk_create(objs, *args, **options)
            count(_totals_by_id(self.model, [row.pk for row in rows]))
        return rows


class Counted(Standing):
    """A charge: saved or deleted, its month counts it as it is then."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        written = options.get("update_fields")
        if written is not None and not _watched(type(self), written):
            super().save(*args, **options)
            return
        with transaction.atomic():
            before = self._counted()
            super().save(*args, **options)
            count(_difference(before, self._counted()))

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            before = self._counted()
            done = super().delete(*args, **options)
            count(_difference(before, {}))
        return done

    def _counted(self) -> Totals:
        """Return what the charge is counted as in the database, locked."""
        if self.pk is None:
            return {}
        own = _all(type(self)).filter(pk=self.pk)
        _locked(own)
        return totals_of(own)


def _totals_by_id(model: type[models.Model], ids: list[int]) -> Totals:
    found: Totals = {}
    for start in range(0, len(ids), BATCH):
        for key, sums in totals_of(_all(model).filter(pk__in=ids[start : start + BATCH])).items():
            _add(found, key, sums)
    return found


def _difference(before: Totals, after: Totals) -> Totals:
    changes: Totals = {}
    for key, sums in after.items():
        _add(changes, key, sums)
    for key, sums in before.items():
        _add(changes, key, sums, -1)
    return changes
