"""Who and what attribution can name: people, projects, splits, rules and accounts, read once for several sources."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

from ..models import AttributionRule, CloudAccount, Customer, PayerSplit, Person, Policy, Project, Source
from ..models.people import Mailboxes
from ..readers.spelling import same_id
from ..texts import code_of, folded_code
from . import newcomers
from .checks import Invoiced
from .owners import plain_last


@dataclass(frozen=True)
class Account:
    """A CloudAccount as it is applied."""

    account_id: str
    pi_email: str = ""
    project_code: str = ""
    fund_org: str = ""


# The customer of a person or project, as one query for each of the two has it.
CUSTOMER = ("customer__number", "customer__name", "customer__active_from", "customer__active_until")


def _invoiced(number: str, name: str, active_from: date | None, active_until: date | None) -> Invoiced:
    return Invoiced(str(Customer(number=number, name=name)), active_from, active_until)


class Directory:
    """What is known now, under a policy. It asks as often for many sources as for one."""

    def __init__(self, policy: Policy) -> None:
        columns = ("pk", "email", "active_until", "is_listed", "confirmed_at", *CUSTOMER)
        people = list(Person.objects.order_by().values_list(*columns))
        # Of a person or project the text that people write, by its id.
        self.emails = {pk: email for pk, email, *_ in people}
        self.active_until = {email: until for _, email, until, *_ in people if until}
        self.mailboxes = Mailboxes(folds_plus=policy.folds_plus_addresses, people=self.emails.values())
        listed = [email for _, email, _, is_listed, *_ in people if is_listed]
        confirmed = [email for _, email, _, _, confirmed_at, *_ in people if confirmed_at]
        self.known = newcomers.known_among(policy, listed=listed, confirmed=confirmed)
        columns = ("pk", "code", "default_fund_org", "end_date", "pi__email", *CUSTOMER)
        projects = list(Project.objects.values_list(*columns))
        self.codes = {pk: code for pk, code, *_ in projects}
        self.projects = {
            folded_code(code): (code, code_of(fund_org), end_date, owner or "")
            for code, fund_org, end_date, owner in plain_last(row[1:5] for row in projects)
        }
        # By the address of the PI, and by the folded code of the project.
        self.customers_of_people = {
            email: _invoiced(*customer) for _, email, _, _, _, *customer in people if customer[0]
        }
        self.customers_of_projects = {
            folded_code(code): _invoiced(*customer) for _, code, _, _, _, *customer in projects if customer[0]
        }
        # By the code of their project, each after those it takes the place of.
        self.splits: dict[str, list[PayerSplit]] = {}
        splits = PayerSplit.objects.select_related("project").prefetch_related("shares")
        for split in splits.of_projects():
            self.splits.setdefault(split.project.code if split.project else "", []).append(split)

    @cached_property
    def _rules(self) -> list[AttributionRule]:
        found = AttributionRule.objects.filter(is_active=True).select_related("pi", "project")
        return list(found.order_by("priority", "id"))

    @cached_property
    def _accounts(self) -> list[CloudAccount]:
        return list(CloudAccount.objects.filter(is_active=True).select_related("default_pi", "default_project"))

    def rules_of(self, source: Source) -> list[AttributionRule]:
        """Return the rules that may speak for the rows of a source, in the order in which they do."""
        return [rule for rule in self._rules if rule.source_id in (None, source.pk)]

    def accounts_of(self, source: Source) -> dict[str, Account]:
        """Return the cloud accounts of a source, by their folded ids."""
        return {
            folded_code(same_id(account.account_id)): Account(
                account_id=account.account_id,
                pi_email=self.mailboxes.known_as(account.default_pi.email if account.default_pi else ""),
                project_code=account.default_project.code if account.default_project else "",
                fund_org=code_of(account.default_fund_org),
            )
            for account in self._accounts
            if account.source_id == source.pk
        }
