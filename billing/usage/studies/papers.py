"""A rate study on paper: what it says in words and figures. The app that has fonts draws it, and registers how."""

import datetime
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from ...fiscal_years import label_of
from ...models import CostPool, Policy, RateStudy
from ...money import EXACT, ZERO, rounded, written
from ...quantities import for_people, unit_of
from ...texts import long_date, long_month
from ..rate_schedules.words import number_text
from ..trying import words as trying_words
from ..trying.results import Owed, Tried
from .equation import Cost, Figures, Paid
from .studying import Studied

# Draws the data of a study as a PDF.
Drawer = Callable[[dict[str, Any]], bytes]
_drawer: list[Drawer] = []
# Decimals by which a quotient is told beyond those that it is rounded to.
FURTHER = 4
SOURCE = (
    "Made by the rules for specialized service facilities (2 CFR 200.468). Unallowable costs are in no rate (2 CFR "
    "200, Subpart E), and neither is depreciation of what federal awards paid (2 CFR 200.436). Subsidies, funded or "
    "forgone, count as revenue: they raise no later rate."
)


def register_drawer(drawer: Drawer) -> None:
    """Have studies drawn by `drawer`; a later one takes its place."""
    _drawer[:] = [drawer]


def as_pdf(studied: Studied, tried: Tried | None, *, today: datetime.date) -> bytes:
    """Return a study as a PDF to be filed. `tried` is what its rate would have charged; None: nothing was tried."""
    return _drawer[0](of(studied, tried, today=today))


def of(studied: Studied, tried: Tried | None, *, today: datetime.date) -> dict[str, Any]:
    """Return the data of a study on paper, its figures as text."""
    study, figures, policy = studied.study, studied.figures, Policy.objects.current()
    first, last = policy.months_of_fiscal_year(study.fiscal_year)
    year = label_of(study.fiscal_year)
    return {
        "title": f"Rate study of {study.rate}",
        "year": year,
        "institution": policy.institution,
        "department": policy.department,
        "contact": policy.contact_email,
        "paper": policy.paper_size,
        "about": [
            f"{study.feed.label} · {figures.currency} a {figures.unit}",
            f"{year}, {long_month(first)} to {long_month(last)}",
        ],
        "state": _state(studied, today),
        "findings": [f"{'Fails: ' if each.is_bad else ''}{each.text}" for each in studied.findings],
        "tiles": _tiles(figures),
        "tables": [each for each in _tables(studied, tried) if each],
        "notes": [*([f"Note: {study.note}"] if study.note.strip() else []), SOURCE],
    }


def _state(studied: Studied, today: datetime.date) -> dict[str, Any]:
    study = studied.study
    if study.adopted_at:
        by = f" by {study.adopted_by}" if study.adopted_by else ""
        text = f"Adopted on {long_date(study.adopted_at)}{by}. Its figures are those of that day, and never change."
        return {"text": text, "is_bad": False}
    text = f"Draft, worked out from the ledger on {long_date(today)}. It is not adopted."
    if studied.is_failing:
        text += " It fails, and cannot be adopted as it is."
    return {"text": text, "is_bad": True}


def _tiles(figures: Figures) -> list[dict[str, str]]:
    unit = f"{figures.currency} a {figures.unit}"
    is_proposed = figures.proposed is not None
    return [
        {
            "label": "To be recovered",
            "figure": rounded(figures.to_recover, figures.currency),
            "remark": "costs − balance",
        },
        {
            "label": "Units",
            "figure": number_text(figures.units, grouped=True),
            "remark": unit_of(Decimal(2), figures.unit),
        },
        {"label": "Break-even rate", "figure": _rate(figures.break_even), "remark": unit},
        {
            "label": "Proposed rate",
            "figure": _rate(figures.rate),
            "remark": unit if is_proposed else "the break-even rate",
        },
    ]


def _tables(studied: Studied, tried: Tried | None) -> Iterable[dict[str, Any] | None]:
    figures = studied.figures
    yield _equation(figures)
    yield _costs("Costs that count", [each for each in figures.costs if each.amount], figures, figures.allowable)
    yield _excluded(figures)
    yield _depreciation(figures)
    yield _use(figures)
    yield _payers(figures)
    if tried is None:
        why = "No rate follows yet." if figures.rate is None else "No month of this usage feed is closed yet."
        yield _table(TRIED_TITLE, "", [], [], texts=[why])
    else:
        yield _tried(tried, studied)


