"""What a statement says: the figures and texts that the PDF, the portal and the e-mail all show."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import NamedTuple

from billing import quantities
from billing.charts import Chart, stacked
from billing.money import ZERO, written
from billing.quantities import Usage
from billing.texts import iso_month, long_month, month_name

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}


@dataclass(frozen=True)
class Figures:
    """List price, price after the provider's discount, and what is charged; in whole cents of the currency."""

    list_cost: Decimal = ZERO
    contracted_cost: Decimal = ZERO
    charged: Decimal = ZERO

    @property
    def discount(self) -> Decimal:
        return self.list_cost - self.contracted_cost

    @property
    def subsidy(self) -> Decimal:
        return self.contracted_cost - self.charged

    @property
    def discount_percent(self) -> str:
        """The provider's discount as a part of the list price."""
        return percent(self.discount, self.list_cost)

    @property
    def subsidy_percent(self) -> str:
        """The subsidy as a part of the price after the discount: 100% means that nothing is charged."""
        return percent(self.subsidy, self.contracted_cost)

    def less(self, part: "Figures") -> "Figures":
        """Return what is left without a part of it."""
        return Figures(
            self.list_cost - part.list_cost, self.contracted_cost - part.contracted_cost, self.charged - part.charged
        )

    @classmethod
    def total(cls, parts: "Iterable[Figures]") -> "Figures":
        parts = list(parts)
        return cls(
            sum((part.list_cost for part in parts), ZERO),
            sum((part.contracted_cost for part in parts), ZERO),
            sum((part.charged for part in parts), ZERO),
        )


@dataclass(frozen=True)
class Original:
    """A line before it was converted: its amounts in the currency of its charges, and what a unit of that is worth."""

    currency: str
    rate: Decimal
    list_cost: Decimal
    charged: Decimal

    @property
    def rate_text(self) -> str:
        """The rate without zeros that say nothing: `1.085`."""
        return f"{self.rate.normalize():f}"

    def __str__(self) -> str:
        listed = f", list price {money(self.list_cost, self.currency)}" if self.list_cost != self.charged else ""
        return f"{self.currency} {money(self.charged, self.currency)}{listed}, at {self.rate_text}"


@dataclass(frozen=True)
class Resource:
    """What makes up a line: one resource, or the many small ones that are not listed."""

    name: str
    resource_id: str
    count: int
    figures: Figures
    # Above 0 where this stands for so many resources.
    further: int = 0
    # Charged, in the currency of the line's `original`.
    original: Decimal | None = None
    usage: tuple[Usage, ...] = ()

    @property
    def used(self) -> str:
        """How much was used, in each unit: `60% of 257.33 core-hours`."""
        return quantities.told(self.usage)


@dataclass(frozen=True)
class Line:
    """One service of one source, charged to one fund/org."""

    service: str
    source: str
    natural_account: str
    figures: Figures
    charge_count: int = 0
    resources: tuple[Resource, ...] = ()
    # Set where it is for another month than the statement's: `2024-12`.
    for_month: str = ""
    # What changed that month afterwards, such as a late change of its provider or a refund.
    correction: str = ""
    is_showback: bool = False
    # The whole of a cost that everybody whom the source charged shares; this line is a part of it.
    shared_total: Decimal | None = None
    # What the whole is in; the line's figures are in the statement's, which is the same.
    currency: str = "USD"
    # What its charges name besides, by what people call it: ("Grant number", "NSF-1, NSF-2 and 3 more"); maybe nothing.
    references: tuple[tuple[str, str], ...] = ()

    # It corrects a month, or is charged late for one: no part of the statement's own month.
    is_correction: bool = False
    # The lines of earlier statements that it corrects: `2025-01-0007-1:3`.
    corrects: tuple[str, ...] = ()
    # Where its charges came in another currency.
    original: Original | None = None
    # As its statement numbers it, from 1.
    number: int = 0
    # Of its resources together; a correction and a share of a shared cost have none.
    usage: tuple[Usage, ...] = ()

    @property
    def used(self) -> str:
        """How much was used, in up to two units; with more of them its resources say it."""
        return quantities.on_a_line(self.usage)

    @property
    def named(self) -> list[str]:
        """What the charges name besides who pays: `Grant number NSF-1`, `Request id REQ-7`."""
        return [f"{label} {text}" for label, text in self.references if text]

    @property
    def what(self) -> str:
        """The service, or the shared cost that this is a share of; empty where the source names no service."""
        return self.service if self.shared_total is None else f"Share of: {self.service}"

    @property
    def title(self) -> str:
        return self.what or self.source

    @property
    def share(self) -> str:
        """Which part of a shared cost this is: `25% of 33.33 shared`."""
        if self.shared_total is None:
            return ""
        part = percent(self.figures.charged, self.shared_total)
        return f"{part} of {money(self.shared_total, self.currency)} shared".strip()

    @property
    def for_what(self) -> str:
        """Which other month the line is for, and why; empty for the statement's own."""
        month = f"for {month_name(self.for_month)}" if self.for_month else ""
        return " ".join(part for part in (self.correction, month) if part)

    @property
    def corrected(self) -> str:
        """Which lines of which statements it corrects: `corrects statement 2025-01-0007-1, line 3`."""
        lines = []
        for text in self.corrects:
            statement, _, number = text.rpartition(":")
            lines.append(f"statement {statement}, line {number}")
        return f"corrects {'; '.join(lines)}" if lines else ""


