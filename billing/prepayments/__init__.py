"""Balances that are paid before use: bought, recognized as they are used, given back, or expired."""

from .buying import NoPrepaidSource, Purchase, buy
from .ending import NotExpired, NothingLeft, expire, refund
from .recognizing import before_close, due, recognize
from .telling import noted_on

__all__ = [
    "NoPrepaidSource",
    "NotExpired",
    "NothingLeft",
    "Purchase",
    "before_close",
    "buy",
    "due",
    "expire",
    "noted_on",
    "recognize",
    "refund",
]
