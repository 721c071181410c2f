"""The preflight run: on a draft for somebody to read, and before a journal is submitted."""

import datetime
from collections.abc import Iterator, Sequence

from billing.errors import BillingError, NextStep

from ..formats import Document, Format
from ..formats.layouts import LayoutFormat
from ..models import Journal, JournalLine, WarningAcknowledgement
from ..writing import document_of, format_named
from . import validators
from .checks import CHECKS, Facts
from .findings import Finding, Report, failure


def check(*, journal: Journal, format: str, now: datetime.datetime) -> Report:
    """Return what keeps a journal from the ledger in a format, and what somebody has to look at first.

    Raises UnknownFormat.
    """
    chosen = format_named(format)
    lines = list(journal.lines.order_by("number"))
    document = document_of(journal, lines)
    return _report(journal, lines, chosen, document, now, [*_of_format(chosen, document)])


def require_passed(
    *, journal: Journal, lines: Sequence[JournalLine], chosen: Format, document: Document, now: datetime.datetime
) -> None:
    """Raise PreflightFailed for a journal with errors, or with warnings that nobody acknowledged.

    Its file is written already, so that its fields are right.
    """
    report = _report(journal, lines, chosen, document, now, [])
    if not report.has_passed:
        about = {"number": journal.number, "format": chosen.name, "journal": str(journal.pk)}
        raise failure(report, str(journal), NextStep("preflight", about))


def _report(
    journal: Journal,
    lines: Sequence[JournalLine],
    chosen: Format,
    document: Document,
    now: datetime.datetime,
    of_format: list[Finding],
) -> Report:
    facts = Facts(journal, lines, chosen, now)
    found = [each for of_check in CHECKS for each in of_check(facts)]
    found += [*of_format, *validators.findings(document)]
    found.sort(key=lambda each: (each.is_warning, each.line or each.file_line))
    acknowledged = {each.key: each for each in WarningAcknowledgement.objects.filter(journal=journal)}
    return Report(chosen.name, tuple(found), acknowledged)


def _of_format(chosen: Format, document: Document) -> Iterator[Finding]:
    """Yield what a format cannot write: of a layout each field, by line; of any other that it fails, and why."""
    try:
        if not isinstance(chosen, LayoutFormat):
            chosen.write(document)
            return
        problems = chosen.problems(document)
    except BillingError as error:
        yield Finding("format", str(error), then=error.then or NextStep("journal_layouts"))
        return
    for each in problems:
        yield Finding(
            "lookups" if each.table else "format",
            each.message,
            line=each.journal_lines[0] if each.journal_lines else 0,
            file_line=each.line,
            field=each.field,
            about=each.record,
            then=NextStep("lookups", {"table": each.table}) if each.table else NextStep("journal_layouts"),
        )
