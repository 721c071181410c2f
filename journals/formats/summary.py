"""The sum of a journal: a row for each PI, project and fund/org."""

from collections.abc import Iterator
from decimal import Decimal

from .documents import Cell, Document, Table, TableFormat

HEADINGS = [
    "journal",
    "state",
    "period",
    "pi_email",
    "pi_name",
    "project",
    "fund_org",
    "currency",
    "lines",
    "list_cost",
    "discount",
    "subsidy",
    "charged",
]


def table(document: Document) -> Table:
    return Table(HEADINGS, _rows(document))


def _rows(document: Document) -> Iterator[list[Cell]]:
    sums: dict[tuple[str, str, str], tuple[str, int, Decimal, Decimal, Decimal]] = {}
    for line in document.payer_lines:
        key = (line.pi_email, line.project, line.fund_org)
        name, lines, listed, contracted, charged = sums.get(key, ("", 0, Decimal(0), Decimal(0), Decimal(0)))
        sums[key] = (
            name or line.pi_name,
            lines + 1,
            listed + line.list_cost,
            contracted + line.contracted_cost,
            charged + line.amount,
        )
    for (pi, project, fund_org), (name, lines, listed, contracted, charged) in sorted(sums.items()):
        yield [
            document.number,
            document.state,
            document.period,
            pi,
            name,
            project,
            fund_org,
            document.currency,
            lines,
            listed,
            listed - contracted,
            contracted - charged,
            charged,
        ]


SUMMARY = TableFormat("summary", "A row for each PI, project and fund/org", table)
