"""Departments of the institution, one within another, by which people and projects are gathered."""

from collections.abc import Iterable, Mapping

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from ..texts import folded_code
from .typed import CodeField, FoldedField, NameField

LENGTH = 200


class DepartmentQuerySet(models.QuerySet["Department"]):
    def coded(self, code: str) -> "DepartmentQuerySet":
        return self.filter(folded_code=folded_code(code))


class Department(models.Model):
    """A department, school or college. Those within it belong to it as well."""

    code = CodeField(max_length=LENGTH, help_text="Unique, in whatever case it is written, such as CHEM.")
    # Longer than the code, because some letters become two or three.
    folded_code = FoldedField(of="code", max_length=3 * LENGTH, unique=True)
    name = NameField(max_length=LENGTH, blank=True, help_text="Printed on statements. Empty: the code is printed.")
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="children",
        verbose_name="part of",
        help_text="The school or college it belongs to.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DepartmentQuerySet.as_manager()

    class Meta:
        ordering = ("code",)
        constraints = [
            models.CheckConstraint(
                condition=Q(parent__isnull=True) | ~Q(parent=F("id")),
                name="department_is_not_part_of_itself",
                violation_error_message="A department cannot be part of itself.",
            ),
        ]

    def __str__(self) -> str:
        if not self.name or folded_code(self.name) == folded_code(self.code):
            return self.display_name
        return f"{self.name} ({self.code})"

    def clean(self) -> None:
        """Raise ValidationError for a code that another has, and for a parent that is within this one."""
        same = type(self).objects.coded(self.code).exclude(pk=self.pk).first()
        if same:
            raise ValidationError({"code": f"There is a department with this code: {same}."})
        if self.pk and self.parent_id and self.parent_id in DepartmentTree().within(self.pk):
            told = (
                "A department cannot be part of itself."
                if self.parent_id == self.pk
                else f"{self.parent} is within {self}: one of them cannot be part of the other."
            )
            raise ValidationError({"parent": told})

    @property
    def display_name(self) -> str:
        return self.name or self.code


class DepartmentTree:
    """All departments, read once, and which are within which.

    A circle, which only a change behind the program's back makes, is walked once.
    """

    def __init__(self, departments: Iterable[Department] | None = None) -> None:
        every = Department.objects.all() if departments is None else departments
        self.by_id: dict[int, Department] = {each.pk: each for each in every}
        self._children: dict[int | None, list[int]] = {}
        for each in sorted(self.by_id.values(), key=lambda each: (each.display_name.casefold(), each.pk)):
            self._children.setdefault(each.parent_id, []).append(each.pk)

    def within(self, department_id: int) -> set[int]:
        """Return the ids of a department and of all within it."""
        found, waiting = {department_id}, [department_id]
        while waiting:
            for child in self._children.get(waiting.pop(), ()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return found

    def above(self, department_id: int) -> list[Department]:
        """Return the departments that one is within, the outermost first."""
        found: list[Department] = []
        seen = {department_id}
        at = self.by_id[department_id].parent_id
        while at is not None and at not in seen:
            seen.add(at)
            found.insert(0, self.by_id[at])
            at = self.by_id[at].parent_id
        return found

    def in_order(self) -> list[tuple[Department, int]]:
        """Return all departments by name, those within one below it, each with how deep it is; the outermost is 0."""
        found: list[tuple[Department, int]] = []
        waiting = [(pk, 0) for pk in reversed(self._children.get(None, ()))]
        while waiting:
            at, depth = waiting.pop()
            found.append((self.by_id[at], depth))
            waiting += [(child, depth + 1) for child in reversed(self._children.get(at, ()))]
        return found

    def added_up(self, numbers: Mapping[int, int]) -> dict[int, int]:
        """Return, for each department, the sum of the numbers of it and of all within it."""
        return {pk: sum(numbers.get(each, 0) for each in self.within(pk)) for pk in self.by_id}
