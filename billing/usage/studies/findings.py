"""What is wrong with a rate study, or to be known of it, in sentences (pure)."""

from collections.abc import Iterator
from decimal import Decimal

from ...money import plain
from ...quantities import counted
from ...texts import long_month
from .equation import Figures, Finding


def findings_of(figures: Figures) -> list[Finding]:
    """Return what is wrong with a study, the worst first."""
    found = [*_of_the_equation(figures), *_of_the_rate(figures), *_of_payers(figures), *_of_use(figures)]
    return sorted(found, key=lambda each: not each.is_bad)


def _of_the_equation(figures: Figures) -> Iterator[Finding]:
    if not figures.allowable:
        yield Finding("no_costs", True, "It has no costs that count. Enter what the service cost in the year.")
    if not figures.units:
        yield Finding(
            "no_units", True, "It has no units to share the costs over. Price the months of the year, or expect some."
        )


def _of_the_rate(figures: Figures) -> Iterator[Finding]:
    rate, break_even = figures.rate, figures.break_even
    if rate is None or break_even is None or rate == break_even:
        return
    said = f"The proposed rate of {_number(rate)} is {{}} the break-even rate of {_number(break_even)}"
    if rate > break_even:
        yield Finding("above_break_even", True, f"{said.format('above')}: it would recover more than the cost.")
    else:
        yield Finding(
            "below_break_even",
            False,
            f"{said.format('below')}. Charge the break-even rate and grant a subsidy where somebody pays the "
            "difference: what a low rate lacks would be an under-recovery.",
        )


def _of_payers(figures: Figures) -> Iterator[Finding]:
    """Federal awards pay no more for a unit than other users of the institution (2 CFR 200.468(b))."""
    places = figures.places
    sponsored, others = figures.sponsored.rate(places), figures.others.rate(places)
    if sponsored is not None and others is not None and sponsored > others:
        yield Finding(
            "sponsored_pay_more",
            True,
            f"Federal awards paid {_number(sponsored)} for a {figures.unit}, and other internal users "
            f"{_number(others)}, after free amounts and subsidies. Give the same free amounts and subsidies to all.",
        )


def _of_use(figures: Figures) -> Iterator[Finding]:
    if figures.missing:
        months = ", ".join(long_month(each) for each in figures.missing)
        yield Finding(
            "months_missing",
            False,
            f"These months of the year were not priced, or what came of them waits as a late change: {months}.",
        )
    held = sum((each.held for each in figures.use), Decimal(0))
    if held:
        said = f"Held for review: {counted(held, figures.unit)}. Nobody is charged for them yet."
        yield Finding("held", False, said)


def _number(number: Decimal) -> str:
    text = plain(number)
    return text if "." not in text or number % 1 else text.partition(".")[0]
