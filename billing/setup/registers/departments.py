"""The list of departments, each within another or outermost."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...models import Department, Job
from ...texts import folded_code
from ..lists import ListRefused, Loading
from .columns import Known, code, department, text
from .kinds import Found, Register, Stored


class DepartmentsRefused(ListRefused):
    """A list of departments that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No department was loaded."


def _find(row: Mapping[str, str], known: Known, stored: Stored) -> Found:
    said = folded_code(row["code"])
    if not said:
        raise ValueError("code", "is empty")
    found: Any = stored.by_key.get(said)
    return said, found.code if found else row["code"], found


def _no_circles(loading: Loading[Any], stored: Stored, known: Known) -> None:
    """Refuse the lines by which a department comes to be within itself."""
    current: dict[int, Any] = {each.pk: each for each in stored.objects}
    for each in [*loading.added, *(changed for changed, _ in loading.changed)]:
        at, seen = _above(each, current), {id(each)}
        while at is not None and id(at) not in seen:
            seen.add(id(at))
            at = _above(at, current)
        if at is each:
            line = loading.lines[folded_code(each.code)]
            loading.refuse(line, "part_of", f"{each.code} would be within itself")


def _above(department: Any, current: Mapping[int, Any]) -> Any:
    above = department.parent
    return current.get(above.pk, above) if above is not None and above.pk else above


def _outermost_first(added: list[Any]) -> Iterator[list[Any]]:
    """Yield new departments so that each comes after the one it is within."""
    waiting = list(added)
    while waiting:
        ready = [each for each in waiting if each.parent is None or each.parent.pk]
        yield ready
        waiting = [each for each in waiting if each not in ready]


DEPARTMENTS = Register(
    name="departments",
    event="department",
    model=Department,
    nouns=("department", "departments"),
    columns=(
        code("code", "Unique, in whatever case it is written.", is_key=True),
        text("name", "As statements print it. Empty: the code is printed."),
        department("part_of", "Code or name of the school or college it belongs to, of this file, too.", "parent"),
    ),
    job=Job.Kind.DEPARTMENTS,
    refused=DepartmentsRefused,
    nobody="The file names no department.",
    find=_find,
    key_of=lambda each: folded_code(each.code),
    related=("parent",),
    queryset=lambda found: found.order_by("code"),
    check=_no_circles,
    in_order=_outermost_first,
    introduce=lambda each, known: known.departments.introduce(each),
    is_of_departments=True,
)
