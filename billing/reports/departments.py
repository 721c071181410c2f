"""Departments as reports count them: of a project or PI as they are today, with totals up the tree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..models import Department, Person, Project
from ..models.departments import DepartmentTree

# In place of an id, where there is none.
NONE = 0


class Homes:
    """Where each project and PI belongs: a project without a department to that of its PI."""

    def __init__(self) -> None:
        self.tree = DepartmentTree()

    @cached_property
    def _of_people(self) -> dict[int, int]:
        return dict(Person.objects.filter(department__isnull=False).values_list("pk", "department_id"))

    @cached_property
    def _of_projects(self) -> dict[int, int]:
        # With `home_id`, which is no field of it.
        projects: Any = Project.objects.order_by().with_department()
        return dict(projects.filter(home_id__isnull=False).values_list("pk", "home_id"))

    def of(self, pi_id: int, project_id: int) -> int:
        """Return the department of what a PI is charged in a project (NONE: in none), or NONE."""
        return self._of_projects.get(project_id) or self._of_people.get(pi_id) or NONE

    def college(self, department_id: int) -> int:
        """Return the outermost department that one is within, which may be itself."""
        if not department_id:
            return NONE
        above = self.tree.above(department_id)
        return above[0].pk if above else department_id


@dataclass(frozen=True)
class Branch:
    """A department among the rows of a report, and how deep; `is_itself` is what it has beside those within it."""

    department: Department
    depth: int
    is_itself: bool = False


def branches(tree: DepartmentTree, used: Mapping[int, object]) -> list[Branch]:
    """Return the departments that anything `used` is of, in order, those within one below it.

    One that has something of its own besides has a row of that first among those within it.
    """
    found = []
    for department, depth in tree.in_order():
        inside = tree.within(department.pk) & set(used)
        if not inside:
            continue
        found.append(Branch(department, depth))
        if department.pk in inside and len(inside) > 1:
            found.append(Branch(department, depth + 1, is_itself=True))
    return found


def parts_of(listed: Iterable[Branch]) -> list[tuple[int, ...]]:
    """Return, for each branch, the places of those right below it."""
    every = list(listed)
    parts: list[list[int]] = [[] for _ in every]
    above: list[int] = []
    for place, branch in enumerate(every):
        del above[branch.depth :]
        if above:
            parts[above[-1]].append(place)
        above.append(place)
    return [tuple(each) for each in parts]
