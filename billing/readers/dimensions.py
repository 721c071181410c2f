"""Dimensions: the texts of a row that repeat from row to row, each combination by one number and one hash."""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..copy_text import DELIMITER
from .columns import DECIMALS, TEXTS
from .spelling import compared, same_tags
from .subsidies import SUBSIDY_FUND_ORG
from .tags import tags_of

HASH_BYTES = 16

# Dimension -> the FOCUS columns it holds, in the order they are hashed in.
DIMENSIONS: dict[str, tuple[str, ...]] = {
    "product": (
        *("ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
        *("ChargeCategory", "ChargeClass", "ChargeFrequency", "SkuId", "SkuPriceId"),
        *("PricingCategory", "PricingCurrency", "PricingUnit", "ConsumedUnit"),
        *("CommitmentDiscountId", "CommitmentDiscountStatus", SUBSIDY_FUND_ORG),
    ),
    "price": ("ListUnitPrice", "ContractedUnitPrice"),
    "description": ("ChargeDescription",),
    "resource": ("ResourceId", "ResourceName", "ResourceType", "RegionId"),
    "account": ("BillingAccountId", "BillingAccountName", "SubAccountId", "SubAccountName", "InvoiceId"),
    "tag_set": ("Tags",),
}

# The fields of these, as models and temporary tables name them.
FIELDS: dict[str, tuple[str, ...]] = {
    name: tuple({**TEXTS, **DECIMALS, "Tags": "tags"}[column] for column in columns)
    for name, columns in DIMENSIONS.items()
}

# What says that a row speaks of the same thing as one before it: no amounts, no tags. Of a resource it is the id, or
# else the name.
IDENTITY: dict[str, tuple[str, ...]] = {
    "product": ("ServiceName", "SkuId", "SkuPriceId", "ChargeCategory", "ChargeClass"),
    "account": ("BillingAccountId", "SubAccountId", "InvoiceId"),
}

_WHEN = struct.Struct("<iqq3s")
_AMOUNT = struct.Struct("<?q")
_SERVICE = struct.Struct("<qq")


def hash_of(texts: Iterable[str]) -> bytes:
    """Return the hash of 16 bytes of some texts."""
    return hashlib.blake2b(DELIMITER.join(texts).encode(), digest_size=HASH_BYTES).digest()


def said_hash(name: str, texts: Sequence[str]) -> bytes:
    """Return what a row's content hash holds of a dimension: its texts in the form that all their spellings share."""
    return hash_of(_same(name, texts).values())


def hash_of_tags(canonical: str) -> bytes:
    """Return the said_hash of tags, given in their canonical form."""
    return hash_of((same_tags(canonical),))


def identity_hash(name: str, texts: Sequence[str], *, without: str = "") -> bytes:
    """Return what a row's identity hash holds of a product, account or resource, but for the column `without`."""
    same = _same(name, texts)
    if name == "resource":
        return hash_of((same["ResourceId"] or same["ResourceName"],))
    return hash_of(same[column] for column in IDENTITY[name] if column != without)


def content_hash(
    *,
    month: int,
    start: int,
    end: int,
    currency: str,
    amounts: Sequence[int | None],
    said: Mapping[str, bytes],
    quantities: Sequence[str],
    beyond: Sequence[str] = (),
) -> bytes:
    """Return the hash of 16 bytes of all that a row says.

    `month` is a number (202501), `start` and `end` are seconds since 1970, `amounts` are in units of 10⁻⁸ in the order
    of AMOUNTS, `said` has a said_hash for each dimension. `beyond` has, for each amount, every digit where it has more
    than 8 decimals, else "".
    """
    fixed = _WHEN.pack(month, start, end, currency.encode()) + b"".join(
        _AMOUNT.pack(amount is not None, amount or 0) for amount in amounts
    )
    tail = DELIMITER.join((*quantities, *beyond)).encode()
    whole = fixed + b"".join(said[name] for name in DIMENSIONS) + tail
    return hashlib.blake2b(whole, digest_size=HASH_BYTES).digest()


def row_identity(*, product: bytes, account: bytes, resource: bytes, start: int, end: int) -> bytes:
    """Return the hash of 16 bytes of what a row speaks of, from the identity_hash of its dimensions."""
    whole = product + account + resource + _SERVICE.pack(start, end)
    return hashlib.blake2b(whole, digest_size=HASH_BYTES).digest()


def _same(name: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the texts of a dimension by column, as they are compared."""
    if name == "tag_set":
        return {"Tags": same_tags(tags_of(texts[0]).canonical)}
    said: dict[str, Any] = dict(zip(DIMENSIONS[name], texts, strict=True))
    return said | compared(said)
