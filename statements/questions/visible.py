"""Whose questions somebody may read, and where they may ask: those about what they may see, and nothing else."""

import datetime

from billing.models import Question, User
from billing.models.questions import QuestionQuerySet
from billing.models.scopes import scope_of


def visible_to(user: User, *, on: datetime.date) -> QuestionQuerySet:
    """Keep the questions about costs that a PI or a delegate may see on a day."""
    return Question.objects.filter(scope_of(user, on=on).rows())


def may_act(user: User, pi: int, project: int | None, *, on: datetime.date) -> bool:
    """Tell whether somebody may ask and propose about a project of a PI."""
    return scope_of(user, on=on).may_act(pi, project)
