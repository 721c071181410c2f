"""Load cloud accounts and their owners from a spreadsheet, and write them to one."""

from billing.management.register_commands import RegisterCommand
from billing.setup import registers


class Command(RegisterCommand):
    help = "Load cloud accounts and their owners from a spreadsheet, and write them to one."
    register = registers.ACCOUNTS
