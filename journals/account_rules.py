"""The list of account rules: exported, edited in a spreadsheet, and loaded again after a preview."""

from billing.models import Job
from billing.readers.cells import Kind
from billing.setup.lists import ListRefused
from billing.setup.registers import Column, Register
from billing.setup.registers.attribution import ANYTHING, rule_finder
from billing.setup.registers.columns import choice, code, number, source, text, yes
from billing.setup.registers.kinds import broken

from .models import AccountRule


class AccountRulesRefused(ListRefused):
    """A list of account rules that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No account rule was loaded."


ACCOUNT_RULES = Register(
    name="account_rules",
    event="account_rule",
    model=AccountRule,
    nouns=("account rule", "account rules"),
    columns=(
        Column("rule", Kind.CODE, "Its number. Empty: the line adds a rule.", lambda rule: rule.pk, is_key=True),
        yes("active", "Whether it holds.", "is_active", empty=True),
        number("priority", "The lowest number comes first.", empty=100),
        source("source", "Name of the source. Empty: every source."),
        choice("sponsored", "yes: sponsored awards; no: all others. Empty: both.", "sponsored", ("yes", "no")),
        choice("fa", "included, excluded or unstated, of the fund/org. Empty: any.", "fa", AccountRule.Fa.values),
        text("fund_org", ANYTHING),
        text("project", f"Its code. {ANYTHING}"),
        text("service", f"Its name. {ANYTHING}"),
        text("named_account", f"An account code that a tag, an attribution rule or a decision names. {ANYTHING}"),
        code("debit_account", "The account code to debit."),
        yes("overrides_named", "Whether it replaces a named account code.", "overrides_named"),
        code("recovery_account", "The account code to credit."),
        text("note", "Why, and who said so."),
    ),
    job=Job.Kind.ACCOUNT_RULES,
    refused=AccountRulesRefused,
    nobody="The file names no account rule.",
    find=rule_finder("account rule"),
    key_of=lambda rule: rule.pk,
    related=("source",),
    queryset=lambda found: found.order_by("priority", "pk"),
    wrong=lambda rule, changed, known: [("", message) for message in broken(rule)],
)
