"""The ledger's answer: posted or rejected; and what was posted, reversed."""

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.utils import timezone

from billing import audit
from billing.audit import Actor, Gesture
from billing.errors import NextStep, ReasonMissing, WrongState
from billing.months import closing
from billing.texts import long_date

from .. import accounting_calendar
from ..drafting import PostingDateRefused
from ..filing import whole_files
from ..models import Journal
from .lookup import UnknownJournal
from .opposites import submit_reversal
from .records import facts, locked


@dataclass(frozen=True)
class Reversed:
    """A journal that was reversed, and its reversal."""

    journal: Journal
    reversal: Journal


def post(*, journal: Journal, document_number: str, actor: Actor, now: datetime.datetime) -> Journal:
    """Record that the ledger took a submitted journal, under its document number.

    Raises WrongState, or ReasonMissing without a document number.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        journal = locked(journal, Journal.State.SUBMITTED, "posted")
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
    *,
    journal: Journal,
    reason: str,
    lines: Sequence[int] = (),
    file_lines: Sequence[int] = (),
    actor: Actor,
    now: datetime.datetime,
) -> Journal:
    """Record that the ledger refused a submitted journal, and why: its lines go into the next draft.

    `lines` are the numbers of those the ledger named, and `file_lines` those of lines of its file, which name all
    journal lines they stand for. A rejected reversal leaves the journal it was to reverse posted, as it was. Raises
    WrongState, ReasonMissing, or UnknownJournal for a line that is not there.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        closing.locked(journal.period)
        journal = locked(journal, Journal.State.SUBMITTED, "rejected")
        if not reason.strip():
            raise ReasonMissing(f"Say why the ledger rejected {journal}.")
        known = set(journal.lines.filter(number__in=lines).values_list("number", flat=True))
        if unknown := sorted(set(lines) - known):
            raise UnknownJournal(f"{journal} has no line {', '.join(map(str, unknown))}; it has {journal.line_count}.")
        known |= _behind(journal, file_lines)
        of_file = f"{_named('File line', file_lines)} (" if file_lines else ""
        named = f"{of_file}{_named('line' if of_file else 'Line', known)}{')' * bool(of_file)}: " if known else ""
        journal.state = Journal.State.REJECTED
        journal.rejected_at = now
        journal.rejection_reason = named + reason.strip()
        journal.save()
        gesture.record(
            "journal.rejected",
            journal,
            before={"state": "submitted"},
            after={"state": journal.state, "lines": sorted(known), "file_lines": sorted(set(file_lines))},
            note=reason.strip(),
        )
        original = journal.reverses
        # What an accrual holds stays as it is: somebody reverses it again.
        if original and original.state == Journal.State.REVERSED:
            original.state = Journal.State.POSTED
            original.reversed_at, original.reversal_reason = None, ""
            original.save()
            gesture.record(
                "journal.reversal_undone",
                original,
                before={"state": "reversed"},
                after={"state": original.state, "rejected": journal.number},
            )
        if journal.kind == Journal.Kind.ACCRUAL:
            _reject_reversal(journal, gesture)
        return journal


def _reject_reversal(accrual: Journal, gesture: Gesture) -> None:
    """Have the reversal of a rejected accrual rejected, too: it would reverse what the ledger does not have."""
    reversal = Journal.objects.reversals_of(accrual).select_for_update(of=("self",), no_key=True).first()
    if reversal is None:
        return
    if reversal.state != Journal.State.SUBMITTED:
        raise WrongState(
            f"{reversal}, which reverses {accrual}, is {reversal.get_state_display().lower()} already. The ledger "
            f"has to take {accrual}, too."
        )
    reason = f"The ledger rejected {accrual}, which it reverses."
    reversal.state, reversal.rejected_at, reversal.rejection_reason = Journal.State.REJECTED, gesture.now, reason
    reversal.save()
    after = {"state": reversal.state, "lines": [], "file_lines": []}
    gesture.record("journal.rejected", reversal, before={"state": "submitted"}, after=after, note=reason)


def _behind(journal: Journal, numbers: Sequence[int]) -> set[int]:
    """Return the numbers of the journal lines behind lines of its file. Raises UnknownJournal for one not there."""
    if not numbers:
        return set()
    pairs = list(journal.file_lines.filter(number__in=numbers).values_list("number", "line__number"))
    if unknown := sorted(set(numbers) - {number for number, _ in pairs}):
        last = journal.file_lines.order_by("-number").values_list("number", flat=True).first()
        has = f"it has {last:,}" if last else "it was written in no layout"
        raise UnknownJournal(f"The file of {journal} has no line {', '.join(map(str, unknown))}; {has}.")
    return {line for _, line in pairs}


