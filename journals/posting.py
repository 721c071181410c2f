"""Journals from draft to the ledger's answer: drafted, written, submitted, posted, rejected, reversed."""

import datetime
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.urls import reverse as address_of
from django.utils import timezone

from billing import audit, charging, corrections
from billing.audit import Actor, Gesture
from billing.errors import BillingError, NextStep, ReasonMissing, WrongState
from billing.models import BillingPeriod, Policy
from billing.models.periods import MONTH
from billing.money import ZERO, plain
from billing.months import closing

from .deltas import Pair
from .drafting import (
    BATCH,
    PostingDateRefused,
    default_posting_date,
    fiscal_year,
    fresh_deltas,
    lines_of,
    require_accounting,
    require_posting_date,
    require_segments,
)
from .filing import OutputRefused, Staged, folder_of, kept_path, whole_files
from .formats import BUILT_IN, DRAFT, Document, Format, TableFormat, Written
from .models import Journal, JournalLine, JournalQuerySet
from .writing import UnknownFormat, document_of, format_named, lines_as_read, segment_names

SPREADSHEET = ".xlsx"


class UnknownJournal(BillingError):
    """No journal, or more than one, is meant by a number or period."""


class NothingToSubmit(BillingError):
    """A journal was to be submitted, and everything is journaled already."""


class DraftOutdated(BillingError):
    """Charges changed since the draft was made."""


class FileMissing(BillingError):
    """The file of a journal is not there, or not what was submitted."""


@dataclass(frozen=True)
class Drafted:
    """The draft a period has now; None where everything is journaled already."""

    journal: Journal | None
    lines: int
    debits: Decimal
    credits: Decimal


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
    file: Path
    journal: Journal | None


@dataclass(frozen=True)
class Reversed:
    """A journal that was taken back, and the journal that does it."""

    journal: Journal
    reversal: Journal


@dataclass(frozen=True)
class Preview:
    """What a draft would hold, and what keeps it from the ledger. Nothing is written."""

    pairs: int
    # Payer lines charged 0.00, which the ledger does not get.
    free: int
    currency: str
    debits: Decimal
    credits: Decimal
    charged: Decimal
    problems: list[str]


@dataclass(frozen=True)
class Download:
    """A file to hand out."""

    name: str
    content: bytes


def preview(
    *, period: BillingPeriod, format: str, posting_date: datetime.date | None = None, now: datetime.datetime
) -> Preview:
    """Return what an export would hold today, computed from the charges as they are, and its problems.

    Raises UnknownFormat, and the errors of `charging.compute`.
    """
    chosen = format_named(format)
    today = None if period.status == BillingPeriod.Status.FINALIZED else charging.compute(period)
    pairs = fresh_deltas(period, today)
    policy = Policy.objects.current()
    lines = list(lines_of(pairs, Journal(), policy))
    problems = []
    for check in (require_accounting, require_segments) if chosen.is_ledger else (require_accounting,):
        try:
            check(lines)
        except BillingError as error:
            problems.append(str(error))
    try:
        require_posting_date(period, posting_date or default_posting_date(period, now), now)
    except PostingDateRefused as error:
        problems.append(str(error))
    return Preview(
        pairs=sum(1 for pair in pairs if pair.amount),
        free=sum(1 for pair in pairs if not pair.amount),
        currency=policy.currency,
        debits=sum((line.debit for line in lines), ZERO),
        credits=sum((line.credit for line in lines), ZERO),
        charged=sum((pair.amount for pair in pairs), ZERO),
        problems=problems,
    )


