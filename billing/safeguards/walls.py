"""The last wall: triggers by which the database itself refuses to change what stands, whoever asks and however.

Verbs refuse first (`closing.require_open`), querysets second (`models.standing`); what gets past both, a
slip of the program or SQL typed by hand, ends here. The SQL is made from rules kept in Python, one text
for each database. It is installed after every migrate and taken off before one, never by a migration: on
SQLite, rebuilding a table drops its triggers without a word, and a trigger that names a table that is being
rebuilt breaks the migration.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from django.core import checks
from django.db import IntegrityError, connections, models, transaction
from django.db import connection as default
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from ..currencies import DEFAULT, OTHER
from ..fields import TOTAL_PLACES
from ..models import (
    AuditEvent,
    AuditHead,
    BillingPeriod,
    BillingReference,
    Charge,
    Entry,
    EntryLine,
    ExchangeRate,
    Flag,
    FrozenProof,
    PayerLine,
    PayerSplitShare,
    ReviewDecision,
)
from ..models.periods import FINAL, SHUT

PREFIX = "wall_"
SIGNATURE = "OpenChargeback: "
VENDORS = ("sqlite", "postgresql")

Event = Literal["insert", "update", "delete"]
ALL: tuple[Event, ...] = ("insert", "update", "delete")
# The bits of pg_trigger.tgtype.
_BITS = {"insert": 4, "delete": 8, "update": 16, "truncate": 32}
_BEFORE = 2


@dataclass(frozen=True)
class Rule:
    """One refusal: an event on a table, where the row, or what it belongs to, stands.

    `path` names the foreign keys from the row to what decides, such as ("charge", "charged_in"), and `when`
    is SQL about that ({row}). Of an update both versions of a row are asked. A rule with `changes`
    instead is about what an update does: SQL about {old} and {new}, with {differs} for a comparison that
    knows null. A rule that `names` the period is about the period at the end of its path.
    """

    name: str
    model: type[models.Model]
    event: Event
    says: str
    path: tuple[str, ...] = ()
    when: str = "true"
    changes: str = ""
    names: bool = False

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def trigger(self) -> str:
        return f"{PREFIX}{self.table}_{self.name}"

    def steps(self) -> list[tuple[str, str]]:
        """Return the path as (column, table it leads to)."""
        steps, model = [], self.model
        for name in self.path:
            field = model._meta.get_field(name)
            assert isinstance(field, models.ForeignKey)
            model = field.related_model
            steps.append((str(field.column), model._meta.db_table))
        return steps


@dataclass(frozen=True)
class Trigger:
    """A trigger as it is made, and as the database's catalog must show it."""

    name: str
    table: str
    sql: tuple[str, ...]
    shown: tuple[Any, ...]


@dataclass(frozen=True)
class Missing:
    """A trigger that is not there, or not as it should be."""

    trigger: str
    table: str
    why: str

    def __str__(self) -> str:
        return f"{self.trigger} on {self.table} {self.why}"


def in_shut_months(
    model: type[models.Model],
    path: str,
    stands: str,
    *,
    shut: Iterable[str] = SHUT,
    events: Iterable[Event] = ALL,
) -> list[Rule]:
    """Refuse changes of rows whose billing period, at the end of `path`, is shut."""
    statuses = ", ".join(f"'{status}'" for status in shut)
    return [
        Rule(
            event,
            model,
            event,
            f"{stands} are locked",
            tuple(path.split("__")),
            f"{{row}}.status IN ({statuses})",
            names=True,
        )
        for event in events
    ]


def kept_for_ever(model: type[models.Model], says: str) -> list[Rule]:
    """Refuse every update and deletion of a table's rows."""
    return [Rule("update", model, "update", says), Rule("delete", model, "delete", says)]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def in_parts(column: str, *, currency: str = "{row}.currency") -> str:
    """SQL for: an amount of a TotalField has more decimals than its currency, such as a yen and a half.

    What months were charged before this was looked at is left as it is: no constraint, which old rows would break.
    """
    cases = " ".join(
        f"WHEN {currency} IN ({', '.join(map(_quoted, codes.split()))}) THEN {10 ** (TOTAL_PLACES - places)}"
        for places, codes in OTHER.items()
    )
    return f"{{row}}.{column} % (CASE {cases} ELSE {10 ** (TOTAL_PLACES - DEFAULT)} END) <> 0"


