"""The screens of the base app, one file each."""

from . import (
    attribution,
    audit,
    charges,
    corrections,
    imports,
    jobs,
    payers,
    people,
    periods,
    policy,
    proof,
    sources,
    users,
)

__all__ = [
    "attribution",
    "audit",
    "charges",
    "corrections",
    "imports",
    "jobs",
    "payers",
    "people",
    "periods",
    "policy",
    "proof",
    "sources",
    "users",
]
