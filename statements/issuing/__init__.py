"""Issuing: payer lines become statements, snapshots that only a new revision can replace."""

from .changing import changes_since
from .charge_files import NAME as CHARGES
from .charge_files import ChargesLost, charges_csv_of, charges_of_line, kept_charge_files
from .charge_files import name_of as charges_name_of
from .comparing import Outdated, Pending, changes_of, keep_outdated, outdated, outdated_kept, pending
from .documents import document_of, for_what, used_on
from .generating import Generated, Held, Issued, generate, kept_preview
from .lines import UnknownLine, line_named, places_of
from .pdfs import kept_files, pdf_of, record_download, render_missing
from .revisions import NotLive, StatementsFrozen, void
from .snapshots import usage_of

__all__ = [
    "CHARGES",
    "ChargesLost",
    "Generated",
    "Held",
    "Issued",
    "NotLive",
    "Outdated",
    "Pending",
    "StatementsFrozen",
    "UnknownLine",
    "changes_of",
    "changes_since",
    "charges_csv_of",
    "charges_name_of",
    "charges_of_line",
    "document_of",
    "for_what",
    "generate",
    "keep_outdated",
    "kept_charge_files",
    "kept_files",
    "kept_preview",
    "line_named",
    "outdated",
    "outdated_kept",
    "pdf_of",
    "pending",
    "places_of",
    "record_download",
    "render_missing",
    "usage_of",
    "used_on",
    "void",
]
