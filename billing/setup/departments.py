"""Departments as people name them, by code or by name; and those that a list names for the first time."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError

from .. import audit
from ..audit.snapshots import snapshot
from ..errors import BillingError
from ..models import Department
from ..models.typed import require_said
from ..texts import cleaned, code_of, folded_code, odd_characters, quoted

BATCH = 500
# New departments named in a message, as many as a person reads.
SHOWN = 20


class DepartmentUnclear(BillingError):
    """A text that is no department, or is the name of several."""


class Departments:
    """The departments there are, and those that a list adds, found by what people write of them.

    A text is a code, in whatever case, or else the name of one department. Where it is neither, it is both of a
    new one.
    """

    def __init__(self, departments: Sequence[Department] | None = None) -> None:
        every = list(Department.objects.all()) if departments is None else departments
        self.by_id: dict[int | None, Department] = {each.pk: each for each in every}
        self.added: list[Department] = []
        self._by_code = {folded_code(each.code): each for each in every}
        self._by_name: dict[str, list[Department]] = {}
        for each in every:
            if each.name:
                self._by_name.setdefault(folded_code(each.name), []).append(each)

    def named(self, text: str) -> Department | None:
        """Return the department that a text names, None for an empty one; a new one is unsaved, and in `added`.

        Raises DepartmentUnclear.
        """
        folded = folded_code(text)
        return (self._present(text, folded) or self._new(text, folded)) if folded else None

    def found(self, text: str) -> Department | None:
        """Return the department that a text names, None for an empty one.

        Raises DepartmentUnclear, also for one that is not there.
        """
        folded = folded_code(text)
        if found := self._present(text, folded) if folded else None:
            return found
        if folded:
            raise DepartmentUnclear(f"there is no department {quoted(text)}. Load the list of departments first")
        return None

    def introduce(self, department: Department) -> None:
        """Have a department found by its code that is not stored yet."""
        self._by_code[folded_code(department.code)] = department

    def _present(self, text: str, folded: str) -> Department | None:
        if found := self._by_code.get(folded):
            return found
        named = self._by_name.get(folded, [])
        if len(named) > 1:
            codes = ", ".join(sorted(each.code for each in named))
            raise DepartmentUnclear(f"{quoted(text)} is the name of {len(named)} departments: write {codes}")
        return named[0] if named else None

    def _new(self, text: str, folded: str) -> Department:
        department = Department(code=code_of(text), name=cleaned(text))
        try:
            require_said(department.code)
            department.clean_fields()
        except ValidationError as error:
            raise DepartmentUnclear(error.messages[0]) from error
        if odd := odd_characters(department.code):
            raise DepartmentUnclear(f"{quoted(text)}: {odd}")
        self._by_code[folded] = department
        self.added.append(department)
        return department

    def store(self, gesture: audit.Gesture) -> None:
        """Store the new departments, each with its event."""
        Department.objects.bulk_create(self.added, batch_size=BATCH)
        for each in self.added:
            gesture.record("department.added", each, after=snapshot(each))


def lock_tree() -> None:
    """Wait for whoever moves departments, until the transaction ends: two moves together could make a circle."""
    list(Department.objects.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))


def told_of_new(names: Sequence[str], *, is_dry_run: bool) -> str:
    """Say which departments a list adds, "" where there is none."""
    if not names:
        return ""
    several = f"{len(names):,} departments" if len(names) > 1 else "1 department"
    more = len(names) - SHOWN
    shown = ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
    return f"{several} {'would be ' if is_dry_run else ''}added: {shown}."
