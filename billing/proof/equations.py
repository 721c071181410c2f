"""The proof of a period: what was delivered is accounted for, from the files' own totals to the ledger."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db.models import BigIntegerField, Case, Count, F, Func, Q, Sum, Value, When
from django.urls import reverse

from .. import charging
from ..currencies import minor_units
from ..errors import NextStep
from ..fields import UNIT, WIDE, AmountSum
from ..models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    Correction,
    CorrectionLine,
    ExchangeRate,
    FrozenProof,
    Import,
    ImportOverlap,
    ImportTotal,
    PayerLine,
    Policy,
    Source,
)
from ..money import EXACT, ZERO, named, plain
from ..readers.spelling import same_id
from . import seals, verifying

Scope = tuple[int, str]

CHARGES = "admin:billing_charge_changelist"
IMPORTS = "admin:billing_import_changelist"
PAYER_LINES = "admin:billing_payerline_changelist"

STATED, JOURNALED = "stated", "journaled"

STATES = {
    Charge.State.CLEAR.value: "charged",
    Charge.State.APPROVED.value: "charged",
    Charge.State.ABSORBED.value: "absorbed",
    Charge.State.REJECTED.value: "rejected",
    Charge.State.HELD.value: "held",
}


class Verdict(StrEnum):
    """Whether an equation holds: it does, it does not yet for a step is still to be taken, or it does not."""

    OK = "ok"
    OPEN = "open"
    OFF = "off"


@dataclass(frozen=True)
class Term:
    """One figure of an equation: an exact amount and the number of rows behind it, with the page that lists them."""

    code: str
    label: str
    amount: Decimal
    count: int
    url: str = ""


@dataclass(frozen=True)
class Equation:
    """Figures that add up to the same on both sides, of one source and in one currency.

    `delivered` is in the currency of the files and counts their rows; the others are in the institution's, of what
    was delivered in `of_currency` where that says more. `unequal` is how many payers differ even where sums do not.
    """

    code: str
    source: str
    currency: str
    left: tuple[Term, ...]
    right: tuple[Term, ...]
    verdict: Verdict
    note: str = ""
    of_currency: str = ""
    unequal: int = 0
    # What brings an open one to its end.
    then: NextStep | None = None

    @property
    def title(self) -> str:
        return TITLES[self.code]

    @property
    def left_sum(self) -> Decimal:
        return _sum(term.amount for term in self.left)

    @property
    def right_sum(self) -> Decimal:
        return _sum(term.amount for term in self.right)

    @property
    def difference(self) -> Decimal:
        """Left less right: what is missing on the right."""
        return WIDE.subtract(self.left_sum, self.right_sum)

    @property
    def left_count(self) -> int:
        return sum(term.count for term in self.left)

    @property
    def right_count(self) -> int:
        return sum(term.count for term in self.right)

    def term(self, code: str) -> Term | None:
        return next((term for term in (*self.left, *self.right) if term.code == code), None)

    @property
    def scope(self) -> tuple[str, str, str, str]:
        return (self.code, self.source, self.currency, self.of_currency)


TITLES = {
    "delivered": "Delivered is accounted for",
    "charged": "What is to be charged is in payer lines",
    "stated": "Payer lines are on statements",
    "journaled": "Payer lines are in the ledger",
}


@dataclass(frozen=True)
class Finding:
    """Something that is not as it has to be: a row, or a document whose own totals do not hold."""

    kind: str
    name: str
    text: str
    url: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


class SideLine(NamedTuple):
    """What another book says of a payer: its amount, in how many lines."""

    source: str
    amount: Decimal
    lines: int


@dataclass(frozen=True)
class Side:
    """What another book (statements, journals) says of a month, by payer key.

    `broken` are documents whose lines do not add up to what they say themselves. `fingerprint` tells one set of
    documents from another. `find` names the line of a payer key and its page.
    """

    code: str
    label: str
    lines: Mapping[str, SideLine]
    find: Callable[[str], tuple[str, str]]
    broken: tuple[Finding, ...] = ()
    fingerprint: str = ""
    url: str = ""
    # What has to be done where a payer line is not there yet.
    then: NextStep | None = None
    # The seals of its documents, by number; asked for when a month is finalized, and ever after.
    seal: Callable[[], dict[str, str]] = dict
    # Those of their lines, which name the line where a document's is broken.
    seal_lines: Callable[[], seals.LineSeals] = dict


# Whether a payer line belongs on a side, and what the side says of a month, by code.
Provider = Callable[[BillingPeriod], Side]
_sides: dict[str, Provider] = {}


def register_side(code: str, provider: Provider) -> None:
    """Have `provider` asked what its books say of a month; a second one of the same code replaces it."""
    _sides[code] = provider


class Line(NamedTuple):
    """A payer line, as the proof reads it."""

    key: str
    kind: str
    source_id: int
    pi_id: int | None
    project_id: int | None
    charged: Decimal
    list_cost: Decimal
    contracted: Decimal
    rounding: Decimal

    @property
    def of_currency(self) -> str:
        """The currency it was delivered in, the last part of its key."""
        return self.key.rsplit(charging.SEPARATOR, 1)[-1]

    @property
    def owner(self) -> tuple[int | None, int | None]:
        return self.pi_id, self.project_id


@dataclass
class Proof:
    """A period's equations, what of them does not hold, and what is still to come."""

    period: BillingPeriod
    currency: str
    equations: list[Equation]
    broken: list[Finding] = field(default_factory=list)
    # What differs from the proof the month was finalized with.
    tampered: list[Finding] = field(default_factory=list)
    sides: dict[str, Side] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    is_frozen: bool = False

    @property
    def comes_out(self) -> bool:
        """Nothing is lost or invented, as far as the month has come."""
        return not (self.broken or self.tampered or self.off)

    @property
    def is_complete(self) -> bool:
        """It comes out, and nothing is still to be charged, stated or journaled."""
        return self.comes_out and not self.open

    @property
    def off(self) -> list[Equation]:
        return [each for each in self.equations if each.verdict == Verdict.OFF]

    @property
    def open(self) -> list[Equation]:
        return [each for each in self.equations if each.verdict == Verdict.OPEN]

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        if not self.comes_out:
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
        said = [f"{_named(each)}: off by {named(each.difference, each.currency)}{_rows_off(each)}" for each in self.off]
        return said + [str(each) for each in (*self.broken, *self.tampered)]

    def as_data(self) -> dict[str, Any]:
        """The proof as JSON keeps it: amounts as exact decimal text."""
        return {
            "period": str(self.period),
            "currency": self.currency,
            "comes_out": self.comes_out,
            "is_complete": self.is_complete,
            "equations": [equation_data(each) for each in self.equations],
            "fingerprints": {code: side.fingerprint for code, side in sorted(self.sides.items())},
            "broken": [vars(each) for each in self.broken],
            "tampered": [vars(each) for each in self.tampered],
        }


