"""What statements say of a month, for the proof: each payer line as stated, and statements that do not add up."""

import hashlib
from decimal import Decimal

from django.db.models import Count

from billing.errors import NextStep
from billing.fields import AmountSum
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


def stated(period: BillingPeriod) -> Side:
    """Return what the statements in force of a period say, by payer key."""
    live = Statement.objects.live().filter(period=period)
    lines = {
        key: SideLine(source, charged, 1)
        for key, source, charged in StatementLine.objects.filter(statement__in=live)
        .order_by()
        .values_list("payer_key", "source_name", "charged")
    }
    statements = list(live.order_by("number").defer("document"))
    said = "\n".join(f"{each.number} {each.digest} {plain(each.charged)}" for each in statements)
    return Side(
        code=STATED,
        label="Statements in force",
        lines=lines,
        find=lambda key: _line_of(period, key),
        broken=tuple(_not_adding_up(statements)),
        fingerprint=hashlib.sha256(said.encode()).hexdigest(),
        about=About("statements.statement", where={"period": str(period), "state": "live"}),
        then=NextStep("issue_statements", {"period": str(period)}),
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


def _not_adding_up(statements: list[Statement]) -> list[Finding]:
    """Find the statements whose lines do not add up to their totals."""
    added = {
        pk: tuple(sums)
        for pk, *sums in StatementLine.objects.filter(statement__in=Statement.objects.live())
        .filter(statement__period__in={each.period_id for each in statements})
        .order_by()
        .values_list("statement")
        .annotate(
            list=AmountSum("list_cost"),
            contracted=AmountSum("contracted_cost"),
            charged=AmountSum("charged"),
            lines=Count("*"),
        )
    }
    found = []
    for each in statements:
        sums = added.get(each.pk, (ZERO, ZERO, ZERO, 0))
        if sums[:3] != (each.list_cost, each.contracted_cost, each.charged):
            found.append(
                Finding(
                    "statement",
                    f"Statement {each.number}",
                    f"its lines add up to {_told(each.currency, sums[2], sums[0], sums[1])}; it was issued over "
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
