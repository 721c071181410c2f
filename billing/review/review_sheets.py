"""The review as a spreadsheet: held charges go out to a department, decisions come back."""

import datetime
import hashlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import IO, Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

from .. import audit
from ..addresses import normalized_email
from ..attribution import naming
from ..audit import Actor
from ..currencies import minor_units
from ..errors import BillingError, NextStep
from ..models import BillingPeriod, Charge, Flag, Person, Project, ReviewDecision, Source
from ..models.typed import words_asked_once
from ..money import in_decimals_of
from ..readers import UnreadableFile
from ..readers.cells import Kind, check_code
from ..readers.tables import read_table
from ..readers.values import BadValue
from ..sheets import amount_cell, text_cell
from ..texts import code_of, number_in
from . import decisions
from .act import Act
from .batches import batches
from .locked_charges import DECIDED_FIELDS, NEEDED_FIELDS
from .outcome import DONE, counted
from .reassignment import Reassignment
from .shares import BadSplit, parse_shares, shares_text

SHEET = "Charges"
# Heading and width. What a department may fill in comes after `reasons`; who pays it may correct in place.
COLUMNS = {
    "id": 10,
    "period": 9,
    "source": 12,
    "pi": 28,
    "project": 20,
    "fund_org": 20,
    "split": 24,
    "service": 24,
    "resource": 36,
    "billed": 14,
    "currency": 9,
    "reasons": 44,
    "decision": 12,
    "reason": 16,
    "note": 40,
    "create": 8,
    "fingerprint": 20,
}
EDITABLE = ("pi", "project", "fund_org", "split", "decision", "reason", "note", "create")
DECISIONS = ("approve", "reject", "absorb")
# What the columns hold that are taken back.
KINDS = {
    **dict.fromkeys(("id", "pi", "project", "fund_org", "split", "decision", "reason", "fingerprint"), Kind.CODE),
    "note": Kind.TEXT,
    "create": Kind.YES,
}
# What fits an .xlsx by its own rules.
MAX_ROWS = 1_048_575

INSTRUCTIONS = (
    "How to fill in this spreadsheet",
    "",
    f"Each row of the sheet “{SHEET}” is a charge that waits for review, with the reasons why.",
    "Who pays: correct pi (an e-mail address), project, fund_org or split in place. Leave what is right.",
    "A split shares a charge among several fund/orgs in percent that sum to 100, written A=60; B=40.",
    "decision: approve, reject or absorb (the center pays); leave it empty to decide later.",
    f"reason: for reject, one of {', '.join(ReviewDecision.Reason.values)}; “other” needs a note.",
    "note: kept with the decision.",
    "create: write yes if pi, project or fund_org names something new on purpose. Otherwise a name that does not",
    "exist is refused, so that a typo creates nothing. One yes counts for every row with the same name.",
    "Do not change the other columns. Rows may be deleted or sorted; the fingerprint tells whether a charge",
    "was changed by somebody else in the meantime, and then its row is refused.",
)


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


