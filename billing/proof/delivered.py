"""What the files delivered, and what became of it: from their own control totals to the state of each charge."""

import datetime
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import BigIntegerField, CharField, Count, F, Func, Q, Sum, Value

from ..fields import WIDE, AmountSum, from_units
from ..models import Charge, Import, ImportOverlap, ImportTotal, Source
from ..models.month_totals import AMOUNTS, KEY
from ..money import ZERO
from ..readers.spelling import same_id
from .equations import Equation, Term, Verdict
from .findings import About
from .month import Month, Scope, Sums

# What becomes of a charge in each state: the code of its figure, and how it is called.
FATES = {
    Charge.State.CLEAR.value: "charged",
    Charge.State.APPROVED.value: "charged",
    Charge.State.CHARGED_TO_CENTER.value: "charged_to_center",
    Charge.State.REJECTED.value: "rejected",
    Charge.State.HELD.value: "held",
}


class Told(NamedTuple):
    """What an import told of a month: a control total of its files or, with an `overlap`, what of it was there before.

    Overlaps have no exact amounts and no account: they are of charges as stored.
    """

    applied_at: datetime.datetime
    imported_in: int
    source_id: int
    mode: str
    booked_in: int | None
    period_id: int
    currency: str
    rows: int
    billed: Decimal
    effective: Decimal
    billed_exact: str
    effective_exact: str
    billing_account_id: str
    overlap: str


