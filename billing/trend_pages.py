"""What pages of trends share: what can be chosen on them, and their figures as a file."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from io import StringIO
from urllib.parse import urlencode

from django.http import HttpResponse

from . import charts
from .charts import Chart
from .money import plain
from .sheets import guarded
from .trends import LABELS, MEASURES, NOUNS, Trend

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
    """What an address asks for; what it does not know is as if it were not said."""

    by: str
    measure: str
    number: int
    currency: str = ""

    @classmethod
    def of(cls, get: Mapping[str, str], ways: Mapping[str, str]) -> "Asked":
        """Read an address; `ways` are what its page can tell months apart by, the first without a word."""
        number = int(get["months"]) if get.get("months") in {str(each) for each in MONTHS} else MONTHS[0]
        by = get["by"] if get.get("by") in ways else next(iter(ways))
        measure = get["show"] if get.get("show") in MEASURES else "charged"
        return cls(by, measure, number, get.get("currency", ""))


@dataclass(frozen=True)
class Page:
    """What a page shows, and what else it could."""

    asked: Asked
    trend: Trend | None = None
    chart: Chart | None = None
    charted: Trend | None = None
    # By what they choose: by, months, show, currency.
    choices: dict[str, list[Choice]] = field(default_factory=dict)
    csv_url: str = ""

    @property
    def by(self) -> str:
        return self.asked.by

    @property
    def by_label(self) -> str:
        return LABELS[self.by]

    @property
    def by_noun(self) -> str:
        return NOUNS[self.by]

    @property
    def measure_label(self) -> str:
        return MEASURES[self.asked.measure]

    @property
    def shown(self) -> Trend | None:
        """The trend as the table shows it."""
        return self.trend.top(COLUMNS) if self.trend else None


def page_of(asked: Asked, trend: Trend, ways: Mapping[str, str]) -> Page:
    """Return a trend with its picture, and with the addresses that choose another."""
    now = {"by": asked.by, "months": str(asked.number), "show": asked.measure, "currency": trend.currency}
    offered: dict[str, Mapping[str, str]] = {
        "by": ways,
        "months": {str(each): f"{each} months" for each in MONTHS},
        "show": MEASURES,
        "currency": {each: each for each in trend.currencies},
    }
    choices = {
        name: [Choice(label, f"?{urlencode(now | {name: key})}", now[name] == key) for key, label in these.items()]
        for name, these in offered.items()
        if len(these) > 1
    }
    charted = trend.top(charts.COLORS)
    chart = charts.stacked(charted.columns)
    return Page(asked, trend, chart, charted, choices, f"?{urlencode(now | {'csv': 'on'})}")


def as_csv(shown: Page, trend: Trend) -> HttpResponse:
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
