"""The staff's screens of journals, and of the formats they are written in."""

from .account_rules import AccountRuleAdmin
from .answers import AnswerMappingAdmin
from .calendar import AccountingPeriodAdmin
from .journals import JournalAdmin
from .layouts import JournalLayoutAdmin
from .lookups import LookupTableAdmin
from .receivables import ReceivablesExportAdmin
from .templates import JournalTemplateAdmin
from .valid_values import ValidValueListAdmin

__all__ = [
    "AccountRuleAdmin",
    "AccountingPeriodAdmin",
    "AnswerMappingAdmin",
    "JournalAdmin",
    "JournalLayoutAdmin",
    "JournalTemplateAdmin",
    "LookupTableAdmin",
    "ReceivablesExportAdmin",
    "ValidValueListAdmin",
]
