"""Staged rows become charges, with their flags, by one INSERT ... SELECT each; charges that leave are withdrawn."""

from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from ... import numbering, safeguards
from ...attribution import OWNER_COLUMNS
from ...fields import AmountField
from ...models import BillingPeriod, Charge, Flag, Import, totalling
from ...readers.dimensions import DIMENSIONS
from ...readers.facts import FACTS
from . import appending, dimensions
from .figures import DISPLACED
from .tables import Stage

# The columns of Flag that are given; its id gives itself.
FLAG_COLUMNS = ("charge_id", "code", "detail", "is_resolved")

# What a row says by itself; dimensions are found by their ids.
_FACTS = ("file_number", *(name for name in FACTS if name not in DIMENSIONS))

# Who pays, which a decision on the charge before it outlives.
_WHO_PAYS = tuple(name for name in OWNER_COLUMNS if name != "attributed_by")

# The charge before was somebody's to pay (or rejected): a late change of it is for the same.
_CHARGED_THEN = "(o.id IS NOT NULL AND o.state <> 'held')"

# It was nobody's to pay yet, but somebody decided whose it is: what replaces it waits for the same.
_HELD_FOR = "(o.state = 'held' AND o.attributed_by = 'decision')"

# Nobody has said yet whether the charge before was the same cost as another, or answered what its PI asked about it.
_ASKED = (
    "(o.state = 'held' AND EXISTS (SELECT 1 FROM billing_flag f WHERE f.charge_id = o.id "
    "AND f.code IN ('possible_duplicate', 'disputed') AND NOT f.is_resolved))"
)

# Months, who pays and dimensions by the keys of what is stored.
_JOINED = " ".join(
    (
        "JOIN stage_month m ON m.month = s.month JOIN stage_attribution a ON a.number = s.attribution",
        *(f"JOIN stage_{name}_id d_{name} ON d_{name}.number = s.{name}" for name in DIMENSIONS),
    )
)

_DECIDED_STATES = ", ".join(f"'{state.value}'" for state in Charge.DECIDED)
_DECIDED = f"(o.state IN ({_DECIDED_STATES}) OR o.attributed_by = 'decision')"

# Who pays for what replaces a charge is known: people decided it, or a late change went to those charged then.
_KNOWN = f"(o.id IS NOT NULL AND ({_DECIDED} OR (o.is_late AND o.state <> 'held')))"


def charge_columns() -> list[str]:
    """Return the columns of the charge table, from the model."""
    return [str(field.column) for field in Charge._meta.concrete_fields]


def make_charges(stage: Stage, imported: Import, *, tolerance_units: int, measures: dict[int, str]) -> tuple[int, int]:
    """Turn what is staged into charges; return the first id given out, and how many.

    Where rows are chosen, `stage_keep` names those to insert and what each replaces; else all are new. A
    replacement inherits who pays from a charge that people decided about, and their decision too, unless the
    amount of the measure moved by more than the tolerance: then it is held. `measures` maps period ids to the
    cost column that is charged there.

    1. The charges that leave are locked, in the order of their ids so that two imports cannot wait for each other:
       a decision that somebody is making about one of them is waited for, seen and inherited.
    2. Ids are taken, under a lock that is released at once: nobody else is given the same.
    3. Charges and flags are inserted, and the charges that leave are marked withdrawn.
    4. The totals of their months count what came, and no longer what left.

    Must run inside the transaction that also marks the import applied.
    """
    only_kept = stage.is_chosen
    came: totalling.Totals = {}
    with connection.cursor() as cursor:
        _lock_displaced(stage, cursor)
        count = stage.rows
        if only_kept:
            count = _kept(cursor)
        first = numbering.of_charges(count) if count else 0
        if count:
            values = {
                "first": first,
                "imported": imported.pk,
                "source": imported.source_id,
                "tolerance": tolerance_units,
            }
            with safeguards.as_one_statement(connection, Charge, Flag):
                if only_kept:
                    _insert_kept(stage, cursor, measures, values)
                else:
                    appending.append(stage, imported, first=first)
                _insert_flags(cursor, only_kept, first, measures, tolerance_units)
            came = _totals_of_new(stage, imported, first, count)
        totalling.exchange(totalling.totals_of(_displaced()), came)
        cursor.execute(
            f"UPDATE billing_charge SET withdrawn_in_id = %s WHERE id IN ({DISPLACED})",
            [imported.pk],
        )
    return first, count


