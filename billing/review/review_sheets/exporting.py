"""Held charges go out to a department as a spreadsheet to fill in."""

import datetime
from typing import IO, Any

from django.db.models import QuerySet
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

from ... import audit
from ...audit import Actor
from ...currencies import minor_units
from ...models import Charge, ReviewDecision
from ...money import in_decimals_of
from ...sheets import amount_cell, text_cell
from .columns import COLUMNS, DECISIONS, EDITABLE, MAX_ROWS, SHEET, values_of, with_names

INSTRUCTIONS = (
    "How to fill in this spreadsheet",
    "",
    f"Each row of the sheet “{SHEET}” is a charge that waits for review, with the reasons why.",
    "Who pays: correct pi (an e-mail address), project, fund_org or split in place. Leave what is right.",
    "A split shares a charge among several fund/orgs in percent that sum to 100, written A=60; B=40.",
    "decision: approve, reject or charge to center; leave it empty to decide later.",
    f"reason: for reject, one of {', '.join(ReviewDecision.Reason.values)}; “other” needs a note.",
    "provider_credits: for reject of what an outside provider bills. yes: the provider will credit it, and nobody",
    "pays. no: it will not, and the center is charged.",
    "note: kept with the decision.",
    "create: write yes if pi, project or fund_org names something new on purpose. Otherwise a name that does not",
    "exist is refused, so that a typo creates nothing. One yes counts for every row with the same name.",
    "Do not change the other columns. Rows may be deleted or sorted; the fingerprint tells whether a charge",
    "was changed by somebody else in the meantime, and then its row is refused.",
)


def export(*, charges: "QuerySet[Charge]", file: IO[bytes], actor: Actor, now: datetime.datetime) -> int:
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
    for charge in with_names(charges).iterator(chunk_size=2_000):
        values = values_of(charge)
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


def _offer_choices(sheet: Any) -> None:
    letters = {name: get_column_letter(index) for index, name in enumerate(COLUMNS, start=1)}
    for name, choices in (
        ("decision", DECISIONS),
        ("reason", tuple(ReviewDecision.Reason.values)),
        ("provider_credits", ("yes", "no")),
        ("create", ("yes",)),
    ):
        offered = DataValidation(type="list", formula1=f'"{",".join(choices)}"', allow_blank=True)
        offered.errorTitle, offered.error = name, f"Choose one of {', '.join(choices)}, or leave it empty."
        offered.add(f"{letters[name]}2:{letters[name]}{MAX_ROWS}")
        sheet.data_validations.append(offered)