class Delivered:
    """The figures of what was delivered to a month, by source and currency, and of what became of it."""

    def __init__(self, month: Month) -> None:
        self.month = month
        # Scope -> code -> sums.
        self.terms: dict[Scope, dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
        # Scope and month delivered for -> exact sum of what payers are charged, in the currency delivered.
        self.chargeable: dict[tuple[int, str, int], Sums] = defaultdict(Sums)
        self._read_imports()
        self._read_charges()
        self._read_moved()

    def equations(self) -> Iterator[Equation]:
        """Yield an equation for each source and currency."""
        for (source_id, currency), terms in sorted(self.terms.items(), key=self._scope_order):
            source = self.month.sources[source_id]
            rounding = terms.pop("rounding", Sums())
            files = terms.get("files", Sums())
            files.amount = WIDE.add(files.amount, rounding.amount)
            terms["files"] = files
            left = self._left(source, terms)
            right = self._right(source, terms)
            if rounding.amount:
                about = self.month.about_imports(source)
                right.append(Term("rounding", "Rounding beyond 8 decimals", rounding.amount, 0, about))
            equation = Equation("delivered", source.name, currency, tuple(left), tuple(right), Verdict.OK)
            if equation.difference or equation.left_count != equation.right_count:
                equation = equation.marked(Verdict.OFF, "What the files say and what became of it do not agree.")
            yield equation

    def _left(self, source: Source, terms: Mapping[str, Sums]) -> list[Term]:
        found = [
            Term(
                code,
                label,
                terms[code].amount,
                terms[code].rows,
                self.month.about_imports(source, is_late=code == "late"),
            )
            for code, label in (
                ("files", "Files delivered"),
                ("again", "less what they say again"),
                ("displaced", "less what was replaced or withdrawn"),
                ("late", "Late changes booked here"),
            )
            if code in terms and (code == "files" or terms[code].is_something)
        ]
        return [*found, *self._moved_terms(source, terms, "carried_in", "Carried in from {}")]

    def _right(self, source: Source, terms: Mapping[str, Sums]) -> list[Term]:
        found = [
            Term(code, label, terms[code].amount, terms[code].rows, self._about_charges(source, code))
            for code, label in (
                ("charged", "Charged"),
                ("charged_to_center", "Charged to center"),
                ("rejected", "Rejected"),
                ("held", "Held for review"),
            )
            if code in terms
        ]
        return [*found, *self._moved_terms(source, terms, "carried_out", "Carried out to {}")]

    def _moved_terms(self, source: Source, terms: Mapping[str, Sums], code: str, label: str) -> Iterator[Term]:
        own = self.month.period.pk
        for name in sorted(terms):
            if name.startswith(f"{code}:"):
                other = int(name.partition(":")[2])
                charged_in, period = (own, other) if code == "carried_in" else (other, own)
                where = {"charged_in": charged_in, "source": source.pk, "period": period}
                about = About("billing.charge", where=where)
                yield Term(code, label.format(self.month.months[other]), terms[name].amount, terms[name].rows, about)

    def _about_charges(self, source: Source, code: str) -> About:
        states = tuple(state for state, fate in FATES.items() if fate == code)
        return self.month.about_charges(source, states, period=self.month.period.iso_month)

    def _scope_order(self, each: tuple[Scope, Any]) -> tuple[str, str]:
        (source_id, currency), _ = each
        return self.month.sources[source_id].name, currency

    def _counted(self, source_id: int, period_id: int, billed: Decimal, effective: Decimal | None) -> Decimal:
        """Return the cost that a source charges in a month: of what has no EffectiveCost where that is it, nothing."""
        measured = effective if self.month.charges_effective(source_id, period_id) else billed
        return ZERO if measured is None else measured

    def _read_imports(self) -> None:
        """Add up the control totals of the imports in force, and of the late changes booked in this month.

        Taken off is what they say again, and what they replaced or withdrew.
        """
        rounding: dict[tuple[int, int, str, str], Decimal] = {}
        for told in self._told_by_imports():
            is_effective = self.month.charges_effective(told.source_id, told.period_id)
            stored = told.effective if is_effective else told.billed
            scope = told.source_id, told.currency
            if told.overlap:
                self.terms[scope]["late" if told.booked_in else told.overlap].add(-told.rows, -stored)
                continue
            exact = Decimal(told.effective_exact if is_effective else told.billed_exact)
            # What an import rounded is in force until another one speaks for all of its scope.
            account = (told.source_id, told.period_id, same_id(told.billing_account_id), told.currency)
            own = WIDE.subtract(exact, stored)
            known = rounding.get(account, ZERO)
            is_snapshot = told.mode == Source.ImportMode.SNAPSHOT
            before = known if is_snapshot else ZERO
            rounding[account] = own if is_snapshot else known + own
            if (told.booked_in or told.period_id) != self.month.period.pk:
                continue
            terms = self.terms[scope]
            terms["late" if told.booked_in else "files"].add(told.rows, stored)
            terms["rounding"].add(0, WIDE.subtract(own, before))

    def _told_by_imports(self) -> list[Told]:
        """Return control totals and overlaps of the imports in force, in the order in which these were applied."""
        period = self.month.period
        in_force = Q(imported_in__state=Import.State.APPLIED)
        late_imports = Import.objects.filter(state=Import.State.APPLIED, booked_in=period)
        months_told = Q(period=period) | Q(
            period__in=ImportTotal.objects.filter(imported_in__in=late_imports).values("period")
        )
        nothing = Value("", CharField())
        of_import = [f"imported_in__{name}" for name in ("applied_at", "pk", "source_id", "mode", "booked_in_id")]
        scope = (*of_import, "period_id", "currency", "rows")
        totals = ImportTotal.objects.filter(in_force, months_told).values_list(
            *scope,
            "billed_stored",
            "effective_stored",
            "billed_exact",
            "effective_exact",
            "billing_account_id",
            nothing,
        )
        overlaps = ImportOverlap.objects.filter(in_force, borne_by=period).values_list(
            *scope, "billed", "effective", nothing, nothing, nothing, "kind"
        )
        # Ordered here: databases would each order a union in a way of their own.
        return sorted((Told(*row) for row in totals.order_by().union(overlaps, all=True)), key=lambda told: told[:2])

    def _read_charges(self) -> None:
        """Add up the live charges of the month by what becomes of them."""
        for group in self.month.groups:
            of = dict(zip(KEY, group.key, strict=True))
            sums = dict(zip(("charges", *AMOUNTS), group.sums, strict=True))
            source_id, currency, period_id = of["source_id"], of["currency"], of["period_id"]
            amount = self._counted(source_id, period_id, from_units(sums["billed"]), from_units(sums["effective"]))
            self.terms[source_id, currency][FATES[of["state"]]].add(group.rows, amount, sums["charges"])
            if of["state"] in Charge.CHARGEABLE:
                self.chargeable[source_id, currency, period_id].add(group.rows, amount, sums["charges"])

    def _read_moved(self) -> None:
        """Add up what another month bears than the one that its import went to: charges carried over.

        They count also where a later import replaced them, for that is among the overlaps of the month.
        """
        own = self.month.period.pk
        here = Import.objects.filter(booked_in=own).order_by().values("pk")
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
            .filter(Q(own_charged_in=own) | Q(own_period=own) | Q(own_imported_in__in=here))
            .order_by()
            .values_list("source_id", "currency", "period_id", "charged_in_id", "imported_in__booked_in")
            .annotate(
                charges=Count("*"),
                rows=Sum("row_count"),
                billed=AmountSum("billed_cost"),
                effective=AmountSum("effective_cost"),
            )
        )
        for source_id, currency, period_id, charged_in, booked_in, charges, count, billed, effective in moved:
            came_to = booked_in or period_id
            amount = self._counted(source_id, period_id, billed, effective)
            if came_to == charged_in:
                continue
            terms = self.terms[source_id, currency]
            if charged_in == own:
                terms[f"carried_in:{period_id}"].add(count, amount, charges)
            elif came_to == own:
                terms[f"carried_out:{charged_in}"].add(count, amount, charges)