@dataclass(frozen=True)
class Section:
    """What one fund/org pays."""

    fund_org: str
    fund_name: str
    lines: tuple[Line, ...]

    @property
    def figures(self) -> Figures:
        return Figures.total(line.figures for line in self.lines)

    @property
    def alone(self) -> "tuple[Section, ...]":
        """Itself, where several are asked for."""
        return (self,)


@dataclass(frozen=True)
class Notice:
    """What the reader should mind. Of what ends, it says whether that is near; of other notices, nothing."""

    text: str
    is_urgent: bool | None = None


# What makes up the bar of a month, from the line of 0 upward: the first three together are its list price.
PARTS = ("Charged", "Subsidy", "Provider discount", "Corrections")


@dataclass(frozen=True)
class MonthOfHistory:
    """A month's own figures, and the corrections charged in it; no figures where it had no statement."""

    month: datetime.date
    figures: Figures | None
    corrections: Decimal = ZERO

    @property
    def parts(self) -> tuple[Decimal, ...]:
        """What `PARTS` names."""
        figures = self.figures or Figures()
        return (figures.charged, figures.subsidy, figures.discount, self.corrections)

    @property
    def charged(self) -> Decimal:
        """The total charged, as at the head of its statement."""
        return self.parts[0] + self.corrections


class Series(NamedTuple):
    """One part over the months, by what it was in the last."""

    label: str
    last: Decimal


@dataclass(frozen=True)
class History:
    """Months side by side, the statement's own last, as charts and tables take them."""

    months: tuple[MonthOfHistory, ...]
    currency: str

    @property
    def has_corrections(self) -> bool:
        return any(each.corrections for each in self.months)

    @property
    def chart(self) -> Chart:
        return stacked([each.parts for each in self.months])

    @property
    def series(self) -> list[Series]:
        named = zip(PARTS, self.months[-1].parts, strict=True)
        return [Series(*each) for each in named][: None if self.has_corrections else -1]


