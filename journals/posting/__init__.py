"""Journals from draft to the ledger's answer: drafted, written, submitted, posted, rejected, reversed."""

from ..drafting import AccountingMissing, FundOrgNotParsed, PostingDateRefused
from ..filing import OutputRefused
from ..writing import UnknownFormat
from .answers import Reversed, post, reject, reverse
from .downloads import Download, FileMissing, content_of, download
from .drafts import Drafted, Preview, draft, is_outdated, preview
from .exporting import Exported, export
from .lookup import UnknownJournal, journal_named, places_of
from .submitting import DraftOutdated, NothingToSubmit, submit

__all__ = [
    "AccountingMissing",
    "Download",
    "DraftOutdated",
    "Drafted",
    "Exported",
    "FileMissing",
    "FundOrgNotParsed",
    "NothingToSubmit",
    "OutputRefused",
    "PostingDateRefused",
    "Preview",
    "Reversed",
    "UnknownFormat",
    "UnknownJournal",
    "content_of",
    "download",
    "draft",
    "export",
    "is_outdated",
    "journal_named",
    "places_of",
    "post",
    "preview",
    "reject",
    "reverse",
    "submit",
]
