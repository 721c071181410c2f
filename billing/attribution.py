"""Who pays: from a row's tags, then rules, its project, its cloud account, and last its source's defaults."""

import datetime
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q

from . import audit
from .conditions import LOOKS_AT, Conditions, column_holds, day_holds, fits_any, names_at, tag_holds
from .models import (
    AttributionRule,
    Charge,
    CloudAccount,
    Flag,
    FundingSource,
    PayerSplit,
    Person,
    PersonAlias,
    Policy,
    Project,
    Source,
)
from .models.people import normalized_email
from .readers.values import REMEMBERED, Memo, Tags, tags_of
from .rules import Attributed, Reason, Reference, check_attribution

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

# What a rule may set, and what people call it.
SET_BY_RULES = {
    "pi_email": "PI",
    "project_code": "project",
    "fund_org": "fund/org",
    "cost_center": "cost center",
    "natural_account": "natural account",
    "shared_as": "shared",
}

# Who pays a charge that is somebody's own: what no shared cost has.
PAYER = ("pi_email", "project_code", "fund_org")

# Columns by which an account is known, the more particular first.
ACCOUNT_COLUMNS = ("SubAccountId", "BillingAccountId")


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
    shared_as: str = ""
    attributed_by: str = ""
    deciders: str = ""
    problem: str = ""


NO_IDS: Mapping[str, int] = MappingProxyType({})

# Where a charge keeps its attribution; see owner_values.
OWNER_COLUMNS = (
    "pi_id",
    "project_id",
    "fund_org",
    "cost_center",
    "natural_account",
    "reference_1",
    "reference_2",
    "shared_as",
    "attributed_by",
    "deciders",
)


class Place(NamedTuple):
    """What the columns and day of a row mean for who pays: which rules may speak, and whose account it is in.

    `rules` has a bit for each rule of the attributor, set where all its conditions but the tag's hold.
    """

    rules: int = 0
    account: str = ""


NOWHERE = Place()


@dataclass(frozen=True)
class Rule:
    """An AttributionRule as it is applied: by the names that people use."""

    number: int
    conditions: Conditions
    values: Mapping[str, str]
    overrides_tags: bool = False


@dataclass(frozen=True)
class Account:
    """A CloudAccount as it is applied."""

    account_id: str
    pi_email: str = ""
    project_code: str = ""
    fund_org: str = ""


@dataclass
class _Finding:
    """An attribution in the making: values by field, who decided what, and the problems of tags by field."""

    values: dict[str, str]
    problems: list[tuple[str, str]]
    pi_by: str = Charge.AttributedBy.NOTHING
    deciders: list[str] = field(default_factory=list)

    def fill(self, values: Mapping[str, str], *, by: str, decider: str = "", over: Iterable[str] = ()) -> list[str]:
        """Take values for the fields that are empty, and for those named in `over`; return which were taken.

        A cost is somebody's own or shared: what is the one already does not become the other, but where
        all that says so is in `over`.
        """
        wanted = [name for name, value in values.items() if value and (not self.values[name] or name in over)]
        taken = [name for name in wanted if not self._stands_against(name, over)]
        if "shared_as" in taken:
            self.values.update(dict.fromkeys(PAYER, ""))
        for name in taken:
            self.values[name] = values[name]
        if "pi_email" in taken or "shared_as" in taken:
            self.pi_by = by
        if taken and decider:
            self.deciders.append(f"{decider} ({', '.join(SET_BY_RULES[name] for name in taken)})")
        return taken

    def _stands_against(self, name: str, over: Iterable[str]) -> bool:
        if name == "shared_as":
            return any(self.values[payer] and payer not in over for payer in PAYER)
        return name in PAYER and bool(self.values["shared_as"])


