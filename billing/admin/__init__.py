"""The screens of the base app, one file each."""

from . import audit, charges, imports, jobs, people, periods, policy, sources, users

__all__ = ["audit", "charges", "imports", "jobs", "people", "periods", "policy", "sources", "users"]
