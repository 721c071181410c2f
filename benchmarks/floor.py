"""The floor: what reading a file and inserting its rows costs when nothing is checked, matched or decided.

`csv.reader` over the file, and `executemany` (SQLite) or COPY (PostgreSQL) of every column into the table of
`wide_table.py`, in one transaction. Prints seconds and rows.
"""

import csv
import itertools
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wide_table import COLUMNS, NAME, statements

# FOCUS column -> column of the table; the rest gets a constant of the column's kind.
FROM_FILE = {
    "BilledCost": "billed_cost",
    "BillingAccountId": "billing_account_id",
    "BillingAccountName": "billing_account_name",
    "BillingCurrency": "currency",
    "ChargeCategory": "charge_category",
    "ChargeDescription": "charge_description",
    "ChargePeriodEnd": "charge_period_end",
    "ChargePeriodStart": "charge_period_start",
    "ConsumedQuantity": "consumed_quantity",
    "ConsumedUnit": "consumed_unit",
    "ContractedCost": "contracted_cost",
    "ContractedUnitPrice": "contracted_unit_price",
    "EffectiveCost": "effective_cost",
    "InvoiceId": "invoice_id",
    "ListCost": "list_cost",
    "ListUnitPrice": "list_unit_price",
    "PricingQuantity": "pricing_quantity",
    "PricingUnit": "pricing_unit",
    "ProviderName": "provider_name",
    "PublisherName": "publisher_name",
    "RegionId": "region_id",
    "ResourceId": "resource_id",
    "ResourceName": "resource_name",
    "ResourceType": "resource_type",
    "ServiceCategory": "service_category",
    "ServiceName": "service_name",
    "SkuId": "sku_id",
    "SubAccountId": "sub_account_id",
    "SubAccountName": "sub_account_name",
    "Tags": "tags",
}
AMOUNTS = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
HASH = b"0123456789abcdef"


def rows(reader: Iterator[list[str]], header: list[str], columns: list[tuple[str, bool, str]]) -> Iterator[list[Any]]:
    """Yield a row for each line: its texts, and for columns the file has not, something of the right kind."""
    where = {FROM_FILE[name]: position for position, name in enumerate(header) if name in FROM_FILE}
    counted = {"id", "line_number", "pi_id", "project_id"}
    constants: list[Any] = []
    picks: list[tuple[int, int]] = []
    amounts: list[int] = []
    numbered: list[tuple[int, int]] = []
    for position, (name, nullable, kind) in enumerate(columns):
        constants.append(None if nullable else _constant(name, kind))
        if name in AMOUNTS:
            amounts.append(position)
        if name in where:
            picks.append((position, where[name]))
        elif name in counted:
            numbered.append((position, {"pi_id": 200, "project_id": 500}.get(name, 1 << 60)))
    for number, line in zip(itertools.count(1), reader):
        row = constants.copy()
        for position, column in picks:
            row[position] = line[column]
        # The least that makes a number of a text; the table holds amounts as whole numbers.
        for position in amounts:
            row[position] = int(float(row[position]) * 1e8)
        for position, modulus in numbered:
            row[position] = number * 7919 % modulus
        yield row


def _constant(name: str, kind: str) -> Any:
    if "hash" in name:
        return HASH
    if name == "state":
        return "clear"
    return "" if "char" in kind or kind == "text" else 1


def on_sqlite(file: Path, scratch: Path) -> tuple[float, int]:
    """Insert the file's rows into a fresh database; return seconds and how many.

    The reader goes into `executemany` as it is, and SQL picks the columns: no Python runs per row.
    """
    floor = sqlite3.connect(scratch, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-65536", "temp_store=FILE"):
        floor.execute(f"PRAGMA {pragma}")
    for sql in statements(is_sqlite=True):
        floor.execute(sql)
    csv.field_size_limit(1 << 30)
    started = time.perf_counter()
    with file.open(encoding="utf-8", newline="") as opened:
        reader = csv.reader(opened)
        header = next(reader)
        names = ", ".join(name for name, _, _ in COLUMNS)
        values = ", ".join(_value(name, nullable, kind, header) for name, kind, nullable in COLUMNS)
        floor.execute("BEGIN IMMEDIATE")
        floor.executemany(f"INSERT INTO {NAME} ({names}) VALUES ({values})", reader)
        floor.execute("COMMIT")
    took = time.perf_counter() - started
    (count,) = floor.execute(f"SELECT count(*) FROM {NAME}").fetchone()
    return took, count


def _value(name: str, nullable: bool, kind: str, header: list[str]) -> str:
    """Return the SQL of a column's value: from the file, or something of the right kind."""
    position = next((number for number, column in enumerate(header, 1) if FROM_FILE.get(column) == name), 0)
    if name in AMOUNTS:
        return f"CAST(?{position} * 100000000 AS INTEGER)"
    if position:
        return f"?{position}"
    if name == "id":
        return "NULL"
    if name in ("pi_id", "project_id", "line_number"):
        # As scattered over the index as owners are.
        return "random() & 255"
    if nullable:
        return "NULL"
    constant = _constant(name, kind)
    return "x'30313233343536373839616263646566'" if constant == HASH else repr(constant)


def on_postgresql(url: str, file: Path) -> tuple[float, int]:
    """COPY the file's rows into the table; return seconds and how many."""
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {NAME}")
        for sql in statements(is_sqlite=False):
            connection.execute(sql)
        connection.commit()
        names = ", ".join(name for name, _, _ in COLUMNS)

        def copy(of: Iterator[list[Any]]) -> None:
            with connection.cursor().copy(f"COPY {NAME} ({names}) FROM STDIN") as into:
                for row in of:
                    into.write_row(row)

        columns = [(name, nullable, kind) for name, kind, nullable in COLUMNS]
        seconds, count = _timed(file, columns, copy, before=lambda: None, after=connection.commit)
        connection.execute(f"DROP TABLE {NAME}")
    return seconds, count


def _timed(
    file: Path,
    columns: list[tuple[str, bool, str]],
    insert: Callable[[Iterator[list[Any]]], object],
    *,
    before: Callable[[], object],
    after: Callable[[], object],
) -> tuple[float, int]:
    csv.field_size_limit(1 << 30)
    started = time.perf_counter()
    with file.open(encoding="utf-8", newline="") as opened:
        reader = csv.reader(opened)
        header = next(reader)
        counter = itertools.count()
        counted = (row for row, _ in zip(rows(reader, header, columns), counter, strict=False))
        before()
        insert(counted)
        after()
    return time.perf_counter() - started, next(counter)


if __name__ == "__main__":
    # sqlite FILE SCRATCH, or postgresql FILE URL.
    vendor, csv_file, where = sys.argv[1:]
    took, inserted = (
        on_sqlite(Path(csv_file), Path(where)) if vendor == "sqlite" else on_postgresql(where, Path(csv_file))
    )
    print(f"{took:.3f} {inserted}")
