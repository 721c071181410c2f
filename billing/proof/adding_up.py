"""Where a month's money is, as equations that add up in sight: the proof's own terms, over all sources."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ..fields import WIDE
from ..models import BillingPeriod, PayerLine
from ..money import ZERO, apportion, to_cents
from ..months import checklist
from .equations import Equation
from .proving import Proof, prove


@dataclass(frozen=True)
class Part:
    """One figure: what is shown in cents, the exact amount behind it, and how many rows or lines it is of."""

    code: str
    label: str
    shown: Decimal
    exact: Decimal
    count: int = 0
    # How it joins what stands before it: + − or =, nothing for the first.
    sign: str = ""
    # What it counts: rows of files, payer lines, corrections.
    noun: str = ""

    @property
    def joined(self) -> tuple[str, Decimal]:
        """The sign and the amount as people write them: − 0.02 and not + −0.02."""
        if self.shown < 0 and self.sign in ("+", "−"):
            return ("−" if self.sign == "+" else "+"), -self.shown
        return self.sign, self.shown


@dataclass(frozen=True)
class Sight:
    """An equation in one currency, with the cents shared so that what is shown adds up to what is shown."""

    code: str
    currency: str
    left: tuple[Part, ...]
    right: tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return (*self.left, *self.right)

    @property
    def difference(self) -> Decimal:
        """Left less right, exact: 0 where everything is accounted for."""
        return _signed(self.left) - _signed(self.right)

    def part(self, code: str) -> Part | None:
        return next((part for part in self.parts if part.code == code), None)


# What they are kept under.
SIGHTS = "sights"

# Takes a currency, a part's code, an exact amount and a count.
Add = Callable[[str, str, Decimal, int], None]

LABELS = {
    "files": "Delivered in files",
    "late": "Late changes",
    "carried_in": "Carried in",
    "converted": "Converted",
    "corrections": "Corrections",
    "funded": "Funded subsidies",
    "charged": "Charged",
    "to_convert": "To convert",
    "center": "Charge to center",
    "subsidies": "Paid by subsidy funds",
    "held": "Held for review",
    "rejected": "Rejected",
    "carried_out": "Carried out",
    "rounding": "Rounding",
    "waiting": "Not charged yet",
}
LEFT = ("files", "late", "carried_in", "converted", "corrections", "funded")

CENTER = (PayerLine.Kind.CHARGED_TO_CENTER, PayerLine.Kind.BORNE)
ROW, LINE = "row", "payer line"
NOUNS = {
    **dict.fromkeys(("charged", "center", "subsidies"), LINE),
    **dict.fromkeys(("files", "late", "carried_in", "held", "rejected", "carried_out", "to_convert"), ROW),
    "converted": "charge",
    "corrections": "correction line",
}

# Terms of the proof, and where they stand here: what a file says again or took the place of is no part of the month.
DELIVERED = {
    "files": "files",
    "again": "files",
    "displaced": "files",
    "late": "late",
    "carried_in": "carried_in",
    "held": "held",
    "rejected": "rejected",
    "carried_out": "carried_out",
    "rounding": "rounding",
}


def sights_of(period: BillingPeriod) -> list[Sight]:
    """Return a month's equations: list price to charged, and what was delivered to what became of it, by currency."""
    return sights(prove(period))


def kept_sights(period: BillingPeriod, *, waits: bool = True, kept: checklist.Kept | None = None) -> list[Sight] | None:
    """Return `sights_of` a month as worked out last; None where a page does not wait for them (see checklist.Kept)."""
    # An empty list stands in, which is none of a month with charges.
    instead: list[Sight] | None = None if waits else []
    kept = kept or checklist.Kept(period, SIGHTS)
    return kept.value(SIGHTS, lambda: sights_of(period), instead=instead) or None


def sights(proof: Proof) -> list[Sight]:
    """Return the equations of a proof, added up over its sources."""
    sums: dict[str, dict[str, list[Decimal | int]]] = defaultdict(lambda: defaultdict(lambda: [ZERO, 0]))

    def add(currency: str, code: str, amount: Decimal, count: int) -> None:
        known = sums[currency][code]
        known[0] = WIDE.add(Decimal(known[0]), amount)
        known[1] += count

    for equation in proof.equations:
        if equation.code == "delivered":
            for term in (*equation.left, *equation.right):
                if code := DELIVERED.get(term.code):
                    add(equation.currency, code, term.amount, term.count)
                elif equation.currency != proof.currency:
                    # Charged or charged to the center: in the currency of the institution, further on.
                    add(equation.currency, "to_convert", term.amount, term.count)
        elif equation.code == "charged":
            _add_charged(equation, proof, add)
    found = [_price(proof)] if proof.lines else []
    order = sorted(sums, key=lambda currency: (currency != proof.currency, currency))
    return [*found, *(_sight("delivered", currency, sums[currency]) for currency in order)]


