"""What the files delivered, and what became of it: from their own control totals to the state of each charge."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.db.models import BigIntegerField, Case, Count, F, Func, Q, Sum, Value, When

from .. import charging
from ..fields import WIDE, AmountSum
from ..models import Charge, Import, ImportOverlap, ImportTotal, Source
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


class Delivered:
    """The figures of what was delivered to a month, by source and currency, and of what became of it."""

    def __init__(self, month: Month) -> None:
        self.month = month
        # Scope -> code -> sums.
        self.terms: dict[Scope, dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
        # Scope and month delivered for -> exact sum of what payers are charged, in the currency delivered.
        self.chargeable: dict[tuple[int, str, int], Sums] = defaultdict(Sums)
        self._read_totals()
        self._read_overlaps()
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

    def _read_totals(self) -> None:
        """Add up the control totals of the imports in force, and of the late changes booked in this month."""
        period = self.month.period
        late_imports = Import.objects.filter(state=Import.State.APPLIED, booked_in=period)
        months_told = Q(period=period) | Q(
            period__in=ImportTotal.objects.filter(imported_in__in=late_imports).values("period")
        )
        rounding: dict[tuple[int, int, str, str], Decimal] = {}
        for total in (
            ImportTotal.objects.filter(months_told, imported_in__state=Import.State.APPLIED)
            .select_related("imported_in")
            .order_by("imported_in__applied_at", "imported_in_id")
        ):
            imported = total.imported_in
            source_id = int(imported.source_id or 0)
            is_effective = self.month.charges_effective(source_id, total.period_id)
            stored = total.effective_stored if is_effective else total.billed_stored
            exact = Decimal(total.effective_exact if is_effective else total.billed_exact)
            # What an import rounded is in force until another one speaks for all of its scope.
            account = (source_id, total.period_id, same_id(total.billing_account_id), total.currency)
            own = WIDE.subtract(exact, stored)
            known = rounding.get(account, ZERO)
            is_snapshot = imported.mode == Source.ImportMode.SNAPSHOT
            before = known if is_snapshot else ZERO
            rounding[account] = own if is_snapshot else known + own
            if (imported.booked_in_id or total.period_id) != period.pk:
                continue
            terms = self.terms[source_id, total.currency]
            terms["late" if imported.booked_in_id else "files"].add(total.rows, stored)
            terms["rounding"].add(0, WIDE.subtract(own, before))

    def _read_overlaps(self) -> None:
        """Take off what imports say again, and what they replaced or withdrew."""
        overlaps = ImportOverlap.objects.filter(
            imported_in__state=Import.State.APPLIED, borne_by=self.month.period
        ).select_related("imported_in")
        for overlap in overlaps:
            source_id = int(overlap.imported_in.source_id or 0)
            is_effective = self.month.charges_effective(source_id, overlap.period_id)
            amount = overlap.effective if is_effective else overlap.billed
            code = "late" if overlap.imported_in.booked_in_id else str(overlap.kind)
            self.terms[source_id, overlap.currency][code].add(-overlap.rows, -amount)

    def _read_charges(self) -> None:
        """Add up the live charges of the month by what becomes of them."""
        rows = (
            charging.in_storage_order(self.month.period)
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
            amount = self._counted(source_id, period_id, billed, effective)
            self.terms[source_id, currency][FATES[state]].add(-count if is_reversal else count, amount, charges)
            if state in Charge.CHARGEABLE:
                self.chargeable[source_id, currency, period_id].add(count, amount, charges)

    def _read_moved(self) -> None:
        """Add up what another month bears than the one that its import went to: charges carried over.

        They count also where a later import replaced them, for that is among the overlaps of the month.
        """
        own = self.month.period.pk
        booked = dict(Import.objects.filter(booked_in__isnull=False).values_list("pk", "booked_in_id"))
        here = [number for number, booked_in in booked.items() if booked_in == own]
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
            amount = self._counted(source_id, period_id, billed, effective)
            if came_to == charged_in:
                continue
            terms = self.terms[source_id, currency]
            if charged_in == own:
                terms[f"carried_in:{period_id}"].add(count, amount, charges)
            elif came_to == own:
                terms[f"carried_out:{charged_in}"].add(count, amount, charges)