def book_late_changes(stage: Stage, imported: Import, *, target: BillingPeriod) -> tuple[int, int, int, int]:
    """Book what is staged as late changes of `target`.

    Returns the first id given out, how many ids went to rows of the import, how many charges were reversed
    , and how many that `target` held are withdrawn.

    The charges that the import changes or no longer has stay as they are: a row in `target` takes
    each of them back, paid by whom it was paid, and what replaces it is charged there to the same
    payers. A new row goes by its own attribution. What `target` holds, be it carried over or left by an
    earlier late change, is withdrawn instead, for nobody was charged it.

    Locks as `make_charges` does: the charges that leave in the order of their ids, then the ids that are taken.

    Must run inside the transaction that also marks the import applied.
    """
    with connection.cursor() as cursor:
        _lock_displaced(stage, cursor)
        count = _kept(cursor)
        cursor.execute(f"SELECT count(*) FROM billing_charge o WHERE o.id IN ({DISPLACED}) AND o.state <> 'held'")
        reversals = int(cursor.fetchone()[0])
        first = numbering.of_charges(count + reversals) if count + reversals else 0
        values = {
            "first": first,
            "imported": imported.pk,
            "source": imported.source_id,
            "target": target.pk,
            "reversals": first + count - 1,
        }
        if count:
            dimensions.lay_out_ids(stage)
            # Row by row as the safeguards look on SQLite: late changes are few.
            cursor.execute(_late_sql(), values)
            cursor.execute(
                f"INSERT INTO billing_flag ({_flag_columns()}) "
                "SELECT %s + k.ordinal, f.code, f.detail, "
                f"f.is_resolved OR (o.id IS NOT NULL AND {_HELD_FOR}) FROM stage_keep k "
                "JOIN stage_flag f ON f.row = k.row LEFT JOIN billing_charge o ON o.id = k.replaces_id "
                f"WHERE NOT ({_CHARGED_THEN}) ORDER BY k.ordinal",
                [first],
            )
            _keep_open_questions(cursor, first)
        if reversals:
            cursor.execute(_reversal_sql(), values)
        totalling.add(_given_out(first, count + reversals))
        totalling.subtract(_displaced().filter(state=Charge.State.HELD))
        # Last, and also where nothing else is booked: nobody owes what the import no longer has.
        cursor.execute(
            f"UPDATE billing_charge SET withdrawn_in_id = %s WHERE id IN ({DISPLACED}) AND state = 'held'",
            [imported.pk],
        )
        withdrawn = int(cursor.rowcount)
    return first, count, reversals, withdrawn


def _totals_of_new(stage: Stage, imported: Import, first: int, count: int) -> totalling.Totals:
    """Return what the charges that were inserted come to.

    Where all rows became charges as they were staged, the stage has added them up.
    """
    if stage.is_chosen or imported.source_id is None:
        return totalling.totals_of_new(_given_out(first, count))
    attributions = stage.select("SELECT number, pi_id, project_id, fund_org FROM stage_attribution")
    owners = {number: owner for number, *owner in attributions}
    periods = dict(stage.select("SELECT month, period_id FROM stage_month"))
    return stage.tallies.totals(source=imported.source_id, periods=periods, owners=owners)


def _given_out(first: int, count: int) -> "QuerySet[Charge]":
    """Return the charges that were inserted with ids given out from `first` on."""
    return Charge.objects.filter(id__gte=first, id__lt=first + count)


def _displaced() -> "QuerySet[Charge]":
    """Return the charges that leave."""
    return Charge.objects.filter(id__in=RawSQL(DISPLACED, []))  # noqa: S611 (no value in it)


def _lock_displaced(stage: Stage, cursor: Any) -> None:
    """Wait for whoever is deciding about the charges that leave, so that the decision is seen and inherited.

    On SQLite the transaction holds the only write lock already.
    """
    if stage.is_postgresql:
        cursor.execute(f"SELECT id FROM billing_charge WHERE id IN ({DISPLACED}) ORDER BY id FOR NO KEY UPDATE")


def _kept(cursor: Any) -> int:
    """Return how many ids the kept rows take: their ordinals have gaps where some were left out."""
    cursor.execute("SELECT coalesce(max(ordinal) + 1, 0) FROM stage_keep")
    return int(cursor.fetchone()[0])


