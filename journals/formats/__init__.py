"""The formats of a journal's file: pure, from rows to bytes. Institutions add their own as templates."""

from .documents import DRAFT, Beside, Document, Format, Line, TableFormat, Written
from .gl import GL
from .standard import STANDARD
from .summary import SUMMARY
from .templated import TemplateFailed, TemplateFormat

BUILT_IN: dict[str, TableFormat] = {each.name: each for each in (STANDARD, SUMMARY, GL)}

# Names that `-f` takes for itself: `template` means the one template there is.
TEMPLATE = "template"
RESERVED = frozenset({*BUILT_IN, TEMPLATE})

__all__ = [
    "BUILT_IN",
    "DRAFT",
    "Beside",
    "RESERVED",
    "TEMPLATE",
    "Document",
    "Format",
    "Line",
    "TableFormat",
    "TemplateFailed",
    "TemplateFormat",
    "Written",
]
