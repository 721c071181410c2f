"""Trying rates and subsidies on months that were charged: what they would charge whom, and nothing is stored."""

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
from .rules import months_of_rule, try_rule
from .sheets import FORMATS, write
from .splits import NotSplit, month_named, months_of_project, try_split
from .subjects import NothingToTry, Subject, of_schedule, of_subsidy, recalled, register, remember, subject_in

__all__ = [
    "FORMATS",
    "Asked",
    "Journaled",
    "Line",
    "MonthTried",
    "NoMonths",
    "NotTried",
    "NotSplit",
    "NothingToTry",
    "Owed",
    "Subject",
    "Totals",
    "Triable",
    "Tried",
    "is_large",
    "job_of",
    "kept",
    "month_named",
    "months_of_project",
    "months_of_rule",
    "named_months",
    "of_schedule",
    "of_subsidy",
    "offered",
    "recalled",
    "register",
    "remember",
    "run_job",
    "subject_in",
    "triable",
    "try_later",
    "try_now",
    "try_rule",
    "try_split",
    "words",
    "write",
]
