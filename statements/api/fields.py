"""The fields of each resource, in the order in which they are sent: what they are called, are, say, and come from."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any

from billing.money import ZERO, plain

from ..models import Statement, StatementLine
from ..portal_links import statement_link

# Kinds of fields, as the documentation explains them.
TEXT, NUMBER, AMOUNT, MONTH, DATE, MOMENT = "text", "number", "amount", "month", "date", "moment"
DECIMAL, YES_NO, LIST, OBJECT = "decimal", "yes or no", "list", "object"

IN_FORCE, SUPERSEDED, VOID = "in_force", "superseded", "void"


@dataclass(frozen=True)
class Field:
    """One field: `of` returns its value of a row, ready for JSON."""

    name: str
    kind: str
    said: str
    of: Callable[[Any], Any]


@dataclass(frozen=True)
class ChargeRow:
    """A row of charges.csv of a statement, by heading."""

    statement: Statement
    cells: Mapping[str, str]


@dataclass(frozen=True)
class UsageRow:
    """What one resource of a line used, in one unit."""

    line: StatementLine
    resource: Mapping[str, Any]
    usage: Mapping[str, str]


def row_of(fields: Sequence[Field], source: object) -> dict[str, Any]:
    return {field.name: field.of(source) for field in fields}


def table_of(fields: Sequence[Field]) -> str:
    """Return the fields as a Markdown table, as docs/user-guide/api.md has it."""
    rows = [f"| `{field.name}` | {field.kind} | {field.said} |" for field in fields]
    return "\n".join(["| field | kind | what it says |", "|---|---|---|", *rows])


def state_of(statement: Statement) -> str:
    """Return what became of a statement; how its e-mail went is no part of it."""
    if statement.state == Statement.State.VOID:
        return VOID
    return SUPERSEDED if statement.state == Statement.State.SUPERSEDED else IN_FORCE


def _at(moment: datetime.datetime | None) -> str | None:
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z") if moment else None


def _money(name: str) -> Callable[[Any], str | None]:
    """Return what writes an amount of a statement; a void one says nothing of what it charged."""
    read = attrgetter(name)

    def written(statement: Statement) -> str | None:
        return None if state_of(statement) == VOID else _amount(read(statement), statement.currency)

    return written


def _amount(amount: Decimal, currency: str) -> str:
    return plain(amount if amount else ZERO, currency)


def _of_line(name: str) -> Callable[[StatementLine], str]:
    read = attrgetter(name)
    return lambda line: _amount(read(line), line.statement.currency)


# Whose a row is and of which month: the same fields first in every resource, for joining them.
def _owner(statement: Callable[[Any], Statement]) -> tuple[Field, ...]:
    return (
        Field("month", MONTH, "The statement's month.", lambda row: statement(row).period.iso_month),
        Field("pi_email", TEXT, "The address of the PI.", lambda row: statement(row).pi.email),
        Field(
            "project_code",
            TEXT,
            "The code of the project; empty for what has none.",
            lambda row: project.code if (project := statement(row).project) else "",
        ),
    )


STATEMENT = (
    Field("number", TEXT, "The number of the statement, such as `2025-01-0007-1`.", attrgetter("number")),
    Field(
        "reference", TEXT, "What all its revisions share: the number without the revision.", lambda s: str(s.reference)
    ),
    Field("revision", NUMBER, "Counted from 1.", attrgetter("revision")),
    Field("state", TEXT, "`in_force`, `superseded` by a later revision, or `void`.", state_of),
    *_owner(lambda statement: statement),
    Field("pi_name", TEXT, "The name of the PI.", lambda s: s.pi.display_name),
    Field("project_name", TEXT, "The name of the project.", lambda s: s.project.name if s.project else ""),
    Field("month_status", TEXT, "`open`, `review`, `closed` or `finalized`, as it is now.", lambda s: s.period.status),
    Field("currency", TEXT, "ISO 4217, of all amounts of the statement.", attrgetter("currency")),
    Field("list_cost", AMOUNT, "List price of the month.", _money("month_list_cost")),
    Field("discount", AMOUNT, "What the provider's discount takes off.", _money("month_discount")),
    Field("subsidy", AMOUNT, "What the institution pays.", _money("month_subsidy")),
    Field("corrections", AMOUNT, "Corrections and late changes of earlier months.", _money("corrections")),
    Field(
        "charged",
        AMOUNT,
        "Total charged: list price less discount and subsidy, and the corrections.",
        _money("charged"),
    ),
    Field(
        "questions_until",
        DATE,
        "Until when to ask, where the month was in review when it was issued; or null.",
        lambda s: s.review_until.isoformat() if s.review_until else None,
    ),
    Field("issued_at", MOMENT, "When it was issued.", lambda s: _at(s.issued_at)),
    Field("superseded_at", MOMENT, "When a later revision took over, or null.", lambda s: _at(s.superseded_at)),
    Field(
        "superseded_by",
        TEXT,
        "The number of that revision, or null.",
        lambda s: s.superseded_by.number if s.superseded_by else None,
    ),
    Field(
        "voided_at", MOMENT, "When it was voided, or null. All its amounts are null then.", lambda s: _at(s.voided_at)
    ),
    Field("void_reason", TEXT, "Why it was voided.", attrgetter("void_reason")),
    Field("portal_url", TEXT, "Its page in the portal, for people.", lambda s: statement_link(s.number)),
)

LINE = (
    Field("statement", TEXT, "The number of the statement.", lambda line: line.statement.number),
    Field("line", NUMBER, "The number of the line, counted from 1.", attrgetter("number")),
    *_owner(lambda line: line.statement),
    Field("kind", TEXT, "`charge`, `shared`, `late`, or the kind of correction.", attrgetter("kind")),
    Field(
        "is_correction",
        YES_NO,
        "Whether it corrects, or is charged late for, an earlier month.",
        lambda line: line.is_correction_in(line.statement.period.iso_month),
    ),
    Field("for_month", MONTH, "The month that the cost is of.", attrgetter("for_month")),
    Field("fund_org", TEXT, "Who pays: the fund/org. Empty: a customer, by invoice.", attrgetter("fund_org")),
    Field(
        "is_journaled",
        YES_NO,
        "Whether the ledger is charged; no for what is only shown.",
        lambda line: line.source_name not in line.statement.document.get("showback", ()),
    ),
    Field("source", TEXT, "The short name of where the cost comes from.", attrgetter("source_name")),
    Field("source_label", TEXT, "Its name for people.", attrgetter("source_label")),
    Field("service", TEXT, "The provider's service, or the shared cost.", attrgetter("service_name")),
    Field("account_code", TEXT, "The ledger's kind of cost.", attrgetter("natural_account")),
    Field("currency", TEXT, "ISO 4217, of all amounts of the line.", lambda line: line.statement.currency),
    Field("list_cost", AMOUNT, "List price.", _of_line("list_cost")),
    Field("discount", AMOUNT, "What the provider's discount takes off.", _of_line("discount")),
    Field("subsidy", AMOUNT, "What the institution pays.", _of_line("subsidy")),
    Field("charged", AMOUNT, "What the fund/org is charged.", _of_line("charged")),
    Field(
        "shared_total",
        AMOUNT,
        "Of a share in a shared cost: the whole that was shared; or null.",
        lambda line: None if line.shared_total is None else _amount(line.shared_total, line.statement.currency),
    ),
    Field("charges", NUMBER, "How many charges it adds up.", attrgetter("charge_count")),
    Field(
        "usage",
        LIST,
        "How much was used: objects with `quantity`, `unit` and `percent`, as in the usage resource.",
        lambda line: [dict(each) for each in line.usage],
    ),
    Field(
        "reference_1", TEXT, "The first reference of its charges, such as a grant number.", attrgetter("reference_1")
    ),
    Field("reference_2", TEXT, "The second one, such as a request id.", attrgetter("reference_2")),
    Field(
        "corrects",
        LIST,
        "Lines of earlier statements that it corrects, such as `2025-01-0007-1:3`.",
        lambda line: list(line.corrects),
    ),
    Field(
        "original",
        OBJECT,
        "Where its charges came in another currency: `currency`, `rate`, `list` and `charged` before it; or null.",
        lambda line: dict(line.original) or None,
    ),
)


def _cell(heading: str) -> Callable[[ChargeRow], str]:
    return lambda row: row.cells[heading]


def _cell_at(heading: str) -> Callable[[ChargeRow], str | None]:
    return lambda row: _at(datetime.datetime.fromisoformat(row.cells[heading])) if row.cells[heading] else None


CHARGE = (
    Field("statement", TEXT, "The number of the statement.", lambda row: row.statement.number),
    Field("line", NUMBER, "The line of the statement that it is in.", lambda row: int(row.cells["Line"])),
    *_owner(lambda row: row.statement),
    Field(
        "charge",
        TEXT,
        "The number of the charge, or of the correction; empty for a share of a shared cost or a sum of charges.",
        _cell("Charge"),
    ),
    Field("service_from", MOMENT, "When the service began, or null.", _cell_at("Service from")),
    Field("service_until", MOMENT, "When it ended, exclusive, or null.", _cell_at("Service until")),
    Field("source_label", TEXT, "Where the cost comes from.", _cell("Source")),
    Field("provider", TEXT, "The provider.", _cell("Provider")),
    Field("service", TEXT, "The provider's service, or the shared cost.", _cell("Service")),
    Field("resource_id", TEXT, "The provider's id of the resource.", _cell("Resource id")),
    Field("resource_name", TEXT, "The name of the resource.", _cell("Resource")),
    Field("sku", TEXT, "What the provider calls the price.", _cell("SKU")),
    Field(
        "quantity",
        DECIMAL,
        "How much the resource used as a whole. A row with several units has them with semicolons between.",
        _cell("Usage"),
    ),
    Field("unit", TEXT, "The unit of the quantity.", _cell("Unit")),
    Field("share", TEXT, "Which part of the cost is charged here, such as `60%`.", _cell("Share")),
    Field("currency", TEXT, "ISO 4217, of all amounts of the row.", _cell("Currency")),
    Field("list_cost", AMOUNT, "List price.", _cell("List price")),
    Field("contracted_cost", AMOUNT, "List price less the provider's discount.", _cell("Contracted price")),
    Field("charged", AMOUNT, "What the fund/org is charged.", _cell("Charged")),
    Field("fund_org", TEXT, "Who pays: the fund/org. Empty: a customer, by invoice.", _cell("Fund/org")),
    Field("reference_1", TEXT, "The first reference, such as a grant number.", _cell("Reference 1")),
    Field("reference_2", TEXT, "The second one, such as a request id.", _cell("Reference 2")),
    Field(
        "note",
        TEXT,
        "Another month that it is for, the words of a correction, or of how many charges it is the sum.",
        _cell("Note"),
    ),
)

USAGE = (
    Field("statement", TEXT, "The number of the statement.", lambda row: row.line.statement.number),
    Field("line", NUMBER, "The line of the statement that it is in.", lambda row: row.line.number),
    *_owner(lambda row: row.line.statement),
    Field("for_month", MONTH, "The month that the cost is of.", lambda row: row.line.for_month),
    Field("fund_org", TEXT, "Who pays: the fund/org. Empty: a customer, by invoice.", lambda row: row.line.fund_org),
    Field("source", TEXT, "The short name of where the cost comes from.", lambda row: row.line.source_name),
    Field("service", TEXT, "The provider's service.", lambda row: row.line.service_name),
    Field("resource_id", TEXT, "The provider's id of the resource.", lambda row: row.resource["id"]),
    Field("resource_name", TEXT, "The name of the resource.", lambda row: row.resource["name"]),
    Field(
        "further_resources",
        NUMBER,
        "Above 0 where the row adds up so many small resources, which are not named.",
        lambda row: row.resource.get("further", 0),
    ),
    Field(
        "quantity",
        DECIMAL,
        "How much the resource used as a whole, to its last digit.",
        lambda row: row.usage["quantity"],
    ),
    Field("unit", TEXT, "The unit of the quantity.", lambda row: row.usage["unit"]),
    Field(
        "percent",
        DECIMAL,
        "Which percent of its cost is charged here. The quantity is not multiplied by it.",
        lambda row: row.usage["percent"],
    ),
    Field("currency", TEXT, "ISO 4217, of the amount.", lambda row: row.line.statement.currency),
    Field(
        "charged",
        AMOUNT,
        "What the resource is charged in this line, whatever number of units it has.",
        lambda row: _amount(Decimal(row.resource["charged"]), row.line.statement.currency),
    ),
)

RESOURCES: dict[str, tuple[Field, ...]] = {"statements": STATEMENT, "lines": LINE, "charges": CHARGE, "usage": USAGE}