class Attributor:
    """Attributes the rows of one source: built once from the policy, the rules and the people known now.

    It only looks; the PIs and projects that a delivery names for the first time are made when it is
    applied, by `people_of` and `projects_of`.
    """

    def __init__(self, *, source: Source, policy: Policy) -> None:
        self.prefixes = ("", *(prefix.strip().casefold() for prefix in policy.tag_prefixes))
        # For each field, every key it may stand under, the preferred first.
        self.keys = {
            field: [prefix + folded_code(key) for key in keys for prefix in self.prefixes]
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
        # Whether any answer of `check` depends on the day of service.
        self.has_dates = bool(self.splits or self.active_until or any(end for _, _, end, _ in self.projects.values()))
        self.default_pi = self._known_as(source.default_pi.email if source.default_pi else "")
        self.default_project = source.default_project.code if source.default_project else ""
        self.overflow_fund_org = source.overflow_fund_org
        self.rules = self._rules_of(source)
        # The keys of tags that anything depends on, as far as no rule asks for others.
        asks = any(rule.conditions.tag_key for rule in self.rules)
        self._looked_at = None if asks else tuple(dict.fromkeys(key for keys in self.keys.values() for key in keys))
        self._known: dict[tuple[Any, ...], Attribution] = {}
        self.accounts = self._accounts_of(source)
        # For each condition that some rule has, whether it holds is worked out once per text of its columns.
        self._holding = {
            name: Memo(partial(self._bits, name), 50_000)
            for name in LOOKS_AT
            if any(getattr(rule.conditions, name) for rule in self.rules)
        }
        is_dated = any(rule.conditions.valid_from or rule.conditions.valid_until for rule in self.rules)
        self._holding_at = Memo(self._bits_at) if is_dated else None
        self._accounts_at = Memo(self._account_at, 50_000)

    @property
    def columns(self) -> tuple[str, ...]:
        """The FOCUS columns that rules and cloud accounts look at; none where tags alone decide."""
        looked_at = [column for name in self._holding for column in LOOKS_AT[name]]
        return tuple(dict.fromkeys([*looked_at, *(ACCOUNT_COLUMNS if self.accounts else ())]))

    def places(self, columns: Mapping[str, Sequence[str]], starts: Sequence[datetime.datetime]) -> list[Place] | None:
        """Return the place of each row of a batch, None where no place matters: tags alone decide then.

        A month has few places however many resources it has, so that attributions repeat and are
        remembered. `columns` holds at least `self.columns`.
        """
        if not self.rules and not self.accounts:
            return None
        bits = [(1 << len(self.rules)) - 1] * len(starts)
        for name, holding in self._holding.items():
            texts = list(zip(*(columns[column] for column in LOOKS_AT[name]), strict=True))
            bits = list(map(operator.and_, bits, holding.column(texts)))
        if self._holding_at is not None:
            bits = list(map(operator.and_, bits, self._holding_at.column(starts)))
        accounts = [""] * len(starts)
        if self.accounts:
            texts = list(zip(*(columns[column] for column in ACCOUNT_COLUMNS), strict=True))
            accounts = self._accounts_at.column(texts)
        return list(map(Place, bits, accounts))

    def attribute(self, tags: Tags, place: Place = NOWHERE) -> Attribution:
        """Return who pays for a row with these tags at this place."""
        by_key = {folded_code(key): value.strip() for key, value in tags.pairs.items()}
        if self._looked_at is None:
            return self._attribution(tags.problem, by_key, place)
        # Most tags differ in what is never asked for: the name of the resource.
        said = (tags.problem, place, *map(by_key.get, self._looked_at))
        known = self._known.get(said)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[said] = self._attribution(tags.problem, by_key, place)
        return known

    def _attribution(self, problem: str, by_key: Mapping[str, str], place: Place) -> Attribution:
        found = self._from_tags(problem, by_key)
        self._follow_rules(found, by_key, place)
        if not found.values["shared_as"]:
            self._ask_owners(found, place)
        return Attribution(
            **found.values,
            attributed_by=str(found.pi_by),
            deciders="; ".join(found.deciders)[:254],
            problem="; ".join(text for _, text in found.problems),
        )

    def check(
        self, attribution: Attribution, *, reference: Reference, start: datetime.datetime, end: datetime.datetime
    ) -> tuple[Reason, ...]:
        """Return every reason to look at a row with this attribution and charge period (its end exclusive)."""
        first = start.date()
        last = max(first, (end - datetime.timedelta(microseconds=1)).date())
        reasons = check_attribution(
            self.facts(attribution, first), reference=reference, service_start=first, service_end=last
        )
        if attribution.problem:
            reasons = [Reason(Flag.Code.INVALID_TAGS, attribution.problem), *reasons]
        return tuple(reasons)

    def _rules_of(self, source: Source) -> list[Rule]:
        rules = AttributionRule.objects.filter(Q(source=source) | Q(source__isnull=True), is_active=True)
        return [
            Rule(
                number=rule.pk,
                conditions=conditions_of(rule),
                values={
                    "pi_email": self._known_as(rule.pi.email if rule.pi else ""),
                    "project_code": rule.project.code if rule.project else "",
                    **{
                        name: getattr(rule, name)
                        for name in ("fund_org", "cost_center", "natural_account", "shared_as")
                    },
                },
                overrides_tags=rule.overrides_tags,
            )
            for rule in rules.select_related("pi", "project").order_by("priority", "id")
        ]

    def _accounts_of(self, source: Source) -> dict[str, Account]:
        accounts = CloudAccount.objects.filter(source=source, is_active=True)
        return {
            folded_code(account.account_id): Account(
                account_id=account.account_id,
                pi_email=self._known_as(account.default_pi.email if account.default_pi else ""),
                project_code=account.default_project.code if account.default_project else "",
                fund_org=account.default_fund_org,
            )
            for account in accounts.select_related("default_pi", "default_project")
        }

    def _bits(self, name: str, texts: tuple[str, ...]) -> int:
        """Return the rules that a condition on columns does not rule out."""
        patterns = [getattr(rule.conditions, name) for rule in self.rules]
        given = tuple(pattern for pattern in patterns if pattern)
        # Most resources are no rule's business, and there are many of them.
        is_nobodys = not any(fits_any(given, text) for text in names_at(name, texts))
        return sum(
            1 << position
            for position, pattern in enumerate(patterns)
            if not pattern or (not is_nobodys and column_holds(name, pattern, texts))
        )

    def _bits_at(self, start: datetime.datetime) -> int:
        return sum(
            1 << position for position, rule in enumerate(self.rules) if day_holds(rule.conditions, start.date())
        )

    def _account_at(self, texts: tuple[str, ...]) -> str:
        return next((folded_code(text) for text in texts if text and folded_code(text) in self.accounts), "")

    def _follow_rules(self, found: _Finding, by_key: Mapping[str, str], place: Place) -> None:
        if not place.rules:
            return
        by_rule: set[str] = set()
        for position, rule in enumerate(self.rules):
            if not place.rules >> position & 1 or not tag_holds(rule.conditions, by_key, self.prefixes):
                continue
            over = set(rule.values) - by_rule if rule.overrides_tags else ()
            taken = found.fill(rule.values, by=Charge.AttributedBy.RULE, decider=f"rule {rule.number}", over=over)
            by_rule.update(taken)
            if rule.overrides_tags:
                # What a tag said wrongly does not matter where the rule holds in its place.
                answered = {*taken, *PAYER} if "shared_as" in taken else set(taken)
                found.problems = [each for each in found.problems if each[0] not in answered]

    def _ask_owners(self, found: _Finding, place: Place) -> None:
        """Ask whom a cost belongs to, where it is not shared: its project, its cloud account, its source."""
        self._ask_project(found)
        if account := self.accounts.get(place.account):
            self._ask_account(found, account)
        if not found.values["pi_email"] and self.default_pi:
            by_default = {"pi_email": self.default_pi, "project_code": self.default_project}
            found.fill(by_default, by=Charge.AttributedBy.DEFAULT)
        found.values["fund_org"] = found.values["fund_org"] or self.overflow_fund_org

    def _ask_project(self, found: _Finding) -> None:
        """Write the project's code as it is known; its owner and its fund fill what is empty."""
        code = found.values["project_code"]
        known, fund_org, _, owner = self.projects.get(folded_code(code), (code, "", None, ""))
        found.values["project_code"] = known
        found.fill({"pi_email": self._known_as(owner), "fund_org": fund_org}, by=Charge.AttributedBy.PROJECT)

    def _ask_account(self, found: _Finding, account: Account) -> None:
        values = {"fund_org": account.fund_org}
        if not account.pi_email or found.values["pi_email"] in ("", account.pi_email):
            # The account's project is its owner's: it does not go with somebody else's charge.
            values |= {"pi_email": account.pi_email, "project_code": account.project_code}
        decider = f"account {account.account_id[:100]}"
        if "project_code" in found.fill(values, by=Charge.AttributedBy.ACCOUNT, decider=decider):
            self._ask_project(found)

    def _known_as(self, email: str) -> str:
        return self.aliases.get(email, email)

    def _from_tags(self, problem: str, by_key: Mapping[str, str]) -> _Finding:
        problems = [("", problem)] if problem else []
        names = ("pi_email", "project_code", *(name for name in LIMITS if name != "project_id"), "shared_as")
        values = dict.fromkeys(names, "")
        for name, keys in self.keys.items():
            target = "project_code" if name == "project_id" else name
            value = next((by_key[key] for key in keys if by_key.get(key)), "")
            if name == "pi_email" and value:
                value = self._pi_named(value, problems)
            if len(value) > LIMITS[name] or "\0" in value:
                problems.append((target, f"The tag for {name} is too long: “{value[:40]}…”."))
                value = ""
            values[target] = value
        by = Charge.AttributedBy.TAG if values["pi_email"] else Charge.AttributedBy.NOTHING
        return _Finding(values, problems, by)

    def _pi_named(self, value: str, problems: list[tuple[str, str]]) -> str:
        email = normalized_email(value.removeprefix("mailto:"))
        if not _is_address(email):
            problems.append(("pi_email", f"The PI's tag is “{value[:60]}”, which is not an e-mail address."))
            return ""
        return self._known_as(email)

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
            is_shared=bool(attribution.shared_as),
        )