def draft(
    *, period: BillingPeriod, posting_date: datetime.date | None = None, actor: Actor, now: datetime.datetime
) -> Drafted:
    """Make the period's draft, in place of the one it had: its payer lines less what is on live journals.

    It reads the payer lines as they are; `export` brings them up to date first. Where nothing is left
    to journal, the period has no draft. The posting date is the last day of the period, or today if
    that is earlier. Raises PostingDateRefused for a date given that a journal cannot bear.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        journal, lines = _redraft(closing.locked(period), posting_date, gesture)
        if journal is None:
            return Drafted(None, 0, ZERO, ZERO)
        return Drafted(journal, len(lines), journal.debits, journal.credits)


def export(
    *,
    period: BillingPeriod,
    format: str,
    posting_date: datetime.date | None = None,
    output: Path | None = None,
    submit: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Exported:
    """Draft the period's journal from today's charges and write its file; with `submit`, freeze it.

    Payer lines are brought up to date first, except in a finalized period, where they stand. The
    file goes to `output`, or below VAR_DIR/journals; a submitted journal's is kept there always.
    An `output` that ends in .xlsx is a spreadsheet. A draft's file has DRAFT in its name, whatever it was called.

    Raises UnknownFormat, OutputRefused, PostingDateRefused, NothingToSubmit, and for a ledger's
    format AccountingMissing or FundOrgNotParsed; then nothing is changed or written.
    """
    chosen = format_named(format)
    output = _output_named(chosen, output, submit=submit)
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        if period.status != BillingPeriod.Status.FINALIZED:
            charging.make_payer_lines(period=period, actor=actor, now=now)
        journal, lines = _redraft(period, posting_date, gesture)
        if journal is None:
            if submit:
                raise NothingToSubmit(_nothing_to_submit(period))
            currency = Policy.objects.current().currency
            document = Document(
                number="",
                period=str(period),
                state=DRAFT,
                posting_date=posting_date or default_posting_date(period, now),
                currency=currency,
                lines=lines_as_read(lines, currency),
                segments=segment_names(),
            )
            target = output or folder_of(str(period)) / f"{period}-{chosen.name}-{DRAFT}.{chosen.extension}"
            written = _write(chosen, document, target)
            staged.add(target, written.content)
            return Exported(str(period), chosen.name, "", "", written.rows, document.currency, ZERO, ZERO, target, None)
        if submit:
            written = _freeze(journal, lines, chosen, staged, actor=actor, now=now)
            gesture.record("journal.submitted", journal, before={"state": "draft"}, after=_facts(journal))
            target = output or kept_path(journal.file_path)
            if output:
                written = _write(chosen, document_of(journal, lines), output)
                staged.add(output, written.content)
        else:
            if chosen.is_ledger:
                require_accounting(lines)
                require_segments(lines)
            file_name = f"{journal.number}-{chosen.name}-{DRAFT}.{chosen.extension}"
            target = output or folder_of(str(period)) / file_name
            written = _write(chosen, document_of(journal, lines), target)
            staged.add(target, written.content)
            if output is None:
                journal.format = chosen.name
                journal.file_path = f"journals/{period}/{target.name}"
                journal.save(update_fields=["format", "file_path"])
            gesture.record("journal.exported", journal, after={"format": chosen.name, "file": target.name})
        return Exported(
            period=str(period),
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


def submit(*, journal: Journal, format: str, actor: Actor, now: datetime.datetime) -> Journal:
    """Freeze a draft as it was seen and keep its file; where no answer is awaited, it counts as posted.

    Raises WrongState for what is no draft, DraftOutdated where today's charges would make another,
    and the errors of `export`.
    """
    chosen = format_named(format)
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(journal.period)
        journal = _locked(journal, Journal.State.DRAFT, "submitted")
        if period.status != BillingPeriod.Status.FINALIZED:
            charging.make_payer_lines(period=period, actor=actor, now=now)
        lines = list(journal.lines.all())
        if is_outdated(journal, fresh_deltas(period)):
            raise DraftOutdated(
                f"Charges or accounting changed since {journal} was drafted. Draft it again, check it, and submit it.",
                then=NextStep("draft_again", {"period": str(period), "journal": str(journal.pk)}),
            )
        _freeze(journal, lines, chosen, staged, actor=actor, now=now)
        gesture.record("journal.submitted", journal, before={"state": "draft"}, after=_facts(journal))
        return journal


def post(*, journal: Journal, document_number: str, actor: Actor, now: datetime.datetime) -> Journal:
    """Record that the ledger took a submitted journal, under its document number.

    Raises WrongState, or ReasonMissing without a document number.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        journal = _locked(journal, Journal.State.SUBMITTED, "posted")
        if not document_number.strip():
            raise ReasonMissing(f"Give the document number under which the ledger posted {journal}.")
        journal.state = Journal.State.POSTED
        journal.posted_at = now
        journal.document_number = document_number.strip()
        journal.full_clean(exclude=["period", "submitted_by"], validate_constraints=False)
        journal.save()
        gesture.record(
            "journal.posted",
            journal,
            before={"state": "submitted"},
            after={"state": journal.state, "document_number": journal.document_number},
        )
        return journal


