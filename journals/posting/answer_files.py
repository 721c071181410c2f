"""A file of the ledger's answers: what was posted under which document number, and what was rejected and why.

A journal is posted or rejected as a whole, and so is the file: all of it is recorded, or nothing with the lines that
are wrong.
"""

import datetime
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO

from billing import audit
from billing.audit import Actor
from billing.audit.snapshots import differences, snapshot
from billing.errors import BillingError
from billing.readers import UnreadableFile
from billing.readers.cells import Kind
from billing.readers.tables import read_table
from billing.setup.lists import LineError, ListRefused
from billing.texts import number_in, quoted

from ..models import AnswerMapping, Journal
from .answers import post, reject
from .lookup import UnknownJournal

# A journal's number, and with it that of a line of its file, as a layout's support reference has it.
_NUMBER = re.compile(r"([JR][0-9]{4}-[0-9]{2}-[0-9]+)(?:[-#]([0-9]+))?", re.IGNORECASE)
# Reasons of a journal that are kept in full; the file has the others.
REASONS = 50


class AnswersRefused(ListRefused):
    """The ledger's answers cannot be recorded; `errors` says why, line by line, and nothing was."""

    nothing = "No answer was recorded."


class UnknownMapping(BillingError):
    """There is no form of the ledger's answers of this name."""


@dataclass(frozen=True)
class Answered:
    """What a file of answers came to, or would."""

    posted: tuple[tuple[str, str], ...]
    rejected: tuple[tuple[str, str], ...]
    # Journals that the ledger had answered so before.
    unchanged: tuple[str, ...]
    is_dry_run: bool = False

    def __str__(self) -> str:
        will = "would be " if self.is_dry_run else ""
        parts = [f"{_journals(len(self.posted))} {will}posted", f"{len(self.rejected):,} {will}rejected"]
        if self.unchanged:
            parts.append(f"{len(self.unchanged):,} answered so before")
        return f"{', '.join(parts)}."

    @property
    def examples(self) -> list[str]:
        """What a preview names."""
        return [
            *(f"{journal} is posted as document {document}" for journal, document in self.posted[:REASONS]),
            *(f"{journal} is rejected: {reason}" for journal, reason in self.rejected[:REASONS]),
        ]


@dataclass
class _Of:
    """What a file says of one journal, with the lines that say it."""

    journal: Journal
    row: int
    documents: dict[str, int] = field(default_factory=dict)
    # The lines of our file that were rejected, each with the row that says so; None for the journal as a whole.
    rejected: dict[int | None, tuple[int, str]] = field(default_factory=dict)


def load_answers(
    *, file: IO[bytes], mapping: AnswerMapping, is_dry_run: bool = False, actor: Actor, now: datetime.datetime
) -> Answered:
    """Record the ledger's answers in a CSV or Excel file, whose columns the mapping names.

    A journal of which a row was rejected is rejected, with all journal lines behind each line of its file; any other is
    posted under its document number. Loading a file again changes nothing. A dry run records nothing. Raises
    AnswersRefused with every mistake by line.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        rows = _read(file, mapping)
        errors: list[LineError] = []
        found = _by_journal(rows, mapping, errors)
        done, unchanged = _decided(found, mapping, errors)
        if errors:
            raise AnswersRefused(sorted(errors, key=lambda error: error.line))
        posted = [(each, next(iter(each.documents))) for each in done if not each.rejected]
        rejected = [(each, _reason(each)) for each in done if each.rejected]
        if not is_dry_run:
            _record(posted, rejected, actor=actor, now=now)
            counts = {"posted": len(posted), "rejected": len(rejected), "unchanged": len(unchanged)}
            gesture.record("journal.answers_loaded", after=counts | {"mapping": mapping.name})
        return Answered(
            tuple((each.journal.number, document) for each, document in posted),
            tuple((each.journal.number, reason) for each, reason in rejected),
            tuple(unchanged),
            is_dry_run,
        )


def mapping_named(name: str) -> AnswerMapping:
    """Return the form of the ledger's answers of this name. Raises UnknownMapping."""
    found = AnswerMapping.objects.filter(name=name).first()
    if found is None:
        names = ", ".join(AnswerMapping.objects.values_list("name", flat=True))
        raise UnknownMapping(f"There is no form of answers “{name}”. There are: {names or 'none yet'}.")
    return found


