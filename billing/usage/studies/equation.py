"""From what a service costs and what was used of it to its break-even rate, and what is wrong with a study (pure).

Costs of the year − balance carried forward = to be recovered; ÷ units = the break-even rate. The balance is that of
the years before, and what the year recovered at list price less what it cost. Whatever somebody did not pay of the list
price, by a free amount, a balance, a class or a subsidy, funded or forgone, counts as recovered. It raises no later
rate.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ...money import EXACT, ZERO, to_cents
from ...quantities import plain

UNALLOWABLE = "unallowable"


@dataclass(frozen=True)
class Cost:
    """A cost pool: `amount` counts in the rate. What is unallowable, or was federally funded, is `excluded`."""

    name: str
    kind: str
    amount: Decimal
    excluded: Decimal = ZERO
    note: str = ""
    # Of depreciation: what it follows from.
    cost: Decimal | None = None
    federally_funded: Decimal = ZERO
    life_years: int = 0
    months: int = 0
    # Of a part of a cost that several rates share.
    shared: "Shared | None" = None


@dataclass(frozen=True)
class Share:
    """What a rate has of a shared cost: so many percent, or so many of what it is shared by."""

    label: str
    weight: Decimal


@dataclass(frozen=True)
class Shared:
    """What a part of a cost is of: the `whole`, all shares of it in order, and the place of its `own` one."""

    whole: Cost
    base: str
    shares: tuple[Share, ...]
    own: int

    @property
    def share(self) -> Share:
        return self.shares[self.own]

    def part(self, currency: str) -> Cost:
        """Return the own part, in whole cents.

        It is what all shares up to it come to, rounded, less what those before it do. So the parts add up to the whole,
        and a workbook says the same by a formula.
        """
        weights = [each.weight for each in self.shares]
        before, total = sum(weights[: self.own], ZERO), sum(weights, ZERO)

        def up_to(amount: Decimal, weight: Decimal) -> Decimal:
            return to_cents(EXACT.divide(EXACT.multiply(amount, weight), total), currency)

        amount, excluded = (
            up_to(each, before + self.share.weight) - up_to(each, before)
            for each in (self.whole.amount, self.whole.excluded)
        )
        return Cost(self.whole.name, self.whole.kind, amount, excluded, self.whole.note, shared=self)

    @property
    def said(self) -> str:
        """Say which share it is, and who has the others: `60 percent; tiger gpu has 40`."""
        others = [f"{each.label} has {plain(each.weight)}" for n, each in enumerate(self.shares) if n != self.own]
        return "; ".join([f"{plain(self.share.weight)} {self.base}", *others])


def depreciation(cost: Decimal, life_years: int, months: int, currency: str) -> Decimal:
    """Return straight-line depreciation over some months, in whole cents, halves up."""
    return to_cents(EXACT.divide(cost * months, Decimal(life_years * 12)), currency)


@dataclass(frozen=True)
class Use:
    """The use of a month, and what it came to: at list price, and as charged."""

    month: datetime.date
    delivered: Decimal
    charged: Decimal
    free: Decimal
    held: Decimal
    # Of what is free: use without value, such as failed jobs. It has no list price, and is no unit of the rate.
    worthless: Decimal
    listed: Decimal
    billed: Decimal

    @property
    def units(self) -> Decimal:
        """The units that costs are shared over, subsidized and free ones among them."""
        return self.delivered - self.worthless

    @property
    def subsidized(self) -> Decimal:
        """What was not charged of the list price: forgone, or paid by somebody else. It counts as recovered."""
        return self.listed - self.billed


@dataclass(frozen=True)
class Paid:
    """What some users paid for their units, after free amounts and subsidies."""

    units: Decimal = ZERO
    charged: Decimal = ZERO

    def rate(self, places: int) -> Decimal | None:
        """Return what they paid for a unit, None without any."""
        return rounded(EXACT.divide(self.charged, self.units), places) if self.units else None


@dataclass(frozen=True)
class Finding:
    """Something about a study that somebody should know; one that is `bad` keeps it from being adopted."""

    code: str
    is_bad: bool
    text: str


@dataclass(frozen=True)
class Figures:
    """All figures of a study."""

    unit: str
    currency: str
    places: int
    costs: tuple[Cost, ...]
    use: tuple[Use, ...]
    opening_balance: Decimal
    expected_units: Decimal | None
    proposed: Decimal | None
    present: Decimal | None
    sponsored: Paid
    others: Paid
    # Months of the fiscal year that were not priced.
    missing: tuple[datetime.date, ...] = ()

    @property
    def allowable(self) -> Decimal:
        """What the year cost, as far as it counts."""
        return sum((each.amount for each in self.costs), ZERO)

    @property
    def excluded(self) -> Decimal:
        """What is in no rate: unallowable costs, and depreciation of what federal awards paid."""
        return sum((each.excluded for each in self.costs), ZERO)

    @property
    def recovered(self) -> Decimal:
        """What the year recovered: its use at list price."""
        return sum((each.listed for each in self.use), ZERO)

    @property
    def charged(self) -> Decimal:
        return sum((each.billed for each in self.use), ZERO)

    @property
    def balance(self) -> Decimal:
        """What is carried forward: over-recovery above zero, under-recovery below."""
        return self.opening_balance + self.recovered - self.allowable

    @property
    def to_recover(self) -> Decimal:
        return self.allowable - self.balance

    @property
    def used(self) -> Decimal:
        """The units of the year."""
        return sum((each.units for each in self.use), ZERO)

    @property
    def units(self) -> Decimal:
        """The units that costs are shared over: those expected, else those of the year."""
        return self.used if self.expected_units is None else self.expected_units

    @property
    def break_even(self) -> Decimal | None:
        """The rate at which costs are recovered, rounded as the study says; None without units."""
        if not self.units:
            return None
        return max(rounded(EXACT.divide(self.to_recover, self.units), self.places), ZERO)

    @property
    def rate(self) -> Decimal | None:
        """The rate that is proposed: the break-even rate where no other is."""
        return self.break_even if self.proposed is None else self.proposed


def rounded(number: Decimal, places: int) -> Decimal:
    """Round a rate to so many decimals, halves up."""
    return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, EXACT)


# As it is kept -----------------------------------------------------------------------------------------


def as_data(figures: Figures) -> dict[str, Any]:
    """Return figures as JSON keeps them: numbers as text, and what follows from others beside them."""
    derived = ("allowable", "excluded", "recovered", "charged", "balance", "to_recover", "used", "units")
    return {
        **_plain(figures),
        **{name: _plain(getattr(figures, name)) for name in (*derived, "break_even", "rate")},
    }


def figures_from_data(data: Mapping[str, Any]) -> Figures:
    """Return figures as `as_data` wrote them."""
    return Figures(
        unit=data["unit"],
        currency=data["currency"],
        places=data["places"],
        costs=tuple(_made(Cost, each) for each in data["costs"]),
        use=tuple(_made(Use, each) for each in data["use"]),
        opening_balance=Decimal(data["opening_balance"]),
        **{
            name: None if data[name] is None else Decimal(data[name])
            for name in ("expected_units", "proposed", "present")
        },
        sponsored=_made(Paid, data["sponsored"]),
        others=_made(Paid, data["others"]),
        missing=tuple(map(datetime.date.fromisoformat, data["missing"])),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    return value


def _made(kind: type[Any], data: Mapping[str, Any]) -> Any:
    texts = {"name", "kind", "note"}
    whole = {"life_years", "months"}
    return kind(
        **{
            name: _shared(value)
            if name == "shared" and value
            else value
            if name in texts or name in whole or value is None
            else datetime.date.fromisoformat(value)
            if name == "month"
            else Decimal(value)
            for name, value in data.items()
        }
    )


def _shared(data: Mapping[str, Any]) -> Shared:
    shares = tuple(Share(each["label"], Decimal(each["weight"])) for each in data["shares"])
    return Shared(_made(Cost, data["whole"]), data["base"], shares, data["own"])
