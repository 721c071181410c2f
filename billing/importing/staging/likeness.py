"""Staged rows that may be the same cost as another: by all that makes it one, or by all but the invoice id."""

import hashlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection

from ...copy_text import DELIMITER
from ...readers.columns import TEXTS
from ...readers.facts import FACTS, HASH_BYTES, IDENTITY
from ...readers.spelling import BESIDE, IDS, compared
from .tables import Stage

# What makes a row the same cost as another, beside its accounts and resource.
_COST = (
    *("billed_cost", "charge_period_start", "charge_period_end", "currency"),
    *("service_name", "sku_id", "charge_category", "charge_class"),
)

# The identity of a row but for its invoice id comes first, then whatever else it says.
_IDENTIFYING = (
    *(TEXTS[name] for name in IDENTITY if name != "InvoiceId"),
    "resource_id",
    "resource_name",
    "charge_period_start",
    "charge_period_end",
)
_SAYING = tuple(
    name
    for name in FACTS
    if name not in _IDENTIFYING
    and name not in ("invoice_id", "content_hash", "identity_hash", "line_number", "row_count")
)


class Keys(NamedTuple):
    """Rows or charges by number, with hashes of 16 bytes of all they say, and of who they are, but the invoice id."""

    numbers: npt.NDArray[np.int64]
    wholes: bytearray
    identities: bytearray


def in_several_files(stage: Stage, files: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
    """Yield (row, file number, content) of the new costs of a resource that are in more than one of some files."""
    costs = (
        f"file_number IN ({', '.join(str(int(number)) for number in files)}) "
        "AND resource_id <> '' AND (billed_cost <> 0 OR coalesce(effective_cost, 0) <> 0)"
    )
    new = "AND EXISTS (SELECT 1 FROM stage_keep k WHERE k.row = s.row AND k.replaces_id IS NULL)"
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
    with connection.cursor() as cursor:
        # By the resource first: where a price is flat, many resources cost the same at the same time.
        cursor.execute(
            f"CREATE INDEX IF NOT EXISTS {temp}stage_cost ON stage_row "
            "(lower(rtrim(resource_id, '/')), billed_cost, charge_period_start)"
        )
        if stage.is_postgresql:
            cursor.execute("ANALYZE stage_row")
    new = "AND EXISTS (SELECT 1 FROM stage_keep k WHERE k.row = s.row AND k.replaces_id IS NULL)"
    equal = " AND ".join(f"s.{name} = c.{name}" for name in _COST)
    # In this order: the charges lie together by source and month, and the rows have an index.
    alike = f"""
        FROM billing_charge c CROSS JOIN stage_row s
        WHERE c.source_id IN ({", ".join(str(int(pk)) for pk in sources)})
        AND c.period_id IN ({", ".join(str(int(pk)) for pk in period_ids)})
        AND c.withdrawn_in_id IS NULL AND c.reverses_id IS NULL AND c.resource_id <> '' AND c.billed_cost <> 0
        AND {equal} AND lower(rtrim(s.resource_id, '/')) = lower(rtrim(c.resource_id, '/'))
        AND NOT EXISTS (SELECT 1 FROM billing_charge r WHERE r.reverses_id = c.id AND r.withdrawn_in_id IS NULL)
        AND NOT (c.state = 'rejected' AND EXISTS (
            SELECT 1 FROM billing_flag f WHERE f.charge_id = c.id AND f.code = 'possible_duplicate'))
        {new if stage.is_chosen else ""}
    """
    ids = ("billing_account_id", "sub_account_id", "resource_id")
    rows = ", ".join(f"s.{name}" for name in ("row", "content_hash", *_COST, *ids))
    charges = ", ".join(f"c.{name}" for name in ("id", "content_hash", *_COST, *ids))
    return (
        list(stage.select(f"SELECT DISTINCT {rows} {alike} ORDER BY s.row")),
        list(stage.select(f"SELECT DISTINCT {charges} {alike} ORDER BY c.id")),
    )


def without_invoice(
    stage: Stage, rows: npt.NDArray[np.int64], charge_ids: npt.NDArray[np.int64], periods: Mapping[int, int]
) -> tuple[Keys, Keys] | None:
    """Return keys of rows and charges by which one may be the other with its invoice id filled in, or taken out.

    None where there are none: on one side there has to be an id, and on the other none. `periods` maps
    the months of rows to the ids of their periods.
    """
    stage.list_numbers(charge_ids)
    charges = "FROM billing_charge c JOIN stage_left l ON l.number = c.id"
    ((total, blank),) = stage.select(f"SELECT count(*), count(*) FILTER (WHERE c.invoice_id = '') {charges}")
    filled_in, taken_out = blank and stage.has_invoices, total > blank and stage.lacks_invoices
    if not (filled_in or taken_out):
        return None
    wanted = [sign for sign, is_wanted in (("=", filled_in), ("<>", taken_out)) if is_wanted]
    either = " OR ".join(f"c.invoice_id {sign} ''" for sign in wanted)
    of_charges = _keys_of(
        stage, f"SELECT c.id, c.period_id, c.invoice_id = '', {_listed('c')} {charges} WHERE {either} ORDER BY c.id"
    )
    stage.list_numbers(rows)
    either = " OR ".join(f"s.invoice_id {'<>' if sign == '=' else '='} ''" for sign in wanted)
    of_rows = _keys_of(
        stage,
        f"SELECT s.row, s.month, s.invoice_id <> '', {_listed('s')} "
        f"FROM stage_row s JOIN stage_left l ON l.number = s.row WHERE {either} ORDER BY s.row",
        periods,
    )
    return of_rows, of_charges


def _listed(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in (*_IDENTIFYING, *_SAYING))


def _keys_of(stage: Stage, sql: str, periods: Mapping[int, int] | None = None) -> Keys:
    """Return keys of what a query gives: number, period (or month, by `periods`), which side lacks the id, columns."""
    blake = hashlib.blake2b
    numbers, wholes, identities = array("q"), bytearray(), bytearray()
    resource, first_saying = 3 + _IDENTIFYING.index("resource_id"), 3 + len(_IDENTIFYING)
    columns = (*_IDENTIFYING, *_SAYING)
    spelled = {name: 3 + columns.index(TEXTS[name]) for name in {*IDS, *BESIDE}}
    for delivered in stage.select(sql):
        numbers.append(delivered[0])
        row = list(delivered)
        for name, text in compared({name: row[place] for name, place in spelled.items()}).items():
            row[spelled[name]] = text
        period = periods[row[1]] if periods else row[1]
        start = [period, bool(row[2]), *row[3:resource], row[resource] or row[resource + 1], *row[resource + 2 :]]
        texts = list(map(str, start))
        # One column less: the resource is its id, or else its name.
        identity = DELIMITER.join(texts[: first_saying - 2]).encode()
        identities += blake(identity, digest_size=HASH_BYTES).digest()
        wholes += blake(DELIMITER.join((*texts, str(row[resource + 1]))).encode(), digest_size=HASH_BYTES).digest()
    return Keys(np.frombuffer(numbers, dtype=np.int64), wholes, identities)
