"""Who pays: from a row's tags, then rules, its project, its cloud account, and last its source's defaults."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..clocks import days_of
from ..models import AttributionRule, Charge, Flag, PayerSplit, Policy, Source
from ..readers.spelling import same_id
from ..readers.tags import Tags
from ..readers.values import REMEMBERED, Memo
from ..texts import code_of, folded_code
from .checks import Attributed, Reason, Reference, check_attribution, check_subsidy
from .directory import Account, Directory
from .draft import Attribution, Draft
from .rules import Rules
from .tags import Said, TagReader

# Columns by which an account is known, the more particular first.
ACCOUNT_COLUMNS = ("SubAccountId", "BillingAccountId")


class Place(NamedTuple):
    """What the columns and day of a row mean for who pays: which rules may speak, and whose account it is in.

    `rules` has a bit for each rule of the attributor, set where all its conditions but the tag's hold.
    """

    rules: int = 0
    account: str = ""


NOWHERE = Place()


class Attributor:
    """Attributes the rows of one source: built once from the policy, the rules and the people known now.

    It only looks; the PIs and projects that an import names for the first time are made when it is
    applied, by `people_of` and `projects_of`. A rule on `trial` is applied as if it were saved. A `directory` saves
    reading what is known once for each of several sources.
    """

    def __init__(
        self,
        *,
        source: Source,
        policy: Policy,
        trial: AttributionRule | None = None,
        directory: Directory | None = None,
    ) -> None:
        directory = directory or Directory(policy)
        self._mailboxes = directory.mailboxes
        self._active_until = directory.active_until
        self._projects = directory.projects
        self.splits = directory.splits
        # Whether any answer of `check` depends on the day of service.
        self._customers = (directory.customers_of_projects, directory.customers_of_people)
        has_dated_customers = any(
            each.active_from or each.active_until for of in self._customers for each in of.values()
        )
        has_ends = any(end for _, _, end, _ in self._projects.values())
        self.has_dates = bool(self.splits or self._active_until or has_ends or has_dated_customers)
        self._default_pi = self._mailboxes.known_as(source.default_pi.email if source.default_pi else "")
        self._default_project = source.default_project.code if source.default_project else ""
        self._overflow_fund_org = code_of(source.overflow_fund_org)
        self.known = directory.known
        self._reader = TagReader(policy, mailboxes=self._mailboxes, projects=self._projects)
        rules = directory.rules_of(source)
        self._rules = Rules(rules, self._reader, mailboxes=self._mailboxes, trial=trial)
        # The keys of tags that anything depends on, as far as no rule asks for others.
        self._looked_at = None if self._rules.ask_for_tags else self._reader.looked_at
        self._known: dict[tuple[Any, ...], Attribution] = {}
        self._accounts = directory.accounts_of(source)
        self._accounts_at = Memo(self._account_at, 50_000)

    @property
    def columns(self) -> tuple[str, ...]:
        """The FOCUS columns that rules and cloud accounts look at; none where tags alone decide."""
        return tuple(dict.fromkeys([*self._rules.columns, *(ACCOUNT_COLUMNS if self._accounts else ())]))

    @property
    def asks_for_days(self) -> bool:
        """Whether rules look at the first day of service of a row."""
        return self._rules.ask_for_days

    def places(self, columns: Mapping[str, Sequence[str]], starts: Sequence[datetime.datetime]) -> list[Place] | None:
        """Return the place of each of some rows, None where no place matters: tags alone decide then.

        A month has few places however many resources it has, so that attributions repeat and are
        remembered. `columns` holds at least `self.columns`.
        """
        if not self._rules and not self._accounts:
            return None
        accounts = [""] * len(starts)
        if self._accounts:
            texts = list(zip(*(columns[column] for column in ACCOUNT_COLUMNS), strict=True))
            accounts = self._accounts_at.column(texts)
        return list(map(Place, self._rules.holding(columns, starts), accounts))

    def attribute(self, tags: Tags, place: Place = NOWHERE) -> Attribution:
        """Return who pays for a row with these tags at this place."""
        by_key = self._reader.by_key(tags)
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

    def said_by_tags(self, tags: Tags) -> Mapping[str, str]:
        """Return what the tags of a row alone say of who pays, by the names of an Attribution's fields."""
        return self._reader.read(tags.problem, self._reader.by_key(tags)).values

    def fits(self, number: int, tags: Tags, place: Place) -> bool:
        """Tell whether the conditions of a rule hold for a row with these tags at this place."""
        return self._rules.fits(number, self._reader.by_key(tags), place.rules)

    def check(
        self,
        attribution: Attribution,
        *,
        reference: Reference,
        start: datetime.datetime,
        end: datetime.datetime,
        posted: datetime.date | None = None,
        subsidy_fund_org: str = "",
    ) -> tuple[Reason, ...]:
        """Return every reason to look at a row with this attribution and charge period (its end exclusive).

        Its times are in the zone whose days count.
        `posted` is the last day of the month that is charged with it, `subsidy_fund_org` what it names for its subsidy.
        """
        first, last = days_of(start, end)
        facts = self._facts(attribution, first)
        # By a split its shares pay, in place of the fund/org on the tag.
        payers = self._funds_of_split(attribution, first) if facts.has_split else (attribution.fund_org,)
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
        reasons += check_subsidy(
            subsidy_fund_org, reference=reference, service_start=first, service_end=last, posted=posted
        )
        if attribution.problem:
            reasons = [Reason(Flag.Code.INVALID_TAGS, attribution.problem), *reasons]
        return tuple(reasons)

    def _facts(self, attribution: Attribution, service_start: datetime.date) -> Attributed:
        """Return what the checks need to know about an attribution on a day of service."""
        of_projects, of_people = self._customers
        _, _, project_end, _ = self._projects.get(folded_code(attribution.project_code), ("", "", None, ""))
        return Attributed(
            pi_email=attribution.pi_email,
            pi_active_until=self._active_until.get(attribution.pi_email),
            project_code=attribution.project_code,
            project_end_date=project_end,
            tagged_end_date=datetime.date.fromisoformat(attribution.end_date) if attribution.end_date else None,
            fund_org=attribution.fund_org,
            has_split=self._split_on(attribution, service_start) is not None,
            is_shared=bool(attribution.shared_as),
            is_unknown_pi=bool(attribution.pi_email) and not self.known.knows(attribution.pi_email),
            default_fund_org=self._overflow_fund_org,
            customer=of_projects.get(folded_code(attribution.project_code)) or of_people.get(attribution.pi_email),
        )

    def _split_on(self, attribution: Attribution, day: datetime.date) -> PayerSplit | None:
        return PayerSplit.holding_on(day, self.splits.get(attribution.project_code, ()))

    def _funds_of_split(self, attribution: Attribution, day: datetime.date) -> tuple[str, ...]:
        """Return the fund/orgs that pay by the split on a day; one that is empty where a split has no shares."""
        split = self._split_on(attribution, day)
        funds = sorted(share.fund_org for share in split.shares.all()) if split else []
        return tuple(funds) or ("",)

    def _attribution(self, problem: str, by_key: Said, place: Place) -> Attribution:
        draft = self._reader.read(problem, by_key)
        self._rules.follow(draft, by_key, place.rules)
        if not draft.values["shared_as"]:
            self._ask_owners(draft, place)
        return draft.attribution()

    def _account_at(self, texts: tuple[str, ...]) -> str:
        ids = [folded_code(same_id(text)) for text in texts if text]
        return next((account for account in ids if account in self._accounts), "")

    def _ask_owners(self, draft: Draft, place: Place) -> None:
        """Ask whom a cost belongs to, where it is not shared: its project, its cloud account, its source."""
        self._ask_project(draft)
        if account := self._accounts.get(place.account):
            self._ask_account(draft, account)
        if not draft.values["pi_email"] and self._default_pi:
            by_default = {"pi_email": self._default_pi, "project_code": self._default_project}
            draft.fill(by_default, by=Charge.AttributedBy.DEFAULT)
        draft.values["fund_org"] = draft.values["fund_org"] or self._overflow_fund_org

    def _ask_project(self, draft: Draft) -> None:
        """Write the project's code as it is known; its owner and its fund fill what is empty."""
        code = draft.values["project_code"]
        known, fund_org, _, owner = self._projects.get(folded_code(code), (code, "", None, ""))
        draft.values["project_code"] = known
        draft.fill({"pi_email": self._mailboxes.known_as(owner), "fund_org": fund_org}, by=Charge.AttributedBy.PROJECT)

    def _ask_account(self, draft: Draft, account: Account) -> None:
        values = {"fund_org": account.fund_org}
        if not account.pi_email or draft.values["pi_email"] in ("", account.pi_email):
            # The account's project is its owner's: it does not go with somebody else's charge.
            values |= {"pi_email": account.pi_email, "project_code": account.project_code}
        decider = f"account {account.account_id[:100]}"
        if "project_code" in draft.fill(values, by=Charge.AttributedBy.ACCOUNT, decider=decider):
            self._ask_project(draft)