def save_mapping(*, name: str, values: Mapping[str, str], actor: Actor, now: datetime.datetime) -> AnswerMapping:
    """Add a form of the ledger's answers, or change the one of this name: `values` by field, others as they are.

    Raises ValidationError.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        mapping = AnswerMapping.objects.select_for_update(no_key=True).filter(name=name).first()
        before = snapshot(mapping) if mapping else None
        mapping = mapping or AnswerMapping(name=name)
        for field_name, value in values.items():
            setattr(mapping, field_name, value.strip())
        mapping.full_clean()
        mapping.save()
        after = snapshot(mapping)
        if before is None:
            gesture.record("answer_mapping.added", mapping, after=after)
        elif before != after:
            old, new = differences(before, after)
            gesture.record("answer_mapping.changed", mapping, before=old, after=new)
        return mapping


def _read(file: IO[bytes], mapping: AnswerMapping) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a file by what the mapping says. Columns that it does not name are the ledger's own."""
    names = {_folded(heading): name for name, heading in mapping.columns.items()}
    kinds = {name: Kind.CODE if name in ("journal", "document") else Kind.TEXT for name in mapping.columns}
    try:
        table = read_table(file, kinds=kinds, heading=lambda text: names.get(_folded(text), ""))
    except UnreadableFile as error:
        problem = error.problems[0]
        errors = [LineError(problem.line, "", problem.message)] if problem.line else []
        raise AnswersRefused(errors, AnswersRefused.nothing if errors else problem.message) from error
    if missing := [heading for name, heading in mapping.columns.items() if name not in table.headings]:
        raise AnswersRefused([], f"The file has no column {', '.join(missing)}, which the form “{mapping}” names.")
    if doubled := [heading for name, heading in mapping.columns.items() if table.headings.count(name) > 1]:
        raise AnswersRefused([], f"The file has the column {', '.join(doubled)} twice. Remove one of them.")
    if table.problems:
        raise AnswersRefused([LineError(each.line or 0, each.column or "", each.message) for each in table.problems])
    if not table.lines:
        raise AnswersRefused([], "The file has no answer.")
    empty = dict.fromkeys(mapping.columns, "")
    return [
        (number, empty | {name: cell.strip() for name, cell in zip(table.headings, cells, strict=False) if name})
        for number, cells in table.lines
    ]


def _folded(heading: str) -> str:
    return " ".join(heading.casefold().split())


def _by_journal(rows: list[tuple[int, dict[str, str]]], mapping: AnswerMapping, errors: list[LineError]) -> list[_Of]:
    """Return what the rows say, journal by journal; note what is wrong with each."""
    known = {each.number.upper(): each for each in Journal.objects.select_related("period")}
    found: dict[str, _Of] = {}
    for number, row in rows:
        match = _NUMBER.fullmatch(row["journal"])
        journal = known.get(match[1].upper()) if match else None
        if match is None or journal is None:
            what = f"there is no journal {quoted(row['journal'])}" if row["journal"] else "is empty"
            errors.append(LineError(number, mapping.journal_column, what))
            continue
        of = found.setdefault(journal.number, _Of(journal, number))
        if row["document"]:
            of.documents.setdefault(row["document"], number)
        was_rejected = _was_rejected(number, row, mapping, errors)
        if was_rejected:
            text = row.get("line", "") or match[2] or ""
            line = number_in(text)
            if text and not line:
                errors.append(LineError(number, mapping.line_column, f"{quoted(text)} is no number of a line"))
                continue
            reason = row.get("reason") or row.get("status") or ""
            of.rejected.setdefault(line, (number, reason))
    return list(found.values())