def conditions_of(rule: AttributionRule) -> Conditions:
    """Return what has to hold of a row for a rule to speak, beside its source."""
    return Conditions(**{each.name: getattr(rule, each.name) for each in fields(Conditions)})


def reference_of(policy: Policy) -> Reference:
    """Return what funds are checked against: the policy's patterns, and the list of funds where there is one."""
    funds = {
        fund_org: (first, last)
        for fund_org, first, last in FundingSource.objects.values_list("fund_org", "valid_from", "valid_until")
    }
    return Reference(fund_org_patterns=tuple(policy.fund_org_patterns), funds=funds or None)


def tags_used(text: str, policy: Policy) -> dict[str, tuple[str, str]]:
    """Return which tag of a row speaks for each field (pi_email, fund_org, …): its key and value as delivered.

    By the keys of the policy given: an import before it may have gone by others.
    """
    pairs = {folded_code(key): (key, value.strip()) for key, value in tags_of(text).pairs.items()}
    prefixes = ("", *(prefix.strip().casefold() for prefix in policy.tag_prefixes))
    found: dict[str, tuple[str, str]] = {}
    for name, keys in policy.tag_keys.items():
        asked = (prefix + folded_code(key) for key in keys for prefix in prefixes)
        if said := next((pairs[key] for key in asked if pairs.get(key, ("", ""))[1]), None):
            found[name] = said
    return found