def equation_data(equation: Equation) -> dict[str, Any]:
    def terms(of: Iterable[Term]) -> list[dict[str, Any]]:
        return [
            {"code": t.code, "label": t.label, "amount": exact_text(t.amount, equation.currency), "count": t.count}
            for t in of
        ]

    return {
        "code": equation.code,
        "title": equation.title,
        "source": equation.source,
        "currency": equation.currency,
        "of_currency": equation.of_currency,
        "left": terms(equation.left),
        "right": terms(equation.right),
        "difference": exact_text(equation.difference, equation.currency),
        "verdict": equation.verdict.value,
        "note": equation.note,
    }


def exact_text(amount: Decimal, currency: str | None) -> str:
    """Write an amount to its last digit, without an exponent and with at least the decimals of its currency."""
    return plain(amount.normalize(context=WIDE) if amount else ZERO, currency)


def prove(period: BillingPeriod) -> Proof:
    """Return the proof of a period as things stand, with set queries only; writes nothing.

    The delivered side comes from the control totals of the files, kept when they were applied, and never from
    the charges. For a finalized month it is also compared with the proof that was frozen then.
    """
    return _Proving(period).proof()


@dataclass
class _Sums:
    rows: int = 0
    charges: int = 0
    amount: Decimal = ZERO

    def add(self, rows: int, amount: Decimal, charges: int = 0) -> None:
        self.rows += rows
        self.charges += charges
        self.amount = EXACT.add(self.amount, amount)


