"""A journal's file: the draft's, or that of what is submitted with it."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from billing import audit, charging
from billing.audit import Actor, Gesture
from billing.background import jobs
from billing.errors import NextStep
from billing.files import documents, is_in_place
from billing.files.places import Place
from billing.models import BillingPeriod, Job, Policy
from billing.money import ZERO
from billing.months import closing
from billing.progress import Progress, unwatched
from billing.texts import month_name

from ..drafting import (
    default_posting_date,
    nothing_to_journal,
    require_accounting,
    require_posting_date,
    require_segments,
)
from ..filing import OutputRefused, Staged, beside, path_of, whole_files
from ..formats import DRAFT, Document, Format, TableFormat, Written
from ..formats.layouts import LayoutFormat
from ..models import Journal, JournalLine
from ..writing import document_of, format_named, lines_as_read, segment_names
from .drafts import redraft
from .freezing import NothingToSubmit, freeze, nothing_to_submit
from .records import facts

SPREADSHEET = ".xlsx"
# What is done, in this order, as a job tells it.
STEPS = ("Making payer lines", "Drafting the journal", "Writing its file")


@dataclass(frozen=True)
class Exported:
    """A journal's file, and what is in it; without a number where there was nothing to journal."""

    period: str
    format: str
    number: str
    state: str
    lines: int
    currency: str
    debits: Decimal
    credits: Decimal
    file: Path | Place
    journal: Journal | None
    # Why there was nothing to journal.
    nothing: str = ""

    @property
    def told(self) -> str:
        """What came of drafting, in words."""
        if self.journal is None:
            return f"Nothing to journal for {month_name(self.period)}: {self.nothing}."
        return f"Draft of journal {self.number} is written as {self.format}. Check it, then submit it."


