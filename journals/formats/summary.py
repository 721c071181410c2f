"""The sum of a journal: a row for each PI, project and fund/org."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from .documents import Cell, Document, Table, TableFormat

# So many different texts of a reference stand in a row.
MOST_REFERENCES = 3

HEADINGS = [
    "journal",
    "state",
    "period",
    "pi_email",
    "pi_name",
    "project",
    "fund_org",
    "grant_number",
    "request_id",
    "currency",
    "lines",
    "list_cost",
    "discount",
    "subsidy",
    "charged",
]


@dataclass
class _Sum:
    pi_name: str = ""
    grant_numbers: set[str] = field(default_factory=set)
    request_ids: set[str] = field(default_factory=set)
    lines: int = 0
    list_cost: Decimal = Decimal(0)
    contracted_cost: Decimal = Decimal(0)
    charged: Decimal = Decimal(0)


def table(document: Document) -> Table:
    return Table(HEADINGS, _rows(document))


def _rows(document: Document) -> Iterator[list[Cell]]:
    sums: dict[tuple[str, str, str], _Sum] = {}
    for line in document.payer_lines:
        each = sums.setdefault((line.pi_email, line.project, line.fund_org), _Sum())
        each.pi_name = each.pi_name or line.pi_name
        each.grant_numbers.add(line.grant_number)
        each.request_ids.add(line.request_id)
        each.lines += 1
        each.list_cost += line.list_cost
        each.contracted_cost += line.contracted_cost
        each.charged += line.amount
    for (pi, project, fund_org), each in sorted(sums.items()):
        yield [
            document.number,
            document.state,
            document.period,
            pi,
            each.pi_name,
            project,
            fund_org,
            _listed(each.grant_numbers),
            _listed(each.request_ids),
            document.currency,
            each.lines,
            each.list_cost,
            each.list_cost - each.contracted_cost,
            each.contracted_cost - each.charged,
            each.charged,
        ]


def _listed(texts: set[str]) -> str:
    found = sorted(text for text in texts if text)
    more = f"; and {len(found) - MOST_REFERENCES:,} more" if len(found) > MOST_REFERENCES else ""
    return "; ".join(found[:MOST_REFERENCES]) + more


SUMMARY = TableFormat("summary", "A row for each PI, project and fund/org", table)
