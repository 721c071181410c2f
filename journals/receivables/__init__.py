"""What customers pay: invoices of a month, drafted, written for accounts receivable, and submitted."""

from .documents import FORMATS, invoices_of
from .drafting import Drafted, draft, is_outdated, outstanding
from .exporting import Exported, content_of, download, export, export_later, run_job, submit
from .lookup import document_of, export_named, holding, places_of
from .proving import invoiced

__all__ = [
    "FORMATS",
    "Drafted",
    "Exported",
    "content_of",
    "document_of",
    "download",
    "draft",
    "export",
    "export_later",
    "export_named",
    "holding",
    "invoiced",
    "invoices_of",
    "is_outdated",
    "outstanding",
    "places_of",
    "run_job",
    "submit",
]
