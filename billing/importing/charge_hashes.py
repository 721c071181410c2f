"""The hashes of a charge as its columns stand: those of its row, by which files are compared with charges."""

from collections.abc import Mapping

from ..fields import seconds_of, to_units
from ..models import Charge
from ..readers.columns import AMOUNTS, QUANTITIES
from ..readers.dimensions import FIELDS, content_hash, identity_hash, row_identity, said_hash
from ..readers.facts import month_number


def content_hash_of(charge: Charge, said: Mapping[str, bytes] | None = None) -> bytes:
    """Return the hash of a charge's content, from its columns as they stand.

    It is that of its row, unless the file had amounts of more than 8 decimals. `said` are the hashes of its texts by
    dimension (see `said_hash`), where they are known already.
    """
    said = said or {name: said_hash(name, _texts_of(charge, name)) for name in FIELDS}
    amounts = [getattr(charge, field) for field in AMOUNTS.values()]
    return content_hash(
        month=month_number(charge.period.month),
        start=seconds_of(charge.charge_period_start),
        end=seconds_of(charge.charge_period_end),
        currency=charge.currency,
        amounts=[None if amount is None else to_units(amount) for amount in amounts],
        said=said,
        quantities=[getattr(charge, field) for field in QUANTITIES.values()],
        beyond=[""] * len(amounts),
    )


def identity_hash_of(charge: Charge) -> bytes:
    """Return the hash of what a charge speaks of, from its columns as they stand: that of its row."""
    known = {name: identity_hash(name, _texts_of(charge, name)) for name in ("product", "account", "resource")}
    return row_identity(**known, start=seconds_of(charge.charge_period_start), end=seconds_of(charge.charge_period_end))


def _texts_of(charge: Charge, dimension: str) -> tuple[str, ...]:
    return tuple(getattr(charge, field) for field in FIELDS[dimension])