def _insert_kept(stage: Stage, cursor: Any, measures: dict[int, str], values: dict[str, Any]) -> None:
    """Insert the rows that were chosen, with who pays for the charge that each replaces."""
    dimensions.lay_out_ids(stage)
    taken = {name: f"s.{name}" for name in _FACTS} | {
        "id": "%(first)s + k.ordinal",
        "source_id": "%(source)s",
        "imported_in_id": "%(imported)s",
        "withdrawn_in_id": "NULL",
        "period_id": "m.period_id",
        # What another month bears already stays there: the month itself would charge it a second time.
        "charged_in_id": "coalesce(o.charged_in_id, e.period_id, m.period_id)",
        "replaces_id": "k.replaces_id",
        "reverses_id": "NULL",
        "is_late": "coalesce(o.is_late, e.row IS NOT NULL)",
        "payer_split_id": f"CASE WHEN {_KNOWN} THEN o.payer_split_id END",
        "attributed_by": f"CASE WHEN {_KNOWN} THEN CASE WHEN {_DECIDED} THEN 'decision' ELSE o.attributed_by END "
        "ELSE a.attributed_by END",
        "state": f"CASE WHEN {_ASKED} THEN 'held' WHEN NOT {_KNOWN} THEN s.state "
        f"WHEN o.state IN ({_DECIDED_STATES}) AND {_moved(measures)} THEN 'held' "
        "ELSE o.state END",
    }
    taken |= {f"{name}_id": f"d_{name}.id" for name in DIMENSIONS}
    taken |= {name: f"CASE WHEN {_KNOWN} THEN o.{name} ELSE a.{name} END" for name in _WHO_PAYS}
    columns = charge_columns()
    cursor.execute(
        f"INSERT INTO billing_charge ({', '.join(columns)}) "
        f"SELECT {', '.join(taken[column] for column in columns)} "
        f"FROM stage_keep k JOIN stage_row s ON s.row = k.row {_JOINED} "
        "LEFT JOIN billing_charge o ON o.id = k.replaces_id LEFT JOIN stage_elsewhere e ON e.row = k.row "
        "ORDER BY k.ordinal",
        values,
    )


def _late_sql() -> str:
    known = f"({_CHARGED_THEN} OR {_HELD_FOR})"
    taken = {name: f"s.{name}" for name in _FACTS} | {
        "id": "%(first)s + k.ordinal",
        "source_id": "%(source)s",
        "imported_in_id": "%(imported)s",
        "withdrawn_in_id": "NULL",
        "period_id": "m.period_id",
        "charged_in_id": "%(target)s",
        "replaces_id": "k.replaces_id",
        "reverses_id": "NULL",
        "is_late": "true",
        "payer_split_id": f"CASE WHEN {known} THEN o.payer_split_id END",
        "attributed_by": f"CASE WHEN {_CHARGED_THEN} THEN 'charged' WHEN {_HELD_FOR} THEN 'decision' "
        "ELSE a.attributed_by END",
        "state": f"CASE WHEN {known} OR {_ASKED} THEN o.state ELSE s.state END",
    }
    taken |= {f"{name}_id": f"d_{name}.id" for name in DIMENSIONS}
    taken |= {name: f"CASE WHEN {known} THEN o.{name} ELSE a.{name} END" for name in _WHO_PAYS}
    columns = charge_columns()
    return (
        f"INSERT INTO billing_charge ({', '.join(columns)}) "
        f"SELECT {', '.join(taken[column] for column in columns)} "
        f"FROM stage_keep k JOIN stage_row s ON s.row = k.row {_JOINED} "
        "LEFT JOIN billing_charge o ON o.id = k.replaces_id ORDER BY k.ordinal"
    )


def _reversal_sql() -> str:
    """SQL that reverses the staged charges: the same facts and payers, amounts and quantities negated."""
    taken = {str(field.column): f"o.{field.column}" for field in Charge._meta.concrete_fields}
    taken |= {
        str(field.column): f"-o.{field.column}"
        for field in Charge._meta.concrete_fields
        if isinstance(field, AmountField)
    }
    for name in ("pricing_quantity", "consumed_quantity"):
        taken[name] = (
            f"CASE WHEN o.{name} IN ('', '0') THEN o.{name} "
            f"WHEN o.{name} LIKE '-%%' THEN substr(o.{name}, 2) ELSE '-' || o.{name} END"
        )
    taken |= {
        "id": "%(reversals)s + row_number() OVER (ORDER BY o.id)",
        "imported_in_id": "%(imported)s",
        # It stands in no file: `reverses` leads to the line.
        "file_number": "0",
        "line_number": "0",
        "charged_in_id": "%(target)s",
        "replaces_id": "NULL",
        "reverses_id": "o.id",
        "is_late": "true",
        "attributed_by": "'charged'",
    }
    columns = charge_columns()
    return (
        f"INSERT INTO billing_charge ({', '.join(columns)}) "
        f"SELECT {', '.join(taken[column] for column in columns)} FROM billing_charge o "
        f"WHERE o.id IN ({DISPLACED}) AND o.state <> 'held' ORDER BY o.id"
    )


