"""Why a row of usage costs what it does, in sentences: each is an equation, and the last comes to what is billed."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from ..money import written
from ..quantities import counted
from .accounts import PLACES
from .pricing.explaining import PAID, Explanation, Reduced, TierPart
from .pricing.lines import By
from .pricing.terms import ClassKind, Scope, Threshold, Tiering
from .pricing.uses import EXTERNAL, INTERNAL, WORTHLESS
from .rate_schedules.words import SCOPES, SPANS, amount_text, number_text

MINUS = "−"


def sentences(why: Explanation, *, currency: str, reason: str = "") -> list[str]:
    """Say how a row came about, from what was used to what is billed. `reason` is why nobody pays for it, if so."""
    return [f"{each}." for each in _Said(why, currency, reason.replace("_", " ")).all()]


def prices(why: Explanation) -> str:
    """Say what a record's use cost by its tiers: `400 core-hours at 0.1, 150 core-hours at 0.05 per core-hour`."""
    rate = why.rate
    per = rate.unit if rate.per == 1 else amount_text(rate.per, rate.unit)
    used = [(_decimal(each.quantity), number_text(each.price)) for each in why.tiers]
    parts = [f"{counted(quantity, rate.unit)} at {price}" for quantity, price in used]
    return f"{', '.join(parts)} per {per}" if parts else ""


def _decimal(quantity: Fraction) -> Decimal:
    return (Decimal(quantity.numerator) / Decimal(quantity.denominator)).quantize(PLACES)


