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

from .. import audit
from ..addresses import normalized_email
from ..clocks import days_of
from ..models import (
    AttributionRule,
    Charge,
    CloudAccount,
    Flag,
    FundException,
    FundingSource,
    PayerSplit,
    Person,
    Policy,
    Project,
    Source,
)
from ..models.people import Mailboxes
from ..readers.cells import check_code
from ..readers.spelling import same_id
from ..readers.values import REMEMBERED, BadValue, Memo, Tags, tags_of
from ..texts import code_of, folded_code, folds_of, is_missing, odd_characters, other_characters, quoted
from . import newcomers
from .checks import Attributed, Reason, Reference, check_attribution
from .conditions import HOLDS, LOOKS_AT, Conditions, column_holds, day_holds, fits_any, names_at, tag_answers

# The tags of a row by folded key: each key and value as delivered, for several keys may fold to one.
Said = Mapping[str, tuple[tuple[str, str], ...]]
# The keys of a field in order, each with every prefix it may have.
Keys = tuple[tuple[str, ...], ...]
# Longer values are no address or date, and are compared as they are.
MAX_COMPARED = 1_000

# Longest values that their columns hold; what is longer is no such thing but a mistake.
LIMITS = {
    "pi_email": 254,
    "project_id": 128,
    "fund_org": 64,
    "cost_center": 64,
    "natural_account": 64,
    "reference_1": 128,
    "reference_2": 128,
    "end_date": 32,
}