@dataclass(frozen=True)
class StatementDocument:
    """A statement, ready to be set: nothing here is looked up or computed further."""

    number: str
    reference: str
    revision: int
    month: datetime.date
    issued_on: datetime.date
    currency: str
    institution: str
    pi_name: str
    pi_email: str
    figures: Figures
    # The month's own charges, by fund/org.
    sections: tuple[Section, ...] = ()
    # Corrections, late changes and what is charged late for earlier months, by fund/org.
    corrections: tuple[Section, ...] = ()
    replaces: str = ""
    department: str = ""
    address: tuple[str, ...] = ()
    contact_name: str = ""
    contact_email: str = ""
    contact_phone: str = ""
    pi_department: str = ""
    project_code: str = ""
    project_name: str = ""
    review_until: datetime.date | None = None
    notes: tuple[str, ...] = ()
    footer: str = ""
    portal_url: str = ""
    language: str = "en-US"
    reference_labels: tuple[str, str] = ("Grant number", "Request id")
    facts: tuple[tuple[str, str], ...] = field(default=())
    # A PNG in plain red, green and blue.
    logo: bytes = b""
    # `letter` or `a4`.
    paper: str = "letter"
    # Up to twelve months, this one last, as they stood when the statement was issued.
    history: tuple[MonthOfHistory, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def month_name(self) -> str:
        return long_month(self.month)

    @property
    def project(self) -> str:
        """As printed: the name with the code behind it."""
        if self.project_name and self.project_name != self.project_code:
            return f"{self.project_name} ({self.project_code})"
        return self.project_code or "No project"

    @property
    def month_figures(self) -> Figures:
        """The month alone: what its list price, discount and subsidy are said of."""
        return Figures.total(section.figures for section in self.sections)

    @property
    def correction_figures(self) -> Figures:
        return Figures.total(section.figures for section in self.corrections)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line: the month's own first, then corrections."""
        return tuple(line for section in (*self.sections, *self.corrections) for line in section.lines)

    @property
    def fund_orgs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(section.fund_org for section in (*self.sections, *self.corrections)))

    @property
    def by_fund(self) -> tuple[tuple[str, Decimal], ...]:
        """What each fund/org pays in all, corrections included."""
        sums = dict.fromkeys(self.fund_orgs, ZERO)
        for section in (*self.sections, *self.corrections):
            sums[section.fund_org] += section.figures.charged
        return tuple(sums.items())

    @property
    def past(self) -> History | None:
        """The months up to this one, where there is more than one."""
        return History(self.history, self.currency) if len(self.history) > 1 else None

    @property
    def note_on_rates(self) -> str:
        """With which rates amounts were converted; empty for a statement in one currency."""
        rates = {
            (line.original.currency, line.original.rate_text, line.for_month or iso_month(self.month)): None
            for line in self.lines
            if line.original
        }
        if not rates:
            return ""
        told = "; ".join(
            f"1 {currency} = {rate} {self.currency} ({month_name(month)})" for currency, rate, month in sorted(rates)
        )
        return f"Charges in another currency were converted to {self.currency} at the month's rate: {told}."

    @property
    def has_showback(self) -> bool:
        return any(line.is_showback for line in self.lines)

    @property
    def note_on_shares(self) -> str:
        """What a share of a shared cost is; empty for a statement without one."""
        if not any(line.share for line in self.lines):
            return ""
        return (
            "“Share of” is a part of a shared cost, such as support, tax or a credit: everybody whom the "
            "source charged that month pays a part, in proportion to that."
        )

    @property
    def question(self) -> str:
        """Whom to ask, and what to name."""
        ways = []
        if self.contact_email:
            ways.append(f"write to {self.contact_email}")
        if self.contact_phone:
            ways.append(f"call {self.contact_phone}")
        if not ways:
            whom = self.contact_name or self.institution
            return f"Questions about this statement? Ask {whom} and name {self.reference}."
        name = f" ({self.contact_name})" if self.contact_name else ""
        return f"Questions about this statement? Please {' or '.join(ways)}{name} and name {self.reference}."


def money(amount: Decimal, currency: str) -> str:
    """Write an amount with separators and the decimals of its currency: `-1,234.50`, of yen `-1,234`.

    Nothing is rounded here: what has more decimals shows them.
    """
    return written(amount if amount else ZERO, currency)


def money_with_currency(amount: Decimal, currency: str) -> str:
    """Write an amount with its currency: `-$1,234.50`, `CHF 20.00`."""
    if symbol := SYMBOLS.get(currency):
        return f"{'-' if amount < 0 else ''}{symbol}{money(abs(amount), currency)}"
    return f"{currency} {money(amount, currency)}"


def percent(part: Decimal, whole: Decimal) -> str:
    """Write a part in percent of a whole, with a decimal where needed: `100%`, `12.5%`.

    Empty where there is no part, or no whole that it could be a part of. `100%` means all of it:
    99.96 is written as 99.9.
    """
    if not part or whole == 0 or (part < 0) != (whole < 0) or abs(part) > abs(whole):
        return ""
    if part == whole:
        return "100%"
    exact = part * 100 / whole
    rounded = exact.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    if rounded >= 100:
        rounded = exact.quantize(Decimal("0.1"), rounding=ROUND_DOWN)
    if not rounded:
        return "<0.1%"
    text = f"{rounded:f}"
    return f"{text.removesuffix('.0')}%"