def _table(
    title: str,
    heading: str,
    columns: Sequence[str],
    rows: Sequence[dict[str, Any]],
    *,
    total: dict[str, Any] | None = None,
    texts: Sequence[str] = (),
) -> dict[str, Any]:
    return {
        "title": title,
        "heading": heading,
        "columns": list(columns),
        "rows": list(rows),
        "total": total,
        "texts": list(texts),
    }


def _row(label: str, *values: str, below: str = "") -> dict[str, Any]:
    return {"label": label, "values": list(values), "below": below}


# Its equation, and what it rests on ---------------------------------------------------------------------


def equation(figures: Figures) -> list[tuple[str, str, str]]:
    """Return the steps from costs to the rate: what each is, how it follows in numbers, and what it comes to."""
    currency = figures.currency

    def money(amount: Decimal) -> str:
        return rounded(amount, currency)

    balance, recovered, costs = money(figures.opening_balance), money(figures.recovered), money(figures.allowable)
    is_over = (
        "over-recovered" if figures.balance > 0 else "under-recovered" if figures.balance < 0 else "nothing is left"
    )
    expected = "expected" if figures.expected_units is not None else "those of the year"
    proposed = "as proposed" if figures.proposed is not None else "the break-even rate, as no other is proposed"
    return [
        ("Costs of the year", f"without what is excluded: {money(figures.excluded)}", costs),
        ("Balance of the years before", "over-recovery above zero, under-recovery below", balance),
        (
            "Recovered at list price",
            f"{money(figures.charged)} of it was charged; the rest is free amounts, balances and subsidies",
            recovered,
        ),
        (
            "Balance carried forward",
            f"{_term(balance)} + {_term(recovered)} − {_term(costs)}: {is_over}",
            money(figures.balance),
        ),
        ("To be recovered", f"{_term(costs)} − {_term(money(figures.balance))}", money(figures.to_recover)),
        (f"Units ({unit_of(Decimal(2), figures.unit)})", expected, number_text(figures.units, grouped=True)),
        ("Break-even rate", _quotient(figures), _rate(figures.break_even)),
        ("Proposed rate", proposed, _rate(figures.rate)),
    ]


def _term(number: str) -> str:
    """Write a number as a term of a sum: what is below zero stands in parentheses."""
    return f"(−{number[1:]})" if number.startswith("-") else number


def _quotient(figures: Figures) -> str:
    """Write the division that makes the break-even rate."""
    if not figures.units:
        return "there are no units to share the costs over"
    exact = EXACT.divide(figures.to_recover, figures.units)
    places = figures.places + FURTHER
    shown = exact.quantize(Decimal(1).scaleb(-places), context=EXACT)
    sign = "=" if shown == exact else "≈"
    divided = f"{_term(written(figures.to_recover, figures.currency))} ÷ {number_text(figures.units, grouped=True)}"
    if exact < 0:
        return f"{divided} is below zero: nothing is to be recovered"
    return f"{divided} {sign} {number_text(shown, grouped=True)}, to {figures.places} decimals, halves up"


def _equation(figures: Figures) -> dict[str, Any]:
    rows = [_row(label, value, below=how) for label, how, value in equation(figures)]
    return _table(
        "The equation",
        "Figure",
        ["Value"],
        rows,
        texts=["Break-even rate = (costs of the year − balance carried forward) ÷ units."],
    )


def _costs(title: str, costs: Sequence[Cost], figures: Figures, total: Decimal) -> dict[str, Any]:
    rows = [
        _row(
            each.name,
            rounded(each.amount, figures.currency),
            below=". ".join(filter(None, (str(CostPool.Kind(each.kind).label), of_whole(each, figures), each.note))),
        )
        for each in costs
    ]
    texts = [] if rows else ["No cost is entered that counts."]
    return _table(
        title,
        "Cost",
        [figures.currency] if rows else [],
        rows,
        total=_row("Total", rounded(total, figures.currency)) if rows else None,
        texts=texts,
    )


def of_whole(cost: Cost, figures: Figures) -> str:
    """Say which part of a shared cost a cost is, and who has the others; "" where it is not shared."""
    if cost.shared is None:
        return ""
    whole = cost.shared.whole
    amount = rounded(whole.amount + whole.excluded, figures.currency)
    return f"Part of {amount}: {cost.shared.said}"


