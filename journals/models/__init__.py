"""The data of journals and receivables."""

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
