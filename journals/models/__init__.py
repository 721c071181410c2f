"""The data of journals and receivables."""

from .accounts import AccountRule
from .answers import AnswerMapping
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
from .lookups import JournalLookup, LookupRow, LookupTable
from .preflight import WarningAcknowledgement
from .receivables import (
    CustomerInvoice,
    CustomerInvoiceLine,
    ReceivablesExport,
    ReceivablesExportQuerySet,
)
from .valid_values import ValidValue, ValidValueList

__all__ = [
    "AccountRule",
    "AccountingPeriod",
    "AnswerMapping",
    "CustomerInvoice",
    "CustomerInvoiceLine",
    "Journal",
    "JournalFile",
    "JournalFileLine",
    "JournalLayout",
    "JournalLine",
    "JournalLookup",
    "JournalQuerySet",
    "JournalTemplate",
    "LookupRow",
    "LookupTable",
    "ReceivablesExport",
    "ReceivablesExportQuerySet",
    "ValidValue",
    "ValidValueList",
    "WarningAcknowledgement",
]
