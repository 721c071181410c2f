"""What is to be charged, against payer lines: converted, with their rounding, with corrections and funded subsidies."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from django.db.models import Count

from ..currencies import minor_units
from ..errors import NextStep
from ..fields import UNIT, AmountSum
from ..models import Charge, Correction, CorrectionLine, PayerLine, Source
from ..money import EXACT, plain
from .equations import Equation, Term, Verdict, sum_of
from .findings import About, Finding
from .month import Line, Month, Scope, Sums
from .subsidies import Subsidy, subsidies_of

Chargeable = Mapping[tuple[int, str, int], Sums]


def differences_from_run(month: Month) -> list[Finding]:
    """Compare the payer lines with what the last run said it made of them."""
    if not month.run:
        return []
    charged = sum_of(line.charged for line in month.lines)
    said_lines, said = int(month.run["lines"]), Decimal(month.run["charged"])
    if (said_lines, said) == (len(month.lines), charged):
        return []
    return [
        Finding(
            "payer lines",
            f"Payer lines of {month.period}",
            f"they are {len(month.lines):,} over {plain(charged, month.home)}; the run that made them recorded "
            f"{said_lines:,} over {plain(said, month.home)}.",
        )
    ]


def equations(month: Month, chargeable: Chargeable, *, is_run_intact: bool) -> Iterator[Equation]:
    """Compare what is to be charged with the payer lines and their rounding, by source and currency delivered.

    `chargeable` are the exact sums by source, currency and month delivered for.
    """
    entered = _entered(month)
    subsidized = subsidies_of(month)
    by_scope: dict[Scope, list[Line]] = defaultdict(list)
    for line in month.lines:
        currency = month.home if line.kind in PayerLine.ENTERED else line.of_currency
        by_scope[line.source_id, currency].append(line)
    scopes = {(source_id, currency) for source_id, currency, _ in chargeable}
    scopes |= set(by_scope) | set(entered)
    for source_id, currency in sorted(scopes, key=lambda scope: (month.sources[scope[0]].name, scope[1])):
        source, lines = month.sources[source_id], by_scope[source_id, currency]
        left, missing = _to_be_charged(month, source, currency, chargeable)
        left += _correction_terms(month, source, entered.get((source_id, currency)))
        left += _subsidy_terms(month, source, lines, subsidized.get((source_id, currency), Subsidy()))
        right = _line_terms(month, source, lines)
        equation = Equation("charged", source.name, month.home, tuple(left), tuple(right), Verdict.OK)
        if currency != month.home:
            equation = _with_conversion(equation, currency, len(lines))
        yield _judged(month, equation, missing, is_run_intact)


def _to_be_charged(month: Month, source: Source, currency: str, chargeable: Chargeable) -> tuple[list[Term], list[str]]:
    """Return what of a source is to be charged in the policy's currency, by month, and which rates are missing."""
    terms, missing = [], []
    for (source_id, of_currency, period_id), sums in sorted(chargeable.items()):
        if (source_id, of_currency) != (source.pk, currency):
            continue
        label = "To be charged" if period_id == month.period.pk else f"To be charged for {month.months[period_id]}"
        amount = sums.amount
        if currency != month.home:
            rate = month.rates.get((period_id, currency))
            if rate is None:
                missing.append(f"There is no exchange rate for {currency} in {month.months[period_id]}.")
                continue
            label += f" (1 {currency} = {rate.normalize():f} {month.home})"
            amount = EXACT.multiply(amount, rate)
        states = tuple(state.value for state in Charge.CHARGEABLE)
        about = month.about_charges(source, states, charged_in=month.period.pk, period=period_id)
        terms.append(Term("chargeable", label, amount, sums.charges, about))
    return terms, missing


def _entered(month: Month) -> dict[Scope, tuple[int, Decimal]]:
    """Return how many lines of corrections the month has, and what they come to."""
    lines = CorrectionLine.objects.charged_in(month.period).order_by().values_list("source", "correction__currency")
    return {
        (source_id, currency): (count, amount)
        for source_id, currency, count, amount in lines.annotate(count=Count("*"), sum=AmountSum("amount"))
    }


def _correction_terms(month: Month, source: Source, entered: tuple[int, Decimal] | None) -> list[Term]:
    if not entered:
        return []
    count, amount = entered
    state = Correction.State.APPROVED.value
    about = About(
        "billing.correction", where={"period": month.period.iso_month, "source": source.name, "state": (state,)}
    )
    return [Term("corrections", "Corrections", amount, count, about)]


def _subsidy_terms(month: Month, source: Source, lines: list[Line], subsidy: Subsidy) -> list[Term]:
    """Return what funds pay of a source's subsidies, by its charges.

    A finalized month stands as it was made, whatever its source is told since: what rows say nothing of counts as its
    payer lines do.
    """
    paying = [line for line in lines if line.kind == PayerLine.Kind.SUBSIDY]
    is_funded = bool(source.subsidy_fund_org)
    if month.is_finalized:
        paid = sum_of(line.charged + line.rounding for line in paying)
        is_funded = abs(paid - subsidy.of_all) < abs(paid - subsidy.named)
    funded = subsidy.of_all if is_funded else subsidy.named
    if not (funded or paying):
        return []
    about = month.about_lines(source, PayerLine.Kind.SUBSIDY.value)
    return [Term("subsidies", "Funded subsidies", funded, len(paying), about)]


def _line_terms(month: Month, source: Source, lines: list[Line]) -> list[Term]:
    """Return the payer lines by kind, and what rounding to cents left of them."""
    kinds: dict[str, Sums] = defaultdict(Sums)
    for line in lines:
        kinds[line.kind].add(1, line.charged)
    terms = [
        Term(
            f"lines:{kind}",
            "Charged" if kind == PayerLine.Kind.CHARGE else str(label),
            kinds[kind].amount,
            kinds[kind].rows,
            month.about_lines(source, kind),
        )
        for kind, label in PayerLine.Kind.choices
        if kind in kinds
    ]
    if rounding := sum_of(line.rounding for line in lines):
        label = "Rounding to cents" if minor_units(month.home) == 2 else "Rounding"
        terms.append(Term("cents", label, rounding, 0, month.about_lines(source)))
    return terms


def _with_conversion(equation: Equation, currency: str, lines: int) -> Equation:
    """Add what conversion left beyond 8 decimals, to which each group is rounded when it is converted."""
    right = equation.right
    if (beyond := equation.difference) and abs(beyond) <= UNIT * lines:
        right = (*right, Term("converted", "Conversion beyond 8 decimals", beyond, 0))
    return replace(equation, of_currency=currency, right=right)


def _judged(month: Month, equation: Equation, missing: list[str], is_run_intact: bool) -> Equation:
    if missing:
        return equation.marked(Verdict.OPEN, " ".join(missing))
    if not equation.difference:
        return equation
    if month.is_finalized or not is_run_intact:
        return equation.marked(Verdict.OFF, "Payer lines do not hold what is to be charged.")
    what = "are older than the last change" if month.lines else "are not made yet"
    then = NextStep("issue_statements", {"period": month.period.iso_month})
    return equation.marked(Verdict.OPEN, f"Payer lines {what}.", then)
