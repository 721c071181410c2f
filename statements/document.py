"""What a statement says: the figures and texts that the PDF, the portal and the e-mail all show."""

import datetime
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from billing import quantities
from billing.charts import Chart, stacked
from billing.money import ZERO
from billing.quantities import Usage
from billing.texts import iso_month, long_date, long_dates, long_month, month_name

from .changes import Changes
from .figures import Figures as Figures
from .figures import money as money
from .figures import money_with_currency as money_with_currency
from .figures import percent as percent

# In place of a fund/org, where a customer pays.
INVOICE = "Invoice to follow"

# The file that is attached to a statement: the charges behind it.
CHARGES = "charges.csv"


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
    # Of a correction: what the lines that it corrects charged until then.
    charged_before: Decimal | None = None
    # The days of its service; a correction by staff and a share of a shared cost have none.
    service_from: datetime.date | None = None
    service_until: datetime.date | None = None
    # Where several fund/orgs pay for a cost: which percent of it this one pays, and the whole.
    split_percent: Decimal | None = None
    split_whole: Decimal = ZERO
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
    def looked_up(self) -> tuple[str, ...]:
        """What a reader compares with other documents: a credit, days of service, a share, grants, an exchange rate."""
        credit = f"Credit of {money_with_currency(-self.figures.charged, self.currency)}" if self.is_credit else ""
        days = " · ".join(filter(None, (credit, self.served, self.split_share)))
        return tuple(filter(None, (days, *self.named, str(self.original or ""))))

    @property
    def what(self) -> str:
        """The service, or the shared cost that this is a share of; empty where the source names no service."""
        return self.service if self.shared_total is None else f"Share of: {self.service}"

    @property
    def title(self) -> str:
        return self.what or self.source

    @property
    def before_title(self) -> str:
        """The number by which people name the line, to stand before its title: `3. `."""
        return f"{self.number}. " if self.number else ""

    @property
    def is_credit(self) -> bool:
        return self.figures.charged < 0 and not self.is_correction

    @property
    def served(self) -> str:
        """The days of its service: `Jan 3, 2026 to Jan 28, 2026`."""
        if self.service_from is None or self.service_until is None:
            return ""
        return long_dates(self.service_from, self.service_until)

    @property
    def charged_after(self) -> Decimal | None:
        """What the lines that it corrects charge with it."""
        return None if self.charged_before is None else self.charged_before + self.figures.charged

    @property
    def corrected_month(self) -> str:
        """The month that it corrects, where that is not the statement's own: `December 2025`."""
        return month_name(self.for_month)

    @property
    def corrected_lines(self) -> tuple[str, ...]:
        """The lines that it corrects, a text each: `2025-01-0007-1, line 3`."""
        return tuple(
            f"{statement}, line {number}" for statement, _, number in (t.rpartition(":") for t in self.corrects)
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is on the statement, where it is no charge of its month; corrections by staff say what is printed."""
        if not self.is_correction:
            return ()
        if self.is_entered:
            named = [f"{each.resource_id}: {each.name}" if each.name else each.resource_id for each in self.resources]
            if len(named) > 1:
                amounts = (money_with_currency(each.figures.charged, self.currency) for each in self.resources)
                named = [f"{text} ({amount})" for text, amount in zip(named, amounts, strict=True)]
            return (self.correction, *named)
        return (f"{self.correction} by the provider" if self.correction else "Charged late",)

    @property
    def is_entered(self) -> bool:
        """Tell whether staff entered it; what it is made of are corrections then, not resources."""
        return self.is_correction and not self.charge_count

    @property
    def split_share(self) -> str:
        """Which part of a cost this fund/org pays: `60% of $257.33`; empty where it pays all of it."""
        if self.split_percent is None:
            return ""
        return f"{quantities.plain(self.split_percent)}% of {money_with_currency(self.split_whole, self.currency)}"

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


@dataclass(frozen=True)
class Section:
    """What one fund/org pays; without one, what a customer pays by invoice."""

    fund_org: str
    fund_name: str
    lines: tuple[Line, ...]
    # The last day of service that the fund/org may pay for.
    ends_on: datetime.date | None = None

    @property
    def ends(self) -> str:
        """When the fund/org ends: `ends May 5, 2026`."""
        return f"ends {long_date(self.ends_on)}" if self.ends_on else ""

    @property
    def payer(self) -> str:
        """Who pays, in a cell of its own."""
        return self.fund_org or INVOICE

    @property
    def heading(self) -> str:
        """What stands before the code of the fund/org."""
        return "Credited to" if self.figures.charged < 0 else "Charged to"

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
    # Of a revision: what it changed of the one that it replaced.
    changes: Changes | None = None
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
    # A PNG in plain red, green and blue, or a plain drawing as SVG.
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
    def total_label(self) -> str:
        return "Credit" if self.figures.charged < 0 else "Total charged"

    @property
    def corrections_title(self) -> str:
        is_of_earlier = all(line.for_month for section in self.corrections for line in section.lines)
        return "Corrections to earlier months" if is_of_earlier else "Corrections"

    @property
    def corrections_before(self) -> Decimal | None:
        """What the corrected lines charged before; None where that is not known of each."""
        before = [line.charged_before for section in self.corrections for line in section.lines]
        return None if None in before else sum((each for each in before if each is not None), ZERO)

    @property
    def corrections_after(self) -> Decimal | None:
        before = self.corrections_before
        return None if before is None else before + self.correction_figures.charged

    @property
    def note_on_corrections(self) -> str:
        """What corrections change besides what is charged; empty where that is all."""
        figures = self.correction_figures
        if not figures.discount and not figures.subsidy:
            return ""
        parts = (
            ("list price", figures.list_cost),
            ("provider discount", figures.discount),
            ("subsidy", figures.subsidy),
        )
        return (
            "Within these corrections: " + ", ".join(f"{name} {money(of, self.currency)}" for name, of in parts) + "."
        )

    @property
    def review_request(self) -> str:
        """Until when to tell what is wrong, where the month was in review when the statement was issued."""
        if self.review_until is None:
            return ""
        until = long_date(self.review_until)
        where = "fund/org" if any(self.fund_orgs) else "invoice"
        return f"Questions until {until}. If a charge does not belong on this {where}, tell us by {until}."

    @property
    def has_showback(self) -> bool:
        return any(line.is_showback for line in self.lines)

    @property
    def note_on_reductions(self) -> str:
        """What a discount and a subsidy are, and are not; empty for a statement without them.

        A subsidy counted as cost share would be promised to a sponsor twice, so that needs an approval (2 CFR 200.306).
        """
        figures = [line.figures for line in self.lines]
        has_subsidy = any(each.subsidy for each in figures)
        if not has_subsidy and not any(each.discount for each in figures):
            return ""
        note = (
            "Provider discount is the list price less the provider's price to us, as a percentage of the list "
            "price. Subsidy is what the center pays, as a percentage of the price after the discount."
        )
        if has_subsidy:
            note += " A subsidy is not cost share, unless your sponsored programs office has approved it as such."
        return note

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