class _Proving:
    """One period on its way to a proof: what is looked up once."""

    def __init__(self, period: BillingPeriod) -> None:
        self.period = period
        self.is_finalized = period.status == BillingPeriod.Status.FINALIZED
        self.home = Policy.objects.current().currency
        self.sources = Source.objects.prefetch_related("measure_changes").in_bulk()
        self.months = {each.pk: each for each in BillingPeriod.objects.all()}
        self._measures: dict[tuple[int, int], str] = {}
        # Scope -> code -> sums.
        self.terms: dict[Scope, dict[str, _Sums]] = defaultdict(lambda: defaultdict(_Sums))
        # Scope and month delivered for -> exact sum of what payers are charged, in the currency delivered.
        self.chargeable: dict[tuple[int, str, int], _Sums] = defaultdict(_Sums)

    def proof(self) -> Proof:
        self._read_deliveries()
        self._read_charges()
        self._read_moved()
        lines = [
            Line(*row)
            for row in PayerLine.objects.filter(period=self.period)
            .order_by("key")
            .values_list(
                "key",
                "kind",
                "source",
                "pi",
                "project",
                "charged",
                "list_cost",
                "contracted_cost",
                "rounding",
            )
        ]
        self.lines = lines
        # In the order of the month, which is that of the titles.
        sides = {code: _sides[code](self.period) for code in TITLES if code in _sides}
        run = self._run_of_charging()
        broken = list(run)
        for side in sides.values():
            broken += side.broken
        frozen = FrozenProof.objects.filter(period=self.period).first()
        then: dict[str, Any] = json.loads(frozen.text) if frozen else {}
        equations = [
            *self._delivered(),
            *self._charged(is_run_intact=not run),
            *(each for side in sides.values() for each in self._side(side, then)),
        ]
        proof = Proof(
            period=self.period,
            currency=self.home,
            equations=equations,
            broken=broken,
            sides=sides,
            lines=lines,
            is_frozen=frozen is not None,
        )
        proof.tampered = _compared(proof, frozen, then)
        return proof

    # What the files say ------------------------------------------------------------------------

    def measure(self, source_id: int, period_id: int) -> str:
        """Return which cost a source charges in a month, `billed` or `effective`."""
        key = (source_id, period_id)
        if key not in self._measures:
            self._measures[key] = str(self.sources[source_id].measure_in(self.months[period_id].month))
        return self._measures[key]

    def _read_deliveries(self) -> None:
        """Add up the control totals of the deliveries in force, and of the late changes booked in this month."""
        applied = Q(imported_in__state=Import.State.APPLIED)
        late_imports = Import.objects.filter(state=Import.State.APPLIED, booked_in=self.period)
        months_told = Q(period=self.period) | Q(
            period__in=ImportTotal.objects.filter(imported_in__in=late_imports).values("period")
        )
        rounding: dict[tuple[int, int, str, str], Decimal] = {}
        for total in (
            ImportTotal.objects.filter(applied, months_told)
            .select_related("imported_in")
            .order_by("imported_in__applied_at", "imported_in_id")
        ):
            imported = total.imported_in
            source_id = int(imported.source_id or 0)
            measure = self.measure(source_id, total.period_id)
            stored = total.effective_stored if measure == Source.Measure.EFFECTIVE else total.billed_stored
            exact = Decimal(total.effective_exact if measure == Source.Measure.EFFECTIVE else total.billed_exact)
            # What a delivery rounded is in force until another one speaks for all of its scope.
            account = (source_id, total.period_id, same_id(total.billing_account_id), total.currency)
            own = WIDE.subtract(exact, stored)
            before = rounding.get(account, ZERO) if imported.mode == Source.Delivery.SNAPSHOT else ZERO
            rounding[account] = own if imported.mode == Source.Delivery.SNAPSHOT else rounding.get(account, ZERO) + own
            bearing = imported.booked_in_id or total.period_id
            if bearing != self.period.pk:
                continue
            terms = self.terms[source_id, total.currency]
            terms["late" if imported.booked_in_id else "files"].add(total.rows, stored)
            terms["rounding"].add(0, WIDE.subtract(own, before))
        for overlap in ImportOverlap.objects.filter(applied, borne_by=self.period).select_related("imported_in"):
            source_id = int(overlap.imported_in.source_id or 0)
            measure = self.measure(source_id, overlap.period_id)
            amount = overlap.effective if measure == Source.Measure.EFFECTIVE else overlap.billed
            code = str(overlap.kind)
            if overlap.imported_in.booked_in_id:
                code = "late"
            self.terms[source_id, overlap.currency][code].add(-overlap.rows, -amount)

    # What the charges say ----------------------------------------------------------------------

    def _read_charges(self) -> None:
        """Add up the live charges of the month by what becomes of them."""
        rows = (
            charging.in_storage_order(self.period)
            .order_by()
            .annotate(is_reversal=Case(When(reverses__isnull=False, then=Value(1)), default=Value(0)))
            .values_list("source_id", "currency", "state", "period_id", "is_reversal")
            .annotate(
                charges=Count("*"),
                rows=Sum("row_count"),
                billed=AmountSum("billed_cost"),
                effective=AmountSum("effective_cost"),
            )
        )
        for source_id, currency, state, period_id, is_reversal, charges, count, billed, effective in rows:
            measured = effective if self.measure(source_id, period_id) == Source.Measure.EFFECTIVE else billed
            amount = ZERO if measured is None else measured
            self.terms[source_id, currency][STATES[state]].add(-count if is_reversal else count, amount, charges)
            if state in Charge.CHARGEABLE:
                self.chargeable[source_id, currency, period_id].add(count, amount, charges)

    def _read_moved(self) -> None:
        """Add up what another month bears than the one that its delivery went to: charges carried over.

        They count also where a later delivery replaced them, for that is among the overlaps of the month.
        """
        booked = dict(Import.objects.filter(booked_in__isnull=False).values_list("pk", "booked_in_id"))
        here = [number for number, booked_in in booked.items() if booked_in == self.period.pk]
        # A unary plus keeps databases off the indexes of whole months and imports: what moved has one of its own.
        hidden = {
            f"own_{name}": Func(F(name), template="+%(expressions)s", output_field=BigIntegerField())
            for name in ("charged_in", "period", "imported_in")
        }
        moved = (
            Charge.objects.filter(reverses__isnull=True)
            .exclude(charged_in=F("period"))
            .exclude(withdrawn_in=F("imported_in"))
            .alias(**hidden)
            .filter(Q(own_charged_in=self.period.pk) | Q(own_period=self.period.pk) | Q(own_imported_in__in=here))
            .order_by()
            .values_list("source_id", "currency", "period_id", "charged_in_id", "imported_in_id")
            .annotate(
                charges=Count("*"),
                rows=Sum("row_count"),
                billed=AmountSum("billed_cost"),
                effective=AmountSum("effective_cost"),
            )
        )
        for source_id, currency, period_id, charged_in, imported, charges, count, billed, effective in moved:
            came_to = booked.get(imported, period_id)
            measured = effective if self.measure(source_id, period_id) == Source.Measure.EFFECTIVE else billed
            amount = ZERO if measured is None else measured
            if came_to == charged_in:
                continue
            terms = self.terms[source_id, currency]
            if charged_in == self.period.pk:
                terms[f"carried_in:{period_id}"].add(count, amount, charges)
            elif came_to == self.period.pk:
                terms[f"carried_out:{charged_in}"].add(count, amount, charges)

    def _delivered(self) -> Iterator[Equation]:
        for (source_id, currency), terms in sorted(self.terms.items(), key=self._scope_order):
            source = self.sources[source_id]
            rounding = terms.pop("rounding", _Sums())
            files = terms.get("files", _Sums())
            files.amount = WIDE.add(files.amount, rounding.amount)
            terms["files"] = files
            left = [
                Term(code, label, terms[code].amount, terms[code].rows, self._imports_url(source, code))
                for code, label in (
                    ("files", "Files delivered"),
                    ("again", "less what they say again"),
                    ("displaced", "less what was replaced or withdrawn"),
                    ("late", "Late changes booked here"),
                )
                if code in terms and (code == "files" or _is_something(terms[code]))
            ]
            left += self._moved_terms(source, terms, "carried_in", "Carried in from {}")
            right = [
                Term(code, label, terms[code].amount, terms[code].rows, self._charges_url(source, code))
                for code, label in (
                    ("charged", "Charged"),
                    ("absorbed", "Charged to center"),
                    ("rejected", "Rejected"),
                    ("held", "Held for review"),
                )
                if code in terms
            ]
            right += self._moved_terms(source, terms, "carried_out", "Carried out to {}")
            if rounding.amount:
                right.append(
                    Term("rounding", "Rounding beyond 8 decimals", rounding.amount, 0, self._imports_url(source, ""))
                )
            equation = Equation("delivered", source.name, currency, tuple(left), tuple(right), Verdict.OK)
            if equation.difference or equation.left_count != equation.right_count:
                equation = _marked(equation, Verdict.OFF, "What the files say and what became of it do not agree.")
            yield equation

    def _scope_order(self, each: tuple[Scope, Any]) -> tuple[str, str]:
        (source_id, currency), _ = each
        return self.sources[source_id].name, currency

    def _moved_terms(self, source: Source, terms: Mapping[str, _Sums], code: str, label: str) -> Iterator[Term]:
        for name in sorted(terms):
            if name.startswith(f"{code}:"):
                other = int(name.partition(":")[2])
                month, bearing = (other, self.period.pk) if code == "carried_in" else (None, other)
                query = {"charged_in__id__exact": bearing, "source__id__exact": source.pk}
                query |= {"period__id__exact": month or self.period.pk}
                yield Term(
                    code,
                    label.format(self.months[other]),
                    terms[name].amount,
                    terms[name].rows,
                    _url(CHARGES, query),
                )

    def _imports_url(self, source: Source, code: str) -> str:
        scope = {"booked_in__id__exact": self.period.pk} if code == "late" else {"scope_totals__period": self.period}
        return _url(IMPORTS, {"source__id__exact": source.pk, "state__exact": "applied"} | scope)

    def _charges_url(self, source: Source, code: str) -> str:
        query: dict[str, Any] = {"period": self.period, "source__id__exact": source.pk, "standing": "live"}
        states = [state for state, group in STATES.items() if group == code]
        query |= {"state__exact": states[0]} if len(states) == 1 else {"state__in": ",".join(states)}
        return _url(CHARGES, query)

    # From exact amounts to cents ---------------------------------------------------------------

    def _run_of_charging(self) -> list[Finding]:
        """Compare the payer lines with what the last run said it made of them."""
        run = (
            AuditEvent.objects.filter(
                action="payer_lines.made", object_type="billingperiod", object_id=str(self.period.pk)
            )
            .order_by("-id")
            .first()
        )
        if run is None or not run.after:
            return []
        charged = _sum(line.charged for line in self.lines)
        said_lines, said = int(run.after["lines"]), Decimal(run.after["charged"])
        if (said_lines, said) == (len(self.lines), charged):
            return []
        return [
            Finding(
                "payer lines",
                f"Payer lines of {self.period}",
                f"they are {len(self.lines):,} over {plain(charged, self.home)}; the run that made them recorded "
                f"{said_lines:,} over {plain(said, self.home)}.",
            )
        ]

    @cached_property
    def _rates(self) -> dict[tuple[int, str], Decimal]:
        return {(each.period_id, each.currency): each.rate for each in ExchangeRate.objects.order_by()}

    @cached_property
    def _entered(self) -> dict[tuple[int, str], tuple[int, Decimal]]:
        entered = (
            CorrectionLine.objects.charged_in(self.period).order_by().values_list("source", "correction__currency")
        )
        return {
            (source_id, currency): (count, amount)
            for source_id, currency, count, amount in entered.annotate(count=Count("*"), sum=AmountSum("amount"))
        }

    def _charged(self, *, is_run_intact: bool) -> Iterator[Equation]:
        """What is to be charged, converted, against the payer lines and their rounding."""
        by_scope: dict[Scope, list[Line]] = defaultdict(list)
        for line in self.lines:
            currency = self.home if line.kind in PayerLine.ENTERED else line.of_currency
            by_scope[line.source_id, currency].append(line)
        scopes = {(source_id, currency) for source_id, currency, _ in self.chargeable}
        scopes |= set(by_scope) | set(self._entered)
        for source_id, currency in sorted(scopes, key=lambda scope: (self.sources[scope[0]].name, scope[1])):
            yield self._charged_of(self.sources[source_id], currency, by_scope[source_id, currency], is_run_intact)

    def _charged_of(self, source: Source, currency: str, lines: list[Line], is_run_intact: bool) -> Equation:
        left = []
        missing = []
        for (source_id, of_currency, month), sums in sorted(self.chargeable.items()):
            if (source_id, of_currency) != (source.pk, currency):
                continue
            label = "To be charged" if month == self.period.pk else f"To be charged for {self.months[month]}"
            amount = sums.amount
            if currency != self.home:
                rate = self._rates.get((month, currency))
                if rate is None:
                    missing.append(f"There is no exchange rate for {currency} in {self.months[month]}.")
                    continue
                label += f" (1 {currency} = {rate.normalize():f} {self.home})"
                amount = EXACT.multiply(amount, rate)
            query = {"charged_in__id__exact": self.period.pk, "period__id__exact": month, "standing": "live"}
            query |= {"source__id__exact": source.pk, "state__in": ",".join(Charge.CHARGEABLE)}
            url = _url(CHARGES, query)
            left.append(Term("chargeable", label, amount, sums.charges, url))
        count, entered = self._entered.get((source.pk, currency), (0, ZERO))
        if count:
            left.append(Term("corrections", "Corrections", entered, count, _corrections_url(self.period, source)))
        from_charges = [line for line in lines if line.kind not in PayerLine.ENTERED]
        subsidies = [line for line in from_charges if line.kind == PayerLine.Kind.SUBSIDY]
        paid = [line for line in from_charges if line.kind != PayerLine.Kind.SUBSIDY]
        # A finalized month stands as it was made, whatever its sources are told since.
        if subsidies if self.is_finalized else (source.subsidy_fund_org or subsidies):
            funded = _sum(line.contracted - line.charged for line in paid) if source.subsidy_fund_org else ZERO
            if self.is_finalized:
                funded = _sum(line.contracted - line.charged for line in paid)
            url = self._lines_url(source, PayerLine.Kind.SUBSIDY)
            left.append(Term("subsidies", "Funded subsidies", funded, len(subsidies), url))
        right = []
        labels = dict(PayerLine.Kind.choices)
        kinds: dict[str, _Sums] = defaultdict(_Sums)
        for line in lines:
            kinds[line.kind].add(1, line.charged)
        for kind, label in labels.items():
            if kind in kinds:
                label = "Charged" if kind == PayerLine.Kind.CHARGE else str(label)
                url = self._lines_url(source, kind)
                right.append(Term(f"lines:{kind}", label, kinds[kind].amount, kinds[kind].rows, url))
        if rounding := _sum(line.rounding for line in lines):
            label = "Rounding to cents" if minor_units(self.home) == 2 else "Rounding"
            right.append(Term("cents", label, rounding, 0, self._lines_url(source)))
        equation = Equation("charged", source.name, self.home, tuple(left), tuple(right), Verdict.OK)
        # Each group is rounded to 8 decimals when it is converted.
        beyond = equation.difference
        if currency != self.home:
            equation = _with(equation, of_currency=currency)
            if beyond and abs(beyond) <= UNIT * len(lines):
                right.append(Term("converted", "Conversion beyond 8 decimals", beyond, 0))
                equation = _with(equation, right=tuple(right))
        if missing:
            return _marked(equation, Verdict.OPEN, " ".join(missing))
        if not equation.difference:
            return equation
        if self.is_finalized or not is_run_intact:
            return _marked(equation, Verdict.OFF, "Payer lines do not hold what is to be charged.")
        what = "are older than the last change" if self.lines else "are not made yet"
        then = NextStep("issue_statements", {"period": str(self.period)})
        return _with(_marked(equation, Verdict.OPEN, f"Payer lines {what}."), then=then)

    def _lines_url(self, source: Source | None, *kinds: str) -> str:
        query: dict[str, Any] = {"period": self.period}
        if source is not None:
            query["source__id__exact"] = source.pk
        if kinds:
            query |= {"kind__exact": kinds[0]} if len(kinds) == 1 else {"kind__in": ",".join(kinds)}
        return _url(PAYER_LINES, query)

    # The other books ---------------------------------------------------------------------------

    def _unstated(self, side: Side) -> set[tuple[int | None, int | None]]:
        """Return the owners who get no statement, for nothing would be on it and the policy issues none of zero."""
        if Policy.objects.current().issues_zero_statements:
            return set()
        sums: dict[tuple[int | None, int | None], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
        for line in self.lines:
            if line.kind in PayerLine.CHARGED:
                sums[line.owner][0] += line.charged
                sums[line.owner][1] += line.list_cost
        stated = {line.owner for line in self.lines if line.key in side.lines}
        return {owner for owner, (charged, listed) in sums.items() if not (charged or listed)} - stated

    def _side(self, side: Side, then: Mapping[str, Any]) -> Iterator[Equation]:
        """Compare payer lines with what is stated or journaled, by source and payer."""
        belongs = _BELONGS[side.code]
        unstated = self._unstated(side) if side.code == STATED else set()
        lines: dict[str, dict[str, Line]] = defaultdict(dict)
        for line in self.lines:
            lines[self.sources[line.source_id].name][line.key] = line
        others: dict[str, dict[str, SideLine]] = defaultdict(dict)
        for key, other in side.lines.items():
            others[other.source][key] = other
        by_name = {source.name: source for source in self.sources.values()}
        frozen_side = then.get("fingerprints", {}).get(side.code)
        for name in sorted({*lines, *others}):
            source = by_name.get(name)
            url = self._lines_url(source, *(PayerLine.CHARGED if side.code == STATED else ()))
            own = {
                key: line
                for key, line in lines[name].items()
                if belongs(line, source, others[name]) and line.owner not in unstated
            }
            if not own and not others[name]:
                if side.code != JOURNALED or not lines[name]:
                    continue
                shown = _sum(line.charged for line in lines[name].values())
                yield Equation(
                    side.code,
                    name,
                    self.home,
                    (Term("lines", "Payer lines", shown, len(lines[name]), url),),
                    (Term("showback", "Shown only, never journaled", shown, len(lines[name]), url),),
                    Verdict.OK,
                )
                continue
            left = Term("lines", "Payer lines", _sum(each.charged for each in own.values()), len(own), url)
            there = others[name].values()
            count = sum(each.lines for each in there)
            listed = f"{side.url}&{urlencode({'source': name})}" if side.url else ""
            right = Term(side.code, side.label, _sum(each.amount for each in there), count, listed)
            unequal = sum(
                (own[key].charged if key in own else ZERO)
                != (others[name][key].amount if key in others[name] else ZERO)
                for key in {*own, *others[name]}
            )
            equation = Equation(side.code, name, self.home, (left,), (right,), Verdict.OK, unequal=unequal)
            if unequal:
                told = f"{unequal:,} {'payer line is' if unequal == 1 else 'payer lines are'} not there as charged."
                if self.is_finalized and frozen_side == side.fingerprint:
                    equation = _marked(equation, Verdict.OFF, told)
                else:
                    equation = _with(_marked(equation, Verdict.OPEN, told), then=side.then)
            yield equation


def _is_stated(line: Line, source: Source | None, others: Mapping[str, SideLine]) -> bool:
    return line.kind in PayerLine.CHARGED and line.pi_id is not None


def _is_journaled(line: Line, source: Source | None, others: Mapping[str, SideLine]) -> bool:
    # What went to the ledger while the source was charged back stays there.
    return bool(source and source.is_journaled) or line.key in others


_BELONGS = {STATED: _is_stated, JOURNALED: _is_journaled}


def _compared(proof: Proof, frozen: FrozenProof | None, then: Mapping[str, Any]) -> list[Finding]:
    """Compare a proof with the one its month was finalized with."""
    period = proof.period
    event = (
        AuditEvent.objects.filter(action="proof.frozen", object_type="billingperiod", object_id=str(period.pk))
        .order_by("-id")
        .first()
    )
    name = f"Frozen proof of {period}"
    if frozen is None:
        if period.status == BillingPeriod.Status.FINALIZED and event:
            return [Finding("frozen proof", name, "it is gone.")]
        return []
    found = [Finding("file", each.what, each.text, each.url) for each in verifying.received_of(period)]
    if period.status != BillingPeriod.Status.FINALIZED:
        told = f"it was finalized, and is {period.get_status_display().lower()} now. No step leads there."
        found.append(Finding("period", f"Billing period {period}", told))
    for what, data, told in (
        ("JSON", frozen.text.encode(), frozen.json_sha256),
        ("PDF", bytes(frozen.pdf), frozen.pdf_sha256),
    ):
        recorded = (event.after or {}).get(f"{what.lower()}_sha256", told) if event else told
        if not hashlib.sha256(data).hexdigest() == told == recorded:
            found.append(Finding("frozen proof", name, f"its {what} is not the one that was frozen."))
    now = {each.scope: each for each in proof.equations}
    # The ledger may answer after a month is finalized: a rejected journal is replaced by another.
    answered = {
        code
        for code, fingerprint in then.get("fingerprints", {}).items()
        if code in proof.sides and proof.sides[code].fingerprint != fingerprint and code == JOURNALED
    }
    said = {(each["code"], each["source"], each["currency"], each["of_currency"]): each for each in then["equations"]}
    for scope in sorted({*said, *now}):
        if scope[0] in answered:
            continue
        before = _figures(said[scope]) if scope in said else {}
        after = _figures(equation_data(now[scope])) if scope in now else {}
        for code in sorted({*before, *after}):
            if before.get(code) != after.get(code):
                told = " and ".join(filter(None, (scope[1], scope[3] or scope[2])))
                found.append(
                    Finding(
                        "figure",
                        f"{TITLES[scope[0]]} ({told})",
                        f"“{code}” was {before.get(code, 'not there')} when {period} was finalized, and is "
                        f"{after.get(code, 'not there')} now.",
                    )
                )
    # The ledger's answers bring journals, and change none that is there.
    broken = seals.broken(then.get("seals", {}), proof.seals(), growing=frozenset({JOURNALED}))
    # Looked up only where a seal is broken.
    lines = proof.line_seals() if broken else {}
    for kind, what, how in broken:
        told = f"{how} since {period} was finalized."
        before_lines = then.get("line_seals", {}).get(kind, {}).get(what)
        if how == "changed" and before_lines is not None:
            which = seals.broken_lines(before_lines, lines.get(kind, {}).get(what, {}))
            told += f" {which[0].upper()}{which[1:]}." if which else " Its lines are as they were."
        found.append(Finding(f"seal of {kind}", seals.LABELS[kind].format(what), told))
    return found


def _figures(equation: Mapping[str, Any]) -> dict[str, str]:
    """Return a frozen equation's figures by what they are, those of one kind added up."""
    sums: dict[str, list[Any]] = {}
    for term in (*equation["left"], *equation["right"]):
        if term["code"].startswith("carried_out"):
            # What was carried out may be carried on.
            term = term | {"code": "carried_out", "label": "Carried out"}
        known = sums.setdefault(term["code"], [term["label"], ZERO, 0])
        known[1] += Decimal(term["amount"])
        known[2] += term["count"]
    return {
        code: f"{exact_text(amount, equation['currency'])} ({count:,})" for code, (_, amount, count) in sums.items()
    }


def _is_something(sums: _Sums) -> bool:
    return bool(sums.rows or sums.amount)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = WIDE.add(total, amount)
    return total


def _with(equation: Equation, **changes: Any) -> Equation:
    return Equation(**(vars(equation) | changes))


def _marked(equation: Equation, verdict: Verdict, note: str) -> Equation:
    return _with(equation, verdict=verdict, note=note)


def _named(equation: Equation) -> str:
    return f"{equation.title} ({equation.source})"


def _rows_off(equation: Equation) -> str:
    off = equation.left_count - equation.right_count
    return f" and {abs(off):,} {'row' if abs(off) == 1 else 'rows'}" if equation.code == "delivered" and off else ""


def _url(name: str, query: Mapping[str, Any]) -> str:
    return f"{reverse(name)}?{urlencode({key: str(value) for key, value in query.items()})}"


def _corrections_url(period: BillingPeriod, source: Source) -> str:
    query = {"period": period, "source": source.name, "state__exact": Correction.State.APPROVED.value}
    return _url("admin:billing_correction_changelist", query)