# What a rule may set, and what people call it.
SET_BY_RULES = {
    "pi_email": "PI",
    "project_code": "project",
    "fund_org": "fund/org",
    "cost_center": "cost center",
    "natural_account": "account code",
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
    # The last day of service by the row's own tag, in ISO form; kept on no charge.
    end_date: str = ""
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
    applied, by `people_of` and `projects_of`. A rule on `trial` is applied as if it were saved.
    """

    def __init__(self, *, source: Source, policy: Policy, trial: AttributionRule | None = None) -> None:
        self.prefixes = prefixes_of(policy)
        # For each field the keys it may stand under, the preferred first; each key with every prefix it may have.
        self.keys = {field: keys_with_prefixes(keys, self.prefixes) for field, keys in policy.tag_keys.items()}
        self.missing = folds_of(policy.missing_words)
        self._folded_keys = Memo(folded_code)
        self.mailboxes = Mailboxes(folds_plus=policy.folds_plus_addresses)
        self.active_until = dict(Person.objects.filter(active_until__isnull=False).values_list("email", "active_until"))
        self.projects = {
            folded_code(code): (code, code_of(fund_org), end_date, owner or "")
            for code, fund_org, end_date, owner in _plain_last(
                Project.objects.values_list("code", "default_fund_org", "end_date", "pi__email")
            )
        }
        self.splits: dict[str, list[tuple[datetime.date, datetime.date]]] = {}
        # Who pays by them: of several on a day, the one that begins last.
        self.split_funds: dict[str, list[tuple[str, ...]]] = {}
        splits = PayerSplit.objects.filter(project__isnull=False).select_related("project").prefetch_related("shares")
        for split in sorted(splits, key=lambda each: (each.valid_from or datetime.date.min, each.pk)):
            span = (split.valid_from or datetime.date.min, split.valid_until or datetime.date.max)
            code = split.project.code if split.project else ""
            self.splits.setdefault(code, []).append(span)
            funds = tuple(sorted(share.fund_org for share in split.shares.all()))
            self.split_funds.setdefault(code, []).append(funds)
        # Whether any answer of `check` depends on the day of service.
        self.has_dates = bool(self.splits or self.active_until or any(end for _, _, end, _ in self.projects.values()))
        self.default_pi = self._known_as(source.default_pi.email if source.default_pi else "")
        self.default_project = source.default_project.code if source.default_project else ""
        self.overflow_fund_org = code_of(source.overflow_fund_org)
        self.known = newcomers.known(policy)
        self.rules = self._rules_of(source, trial)
        # The keys of tags that anything depends on, as far as no rule asks for others.
        asks = any(rule.conditions.tag_key for rule in self.rules)
        self._looked_at = (
            None if asks else tuple(dict.fromkeys(key for each in self.keys.values() for keys in each for key in keys))
        )
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
        by_key = self._by_key(tags)
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

    def _by_key(self, tags: Tags) -> Said:
        """Return what the tags say by their folded keys, in one order whatever that of the tags."""
        folded_keys = self._folded_keys
        found: dict[str, tuple[tuple[str, str], ...]] = {}
        for key, value in tags.pairs.items():
            folded = folded_keys[key]
            found[folded] = tuple(sorted((*found[folded], (key, value)))) if folded in found else ((key, value),)
        return found

    def _attribution(self, problem: str, by_key: Said, place: Place) -> Attribution:
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
        self,
        attribution: Attribution,
        *,
        reference: Reference,
        start: datetime.datetime,
        end: datetime.datetime,
        posted: datetime.date | None = None,
    ) -> tuple[Reason, ...]:
        """Return every reason to look at a row with this attribution and charge period (its end exclusive).

        Its times are in the zone whose days count.
        `posted` is the last day of the month that is charged with it.
        """
        first, last = days_of(start, end)
        facts = self.facts(attribution, first)
        # By a split its shares pay, in place of the fund/org on the tag.
        payers = self._split_on(attribution.project_code, first) if facts.has_split else (attribution.fund_org,)
        reasons = list(
            dict.fromkeys(
                reason
                for fund_org in payers
                for reason in check_attribution(
                    facts._replace(fund_org=fund_org),
                    reference=reference,
                    service_start=first,
                    service_end=last,
                    posted=posted,
                )
            )
        )
        if attribution.problem:
            reasons = [Reason(Flag.Code.INVALID_TAGS, attribution.problem), *reasons]
        return tuple(reasons)

    def _split_on(self, project_code: str, day: datetime.date) -> tuple[str, ...]:
        spans = self.splits.get(project_code, [])
        holding = [
            funds
            for span, funds in zip(spans, self.split_funds.get(project_code, ()), strict=True)
            if span[0] <= day <= span[1]
        ]
        return holding[-1] if holding and holding[-1] else ("",)

    def said_by_tags(self, tags: Tags) -> Mapping[str, str]:
        """Return what the tags of a row alone say of who pays, by the names of an Attribution's fields."""
        return self._from_tags(tags.problem, self._by_key(tags)).values

    def fits(self, number: int, tags: Tags, place: Place) -> bool:
        """Tell whether the conditions of a rule hold for a row with these tags at this place."""
        position = next(index for index, rule in enumerate(self.rules) if rule.number == number)
        answers = self._tag_answers(self.rules[position].conditions, self._by_key(tags))
        return answers == HOLDS and bool(place.rules >> position & 1)

    def _tag_answers(self, conditions: Conditions, by_key: Said) -> frozenset[bool]:
        """Return whether a rule's condition on a tag holds; see conditions.tag_answers."""
        if not conditions.tag_key:
            return HOLDS
        # A rule may ask for “none” by name; where any value will do, that is none.
        missing = () if conditions.tag_value else self.missing
        key = folded_code(conditions.tag_key)
        values = {}
        for variant in (prefix + key for prefix in self.prefixes):
            texts = [code_of(value) for _, value in by_key.get(variant, ())]
            values[variant] = [text for text in texts if not is_missing(text, missing)]
        return tag_answers(conditions, values, self.prefixes)

    def _rules_of(self, source: Source, trial: AttributionRule | None) -> list[Rule]:
        found = AttributionRule.objects.filter(Q(source=source) | Q(source__isnull=True), is_active=True)
        rules = list(found.select_related("pi", "project").order_by("priority", "id"))
        if trial is not None:
            rules = [*(rule for rule in rules if rule.pk != trial.pk), trial]
            # A new rule comes after those of its priority.
            rules.sort(key=lambda rule: (rule.priority, rule.pk is None, rule.pk or 0))
        return [
            Rule(
                number=rule.pk or 0,
                conditions=conditions_of(rule),
                values={
                    "pi_email": self._known_as(rule.pi.email if rule.pi else ""),
                    "project_code": rule.project.code if rule.project else "",
                    **{
                        name: code_of(getattr(rule, name)) if name != "shared_as" else rule.shared_as
                        for name in ("fund_org", "cost_center", "natural_account", "shared_as")
                    },
                },
                overrides_tags=rule.overrides_tags,
            )
            for rule in rules
        ]

    def _accounts_of(self, source: Source) -> dict[str, Account]:
        accounts = CloudAccount.objects.filter(source=source, is_active=True)
        return {
            folded_code(same_id(account.account_id)): Account(
                account_id=account.account_id,
                pi_email=self._known_as(account.default_pi.email if account.default_pi else ""),
                project_code=account.default_project.code if account.default_project else "",
                fund_org=code_of(account.default_fund_org),
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
        ids = [folded_code(same_id(text)) for text in texts if text]
        return next((account for account in ids if account in self.accounts), "")

    def _follow_rules(self, found: _Finding, by_key: Said, place: Place) -> None:
        if not place.rules:
            return
        by_rule: set[str] = set()
        for position, rule in enumerate(self.rules):
            if not place.rules >> position & 1:
                continue
            answers = self._tag_answers(rule.conditions, by_key)
            if answers != HOLDS:
                if len(answers) > 1:
                    # Which of them is meant nobody can say, and somebody else would pay by each.
                    found.problems.append(("", self._contradiction(rule.conditions.tag_key, by_key)))
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
        return self.mailboxes.known_as(email)

    def _from_tags(self, problem: str, by_key: Said) -> _Finding:
        problems = [("", problem)] if problem else []
        names = ("pi_email", "project_code", *(name for name in LIMITS if name != "project_id"), "shared_as")
        values = dict.fromkeys(names, "")
        for name, keys in self.keys.items():
            target = "project_code" if name == "project_id" else name
            value = self._said_for(name, target, keys, by_key, problems)
            if name == "pi_email" and value:
                value = self._pi_named(value, problems)
            elif name == "end_date" and value:
                value = _day_named(value, problems)
            elif name != "fund_org" and value and (odd := odd_characters(value)):
                # A fund/org is held against the institution's patterns and list instead.
                problems.append((target, f"The tag for {name} is {quoted(value)}: {odd}."))
                value = ""
            if value and name not in ("pi_email", "end_date") and (spoiled := self._spoiled(target, value)):
                problems.append((target, f"The tag for {name}: {spoiled}"))
                value = ""
            if len(value) > LIMITS[name] or "\0" in value:
                problems.append((target, f"The tag for {name} is too long: {quoted(value, 40)}."))
                value = ""
            values[target] = value
        by = Charge.AttributedBy.TAG if values["pi_email"] else Charge.AttributedBy.NOTHING
        return _Finding(values, problems, by)

    def _spoiled(self, target: str, value: str) -> str:
        """Say what a spreadsheet made of a code on its way into a tag, "" where it left it alone."""
        if target == "project_code" and folded_code(value) in self.projects:
            # A project may be called so.
            return ""
        try:
            check_code(value, is_strict=False)
        except BadValue as error:
            return str(error)
        return ""

    def _said_for(self, name: str, target: str, keys: Keys, by_key: Said, problems: list[tuple[str, str]]) -> str:
        """Return what the first key that says anything says for a field.

        Keys that are one but for case, blanks, prefixes and what nobody sees have to agree: where they do not, that
        is a problem, and nothing is said, for nobody knows which is meant.
        """
        for variants in keys:
            said = [(key, value) for variant in variants for key, value in by_key.get(variant, ())]
            found: dict[str, tuple[str, str, str]] = {}
            for key, value in said:
                text = code_of(value)
                if not is_missing(text, self.missing):
                    compared = self._compared(name, text)
                    found[compared] = min(found.get(compared, (text, key, value)), (text, key, value))
            if len(found) > 1:
                told = " and ".join(
                    f"{quoted(key)} ({quoted(value)})"
                    for key, value in sorted((key, value) for _, key, value in found.values())
                )
                problems.append((target, f"The tags {told} are one key with different values."))
                return ""
            for text, _, _ in found.values():
                return text
        return ""

    def _compared(self, name: str, text: str) -> str:
        """Return a value of a tag as it is compared with one of the same key."""
        if len(text) > MAX_COMPARED:
            return text
        if name == "pi_email":
            return self._known_as(normalized_email(text))
        if name == "project_id":
            return text.casefold()
        return _day_named(text, []) or text if name == "end_date" else text

    def _contradiction(self, tag_key: str, by_key: Said) -> str:
        variants = [prefix + folded_code(tag_key) for prefix in self.prefixes]
        said = sorted({pair for variant in variants for pair in by_key.get(variant, ())})
        told = " and ".join(f"{quoted(key)} ({quoted(value)})" for key, value in said)
        return f"The tags {told} are one key with different values, and a rule goes by it."

    def _pi_named(self, value: str, problems: list[tuple[str, str]]) -> str:
        email = normalized_email(value)
        if not _is_address(email):
            odd = other_characters(email) if email.isprintable() and "@" in email else ""
            told = f"The PI's tag is {quoted(value)}, which is not an e-mail address{f': {odd}' if odd else ''}."
            problems.append(("pi_email", told))
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
            tagged_end_date=datetime.date.fromisoformat(attribution.end_date) if attribution.end_date else None,
            fund_org=attribution.fund_org,
            has_split=any(
                first <= service_start <= last for first, last in self.splits.get(attribution.project_code, ())
            ),
            is_shared=bool(attribution.shared_as),
            is_unknown_pi=bool(attribution.pi_email) and not self.known.knows(attribution.pi_email),
            default_fund_org=self.overflow_fund_org,
        )


def _day_named(value: str, problems: list[tuple[str, str]]) -> str:
    """Return the day of a tag in ISO form; a time after it does not matter."""
    try:
        return datetime.date.fromisoformat(value[:10] if value[10:11] in ("T", " ") else value).isoformat()
    except ValueError:
        problems.append(("end_date", f"The end date's tag is {quoted(value)}, which is not a date such as 2026-06-30."))
        return ""


def conditions_of(rule: AttributionRule) -> Conditions:
    """Return what has to hold of a row for a rule to speak, beside its source."""
    return Conditions(**{each.name: getattr(rule, each.name) for each in fields(Conditions)})


def reference_of(policy: Policy) -> Reference:
    """Return what funds are checked against: the policy's patterns, and the list of funds where there is one.

    The dates of a fund are those of the list, moved outward by the exceptions in force.
    """
    funds: dict[str, tuple[datetime.date | None, datetime.date | None]] = {}
    last_postings: dict[str, datetime.date] = {}
    exceptions = FundException.in_force_by_fund()
    listed = FundingSource.objects.values_list("pk", "fund_org", "valid_from", "valid_until", "last_posting_date")
    for pk, fund_org, first, last, last_posting in listed:
        for each in exceptions.get(pk, ()):
            first = min(first, each.valid_from) if first and each.valid_from else first
            last = max(last, each.valid_until) if last and each.valid_until else last
            if last_posting and each.last_posting_date:
                last_posting = max(last_posting, each.last_posting_date)
        # As charges name it; a list loaded before codes were cleaned may have it otherwise.
        fund_org = code_of(fund_org)
        funds[fund_org] = (first, last)
        if last_posting:
            last_postings[fund_org] = last_posting
    return Reference(
        fund_org_patterns=tuple(policy.fund_org_patterns), funds=funds or None, last_postings=last_postings
    )


def tags_used(text: str, policy: Policy) -> dict[str, tuple[str, str]]:
    """Return which tag of a row speaks for each field (pi_email, fund_org, …): its key and value as delivered.

    By the keys of the policy given: an import before it may have gone by others. Of tags that contradict each other
    none speaks.
    """
    prefixes, missing = prefixes_of(policy), folds_of(policy.missing_words)
    by_key: dict[str, list[tuple[str, str]]] = {}
    for key, value in tags_of(text).pairs.items():
        if not is_missing(code_of(value), missing):
            by_key.setdefault(folded_code(key), []).append((key, value.strip()))
    found: dict[str, tuple[str, str]] = {}
    for name, keys in policy.tag_keys.items():
        asked = (
            [pair for key in variants for pair in by_key.get(key, ())]
            for variants in keys_with_prefixes(keys, prefixes)
        )
        said = next(filter(None, asked), [])
        if said and len({code_of(value).casefold() for _, value in said}) == 1:
            found[name] = min(said)
    return found


def prefixes_of(policy: Policy) -> tuple[str, ...]:
    """Return what may stand before a tag's key, nothing among it, as keys are compared."""
    return ("", *(folded_code(prefix) for prefix in policy.tag_prefixes))


def keys_with_prefixes(keys: Iterable[str], prefixes: Sequence[str]) -> Keys:
    """Return each of the keys of a field, as they are compared, with every prefix."""
    return tuple(tuple(prefix + folded_code(key) for prefix in prefixes) for key in keys)


def person_for(email: str) -> Person:
    """Return the PI with this address, alias or mailbox, made now if nobody has it."""
    return (
        Person.objects.owning(email)
        or Person.objects.get_or_create(email=Mailboxes().known_as(normalized_email(email)))[0]
    )


def project_for(code: str, pi: Person | None) -> Project:
    """Return the project of this code in any case, made now (of this PI) if there is none."""
    return Project.objects.coded(code).first() or Project.objects.create(code=code_of(code), pi=pi)


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
    return {
        folded_code(code): project_id for code, project_id in _plain_last(Project.objects.values_list("code", "id"))
    }


def _plain_last(projects: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Set those projects last, and so in force, whose code has nothing in it that nobody sees: both may be there."""
    return sorted(projects, key=lambda each: each[0] == code_of(each[0]))


def _is_address(email: str) -> bool:
    """Tell whether mail could be sent there: the check of every form where people type one."""
    try:
        validate_email(email)
    except ValidationError:
        return False
    return True
