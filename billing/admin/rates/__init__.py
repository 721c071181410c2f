"""Prices for usage: rate schedules and their versions, who has which rate class, subsidies, and allocations."""

from . import allocations, classes, schedules, subsidies

__all__ = ["allocations", "classes", "schedules", "subsidies"]
