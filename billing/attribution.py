"""Who pays: from a row's tags, else its project, else its source's defaults."""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .models import Charge, FundingSource, PayerSplit, Person, PersonAlias, Policy, Project, Source
from .models.people import normalized_email
from .readers.values import Tags
from .rules import Attributed, Reference

EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\".]+")

# Longest values that their columns hold; what is longer is no such thing but a mistake.
LIMITS = {
    "pi_email": 254,
    "project_id": 128,
    "fund_org": 64,
    "cost_center": 64,
    "natural_account": 64,
    "reference_1": 128,
    "reference_2": 128,
}


@dataclass(frozen=True)
class Attribution:
    """Who pays for a row, by the names that people use; `problem` is what its tags said wrongly."""

    pi_email: str = ""
    project_code: str = ""
    fund_org: str = ""
    cost_center: str = ""
    natural_account: str = ""
    reference_1: str = ""
    reference_2: str = ""
    attributed_by: str = ""
    problem: str = ""


class Attributor:
    """Attributes the rows of one source: built once from the policy and the people known now.

    It only looks; the PIs and projects that a delivery names for the first time are made when it is
    applied, by `people_of` and `projects_of`.
    """

    def __init__(self, *, source: Source, policy: Policy) -> None:
        prefixes = ["", *(prefix.strip().casefold() for prefix in policy.tag_prefixes)]
        # For each field, every key it may stand under, the preferred first.
        self.keys = {
            field: [prefix + folded_code(key) for key in keys for prefix in prefixes]
            for field, keys in policy.tag_keys.items()
        }
        self.aliases = dict(PersonAlias.objects.values_list("email", "person__email"))
        self.active_until = dict(Person.objects.filter(active_until__isnull=False).values_list("email", "active_until"))
        self.projects = {
            folded_code(code): (code, fund_org, end_date, owner or "")
            for code, fund_org, end_date, owner in Project.objects.values_list(
                "code", "default_fund_org", "end_date", "pi__email"
            )
        }
        self.splits: dict[str, list[tuple[datetime.date, datetime.date]]] = {}
        for code, first, last in PayerSplit.objects.filter(project__isnull=False).values_list(
            "project__code", "valid_from", "valid_until"
        ):
            self.splits.setdefault(code, []).append((first or datetime.date.min, last or datetime.date.max))
        self.default_pi = source.default_pi.email if source.default_pi else ""
        self.default_project = source.default_project.code if source.default_project else ""
        self.overflow_fund_org = source.overflow_fund_org

    def attribute(self, tags: Tags) -> Attribution:
        """Return who pays for a row with these tags."""
        found, problems = self._from_tags(tags)
        by = Charge.AttributedBy.TAG if found.pi_email else Charge.AttributedBy.NOTHING
        unknown = (found.project_code, "", None, "")
        code, project_fund, _, owner = self.projects.get(folded_code(found.project_code), unknown)
        found = replace(found, project_code=code)
        if not found.pi_email and owner:
            found, by = replace(found, pi_email=owner), Charge.AttributedBy.PROJECT
        if not found.pi_email and self.default_pi:
            found = replace(found, pi_email=self.default_pi, project_code=found.project_code or self.default_project)
            by = Charge.AttributedBy.DEFAULT
        fund_org = found.fund_org or project_fund or self.overflow_fund_org
        return replace(found, fund_org=fund_org, attributed_by=str(by), problem="; ".join(problems))

    def _from_tags(self, tags: Tags) -> tuple[Attribution, list[str]]:
        by_key = {folded_code(key): value.strip() for key, value in tags.pairs.items()}
        problems = [tags.problem] if tags.problem else []
        values = {}
        for field, keys in self.keys.items():
            value = next((by_key[key] for key in keys if by_key.get(key)), "")
            if field == "pi_email" and value:
                value = self._pi_named(value, problems)
            if len(value) > LIMITS[field] or "\0" in value:
                problems.append(f"The tag for {field} is too long: “{value[:40]}…”.")
                value = ""
            values["project_code" if field == "project_id" else field] = value
        return Attribution(**values), problems

    def _pi_named(self, value: str, problems: list[str]) -> str:
        email = normalized_email(value.removeprefix("mailto:"))
        if not EMAIL.fullmatch(email):
            problems.append(f"The PI's tag is “{value[:60]}”, which is not an e-mail address.")
            return ""
        return self.aliases.get(email, email)

    def facts(self, attribution: Attribution, service_start: datetime.date) -> Attributed:
        """Return what the checks of `rules` need to know about an attribution on a day of service."""
        _, _, project_end, _ = self.projects.get(folded_code(attribution.project_code), ("", "", None, ""))
        return Attributed(
            pi_email=attribution.pi_email,
            pi_active_until=self.active_until.get(attribution.pi_email),
            project_code=attribution.project_code,
            project_end_date=project_end,
            fund_org=attribution.fund_org,
            has_split=any(
                first <= service_start <= last for first, last in self.splits.get(attribution.project_code, ())
            ),
        )


def reference_of(policy: Policy) -> Reference:
    """Return what funds are checked against: the policy's patterns, and the list of funds where there is one."""
    funds = {
        fund_org: (first, last)
        for fund_org, first, last in FundingSource.objects.values_list("fund_org", "valid_from", "valid_until")
    }
    return Reference(fund_org_patterns=tuple(policy.fund_org_patterns), funds=funds or None)


def person_for(email: str) -> Person:
    """Return the PI with this address or alias, made now if nobody has it."""
    address = normalized_email(email)
    alias = PersonAlias.objects.select_related("person").filter(email=address).first()
    return alias.person if alias else Person.objects.get_or_create(email=address)[0]


def project_for(code: str, pi: Person | None) -> Project:
    """Return the project of this code in any case, made now (of this PI) if there is none."""
    return Project.objects.coded(code).first() or Project.objects.create(code=code.strip(), pi=pi)


def people_of(emails: Iterable[str]) -> dict[str, int]:
    """Return the id of each PI by address, making those who are not there yet."""
    wanted = sorted({email for email in emails if email})
    Person.objects.bulk_create([Person(email=email) for email in wanted], ignore_conflicts=True)
    return {
        email: person_id
        for start in range(0, len(wanted), 500)
        for email, person_id in Person.objects.filter(email__in=wanted[start : start + 500]).values_list("email", "id")
    }


def projects_of(owners: dict[str, str], people: dict[str, int]) -> dict[str, int]:
    """Return the id of each project by its folded code, making those that are not there yet.

    `owners` maps codes to the address of the PI who first used them; `people` maps addresses to ids.
    """
    missing: dict[str, Project] = {}
    known = _project_ids()
    for code, owner in owners.items():
        if code and folded_code(code) not in known:
            missing.setdefault(folded_code(code), Project(code=code, pi_id=people.get(owner)))
    if missing:
        # Another delivery may be making the same project just now.
        Project.objects.bulk_create(missing.values(), ignore_conflicts=True)
        known = _project_ids()
    return known


def _project_ids() -> dict[str, int]:
    return {folded_code(code): project_id for code, project_id in Project.objects.values_list("code", "id")}


def folded_code(key: str) -> str:
    """Return a project's code or a tag key as it is compared: trimmed, in lower case."""
    return key.strip().casefold()
