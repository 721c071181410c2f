"""Reversals: journals of the opposite lines, submitted at once, so that both are 0 on every fund/org."""

import datetime

from billing.audit import Actor, Gesture

from ..drafting import BATCH
from ..filing import Staged
from ..formats import BUILT_IN
from ..models import Journal, JournalLine
from ..writing import UnknownFormat, format_of
from .freezing import freeze
from .records import next_number, set_totals


def submit_reversal(
    journal: Journal, date: datetime.date, gesture: Gesture, staged: Staged, *, date_reason: str = ""
) -> Journal:
    """Make the reversal of a submitted journal and submit it for a posting date; its file is staged.

    Whoever asks records it, in the order of what is done.
    """
    actor: Actor = gesture.actor
    reversal = Journal.objects.create(
        number=next_number(journal.period, "R"),
        period=journal.period,
        kind=Journal.Kind.REVERSAL,
        reverses=journal,
        posting_date=date,
        date_reason=date_reason,
        currency=journal.currency,
        drafted_at=gesture.now,
        drafted_by=actor.user,
    )
    lines = _opposite(journal, reversal)
    JournalLine.objects.bulk_create(lines, batch_size=BATCH)
    set_totals(reversal, lines)
    try:
        chosen = format_of(journal)
    except UnknownFormat:
        # The template it was written with is gone.
        chosen = BUILT_IN["gl"]
    freeze(reversal, lines, chosen, staged, actor=actor, now=gesture.now)
    return reversal


def _opposite(journal: Journal, reversal: Journal) -> list[JournalLine]:
    """Return a journal's lines with debit and credit changed over, as lines of its reversal, unsaved."""
    lines = []
    for line in journal.lines.order_by("number"):
        line.pk = None
        line.journal = reversal
        line.debit, line.credit = line.credit, line.debit
        line.list_cost, line.contracted_cost = -line.list_cost, -line.contracted_cost
        line.description = f"Reversal of {journal.number}: {line.description}"[:254]
        lines.append(line)
    return lines
