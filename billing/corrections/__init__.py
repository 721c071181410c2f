"""Corrections by staff: transfers, refunds, write-offs and manual charges, entered, approved and reversed."""

from .approving import approve, is_own, reject
from .dates import NoOpenMonth, month_for, service_days
from .entering import add_manual_charge, add_prepaid, add_refund, add_transfer, add_write_off
from .finding import (
    NothingToCorrect,
    Place,
    line_named,
    lines_named,
    lines_of_reference,
    places_of,
    register_line_finder,
    register_place_finder,
)
from .limits import AmountRefused, Correctable, NotCorrectable, correctable, taken_back_too_much
from .payers import FundRefused, JustificationMissing, project_coded, shares_from
from .plan import Entered, SecondPersonNeeded
from .reversing import reverse

__all__ = [
    "AmountRefused",
    "Correctable",
    "Entered",
    "FundRefused",
    "JustificationMissing",
    "NoOpenMonth",
    "NotCorrectable",
    "NothingToCorrect",
    "Place",
    "SecondPersonNeeded",
    "add_manual_charge",
    "add_prepaid",
    "add_refund",
    "add_transfer",
    "add_write_off",
    "approve",
    "correctable",
    "is_own",
    "line_named",
    "lines_named",
    "lines_of_reference",
    "month_for",
    "places_of",
    "project_coded",
    "register_line_finder",
    "register_place_finder",
    "reject",
    "reverse",
    "service_days",
    "shares_from",
    "taken_back_too_much",
]
