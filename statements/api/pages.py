"""One page of a list: its rows, and where the next page begins.

Pages go by keys, not by counts: statements in the order in which they were issued, and within one its rows in theirs.
A statement issued meanwhile comes at the end, and moves nothing from one page to another. What one page reads is
bounded, however many rows a parameter leaves out: a page may have fewer rows than it could, and still a next one.
"""

import csv
import io
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet

from billing.sheets import unguarded

from .. import issuing
from ..issuing.charge_files import HEADINGS, HEADINGS_AFTER_REFERENCES
from ..models import Statement, StatementLine, StatementQuerySet
from .asking import PER_PAGE, Cursor
from .fields import CHARGE, LINE, STATEMENT, USAGE, ChargeRow, Field, UsageRow, row_of

# So many statements are looked through for one page.
MOST_STATEMENTS = 200
# Lines read at once with their resources, of which there may be thousands.
LINES_AT_ONCE = 20
# The columns of charges.csv under names that no policy changes.
COLUMNS = (*HEADINGS, "Reference 1", "Reference 2", *HEADINGS_AFTER_REFERENCES)
START: Cursor = (0, 0, 0)

Placed = tuple[Cursor, object]


@dataclass(frozen=True)
class Page:
    rows: list[dict[str, Any]] = field(default_factory=list)
    # The place after which the next page begins; None at the end.
    after: Cursor | None = None


@dataclass(frozen=True)
class Resource:
    """A kind of rows: their fields, and what yields them with their places, of statements and after a place."""

    fields: tuple[Field, ...]
    rows: Callable[[Sequence[Statement], Cursor, Mapping[str, Any]], Generator[Placed]]


def page_of(resource: Resource, found: StatementQuerySet, asked: Mapping[str, Any]) -> Page:
    """Return the rows of statements after the place that is asked for."""
    limit: int = asked.get("limit", PER_PAGE)
    cursor: Cursor = asked.get("cursor", START)
    most = limit if resource.fields is STATEMENT else MOST_STATEMENTS
    read = found.select_related("period", "pi", "project", "reference__period", "superseded_by").order_by("pk")
    batch = list(read.filter(pk__gte=cursor[0])[: most + 1])
    page = Page()
    with closing(resource.rows(batch[:most], cursor, asked)) as rows:
        for place, row in rows:
            if len(page.rows) == limit:
                return Page(page.rows, after=cursor)
            page.rows.append(row_of(resource.fields, row))
            cursor = place
    return Page(page.rows, after=(batch[-1].pk, 0, 0) if len(batch) > most else None)


def _statements(batch: Sequence[Statement], cursor: Cursor, asked: Mapping[str, Any]) -> Generator[Placed]:
    for each in batch:
        # What comes after it begins with the next statement, whatever its key.
        yield (each.pk + 1, 0, 0), each


def _lines(batch: Sequence[Statement], cursor: Cursor, asked: Mapping[str, Any]) -> Generator[Placed]:
    of = {each.pk: each for each in batch}
    for line in _lines_of(of, (cursor[0], cursor[1] + 1), asked).defer("resources").iterator():
        line.statement = of[line.statement_id]
        yield (line.statement_id, line.number, 0), line


def _usage(batch: Sequence[Statement], cursor: Cursor, asked: Mapping[str, Any]) -> Generator[Placed]:
    of = {each.pk: each for each in batch}
    for line in _lines_of(of, cursor[:2], asked).iterator(chunk_size=LINES_AT_ONCE):
        line.statement = of[line.statement_id]
        used = ((resource, usage) for resource in line.resources for usage in resource.get("usage", ()))
        for number, (resource, usage) in enumerate(used, 1):
            if (place := (line.statement_id, line.number, number)) > cursor:
                yield place, UsageRow(line, resource, usage)


def _charges(batch: Sequence[Statement], cursor: Cursor, asked: Mapping[str, Any]) -> Generator[Placed]:
    fund_org = asked.get("fund_org")
    for statement in batch:
        if not statement.charges_sha256:
            continue
        text = issuing.charges_csv_of(statement).decode("utf-8-sig")
        rows = csv.reader(io.StringIO(text))
        next(rows)
        for number, row in enumerate(rows, 1):
            if (place := (statement.pk, number, 0)) > cursor:
                cells = {name: unguarded(cell) for name, cell in zip(COLUMNS, row, strict=True)}
                if fund_org in (None, cells["Fund/org"]):
                    yield place, ChargeRow(statement, cells)


def _lines_of(statements: Iterable[int], at: tuple[int, int], asked: Mapping[str, Any]) -> "QuerySet[StatementLine]":
    """Return the lines of statements from a line on, in their order."""
    statement, number = at
    found = StatementLine.objects.filter(
        Q(statement__gt=statement) | Q(statement=statement, number__gte=number), statement__in=list(statements)
    )
    if fund_org := asked.get("fund_org"):
        found = found.filter(fund_org=fund_org)
    return found.order_by("statement_id", "number")


RESOURCES: dict[str, Resource] = {
    "statements": Resource(STATEMENT, _statements),
    "lines": Resource(LINE, _lines),
    "charges": Resource(CHARGE, _charges),
    "usage": Resource(USAGE, _usage),
}
