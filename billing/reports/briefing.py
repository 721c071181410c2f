"""What a report says on paper: its sums in words, its trend, and who got the value delivered and who gave it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from django.utils import timezone

from ..models import Policy
from ..money import rounded
from ..texts import long_date
from .asking import Asked, moved
from .making import make
from .tables import COUNT, Report, Row, percent, percent_text, summed

# Rows of a table on paper; those after are one.
MOST = 12
# Months of the chart, and fiscal years side by side.
MONTHS, YEARS = 24, 3
# What is written in a narrow column.
SHORT = {"Provider discount": "Discount", "Change in percent": "Percent"}


def of(report: Report) -> dict[str, Any]:
    """Return the data of a report on paper, amounts as numbers of its currency."""
    report = report.brief()
    asked, policy = report.asked, Policy.objects.current()
    is_value = asked.name == "value"
    return {
        "title": asked.title,
        "institution": policy.institution,
        "department": policy.department,
        "contact": policy.contact_email,
        "paper": policy.paper_size,
        "span": asked.span,
        "scope": [f"{label} {text}" for label, text in asked.narrowed],
        "currency": report.currency,
        "made": long_date(timezone.localdate()),
        "sums": _sums(report) if is_value else [],
        "told": _told(report) if is_value and not report.is_empty else [],
        "trend": _trend(report),
        "tables": [_table(each) for each in (_of_value(report, policy) if is_value else [report]) if each.rows],
        "notes": list(report.notes),
    }


def _sums(report: Report) -> list[dict[str, Any]]:
    """Return the four sums, each with what part it is of what it is taken from."""
    listed, discount, contracted, subsidy, charged = (
        report.value(name) for name in ("listed", "discount", "contracted", "subsidy", "charged")
    )
    return [
        {"label": "List price", "amount": listed, "remark": "what it was worth"},
        {"label": "Provider discount", "amount": discount, "remark": _part(discount, listed, "of list price")},
        {"label": "Subsidy", "amount": subsidy, "remark": _part(subsidy, contracted, "of price after discount")},
        {"label": "Charged", "amount": charged, "remark": _part(charged, contracted, "recovered")},
    ]


def _part(part: Any, whole: Any, of: str) -> str:
    found = percent(part, whole)
    return "" if found is None else f"{percent_text(found)} {of}"


def _told(report: Report) -> list[str]:
    """Say in sentences what the sums say."""
    listed, discount, contracted, subsidy, charged = (
        Decimal(report.value(name) or 0) for name in ("listed", "discount", "contracted", "subsidy", "charged")
    )

    def money(amount: Decimal) -> str:
        return f"{rounded(amount, report.currency)} {report.currency}"

    said = [f"Services worth {money(listed)} at list price were delivered."]
    if discount:
        said.append(f"Discounts of providers took {money(discount)} off that.")
    if subsidy:
        part = percent(subsidy, contracted)
        of = "" if part is None else f", {percent_text(part)} of the price after discounts"
        said.append(f"Subsidies covered {money(subsidy)}{of}.")
    part = percent(charged, contracted)
    recovered = "" if part is None else f": {percent_text(part)} of the price after discounts was recovered"
    said.append(f"Projects were charged {money(charged)}{recovered}.")
    return said


def _of_value(report: Report, policy: Policy) -> list[Report]:
    """Return what belongs beside the value delivered: by college, service and fiscal year, and who gave the subsidy."""
    asked = report.asked
    year = policy.fiscal_year_of(asked.last)
    since = policy.months_of_fiscal_year(year - YEARS + 1)[0]
    ways = dict.fromkeys((asked.by, "college", "service"))
    found = [report if by == asked.by else make(replace(asked, by=by)) for by in ways if by not in ("month", "year")]
    if "fund" not in asked.only:
        found.append(make(replace(asked, name="subsidy", by="giver", currency=report.currency)))
    found.append(make(replace(asked, by="year", first=min(since, asked.first), currency=report.currency)))
    return found


def _trend(report: Report) -> dict[str, Any] | None:
    """Return the amounts by month of the chart: of very many months the last."""
    trend = report.trend
    if trend is None or not trend.series:
        return None
    asked = report.asked
    if len(trend.months) > MONTHS:
        later = make(replace(asked, first=moved(asked.last, 1 - MONTHS), currency=report.currency))
        return _trend(later)
    shown = trend.top(4)
    return {
        "months": [month.month for month in shown.months],
        "series": [{"label": each.label, "amounts": list(each.amounts)} for each in shown.series],
        "totals": list(shown.totals),
    }


def _table(report: Report) -> dict[str, Any]:
    """Return a table: of very many rows the first, and the others as one."""
    rows = list(report.rows)
    is_tree = any(row.parts for row in rows)
    if len(rows) > MOST + 1 and not is_tree:
        rest = rows[MOST:]
        rows = [*rows[:MOST], Row(f"{len(rest):,} others", summed(report.columns, rest))]
    # Numbers of charges are for who works on them: paper has the money.
    kept = [place for place, column in enumerate(report.columns) if column.kind != COUNT]
    columns = [report.columns[place] for place in kept]
    return {
        "title": _title(report.asked),
        "heading": report.heading,
        "columns": [{"label": SHORT.get(each.label, each.label), "kind": each.kind} for each in columns],
        "rows": [
            {"label": _label(report, row), "depth": row.depth, "values": [row.values[place] for place in kept]}
            for row in rows
        ],
        "total": [report.total[place] for place in kept],
    }


def _label(report: Report, row: Row) -> str:
    """Return what a row is called, with what is told of it in words."""
    told = [f"{report.texts[place].lower()} {row.texts[place]}" for place in report.on_paper if row.texts[place]]
    return f"{row.label}: {', '.join(told)}" if told else row.label


def _title(asked: Asked) -> str:
    if asked.name == "subsidy" and asked.by == "giver":
        return "Who paid the subsidies"
    if asked.by == "year":
        return "Year by year"
    return f"By {asked.noun}"
