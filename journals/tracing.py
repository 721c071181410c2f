"""Journals as what a trace begins or ends at: found by number, and by the payer lines they post."""

from collections.abc import Sequence

from billing.models import BillingPeriod
from billing.texts import number_in
from billing.tracing import BATCH, Document, DocumentLine, Provider

from .models import Journal, JournalLine


def find(what: str) -> Document | None:
    """Return the journal of a number, such as J2025-01-1, or a line of its file, such as J2025-01-1#7.

    Reversals and accruals are found alike.
    """
    if what[:1].upper() not in ("J", "R", "A"):
        return None
    name, mark, text = what.partition("#")
    journal = Journal.objects.select_related("period").filter(number=name.upper()).first()
    if journal is None:
        return None
    kind, number, lines = journal.get_kind_display().lower(), journal.number, journal.lines.order_by("number")
    if mark:
        # 0 is the number of no line.
        lines = lines.filter(file_line__number=number_in(text) or 0)
        kind, number = f"line of the file of {kind}", f"{number}#{text}"
        if not lines:
            return None
    return Document(
        kind=kind,
        number=number,
        state=journal.get_state_display(),
        lines=tuple(_line(line, journal) for line in lines.select_related("file_line")),
        subject=journal,
    )


def holding(period: BillingPeriod, keys: Sequence[str]) -> list[DocumentLine]:
    """Return the lines of a month's journals, of both sides of each pair, that post these payer lines."""
    found: list[DocumentLine] = []
    for start in range(0, len(keys), BATCH):
        lines = JournalLine.objects.select_related("journal__period", "file_line").filter(
            journal__period=period, payer_key__in=keys[start : start + BATCH]
        )
        found += [_line(line, line.journal) for line in lines.order_by("-journal", "number")]
    return found


def _line(line: JournalLine, journal: Journal) -> DocumentLine:
    in_file = f"line {line.file_line.number} of its file" if hasattr(line, "file_line") else ""
    place = filter(None, (line.get_side_display(), line.fund_org, line.natural_account))
    is_live = journal.state in (Journal.State.SUBMITTED, Journal.State.POSTED)
    return DocumentLine(
        kind=journal.get_kind_display().lower(),
        number=journal.number,
        line=line.number,
        state=journal.get_state_display(),
        stands=is_live and journal.kind == Journal.Kind.JOURNAL,
        payer_key=line.payer_key,
        period=journal.period,
        text=", ".join(filter(None, (" ".join(place), line.account_by, in_file))),
        amount=line.debit - line.credit,
        currency=journal.currency,
        subject=journal,
        is_payer=line.side == JournalLine.Side.PAYER,
        document=journal.document_number,
    )


DOCUMENTS = Provider(find=find, holding=holding)
