"""What a source's charges say by now: what an import is matched with, past the ORM's conversions."""

import datetime
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.models import Count, Max, Q

from ..models import Charge, Import, Source
from .partitions import HASHED, Partitions, Records, by_content, hashed

# Rows taken from a cursor at once. Of many more Python's collector makes a second round, and each takes as long as all
# that is loaded is large: 2.3 s a million rows by 20,000, 0.8 s by 500.
FETCHED = 500
# Ids that PostgreSQL puts together in one row.
TOGETHER = 20_000

# When the first of several charge periods begins, and the last.
Span = tuple[datetime.datetime, datetime.datetime]

# Ids of charges in order, with their content hashes and identity hashes, one after the other.
LiveHashes = tuple["array[int]", bytes, bytes]


def imports_so_far(source: Source) -> dict[str, Any]:
    """Return what matching is done against: how many imports of the source were applied and withdrawn."""
    return Import.objects.filter(source=source, applied_at__isnull=False).aggregate(
        applied=Count("id"), latest=Max("id"), withdrawn=Count("id", filter=Q(state=Import.State.WITHDRAWN))
    )


def live_hashes(source_id: int, period_ids: Sequence[int], span: Span | None = None) -> LiveHashes:
    """Return ids, content hashes and identity hashes of what a source's imports for periods say by now.

    That is its live charges, less those that late changes reversed; of a span, if one is given, those whose charge
    periods begin in it.
    """
    found = [np.empty(0, dtype=HASHED), *_live(source_id, period_ids, span)]
    charges = np.concatenate(found)
    charges = charges[np.argsort(charges["number"], kind="stable")]
    return array("q", charges["number"].tobytes()), charges["content"].tobytes(), charges["identity"].tobytes()


def live_partitions(source_id: int, period_ids: Sequence[int]) -> Partitions:
    """Return the same by content, however many there are."""
    partitions = Partitions(HASHED, by_content)
    for charges in _live(source_id, period_ids):
        partitions.add(charges)
    return partitions


def _live(source_id: int, period_ids: Sequence[int], span: Span | None = None) -> Iterator[Records]:
    """Yield what `live_hashes` tells of, many at once, in no order."""
    begins = {"charge_period_start__gte": span[0], "charge_period_start__lte": span[1]} if span else {}
    own = Charge.objects.live().filter(source_id=source_id, period_id__in=period_ids)
    taken_back = np.array(
        own.filter(reverses__isnull=False).order_by("reverses_id").values_list("reverses_id", flat=True), dtype=np.int64
    )
    wanted = own.filter(reverses__isnull=True, **begins).order_by().values_list("id", "content_hash", "identity_hash")
    for ids, contents, identities in _together(*wanted.query.sql_with_params()):
        charges = hashed(ids, contents, identities)
        yield charges[~np.isin(charges["number"], taken_back)] if len(taken_back) else charges


def span_of(starts: Iterable[datetime.datetime], known: Span | None = None) -> Span:
    """Return when the first and the last of some charge periods begin, and of those known already."""
    all_starts = [*starts, *(known or ())]
    return min(all_starts), max(all_starts)


def _together(sql: str, parameters: Sequence[Any]) -> Iterator[tuple[npt.ArrayLike, bytes, bytes]]:
    """Yield many ids, content hashes and identity hashes at once of a query of these, past the ORM's conversions."""
    if connection.vendor == "postgresql":
        # Not even a tuple for each: the server puts them together, in no order.
        sql = (
            "SELECT string_agg(int8send(id), ''), string_agg(content_hash, ''), string_agg(identity_hash, '') "
            f"FROM ({sql}) live GROUP BY id / {TOGETHER}"
        )
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql, parameters)
        if connection.vendor == "postgresql":
            while row := cursor.fetchone():
                yield np.frombuffer(row[0], dtype=">i8"), row[1], row[2]
            return
        while rows := cursor.fetchmany(FETCHED):
            some, content, identity = zip(*rows, strict=True)
            yield some, b"".join(content), b"".join(identity)
