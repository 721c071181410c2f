"""What people decide about charges: one by one, by selection, by spreadsheet, by rule, or by the worker."""

from .act import Act
from .decisions import (
    approve,
    are_billed,
    charge_to_center,
    check_reason,
    proposed_pi,
    reattribute,
    reject,
    split,
    successor_of,
    undo,
)
from .locked_charges import ChargesChanged, UnknownCharge
from .outcome import DONE, UNDO, Decided, counted
from .reassignment import BadPI, BadReassignment, Reassignment
from .shares import BadSplit, parse_shares, shares_of, shares_text

__all__ = [
    "Act",
    "BadPI",
    "BadReassignment",
    "BadSplit",
    "ChargesChanged",
    "DONE",
    "Decided",
    "Reassignment",
    "UNDO",
    "UnknownCharge",
    "charge_to_center",
    "approve",
    "are_billed",
    "check_reason",
    "counted",
    "parse_shares",
    "proposed_pi",
    "reattribute",
    "reject",
    "shares_of",
    "shares_text",
    "split",
    "successor_of",
    "undo",
]