def person_for(email: str) -> Person:
    """Return the PI with this address or alias, made now if nobody has it."""
    address = normalized_email(email)
    alias = PersonAlias.objects.select_related("person").filter(email=address).first()
    return alias.person if alias else Person.objects.get_or_create(email=address)[0]


def project_for(code: str, pi: Person | None) -> Project:
    """Return the project of this code in any case, made now (of this PI) if there is none."""
    return Project.objects.coded(code).first() or Project.objects.create(code=code.strip(), pi=pi)


def people_of(emails: Iterable[str], gesture: audit.Gesture, given: Mapping[str, int] = NO_IDS) -> dict[str, int]:
    """Return the id of each PI by address, making those who are not there yet, with the ids they were `given`."""
    wanted = sorted({email for email in emails if email})
    known = known_people(wanted)
    if missing := [email for email in wanted if email not in known]:
        # Another delivery may be making the same PI just now.
        new = [Person(pk=given.get(email), email=email) for email in missing]
        Person.objects.bulk_create(new, ignore_conflicts=True)
        made = known_people(missing)
        for email in missing:
            gesture.record("person.learned", Person(pk=made[email], email=email), after={"email": email})
        known |= made
    return known


def projects_of(
    owners: dict[str, str],
    people: dict[str, int],
    gesture: audit.Gesture,
    given: Mapping[str, int] = NO_IDS,
) -> dict[str, int]:
    """Return the id of each project by its folded code, making those that are not there yet.

    `owners` maps codes to the address of the PI who first used them; `people` maps addresses to ids, and `given`
    folded codes to those that were given out for them.
    """
    missing: dict[str, Project] = {}
    known = known_projects()
    for code, owner in owners.items():
        if code and folded_code(code) not in known:
            folded = folded_code(code)
            missing.setdefault(folded, Project(pk=given.get(folded), code=code, pi_id=people.get(owner)))
    if missing:
        # In one order, so that two deliveries with the same do not wait for each other crosswise.
        Project.objects.bulk_create([missing[folded] for folded in sorted(missing)], ignore_conflicts=True)
        known = known_projects()
        for folded, project in missing.items():
            project.pk = known[folded]
            gesture.record("project.learned", project, after={"code": project.code, "pi": owners[project.code]})
    return known


def owner_values(
    attribution: Attribution, *, people: Mapping[str, int], projects: Mapping[str, int]
) -> tuple[Any, ...]:
    """Return an attribution as OWNER_COLUMNS hold it; `people` and `projects` as the makers of these return them."""
    return (
        people.get(attribution.pi_email),
        projects.get(folded_code(attribution.project_code)) if attribution.project_code else None,
        *(getattr(attribution, name) for name in OWNER_COLUMNS[2:]),
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
    return {folded_code(code): project_id for code, project_id in Project.objects.values_list("code", "id")}


def _is_address(email: str) -> bool:
    """Tell whether mail could be sent there: the check of every form where people type one."""
    try:
        validate_email(email)
    except ValidationError:
        return False
    return True


def folded_code(key: str) -> str:
    """Return a project's code or a tag key as it is compared: trimmed, in lower case."""
    return key.strip().casefold()
