"""Journals as a table to take along: one row for each, with its state, its sums and what the ledger answered."""

import datetime
from collections.abc import Iterator

from django.db.models import QuerySet
from django.utils import timezone

from billing import audit
from billing.audit import Actor
from billing.money import in_decimals_of

from .formats.documents import Cell, Table, as_csv, as_spreadsheet
from .models import Journal

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
COLUMNS = (
    *("journal", "period", "state", "kind", "posting_date", "lines", "currency", "debits", "credits"),
    *("document_number", "format", "sha256", "drafted", "submitted", "submitted_by", "posted", "rejected"),
    *("rejection_reason", "reversed", "reversal_reason"),
)


def write(*, journals: "QuerySet[Journal]", form: str, asked: str, actor: Actor, now: datetime.datetime) -> bytes:
    """Return journals as a file of one of FORMATS. That they were taken out is an event of the audit log.

    `asked` says how they were chosen.
    """
    table = Table(list(COLUMNS), _rows(journals))
    written = as_csv(table) if form == "csv" else as_spreadsheet(table, title="Journals")
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("journal.list_exported", after={"journals": written.rows, "format": form, "filters": asked})
    return written.content


def _rows(journals: "QuerySet[Journal]") -> Iterator[list[Cell]]:
    for each in journals.select_related("period", "submitted_by").iterator():
        yield [
            each.number,
            each.period.iso_month,
            each.get_state_display(),
            each.get_kind_display(),
            each.posting_date,
            each.line_count,
            each.currency,
            in_decimals_of(each.debits, each.currency),
            in_decimals_of(each.credits, each.currency),
            each.document_number,
            each.format,
            each.file_sha256,
            _day(each.drafted_at),
            _day(each.submitted_at),
            str(each.submitted_by or ""),
            _day(each.posted_at),
            _day(each.rejected_at),
            each.rejection_reason,
            _day(each.reversed_at),
            each.reversal_reason,
        ]


def _day(at: datetime.datetime | None) -> Cell:
    return timezone.localdate(at) if at else ""