def _add_charged(equation: Equation, proof: Proof, add: Add) -> None:
    """Add what is to be charged, and what payer lines make of it: in the institution's currency."""
    home = proof.currency
    for term in equation.left:
        if term.code == "chargeable" and equation.of_currency:
            add(home, "converted", term.amount, term.count)
        elif term.code == "corrections":
            add(home, "corrections", term.amount, term.count)
        elif term.code == "subsidies":
            add(home, "funded", term.amount, term.count)
    for term in equation.right:
        kind = term.code.partition(":")[2]
        if kind == PayerLine.Kind.SUBSIDY:
            add(home, "subsidies", term.amount, term.count)
        elif kind in CENTER:
            add(home, "center", term.amount, term.count)
        elif kind:
            add(home, "charged", term.amount, term.count)
        else:
            add(home, "rounding", term.amount, 0)
    if equation.difference:
        add(home, "waiting", equation.difference, 0)


def _price(proof: Proof) -> Sight:
    """List price less discount less subsidy is what is charged, of all payers and the center."""
    lines = [line for line in proof.lines if line.kind != PayerLine.Kind.SUBSIDY]
    listed = sum((line.list_cost for line in lines), ZERO)
    contracted = sum((line.contracted for line in lines), ZERO)
    charged = sum((line.charged for line in lines), ZERO)
    parts = (
        Part("list", "List price", listed, listed, len(lines), noun=LINE),
        Part("discount", "Provider discount", listed - contracted, listed - contracted, sign="−"),
        Part("subsidy", "Subsidy", contracted - charged, contracted - charged, sign="−"),
    )
    center = [line.charged for line in lines if line.kind in CENTER]
    total = charged - sum(center, ZERO)
    right = [Part("charged", LABELS["charged"], total, total, len(lines) - len(center), "=", LINE)]
    if center:
        whole = sum(center, ZERO)
        right.append(Part("center", LABELS["center"], whole, whole, len(center), "+", LINE))
    return Sight("price", proof.currency, parts, tuple(right))


def price_of_charges(listed: Decimal, contracted: Decimal, charged: Decimal, *, charges: int, currency: str) -> Sight:
    """Return list price to charged of charges that no payer line is made of yet, from their exact sums."""
    shown = {"list": to_cents(listed, currency), "charged": to_cents(charged, currency)}
    exact = {"discount": WIDE.subtract(listed, contracted), "subsidy": WIDE.subtract(contracted, charged)}
    shown |= apportion(shown["list"] - shown["charged"], exact, currency)
    left = (
        Part("list", "List price", shown["list"], listed, charges, noun="charge"),
        Part("discount", "Provider discount", shown["discount"], exact["discount"], sign="−"),
        Part("subsidy", "Subsidy", shown["subsidy"], exact["subsidy"], sign="−"),
    )
    right = Part("to_charge", "To be charged", shown["charged"], charged, charges, "=", "charge")
    return Sight("price", currency, left, (right,))


def _sight(code: str, currency: str, sums: Mapping[str, list[Decimal | int]]) -> Sight:
    left = {name: sums[name] for name in LEFT if name in sums}
    left.setdefault("files", [ZERO, 0])
    right = {name: sums[name] for name in LABELS if name in sums and name not in LEFT}
    whole, other = (sum((Decimal(amount) for amount, _ in side.values()), ZERO) for side in (left, right))
    # Where the sides differ, that is to be seen; what is less than a cent is a matter of rounding alone.
    cents = to_cents(whole, currency)
    other = cents if whole == other else to_cents(other, currency)
    return Sight(code, currency, _parts(left, cents, "", currency), _parts(right, other, "=", currency))


def _parts(sums: Mapping[str, list[Decimal | int]], whole: Decimal, first: str, currency: str) -> tuple[Part, ...]:
    """Round the figures of one side so that together they show its whole."""
    exact = {name: Decimal(amount) for name, (amount, _) in sums.items()}
    cents = _shown(exact, whole, currency)
    codes = [name for name in LABELS if name in exact]
    return tuple(
        Part(
            name,
            LABELS[name],
            cents[name],
            exact[name],
            int(sums[name][1]),
            first if number == 0 else "+",
            NOUNS.get(name, ""),
        )
        for number, name in enumerate(codes)
        # What comes to nothing, and is of nothing, is no figure to look at.
        if exact[name] or sums[name][1] or number == 0
    )


def _shown(exact: Mapping[str, Decimal], whole: Decimal, currency: str) -> dict[str, Decimal]:
    """Return the cents of each figure: as every other page has them, where a figure of the rounding takes the rest."""
    if "rounding" not in exact:
        return apportion(whole, exact, currency) if exact else {}
    cents = {name: to_cents(amount, currency) for name, amount in exact.items()}
    cents["rounding"] = whole - sum((amount for name, amount in cents.items() if name != "rounding"), ZERO)
    return cents


def _signed(parts: Iterable[Part]) -> Decimal:
    total = ZERO
    for part in parts:
        total = WIDE.subtract(total, part.exact) if part.sign == "−" else WIDE.add(total, part.exact)
    return total
