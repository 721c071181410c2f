"""The entry for the general ledger: balanced pairs, with a column for each segment of the fund/org."""

from collections.abc import Iterator

from .documents import Cell, Document, Table, TableFormat

HEAD = ["journal", "state", "posting_date", "period", "line", "fund_org"]
TAIL = ["natural_account", "debit", "credit", "currency", "reference", "description", "grant_number", "request_id"]


def table(document: Document) -> Table:
    # A segment that an institution calls as we call a column keeps a name of its own.
    named = [f"segment_{name}" if name in {*HEAD, *TAIL} else name for name in document.segments]
    return Table([*HEAD, *named, *TAIL], _rows(document))


def _rows(document: Document) -> Iterator[list[Cell]]:
    for line in document.ledger_lines:
        yield [
            document.number,
            document.state,
            document.posting_date,
            document.period,
            line.number,
            line.fund_org,
            *(line.segments.get(name, "") for name in document.segments),
            line.natural_account,
            line.debit,
            line.credit,
            document.currency,
            line.reference,
            line.description,
            line.grant_number,
            line.request_id,
        ]


GL = TableFormat("gl", "Debits and credits for the general ledger, with the segments of each fund/org", table, True)
