"""What a PI or a delegate sees at a glance: what a month came to and why, the open month so far, many
months side by side, and how long funds last.
"""

from .changes import Change, Changes, changes
from .due import Due, due
from .funds import FundLeft, funds
from .home import Home, Listed, home
from .ledger import InJournal, Ledger, in_ledger
from .so_far import SoFar, so_far
from .trends import trend

__all__ = [
    "Change",
    "Changes",
    "Due",
    "FundLeft",
    "Home",
    "InJournal",
    "Ledger",
    "Listed",
    "SoFar",
    "changes",
    "due",
    "funds",
    "home",
    "in_ledger",
    "so_far",
    "trend",
]
