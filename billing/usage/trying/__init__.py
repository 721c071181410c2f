"""Trying rates on months that were charged: what a draft or a subsidy would charge whom, and nothing is stored."""

from . import words
from .asking import (
    Asked,
    NoMonths,
    NotTried,
    Triable,
    is_large,
    job_of,
    kept,
    named_months,
    offered,
    run_job,
    triable,
    try_later,
    try_now,
)
from .results import Journaled, Line, MonthTried, Owed, Totals, Tried
from .sheets import FORMATS, write

__all__ = [
    "FORMATS",
    "Asked",
    "Journaled",
    "Line",
    "MonthTried",
    "NoMonths",
    "NotTried",
    "Owed",
    "Totals",
    "Triable",
    "Tried",
    "is_large",
    "job_of",
    "kept",
    "named_months",
    "offered",
    "run_job",
    "triable",
    "try_later",
    "try_now",
    "words",
    "write",
]
