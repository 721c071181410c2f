"""What a token may see: the statements of its owner, or those that an admin chose for it."""

import datetime

from django.db.models import Q
from django.db.models.functions import Coalesce

from billing.models import ApiToken
from billing.models.departments import DepartmentTree

from ..models import Statement, StatementQuerySet


def visible_to(token: ApiToken, *, on: datetime.date) -> StatementQuerySet:
    """Return the statements that a token may see on a day; everything that the API hands out comes from them."""
    if token.kind == ApiToken.Kind.PORTAL:
        return Statement.objects.visible_to(token.owner, on=on)
    if token.sees_everything:
        return Statement.objects.all()
    chosen = list(token.departments.values_list("pk", flat=True))
    tree = DepartmentTree() if chosen else None
    departments = set().union(*(tree.within(each) for each in chosen)) if tree else set()
    seen = (
        Q(pi__in=token.people.values("pk"))
        | Q(project__in=token.projects.values("pk"))
        # As with all reports: a project's own department, or else that of its PI.
        | Q(home__in=departments)
    )
    home = Coalesce("project__department", "project__pi__department", "pi__department")
    return Statement.objects.alias(home=home).filter(seen)
