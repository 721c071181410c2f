"""Staged rows that may be the same cost as another: by all that makes it one, or by all but the invoice id."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from django.db import connection

from ...copy_text import DELIMITER
from ...readers.columns import AMOUNTS, QUANTITIES
from ...readers.dimensions import DIMENSIONS, FIELDS, HASH_BYTES, IDENTITY, identity_hash, said_hash
from ..partitions import HASHED, Partitions, Records, by_content, hashed, numbers_of
from .dimensions import MODELS
from .tables import CHUNK, Stage

# What makes a row the same cost as another, beside its accounts and resource: columns of its own, and of its product.
_COST = ("billed_cost", "charge_period_start", "charge_period_end", "currency")
_COST_OF_PRODUCT = ("service_name", "sku_id", "charge_category", "charge_class")


def in_several_files(stage: Stage, files: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
    """Yield (row, file number, content) of the new costs of a resource that are in more than one of some files."""
    costs = (
        f"file_number IN ({', '.join(str(int(number)) for number in files)}) "
        "AND resource IN (SELECT number FROM stage_resource WHERE resource_id <> '') "
        "AND (billed_cost <> 0 OR coalesce(effective_cost, 0) <> 0)"
    )
    new = "AND EXISTS (SELECT 1 FROM stage_keep k WHERE k.row = s.row AND k.replaces_id IS NULL)"
    stage.lay_out()
    for row, file, content in stage.select(
        f"SELECT s.row, s.file_number, s.content_hash FROM stage_row s WHERE {costs} AND s.content_hash IN "
        f"(SELECT content_hash FROM stage_row WHERE {costs} GROUP BY content_hash "
        f"HAVING min(file_number) < max(file_number)) {new if stage.is_chosen else ''} ORDER BY s.row"
    ):
        yield int(row), int(file), bytes(content)


def costs_elsewhere(
    stage: Stage, sources: Iterable[int], period_ids: Iterable[int]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the new rows, and the charges of other sources in some months, that are alike as costs of a resource.

    Each with its number and content, what both have in common, and the ids of billing account, sub account and
    resource as they are spelled. Neither what a late change reversed counts nor what was rejected as the same.
    """
    temp = "" if stage.is_postgresql else "temp."
    if not stage.is_chosen:
        stage.lay_out()
    with connection.cursor() as cursor:
        # By the resource first: where a price is flat, many resources cost the same at the same time.
        cursor.execute(
            f"CREATE INDEX IF NOT EXISTS {temp}stage_cost ON stage_row (resource, billed_cost, charge_period_start)"
        )
        cursor.execute(f"CREATE INDEX IF NOT EXISTS {temp}stage_same ON stage_resource (folded_id)")
    stage.analyze("stage_resource")
    new = "AND EXISTS (SELECT 1 FROM stage_keep k WHERE k.row = s.row AND k.replaces_id IS NULL)"
    equal = " AND ".join(
        (*(f"s.{name} = c.{name}" for name in _COST), *(f"sp.{name} = cp.{name}" for name in _COST_OF_PRODUCT))
    )
    # In this order: the charges lie together by source and month, and the rows have an index.
    alike = f"""
        FROM billing_charge c CROSS JOIN billing_resourcetext cr CROSS JOIN stage_resource sr CROSS JOIN stage_row s
        CROSS JOIN billing_product cp CROSS JOIN stage_product sp
        CROSS JOIN billing_accounttext ca CROSS JOIN stage_account sa
        WHERE c.source_id IN ({", ".join(str(int(pk)) for pk in sources)})
        AND c.period_id IN ({", ".join(str(int(pk)) for pk in period_ids)})
        AND c.withdrawn_in_id IS NULL AND c.reverses_id IS NULL AND c.billed_cost <> 0
        AND cr.id = c.resource_id AND cr.resource_id <> '' AND sr.resource_id <> '' AND sr.folded_id = cr.folded_id
        AND s.resource = sr.number AND cp.id = c.product_id AND sp.number = s.product
        AND ca.id = c.account_id AND sa.number = s.account AND {equal}
        AND NOT EXISTS (SELECT 1 FROM billing_charge r WHERE r.reverses_id = c.id AND r.withdrawn_in_id IS NULL)
        AND NOT (c.state = 'rejected' AND EXISTS (
            SELECT 1 FROM billing_flag f WHERE f.charge_id = c.id AND f.code = 'possible_duplicate'))
        {new if stage.is_chosen else ""}
    """
    return (
        list(stage.select(f"SELECT DISTINCT {_told('s', 'row')} {alike} ORDER BY s.row")),
        list(stage.select(f"SELECT DISTINCT {_told('c', 'id')} {alike} ORDER BY c.id")),
    )


def _told(side: str, number: str) -> str:
    return ", ".join(
        (
            *(f"{side}.{name}" for name in (number, "content_hash", *_COST)),
            *(f"{side}p.{name}" for name in _COST_OF_PRODUCT),
            f"{side}a.billing_account_id, {side}a.sub_account_id, {side}r.resource_id",
        )
    )


