"""Lines of statements as people name them, and the payer lines they show."""

import re

from billing import corrections
from billing.errors import BillingError
from billing.models import (
    BillingPeriod,
)

from ..models import Statement, StatementLine

# A line as people name it: the statement's number and the line's.
LINE = re.compile(r"(\d{4}-\d{2}-\d+-\d+):(\d{1,9})")


class UnknownLine(BillingError):
    """A line of a statement that is not there."""


def line_named(text: str) -> tuple[BillingPeriod, str] | None:
    """Return the month and the key of the payer line that a statement's line shows: `2025-01-0007-1:3`.

    None for a text of another kind. Raises UnknownLine.
    """
    if not (match := LINE.fullmatch(text.strip())):
        return None
    statement = Statement.objects.select_related("period").filter(number=match[1]).first()
    if statement is None:
        raise UnknownLine(f"There is no statement {match[1]}.")
    line = statement.lines.filter(number=int(match[2])).first()
    if line is None:
        raise UnknownLine(f"Statement {statement} has no line {match[2]}; it has {statement.lines.count()}.")
    return statement.period, line.payer_key


def places_of(period: BillingPeriod, key: str) -> list[corrections.Place]:
    """Return the statement in force that shows a payer line, and where."""
    lines = StatementLine.objects.filter(
        payer_key=key, statement__period=period, statement__state__in=Statement.LIVE
    ).select_related("statement")
    return [
        corrections.Place(f"statement {line.statement}, line {line.number}", subject=line.statement) for line in lines
    ]
