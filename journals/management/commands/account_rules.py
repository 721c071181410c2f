"""Load account rules from a spreadsheet, and write them to one."""

from billing.management.register_commands import RegisterCommand
from journals.account_rules import ACCOUNT_RULES


class Command(RegisterCommand):
    help = "Load account rules from a spreadsheet, and write them to one."
    register = ACCOUNT_RULES
