"""Which account codes a payer line is posted to: as its charges name it, by account rules, or its source's defaults.

Which of them decided stands with the line of the journal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from billing.attribution.conditions import fits
from billing.models import FundingSource, Source
from billing.texts import code_of

from .models import AccountRule
from .models.accounts import PATTERNS

BY_CHARGES = "of its charges"
_SPONSORED = {AccountRule.Sponsored.YES: "sponsored award", AccountRule.Sponsored.NO: "no sponsored award"}
_FA = {
    AccountRule.Fa.INCLUDED: "in the F&A base",
    AccountRule.Fa.EXCLUDED: "not in the F&A base",
    AccountRule.Fa.UNSTATED: "F&A not stated",
}
_WORDS = {
    "project": "project",
    "service": "service",
    "fund_org": "fund/org",
    "named_account": "named account code",
}
_OTHER_FUND = (False, "")


@dataclass(frozen=True)
class Code:
    """An account code, and what decided it, in words; both "" where nothing does."""

    account: str
    by: str


@dataclass(frozen=True)
class Subject:
    """What account codes go by: who is charged for what, and the account code of the payer line."""

    source: Source
    fund_org: str
    project: str
    service: str
    account: str

    @property
    def named_account(self) -> str:
        """The code that a tag, an attribution rule or a decision names; "" for the default of the source.

        Payer lines have that where nobody names one. Who names the same says nothing else.
        """
        return self.account if self.account != self.source.debit_account else ""


@dataclass(frozen=True)
class Codes:
    """The account codes of both sides of a pair."""

    debit: Code
    recovery: Code


class AccountCodes:
    """Decides account codes, by the rules and the list of fund/orgs as they are when it is made.

    A rule on `trial` is applied as if it were saved.
    """

    def __init__(self, trial: AccountRule | None = None) -> None:
        rules = list(AccountRule.objects.filter(is_active=True).select_related("source"))
        if trial is not None:
            rules = [rule for rule in rules if rule.pk != trial.pk] + [trial] * trial.is_active
            # A new rule comes after those of its priority.
            rules.sort(key=lambda rule: (rule.priority, rule.pk is None, rule.pk or 0))
        self._rules = rules
        self._funds = _funds() if any(rule.sponsored or rule.fa for rule in rules) else {}
        # A month has few kinds of lines, however many it has.
        self.of: Callable[[Subject], Codes] = lru_cache(maxsize=50_000)(self._decided)

    def _decided(self, subject: Subject) -> Codes:
        named, source = subject.named_account, subject.source
        debit = Code(named, BY_CHARGES) if named else None
        recovery = None
        is_overridden = False
        for rule in self._rules:
            if not self._holds(rule, subject):
                continue
            if rule.debit_account and not is_overridden and (debit is None or (named and rule.overrides_named)):
                replaced = f", in place of {named}" if named else ""
                debit, is_overridden = Code(rule.debit_account, f"{said(rule)}{replaced}"[:254]), True
            if rule.recovery_account and recovery is None:
                recovery = Code(rule.recovery_account, said(rule)[:254])
        return Codes(
            debit or _default(source.debit_account, source), recovery or _default(source.recovery_account, source)
        )

    def _holds(self, rule: AccountRule, subject: Subject) -> bool:
        if rule.source_id not in (None, subject.source.pk):
            return False
        is_sponsored, treatment = self._funds.get(subject.fund_org, _OTHER_FUND)
        if rule.sponsored and (rule.sponsored == AccountRule.Sponsored.YES) != is_sponsored:
            return False
        if rule.fa and rule.fa != (treatment or AccountRule.Fa.UNSTATED):
            return False
        patterns = {name: getattr(rule, name) for name in PATTERNS}
        return all(fits(pattern, getattr(subject, name)) for name, pattern in patterns.items() if pattern)


def conditions_of(rule: AccountRule) -> str:
    """Say what has to hold for a rule, such as `sponsored award, in the F&A base, project genome*`."""
    parts = [rule.source.label if rule.source else ""]
    parts += [_SPONSORED.get(rule.sponsored, ""), _FA.get(rule.fa, "")]  # type: ignore[call-overload]
    parts += [f"{_WORDS[name]} {getattr(rule, name)}" for name in PATTERNS if getattr(rule, name)]
    return ", ".join(filter(None, parts))


def said(rule: AccountRule) -> str:
    """Say which rule decides, and why."""
    return f"{rule} ({conditions_of(rule)})"


def _default(account: str, source: Source) -> Code:
    return Code(account, f"default of {source.label}" if account else "")


def _funds() -> Mapping[str, tuple[bool, str]]:
    """Return which fund/orgs are sponsored awards, and their F&A treatment."""
    listed = FundingSource.objects.values_list("fund_org", "is_sponsored", "fa_treatment")
    # As charges name it; a list loaded before codes were cleaned may have it otherwise.
    return {code_of(fund_org): (is_sponsored, treatment) for fund_org, is_sponsored, treatment in listed}