@dataclass(frozen=True)
class AppliedSheet:
    """What a spreadsheet did, or would do in a dry run."""

    rows: list[SheetRow]
    untouched: int
    is_dry_run: bool
    # Names that rows mark as new: what applying them creates.
    unknown: tuple[naming.Unknown, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many charges were approved, rejected, absorbed and reattributed."""
        done = {DONE[ReviewDecision.Action(name)]: 0 for name in (*DECISIONS, "reattribute")}
        for row in self.rows:
            if row.changes:
                done["reattributed"] += 1
            if row.decision:
                done[DONE[ReviewDecision.Action(row.decision)]] += 1
        return done

    def __str__(self) -> str:
        parts = [f"{number:,} {done}" for done, number in self.counts.items() if number]
        would = "would be " if self.is_dry_run else ""
        text = f"{counted(len(self.rows))}: {would}{', '.join(parts)}" if parts else "No row decides anything"
        text = f"{text}; {self.untouched:,} left as they are." if self.untouched else f"{text}."
        return " ".join([text, *self.creates])

    @property
    def creates(self) -> list[str]:
        """What it creates, or takes although no list has it, in sentences."""
        told = [each.promise for each in self.unknown]
        return [f"{each}." if self.is_dry_run else f"{each.replace('will be', 'is')}." for each in told]


def export(*, charges: "QuerySet[Any]", file: IO[bytes], actor: Actor, now: datetime.datetime) -> int:
    """Write charges as a spreadsheet to fill in; return how many. That it was taken out is an event.

    Text is never a formula, whatever it starts with; amounts are exact numbers.
    """
    book = Workbook(write_only=True)
    book.properties.creator = "OpenChargeback"
    sheet = book.create_sheet(SHEET)
    sheet.freeze_panes = "B2"
    for index, (name, width) in enumerate(COLUMNS.items(), start=1):
        dimension = sheet.column_dimensions[get_column_letter(index)]
        dimension.width = width
        dimension.hidden = name == "fingerprint"
    _offer_choices(sheet)
    bold, editable = Font(bold=True), PatternFill("solid", fgColor="FFF4D6")
    heading = []
    for name in COLUMNS:
        cell = WriteOnlyCell(sheet, value=name)
        cell.font, cell.alignment = bold, Alignment(vertical="top")
        if name in EDITABLE:
            cell.fill = editable
        heading.append(cell)
    sheet.append(heading)
    count = 0
    for charge in _with_names(charges).iterator(chunk_size=2_000):
        values = _values(charge)
        row: list[Any] = [text_cell(sheet, values[name]) if values[name] else None for name in COLUMNS]
        row[list(COLUMNS).index("billed")] = amount_cell(
            sheet, in_decimals_of(charge.billed_cost, charge.currency), minor_units(charge.currency)
        )
        sheet.append(row)
        count += 1
    about = book.create_sheet("Instructions")
    about.column_dimensions["A"].width = 110
    for line in INSTRUCTIONS:
        about.append([line])
    book.save(file)
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("charges.exported", after={"charges": count})
    return count


def apply(*, file: IO[bytes], dry_run: bool = False, actor: Actor, now: datetime.datetime) -> AppliedSheet:
    """Take attribution and decisions from a spreadsheet that `export` wrote: all of it or nothing.

    With `dry_run` everything is tried and nothing stays. Raises NotAReviewSheet, or SheetRefused with
    every error by line and column.
    """
    lines = _read(file)
    ids, errors = _ids_of(lines)
    rows: list[SheetRow] = []
    names = naming.Names()
    meant: dict[tuple[str, str], naming.Unknown] = {}
    for cells in lines.values():
        if cells.get("create", "").casefold() == "yes":
            meant |= {(each.kind, each.name): each for _, each in _unknown(names, cells)}
    with audit.gesture(actor=actor, now=now) as gesture, transaction.atomic(), words_asked_once():
        told = len(gesture.events)
        known = {
            pk
            for batch in batches(sorted(set(ids.values())))
            for pk in Charge.objects.filter(pk__in=batch).values_list("pk", flat=True)
        }
        act = Act(known, gesture=gesture)
        current = {
            charge.pk: charge
            for batch in batches(sorted(known))
            for charge in _with_names(Charge.objects.filter(pk__in=batch))
        }
        for line, cells in lines.items():
            if line not in ids:
                continue
            pk = ids[line]
            if pk not in known:
                errors.append(SheetError(line, "id", f"There is no charge {pk}."))
                continue
            try:
                row = _row(line, cells, _values(current[pk]))
                _require_known(names, cells, row, meant)
                if row and (why := _decide(act, row, current[pk])):
                    errors.append(SheetError(line, "decision" if row.decision else "", f"{why[0].upper()}{why[1:]}."))
                if row:
                    rows.append(row)
            except _BadCell as error:
                errors.append(SheetError(line, error.column, str(error)))
        if errors:
            raise SheetRefused(
                sorted(errors, key=lambda error: (error.line, list(COLUMNS).index(error.column or "id")))
            )
        act.save(ReviewDecision.Action.REATTRIBUTE)
        if dry_run:
            del gesture.events[told:]
            transaction.set_rollback(True)
    changed = [row.line for row in rows if row.changes]
    used = {(each.kind, each.name) for line in changed for _, each in _unknown(names, lines[line])}
    unknown = tuple(each for key, each in meant.items() if key in used)
    return AppliedSheet(rows, len(lines) - len(rows), dry_run, unknown)


class _BadCell(Exception):
    def __init__(self, column: str, message: str) -> None:
        self.column = column
        super().__init__(message)


def _row(line: int, cells: dict[str, str], values: dict[str, str]) -> SheetRow | None:
    """Compare a line with its charge as it is now; return what it does, None for nothing."""
    changes: dict[str, tuple[str, str]] = {
        name: (values[name], cells[name])
        for name in ("pi", "project", "fund_org", "split")
        if name in cells and _canonical(name, cells[name]) != _canonical(name, values[name])
    }
    decision, reason, note = (cells.get(name, "") for name in ("decision", "reason", "note"))
    decision, reason = decision.casefold(), reason.casefold()
    for share in re.split("[;,]", changes.get("split", ("", ""))[1]):
        try:
            check_code(share.rpartition("=")[0])
        except BadValue as error:
            raise _BadCell("split", str(error)) from error
    if not changes and not decision:
        if reason or note:
            raise _BadCell("decision", "There is a reason or a note, but no decision to go with it.")
        return None
    if cells.get("fingerprint") != values["fingerprint"]:
        raise _BadCell("fingerprint", "The charge was changed since the export. Export it again.")
    if decision and decision not in DECISIONS:
        raise _BadCell("decision", f"“{decision}” is no decision. Write {', '.join(DECISIONS)}, or leave it empty.")
    if decision == "reject":
        _checked("reason", lambda: decisions.check_reason(reason, note))
    elif reason:
        raise _BadCell("reason", "Only a rejection has a reason; write a note instead.")
    if decision == "absorb":
        _checked("decision", decisions.require_center_fund_org)
    for name, (_, new) in changes.items():
        replacement = {"fund_org": "split", "split": "fund_org"}.get(name)
        if not new and not (replacement and cells.get(replacement)):
            raise _BadCell(name, "This cannot be emptied: write who pays instead, or leave it as it was.")
    if all(changes.get(name, ("", ""))[1] for name in ("fund_org", "split")):
        raise _BadCell("split", "Give either a fund/org or a split, not both.")
    return SheetRow(line, int(cells["id"]), changes, decision, reason, note)


def _unknown(names: naming.Names, cells: dict[str, str]) -> list[tuple[str, naming.Unknown]]:
    """Return what a line names that does not exist, each with its column."""
    found: list[tuple[str, naming.Unknown]] = []
    for column in ("pi", "project", "fund_org", "split"):
        text = cells.get(column, "")
        if column == "split":
            with suppress(BadSplit):
                shares = parse_shares(text) if text else {}
                found += [(column, each) for each in names.unknown(fund_orgs=shares)]
        elif column == "fund_org":
            found += [(column, each) for each in names.unknown(fund_orgs=[text])]
        elif column == "project" or "@" in text:
            found += [(column, each) for each in names.unknown(**{column: text})]
    return found


def _require_known(
    names: naming.Names,
    cells: dict[str, str],
    row: SheetRow | None,
    meant: dict[tuple[str, str], naming.Unknown],
) -> None:
    """Refuse a line that names something new that no line says to create."""
    if cells.get("create", "").casefold() not in ("", "yes"):
        raise _BadCell("create", f"Write yes, or leave it empty: “{cells['create']}” is neither.")
    for column, unknown in _unknown(names, cells) if row and row.changes else ():
        if column in row.changes and (unknown.kind, unknown.name) not in meant:  # type: ignore[union-attr]
            raise _BadCell(column, f"{unknown} If it is new, write yes in the column create.")


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


def _decide(act: Act, row: SheetRow, charge: Charge) -> str:
    """Do in memory what a row says; return why it cannot be done, or nothing."""
    held = act.charges.get(row.charge_id)
    if held is None:
        return act.why_skipped[row.charge_id]
    approve = row.decision == "approve"
    if row.changes:
        new = {name: after for name, (_, after) in row.changes.items()}
        shares = _checked("split", lambda: parse_shares(new["split"])) if new.get("split") else {}
        if "split" in new and not shares:
            # An emptied split: the fund/org beside it pays alone from now on.
            new.setdefault("fund_org", charge.fund_org)
        reassignment = Reassignment(
            pi=new.get("pi", ""),
            project=new.get("project", ""),
            fund_org="" if shares else new.get("fund_org", ""),
            shares=tuple(shares.items()),
        )
        column = "pi" if "pi" in new else next(iter(new))
        checked = _checked(column, reassignment.checked)
        if why := act.reassign(held, checked, approve=approve, note=row.note):
            return why
        if approve and held.state != Charge.State.HELD:
            return ""
    if not row.decision:
        return ""
    state = {"approve": Charge.State.APPROVED, "reject": Charge.State.REJECTED, "absorb": Charge.State.ABSORBED}
    return act.decide(held, state[row.decision], reason=row.reason, note=row.note)


def _checked(column: str, check: Callable[[], Any]) -> Any:
    try:
        return check()
    except BillingError as error:
        raise _BadCell(column, str(error)) from error


def _with_names(charges: "QuerySet[Any]") -> "QuerySet[Any]":
    """Add what a row shows, with only the columns it needs: a charge has sixty."""
    return (
        charges.select_related("source", "pi", "project", "charged_in")
        .prefetch_related("payer_split__shares", open_flags())
        .only(
            *NEEDED_FIELDS,
            "source__name",
            "pi__email",
            "pi__name",
            "project__code",
            "charged_in__month",
            "billed_cost",
            "currency",
            "service_name",
            "resource_id",
            "resource_name",
        )
        .order_by("pk")
    )


def open_flags() -> "Prefetch[str]":
    """Read the reasons that still stand into `open_flags`."""
    return Prefetch("flags", queryset=Flag.objects.filter(is_resolved=False).order_by("pk"), to_attr="open_flags")


def _values(charge: Charge) -> dict[str, str]:
    """Return a charge as its row shows it."""
    source: Source = charge.source
    period: BillingPeriod = charge.charged_in
    pi: Person | None = charge.pi
    project: Project | None = charge.project
    split = charge.payer_split
    flags: Iterable[Flag] = charge.open_flags  # type: ignore[attr-defined]
    return {
        "id": str(charge.pk),
        "period": str(period),
        "source": source.name,
        "pi": pi.email if pi else "",
        "project": project.code if project else "",
        "fund_org": charge.fund_org,
        "split": shares_text({share.fund_org: share.percent for share in split.shares.all()}) if split else "",
        "service": charge.service_name,
        "resource": charge.resource,
        "billed": "",
        "currency": charge.currency,
        "reasons": "; ".join(f"{flag.code}: {flag.detail}" if flag.detail else flag.code for flag in flags),
        "decision": "",
        "reason": "",
        "note": "",
        "create": "",
        "fingerprint": fingerprint(charge),
    }


def fingerprint(charge: Charge) -> str:
    """Return a short hash of a charge's state and of who pays it: another one means it was changed."""
    content = [charge.withdrawn_in_id, *(getattr(charge, name) for name in DECIDED_FIELDS)]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def _offer_choices(sheet: Any) -> None:
    letters = {name: get_column_letter(index) for index, name in enumerate(COLUMNS, start=1)}
    for name, choices in (
        ("decision", DECISIONS),
        ("reason", tuple(ReviewDecision.Reason.values)),
        ("create", ("yes",)),
    ):
        offered = DataValidation(type="list", formula1=f'"{",".join(choices)}"', allow_blank=True)
        offered.errorTitle, offered.error = name, f"Choose one of {', '.join(choices)}, or leave it empty."
        offered.add(f"{letters[name]}2:{letters[name]}{MAX_ROWS}")
        sheet.data_validations.append(offered)


def _read(file: IO[bytes]) -> dict[int, dict[str, str]]:
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
    lines = {}
    for number, texts in table.lines:
        cells = {name: text for name, text in zip_longest(table.headings, texts, fillvalue="") if name in COLUMNS}
        if any(cells.values()):
            lines[number] = cells
    return lines


def _ids_of(lines: dict[int, dict[str, str]]) -> tuple[dict[int, int], list[SheetError]]:
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
