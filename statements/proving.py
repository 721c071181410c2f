"""What statements say of a month, for the proof: each payer line as stated, and statements that do not add up."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from billing.errors import NextStep
from billing.fields import WIDE
from billing.models import BillingPeriod
from billing.money import ZERO, plain
from billing.proof import STATED, About, Finding, Side, SideLine
from billing.proof.seals import LineSeals, sealed, sealed_lines, together

from .models import Statement, StatementLine

# What never changes once a statement is issued. Written out, as in billing.seals.
SEALED = (
    *("pi", "project", "reference", "revision", "digest", "document", "currency", "issued_at"),
    *("list_cost", "contracted_cost", "charged", "charges_sha256"),
)
SEALED_OF_LINES = (
    *("number", "payer_key", "kind", "for_month", "fund_org", "source_name", "source_label", "natural_account"),
    *("service_name", "list_cost", "contracted_cost", "charged", "resources", "usage"),
)

# What a statement's lines add up to.
AMOUNTS = ("charged", "list_cost", "contracted_cost")


class _Head(NamedTuple):
    """What a statement says above its lines."""

    number: str
    pk: int
    currency: str
    digest: str
    charged: Decimal
    list_cost: Decimal
    contracted_cost: Decimal


def stated(period: BillingPeriod) -> Side:
    """Return what the statements in force of a period say, by payer key."""
    lines: dict[str, SideLine] = {}
    sums: dict[_Head, list[Decimal]] = {}
    # With its lines, if it has any: one that lost them all is still there.
    columns = ("number", "pk", "currency", "digest", *AMOUNTS, "lines__payer_key", "lines__source_name")
    live = Statement.objects.live().filter(period=period).order_by()
    rows = live.values_list(*columns, *(f"lines__{name}" for name in AMOUNTS))
    width = len(_Head._fields)
    for row in rows.iterator(chunk_size=5_000):
        head = _Head(*row[:width])
        key, source, *amounts = row[width:]
        known = sums.setdefault(head, [ZERO] * len(AMOUNTS))
        if key is not None:
            lines[key] = SideLine(source, amounts[0], 1)
            sums[head] = [WIDE.add(*pair) for pair in zip(known, amounts, strict=True)]
    said = "\n".join(f"{each.number} {each.digest} {plain(each.charged)}" for each in sorted(sums))
    return Side(
        code=STATED,
        label="Statements in force",
        lines=lines,
        find=lambda key: _line_of(period, key),
        broken=tuple(_not_adding_up(sums)),
        fingerprint=hashlib.sha256(said.encode()).hexdigest(),
        about=About("statements.statement", where={"period": period.iso_month}),
        then=NextStep("issue_statements", {"period": period.iso_month}),
        seal=lambda: _seals(period),
        seal_lines=lambda: _line_seals(period),
    )


def _seals(period: BillingPeriod) -> dict[str, str]:
    """Return a digest of each statement that was ever issued for a month, and of its lines."""
    heads = sealed(Statement.objects.filter(period=period), "number", *SEALED)
    lines = sealed(StatementLine.objects.filter(statement__period=period), "statement__number", *SEALED_OF_LINES)
    return together(heads, lines)


def _line_seals(period: BillingPeriod) -> LineSeals:
    lines = StatementLine.objects.filter(statement__period=period)
    return sealed_lines(lines, "statement__number", *SEALED_OF_LINES)


def _not_adding_up(added: Mapping[_Head, list[Decimal]]) -> list[Finding]:
    """Find the statements whose lines do not add up to their totals."""
    found = []
    for each, sums in sorted(added.items(), key=lambda each: each[0]):
        if sums != [each.charged, each.list_cost, each.contracted_cost]:
            found.append(
                Finding(
                    "statement",
                    f"Statement {each.number}",
                    f"its lines add up to {_told(each.currency, *sums)}; it was issued over "
                    f"{_told(each.currency, each.charged, each.list_cost, each.contracted_cost)}.",
                    About("statements.statement", each.pk),
                )
            )
    return found


def _line_of(period: BillingPeriod, key: str) -> tuple[str, About | None]:
    live = Statement.objects.live().filter(period=period)
    line = StatementLine.objects.filter(statement__in=live, payer_key=key).select_related("statement").first()
    if line is None:
        return f"No statement line of {key}", None
    return (
        f"Line {line.number} of statement {line.statement.number}",
        About("statements.statement", line.statement_id),
    )


def _told(currency: str, charged: Decimal, listed: Decimal, contracted: Decimal) -> str:
    return f"{plain(charged, currency)} (list {plain(listed, currency)}, contracted {plain(contracted, currency)})"
