"""Disposing of the detail of fiscal years that are past their retention, with a certificate."""

from .certificates import lines_of, text_of
from .planning import Item, Line, Plan, TooEarly, plan, summed
from .running import Disposed, DisposingAlready, NotDisposed, dispose

__all__ = [
    "Disposed",
    "DisposingAlready",
    "Item",
    "Line",
    "NotDisposed",
    "Plan",
    "TooEarly",
    "dispose",
    "lines_of",
    "plan",
    "summed",
    "text_of",
]