def without_invoice(
    stage: Stage, rows: Partitions, charges: Partitions, periods: Mapping[int, int]
) -> tuple[Partitions, Partitions] | None:
    """Return hashes of rows and charges by which one may be the other with its invoice id filled in, or taken out.

    They are of all that each says, and of who it is, but for that id. None where there are none: on one side there
    has to be an id, and on the other none. `periods` maps the months of rows to the ids of their periods.
    """
    stage.list_numbers(numbers_of(charges))
    of_stage = (
        "FROM billing_charge c JOIN stage_left l ON l.number = c.id JOIN billing_accounttext a ON a.id = c.account_id"
    )
    ((total, blank),) = stage.select(f"SELECT count(*), count(*) FILTER (WHERE a.invoice_id = '') {of_stage}")
    filled_in, taken_out = blank and stage.has_invoices, total > blank and stage.lacks_invoices
    if not (filled_in or taken_out):
        return None
    wanted = [sign for sign, is_wanted in (("=", filled_in), ("<>", taken_out)) if is_wanted]
    either = " OR ".join(f"a.invoice_id {sign} ''" for sign in wanted)
    of_charges = _keys_of(
        stage,
        f"SELECT c.id, c.period_id, 1 = 1, a.invoice_id = '', {_said_by('c', '{}_id')} {of_stage} WHERE {either}",
        {
            name: f"SELECT id, {', '.join(FIELDS[name])} FROM {model._meta.db_table} WHERE id IN "
            f"(SELECT c.{name}_id FROM billing_charge c JOIN stage_left l ON l.number = c.id)"
            for name, model in MODELS.items()
        },
    )
    stage.lay_out(np.concatenate([*numbers_of(rows)]))
    stage.list_numbers(numbers_of(rows))
    either = " OR ".join(f"a.invoice_id {'<>' if sign == '=' else '='} ''" for sign in wanted)
    of_rows = _keys_of(
        stage,
        f"SELECT s.row, s.month, r.resource_id <> '', a.invoice_id <> '', {_said_by('s', '{}')} FROM stage_row s "
        "JOIN stage_left l ON l.number = s.row JOIN stage_account a ON a.number = s.account "
        f"JOIN stage_resource r ON r.number = s.resource WHERE {either}",
        {
            name: f"SELECT number, {', '.join(FIELDS[name])} FROM stage_{name} WHERE number IN "
            f"(SELECT s.{name} FROM stage_row s JOIN stage_left l ON l.number = s.row)"
            for name in DIMENSIONS
        },
        periods,
    )
    return of_rows, of_charges


# What a row says beside its dimensions.
_SAYING = ("charge_period_start", "charge_period_end", "currency", *AMOUNTS.values(), *QUANTITIES.values())


def _said_by(table: str, dimension: str) -> str:
    """SQL for the numbers of the dimensions, and whatever else a row or a charge says."""
    return ", ".join(f"{table}.{name}" for name in (*map(dimension.format, DIMENSIONS), *_SAYING))


def _keys_of(
    stage: Stage, sql: str, dimensions: Mapping[str, str], periods: Mapping[int, int] | None = None
) -> Partitions:
    """Return hashes of what a query gives: number, period, if it has a resource, which side lacks the id, and the rest.

    Where `periods` are given it gives months instead. `dimensions` are queries for the texts of those that are named.
    """
    known = [_hashes(stage, name, dimensions[name]) for name in DIMENSIONS]
    keys = Partitions(HASHED, by_content)
    rows = stage.select(sql)
    while some := list(islice(rows, CHUNK)):
        keys.add(_hashed(some, known, periods))
    return keys


def _hashed(
    rows: Iterable[tuple[Any, ...]],
    known: Sequence[Mapping[int, tuple[bytes, bytes]]],
    periods: Mapping[int, int] | None,
) -> Records:
    blake = hashlib.blake2b
    numbers, marks, wholes, identities = [], [], bytearray(), bytearray()
    for number, month, has_resource, side, *values in rows:
        numbers.append(number)
        marks.append(has_resource)
        pairs = [hashes[key] for hashes, key in zip(known, values, strict=False)]
        start, end, *own = values[len(DIMENSIONS) :]
        head = f"{periods[month] if periods else month} {bool(side)} {start} {end} ".encode()
        identities += blake(head + b"".join(identity for identity, _ in pairs), digest_size=HASH_BYTES).digest()
        rest = DELIMITER.join(map(str, own)).encode()
        wholes += blake(head + b"".join(said for _, said in pairs) + rest, digest_size=HASH_BYTES).digest()
    return hashed(numbers, wholes, identities, has_resource=marks)


def _hashes(stage: Stage, name: str, sql: str) -> dict[int, tuple[bytes, bytes]]:
    """Return by number the hashes of who rows of a dimension are, and of all they say, but for the invoice id."""
    found = {}
    for number, *texts in stage.select(sql):
        is_part = name == "resource" or name in IDENTITY
        identity = identity_hash(name, texts, without="InvoiceId") if is_part else b""
        said = ["" if column == "InvoiceId" else text for column, text in zip(DIMENSIONS[name], texts, strict=True)]
        found[int(number)] = (identity, said_hash(name, said))
    return found
