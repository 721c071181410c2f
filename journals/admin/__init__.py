"""The staff's screens of journals, and of the formats they are written in."""

from .journals import JournalAdmin
from .layouts import JournalLayoutAdmin
from .receivables import ReceivablesExportAdmin
from .templates import JournalTemplateAdmin

__all__ = ["JournalAdmin", "JournalLayoutAdmin", "JournalTemplateAdmin", "ReceivablesExportAdmin"]