class _Said:
    """The sentences about one row."""

    def __init__(self, why: Explanation, currency: str, reason: str) -> None:
        self.why, self.currency, self.reason = why, currency, reason

    def all(self) -> Iterator[str]:
        why = self.why
        if why.kind == PAID:
            yield f"What {self.why.fund_org} pays of a row: listed and contracted here, and billed to nobody else"
            yield self._billed()
            return
        if why.kind == "minimum":
            assert why.rate.minimum is not None
            yield (
                f"At least {self._money(why.rate.minimum)} a month {self._whose()}; its use came to "
                f"{self._money(why.base)}: {self._money(why.rate.minimum)} {MINUS} {self._money(why.base)} = "
                f"{self._money(why.row[0])}"
            )
        elif why.kind == "indirect":
            percent = number_text(why.rate_class.indirect_percent)
            yield (
                f"Rate class {why.rate_class.name} pays {percent}% indirect cost of {self._money(why.base)}: "
                f"{self._money(why.row[0])}"
            )
        else:
            yield from self._of_use()
        yield self._billed()

    def _of_use(self) -> Iterator[str]:
        why = self.why
        yield (
            f"{self._units(why.use)} {self._whose()}: {self._units(why.before)} used before, "
            f"{self._units(why.after)} with it"
        )
        if why.apart == WORTHLESS.name:
            yield f"Nobody pays for it, and it has no list price: {self.reason or 'nothing of value came of it'}"
            return
        if why.apart in (EXTERNAL.name, INTERNAL.name):
            told = "external payers" if why.apart == EXTERNAL.name else "the center's own use"
            yield f"Counted apart, as use of {told}"
        yield from self._listed()
        yield from self._free()
        yield from self._of_class()

    def _listed(self) -> Iterator[str]:
        why, rate = self.why, self.why.rate
        if rate.step is not None and why.tiers:
            begin, end = why.tiers[0].begin, why.tiers[-1].end
            step = amount_text(rate.step, rate.unit)
            yield f"Charged by started steps of {step}: from {self._units(begin)} to {self._units(end)}"
        parts = [self._tier(each) for each in why.tiers]
        if not parts:
            yield f"List price: {self._money(why.listed)}"
            return
        told = f"List price: {' + '.join(parts)}"
        if why.rounding:
            sign = MINUS if why.rounding < 0 else "+"
            told += f" {sign} {self._money(abs(why.rounding))} (rounding of the running sum)"
        yield told + (f" = {self._money(why.listed)}" if why.rounding or len(parts) > 1 else "")

    def _tier(self, part: TierPart) -> str:
        rate = self.why.rate
        per = "" if rate.per == 1 else f" per {number_text(rate.per, grouped=True)}"
        told = ""
        if len(rate.tiers) > 1:
            up_to = "above the others" if part.up_to is None else f"up to {number_text(part.up_to, grouped=True)}"
            money = " charged" if part.up_to is not None and rate.threshold is Threshold.AMOUNT else ""
            volume = " for all use" if rate.tiering is Tiering.VOLUME else ""
            told = f" (tier {part.tier}, {up_to}{money}{volume})"
        return f"{self._units(part.quantity)} × {number_text(part.price)}{per}{told} = {self._money(part.amount)}"

    def _free(self) -> Iterator[str]:
        why = self.why
        if not why.free:
            return
        now = why.free_after - why.free_before
        yield (
            f"Free amount: the first {self._units(why.free)} {self._whose()}; {self._units(why.free_before)} used "
            f"before and {self._units(why.free_after)} with it, so {self._units(now)} of it are free"
        )

    def _of_class(self) -> Iterator[str]:
        why = self.why
        if not why.rate_class.name:
            return
        own = why.rate.prices.get(why.rate_class.name)
        pays = "has prices of its own" if own else f"pays {number_text(why.rate_class.percent)}% of the list price"
        external = ", as an external payer" if why.rate_class.kind is ClassKind.EXTERNAL else ""
        told = f"Rate class {why.rate_class.name} {pays}{external}: contracted {self._money(why.contracted)}"
        yield told + (f", and a surcharge of {self._money(why.surcharge)}" if why.surcharge else "")

    def _billed(self) -> str:
        why = self.why
        if why.kind == PAID:
            return f"Billed: {self._money(why.row[1])} {MINUS} {self._money(why.row[1])} ({self.why.fund_org}) = 0"
        parts = [self._reduced(each) for each in why.reductions]
        start = why.row[1] + why.elsewhere
        if not parts:
            if why.row[2] == start:
                return f"Billed: {self._money(start)}"
            return f"Billed: {self._money(start)}, of which {self._money(why.row[2])} is left"
        further = ""
        if why.elsewhere:
            further = f"; {self._money(why.elsewhere)} of it stands on a row of its own for each further fund/org"
        return f"Billed: {self._money(start)} {''.join(parts)}= {self._money(why.row[2])}{further}"

    def _reduced(self, each: Reduced) -> str:
        return f"{MINUS} {self._money(each.amount)} ({self._limit(each)}) "

    def _limit(self, each: Reduced) -> str:
        if each.by == By.FREE:
            return f"free: {self._number(each.quantity, each.unit)}" if each.unit else each.code
        if each.by == By.DRAWDOWN:
            told = f"balance {each.code}"
        else:
            told = f"subsidy {each.name}"
            told += f", {number_text(each.percent)}% of what was left" if each.percent is not None else ""
            told += f", paid by {each.fund_org}" if each.fund_org else ", forgone"
        if each.of is None or each.left is None:
            return told
        quantity = f", {self._number(each.quantity, each.unit)}" if each.unit else ""
        used, of, left = (self._number(value, each.unit) for value in (each.used, each.of, each.left))
        return f"{told}{quantity}; {used} of {of} used with it, {left} left"

    def _number(self, value: Decimal, unit: str) -> str:
        return amount_text(value, unit) if unit else self._money(value)

    def _whose(self) -> str:
        rate = self.why.rate
        if rate.scope is Scope.FEED:
            return f"of all of the feed and {SPANS[rate.span]}"
        return f"of {self.why.scope or 'nobody known'}, for each {SCOPES[rate.scope]} and {SPANS[rate.span]}"

    def _units(self, quantity: Fraction) -> str:
        return amount_text(_decimal(quantity), self.why.rate.unit)

    def _money(self, amount: Decimal) -> str:
        return written(amount, self.currency)