def _insert_flags(cursor: Any, by_keep: bool, first: int, measures: dict[int, str], tolerance_units: int) -> None:
    """Store the staged flags; those of a charge whose payer people decided count as resolved."""
    columns = _flag_columns()
    if not by_keep:
        cursor.execute(
            f"INSERT INTO billing_flag ({columns}) "
            "SELECT %s + row - 1, code, detail, is_resolved FROM stage_flag ORDER BY row",
            [first],
        )
        return
    cursor.execute(
        f"INSERT INTO billing_flag ({columns}) "
        f"SELECT %s + k.ordinal, f.code, f.detail, f.is_resolved OR {_KNOWN} FROM stage_keep k "
        "JOIN stage_flag f ON f.row = k.row LEFT JOIN billing_charge o ON o.id = k.replaces_id ORDER BY k.ordinal",
        [first],
    )
    cursor.execute(
        f"INSERT INTO billing_flag ({columns}) "
        f"SELECT %(first)s + k.ordinal, 'amount_changed', '', %(false)s FROM stage_keep k "
        "JOIN stage_row s ON s.row = k.row JOIN stage_month m ON m.month = s.month "
        "JOIN billing_charge o ON o.id = k.replaces_id "
        f"WHERE o.state IN ({_DECIDED_STATES}) AND {_moved(measures)} ORDER BY k.ordinal",
        {"first": first, "false": False, "tolerance": tolerance_units},
    )
    _keep_open_questions(cursor, first)


def _keep_open_questions(cursor: Any, first: int) -> None:
    """Keep the reason of what was held for its amount, when the amount moves once more.

    And of what may be the same cost as another, for that one moves as well. A question of a PI goes on about what
    replaces the charge. It is charged again once answered, unless something else holds it by then.
    """
    cursor.execute(
        f"INSERT INTO billing_flag ({_flag_columns()}) "
        "SELECT %(first)s + k.ordinal, f.code, f.detail, %(false)s FROM stage_keep k "
        "JOIN billing_flag f ON f.charge_id = k.replaces_id "
        "AND f.code IN ('amount_changed', 'possible_duplicate', 'disputed') "
        "JOIN billing_charge o ON o.id = k.replaces_id "
        "WHERE (o.state = 'held' OR f.code = 'disputed') AND NOT f.is_resolved ORDER BY k.ordinal",
        {"first": first, "false": False},
    )
    cursor.execute(
        "INSERT INTO billing_disputedcharge (question_id, charge_id, was) "
        "SELECT d.question_id, %(first)s + k.ordinal, CASE WHEN d.was = '' THEN '' ELSE 'clear' END FROM stage_keep k "
        "JOIN billing_disputedcharge d ON d.charge_id = k.replaces_id "
        "WHERE d.ended_at IS NULL ORDER BY k.ordinal",
        {"first": first},
    )


def _flag_columns() -> str:
    if {str(field.column) for field in Flag._meta.concrete_fields} != {"id", *FLAG_COLUMNS}:
        raise AssertionError("Flag has other columns now.")
    return ", ".join(FLAG_COLUMNS)


def _moved(measures: dict[int, str]) -> str:
    """SQL for: the amount that is charged moved by more than the tolerance, or is in another currency."""
    by_period = {
        column: ", ".join(str(period_id) for period_id, each in measures.items() if each == column)
        for column in sorted(set(measures.values()))
    }
    # Two amounts can be further apart than 64 bits hold: SQLite goes on with a float there, PostgreSQL gives up.
    exact = "::numeric" if connection.vendor == "postgresql" else ""
    amount = " ".join(
        f"WHEN m.period_id IN ({ids}) THEN coalesce(s.{column}, 0){exact} - coalesce(o.{column}, 0)"
        for column, ids in by_period.items()
    )
    return f"(abs(CASE {amount} ELSE 0 END) > %(tolerance)s OR s.currency <> o.currency)"
