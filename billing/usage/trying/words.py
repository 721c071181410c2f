"""What other rates would charge, in words and as JSON has it."""

from collections.abc import Iterable, Iterator
from typing import Any

from ...money import plain, rounded, written
from ...texts import iso_month, long_month
from ..pricing.terms import Subsidy
from ..rate_schedules.words import number_text
from .results import MonthTried, Owed, Totals, Tried

# Every step from the list price to what is charged, as people read it.
STEPS = (
    ("listed", "List price"),
    ("class_price", "Less by rate classes"),
    ("free", "Free amounts"),
    ("drawn", "Drawn from balances"),
    ("subsidized", "Subsidies"),
    ("reduced", "Free amounts, balances and subsidies"),
    ("held", "Held for review"),
    ("rejected", "Rejected"),
    ("charged", "Charged, exactly"),
    ("rounding", "Rounding to cents"),
    ("cents", "Charged"),
)
# What is taken off.
REDUCING = ("class_price", "free", "drawn", "subsidized", "reduced", "held", "rejected")


def signed(owed: Owed, currency: str) -> str:
    """Write a difference with its sign."""
    return f"{'+' if owed.difference > 0 else ''}{rounded(owed.difference, currency)}"


def subsidy_text(subsidy: Subsidy) -> str:
    """Say what a subsidy takes off, for people: `50%, up to 1,000.00, paid by RC-1`."""
    said = [f"{number_text(subsidy.percent)}%"]
    if subsidy.cap is not None:
        said.append(f"up to {written(subsidy.cap, None)}")
    return ", ".join([*said, f"paid by {subsidy.fund_org}" if subsidy.fund_org else "forgone"])


def steps_of(totals: tuple[Totals, Totals]) -> Iterator[tuple[str, str, Owed]]:
    """Yield each step from list price to what is charged: its name, what people call it, and both amounts.

    Steps that are nothing on both sides are left out, and so is what is not known apart on one of them.
    """
    now, then = totals
    is_known = now.free is not None and then.free is not None
    for name, label in STEPS:
        if name in ("free", "drawn", "subsidized") and not is_known or name == "reduced" and is_known:
            continue
        owed = Owed(getattr(now, name), getattr(then, name))
        if owed.now or owed.then or name in ("listed", "charged", "cents"):
            yield name, label, owed


def text_of(tried: Tried) -> list[str]:
    """Say what was tried, for a terminal: in all, then by PI and in the ledger."""
    currency, charged = tried.currency, tried.charged
    lines = [
        f"{tried.what} on {', '.join(f'{long_month(each.month)} of {each.feed_label}' for each in tried.months)}. "
        "Nothing was changed."
    ]
    if not tried.found:
        return lines
    lines.append(
        f"Charged {rounded(charged.now, currency)} {currency}; would be {rounded(charged.then, currency)} "
        f"({signed(charged, currency)})."
    )
    for each in tried.found:
        own = each.charged
        amounts = f"{rounded(own.now, currency)} → {rounded(own.then, currency)} ({signed(own, currency)})"
        lines.append(f"  {_name(each)}, {each.state.lower()}: {amounts}")
        lines += [f"    {note}" for note in notes_of(each, currency)]
    totals = tried.totals()
    for name, label, owed in steps_of(totals) if totals else ():
        sign = "− " if name in REDUCING else ""
        lines.append(f"  {sign}{label}: {written(owed.now, currency)} → {written(owed.then, currency)}")
    return lines


def untried(tried: Tried) -> str:
    """Say which months were not tried, and why."""
    return "\n".join(f"{_name(each)} was not tried: {each.problem}" for each in tried.problems)


def notes_of(month: MonthTried, currency: str) -> list[str]:
    """Return what to know of a month that was tried."""
    notes = list(month.notes)
    if month.asked_again:
        are = (
            "charge that was decided about moves" if month.asked_again == 1 else "charges that were decided about move"
        )
        notes.append(
            f"{month.asked_again:,} {are} by more than the policy's tolerance, and would be held for review again: "
            f"{rounded(month.asked_again_billed, currency)} {currency}."
        )
    return notes


def pi_rows(tried: Tried) -> list[list[str]]:
    """Return what each PI is charged, as rows of a table."""
    currency = tried.currency
    return [
        [
            each.pi or "no PI",
            rounded(each.charged.now, currency),
            rounded(each.charged.then, currency),
            signed(each.charged, currency),
        ]
        for each in tried.by_pi()
    ]


def journal_rows(tried: Tried) -> list[list[str]]:
    """Return what the ledger has on each fund/org and account, as rows of a table."""
    currency = tried.currency
    return [
        [
            each.fund_org or "none",
            each.account or "none",
            rounded(each.amount.now, currency),
            rounded(each.amount.then, currency),
            signed(each.amount, currency),
        ]
        for each in tried.journal()
    ]


def data_of(tried: Tried) -> dict[str, Any]:
    """Return what was tried as --json has it."""
    totals = tried.totals()
    return {
        "tried": tried.what,
        "currency": tried.currency,
        "charged": _owed(tried.charged),
        "totals": {name: _owed(owed) for name, _, owed in steps_of(totals)} if totals else {},
        "months": [
            {
                "feed": each.feed,
                "period": iso_month(each.month),
                "state": each.state,
                "priced_by": each.priced_by,
                "problem": each.problem,
                "charged": _owed(each.charged),
                "units": list(each.units_then),
                "held_again": each.asked_again,
                "notes": list(each.notes),
            }
            for each in tried.months
        ],
        "pis": [{"pi": each.pi, **_owed(each.charged)} for each in tried.by_pi()],
        "journal": [
            {"fund_org": each.fund_org, "account": each.account, **_owed(each.amount)} for each in tried.journal()
        ],
        "lines": list(_lines(tried.found)),
    }


def _lines(months: Iterable[MonthTried]) -> Iterator[dict[str, Any]]:
    for month in months:
        for line in month.lines:
            payer = line.payer
            yield {
                "period": iso_month(month.month),
                "feed": month.feed,
                "pi": payer.pi,
                "project": payer.project,
                "paid_by": payer.paid_by,
                "account": payer.account,
                "source": payer.source,
                "service": payer.service,
                "kind": payer.kind,
                **_owed(line.charged),
            }


def _owed(owed: Owed) -> dict[str, str]:
    return {"now": plain(owed.now), "then": plain(owed.then), "difference": plain(owed.difference)}


def _name(month: MonthTried) -> str:
    return f"{long_month(month.month)} of {month.feed_label}"
