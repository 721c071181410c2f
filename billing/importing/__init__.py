"""Bringing files in: received, read, compared with what is charged, and applied at once or not at all."""

from .again import NotRepeatable, import_again
from .booking import book
from .expected_periods import expected_months, period_in_name
from .ingestion import apply_deferred, decide_later, ingest
from .late import NotApplicable, NotBookable, NotDeferred, dismiss
from .outcomes import Booked, ImportRefused, IngestResult, OfAnotherSource, SourceUnknown, WouldWithdraw
from .planning import plan
from .rereading import Place, ReadRow, facts_of, reread
from .withdrawing import NotWithdrawable, Withdrawn, withdraw

__all__ = [
    "Booked",
    "ImportRefused",
    "IngestResult",
    "NotApplicable",
    "NotBookable",
    "NotDeferred",
    "NotRepeatable",
    "NotWithdrawable",
    "OfAnotherSource",
    "Place",
    "ReadRow",
    "SourceUnknown",
    "Withdrawn",
    "WouldWithdraw",
    "apply_deferred",
    "book",
    "decide_later",
    "dismiss",
    "expected_months",
    "facts_of",
    "import_again",
    "ingest",
    "period_in_name",
    "plan",
    "reread",
    "withdraw",
]
