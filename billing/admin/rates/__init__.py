"""Prices for usage: rate schedules and studies, who has which rate class, subsidies, and allocations."""

from . import allocations, classes, schedules, shared_costs, studies, subsidies

__all__ = ["allocations", "classes", "schedules", "shared_costs", "studies", "subsidies"]