def reject(
    *, journal: Journal, reason: str, lines: Sequence[int] = (), actor: Actor, now: datetime.datetime
) -> Journal:
    """Record that the ledger refused a submitted journal, and why: its lines go into the next draft.

    `lines` are the numbers of those the ledger named. A rejected reversal leaves the journal it was
    to reverse posted, as it was. Raises WrongState, ReasonMissing, or UnknownJournal for a line that
    is not there.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        closing.locked(journal.period)
        journal = _locked(journal, Journal.State.SUBMITTED, "rejected")
        if not reason.strip():
            raise ReasonMissing(f"Say why the ledger rejected {journal}.")
        known = set(journal.lines.filter(number__in=lines).values_list("number", flat=True))
        if unknown := sorted(set(lines) - known):
            raise UnknownJournal(f"{journal} has no line {', '.join(map(str, unknown))}; it has {journal.line_count}.")
        named = f"Line{'s' * (len(known) > 1)} {', '.join(map(str, sorted(known)))}: " if known else ""
        journal.state = Journal.State.REJECTED
        journal.rejected_at = now
        journal.rejection_reason = named + reason.strip()
        journal.save()
        gesture.record(
            "journal.rejected",
            journal,
            before={"state": "submitted"},
            after={"state": journal.state, "lines": sorted(known)},
            note=reason.strip(),
        )
        if original := journal.reverses:
            original.state = Journal.State.POSTED
            original.reversed_at, original.reversal_reason = None, ""
            original.save()
            gesture.record(
                "journal.reversal_undone",
                original,
                before={"state": "reversed"},
                after={"state": original.state, "rejected": journal.number},
            )
        return journal


def reverse(*, journal: Journal, reason: str, actor: Actor, now: datetime.datetime) -> Reversed:
    """Take a posted journal back with one of the opposite lines: together they are 0 on every chartstring.

    The lines of the journal are free for the next draft at once. The reversal waits for the ledger's
    answer where the Policy says so. Raises WrongState or ReasonMissing.
    """
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(journal.period)
        if journal.kind != Journal.Kind.JOURNAL:
            raise WrongState(f"{journal} is a reversal itself. What it took back is in the next draft of {period}.")
        journal = _locked(journal, Journal.State.POSTED, "reversed")
        if not reason.strip():
            raise ReasonMissing(f"Say why {journal} is reversed.")
        journal.state = Journal.State.REVERSED
        journal.reversed_at = now
        journal.reversal_reason = reason.strip()
        journal.save()
        reversal = Journal.objects.create(
            number=_next_number(period, "R"),
            period=period,
            kind=Journal.Kind.REVERSAL,
            reverses=journal,
            posting_date=_reversal_date(journal, now),
            currency=journal.currency,
            drafted_at=now,
        )
        lines = []
        for line in journal.lines.order_by("number"):
            line.pk = None
            line.journal = reversal
            line.debit, line.credit = line.credit, line.debit
            line.list_cost, line.contracted_cost = -line.list_cost, -line.contracted_cost
            line.description = f"Reversal of {journal.number}: {line.description}"[:254]
            lines.append(line)
        JournalLine.objects.bulk_create(lines, batch_size=BATCH)
        _set_totals(reversal, lines)
        try:
            chosen = format_named(journal.format)
        except UnknownFormat:
            # The template it was written with is gone.
            chosen = BUILT_IN["gl"]
        _freeze(reversal, lines, chosen, staged, actor=actor, now=now)
        gesture.record(
            "journal.reversed",
            journal,
            before={"state": "posted"},
            after={"state": journal.state, "reversal": reversal.number},
            note=reason.strip(),
        )
        gesture.record("journal.submitted", reversal, after=_facts(reversal))
        return Reversed(journal, reversal)


def download(*, journal: Journal, actor: Actor, now: datetime.datetime) -> Download:
    """Hand out a journal's file, and say so in the audit trail. Raises FileMissing."""
    with audit.gesture(actor=actor, now=now) as gesture:
        content = content_of(journal)
        gesture.record("journal.downloaded", journal, after={"file": Path(journal.file_path).name})
        return Download(Path(journal.file_path).name, content)


