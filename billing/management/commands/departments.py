"""Load the list of departments from a spreadsheet, and write it to one."""

from billing.management.register_commands import RegisterCommand
from billing.setup import registers


class Command(RegisterCommand):
    help = "Load the list of departments from a spreadsheet, and write it to one."
    register = registers.DEPARTMENTS
