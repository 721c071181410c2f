"""Who may see which statement: people of every kind, statements of every kind, and words that give each away."""

import datetime
from dataclasses import dataclass, field
from decimal import Decimal

from django.utils import timezone

from billing.api_tokens import Scope
from billing.models import Membership, User
from statements import issuing
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

# The statements of the scene: what each is called here, and whose project it is of.
OWNERS = {
    "ada genomics": ("ada@u.edu", "genomics"),
    "ada proteins": ("ada@u.edu", "proteins"),
    "ada alone": ("ada@u.edu", None),
    "mallory genomics": ("mallory@u.edu", "genomics"),
    "mallory mischief": ("mallory@u.edu", "mischief"),
}
ADA, MALLORY = {each for each in OWNERS if each.startswith("ada")}, {each for each in OWNERS if "mallory" in each}
BOTH_GENOMICS = {"ada genomics", "mallory genomics"}

# What each person sees in the portal, whatever else they may do elsewhere.
SEES: dict[str, set[str]] = {
    "pi": ADA,
    "delegate": ADA,
    "delegate of a project": {"ada genomics"},
    "delegate of two PIs": ADA | {"mallory mischief"},
    "former delegate": set(),
    "coming delegate": set(),
    "other PI": MALLORY,
    "viewer": set(),
    "reviewer": set(),
    "finance": set(),
    "admin": set(),
}
# What service tokens see, by what an admin chose.
SERVICES: dict[str, set[str]] = {
    "everything": ADA | MALLORY,
    "a PI": MALLORY,
    "a project": BOTH_GENOMICS,
    "a department": {"ada genomics", "ada proteins", "mallory genomics"},
    "a PI and a project": ADA | {"mallory genomics"},
}


@dataclass
class Scene:
    """The statements by name, and the people; `old` and `void` are earlier revisions of two of Ada's."""

    people: dict[str, User]
    statements: dict[str, list[Statement]] = field(default_factory=dict)

    def of(self, names: set[str]) -> list[Statement]:
        return [each for name in sorted(names) for each in self.statements[name]]

    def service(self, name: str) -> str:
        """Return the secret of a service token of this scope."""
        scope = {
            "everything": Scope(everything=True),
            "a PI": Scope(people=[build.a_pi("mallory@u.edu")]),
            "a project": Scope(projects=[build.a_project("genomics")]),
            "a department": Scope(departments=[build.a_department("SCI")]),
            "a PI and a project": Scope(people=[build.a_pi("ada@u.edu")], projects=[build.a_project("genomics")]),
        }[name]
        return build.a_service_token(self.people["admin"], scope, name, now=timezone.now())


def marker(name: str) -> str:
    """Return a word that stands in every row of a statement and in none of another."""
    return "mark-" + name.replace(" ", "-")


def marks_in(text: str) -> set[str]:
    """Return the statements that a text gives away."""
    # Documents break long words.
    joined = text.replace("\n", "").replace(" ", "")
    return {name for name in OWNERS if marker(name) in joined}


def a_delegate(name: str, pi: str, **fields) -> User:
    user = build.a_user(name, "delegate")
    since = {"valid_from": datetime.date(2024, 1, 1)}
    Membership.objects.create(person=build.a_pi(pi), user=user, **since | fields)
    return user


def the_people(cast: build.Cast) -> dict[str, User]:
    today = timezone.localdate()
    day = datetime.timedelta(days=1)
    both = a_delegate("bea", "ada@u.edu")
    Membership.objects.create(
        person=build.a_pi("mallory@u.edu"), user=both, project=build.a_project("mischief"), valid_from=today
    )
    return {
        "pi": cast.pi,
        "delegate": cast.delegate,
        "delegate of a project": a_delegate("gil", "ada@u.edu", project=build.a_project("genomics")),
        "delegate of two PIs": both,
        "former delegate": a_delegate("fred", "ada@u.edu", valid_until=today - day),
        "coming delegate": a_delegate("cora", "ada@u.edu", valid_from=today + day),
        "other PI": cast.stranger,
        **cast.staff,
    }


def the_scene(cast: build.Cast) -> Scene:
    """Make statements of January: Ada's and Mallory's, who have a project together, and a cost that all share.

    Of Ada's, one was revised and one was voided and issued again. Projects of the department SCI are Ada's two and
    Mallory's part of the one that they share.
    """
    build.a_department("SCI")
    science = build.a_department("BIO", parent=build.a_department("SCI"))
    build.a_project("genomics", department=science)
    build.a_project("proteins", department=science)
    scene = Scene(the_people(cast))
    for number, (name, (pi, project)) in enumerate(OWNERS.items(), 1):
        build.a_charge(
            f"{number}00.00",
            pi=pi,
            project=project,
            resource_id=marker(name),
            resource_name=marker(name),
            fund_org=f"FUND-{number}",
            consumed_quantity=str(number),
            consumed_unit=f"hours-{marker(name)}",
            list_cost=Decimal(number * 150),
        )
    build.a_charge("9.00", pi=None, project=None, fund_org="", shared_as="Support")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    voided = Statement.objects.get(pi__email="ada@u.edu", project__code="proteins")
    issuing.void(statement=voided, reason="Wrong fund", actor=SOMEBODY, now=NOW)
    build.a_charge("7.00", project="genomics", resource_id=marker("ada genomics"), resource_name=marker("ada genomics"))
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    for name, (pi, project) in OWNERS.items():
        own = Statement.objects.filter(pi__email=pi, project__code=project) if project else None
        if own is None:
            own = Statement.objects.filter(pi__email=pi, project__isnull=True)
        scene.statements[name] = list(own.order_by("pk"))
    return scene
