"""The triggers of PostgreSQL: one for each statement, which looks at all its rows at once."""

import re

from django.db.backends.base.base import BaseDatabaseWrapper

from .refusals import PREFIX, SIGNATURE, Refusal, Trigger, protected_tables, quoted, refusals, says_of

# The bits of pg_trigger.tgtype.
_BITS = {"insert": 4, "delete": 8, "update": 16, "truncate": 32}
_BEFORE = 2
# For LIKE, of which an underscore is any character and a percent sign is doubled for the driver.
_NAMES = f"{PREFIX[:-1]}\\_%%"


def triggers(connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return every trigger that must be in place."""
    schema = _schema(connection)
    found = [_of(refusal, schema) for refusal in refusals()]
    return found + [_against_truncate(table, schema) for table in protected_tables()]


def installed(connection: BaseDatabaseWrapper) -> dict[str, tuple[object, ...]]:
    """Return the safeguards there are, by name, as the catalog shows them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.tgname, c.relname, t.tgtype, t.tgenabled, t.tgoldtable, t.tgnewtable, t.tgqual IS NULL, "
            "p.proname, p.prosrc, p.proconfig FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid "
            f"WHERE NOT t.tgisinternal AND t.tgname LIKE '{_NAMES}' AND n.nspname = current_schema()",
            [],
        )
        return {
            name: (table, bits, _text(enabled), old, new, plain, function, body, tuple(config or ()))
            for name, table, bits, enabled, old, new, plain, function, body, config in cursor.fetchall()
        }


def drop_all(connection: BaseDatabaseWrapper) -> None:
    """Drop every safeguard there is, and every function of one."""
    tables = {name: shown[0] for name, shown in installed(connection).items()}
    with connection.cursor() as cursor:
        for name, table in tables.items():
            cursor.execute(f'DROP TRIGGER "{name}" ON "{table}"')
        cursor.execute(
            "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
            f"WHERE n.nspname = current_schema() AND p.proname LIKE '{_NAMES}' "
            "AND p.prorettype = 'trigger'::regtype",
            [],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP FUNCTION "{name}"()')


def _of(refusal: Refusal, schema: str) -> Trigger:
    """Return the trigger of a refusal: it looks at all rows of a statement at once, through transition tables."""
    old = "old_rows" if refusal.event in ("update", "delete") else None
    new = "new_rows" if refusal.event in ("update", "insert") else None
    told = f"{quoted(says_of(refusal))}"
    if refusal.changes:
        condition = refusal.changes.format(old="o", new="n", differs="IS DISTINCT FROM")
        found = f"FROM old_rows o LEFT JOIN new_rows n ON n.id = o.id WHERE n.id IS NULL OR ({condition})"
    elif not refusal.path:
        rows = " UNION ALL ".join(f"SELECT * FROM {table}" for table in (old, new) if table)
        found = f"FROM ({rows}) r WHERE {refusal.when.format(row='r')}"
    else:
        (first, table), *further = refusal.steps()
        # Of a million rows there are a few months: they are told apart before anything is looked up.
        rows = " UNION ".join(f"SELECT {first} FROM {each}" for each in (old, new) if each)
        joins = "".join(
            f" JOIN {parent} a{number} ON a{number}.id = a{number - 1}.{column}"
            for number, (column, parent) in enumerate(further, start=2)
        )
        last = f"a{len(refusal.path)}"
        found = (
            f"FROM (SELECT DISTINCT {first} FROM ({rows}) every_row) r JOIN {table} a1 ON a1.id = r.{first}{joins} "
            f"WHERE {refusal.when.format(row=last)}"
        )
        if refusal.names:
            told = (
                f"'billing period ' || to_char({last}.month, 'FMMonth YYYY') || ' is ' || {last}.status || "
                f"{quoted(f': {refusal.says}.')}"
            )
    body = (
        f"\nDECLARE told text;\nBEGIN\n    SELECT {told} INTO told {found} LIMIT 1;\n"
        f"    IF FOUND THEN\n        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', "
        f"MESSAGE = '{SIGNATURE}' || told;\n    END IF;\n    RETURN NULL;\nEND\n"
    )
    tables = " ".join(f"{word} TABLE AS {table}" for word, table in (("OLD", old), ("NEW", new)) if table)
    attach = (
        f"CREATE TRIGGER {refusal.trigger} AFTER {refusal.event.upper()} ON {refusal.table} REFERENCING {tables} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {refusal.trigger}()"
    )
    return _with_function(refusal.trigger, refusal.table, body, attach, _BITS[refusal.event], old, new, schema)


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
    # A path of its own: a temporary table of the same name must not come before it.
    path = f"{schema}, pg_temp"
    function = (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path = {path} "
        f"AS $body${body}$body$"
    )
    shown = (table, bits, "O", old, new, True, name, body, (f"search_path={path}",))
    return Trigger(name, table, (function, attach), shown)


def _schema(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = str(cursor.fetchone()[0])
    # Written as the catalog will show it.
    return schema if re.fullmatch("[a-z_][a-z0-9_]*", schema) else connection.ops.quote_name(schema)


def _text(value: str | bytes) -> str:
    # PostgreSQL's "char" comes as bytes from some versions of the driver.
    return value.decode() if isinstance(value, bytes) else str(value)
