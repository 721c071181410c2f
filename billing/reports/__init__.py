"""Reports: what usage was worth, what was given, and what was charged, over months and fiscal years."""

from . import briefing as briefing
from .asking import (
    DATED,
    LABELS,
    MEASURES,
    NARROWING,
    NOT_NARROWED,
    TITLES,
    WAYS,
    WITHIN,
    Asked,
    ReportRefused,
    moved,
    newest_month,
    read,
    years,
)
from .ledger import register_ledger
from .making import make
from .papers import as_pdf, register_drawer
from .tables import Column, Report, Row, percent_text, summed
from .writing import as_csv, as_xlsx, file_name, is_large, write_xlsx

__all__ = [
    "DATED",
    "LABELS",
    "MEASURES",
    "NARROWING",
    "NOT_NARROWED",
    "TITLES",
    "WAYS",
    "WITHIN",
    "Asked",
    "Column",
    "Report",
    "ReportRefused",
    "Row",
    "as_csv",
    "as_pdf",
    "as_xlsx",
    "file_name",
    "is_large",
    "make",
    "moved",
    "newest_month",
    "percent_text",
    "read",
    "register_drawer",
    "register_ledger",
    "summed",
    "write_xlsx",
    "years",
]
