"""The proof of a period: what was delivered is accounted for, from the files' own totals to the ledger."""

import json
from dataclasses import dataclass, field
from typing import Any

from ..files.disposed import told_of_month
from ..models import BillingPeriod
from ..moments import at_one_moment
from ..usage.reconciling import UnitsOfRate, units_of
from . import charged, priced, seals, tampering, totals
from .delivered import Delivered
from .equations import Equation, Verdict
from .findings import About, Finding
from .month import Line, Month
from .sides import Side, compared, sides_of


@dataclass
class Proof:
    """A period's equations, what of them does not hold, and what is still to come."""

    month: Month
    period: BillingPeriod
    currency: str
    equations: list[Equation]
    broken: list[Finding] = field(default_factory=list)
    # Where totals that screens show are not what the charges come to.
    miscounted: list[Finding] = field(default_factory=list)
    # What differs from the proof the month was finalized with.
    tampered: list[Finding] = field(default_factory=list)
    sides: dict[str, Side] = field(default_factory=dict)
    # What became of the units of usage that was priced here.
    units: list[UnitsOfRate] = field(default_factory=list)
    # What of the month's detail was disposed of, in sentences: it is gone, and is to be.
    disposed: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[Line]:
        return self.month.lines

    @property
    def is_frozen(self) -> bool:
        return self.month.frozen is not None

    @property
    def reconciles(self) -> bool:
        """Nothing is lost or invented, as far as the month has come."""
        return not (self.broken or self.tampered or self.miscounted or self.off)

    @property
    def is_complete(self) -> bool:
        """It reconciles, and nothing is still to be charged, stated or journaled."""
        return self.reconciles and not self.open

    @property
    def off(self) -> list[Equation]:
        return [each for each in self.equations if each.verdict == Verdict.OFF]

    @property
    def open(self) -> list[Equation]:
        return [each for each in self.equations if each.verdict == Verdict.OPEN]

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        if not self.reconciles:
            return f"{self.period} does not reconcile."
        if self.open:
            return f"{self.period} reconciles so far; open items remain."
        return f"{self.period} reconciles."

    def line_seals(self) -> dict[str, seals.LineSeals]:
        """What each line of the month's documents says, digested, as it is."""
        return {code: side.seal_lines() for code, side in self.sides.items()}

    def seals(self) -> seals.Seals:
        """What the month's rows and documents say, digested, as they are."""
        return seals.seals_of(self.period) | {code: side.seal() for code, side in self.sides.items()}

    def problems(self) -> list[str]:
        """Say, one line each, what does not hold."""
        return [each.problem for each in self.off] + [
            str(each) for each in (*self.broken, *self.tampered, *self.miscounted)
        ]

    def as_data(self) -> dict[str, Any]:
        """The proof as JSON keeps it: amounts as exact decimal text."""
        return {
            "period": self.period.iso_month,
            "currency": self.currency,
            "reconciles": self.reconciles,
            "is_complete": self.is_complete,
            "equations": [each.as_data() for each in self.equations],
            "fingerprints": {code: side.fingerprint for code, side in sorted(self.sides.items())},
            "broken": [each.as_data() for each in (*self.broken, *self.miscounted)],
            "tampered": [each.as_data() for each in self.tampered],
        } | self._besides()

    def _besides(self) -> dict[str, Any]:
        """What only some months have."""
        found: dict[str, Any] = {}
        if self.units:
            found["usage"] = [each.as_data() for each in self.units]
        if self.disposed:
            found["disposed"] = self.disposed
        return found


@at_one_moment
def prove(period: BillingPeriod) -> Proof:
    """Return the proof of a period as things stand, with set queries only; writes nothing.

    The delivered side comes from the control totals of the files, kept when they were applied, and never from
    the charges. For a finalized month it is also compared with the proof that was frozen then.
    """
    month = Month(period)
    delivered = Delivered(month)
    sides = sides_of(period)
    run = charged.differences_from_run(month)
    units = units_of(period) if month.has_usage else []
    then: dict[str, Any] = json.loads(month.frozen.text) if month.frozen else {}
    fingerprints = then.get("fingerprints", {})
    equations = [
        *delivered.equations(),
        *charged.equations(month, delivered.chargeable, is_run_intact=not run),
        *(each for code, side in sides.items() for each in compared(month, side, fingerprints.get(code))),
    ]
    proof = Proof(
        month=month,
        period=period,
        currency=month.home,
        equations=equations,
        miscounted=totals.findings(period, totals.differences(month)),
        broken=[*run, *(each for side in sides.values() for each in side.broken), *_of_usage(month, units)],
        sides=sides,
        units=units,
        disposed=told_of_month(period.month),
    )
    proof.tampered = tampering.found_since(then, proof)
    return proof


def _of_usage(month: Month, units: list[UnitsOfRate]) -> list[Finding]:
    """Return the rates whose units are not accounted for, and what usage was priced from that is not what it was."""
    if not month.has_usage:
        return []
    period = month.period
    return [
        Finding("usage", f"{each.feed}, {period}", each.problem, About("billing.charge", where={"period": period.pk}))
        for each in units
        if each.difference
    ] + priced.findings(period, is_frozen=month.frozen is not None)
