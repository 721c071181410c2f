"""Registers: lists that people keep in spreadsheets, exported, edited there, and loaded again after a preview."""

from .attribution import ACCOUNTS, RULES, AccountsRefused, RulesRefused
from .columns import Column
from .departments import DEPARTMENTS, DepartmentsRefused
from .exporting import write
from .funds import FUNDS, FundsRefused
from .kinds import Register
from .loading import SHOWN, Change, LoadedRegister, load
from .people import PEOPLE, PeopleRefused
from .projects import PROJECTS, ProjectsRefused

REGISTERS = (PEOPLE, PROJECTS, FUNDS, DEPARTMENTS, RULES, ACCOUNTS)

__all__ = [
    "ACCOUNTS",
    "DEPARTMENTS",
    "FUNDS",
    "PEOPLE",
    "PROJECTS",
    "REGISTERS",
    "RULES",
    "SHOWN",
    "AccountsRefused",
    "Change",
    "Column",
    "DepartmentsRefused",
    "FundsRefused",
    "LoadedRegister",
    "PeopleRefused",
    "ProjectsRefused",
    "Register",
    "RulesRefused",
    "load",
    "write",
]
