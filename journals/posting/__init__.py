"""Journals from draft to the ledger's answer: drafted, written, submitted, posted, rejected, reversed."""

from ..drafting import AccountingMissing, FundOrgNotParsed, PostingDateRefused
from ..filing import OutputRefused
from ..preflight import PreflightFailed
from ..writing import UnknownFormat
from .accruing import AccrualRefused, Accruing, accrue, estimates_of, preview_accrual
from .adopting import adopt
from .answer_files import Answered, AnswersRefused, UnknownMapping, load_answers, mapping_named, save_mapping
from .answers import Reversed, post, reject, reversal_date, reverse
from .downloads import Download, FileMissing, content_of, download, first_lines
from .drafts import Drafted, draft, is_outdated
from .duties import SamePerson, others, refusal
from .exporting import Exported, export, export_later, run_job
from .freezing import NothingToSubmit
from .lookup import UnknownJournal, journal_named, places_of
from .prospects import Preview, Prospect, kept_prospect, preview, preview_of, prospect
from .submitting import DraftOutdated, submit

__all__ = [
    "AccountingMissing",
    "AccrualRefused",
    "Accruing",
    "Answered",
    "AnswersRefused",
    "Download",
    "DraftOutdated",
    "Drafted",
    "Exported",
    "FileMissing",
    "FundOrgNotParsed",
    "NothingToSubmit",
    "OutputRefused",
    "PostingDateRefused",
    "PreflightFailed",
    "Preview",
    "Prospect",
    "Reversed",
    "SamePerson",
    "UnknownFormat",
    "UnknownJournal",
    "UnknownMapping",
    "accrue",
    "adopt",
    "content_of",
    "download",
    "draft",
    "estimates_of",
    "export",
    "export_later",
    "first_lines",
    "is_outdated",
    "journal_named",
    "kept_prospect",
    "load_answers",
    "mapping_named",
    "others",
    "places_of",
    "post",
    "preview",
    "preview_accrual",
    "preview_of",
    "prospect",
    "refusal",
    "reject",
    "reversal_date",
    "reverse",
    "run_job",
    "save_mapping",
    "submit",
]
