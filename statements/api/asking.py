"""What a request asks for: its parameters, each checked, and which statements they leave."""

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.http import QueryDict

from billing.addresses import normalized_email
from billing.models.periods import parse_month
from billing.texts import code_of

from ..models import Statement, StatementLine, StatementQuerySet
from .fields import IN_FORCE, SUPERSEDED, VOID
from .refusals import not_found, wrong_parameter

PER_PAGE, MOST_PER_PAGE = 100, 1_000
# Longer than any name, code or address that is kept.
LONGEST = 1_000
CURSOR = re.compile(r"[0-9]{1,18}(?:-[0-9]{1,9}){0,2}")
STATES = {
    IN_FORCE: Q(state__in=Statement.LIVE),
    SUPERSEDED: Q(state=Statement.State.SUPERSEDED),
    VOID: Q(state=Statement.State.VOID),
    "any": Q(),
}

Cursor = tuple[int, int, int]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a list: what it says, for the documentation, and how it is read; ValueError where it is wrong."""

    said: str
    read: Callable[[str], Any]


def _moment(text: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("Write a day or a moment in UTC, such as 2025-02-03 or 2025-02-03T09:30:00Z.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _month(text: str) -> datetime.date:
    try:
        return parse_month(text)
    except ValueError as error:
        raise ValueError("Write a year and month, such as 2025-01.") from error


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= MOST_PER_PAGE:
        raise ValueError(f"Write a number from 1 to {MOST_PER_PAGE}.")
    return int(text)


def _state(text: str) -> str:
    if text not in STATES:
        raise ValueError(f"It may be {', '.join(STATES)}.")
    return text


def _cursor(text: str) -> Cursor:
    if not CURSOR.fullmatch(text):
        raise ValueError("Follow the links under next; a cursor of your own means nothing.")
    first, second, third = (*map(int, text.split("-")), 0, 0)[:3]
    return first, second, third


PARAMETERS: dict[str, Parameter] = {
    "month": Parameter("Statements of this month, such as `2025-01`.", _month),
    "project": Parameter("Of the project with this code, in any case.", code_of),
    "pi": Parameter("Of the PI with this e-mail address.", normalized_email),
    "fund_org": Parameter("Charged to this fund/org: of statements, those with such a line.", code_of),
    "statement": Parameter("Of the statement with this number, in force or superseded.", str),
    "since": Parameter("Issued, superseded or voided at this day or moment (UTC) or later.", _moment),
    "state": Parameter("Of statements: `in_force` (as without it), `superseded`, `void` or `any`.", _state),
    "limit": Parameter(f"Rows of a page: {PER_PAGE} without it, and {MOST_PER_PAGE} at most.", _number),
    "cursor": Parameter("Where a page begins. The link under `next` has it.", _cursor),
}
# What each list knows; rows of statements are of one statement, or of those in force.
OF_STATEMENTS = tuple(name for name in PARAMETERS if name != "statement")
OF_ROWS = tuple(name for name in PARAMETERS if name != "state")


def table() -> str:
    """Return the parameters as a Markdown table, as docs/user-guide/api.md has it."""
    lists = {True: "all", False: "statements"}
    rows = [
        f"| `{name}` | {lists[name in OF_ROWS] if name in OF_STATEMENTS else 'lines, charges, usage'} | {each.said} |"
        for name, each in PARAMETERS.items()
    ]
    return "\n".join(["| parameter | lists | keeps |", "|---|---|---|", *rows])


def parameters_of(query: QueryDict, known: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters of a request, read. Raises Refused, which names one that is wrong, unknown or twice."""
    found: dict[str, Any] = {}
    for name, values in query.lists():
        if name not in known:
            raise wrong_parameter(name[:LONGEST], f"There is no such parameter here. There are {', '.join(known)}.")
        text = values[-1].strip()
        if len(values) > 1:
            raise wrong_parameter(name, "It is there twice.")
        if not text or len(text) > LONGEST:
            raise wrong_parameter(name, "It is empty or too long.")
        try:
            found[name] = PARAMETERS[name].read(text)
        except ValueError as error:
            raise wrong_parameter(name, str(error)) from error
    return found


def narrowed(found: StatementQuerySet, asked: Mapping[str, Any]) -> StatementQuerySet:
    """Keep the statements that parameters ask for. Raises Refused for a statement that is not there, or is void."""
    if number := asked.get("statement"):
        one = found.filter(number=number).first()
        if one is None:
            raise not_found()
        found = found.filter(pk=one.pk).exclude(STATES[VOID])
    else:
        found = found.filter(STATES[asked.get("state", IN_FORCE)])
    if month := asked.get("month"):
        found = found.filter(period__month=month)
    if code := asked.get("project"):
        found = found.filter(project__code__iexact=code)
    if address := asked.get("pi"):
        found = found.filter(pi__email=address)
    if fund_org := asked.get("fund_org"):
        found = found.filter(Exists(StatementLine.objects.filter(statement=OuterRef("pk"), fund_org=fund_org)))
    if since := asked.get("since"):
        changed = Q(issued_at__gte=since) | Q(superseded_at__gte=since) | Q(voided_at__gte=since)
        found = found.filter(changed)
    return found
