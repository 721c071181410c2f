"""The lists of attribution rules and of cloud accounts with their owners."""

from collections.abc import Callable, Mapping

from ...models import AttributionRule, CloudAccount, Job
from ...readers.cells import Kind
from ...texts import code_of, number_in, quoted
from ..lists import ListRefused
from .columns import Column, Known, code, day, number, person, project, source, text, yes
from .kinds import Found, Register, Stored, broken


class RulesRefused(ListRefused):
    """A list of attribution rules that cannot be loaded; `errors` says why, and nothing was stored."""

    nothing = "No attribution rule was loaded."


class AccountsRefused(ListRefused):
    """A list of cloud accounts that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No cloud account was loaded."


def rule_finder(noun: str) -> Callable[[Mapping[str, str], Known, Stored], Found]:
    """Return what finds the rule of a line by its number, in a column `rule`; without one, the line adds a rule."""

    def find(row: Mapping[str, str], known: Known, stored: Stored) -> Found:
        said = row["rule"].casefold().removeprefix(noun).removeprefix("rule").strip()
        if not said:
            return None, "new rule", None
        found = stored.by_key.get(number_in(said))
        if found is None:
            raise ValueError("rule", f"there is no {noun} {quoted(row['rule'])}. Leave it empty to add one")
        return found.pk, str(found), found

    return find


def _find_account(row: Mapping[str, str], known: Known, stored: Stored) -> Found:
    for name in ("source", "account_id"):
        if not row[name]:
            raise ValueError(name, "is empty")
    key = (row["source"].casefold(), code_of(row["account_id"]))
    return key, f"{key[1]} of {row['source']}", stored.by_key.get(key)


ANYTHING = "A pattern: * stands for anything, ? for one character."
RULES = Register(
    name="attribution_rules",
    event="attribution_rule",
    model=AttributionRule,
    nouns=("attribution rule", "attribution rules"),
    columns=(
        Column("rule", Kind.CODE, "Its number. Empty: the line adds a rule.", lambda rule: rule.pk, is_key=True),
        yes("active", "Whether it holds.", "is_active", empty=True),
        number("priority", "The lowest number comes first.", empty=100),
        source("source", "Name of the source. Empty: every source."),
        text("billing_account", f"Its id or name. {ANYTHING}"),
        text("sub_account", f"Its id or name. {ANYTHING}"),
        text("cloud_project", f"The provider's project. {ANYTHING}"),
        text("resource", f"Its id or name. {ANYTHING}"),
        text("service", f"Its name. {ANYTHING}"),
        text("charge_category", f"Usage, Purchase, Tax, Credit or Adjustment. {ANYTHING}"),
        text("charge_description", ANYTHING),
        text("commitment_status", "Of a reservation or savings plan: Used or Unused."),
        text("tag_key", "A tag the charge has."),
        text("tag_value", f"Its value. {ANYTHING}"),
        day("valid_from", "The first day of service it holds for."),
        day("valid_until", "The last day of service it holds for."),
        person("pi", "The e-mail address of the PI who pays.", "pi"),
        project("project", "The code of the project that pays.", "project"),
        code("fund_org", "The fund/org that pays."),
        code("cost_center", "The cost center to set."),
        code("natural_account", "The account code to set."),
        text("shared_as", "Shares the cost over everybody whom its source charged, under this name."),
        yes("overrides_tags", "Whether it replaces what tags say.", "overrides_tags"),
        text("note", "Why, and who said so."),
    ),
    job=Job.Kind.RULES,
    refused=RulesRefused,
    nobody="The file names no attribution rule.",
    find=rule_finder("attribution rule"),
    key_of=lambda rule: rule.pk,
    related=("source", "pi", "project"),
    queryset=lambda found: found.order_by("priority", "pk"),
    wrong=lambda rule, changed, known: [("", message) for message in broken(rule)],
)

ACCOUNTS = Register(
    name="cloud_accounts",
    event="cloud_account",
    model=CloudAccount,
    nouns=("cloud account", "cloud accounts"),
    columns=(
        source("source", "Name of the source.", is_key=True),
        code("account_id", "The sub account's id, else the billing account's, as the files write it.", is_key=True),
        text("name", "What it is called."),
        yes("active", "Whether it is used.", "is_active", empty=True),
        person("pi", "The e-mail address of the PI who pays what neither tags nor rules say.", "default_pi"),
        project("project", "The code of the project that pays it.", "default_project"),
        code("fund_org", "The fund/org that pays it.", "default_fund_org"),
        text("note", "Why, and who said so."),
    ),
    job=Job.Kind.ACCOUNTS,
    refused=AccountsRefused,
    nobody="The file names no cloud account.",
    find=_find_account,
    key_of=lambda account: (account.source.name.casefold(), code_of(account.account_id)),
    related=("source", "default_pi", "default_project"),
    keys=2,
    queryset=lambda found: found.order_by("source__name", "account_id"),
    wrong=lambda account, changed, known: [("", message) for message in broken(account)],
)
