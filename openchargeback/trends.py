"""The page of trends: what its address asks for, the figures, and the same as a file."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from io import StringIO
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from billing import charts, trends
from billing.money import plain
from billing.sheets import guarded
from billing.trends import BY, LABELS, MEASURES, NOUNS, Trend

from .working_period import working_period

PERMISSION = "billing.view_charge"
MONTHS = (12, 24, 36)
# Columns of the table on the page; the file has all.
COLUMNS = 50


@dataclass(frozen=True)
class Choice:
    """One of several things to choose, and the address that chooses it."""

    label: str
    url: str
    is_chosen: bool


@dataclass(frozen=True)
class Asked:
    """What the page shows, and what else it could."""

    by: str
    measure: str
    number: int
    trend: Trend | None = None
    chart: charts.Chart | None = None
    charted: Trend | None = None
    # By what they choose: by, months, show, currency.
    choices: dict[str, list[Choice]] = field(default_factory=dict)
    csv_url: str = ""

    @property
    def by_label(self) -> str:
        return LABELS[self.by]

    @property
    def by_noun(self) -> str:
        return NOUNS[self.by]

    @property
    def measure_label(self) -> str:
        return MEASURES[self.measure]

    @property
    def shown(self) -> Trend | None:
        """The trend as the table shows it."""
        return self.trend.top(COLUMNS) if self.trend else None


def asked(request: HttpRequest) -> Asked:
    """Return what an address asks for, to the month worked on; what it does not know is as if it were not said."""
    working = working_period(request)
    get = request.GET
    by = get["by"] if get.get("by") in BY else "source"
    measure = get["show"] if get.get("show") in MEASURES else "charged"
    number = int(get["months"]) if get.get("months") in {str(each) for each in MONTHS} else MONTHS[0]
    if working.period is None:
        return Asked(by, measure, number)
    found = trends.trend(
        trends.months_until(working.period, number, working.months),
        by,
        measure=measure,
        currency=get.get("currency", ""),
    )
    now = {"by": by, "months": str(number), "show": measure, "currency": found.currency}
    offered: dict[str, Mapping[str, str]] = {
        "by": LABELS,
        "months": {str(each): f"{each} months" for each in MONTHS},
        "show": MEASURES,
        "currency": {each: each for each in found.currencies},
    }
    choices = {
        name: [Choice(label, f"?{urlencode(now | {name: key})}", now[name] == key) for key, label in these.items()]
        for name, these in offered.items()
        if len(these) > 1
    }
    charted = found.top(charts.COLORS)
    chart = charts.stacked(charted.columns)
    return Asked(by, measure, number, found, chart, charted, choices, f"?{urlencode(now | {'csv': 'on'})}")


def as_csv(shown: Asked, trend: Trend) -> HttpResponse:
    """Return the figures as a file: a row for each source or whatever it is by, a column for each month."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow([shown.by_label, *(month.iso_month for month in trend.months), "Total", "Currency"])

    def write(label: str, amounts: tuple[Decimal, ...]) -> None:
        figures = [plain(amount, trend.currency) for amount in (*amounts, sum(amounts, Decimal(0)))]
        writer.writerow([guarded(label), *figures, trend.currency])

    for each in trend.series:
        write(each.label, each.amounts)
    write("Total", trend.totals)
    response = HttpResponse(out.getvalue().encode("utf-8-sig"), content_type="text/csv; charset=utf-8")
    first, last = trend.months[0], trend.months[-1]
    name = f"{shown.measure_label.lower().replace(' ', '-')}-by-{shown.by}-{first.iso_month}-to-{last.iso_month}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
