"""Statements as what a trace begins or ends at: found by number, and by the payer lines they print."""

import re
from collections.abc import Sequence

from billing.models import BillingPeriod
from billing.tracing import BATCH, Document, DocumentLine, Provider

from .models import Statement, StatementLine

NUMBER = re.compile(r"(\d{4}-\d{2}-\d{4,})(-\d+)?$")


def find(what: str) -> Document | None:
    """Return the statement of a number (2026-01-0007-2), or the one in force of a reference (2026-01-0007)."""
    match = NUMBER.fullmatch(what)
    if not match:
        return None
    statements = Statement.objects.select_related("period")
    if match[2]:
        statement = statements.filter(number=what).first()
    else:
        # Numbers are reference and revision; without one in force, the last that there was.
        of_reference = statements.filter(number__startswith=f"{what}-").order_by("-revision")
        statement = of_reference.filter(state__in=Statement.LIVE).first() or of_reference.first()
    if statement is None:
        return None
    return Document(
        kind="statement",
        number=statement.number,
        state=statement.get_state_display(),
        lines=tuple(_line(line, statement) for line in statement.lines.order_by("number")),
        subject=statement,
    )


def holding(period: BillingPeriod, keys: Sequence[str]) -> list[DocumentLine]:
    """Return the lines of a month's statements, also of earlier revisions, that print these payer lines."""
    found: list[DocumentLine] = []
    for start in range(0, len(keys), BATCH):
        lines = StatementLine.objects.select_related("statement__period").filter(
            statement__period=period, payer_key__in=keys[start : start + BATCH]
        )
        found += [_line(line, line.statement) for line in lines.order_by("-statement__revision", "number")]
    return found


def _line(line: StatementLine, statement: Statement) -> DocumentLine:
    return DocumentLine(
        kind="statement",
        number=statement.number,
        line=line.number,
        state=statement.get_state_display(),
        stands=statement.state in Statement.LIVE,
        payer_key=line.payer_key,
        period=statement.period,
        text=", ".join(filter(None, (line.source_label, line.service_name, line.fund_org))),
        amount=line.charged,
        currency=statement.currency,
        subject=statement,
    )


DOCUMENTS = Provider(find=find, holding=holding)
