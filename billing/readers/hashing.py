"""The hashes of a piece's rows: each row's bytes are laid out for all rows at once, and hashed row by row.

They are those of `dimensions.content_hash` and `dimensions.row_identity`, to the bit.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..copy_text import DELIMITER
from .amount_columns import AmountColumn
from .coded import Numbers
from .columns import AMOUNTS
from .dimensions import DIMENSIONS, HASH_BYTES

_HASH = f"V{HASH_BYTES}"
# The fixed part of what content_hash hashes.
_CONTENT = np.dtype(
    [
        ("month", "<i4"),
        ("start", "<i8"),
        ("end", "<i8"),
        ("currency", "S3"),
        *(field for name in AMOUNTS for field in ((f"has {name}", "?"), (name, "<i8"))),
        *((name, _HASH) for name in DIMENSIONS),
    ]
)
_IDENTITY = np.dtype([("product", _HASH), ("account", _HASH), ("resource", _HASH), ("start", "<i8"), ("end", "<i8")])


def content_hashes(
    *,
    months: Numbers,
    starts: Numbers,
    ends: Numbers,
    currencies: Numbers,
    amounts: Mapping[str, AmountColumn],
    said: Mapping[str, Numbers],
    quantities: Sequence[Any],
) -> list[bytes]:
    """Return the hash of all that each row says.

    `currencies` are bytes, `said` has the hash of each row's texts for each dimension, `quantities` are Arrow arrays.
    """
    rows = np.zeros(len(months), dtype=_CONTENT)
    rows["month"], rows["start"], rows["end"], rows["currency"] = months, starts, ends, currencies
    beyond: list[Any] = []
    for name in AMOUNTS:
        amount = amounts.get(name)
        beyond.append("" if amount is None or amount.beyond is None else amount.beyond)
        if amount is not None:
            rows[f"has {name}"] = True if amount.missing is None else ~amount.missing
            rows[name] = amount.units
    for name, hashes in said.items():
        rows[name] = hashes
    tails = pc.binary_join_element_wise(*quantities, *beyond, DELIMITER)
    return _hashed(pc.binary_join_element_wise(_bytes_of(rows), tails.cast(pa.binary()), b"").to_pylist())


def identity_hashes(*, starts: Numbers, ends: Numbers, identities: Mapping[str, Numbers]) -> list[bytes]:
    """Return the hash of what each row speaks of; `identities` has the hashes for product, account and resource."""
    rows = np.zeros(len(starts), dtype=_IDENTITY)
    rows["start"], rows["end"] = starts, ends
    for name, hashes in identities.items():
        rows[name] = hashes
    return _hashed(_bytes_of(rows).to_pylist())


def _bytes_of(rows: Numbers) -> Any:
    """Return the bytes of each row as an Arrow array."""
    buffers = [None, pa.py_buffer(rows)]
    return pa.Array.from_buffers(pa.binary(rows.itemsize), len(rows), buffers).cast(pa.binary())


def _hashed(rows: Iterable[bytes]) -> list[bytes]:
    return [blake2b(row, digest_size=HASH_BYTES).digest() for row in rows]
