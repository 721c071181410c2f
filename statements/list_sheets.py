"""Statements as a table to take along: a row each, with what it comes to, as CSV or Excel."""

import datetime
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import IO

from django.db.models import QuerySet
from django.utils import timezone

from billing import audit
from billing.audit import Actor
from billing.sheets import write_table

from .models import Statement

CHUNK = 500
Tell = Callable[[int, int, str], None]
AMOUNTS = ("list_price", "provider_discount", "subsidy", "corrections", "total_charged")
COLUMNS = (
    *("statement", "revision", "period", "state", "pi", "pi_name", "project", "fund_orgs", "currency"),
    *AMOUNTS,
    *("issued", "written_to_file", "sent", "superseded_by", "voided", "void_reason"),
)


def write(
    *,
    statements: "QuerySet[Statement]",
    file: IO[bytes],
    form: str,
    asked: str = "",
    tell: Tell | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> int:
    """Write statements to a file of one of `billing.sheets.FORMATS`, and return how many.

    `asked` says how they were chosen. List price, discount and subsidy are of the month alone: with corrections they
    come to the total charged. That they were taken out is an event of the audit log.
    """
    count = write_table(rows=_rows(statements, tell), columns=COLUMNS, title="Statements", file=file, form=form)
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("statement.list_exported", after={"statements": count, "format": form, "filters": asked})
    return count


def _rows(statements: "QuerySet[Statement]", tell: Tell | None) -> Iterator[dict[str, str | Decimal]]:
    chosen = (
        Statement.objects.filter(pk__in=statements.order_by().values("pk"))
        .select_related("period", "pi", "project", "superseded_by")
        .prefetch_related("lines")
        .order_by("-period__month", "number")
    )
    total = chosen.count() if tell else 0
    for done, statement in enumerate(chosen.iterator(chunk_size=CHUNK), start=1):
        if tell and done % CHUNK == 0:
            tell(done, total, "Writing statements")
        yield values_of(statement)


def values_of(statement: Statement) -> dict[str, str | Decimal]:
    """Return a statement as a row says it: texts, and amounts as Decimal."""
    return {
        "statement": statement.number,
        "revision": str(statement.revision),
        "period": statement.period.iso_month,
        "state": statement.get_state_display(),
        "pi": statement.pi.email,
        "pi_name": statement.pi.name,
        "project": statement.project.code if statement.project else "",
        "fund_orgs": "; ".join(dict.fromkeys(line.fund_org for line in statement.lines.all() if line.fund_org)),
        "currency": statement.currency,
        "list_price": statement.month_list_cost,
        "provider_discount": statement.month_discount,
        "subsidy": statement.month_subsidy,
        "corrections": statement.corrections,
        "total_charged": statement.charged,
        "issued": _day(statement.issued_at),
        "written_to_file": _day(statement.written_at),
        "sent": _day(statement.sent_at),
        "superseded_by": str(statement.superseded_by or ""),
        "voided": _day(statement.voided_at),
        "void_reason": statement.void_reason,
    }


def _day(moment: datetime.datetime | None) -> str:
    return timezone.localdate(moment).isoformat() if moment else ""