def _named(word: str, numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return f"{word}{'s' * (len(found) > 1)} {', '.join(map(str, found))}"


def reverse(
    *,
    journal: Journal,
    reason: str,
    posting_date: datetime.date | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> Reversed:
    """Reverse a posted journal with one of the opposite lines: together they are 0 on every fund/org.

    The lines of the journal are free for the next draft at once. The reversal waits for the ledger's
    answer where the Policy says so. Its posting date is today, if that is in the same fiscal year, or a day that the
    accounting calendar takes. Raises WrongState, ReasonMissing, or PostingDateRefused.

    1. The month is locked, so that nobody drafts from its lines before they are free.
    2. The journal is locked, so that it is reversed once.
    3. Both journals and the reversal's file are committed together; then the file gets its name.
    """
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(journal.period)
        if journal.kind == Journal.Kind.REVERSAL:
            raise WrongState(f"{journal} is a reversal itself. What it reversed is in the next draft of {period}.")
        journal = locked(journal, Journal.State.POSTED, "reversed")
        if reversal := Journal.objects.reversals_of(journal).first():
            raise WrongState(f"{journal} is reversed by {reversal} already, on {long_date(reversal.posting_date)}.")
        if not reason.strip():
            raise ReasonMissing(f"Say why {journal} is reversed.")
        date = posting_date or reversal_date(journal, now)
        needs_reason = _require_reversal_date(journal, date, now)
        journal.state = Journal.State.REVERSED
        journal.reversed_at = now
        journal.reversal_reason = reason.strip()
        journal.save()
        date_reason = reason.strip() if needs_reason else ""
        reversal = submit_reversal(journal, date, gesture, staged, date_reason=date_reason)
        gesture.record(
            "journal.reversed",
            journal,
            before={"state": "posted"},
            after={"state": journal.state, "reversal": reversal.number},
            note=reason.strip(),
        )
        gesture.record("journal.submitted", reversal, after=facts(reversal))
        return Reversed(journal, reversal)


def reversal_date(journal: Journal, now: datetime.datetime) -> datetime.date:
    """Return on what day a journal's reversal is posted if nobody says otherwise.

    Today, unless that is another fiscal year than the journal's: then the journal's own date. Where there is a
    calendar and the ledger does not take that day, it is one of the first period that takes journals.
    """
    today = timezone.localdate(now)
    calendar = accounting_calendar.current()
    year_of = _year_of(today)
    is_same = year_of(today) == year_of(journal.posting_date)
    if not calendar:
        return today if is_same else journal.posting_date
    period = calendar.period_of(today, today)
    if is_same and period and period.takes_journals(today):
        return today
    return calendar.default_date(journal.posting_date, today)


def _year_of(today: datetime.date) -> Callable[[datetime.date], int]:
    """Return a function from a posting date to its fiscal year, by the calendar or the policy."""
    return lambda day: accounting_calendar.fiscal_place(day, today)[0]


def _require_reversal_date(journal: Journal, date: datetime.date, now: datetime.datetime) -> bool:
    """Raise PostingDateRefused for a day on which a journal's reversal cannot be posted.

    Returns whether the day needs the reason of the reversal: it is in another fiscal year, or past a cutoff.
    """
    today = timezone.localdate(now)
    if date > today:
        raise PostingDateRefused(f"The posting date {long_date(date)} is in the future. Post today or earlier.")
    if date < journal.posting_date:
        raise PostingDateRefused(
            f"The posting date {long_date(date)} is before that of {journal}, {long_date(journal.posting_date)}. "
            "Choose a later one."
        )
    if calendar := accounting_calendar.current():
        if refused := calendar.refusal(date, today):
            raise PostingDateRefused(refused, then=NextStep("accounting_calendar"))
        return bool(calendar.reason_needed(date, own=journal.posting_date, today=today))
    year_of = _year_of(today)
    if year_of(date) != (year := year_of(journal.posting_date)):
        raise PostingDateRefused(
            f"The posting date {long_date(date)} is not in the fiscal year {year} of {journal}. Without an accounting "
            "calendar, a reversal stays in the fiscal year of its journal.",
            then=NextStep("accounting_calendar"),
        )
    return False
