"""A rate study as a workbook whose figures are formulas: whoever opens it can follow each, and change a cost.

What is entered stands as a number, what follows as a formula. Texts are never formulas.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell

from ...currencies import minor_units
from ...models import CostPool
from ...sheets import amount_cell, amount_format, text_cell
from ...texts import iso_month
from .equation import UNALLOWABLE, Cost, Shared
from .studying import Studied

COSTS = (
    "Cost",
    "Kind",
    "Amount",
    "Acquisition cost",
    "Federally funded",
    "Life, years",
    "Months",
    "Counts",
    "Excluded",
)
SHARES = ("Shared cost", "Rate", "Share", "Shared by", "Up to here", "Counts", "Excluded")
USE = ("Month", "Delivered", "Charged", "Free", "Held", "Without value", "Units", "List price", "Billed", "Subsidized")


def write_workbook(studied: Studied, file: IO[bytes]) -> None:
    """Write a study as .xlsx: the equation, its costs, and the use of the year."""
    book = Workbook(write_only=True)
    book.properties.creator = "OpenChargeback"
    figures = studied.figures
    places = minor_units(figures.currency)
    rows_of_costs, rows_of_use = len(figures.costs) + 2, len(figures.use) + 2
    _equation(book, studied, places, rows_of_costs, rows_of_use)
    shared = _rows_of_shares(figures.costs)
    sheet = _sheet(book, "Costs", COSTS)
    for number, cost in enumerate(figures.costs, start=2):
        sheet.append(_cost_row(sheet, cost, number, places, shared.get(number)))
    last = rows_of_costs - 1
    sheet.append(
        [text_cell(sheet, "Total"), *[None] * 6, *(_sum(sheet, column, last, places) for column in ("H", "I"))]
    )
    sheet = _sheet(book, "Use", USE)
    for number, each in enumerate(figures.use, start=2):
        units = (each.delivered, each.charged, each.free, each.held, each.worthless)
        sheet.append(
            [
                text_cell(sheet, iso_month(each.month)),
                *(amount_cell(sheet, quantity) for quantity in units),
                _formula(sheet, f"=B{number}-F{number}", amount_format(2)),
                amount_cell(sheet, each.listed),
                amount_cell(sheet, each.billed),
                _formula(sheet, f"=H{number}-I{number}", amount_format(places)),
            ]
        )
    last = rows_of_use - 1
    sheet.append([text_cell(sheet, "Total"), *(_sum(sheet, column, last, 2) for column in "BCDEFGHIJ")])
    if shared:
        _shared(book, [cost.shared for cost in figures.costs if cost.shared], places)
    book.save(file)


def _rows_of_shares(costs: Sequence[Cost]) -> dict[int, int]:
    """Return for the row of each part of a shared cost the row of its own share, on the sheet of shares."""
    rows, begin = {}, 2
    for number, cost in enumerate(costs, start=2):
        if cost.shared:
            rows[number] = begin + cost.shared.own
            begin += len(cost.shared.shares)
    return rows


def _shared(book: Workbook, found: Sequence[Shared], places: int) -> None:
    """Write the sheets of shared costs and of their shares: all of them, so that the parts are seen to add up.

    A part is what the shares up to it come to, rounded, less what those before it do.
    """
    sheet = _sheet(book, "Shared", COSTS)
    for number, each in enumerate(found, start=2):
        sheet.append(_cost_row(sheet, each.whole, number, places, None))
    sheet, row = _sheet(book, "Shares", SHARES), 2
    for whole, each in enumerate(found, start=2):
        last = row + len(each.shares) - 1
        for number, share in enumerate(each.shares, start=row):
            before = f"E{number - 1}" if number > row else "0"
            sheet.append(
                [
                    text_cell(sheet, each.whole.name),
                    text_cell(sheet, share.label),
                    amount_cell(sheet, share.weight),
                    text_cell(sheet, each.base),
                    _formula(sheet, f"={before}+C{number}", amount_format(2)),
                    *(
                        _formula(
                            sheet,
                            f"=ROUND(Shared!{column}{whole}*E{number}/E{last},{places})"
                            f"-ROUND(Shared!{column}{whole}*{before}/E{last},{places})",
                            amount_format(places),
                        )
                        for column in "HI"
                    ),
                ]
            )
        row = last + 1


def _equation(book: Workbook, studied: Studied, places: int, of_costs: int, of_use: int) -> None:
    """Write the sheet that leads from costs to the rate; column B has each figure."""
    figures, money = studied.figures, amount_format(places)
    sheet = _sheet(book, "Rate", ("Figure", "Value", "How"))
    expected = figures.expected_units

    def row(label: str, value: Any, how: str = "") -> None:
        sheet.append([text_cell(sheet, label), value, text_cell(sheet, how) if how else None])

    def formula(text: str, shown: str = money) -> Any:
        return _formula(sheet, text, shown)

    row("Study", text_cell(sheet, str(studied.study)))
    row("Usage feed", text_cell(sheet, studied.study.feed.label))
    row("Unit", text_cell(sheet, figures.unit))
    row("Costs that count", formula(f"=Costs!H{of_costs}"), "of the fiscal year")
    row("Balance of the years before", amount_cell(sheet, figures.opening_balance), "over-recovery above zero")
    row("Recovered at list price", formula(f"=Use!H{of_use}"), "subsidies, free amounts and balances count")
    row("Balance carried forward", formula("=B6+B7-B5"), "balance before + recovered − costs")
    row("To be recovered", formula("=B5-B8"), "costs − balance carried forward")
    row("Units expected", amount_cell(sheet, expected) if expected is not None else None, "empty: those of the year")
    row("Units", formula(f'=IF(B10="",Use!G{of_use},B10)', amount_format(2)))
    row("Decimals of the rate", amount_cell(sheet, Decimal(figures.places)), "halves are rounded up")
    rate = amount_format(figures.places)
    row("Break-even rate", formula("=MAX(ROUND(B9/B11,B12),0)", rate), "to be recovered ÷ units")
    proposed = figures.proposed
    row("Proposed", amount_cell(sheet, proposed) if proposed is not None else None, "empty: the break-even rate")
    row("Rate", formula('=IF(B14="",B13,B14)', rate))
    row("Excluded from the rate", formula(f"=Costs!I{of_costs}"), "unallowable, and federally funded")


def _cost_row(sheet: Any, cost: Cost, number: int, places: int, of_share: int | None) -> list[Any]:
    """Return the row of a cost. `of_share` is the row of its share, where it is a part of a shared cost."""
    money = amount_format(places)
    label = str(CostPool.Kind(cost.kind).label)
    head = [text_cell(sheet, cost.name), text_cell(sheet, label)]
    if of_share:
        return [*head, *[None] * 5, *(_formula(sheet, f"=Shares!{column}{of_share}", money) for column in "FG")]
    if cost.cost is not None:
        whole = f"ROUND(D{number}*G{number}/(F{number}*12),{places})"
        counts = f"=ROUND((D{number}-E{number})*G{number}/(F{number}*12),{places})"
        return [
            *head,
            None,
            amount_cell(sheet, cost.cost),
            amount_cell(sheet, cost.federally_funded),
            amount_cell(sheet, Decimal(cost.life_years)),
            amount_cell(sheet, Decimal(cost.months)),
            _formula(sheet, counts, money),
            _formula(sheet, f"={whole}-H{number}", money),
        ]
    is_unallowable = cost.kind == UNALLOWABLE
    amount = amount_cell(sheet, cost.excluded if is_unallowable else cost.amount)
    counts, excluded = ("=0", f"=C{number}") if is_unallowable else (f"=C{number}", "=0")
    return [*head, amount, *[None] * 4, _formula(sheet, counts, money), _formula(sheet, excluded, money)]


def _sheet(book: Workbook, title: str, headings: tuple[str, ...]) -> Any:
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "B2"
    for number in range(len(headings)):
        sheet.column_dimensions[chr(ord("A") + number)].width = 30 if number == 0 else 18
    sheet.append(list(headings))
    return sheet


def _formula(sheet: Any, text: str, shown: str) -> Any:
    cell = WriteOnlyCell(sheet, text)
    cell.number_format = shown
    return cell


def _sum(sheet: Any, column: str, last: int, places: int) -> Any:
    return _formula(sheet, f"=SUM({column}2:{column}{last})" if last > 1 else "=0", amount_format(places))
