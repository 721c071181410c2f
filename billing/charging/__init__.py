"""From charges and corrections to payer lines: splits, shared costs, exchange rates, and the only rounding."""

from .breakdown import Original, ResourceShare, originals_of, resources_of
from .fingerprints import Fingerprint, fingerprint_of
from .foreseen import Part, lines_foreseen, parts_standing, paying_split_in
from .itemizing import ChargePart, Whole, itemized
from .keys import (
    KEY_LENGTH,
    SEPARATOR,
    escaped,
    is_of_customer,
    key_as_charged,
    key_of_correction,
    key_of_late_change,
    payer_key,
)
from .lines import compute
from .makings import Making, corrections_of, keys_of, makings_of
from .missing import (
    BrokenSplit,
    MissingEffectiveCost,
    MissingFundOrg,
    MissingPI,
    MissingRate,
    NothingToShareOver,
    SplitOfCustomer,
)
from .run import changed_keys, make_payer_lines, numbered
from .splits import stamp_project_splits
from .storage import in_storage_order

__all__ = [
    "BrokenSplit",
    "ChargePart",
    "Fingerprint",
    "KEY_LENGTH",
    "Making",
    "MissingEffectiveCost",
    "MissingFundOrg",
    "MissingPI",
    "MissingRate",
    "NothingToShareOver",
    "Original",
    "Part",
    "ResourceShare",
    "SEPARATOR",
    "SplitOfCustomer",
    "Whole",
    "changed_keys",
    "compute",
    "corrections_of",
    "escaped",
    "fingerprint_of",
    "in_storage_order",
    "itemized",
    "is_of_customer",
    "key_as_charged",
    "key_of_correction",
    "key_of_late_change",
    "keys_of",
    "lines_foreseen",
    "make_payer_lines",
    "makings_of",
    "numbered",
    "originals_of",
    "parts_standing",
    "paying_split_in",
    "payer_key",
    "resources_of",
    "stamp_project_splits",
]