def content_of(journal: Journal) -> bytes:
    """Return a journal's file; one that a crash kept from appearing is made again from the frozen lines.

    Raises FileMissing where there is none, or not the one that was submitted.
    """
    if not journal.file_path:
        raise FileMissing(f"{journal} has no file: export it first.")
    path = kept_path(journal.file_path)
    if path.is_file():
        content = path.read_bytes()
    elif journal.file_sha256:
        content = format_named(journal.format).write(document_of(journal)).content
        with whole_files() as staged:
            if _sha256(content) == journal.file_sha256:
                folder_of(str(journal.period))
                staged.add(path, content)
    else:
        raise FileMissing(f"The file of the draft {journal} is gone: export it again.")
    if journal.file_sha256 and _sha256(content) != journal.file_sha256:
        raise FileMissing(
            f"The file {path.name} is not the one that was submitted as {journal} "
            f"(SHA-256 {journal.file_sha256[:12]}…): restore it from a backup of VAR_DIR."
        )
    return content


def journal_named(text: str, *, among: JournalQuerySet, waiting: str) -> Journal:
    """Return the journal meant by a number, an id, or a period in which exactly one waits.

    `among` are those that the verb is for, `waiting` says so in words. Raises UnknownJournal.
    """
    text = text.strip()
    if MONTH.fullmatch(text):
        period = BillingPeriod.objects.named(text)
        found = list(among.filter(period=period).order_by("id"))
        if len(found) == 1:
            return found[0]
        if not found:
            raise UnknownJournal(
                f"No journal of {period} {waiting}.", then=NextStep("show_journals", {"period": str(period)})
            )
        names = ", ".join(journal.number for journal in found)
        raise UnknownJournal(f"{len(found)} journals of {period} {waiting}: name one of {names}.")
    found = list(Journal.objects.filter(number__iexact=text))
    if not found and text.isdecimal():
        found = list(Journal.objects.filter(pk=int(text[:18])))
    if not found:
        raise UnknownJournal(f"There is no journal {text}.", then=NextStep("list_journals"))
    return found[0]


def places_of(period: BillingPeriod, key: str) -> list[corrections.Place]:
    """Return the journals that a payer line is on, and where."""
    lines = JournalLine.objects.filter(payer_key=key, side=JournalLine.Side.PAYER, journal__period=period)
    return [
        corrections.Place(
            f"journal {line.journal}, line {line.number} ({line.journal.get_state_display().lower()})",
            address_of("admin:journals_journal_change", args=[line.journal_id]),
        )
        for line in lines.select_related("journal").order_by("journal", "number")
    ]


def _redraft(
    period: BillingPeriod, posting_date: datetime.date | None, gesture: Gesture
) -> tuple[Journal | None, list[JournalLine]]:
    """Make the draft of a locked period, and return it with its lines.

    Where the ledger has nothing to get there is no draft, and what is left are lines of 0.00.
    """
    if posting_date:
        require_posting_date(period, posting_date, gesture.now)
    pairs = fresh_deltas(period)
    policy = Policy.objects.current()
    drafts = Journal.objects.select_for_update(no_key=True).filter(period=period, kind=Journal.Kind.JOURNAL)
    journal = drafts.filter(state=Journal.State.DRAFT).first()
    if not any(pair.amount for pair in pairs):
        if journal:
            gesture.record("journal.draft_dropped", journal, note="Everything is journaled already.")
            journal.delete()
        return None, list(lines_of(pairs, Journal(), policy))
    if journal:
        journal.lines.all().delete()
    else:
        journal = Journal(period=period, number=_next_number(period, "J"))
    journal.posting_date = posting_date or default_posting_date(period, gesture.now)
    journal.currency = policy.currency
    journal.drafted_at = gesture.now
    # A file of the draft before is not of this one.
    journal.format = journal.file_path = ""
    lines = list(lines_of(pairs, journal, policy))
    _set_totals(journal, lines)
    journal.save()
    for line in lines:
        line.journal = journal
    JournalLine.objects.bulk_create(lines, batch_size=BATCH)
    gesture.record("journal.drafted", journal, after=_facts(journal))
    return journal, lines


