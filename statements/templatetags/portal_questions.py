"""Questions on the portal's pages: beside each line of a statement, for a project, and in the navigation."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.db import DatabaseError
from django.utils import timezone

from billing.models import Policy, Project, Question, User

from ..models import Statement
from ..questions import lines, visible

register = template.Library()


@dataclass(frozen=True)
class Asking:
    """What is asked about a statement's lines, and whether its reader may ask."""

    may_ask: bool
    by_line: dict[int, list[Question]]


def _user(context: template.Context) -> User | None:
    user = context["request"].user if "request" in context else None
    return user if isinstance(user, User) else None


@register.simple_tag(takes_context=True)
def questions_of(context: template.Context, statement: Statement) -> Asking:
    """Return what is asked about the lines of a statement."""
    user, today = _user(context), timezone.localdate()
    may_ask = (
        user is not None
        and statement.state in Statement.LIVE
        and visible.may_act(user, statement.pi_id, statement.project_id, on=today)
    )
    return Asking(may_ask, lines.by_line(statement))


@register.inclusion_tag("portal/line_questions.html")
def line_questions(statement: Statement, asking: Asking | None, line: Any) -> dict[str, Any]:
    """Show what was asked about a line, and where to ask."""
    asked = asking.by_line.get(line.number, []) if asking else []
    is_open = any(each.is_open and not each.charge_id for each in asked)
    return {
        "statement": statement,
        "line": line,
        "asked": asked,
        "may_ask": asking is not None and asking.may_ask and not is_open,
    }


@register.simple_tag(takes_context=True)
def may_propose(context: template.Context, project: Project) -> bool:
    """Tell whether the reader may propose who pays for a project."""
    user = _user(context)
    if user is None or not project.pi_id or not Policy.objects.current().pis_propose:
        return False
    return visible.may_act(user, project.pi_id, project.pk, on=timezone.localdate())


@register.simple_tag(takes_context=True)
def replies_waiting(context: template.Context) -> int:
    """Return how many questions wait for their reader."""
    user = _user(context)
    if user is None:
        return 0
    try:
        return _replied_to(user)
    except DatabaseError:
        # The page may be the one that says so.
        return 0


def _replied_to(user: User) -> int:
    return visible.visible_to(user, on=timezone.localdate()).filter(state=Question.State.REPLIED).count()
