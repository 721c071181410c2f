"""What belongs beside the figures of a report: months that may still change, and what is not in them yet."""

from collections.abc import Iterator, Sequence
from datetime import date

from ..money import rounded
from ..texts import long_month
from ..trends import Totals
from .asking import with_lines
from .facts import Facts


def of_lines(facts: Facts, currency: str, currencies: Sequence[str]) -> Iterator[str]:
    """Yield what a reader of payer lines has to know."""
    periods = list(facts.periods.values())
    made = set(with_lines().filter(pk__in=list(facts.periods)).values_list("pk", flat=True))
    changing = [each.month for each in periods if each.pk in made and each.takes_changes]
    if changing:
        several = "their figures" if len(changing) > 1 else "its figures"
        verb = "are" if len(changing) > 1 else "is"
        yield f"{_listed(changing)} {verb} not closed: {several} may still change."
    if not facts.asked.only:
        yield from _without_lines(facts, made)
    if others := [each for each in currencies if each != currency]:
        yield f"There are amounts in {' and '.join(others)} too. Currencies are never added: choose one at a time."


def _without_lines(facts: Facts, made: set[int]) -> Iterator[str]:
    """Yield, for months without payer lines, what their charges come to so far: by the totals that charges keep."""
    lacking = [each for pk, each in facts.periods.items() if pk not in made]
    if not lacking:
        return
    totals = Totals()
    totals.read(("source", lacking))
    for period in lacking:
        month = totals.of("source", period)
        said = [
            f"list price {rounded(sums.listed, each)}, charged {rounded(sums.charged, each)} {each}"
            for each in sorted({each for _, each in month.rows})
            if (sums := month.total(each)).charges
        ]
        if said:
            yield f"{period} has no statements yet and is not included. Its charges so far: {'; '.join(said)}."


def _listed(months: Sequence[date]) -> str:
    names = [long_month(each) for each in months]
    if len(names) > 4:
        return f"{len(names)} months ({names[0]} to {names[-1]})"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
