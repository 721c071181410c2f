"""What was brought over, as a person reads it and as JSON keeps it."""

from decimal import Decimal
from typing import Any

from billing.commands import table
from billing.money import plain, written

from .bringing import Brought
from .months import Month


def as_data(brought: Brought) -> dict[str, Any]:
    """Return it as --json prints it: amounts as exact texts."""
    return {
        "dry_run": brought.is_dry_run,
        "currency": brought.currency,
        "policy": list(brought.policy),
        "sources": list(brought.sources),
        "accounts": {
            "added": list(brought.accounts.added),
            "known": list(brought.accounts.known),
            "refused": list(brought.accounts.refused),
        },
        "months": [_month(month) for month in brought.months],
        "notes": list(brought.notes),
    }


def _month(month: Month) -> dict[str, Any]:
    return {
        "period": month.period,
        "status": month.status,
        "new": month.is_new,
        "sources": [
            {
                "source": each.source,
                "charges": each.charges,
                "billed": {state: plain(amount) for state, amount in each.billed.items()},
            }
            for each in month.sources
        ],
        "approved": month.decided.approved,
        "rejected": month.decided.rejected,
        "held": month.decided.held,
        "waiting": month.decided.waiting,
        "unknown": month.decided.unknown,
        "carried": month.carried,
        "statements": month.statements,
        "sent": month.sent,
        "journal": month.journal,
        "notes": month.notes,
    }


def as_text(brought: Brought) -> str:
    """Return what was done month by month, and what a person should know or do."""
    would = "Dry run: nothing was stored. This would come:" if brought.is_dry_run else "Brought over:"
    lines = [would, ""]
    rows = [
        [
            month.period,
            month.status if month.is_new else f"{month.status}, here before",
            f"{month.charges:,}",
            written(month.billed, brought.currency),
            _states(month),
            "" if brought.is_dry_run else _done(month),
        ]
        for month in brought.months
    ]
    headings = ["Month", "State there", "Charges", f"Charged, {brought.currency}", "Not charged", "Here"]
    lines += [table(rows, headings, right={2, 3}), ""]
    lines.append(f"Sources: {', '.join(brought.sources) or 'none'}.")
    if brought.policy:
        lines.append(f"Policy: {', '.join(brought.policy)} {'would change' if brought.is_dry_run else 'changed'}.")
    lines += _accounts(brought)
    told = [f"{month.period}: {note}" for month in brought.months for note in (*month.notes, *_waiting(month))]
    if told:
        lines += ["", "To look at:", *(f"- {note}" for note in told)]
    lines += ["", "What does not come, or otherwise:", *(f"- {note}" for note in brought.notes)]
    return "\n".join(lines)


def _states(month: Month) -> str:
    """Say what of a month was charged to nobody there."""
    parts = []
    for state in ("held", "rejected"):
        count = sum(each.charges.get(state, 0) for each in month.sources)
        amount = sum((each.billed.get(state, Decimal(0)) for each in month.sources), Decimal(0))
        if count:
            parts.append(f"{count:,} {state} ({plain(amount)})")
    return ", ".join(parts)


def _done(month: Month) -> str:
    decided = month.decided
    parts = [
        f"{count:,} {what}"
        for count, what in (
            (decided.approved, "approved"),
            (decided.rejected, "rejected"),
            (decided.held, "held again"),
            (month.carried, "carried over"),
            (month.statements, "statements"),
            (month.sent, "of them sent before"),
        )
        if count
    ]
    return ", ".join([*parts, *([f"journal {month.journal} posted"] if month.journal else [])])


def _waiting(month: Month) -> list[str]:
    notes = [
        f"{count:,} charged there are held here: {reason}. Look at them in the review."
        for reason, count in sorted(month.decided.waiting.items())
    ]
    if month.decided.unknown:
        notes.append(f"{month.decided.unknown:,} rows have other charges here since: they stay as they are.")
    return notes


def _accounts(brought: Brought) -> list[str]:
    lines = []
    if brought.accounts.added:
        verb = "would be added" if brought.is_dry_run else "added"
        lines.append(
            f"Accounts {verb}, without passwords: {', '.join(brought.accounts.added)}. "
            "Make each a link to set one (Users, “Password link…”), or have them sign in by single sign-on."
        )
    if brought.accounts.known:
        lines.append(f"Accounts that are here already stay as they are: {', '.join(brought.accounts.known)}.")
    lines += [f"Account left out: {why}" for why in brought.accounts.refused]
    return lines