def frozen(model: type[models.Model], when: str, says: str, *, free: Iterable[str] = (), name: str = "update") -> Rule:
    """Refuse updates that change anything but the `free` fields, where `when` holds for {old}."""
    fixed = [field.column for field in model._meta.concrete_fields if field.name not in set(free)]
    changed = " OR ".join(f"{{old}}.{column} {{differs}} {{new}}.{column}" for column in fixed)
    return Rule(name, model, "update", says, changes=f"({when}) AND ({changed})")


WHOLE_LINE = "a payer line is in the smallest unit of its currency"
PARTED_LINE = " OR ".join(in_parts(column) for column in ("charged", "list_cost", "contracted_cost"))

# Of each table, how it stands. Apps further on register theirs when they load.
_rules: dict[str, list[Rule]] = {}


def register(*rules: Rule) -> None:
    """Add walls; those of a table that has some already take their place."""
    for table in {rule.table for rule in rules}:
        _rules[table] = [rule for rule in rules if rule.table == table]


def rules() -> list[Rule]:
    """Return every registered rule, table by table."""
    return [rule for table in sorted(_rules) for rule in _rules[table]]


def register_own() -> None:
    """Register the walls of billing's own tables."""
    register(
        *in_shut_months(Charge, "charged_in", "its charges"),
        *in_shut_months(Flag, "charge__charged_in", "its charges and their flags"),
        *in_shut_months(ReviewDecision, "charge__charged_in", "its decisions", events=("insert",)),
        *kept_for_ever(ReviewDecision, "a decision is kept: undo it by another"),
        *in_shut_months(Entry, "charged_in", "its corrections", events=("insert", "update")),
        frozen(Entry, "true", "a correction is never edited", free=Entry.DECIDED, name="edit"),
        Rule("delete", Entry, "delete", "a correction is never deleted: reverse it"),
        *in_shut_months(EntryLine, "entry__charged_in", "its corrections", events=("insert",)),
        Rule(
            "whole",
            Entry,
            "insert",
            "a correction is over an amount in the smallest unit of its currency",
            when=f"({in_parts('amount')} OR {in_parts('total')})",
        ),
        Rule(
            "whole",
            EntryLine,
            "insert",
            "a correction is over an amount in the smallest unit of its currency",
            when=f"EXISTS (SELECT 1 FROM billing_entry e WHERE e.id = {{row}}.entry_id AND "
            f"{in_parts('amount', currency='e.currency')})",
        ),
        *kept_for_ever(EntryLine, "a correction is never edited or deleted: reverse it"),
        # A rate that was missing may come late; one that was charged with stands.
        *in_shut_months(ExchangeRate, "period", "its exchange rates", events=("update", "delete")),
        *in_shut_months(PayerLine, "period", "its payer lines", shut=FINAL),
        Rule("whole", PayerLine, "insert", WHOLE_LINE, when=f"({PARTED_LINE})"),
        Rule("still_whole", PayerLine, "update", WHOLE_LINE, changes=PARTED_LINE.replace("{row}", "{new}")),
        *in_shut_months(BillingReference, "period", "its references", shut=FINAL),
        *kept_for_ever(FrozenProof, "the proof a month was finalized with is locked"),
        *(
            Rule(
                event,
                PayerSplitShare,
                event,
                "charges of a closed month are shared by this split: make a new one from its own day on",
                ("split",),
                "EXISTS (SELECT 1 FROM billing_charge c JOIN billing_billingperiod p ON p.id = c.charged_in_id "
                "WHERE c.payer_split_id = {row}.id AND p.status IN ('closed', 'finalized'))",
            )
            for event in ALL
        ),
        *kept_for_ever(AuditEvent, "the audit log is never changed, only added to"),
        Rule("delete", AuditHead, "delete", "the head of the audit log stays"),
        Rule(
            "update",
            AuditHead,
            "update",
            "the audit log only grows",
            changes="{new}.events < {old}.events OR ({new}.events = {old}.events AND {new}.hash <> {old}.hash)",
        ),
        frozen(BillingPeriod, "{old}.status = 'finalized'", "a finalized billing period is permanently locked"),
        Rule(
            "month",
            BillingPeriod,
            "update",
            "a closed billing period keeps its month",
            changes="{old}.status = 'closed' AND {old}.month <> {new}.month",
        ),
        Rule(
            "delete",
            BillingPeriod,
            "delete",
            "a closed billing period is not deleted",
            when="{row}.status IN ('closed', 'finalized')",
        ),
    )


