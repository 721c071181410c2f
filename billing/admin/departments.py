"""Departments, and the filters of people and projects by them."""

from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from ..models import Department, Person, Project
from ..models.departments import DepartmentTree
from ..setup import departments, registers
from ..texts import number_in
from .links import link, list_url
from .lists import RegisterAdmin
from .money import MoneyMixin

NONE = "none"


class DepartmentFilter(admin.SimpleListFilter):
    """Narrows a list to a department and all within it."""

    title = "department"
    parameter_name = "department"
    # The field with the department's id, which a subclass may have to annotate.
    field: ClassVar[str] = "department"
    offers_none: ClassVar[bool] = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        tree = DepartmentTree()
        # Those with anything in them, and those that these are within: no list of all that an institution has.
        used = set(self.annotated(model_admin.model.objects.all()).values_list(self.field, flat=True).distinct())
        found = [
            (str(each.pk), "\u2003" * depth + each.display_name)
            for each, depth in tree.in_order()
            if used & tree.within(each.pk)
        ]
        return [*found, (NONE, "No department")] if found and self.offers_none and None in used else found

    def annotated(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.order_by()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (value := self.value()):
            return queryset
        found = self.annotated(queryset.model.objects.all())
        if value == NONE:
            found = found.filter(**{f"{self.field}__isnull": True})
        else:
            number = number_in(value)
            ids = set() if number is None else DepartmentTree().within(number)
            found = found.filter(**{f"{self.field}__in": ids})
        return queryset.filter(pk__in=found.values("pk"))


class ProjectDepartmentFilter(DepartmentFilter):
    """A project without a department is of its PI's."""

    field = "home_id"

    def annotated(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.order_by().with_department()  # type: ignore[attr-defined]


class PartOfFilter(DepartmentFilter):
    """Narrows the departments themselves to those within one."""

    title = "school or college"
    parameter_name = "within"
    field = "parent_id"
    offers_none = False

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (value := self.value()):
            return queryset
        number = number_in(value)
        return queryset.none() if number is None else queryset.filter(pk__in=DepartmentTree().within(number))


def _numbers(rows: Iterable[tuple[int | None, int]]) -> dict[int, int]:
    return {pk: number for pk, number in rows if pk is not None}


def _people_and_projects(tree: DepartmentTree) -> tuple[dict[int, int], dict[int, int]]:
    """Return how many PIs and projects each department has with all within it, by its id."""
    people = Person.objects.order_by().values_list("department").annotate(Count("pk"))
    # With `home_id`, which is no field of it.
    every: Any = Project.objects.order_by().with_department()
    projects = every.values_list("home_id").annotate(Count("pk"))
    return tree.added_up(_numbers(people)), tree.added_up(_numbers(projects))


def _counted(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _linked(number: int, model: type[Person | Project], department: Department, words: str = "") -> str | SafeString:
    """Set a number of PIs or projects, which leads to their list."""
    text = words or f"{number:,}"
    return link(list_url(model, f"department={department.pk}"), text) if number else text


def _uses_of(chosen: Collection[Department]) -> list[str | SafeString]:
    """Say, department by department, what keeps these from being deleted."""
    said: list[str | SafeString] = []
    for each in chosen:
        people, projects = each.people.count(), each.projects.count()
        if people:
            said.append(_linked(people, Person, each, f"{_counted(people, 'PI', 'PIs')} of {each}"))
        if projects:
            said.append(_linked(projects, Project, each, f"{_counted(projects, 'project', 'projects')} of {each}"))
        if children := each.children.count():
            url = list_url(Department, f"within={each.pk}")
            said.append(link(url, f"{_counted(children, 'department', 'departments')} within {each}"))
    return said


@admin.register(Department)
class DepartmentAdmin(MoneyMixin, RegisterAdmin):
    register = registers.DEPARTMENTS
    load_title = "Load the list of departments"
    load_hint = "One may be part of another that the same file adds."
    money_by, money_key = "department", "code"
    when_empty = (
        "There are no departments yet. Add them here. A list of people adds those that it names for the first time."
    )
    list_display = ("display_name", "code", "parent", "people_count", "project_count")
    list_filter = (PartOfFilter,)
    ordering = ("code",)
    list_select_related = ("parent",)
    search_fields = ("code", "name", "parent__code", "parent__name")
    autocomplete_fields = ("parent",)
    readonly_fields = ("contents",)
    delete_confirmation_template = "admin/billing/department/delete_confirmation.html"
    delete_selected_confirmation_template = "admin/billing/department/delete_selected_confirmation.html"

    def get_fields(self, request: HttpRequest, obj: Department | None = None) -> tuple[str, ...]:
        return ("code", "name", "parent", *(("contents",) if obj else ()))

    def lock(self) -> None:
        departments.lock_tree()

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        listed = super().get_changelist_instance(request)
        people, projects = _people_and_projects(DepartmentTree())
        # Of this page alone, so that no other request sees the numbers.
        listed.result_list = list(listed.result_list)
        for each in listed.result_list:
            each.people_number, each.project_number = people.get(each.pk, 0), projects.get(each.pk, 0)
        return listed

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        to_delete, counts, lacking, protected = super().get_deleted_objects(objs, request)
        # Django would list every person and project by name.
        return to_delete, counts, lacking, _uses_of(list(objs)) if protected else protected

    @admin.display(description="name", ordering="name")
    def display_name(self, department: Department) -> str:
        return department.display_name

    @admin.display(description="PIs")
    def people_count(self, department: Any) -> str | SafeString:
        return _linked(department.people_number, Person, department)

    @admin.display(description="projects")
    def project_count(self, department: Any) -> str | SafeString:
        return _linked(department.project_number, Project, department)

    @admin.display(description="contains")
    def contents(self, department: Department) -> str | SafeString:
        tree = DepartmentTree()
        people, projects = (numbers[department.pk] for numbers in _people_and_projects(tree))
        parts = len(tree.within(department.pk)) - 1
        said = [
            _linked(people, Person, department, _counted(people, "PI", "PIs")),
            _linked(projects, Project, department, _counted(projects, "project", "projects")),
        ]
        if parts:
            url = list_url(Department, f"within={department.pk}")
            said.append(link(url, _counted(parts, "department", "departments")))
        return format_html_join(", ", "{}", ((each,) for each in said))
