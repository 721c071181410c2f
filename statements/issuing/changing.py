"""What a revision changes of an earlier one, line by line: worked out when it is issued, and kept with it."""

from collections.abc import Iterable
from typing import Any

from ..changes import Change, Changes
from ..models import Statement, StatementLine
from .documents import for_what, used_on

# What of the names of a statement revises it (see `snapshots.IN_DIGEST`), as people call it.
RENAMED = {"pi_email": "PI", "project_code": "Project", "showback": "Sources that are not charged to the ledger"}


def changes_since(before: Statement, statement: Statement, lines: Iterable[StatementLine] | None = None) -> Changes:
    """Return what a statement says otherwise than an earlier revision of it.

    `lines` are those of the statement, where they are not stored yet.
    """
    known = {line.payer_key: line for line in before.lines.all()}
    changes: list[Change] = []
    for line in statement.lines.all() if lines is None else lines:
        changes += _changes(known.pop(line.payer_key, None), line, statement)
    for line in known.values():
        changes += _changes(line, None, statement)
    return Changes(
        since=before.number,
        was=before.charged,
        now=statement.charged,
        currency=statement.currency,
        lines=tuple(changes),
        renamed=tuple(_renamed(before.document, statement.document)),
    )


def _changes(before: StatementLine | None, after: StatementLine | None, statement: Statement) -> list[Change]:
    line = after or before
    assert line
    old, new = (each.charged if each else None for each in (before, after))
    is_about_price = False
    if before and after and old == new:
        prices = [(each.list_cost, each.contracted_cost) for each in (before, after)]
        if prices[0] == prices[1]:
            return []
        is_about_price = True
    used = ["", ""]
    if before and after:
        used = [used_on(before), used_on(after)]
    details = [line.what or line.source_label, line.fund_org, for_what(line)]
    return [
        Change(
            what=", ".join(filter(None, details)),
            currency=statement.currency,
            before=old,
            after=new,
            is_about_price=is_about_price,
            number=line.number,
            used_before=used[0] if used[0] != used[1] else "",
            used_after=used[1] if used[0] != used[1] else "",
        )
    ]


def _renamed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Say what changed of whom the statement is about: the PI's address, the project's code, the ledger."""
    said = [(label, *(_said(of.get(name, "")) for of in (before, after))) for name, label in RENAMED.items()]
    return [f"{label}: {new}, was {old}" for label, old, new in said if old != new]


def _said(value: str | list[str]) -> str:
    return (value if isinstance(value, str) else ", ".join(value)) or "none"
