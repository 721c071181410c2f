"""Whose costs somebody may see: their own as a PI, and what a PI has given them as a delegate."""

import datetime
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from django.db.models import Q

from .. import once_a_page
from .people import Membership, Person, User


@dataclass(frozen=True)
class Scope:
    """The PIs and projects of one reader on one day."""

    # The PIs who the reader is: one, but for those whom staff have not merged yet.
    own: frozenset[int] = frozenset()
    # The PIs who gave the reader everything, and those who gave single projects.
    whole: frozenset[int] = frozenset()
    projects: dict[int, frozenset[int]] = field(default_factory=dict)
    # Where a delegate may ask and propose in the PI's name: all of a PI's projects, or single ones.
    acts_whole: frozenset[int] = frozenset()
    acts_projects: dict[int, frozenset[int]] = field(default_factory=dict)

    @property
    def pis(self) -> frozenset[int]:
        """All whose costs are seen, in whole or in part."""
        return self.own | self.whole | frozenset(self.projects)

    @property
    def is_delegate(self) -> bool:
        return bool(self.whole or self.projects)

    def rows(self) -> Q:
        """Return what picks the rows that the reader may see, of any model with a `pi` and a `project`."""
        parts = [
            Q(pi=pi, project__in=projects)
            for pi, projects in sorted(self.projects.items())
            if pi not in self.own | self.whole
        ]
        return reduce(or_, parts, Q(pi__in=self.own | self.whole))

    def may_act(self, pi: int, project: int | None) -> bool:
        """Tell whether the reader may ask and propose about a project of a PI: the PI, or a delegate who acts."""
        return pi in self.own | self.acts_whole or project in self.acts_projects.get(pi, ())


def scope_of(user: User, *, on: datetime.date) -> Scope:
    """Return what a person may see on a day, as a PI and as a delegate.

    A PI is known by the link to her user or, where that is not made, by the user's e-mail address or an alias.
    Delegates see a PI's costs, or those of one project, between their dates. What staff may see does not count here.
    """
    return once_a_page.value(f"scope of user {user.pk} on day {on.toordinal()}", lambda: _scope_of(user, on))


def _scope_of(user: User, on: datetime.date) -> Scope:
    whole: set[int] = set()
    acts_whole: set[int] = set()
    projects: dict[int, set[int]] = {}
    acts_projects: dict[int, set[int]] = {}
    held = Membership.objects.in_force(on).filter(user=user).values_list("person_id", "project_id", "may_act")
    for pi, project, may_act in held:
        if project is None:
            whole.add(pi)
            acts_whole |= {pi} if may_act else set()
        else:
            projects.setdefault(pi, set()).add(project)
            if may_act:
                acts_projects.setdefault(pi, set()).add(project)
    return Scope(
        own=frozenset(Person.objects.who_are(user).values_list("pk", flat=True)),
        whole=frozenset(whole),
        projects={pi: frozenset(of) for pi, of in projects.items()},
        acts_whole=frozenset(acts_whole),
        acts_projects={pi: frozenset(of) for pi, of in acts_projects.items()},
    )