# Making the SQL ----------------------------------------------------------------------------------


def triggers(connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return every trigger that must stand in this database."""
    if connection.vendor == "sqlite":
        kept = (trigger for table in sorted(_rules) for trigger in _against_replacing(table, connection))
        return [*(_on_sqlite(rule) for rule in rules()), *kept]
    schema = _schema(connection)
    found = [_on_postgresql(rule, schema) for rule in rules()]
    return found + [_against_truncate(table, schema) for table in sorted(_rules)]


def _on_sqlite(rule: Rule) -> Trigger:
    """A trigger per row: SQLite has no others. Its text is fixed, since it cannot put one together."""
    if rule.changes:
        condition = rule.changes.format(old="OLD", new="NEW", differs="IS NOT")
    else:
        sides = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}[rule.event]
        condition = " OR ".join(_row_stands(rule, side) for side in sides)
    says = _quoted(SIGNATURE + _says_of(rule))
    sql = (
        f"CREATE TRIGGER {rule.trigger} BEFORE {rule.event.upper()} ON {rule.table} FOR EACH ROW "
        f"WHEN {condition} BEGIN SELECT RAISE(ABORT, {says}); END"
    )
    return Trigger(rule.trigger, rule.table, (sql,), (rule.table, sql))


def _against_replacing(table: str, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return what refuses that another row takes the place of one that may not be deleted.

    `REPLACE INTO` and `UPDATE OR REPLACE` delete whatever is in their way, and delete triggers are told of it only
    where a client has switched recursive_triggers on. The program has; another client need not.
    """
    deletions = [rule for rule in _rules[table] if rule.event == "delete"]
    if not deletions:
        return []
    stands = " OR ".join(_row_stands(rule, "r") for rule in deletions)
    in_its_way = _rivals(_rules[table][0].model, connection)
    says = _quoted(f"{SIGNATURE}what is locked is not replaced by another row.")
    made = []
    # Every update, and not only that of columns: a row also moves by its rowid, and into a partial index by what its
    # condition asks. 100,000 charges are updated in 0.92 s of CPU so, and in 0.91 s with a list of columns.
    for name, event, others in (
        (f"{PREFIX}{table}_taken", "INSERT", ""),
        (f"{PREFIX}{table}_displaced", "UPDATE", "r.id <> OLD.id AND "),
    ):
        sql = (
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW WHEN EXISTS (SELECT 1 FROM {table} r "  # noqa: S608
            f"WHERE {others}({in_its_way}) AND ({stands})) BEGIN SELECT RAISE(ABORT, {says}); END"
        )
        made.append(Trigger(name, table, (sql,), (table, sql)))
    return made


def _rivals(model: type[models.Model], connection: BaseDatabaseWrapper) -> str:
    """Return when a row r cannot be there beside the row NEW, in SQL."""
    sets: list[tuple[tuple[str, ...], str]] = [(("id",), "")]
    sets += [((str(field.column),), "") for field in model._meta.concrete_fields if field.unique and field.name != "id"]
    editor = connection.schema_editor(collect_sql=True)
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint):
            names = tuple(str(model._meta.get_field(name).column) for name in constraint.fields)  # type: ignore[union-attr]
            sets.append((names, str(constraint._get_condition_sql(model, editor) or "")))  # type: ignore[attr-defined]
    terms = []
    for names, condition in sets:
        same = " AND ".join(f"r.{name} = NEW.{name}" for name in names)
        if condition:
            same += "".join(f" AND ({_COLUMN.sub(side, condition)})" for side in (r"r.\1", r"NEW.\1"))
        terms.append(f"({same})")
    return " OR ".join(terms)


# A column in SQL that Django wrote.
_COLUMN = re.compile(r'"(\w+)"')


def _row_stands(rule: Rule, side: str) -> str:
    steps = rule.steps()
    if not steps:
        return f"({rule.when.format(row=side)})"
    (first, table), *further = steps
    joins = "".join(
        f" JOIN {parent} a{number} ON a{number}.id = a{number - 1}.{column}"
        for number, (column, parent) in enumerate(further, start=2)
    )
    return (
        f"EXISTS (SELECT 1 FROM {table} a1{joins} WHERE a1.id = {side}.{first} "
        f"AND {rule.when.format(row=f'a{len(steps)}')})"
    )


def _says_of(rule: Rule) -> str:
    """Return the refusal in words, of a period that is not named."""
    if not rule.names:
        return f"{rule.says}."
    status = "finalized" if "'closed'" not in rule.when else "closed or finalized"
    return f"the billing period is {status}: {rule.says}."


def _on_postgresql(rule: Rule, schema: str) -> Trigger:
    """A trigger per statement, which looks at all its rows at once through transition tables."""
    old = "old_rows" if rule.event in ("update", "delete") else None
    new = "new_rows" if rule.event in ("update", "insert") else None
    told = f"{_quoted(_says_of(rule))}"
    if rule.changes:
        condition = rule.changes.format(old="o", new="n", differs="IS DISTINCT FROM")
        found = f"FROM old_rows o LEFT JOIN new_rows n ON n.id = o.id WHERE n.id IS NULL OR ({condition})"
    elif not rule.path:
        rows = " UNION ALL ".join(f"SELECT * FROM {table}" for table in (old, new) if table)
        found = f"FROM ({rows}) r WHERE {rule.when.format(row='r')}"
    else:
        (first, table), *further = rule.steps()
        # Of a million rows there are a few months: they are told apart before anything is looked up.
        rows = " UNION ".join(f"SELECT {first} FROM {each}" for each in (old, new) if each)
        joins = "".join(
            f" JOIN {parent} a{number} ON a{number}.id = a{number - 1}.{column}"
            for number, (column, parent) in enumerate(further, start=2)
        )
        last = f"a{len(rule.path)}"
        found = (
            f"FROM (SELECT DISTINCT {first} FROM ({rows}) every_row) r JOIN {table} a1 ON a1.id = r.{first}{joins} "
            f"WHERE {rule.when.format(row=last)}"
        )
        if rule.names:
            told = (
                f"'billing period ' || to_char({last}.month, 'YYYY-MM') || ' is ' || {last}.status || "
                f"{_quoted(f': {rule.says}.')}"
            )
    body = (
        f"\nDECLARE told text;\nBEGIN\n    SELECT {told} INTO told {found} LIMIT 1;\n"
        f"    IF FOUND THEN\n        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', "
        f"MESSAGE = '{SIGNATURE}' || told;\n    END IF;\n    RETURN NULL;\nEND\n"
    )
    tables = " ".join(f"{word} TABLE AS {table}" for word, table in (("OLD", old), ("NEW", new)) if table)
    attach = (
        f"CREATE TRIGGER {rule.trigger} AFTER {rule.event.upper()} ON {rule.table} REFERENCING {tables} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {rule.trigger}()"
    )
    return _with_function(rule.trigger, rule.table, body, attach, _BITS[rule.event], old, new, schema)


def _against_truncate(table: str, schema: str) -> Trigger:
    name = f"{PREFIX}{table}_truncate"
    body = (
        "\nBEGIN\n    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', "
        f"MESSAGE = '{SIGNATURE}' || TG_TABLE_NAME || ' is never emptied.';\nEND\n"
    )
    attach = f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    return _with_function(name, table, body, attach, _BEFORE + _BITS["truncate"], None, None, schema)


def _with_function(
    name: str, table: str, body: str, attach: str, bits: int, old: str | None, new: str | None, schema: str
) -> Trigger:
    # A path of its own: a temporary table of a guarded one's name must not come before it.
    path = f"{schema}, pg_temp"
    function = (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path = {path} "
        f"AS $wall${body}$wall$"
    )
    shown = (table, bits, "O", old, new, True, name, body, (f"search_path={path}",))
    return Trigger(name, table, (function, attach), shown)


# Putting up and taking off -----------------------------------------------------------------------


def install(connection: BaseDatabaseWrapper = default) -> list[Missing]:
    """Put up every wall whose table is there, and return what was missing; does nothing where all stand."""
    if connection.vendor not in VENDORS or not (lacking := missing(connection)):
        return []
    with transaction.atomic(using=connection.alias):
        remove(connection)
        tables = _tables_as_in_code(connection)
        with connection.cursor() as cursor:
            for trigger in triggers(connection):
                if trigger.table in tables:
                    for sql in trigger.sql:
                        cursor.execute(sql)
    return lacking


def remove(connection: BaseDatabaseWrapper = default) -> None:
    """Take every wall off, those of earlier versions too."""
    if connection.vendor not in VENDORS:
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, 5) = '{PREFIX}'")
            for (name,) in cursor.fetchall():
                cursor.execute(f'DROP TRIGGER "{name}"')
            return
        for name, shown in _shown(connection).items():
            cursor.execute(f'DROP TRIGGER "{name}" ON "{shown[0]}"')
        cursor.execute(
            "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
            f"WHERE n.nspname = current_schema() AND p.proname LIKE '{PREFIX[:-1]}\\_%%' "
            "AND p.prorettype = 'trigger'::regtype",
            [],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP FUNCTION "{name}"()')


def missing(connection: BaseDatabaseWrapper = default) -> list[Missing]:
    """Return the walls that do not stand as the code says, of the tables that are there."""
    if connection.vendor not in VENDORS:
        return []
    shown = _shown(connection)
    wanted = [trigger for trigger in triggers(connection) if shown.get(trigger.name) != trigger.shown]
    if not wanted and len(shown) == len(triggers(connection)):
        return []
    tables = set(connection.introspection.table_names())
    known = {trigger.name for trigger in triggers(connection)}
    return [
        Missing(trigger.name, trigger.table, "differs" if trigger.name in shown else "is missing")
        for trigger in wanted
        if trigger.table in tables
    ] + [Missing(name, found[0], "is not known") for name, found in sorted(shown.items()) if name not in known]


def _shown(connection: BaseDatabaseWrapper) -> dict[str, tuple[Any, ...]]:
    """Return the walls there are, by name, as the catalog shows them."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "SELECT name, tbl_name, sql FROM sqlite_master "
                f"WHERE type = 'trigger' AND substr(name, 1, 5) = '{PREFIX}'"
            )
            return {name: tuple(shown) for name, *shown in cursor.fetchall()}
        cursor.execute(
            "SELECT t.tgname, c.relname, t.tgtype, t.tgenabled, t.tgoldtable, t.tgnewtable, t.tgqual IS NULL, "
            "p.proname, p.prosrc, p.proconfig FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid "
            f"WHERE NOT t.tgisinternal AND t.tgname LIKE '{PREFIX[:-1]}\\_%%' AND n.nspname = current_schema()",
            [],
        )
        return {
            name: (table, bits, _text(enabled), old, new, plain, function, body, tuple(config or ()))
            for name, table, bits, enabled, old, new, plain, function, body, config in cursor.fetchall()
        }


def _text(value: Any) -> str:
    # PostgreSQL's "char" comes as bytes from some versions of the driver.
    return value.decode() if isinstance(value, bytes) else str(value)


def _schema(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = str(cursor.fetchone()[0])
    # Written as the catalog will show it.
    return schema if re.fullmatch("[a-z_][a-z0-9_]*", schema) else connection.ops.quote_name(schema)


def _tables_as_in_code(connection: BaseDatabaseWrapper) -> set[str]:
    """Return the guarded tables that have the columns of their models: not so after a migrate to a former state."""
    there = set(connection.introspection.table_names())
    found = set()
    with connection.cursor() as cursor:
        for table, of_table in _rules.items():
            if table in there:
                columns = {each.name for each in connection.introspection.get_table_description(cursor, table)}
                if {field.column for field in of_table[0].model._meta.concrete_fields} <= columns:
                    found.add(table)
    return found


def before_migrate(*, using: str, plan: Any = None, **kwargs: Any) -> None:
    """Take the walls off where there is something to migrate; receives pre_migrate."""
    if plan:
        remove(connections[using])


def after_migrate(*, using: str, **kwargs: Any) -> None:
    """Put the walls up; receives post_migrate, at the end of a flush too."""
    install(connections[using])


@contextmanager
def as_one_statement(connection: BaseDatabaseWrapper, *tables: type[models.Model]) -> Iterator[None]:
    """Let an INSERT ... SELECT pass the walls as one statement, where they would look at it row by row.

    On PostgreSQL they look once anyway. SQLite copies the rows of such a statement aside where its table
    has an insert trigger of any kind, which makes loading a half slower. So the trigger is off while the
    statement runs, and what it added is checked as a whole before the trigger is back: all in the
    transaction that holds the only write lock, so that nobody else meets a table without it, and
    whatever goes wrong puts everything back.

    Raises IntegrityError, as the trigger would.
    """
    if connection.vendor != "sqlite":
        yield
        return
    guards = [rule for rule in rules() if rule.event == "insert" and rule.model in tables]
    taken = [trigger for each in tables for trigger in _against_replacing(each._meta.db_table, connection)]
    taken = [trigger for trigger in taken if trigger.name.endswith("_taken")]
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        before = {}
        for rule in guards:
            cursor.execute(f"SELECT coalesce(max(id), 0) FROM {rule.table}")  # noqa: S608 (names from the models)
            before[rule] = cursor.fetchone()[0]
            cursor.execute(f"DROP TRIGGER IF EXISTS {rule.trigger}")
        # No row that is added has the number of another: the statement says which it gives them.
        for trigger in taken:
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}")
        yield
        for rule in guards:
            (first, table), *further = rule.steps()
            stands = _row_stands(rule, "r")
            cursor.execute(
                f"SELECT EXISTS (SELECT 1 FROM (SELECT DISTINCT {first} FROM {rule.table} WHERE id > %s) r "
                f"WHERE {stands})",
                [before[rule]],
            )
            if cursor.fetchone()[0]:
                raise IntegrityError(SIGNATURE + _says_of(rule))
            cursor.execute(_on_sqlite(rule).sql[0])
        for trigger in taken:
            cursor.execute(trigger.sql[0])


def said(error: BaseException) -> str:
    """Return what a wall said, without our signature and what the driver adds; "" for any other error."""
    match = re.search(re.escape(SIGNATURE) + r"([^\n]+)", str(error)) if isinstance(error, IntegrityError) else None
    return match[1][:1].upper() + match[1][1:] if match else ""


def listed(lacking: list[Missing]) -> str:
    """Write the first few of what is missing."""
    return "; ".join(map(str, lacking[:5])) + (f"; and {len(lacking) - 5} more" if len(lacking) > 5 else "")


# Asking ------------------------------------------------------------------------------------------


@checks.register(checks.Tags.database)
def walls_stand(databases: Iterable[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Fail where a wall is missing; warn only while migrations wait, for they put the walls up at their end."""
    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if not (lacking := missing(connection)):
            continue
        message = f"Safeguards of the database “{alias}” are missing: {listed(lacking)}."
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            found.append(checks.Warning(message, hint="Run `manage.py initialize`.", id="billing.W001"))
        else:
            hint = "Find out who removed them, then run `manage.py initialize`, which restores them."
            found.append(checks.Error(message, hint=hint, id="billing.E001"))
    return found
