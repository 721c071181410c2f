"""The screens of the base app, one file each."""

from . import attribution, audit, charges, imports, jobs, people, periods, policy, sources, users

__all__ = ["attribution", "audit", "charges", "imports", "jobs", "people", "periods", "policy", "sources", "users"]
