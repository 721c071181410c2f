"""The review as a spreadsheet: held charges go out to a department, decisions come back."""

import datetime
import hashlib
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

from . import audit, review
from .audit import Actor
from .errors import BillingError
from .models import BillingPeriod, Charge, Flag, Person, Project, ReviewDecision, Source
from .models.people import normalized_email
from .review import Correction, Review
from .sheets import amount_cell, text_cell

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
    "fingerprint": 20,
}
EDITABLE = ("pi", "project", "fund_org", "split", "decision", "reason", "note")
DECISIONS = ("approve", "reject", "absorb")
# What fits an .xlsx by its own rules, and what we are willing to unpack of one.
MAX_ROWS = 1_048_575
MAX_UNPACKED = 512 * 1024**2

INSTRUCTIONS = (
    "How to fill in this spreadsheet",
    "",
    f"Each row of the sheet “{SHEET}” is a charge that waits for review, with the reasons why.",
    "Who pays: correct pi (an e-mail address), project, fund_org or split in place. Leave what is right.",
    "A split shares a charge among several fund/orgs in percent that sum to 100, written A=60; B=40.",
    "decision: approve, reject or absorb (the center pays); leave it empty to decide later.",
    f"reason: for reject, one of {', '.join(ReviewDecision.Reason.values)}; “other” needs a note.",
    "note: kept with the decision.",
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
    """A file that `review export` did not write."""


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

    @property
    def counts(self) -> dict[str, int]:
        """How many charges were approved, rejected, absorbed and reattributed."""
        done = {review.DONE[ReviewDecision.Action(name)]: 0 for name in (*DECISIONS, "reattribute")}
        for row in self.rows:
            if row.changes:
                done["reattributed"] += 1
            if row.decision:
                done[review.DONE[ReviewDecision.Action(row.decision)]] += 1
        return done

    def __str__(self) -> str:
        parts = [f"{number:,} {done}" for done, number in self.counts.items() if number]
        would = "would be " if self.is_dry_run else ""
        text = f"{review.counted(len(self.rows))}: {would}{', '.join(parts)}" if parts else "No row decides anything"
        return f"{text}; {self.untouched:,} left as they are." if self.untouched else f"{text}."


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
        row[list(COLUMNS).index("billed")] = amount_cell(sheet, charge.billed_cost)
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
    with audit.gesture(actor=actor, now=now) as gesture, transaction.atomic():
        told = len(gesture.events)
        known = {
            pk
            for batch in review.batches(sorted(set(ids.values())))
            for pk in Charge.objects.filter(pk__in=batch).values_list("pk", flat=True)
        }
        in_review = Review(known, gesture=gesture)
        current = {
            charge.pk: charge
            for batch in review.batches(sorted(known))
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
                if row and (why := _decide(in_review, row, current[pk])):
                    errors.append(SheetError(line, "decision" if row.decision else "", f"{why[0].upper()}{why[1:]}."))
                if row:
                    rows.append(row)
            except _BadCell as error:
                errors.append(SheetError(line, error.column, str(error)))
        if errors:
            raise SheetRefused(
                sorted(errors, key=lambda error: (error.line, list(COLUMNS).index(error.column or "id")))
            )
        in_review.save(ReviewDecision.Action.REATTRIBUTE)
        if dry_run:
            del gesture.events[told:]
            transaction.set_rollback(True)
    return AppliedSheet(rows, len(lines) - len(rows), dry_run)


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
    if not changes and not decision:
        if reason or note:
            raise _BadCell("decision", "There is a reason or a note, but no decision to go with it.")
        return None
    if cells.get("fingerprint") != values["fingerprint"]:
        raise _BadCell("fingerprint", "The charge was changed since the export. Export it again.")
    if decision and decision not in DECISIONS:
        raise _BadCell("decision", f"“{decision}” is no decision. Write {', '.join(DECISIONS)}, or leave it empty.")
    if decision == "reject":
        _checked("reason", lambda: review.check_reason(reason, note))
    elif reason:
        raise _BadCell("reason", "Only a rejection has a reason; write a note instead.")
    if decision == "absorb":
        _checked("decision", review.require_center_fund_org)
    for name, (_, new) in changes.items():
        replacement = {"fund_org": "split", "split": "fund_org"}.get(name)
        if not new and not (replacement and cells.get(replacement)):
            raise _BadCell(name, "This cannot be emptied: write who pays instead, or leave it as it was.")
    if all(changes.get(name, ("", ""))[1] for name in ("fund_org", "split")):
        raise _BadCell("split", "Give either a fund/org or a split, not both.")
    return SheetRow(line, int(cells["id"]), changes, decision, reason, note)


def _canonical(name: str, text: str) -> str:
    """Return a cell as it is compared: the same address or shares written otherwise are no change."""
    if name == "pi":
        return normalized_email(text)
    if name == "split" and text:
        try:
            return review.shares_text(review.parse_shares(text))
        except review.BadSplit:
            return text
    return text


def _decide(in_review: Review, row: SheetRow, charge: Charge) -> str:
    """Do in memory what a row says; return why it cannot be done, or nothing."""
    held = in_review.charges.get(row.charge_id)
    if held is None:
        return in_review.why_skipped[row.charge_id]
    approve = row.decision == "approve"
    if row.changes:
        new = {name: after for name, (_, after) in row.changes.items()}
        shares = _checked("split", lambda: review.parse_shares(new["split"])) if new.get("split") else {}
        if "split" in new and not shares:
            # An emptied split: the fund/org beside it pays alone from now on.
            new.setdefault("fund_org", charge.fund_org)
        correction = Correction(
            pi=new.get("pi", ""),
            project=new.get("project", ""),
            fund_org="" if shares else new.get("fund_org", ""),
            shares=tuple(shares.items()),
        )
        column = "pi" if "pi" in new else next(iter(new))
        checked = _checked(column, correction.checked)
        if why := in_review.correct(held, checked, approve=approve, note=row.note):
            return why
        if approve and held.state != Charge.State.HELD:
            return ""
    if not row.decision:
        return ""
    state = {"approve": Charge.State.APPROVED, "reject": Charge.State.REJECTED, "absorb": Charge.State.ABSORBED}
    return in_review.decide(held, state[row.decision], reason=row.reason, note=row.note)


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
            *review.NEEDED_FIELDS,
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
        "split": review.shares_text({share.fund_org: share.percent for share in split.shares.all()}) if split else "",
        "service": charge.service_name,
        "resource": charge.resource,
        "billed": "",
        "currency": charge.currency,
        "reasons": "; ".join(f"{flag.code}: {flag.detail}" if flag.detail else flag.code for flag in flags),
        "decision": "",
        "reason": "",
        "note": "",
        "fingerprint": fingerprint(charge),
    }


def fingerprint(charge: Charge) -> str:
    """Return a short hash of a charge's state and of who pays it: another one means it was changed."""
    content = [charge.withdrawn_in_id, *(getattr(charge, name) for name in review.DECIDED_FIELDS)]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def _offer_choices(sheet: Any) -> None:
    letters = {name: get_column_letter(index) for index, name in enumerate(COLUMNS, start=1)}
    for name, choices in (("decision", DECISIONS), ("reason", tuple(ReviewDecision.Reason.values))):
        offered = DataValidation(type="list", formula1=f'"{",".join(choices)}"', allow_blank=True)
        offered.errorTitle, offered.error = name, f"Choose one of {', '.join(choices)}, or leave it empty."
        offered.add(f"{letters[name]}2:{letters[name]}{MAX_ROWS}")
        sheet.data_validations.append(offered)


def _read(file: IO[bytes]) -> dict[int, dict[str, str]]:
    """Return the lines of the sheet, each with its cells by heading, as trimmed text."""
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(each.file_size for each in archive.infolist()) > MAX_UNPACKED:
                raise NotAReviewSheet("The spreadsheet is too large once unpacked. Apply it in parts.")
        file.seek(0)
        # Cached values of formulas, so that a fund/org looked up in another sheet counts as written.
        book = load_workbook(file, read_only=True, data_only=True)
    except NotAReviewSheet:
        raise
    except Exception as error:  # the many ways in which a file is no workbook
        raise NotAReviewSheet("This is not an .xlsx spreadsheet. Apply the file that `review export` wrote.") from error
    try:
        sheet = book[SHEET] if SHEET in book.sheetnames else book.worksheets[0]
        rows = sheet.iter_rows(values_only=True)
        headings = [_as_text(value).casefold() for value in next(rows, ())]
        if missing := [name for name in ("id", "decision", "fingerprint") if name not in headings]:
            raise NotAReviewSheet(
                f"The sheet “{sheet.title}” has no column {', '.join(missing)}. "
                "Apply the file that `review export` wrote."
            )
        if doubled := sorted({name for name in headings if name in COLUMNS and headings.count(name) > 1}):
            raise NotAReviewSheet(f"The sheet “{sheet.title}” has the column {', '.join(doubled)} twice.")
        lines = {}
        for number, row in enumerate(rows, start=2):
            cells = {name: _as_text(value) for name, value in zip(headings, row, strict=False) if name in COLUMNS}
            if any(cells.values()):
                lines[number] = cells
        return lines
    finally:
        book.close()


def _as_text(value: Any) -> str:
    """Return a cell as text; programs turn ids and fund/orgs that look like numbers into numbers."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    return str(value).strip()


def _ids_of(lines: dict[int, dict[str, str]]) -> tuple[dict[int, int], list[SheetError]]:
    ids: dict[int, int] = {}
    errors = []
    first: dict[int, int] = {}
    for line, cells in lines.items():
        text = cells.get("id", "")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            errors.append(SheetError(line, "id", f"“{text}” is not the id of a charge."))
            continue
        pk = int(text)
        if pk in first:
            errors.append(SheetError(line, "id", f"Charge {pk} is on line {first[pk]} already."))
            continue
        ids[line], first[pk] = pk, line
    return ids, errors
