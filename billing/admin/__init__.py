"""The screens of the base app, one file or package each.

What they share: `audited` (their base classes), `verbs` (buttons), `filters`, `choices`, `large_tables`,
`formatting` and `links`.
"""

from . import (
    api_tokens,
    attribution,
    audit,
    charges,
    corrections,
    customers,
    departments,
    exchange_rates,
    funds,
    imports,
    jobs,
    payers,
    people,
    periods,
    policy,
    projects,
    proof,
    questions,
    sources,
    usage,
    users,
)

__all__ = [
    "api_tokens",
    "attribution",
    "audit",
    "charges",
    "corrections",
    "customers",
    "departments",
    "exchange_rates",
    "funds",
    "imports",
    "jobs",
    "payers",
    "people",
    "periods",
    "policy",
    "projects",
    "proof",
    "questions",
    "sources",
    "usage",
    "users",
]
