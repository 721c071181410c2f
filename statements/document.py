"""What a statement says: the figures and texts that the PDF, the portal and the e-mail all show."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

ZERO = Decimal("0.00")
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}


@dataclass(frozen=True)
class Figures:
    """List price, price after the provider's discount, and what is due; in whole cents."""

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
        """The subsidy as a part of the price after the discount: 100 % means that nothing is due."""
        return percent(self.subsidy, self.contracted_cost)

    @classmethod
    def total(cls, parts: "Iterable[Figures]") -> "Figures":
        parts = list(parts)
        return cls(
            sum((part.list_cost for part in parts), ZERO),
            sum((part.contracted_cost for part in parts), ZERO),
            sum((part.charged for part in parts), ZERO),
        )


@dataclass(frozen=True)
class Resource:
    """What makes up a line: one resource, or the many small ones that are not listed."""

    name: str
    resource_id: str
    count: int
    figures: Figures
    # Above 0 where this stands for so many resources.
    further: int = 0


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

    @property
    def what(self) -> str:
        """The service, or the shared cost that this is a share of; empty where the source names no service."""
        return self.service if self.shared_total is None else f"Share of: {self.service}"

    @property
    def title(self) -> str:
        return self.what or self.source

    @property
    def share(self) -> str:
        """Which part of a shared cost this is: `25 % of 33.33 shared`."""
        if self.shared_total is None:
            return ""
        part = percent(self.figures.charged, self.shared_total)
        return f"{part} of {money(self.shared_total)} shared".strip()

    @property
    def for_what(self) -> str:
        """Which other month the line is for, and why; empty for the statement's own."""
        month = f"for {self.for_month}" if self.for_month else ""
        return " ".join(part for part in (self.correction, month) if part)


@dataclass(frozen=True)
class Section:
    """What one fund/org pays."""

    fund_org: str
    fund_name: str
    lines: tuple[Line, ...]

    @property
    def figures(self) -> Figures:
        return Figures.total(line.figures for line in self.lines)


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
    sections: tuple[Section, ...] = ()
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
    is_final: bool = False
    notes: tuple[str, ...] = ()
    footer: str = ""
    portal_url: str = ""
    language: str = "en-US"
    facts: tuple[tuple[str, str], ...] = field(default=())

    @property
    def month_name(self) -> str:
        return f"{self.month:%B %Y}"

    @property
    def status(self) -> str:
        if self.review_until:
            return f"For review until {long_date(self.review_until)}"
        return "Final" if self.is_final else "Preliminary"

    @property
    def project(self) -> str:
        """As printed: the name with the code behind it."""
        if self.project_name and self.project_name != self.project_code:
            return f"{self.project_name} ({self.project_code})"
        return self.project_code or "No project"

    @property
    def has_showback(self) -> bool:
        return any(line.is_showback for section in self.sections for line in section.lines)

    @property
    def note_on_shares(self) -> str:
        """What a share of a shared cost is; empty for a statement without one."""
        if not any(line.share for section in self.sections for line in section.lines):
            return ""
        return (
            "“Share of” is a part of a cost that is nobody's own, such as support, tax or a credit: everybody whom the "
            "source charged that month bears it, in proportion to that."
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


def long_date(day: datetime.date) -> str:
    return f"{day:%B} {day.day}, {day.year}"


def money(amount: Decimal) -> str:
    """Write an amount in cents with separators: `-1,234.50`."""
    return f"{amount + ZERO:,.2f}" if amount else "0.00"


def money_with_currency(amount: Decimal, currency: str) -> str:
    """Write an amount with its currency: `-$1,234.50`, `CHF 20.00`."""
    if symbol := SYMBOLS.get(currency):
        return f"{'-' if amount < 0 else ''}{symbol}{money(abs(amount))}"
    return f"{currency} {money(amount)}"


def percent(part: Decimal, whole: Decimal) -> str:
    """Write a part in percent of a whole, with a decimal where needed: `100 %`, `12.5 %`.

    Empty where there is no part, or no whole that it could be a part of. `100 %` means all of it:
    99.96 is written as 99.9.
    """
    if not part or whole == 0 or (part < 0) != (whole < 0) or abs(part) > abs(whole):
        return ""
    if part == whole:
        return "100 %"
    exact = part * 100 / whole
    rounded = exact.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    if rounded >= 100:
        rounded = exact.quantize(Decimal("0.1"), rounding=ROUND_DOWN)
    if not rounded:
        return "<0.1 %"
    text = f"{rounded:f}"
    return f"{text.removesuffix('.0')} %"