def export(
    *,
    period: BillingPeriod,
    format: str,
    posting_date: datetime.date | None = None,
    date_reason: str = "",
    output: Path | None = None,
    submit: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Exported:
    """Draft the period's journal from today's charges and write its file; with `submit`, freeze it.

    Payer lines are brought up to date first, except in a finalized period, where they are locked. The
    file goes to `output`, or below VAR_DIR/journals; a submitted journal's is kept there always.
    An `output` that ends in .xlsx is a spreadsheet. A draft's file has DRAFT in its name, whatever it was called.

    Raises UnknownFormat, OutputRefused, PostingDateRefused, ReasonMissing, NothingToSubmit, and for a ledger's
    format AccountingMissing or FundOrgNotParsed; then nothing is changed or written.

    1. The month is locked, so that its charges and its draft change under nobody else.
    2. Payer lines are made, the draft is made from them, and its file is written under a passing name.
    3. All of this is committed, or nothing. Then the file gets its name.
    """
    chosen = format_named(format)
    output = _output_named(chosen, output, submit=submit)
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        progress(0, len(STEPS), STEPS[0])
        if period.status != BillingPeriod.Status.FINALIZED:
            charging.make_payer_lines(period=period, actor=actor, now=now)
        progress(1, len(STEPS), STEPS[1])
        journal, lines = redraft(period, posting_date, gesture, date_reason=date_reason)
        progress(2, len(STEPS), STEPS[2])
        if journal is None and submit:
            raise NothingToSubmit(nothing_to_submit(period))
        if journal is None:
            date = posting_date or default_posting_date(period, now)
            return _written_empty(period, lines, chosen, output, date, staged)
        if submit:
            target, written = _written_submitted(journal, lines, chosen, output, staged, gesture)
        else:
            target, written = write_draft(journal, lines, chosen, output, staged, gesture)
        return Exported(
            period=period.iso_month,
            format=chosen.name,
            number=journal.number,
            state=journal.state,
            lines=written.rows,
            currency=journal.currency,
            debits=journal.debits,
            credits=journal.credits,
            file=target,
            journal=journal,
        )


def export_later(
    *,
    period: BillingPeriod,
    format: str,
    posting_date: datetime.date | None,
    date_reason: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Job:
    """Have the worker draft the period's journal; who asks while it does gets the same job, and one draft is made.

    Raises UnknownFormat, and PostingDateRefused for a date that no journal of the month can have.
    """
    format_named(format)
    if posting_date:
        require_posting_date(period, posting_date, now)
    return jobs.enqueue(
        kind=Job.Kind.DRAFT,
        subject=period.iso_month,
        arguments={
            "period": period.iso_month,
            "format": format,
            "posting_date": str(posting_date or ""),
            "date_reason": date_reason,
        },
        actor=actor,
        now=now,
    )


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Draft a journal as a background job. `arguments`: period, format, posting_date ("": as usual), date_reason."""
    date = arguments["posting_date"]
    exported = export(
        period=BillingPeriod.objects.named(arguments["period"]),
        format=arguments["format"],
        posting_date=datetime.date.fromisoformat(date) if date else None,
        date_reason=arguments.get("date_reason", ""),
        actor=actor,
        now=now,
        progress=progress,
    )
    return {
        "message": exported.told,
        "journal": exported.number,
        "lines": exported.lines,
        "then": NextStep("show_journals", {"period": exported.period}).as_data(),
    }


def _written_empty(
    period: BillingPeriod,
    lines: Sequence[JournalLine],
    chosen: Format,
    output: Path | None,
    posting_date: datetime.date,
    staged: Staged,
) -> Exported:
    """Write the file of a month with nothing to journal: it holds the lines of 0.00, if any."""
    currency = Policy.objects.current().currency
    document = Document(
        number="",
        period=period.iso_month,
        state=DRAFT,
        posting_date=posting_date,
        currency=currency,
        lines=lines_as_read(lines, currency),
        segments=segment_names(),
    )
    own = f"{path_of(period.iso_month)}/{period.iso_month}-{chosen.name}-{DRAFT}.{chosen.extension}"
    written = _staged(chosen, document, output or own, staged)
    file = output or documents.where(own)
    nothing = nothing_to_journal(period)
    return Exported(period.iso_month, chosen.name, "", "", written.rows, currency, ZERO, ZERO, file, None, nothing)


def _written_submitted(
    journal: Journal,
    lines: Sequence[JournalLine],
    chosen: Format,
    output: Path | None,
    staged: Staged,
    gesture: Gesture,
) -> tuple[Path | Place, Written]:
    """Submit a draft and write its file, also where it was asked for; return where that is, and what it holds."""
    written = freeze(journal, lines, chosen, staged, actor=gesture.actor, now=gesture.now)
    gesture.record("journal.submitted", journal, before={"state": "draft"}, after=facts(journal))
    if output is None:
        return documents.where(journal.file_path), written
    return output, _staged(chosen, document_of(journal, lines), output, staged)


def write_draft(
    journal: Journal,
    lines: Sequence[JournalLine],
    chosen: Format,
    output: Path | None,
    staged: Staged,
    gesture: Gesture,
) -> tuple[Path | Place, Written]:
    """Write a draft's file; return where it is, and what it holds."""
    if chosen.is_ledger:
        require_accounting(lines)
        require_segments(lines)
    own = f"{path_of(journal.period.iso_month)}/{journal.number}-{chosen.name}-{DRAFT}.{chosen.extension}"
    written = _staged(chosen, document_of(journal, lines), output or own, staged)
    if output is None:
        journal.format = chosen.name
        journal.file_path = own
        journal.save(update_fields=["format", "file_path"])
    gesture.record("journal.exported", journal, after={"format": chosen.name, "file": Path(output or own).name})
    return output or documents.where(own), written


def _output_named(chosen: Format, output: Path | None, *, submit: bool) -> Path | None:
    """Return the file to write: a draft's name says DRAFT, a submitted journal's does not. Raises OutputRefused."""
    if output is None:
        return None
    if output.is_dir():
        # The same refusal as when it is written, before any work is done.
        Staged().add(output, b"")
    if DRAFT in output.stem.upper():
        if submit:
            raise OutputRefused(
                f"{output.name} is named for a draft, and a submitted journal is none: name it otherwise."
            )
    elif not submit:
        output = output.with_name(f"{output.stem}-{DRAFT}{output.suffix}")
    is_layout = isinstance(chosen, LayoutFormat)
    makes_one = chosen.is_spreadsheet if isinstance(chosen, LayoutFormat) else isinstance(chosen, TableFormat)
    if output.suffix.lower() == SPREADSHEET and not makes_one:
        raise OutputRefused(
            f"The {'layout' if is_layout else 'template'} “{chosen.name}” makes text, not a spreadsheet: "
            "name a file that ends otherwise."
        )
    if output.is_dir() or not output.parent.is_dir():
        # The same refusal as when it is written, before any work is done.
        Staged().add(output, b"")
    return output


def _staged(chosen: Format, document: Document, target: Path | str, staged: Staged) -> Written:
    """Stage a journal's file and those that lie beside it, all under the name asked for; return what it holds.

    A path is where somebody asked for it, and a text the name of a document.
    """
    named = Path(target)
    if named.suffix.lower() == SPREADSHEET and isinstance(chosen, TableFormat):
        written = chosen.write_spreadsheet(document)
    else:
        written = chosen.write(replace(document, file_stem=named.stem))
    if isinstance(target, str):
        staged.keep(target, written.content)
        for each in written.beside:
            staged.keep(beside(target, each.name), each.content)
        return written
    staged.add(target, written.content)
    if not is_in_place(target):
        for each in written.beside:
            staged.add(target.with_name(each.name), each.content)
    return written