def _excluded(figures: Figures) -> dict[str, Any]:
    """Return what is in no rate, apart from what is."""
    rows = []
    for each in figures.costs:
        if each.excluded:
            is_equipment = each.kind == CostPool.Kind.DEPRECIATION
            why = "Depreciation of what federal awards paid" if is_equipment else "Unallowable"
            below = ". ".join(filter(None, (why, of_whole(each, figures), each.note)))
            rows.append(_row(each.name, rounded(each.excluded, figures.currency), below=below))
    title = "Unallowable and excluded costs"
    if not rows:
        return _table(title, "", [], [], texts=["None is entered."])
    return _table(
        title,
        "Cost",
        [figures.currency],
        rows,
        total=_row("Total", rounded(figures.excluded, figures.currency)),
        texts=["They are in no rate."],
    )


def _depreciation(figures: Figures) -> dict[str, Any] | None:
    equipment = [each for each in figures.costs if each.cost is not None]
    if not equipment:
        return None
    currency, rows = figures.currency, []
    for each in equipment:
        years = f"{each.life_years} year{'' if each.life_years == 1 else 's'}"
        cost = each.cost or ZERO
        counted = rounded(cost - each.federally_funded, currency)
        rows.append(
            _row(
                each.name,
                rounded(cost, currency),
                rounded(each.federally_funded, currency),
                str(each.months),
                rounded(each.amount, currency),
                below=f"{counted} × {each.months} ÷ {each.life_years * 12} months: straight-line over {years}",
            )
        )
    total = sum((each.amount for each in equipment), ZERO)
    return _table(
        "Depreciation",
        "Equipment",
        ["Cost", "Federal part", "Months", "In the rate"],
        rows,
        total=_row("Total", "", "", "", rounded(total, currency)),
    )


def _use(figures: Figures) -> dict[str, Any]:
    title = "Use of the year"
    if not figures.use:
        return _table(title, "", [], [], texts=["No month of the year was priced."])
    currency, use = figures.currency, figures.use
    rows = [
        _row(
            long_month(each.month),
            *(for_people(quantity) for quantity in (each.units, each.free, each.held)),
            *(rounded(amount, currency) for amount in (each.listed, each.billed)),
        )
        for each in use
    ]
    sums = [sum((getattr(each, name) for each in use), ZERO) for name in ("units", "free", "held", "listed", "billed")]
    total = _row("Total", *map(for_people, sums[:3]), *(rounded(each, currency) for each in sums[3:]))
    return _table(title, "Month", ["Units", "Free", "Held", "List price", "Charged"], rows, total=total)


def _payers(figures: Figures) -> dict[str, Any]:
    def row(who: str, paid: Paid) -> dict[str, Any]:
        net = paid.rate(figures.places)
        return _row(who, for_people(paid.units), rounded(paid.charged, figures.currency), _rate(net))

    return _table(
        f"What a {figures.unit} cost whom",
        "Paid by",
        ["Units", "Charged", "Net rate"],
        [row("Federal awards", figures.sponsored), row("Other internal users", figures.others)],
        texts=[
            "After free amounts and subsidies. Federal awards may pay no more than other internal users. "
            "Affiliates and external users are left out."
        ],
    )


# What PIs would have paid -------------------------------------------------------------------------------

TRIED_TITLE = "What each PI would have paid"


def _tried(tried: Tried, studied: Studied) -> dict[str, Any]:
    currency = tried.currency
    rows = [
        _row(each.name or "No PI", *_owed(each.charged, currency), below=each.pi if each.pi != each.name else "")
        for each in tried.by_pi()
    ]
    months = ", ".join(f"{long_month(each.month)}" for each in tried.found) or "none"
    texts = [
        f"By {_rate(studied.figures.rate)} for each unit in place of the rates then. Free amounts, classes and "
        f"subsidies stay. Closed months: {months}. Nothing was changed.",
        *(line for line in trying_words.untried(tried).splitlines()),
    ]
    total = _row("Total", *_owed(tried.charged, currency)) if rows else None
    return _table(
        TRIED_TITLE, "PI", ["Charged", "Would be", "Difference"] if rows else [], rows, total=total, texts=texts
    )


def _owed(owed: Owed, currency: str) -> tuple[str, str, str]:
    return rounded(owed.now, currency), rounded(owed.then, currency), trying_words.signed(owed, currency)


def _rate(rate: Decimal | None) -> str:
    return number_text(rate, grouped=True) if rate is not None else "–"


def file_name(study: RateStudy, form: str) -> str:
    """Return the name of a study's file."""
    return f"rate_study_{study.rate}_{study.fiscal_year}.{form}"
