"""Load attribution rules from a spreadsheet, and write them to one."""

from billing.management.register_commands import RegisterCommand
from billing.setup import registers


class Command(RegisterCommand):
    help = "Load attribution rules from a spreadsheet, and write them to one."
    register = registers.RULES
