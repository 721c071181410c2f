"""The detail of a journal: a row for each payer, with list price, discount and subsidy."""

from collections.abc import Iterator

from .documents import Cell, Document, Table, TableFormat

HEADINGS = [
    "journal",
    "state",
    "period",
    "for_month",
    "reference",
    "pi_email",
    "pi_name",
    "project",
    "fund_org",
    "source",
    "service",
    "kind",
    "natural_account",
    "grant_number",
    "request_id",
    "currency",
    "list_cost",
    "discount",
    "subsidy",
    "charged",
]


def table(document: Document) -> Table:
    return Table(HEADINGS, _rows(document))


def _rows(document: Document) -> Iterator[list[Cell]]:
    for line in document.payer_lines:
        yield [
            document.number,
            document.state,
            document.period,
            line.month,
            line.reference,
            line.pi_email,
            line.pi_name,
            line.project,
            line.fund_org,
            line.source,
            line.service,
            line.kind,
            line.natural_account,
            line.grant_number,
            line.request_id,
            document.currency,
            line.list_cost,
            line.list_cost - line.contracted_cost,
            line.contracted_cost - line.amount,
            line.amount,
        ]


STANDARD = TableFormat("standard", "Detail: a row for each payer line, with discount and subsidy", table)
