"""The findings of a preflight as a table to take along: one row for each."""

import datetime
from collections.abc import Iterator

from billing import audit
from billing.audit import Actor

from ..formats.documents import Cell, Table, as_csv, as_spreadsheet
from ..models import Journal
from .findings import Report

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
COLUMNS = (
    *("journal", "severity", "check", "journal_line", "file_line", "field", "value", "message"),
    *("acknowledged_by", "reason"),
)


def write(*, journal: Journal, report: Report, form: str, actor: Actor, now: datetime.datetime) -> bytes:
    """Return the findings of a journal as a file of one of FORMATS. That they were taken out is an event."""
    table = Table(list(COLUMNS), _rows(journal, report))
    written = as_csv(table) if form == "csv" else as_spreadsheet(table, title=f"Preflight {journal}")
    with audit.gesture(actor=actor, now=now) as gesture:
        after = {"findings": written.rows, "format": form}
        gesture.record("journal.preflight_exported", journal, after=after)
    return written.content


def _rows(journal: Journal, report: Report) -> Iterator[list[Cell]]:
    for each in report.findings:
        done = report.acknowledged.get(each.key)
        yield [
            journal.number,
            "warning" if each.is_warning else "error",
            each.check,
            each.line or "",
            each.file_line or "",
            each.field,
            each.value,
            each.message,
            done.acknowledged_by_name if done else "",
            done.reason if done else "",
        ]
