"""Why this number: from a line of a document to the row of a file it comes from, and back. Reads, never writes."""

from .charges import TracedCharge, charges_with_past
from .documents import BATCH, Document, DocumentLine, Provider, holding, register_documents
from .lines import TracedLine, line_of
from .notations import NOTATIONS, NothingFound, Traced, trace
from .usage import TracedUsage, usage_of_charges

__all__ = [
    "BATCH",
    "Document",
    "DocumentLine",
    "NOTATIONS",
    "NothingFound",
    "Provider",
    "Traced",
    "TracedCharge",
    "TracedLine",
    "TracedUsage",
    "charges_with_past",
    "holding",
    "line_of",
    "register_documents",
    "trace",
    "usage_of_charges",
]
