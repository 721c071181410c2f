"""PIs and projects as rows: found by what people call them, or made; and an attribution as charges keep it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import audit
from ..addresses import normalized_email
from ..models import Person, Project
from ..models.people import Mailboxes
from ..texts import code_of, folded_code
from .draft import Attribution

# Where a charge keeps its attribution (see owner_values): as it is named, and with the PI and the project in front.
NAMED_COLUMNS = (
    "fund_org",
    "cost_center",
    "natural_account",
    "reference_1",
    "reference_2",
    "shared_as",
    "attributed_by",
    "deciders",
)
OWNER_COLUMNS = ("pi_id", "project_id", *NAMED_COLUMNS)


def person_for(email: str) -> Person:
    """Return the PI with this address, alias or mailbox, made now if nobody has it."""
    return (
        Person.objects.owning(email)
        or Person.objects.get_or_create(email=Mailboxes().known_as(normalized_email(email)))[0]
    )


def project_for(code: str, pi: Person | None) -> Project:
    """Return the project of this code in any case, made now (of this PI) if there is none."""
    return Project.objects.coded(code).first() or Project.objects.create(code=code_of(code), pi=pi)


def people_of(emails: Iterable[str], gesture: audit.Gesture) -> dict[str, int]:
    """Return the id of each PI by address, making those who are not there yet."""
    wanted = sorted({email for email in emails if email})
    known = known_people(wanted)
    if missing := [email for email in wanted if email not in known]:
        # Another import may be making the same PI just now.
        new = [Person(email=email) for email in missing]
        Person.objects.bulk_create(new, ignore_conflicts=True)
        made = known_people(missing)
        for email in missing:
            gesture.record("person.learned", Person(pk=made[email], email=email), after={"email": email})
        known |= made
    return known


def projects_of(owners: dict[str, str], people: dict[str, int], gesture: audit.Gesture) -> dict[str, int]:
    """Return the id of each project by its folded code, making those that are not there yet.

    `owners` maps codes to the address of the PI who first used them; `people` maps addresses to ids.
    """
    missing: dict[str, Project] = {}
    known = known_projects()
    for code, owner in owners.items():
        if code and folded_code(code) not in known:
            missing.setdefault(folded_code(code), Project(code=code, pi_id=people.get(owner)))
    if missing:
        # In one order, so that two imports with the same do not wait for each other crosswise.
        Project.objects.bulk_create([missing[folded] for folded in sorted(missing)], ignore_conflicts=True)
        known = known_projects()
        for folded, project in missing.items():
            project.pk = known[folded]
            gesture.record("project.learned", project, after={"code": project.code, "pi": owners[project.code]})
    return known


def owner_values(
    attribution: Attribution, *, people: Mapping[str, int], projects: Mapping[str, int]
) -> tuple[object, ...]:
    """Return an attribution as OWNER_COLUMNS hold it; `people` and `projects` as the makers of these return them."""
    return (
        people.get(attribution.pi_email),
        projects.get(folded_code(attribution.project_code)) if attribution.project_code else None,
        *(getattr(attribution, name) for name in NAMED_COLUMNS),
    )


def known_people(emails: Sequence[str]) -> dict[str, int]:
    """Return the id of each PI there is, by address."""
    return {
        email: person_id
        for start in range(0, len(emails), 500)
        for email, person_id in Person.objects.filter(email__in=emails[start : start + 500]).values_list("email", "id")
    }


def known_projects() -> dict[str, int]:
    """Return the id of each project there is, by its folded code."""
    return {folded_code(code): project_id for code, project_id in plain_last(Project.objects.values_list("code", "id"))}


def plain_last(projects: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Set those projects last, and so in force, whose code has nothing in it that nobody sees: both may be there."""
    return sorted(projects, key=lambda each: each[0] == code_of(each[0]))
