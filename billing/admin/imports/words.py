"""What came of files, or would come of them, in words: for the page of a job, of an import, and of files to import."""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ...fields import WIDE
from ...models import Import
from ...money import ZERO, rounded, to_cents

# What a result counts: what was done, what would be done, and the count.
DONE = (("added", "adds", "new"), ("changed", "changes", "changed"), ("removed", "removes", "withdrawn"))


def charges(number: int) -> str:
    return f"{number:,} charge{'' if number == 1 else 's'}"


def money(amounts: Mapping[str, Decimal], *, is_signed: bool = False) -> str:
    """Write amounts by currency: `1,906.40 USD, 20.00 EUR`."""
    said = []
    for currency, exact in sorted(amounts.items()):
        sign = "+" if is_signed and to_cents(exact, currency) > 0 else ""
        said.append(f"{sign}{rounded(exact, currency)} {currency}")
    return ", ".join(said)


def billed_of(totals: Mapping[str, Mapping[str, str]]) -> dict[str, Decimal]:
    """Return what files bill by currency; `totals` as an import keeps them."""
    return {currency: Decimal(columns["BilledCost"]) for currency, columns in totals.items()}


def moved_of(difference: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return by how much an import changes what is billed, by currency, over all its months."""
    moved: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for currencies in difference.values():
        for currency, found in currencies.items():
            moved[currency] = WIDE.add(moved[currency], Decimal(found["billed_delta"]))
    return dict(moved)


def counts_said(result: Mapping[str, Any], *, is_done: bool) -> str:
    """Say what files did or would do to charges: `Adds 1 charge, changes 2: +37.18 USD.`"""
    if result["seen_before"] and not result["rows"]:
        return "Imported before: nothing to do." if is_done else "Imported before. Importing it changes nothing."
    done = [(was if is_done else would, result[name]) for was, would, name in DONE if result[name]]
    if not done:
        return "Nothing changed." if is_done else "Importing it changes nothing."
    said = ", ".join(
        f"{verb} {charges(number) if at == 0 else f'{number:,}'}" for at, (verb, number) in enumerate(done)
    )
    moved = money(moved_of(result["difference"]), is_signed=True)
    return f"{said[0].upper()}{said[1:]}{f': {moved}' if moved else ''}."


def problem_said(problem: Mapping[str, Any], *, names_file: bool = False) -> str:
    """Say one problem of files: where, and what."""
    where = [problem["file"]] if names_file and problem.get("file") else []
    where += [f"line {problem['line']:,}"] if problem.get("line") else []
    where += [f"column {problem['column']}"] if problem.get("column") else []
    said = ", ".join(where)
    if not said:
        return str(problem["message"])
    # The name of a file stays as it is written.
    first = said[0] if where[0] == problem.get("file") else said[0].upper()
    return f"{first}{said[1:]}: {problem['message']}"


def states() -> dict[str, str]:
    return {str(value): str(label) for value, label in Import.State.choices}
