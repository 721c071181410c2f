"""What other rates would charge, as a table to take along: a line for each payer, and in Excel the sums, too."""

from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any

from openpyxl import Workbook

from ...models import PayerLine
from ...sheets import FORMATS as FORMATS
from ...sheets import cells_of, write_table
from ...texts import iso_month
from .results import Line, MonthTried, Tried

COLUMNS = (
    *("month", "feed", "source", "pi", "pi_name", "project", "paid_by", "account", "service", "kind", "currency"),
    *("list_now", "list_then", "charged_now", "charged_then", "difference"),
)
OF_PIS = ("pi", "pi_name", "currency", "list_now", "list_then", "charged_now", "charged_then", "difference")
OF_JOURNAL = ("fund_org", "account", "currency", "now", "then", "difference")
OF_MONTHS = ("month", "feed", "state", "priced_by", "currency", "charged_now", "charged_then", "difference", "problem")


def write(tried: Tried, file: IO[bytes], form: str) -> int:
    """Write what was tried as one of FORMATS; return the number of lines."""
    rows = list(_rows(tried))
    if form == "csv":
        return write_table(rows=rows, columns=COLUMNS, title="Lines", file=file, form=form)
    book = Workbook(write_only=True)
    book.properties.creator = "OpenChargeback"
    for title, columns, some in (
        ("Months", OF_MONTHS, [_month(each, tried.currency) for each in tried.months]),
        ("PIs", OF_PIS, list(_pis(tried))),
        ("Journal", OF_JOURNAL, list(_journal(tried))),
        ("Lines", COLUMNS, rows),
    ):
        sheet: Any = book.create_sheet(title)
        sheet.freeze_panes = "B2"
        sheet.append(list(columns))
        for row in some:
            sheet.append(cells_of(sheet, row, columns))
    book.save(file)
    return len(rows)


def _rows(tried: Tried) -> Iterator[dict[str, str | Decimal]]:
    for month in tried.found:
        for line in month.lines:
            yield {"month": iso_month(month.month), "feed": month.feed, **_line(line, tried.currency)}


def _line(line: Line, currency: str) -> dict[str, str | Decimal]:
    payer = line.payer
    return {
        "source": payer.source,
        "pi": payer.pi,
        "pi_name": payer.pi_name,
        "project": payer.project,
        "paid_by": payer.paid_by,
        "account": payer.account,
        "service": payer.service,
        "kind": str(PayerLine.Kind(payer.kind).label),
        "currency": currency,
        "list_now": line.listed.now,
        "list_then": line.listed.then,
        "charged_now": line.charged.now,
        "charged_then": line.charged.then,
        "difference": line.charged.difference,
    }


def _month(month: MonthTried, currency: str) -> dict[str, str | Decimal]:
    charged = month.charged
    return {
        "month": iso_month(month.month),
        "feed": month.feed,
        "state": month.state,
        "priced_by": month.priced_by,
        "currency": currency,
        "charged_now": "" if month.problem else charged.now,
        "charged_then": "" if month.problem else charged.then,
        "difference": "" if month.problem else charged.difference,
        "problem": month.problem,
    }


def _pis(tried: Tried) -> Iterator[dict[str, str | Decimal]]:
    for each in tried.by_pi():
        yield {
            "pi": each.pi,
            "pi_name": each.name,
            "currency": tried.currency,
            "list_now": each.listed.now,
            "list_then": each.listed.then,
            "charged_now": each.charged.now,
            "charged_then": each.charged.then,
            "difference": each.charged.difference,
        }


def _journal(tried: Tried) -> Iterator[dict[str, str | Decimal]]:
    for each in tried.journal():
        yield {
            "fund_org": each.fund_org,
            "account": each.account,
            "currency": tried.currency,
            "now": each.amount.now,
            "then": each.amount.then,
            "difference": each.amount.difference,
        }
