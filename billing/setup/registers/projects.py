"""The list of projects: whose each is, who may see it, until when, and what pays by default."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.utils import timezone

from ... import audit
from ...models import Job, Membership, PayerSplit, Project, User
from ...texts import folded_code
from .. import delegates
from ..customers import holding_from
from ..lists import ListRefused
from .columns import Known, Links, code, codes, day, department, parts_of, person, text
from .kinds import Found, Register, Stored


class ProjectsRefused(ListRefused):
    """A list of projects that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No project was loaded."


def _find(row: Mapping[str, str], known: Known, stored: Stored) -> Found:
    said = row["code"]
    if not folded_code(said):
        raise ValueError("code", "is empty")
    found: Any = stored.by_key.get(folded_code(said))
    return folded_code(said), found.code if found else said, found


# Delegates of a project ----------------------------------------------------------------------------------------------


def _memberships(project: Project) -> Iterator[Membership]:
    """Yield who may see this project of its PI, and no more of them, today."""
    today = timezone.localdate()
    for each in project.membership_set.all():
        is_over = each.valid_until and each.valid_until < today
        if each.person_id == project.pi_id and each.valid_from <= today and not is_over:
            yield each


def _members(project: Project) -> list[User]:
    return [each.user for each in _memberships(project)]


def _accounts(said: str, known: Known) -> list[User]:
    try:
        return [delegates.account_of(part) for part in parts_of(said)]
    except delegates.NotNamed as error:
        raise ValueError(str(error)) from error


def _wrong_members(project: Project, added: Collection[Any]) -> str:
    if added and project.pi is None:
        return "members are delegates of the PI: name the PI, too"
    assert project.pi is not None or not added
    for user in added:
        if said := delegates.refusal_of(pi=project.pi, user=user, who=_written(user)):  # type: ignore[arg-type]
            return said
    return ""


def _name_members(gesture: audit.Gesture, project: Project, had: Collection[Any], chosen: Collection[Any]) -> None:
    by: dict[str, Any] = {"actor": gesture.actor, "now": gesture.now}
    for each in list(_memberships(project)):
        if each.user not in chosen:
            delegates.remove_delegate(membership=each, **by)
    for user in chosen:
        if user not in had:
            assert project.pi is not None
            delegates.name_delegate(pi=project.pi, who=_written(user), project=project, **by)


def _written(user: User) -> str:
    return user.email or user.get_username()


def _wrong(project: Project, changed: Collection[str], known: Known) -> Iterable[tuple[str, str]]:
    """Refuse a PI whose customer would pay by invoice what a split shares among fund/orgs."""
    customer = project.customer or (project.pi.customer if project.pi else None)
    if "pi" not in changed or customer is None or project.pk is None:
        return
    if PayerSplit.objects.filter(holding_from(timezone.localdate()), project=project).exists():
        yield "pi", f"{customer} would pay this project by invoice, and a split shares it among fund/orgs"


PROJECTS = Register(
    name="projects",
    event="project",
    model=Project,
    nouns=("project", "projects"),
    columns=(
        code("code", "As tags write it, in whatever case.", is_key=True),
        text("name", "What it is called."),
        person("pi", "The e-mail address of its PI, who has to be there.", "pi"),
        department("department", "Code or name of a department that is there. Empty: that of the PI.", "department"),
        day("end_date", "Charges for service after this day are held."),
        day("reconciliation_end_date", "The last day for corrections."),
        code("default_fund_org", "Charged where a row of this project names no fund/org."),
        codes(
            "members",
            "Who may see this project's costs beside its PI: user names or e-mail addresses of accounts.",
            words=_written,
            links=Links(
                of=_members, read=_accounts, store=_name_members, wrong=_wrong_members, depends_on=frozenset({"pi"})
            ),
        ),
    ),
    job=Job.Kind.PROJECTS,
    refused=ProjectsRefused,
    nobody="The file names no project.",
    find=_find,
    key_of=lambda project: folded_code(project.code),
    related=("pi", "pi__customer", "department", "customer"),
    queryset=lambda found: found.prefetch_related("membership_set__user").order_by("code"),
    wrong=_wrong,
)