def _freeze(
    journal: Journal,
    lines: Sequence[JournalLine],
    chosen: Format,
    staged: Staged,
    *,
    actor: Actor,
    now: datetime.datetime,
) -> Written:
    """Submit a draft whose lines are right: check it, write its file, stamp it. Returns what the file holds."""
    if not any(line.is_posted for line in lines):
        raise NothingToSubmit(_nothing_to_submit(journal.period))
    if journal.kind == Journal.Kind.JOURNAL:
        require_accounting(lines)
        if chosen.is_ledger:
            require_segments(lines)
        require_posting_date(journal.period, journal.posting_date, now)
    journal.state = Journal.State.SUBMITTED
    journal.submitted_at, journal.submitted_by = now, actor.user
    if not Policy.objects.current().requires_ledger_answer:
        journal.state = Journal.State.POSTED
        journal.posted_at = now
    written = chosen.write(document_of(journal, lines))
    folder = folder_of(str(journal.period))
    path = folder / f"{journal.number}-{chosen.name}.{chosen.extension}"
    staged.add(path, written.content)
    journal.format = chosen.name
    journal.file_path = f"journals/{journal.period}/{path.name}"
    journal.file_sha256 = _sha256(written.content)
    journal.save()
    return written


def _said(line: JournalLine) -> tuple[str, str, str, Decimal, Decimal, Decimal]:
    """Return what a line tells the ledger and, in the journal's detail, people."""
    amount = line.debit - line.credit
    return line.payer_key, line.fund_org, line.natural_account, amount, line.list_cost, line.contracted_cost


def is_outdated(journal: Journal, pairs: Iterable[Pair]) -> bool:
    """Say whether a draft made of these pairs would tell the ledger something else."""
    today = lines_of(pairs, journal, Policy.objects.current())
    return [_said(line) for line in journal.lines.all()] != [_said(line) for line in today]


def _locked(journal: Journal, state: Journal.State, participle: str) -> Journal:
    locked = Journal.objects.select_for_update(of=("self",), no_key=True)
    fresh = locked.select_related("period", "reverses").get(pk=journal.pk)
    if fresh.state != state:
        raise WrongState(
            f"Journal {fresh} is {fresh.get_state_display().lower()}: "
            f"only a {state.label.lower()} one can be {participle}."
        )
    return fresh


def _next_number(period: BillingPeriod, letter: str) -> str:
    prefix = f"{letter}{period}-"
    taken = Journal.objects.filter(number__startswith=prefix).values_list("number", flat=True)
    return f"{prefix}{max((int(number.removeprefix(prefix)) for number in taken), default=0) + 1}"


def _set_totals(journal: Journal, lines: Sequence[JournalLine]) -> None:
    journal.debits = sum((line.debit for line in lines), ZERO)
    journal.credits = sum((line.credit for line in lines), ZERO)
    journal.line_count = len(lines)


def _reversal_date(journal: Journal, now: datetime.datetime) -> datetime.date:
    """Today, unless that is another fiscal year than the journal's: then the journal's own date."""
    today = timezone.localdate(now)
    start = Policy.objects.current().fiscal_year_start
    return today if fiscal_year(today, start) == fiscal_year(journal.posting_date, start) else journal.posting_date


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
    if output.suffix.lower() == SPREADSHEET and not isinstance(chosen, TableFormat):
        raise OutputRefused(
            f"The template “{chosen.name}” makes text, not a spreadsheet: name a file that ends otherwise."
        )
    if output.is_dir() or not output.parent.is_dir():
        # The same refusal as when it is written, before any work is done.
        Staged().add(output, b"")
    return output


def _write(chosen: Format, document: Document, target: Path) -> Written:
    if target.suffix.lower() == SPREADSHEET and isinstance(chosen, TableFormat):
        return chosen.write_spreadsheet(document)
    return chosen.write(document)


def _nothing_to_submit(period: BillingPeriod) -> str:
    last = Journal.objects.live().filter(period=period).order_by("-id").first()
    since = f" since {last}" if last else ""
    return f"There is nothing to submit for {period}: no payer line of a journaled source changed{since}."


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _facts(journal: Journal) -> dict[str, Any]:
    """Return a journal as the audit trail keeps it."""
    return {
        "state": journal.state,
        "posting_date": journal.posting_date.isoformat(),
        "lines": journal.line_count,
        "debits": plain(journal.debits),
        "credits": plain(journal.credits),
        "format": journal.format,
        "sha256": journal.file_sha256,
    }
