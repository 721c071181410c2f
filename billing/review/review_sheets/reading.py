"""A filled-in spreadsheet, read: its lines, and what each does to its charge."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import IO, TypeVar

from ...addresses import normalized_email
from ...errors import BillingError, NextStep
from ...readers import UnreadableFile
from ...readers.cells import check_code
from ...readers.tables import read_table
from ...readers.values import BadValue
from ...texts import code_of, number_in
from .. import decisions
from ..shares import BadSplit, parse_shares, shares_text
from .columns import COLUMNS, DECISIONS, KINDS, SHEET

# A line of a sheet: its texts by column.
Cells = Mapping[str, str]
Found = TypeVar("Found")


@dataclass(frozen=True)
class SheetError:
    """What is wrong in a spreadsheet, and where."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", {self.column}" if self.column else "")
        return f"{where}: {self.message}"


class NotAReviewSheet(BillingError):
    """A file that the export of the review did not write."""

    then = NextStep("export_review")


class SheetRefused(BillingError):
    """A spreadsheet with errors: nothing of it was applied. `errors` has them all, by line and column."""

    def __init__(self, errors: list[SheetError]) -> None:
        self.errors = errors
        number = "1 error" if len(errors) == 1 else f"{len(errors):,} errors"
        super().__init__(f"Nothing was applied, the spreadsheet has {number}:\n" + "\n".join(map(str, errors)))


@dataclass(frozen=True)
class SheetRow:
    """What a line of a spreadsheet does to its charge: column to old and new, and the decision."""

    line: int
    charge_id: int
    changes: dict[str, tuple[str, str]]
    decision: str
    reason: str
    note: str
    # Whether the provider credits what is rejected; None where nothing is said.
    provider_credits: bool | None = None


class BadCell(Exception):
    """What is wrong with a cell of the line that is read."""

    def __init__(self, column: str, message: str) -> None:
        self.column = column
        super().__init__(message)


def read_sheet(file: IO[bytes]) -> dict[int, Cells]:
    """Return the lines of the sheet, each with its cells by heading, as trimmed text.

    Raises NotAReviewSheet, or SheetRefused for what a spreadsheet made of a code.
    """
    try:
        table = read_table(file, kinds=KINDS, heading=str.casefold, sheet=SHEET)
    except UnreadableFile as error:
        raise NotAReviewSheet(f"{error.problems[0]} Apply a spreadsheet that was exported here.") from error
    if missing := [name for name in ("id", "decision", "fingerprint") if name not in table.headings]:
        raise NotAReviewSheet(f"The sheet has no column {', '.join(missing)}: apply one that was exported here.")
    if doubled := sorted({name for name in table.headings if name in COLUMNS and table.headings.count(name) > 1}):
        raise NotAReviewSheet(f"The sheet has the column {', '.join(doubled)} twice.")
    if table.problems:
        raise SheetRefused([SheetError(each.line or 0, each.column or "", each.message) for each in table.problems])
    lines: dict[int, Cells] = {}
    for number, texts in table.lines:
        cells = {name: text for name, text in zip_longest(table.headings, texts, fillvalue="") if name in COLUMNS}
        if any(cells.values()):
            lines[number] = cells
    return lines


def ids_of(lines: Mapping[int, Cells]) -> tuple[dict[int, int], list[SheetError]]:
    """Return the charge that each line is about, and what is wrong with the ids."""
    ids: dict[int, int] = {}
    errors = []
    first: dict[int, int] = {}
    for line, cells in lines.items():
        text = cells.get("id", "")
        pk = number_in(text)
        if pk is None:
            errors.append(SheetError(line, "id", f"“{text}” is not the id of a charge."))
            continue
        if pk in first:
            errors.append(SheetError(line, "id", f"Charge {pk} is on line {first[pk]} already."))
            continue
        ids[line], first[pk] = pk, line
    return ids, errors


def row_of(line: int, cells: Cells, values: Cells) -> SheetRow | None:
    """Compare a line with its charge as it is now; return what it does, None for nothing. Raises BadCell."""
    changes = _changes_of(cells, values)
    decision, reason = (cells.get(name, "").casefold() for name in ("decision", "reason"))
    note = cells.get("note", "")
    if not changes and not decision:
        if reason or note:
            raise BadCell("decision", "There is a reason or a note, but no decision to go with it.")
        return None
    if cells.get("fingerprint") != values["fingerprint"]:
        raise BadCell("fingerprint", "The charge was changed since the export. Export it again.")
    credit = cells.get("provider_credits", "").casefold()
    if credit not in ("", "yes", "no"):
        raise BadCell("provider_credits", f"Write yes or no, or leave it empty: “{credit}” is neither.")
    if credit and decision != "reject":
        raise BadCell("provider_credits", "Only of a rejection it matters whether the provider credits it.")
    _require_possible(decision, reason, note)
    _require_payer(changes, cells)
    said = {"yes": True, "no": False}.get(credit)
    if said is False:
        in_column("provider_credits", decisions.require_center_fund_org)
    return SheetRow(line, int(cells["id"]), changes, DECISIONS.get(decision, ""), reason, note, said)


def _changes_of(cells: Cells, values: Cells) -> dict[str, tuple[str, str]]:
    """Return what a line says otherwise of who pays, column to old and new."""
    changes: dict[str, tuple[str, str]] = {
        name: (values[name], cells[name])
        for name in ("pi", "project", "fund_org", "split")
        if name in cells and _canonical(name, cells[name]) != _canonical(name, values[name])
    }
    for share in re.split("[;,]", changes.get("split", ("", ""))[1]):
        try:
            check_code(share.rpartition("=")[0])
        except BadValue as error:
            raise BadCell("split", str(error)) from error
    return changes


def _require_possible(decision: str, reason: str, note: str) -> None:
    """Raise BadCell for a decision that there is not, or that cannot be taken so."""
    if decision and decision not in DECISIONS:
        raise BadCell("decision", f"“{decision}” is no decision. Write {', '.join(DECISIONS)}, or leave it empty.")
    if decision == "reject":
        in_column("reason", lambda: decisions.check_reason(reason, note))
    elif reason:
        raise BadCell("reason", "Only a rejection has a reason; write a note instead.")
    if decision == "charge to center":
        in_column("decision", decisions.require_center_fund_org)


def _require_payer(changes: dict[str, tuple[str, str]], cells: Cells) -> None:
    """Raise BadCell for a line after which nobody, or both a fund/org and a split, would pay."""
    for name, (_, new) in changes.items():
        replacement = {"fund_org": "split", "split": "fund_org"}.get(name)
        if not new and not (replacement and cells.get(replacement)):
            raise BadCell(name, "This cannot be emptied: write who pays instead, or leave it as it was.")
    if all(changes.get(name, ("", ""))[1] for name in ("fund_org", "split")):
        raise BadCell("split", "Give either a fund/org or a split, not both.")


def _canonical(name: str, text: str) -> str:
    """Return a cell as it is compared: the same address or shares written otherwise are no change."""
    if name == "pi":
        return normalized_email(text)
    if name in ("project", "fund_org"):
        return code_of(text)
    if name == "split" and text:
        try:
            return shares_text(parse_shares(text))
        except BadSplit:
            return text
    return text


def in_column(column: str, check: Callable[[], Found]) -> Found:
    """Return what a check returns; raise what it refuses as a mistake in this column."""
    try:
        return check()
    except BillingError as error:
        raise BadCell(column, str(error)) from error