def _was_rejected(number: int, row: dict[str, str], mapping: AnswerMapping, errors: list[LineError]) -> bool:
    """Tell whether a row says that something was rejected."""
    if not mapping.status_column:
        return bool(row["reason"])
    status = row["status"].casefold()
    if status in _words(mapping.rejected_words):
        return True
    if status not in _words(mapping.posted_words):
        what = f"{quoted(row['status'])} is" if row["status"] else "is empty, and"
        allowed = f"{mapping.posted_words}; {mapping.rejected_words}"
        errors.append(LineError(number, mapping.status_column, f"{what} none of the words for an answer: {allowed}"))
    return False


def _words(text: str) -> set[str]:
    return {word.strip().casefold() for word in text.split(",") if word.strip()}


def _decided(found: list[_Of], mapping: AnswerMapping, errors: list[LineError]) -> tuple[list[_Of], list[str]]:
    """Return the journals to answer, and those that were answered so before; note what cannot be recorded."""
    done: list[_Of] = []
    unchanged: list[str] = []
    for of in found:
        journal, (document, *others) = of.journal, [*of.documents, ""]
        if len(of.documents) > 1:
            row = of.documents[others[0]]
            errors.append(LineError(row, mapping.document_column, f"{journal} has two: {document} and {others[0]}"))
        elif of.rejected and document:
            row, _ = next(iter(of.rejected.values()))
            told = (
                f"{journal} was posted as {document}, and lines of it rejected. Correct the file, or answer it by hand"
            )
            errors.append(LineError(row, mapping.document_column, told))
        elif not of.rejected and not document:
            errors.append(
                LineError(of.row, mapping.document_column, f"{journal} was posted, and has no document number")
            )
        elif _is_answered_so(journal, document, is_rejected=bool(of.rejected)):
            unchanged.append(journal.number)
        elif journal.state != Journal.State.SUBMITTED:
            told = f"{journal} is {journal.get_state_display().lower()}: only a submitted one waits for an answer"
            errors.append(LineError(of.row, mapping.journal_column, told))
        else:
            errors += _unknown_lines(of, mapping)
            done.append(of)
    return done, unchanged


def _is_answered_so(journal: Journal, document: str, *, is_rejected: bool) -> bool:
    if is_rejected:
        return journal.state == Journal.State.REJECTED
    return journal.state == Journal.State.POSTED and journal.document_number == document


def _unknown_lines(of: _Of, mapping: AnswerMapping) -> list[LineError]:
    """Return the rejected lines that the file of the journal does not have."""
    lines = of.journal.file_lines if of.journal.layout_id else of.journal.lines
    known = set(lines.values_list("number", flat=True))
    return [
        LineError(row, mapping.line_column or mapping.journal_column, f"the file of {of.journal} has no line {line}")
        for line, (row, _) in of.rejected.items()
        if line is not None and line not in known
    ]


def _reason(of: _Of) -> str:
    """Return why a journal was rejected: each reason once, with the lines that it is of."""
    lines: dict[str, list[int]] = defaultdict(list)
    for line, (_, reason) in of.rejected.items():
        lines[reason] += [] if line is None else [line]
    parts = []
    for reason, numbers in list(lines.items())[:REASONS]:
        named = f"Line{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}: " if numbers and len(lines) > 1 else ""
        parts.append(f"{named}{reason or 'no reason given'}")
    return "; ".join(parts) + (f"; and {len(lines) - REASONS:,} more" if len(lines) > REASONS else "")


def _record(
    posted: Iterable[tuple[_Of, str]],
    rejected: Iterable[tuple[_Of, str]],
    *,
    actor: Actor,
    now: datetime.datetime,
) -> None:
    for of, document in posted:
        post(journal=of.journal, document_number=document, actor=actor, now=now)
    for of, reason in rejected:
        lines = [line for line in of.rejected if line is not None]
        named = {"file_lines": lines} if of.journal.layout_id else {"lines": lines}
        try:
            reject(journal=of.journal, reason=reason, **named, actor=actor, now=now)
        except UnknownJournal as error:
            raise AnswersRefused([LineError(of.row, "", str(error))]) from error


def _journals(count: int) -> str:
    return f"{count:,} journal{'' if count == 1 else 's'}"
