"""Prices for usage: rate schedules and their versions, who has which rate class, subsidies, and allocations."""

from . import classes, schedules

__all__ = ["classes", "schedules"]
