"""The data of journals and receivables."""

from .calendar import AccountingPeriod
from .journals import (
    Journal,
    JournalFile,
    JournalFileLine,
    JournalLayout,
    JournalLine,
    JournalQuerySet,
    JournalTemplate,
)
from .receivables import (
    CustomerInvoice,
    CustomerInvoiceLine,
    ReceivablesExport,
    ReceivablesExportQuerySet,
)

__all__ = [
    "AccountingPeriod",
    "CustomerInvoice",
    "CustomerInvoiceLine",
    "Journal",
    "JournalFile",
    "JournalFileLine",
    "JournalLayout",
    "JournalLine",
    "JournalQuerySet",
    "JournalTemplate",
    "ReceivablesExport",
    "ReceivablesExportQuerySet",
]
