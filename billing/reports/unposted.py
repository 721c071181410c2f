"""What is not posted yet, by who is to pay it: held for review, not journaled, or with the ledger and not answered."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from ..models import ExchangeRate, Import, MonthTotal, Source
from ..money import EXACT, ZERO
from ..texts import long_month
from ..trends import in_cents
from . import ledger
from .adding import rows_of, trend_of
from .asking import LABELS
from .departments import NONE
from .facts import FUND, Facts, narrowed
from .tables import Column, Report, total_of

KINDS = {"held": "Held for review", "pending": "Not journaled yet", "submitted": "Awaits the ledger"}
COLUMNS = (Column("unposted", "Not posted"), *(Column(name, label) for name, label in KINDS.items()))
AS_OF = (
    "As of now, of the months chosen: what was posted since is not in it. What is held counts as delivered, for the "
    "fund/org it names; one decision may send it elsewhere."
)
# What an amount is of: fund/org, source and month (ids).
Place = tuple[str, int, int]


def not_posted(facts: Facts) -> Report:
    """Return what of months is not in the ledger, by fund/org, month or source, in whole cents that add up."""
    by, currency = facts.asked.by, facts.policy.currency
    sources = {source.name: source for source in Source.objects.prefetch_related("measure_changes")}
    held, lacking = _held(facts, currency, list(sources.values()))
    found: dict[str, dict[Place, Decimal]] = {"held": in_cents(held, currency)[1], "pending": {}, "submitted": {}}
    told = ledger.unposted(list(facts.periods), currency)
    for each in told.rows:
        if not _is_wanted(facts, sources[each.source_name].pk, each.fund_org):
            continue
        place = (each.fund_org, sources[each.source_name].pk, each.period_id)
        for kind, amount in (("pending", each.pending), ("submitted", each.submitted)):
            found[kind][place] = found[kind].get(place, ZERO) + amount
    figures: dict[Any, list[Decimal]] = defaultdict(lambda: [ZERO] * len(COLUMNS))
    monthly: dict[str, dict[int, Decimal]] = {label: defaultdict(lambda: ZERO) for label in KINDS.values()}
    for number, (kind, amounts) in enumerate(found.items(), start=1):
        for (fund_org, source_id, period_id), amount in amounts.items():
            key = {"fund": f"{FUND}{fund_org}", "source": source_id or NONE, "month": period_id}[by]
            figures[key][0] += amount
            figures[key][number] += amount
            monthly[KINDS[kind]][period_id] += amount
    rows = rows_of(facts, by, {key: tuple(each) for key, each in figures.items() if any(each)}, COLUMNS)
    return Report(
        asked=facts.asked,
        currency=currency,
        columns=COLUMNS,
        rows=tuple(rows),
        total=total_of(COLUMNS, rows),
        heading=LABELS[by],
        currencies=(currency,),
        trend=trend_of(facts, monthly, currency, keeps=True),
        notes=(AS_OF, *lacking, *told.problems, *_waiting(facts)),
    )


def _is_wanted(facts: Facts, source_id: int, fund_org: str) -> bool:
    wanted = facts.asked.found
    return source_id == wanted.get("source", source_id) and fund_org == wanted.get("fund", fund_org)


def _held(facts: Facts, currency: str, sources: list[Source]) -> tuple[dict[Place, Decimal], list[str]]:
    """Return what is held of sources that are journaled, in the institution's currency, and which rates are missing."""
    totals: Any = narrowed(MonthTotal.objects.held(), facts.asked, facts.homes)
    priced = totals.filter(charged_in__in=list(facts.periods), source__is_journaled=True).priced(
        "fund_org", "source_id", "charged_in_id", "currency", "period_id", sources=sources
    )
    rates = {(each.period_id, each.currency): each.rate for each in ExchangeRate.objects.order_by()}
    found: dict[Place, Decimal] = defaultdict(lambda: ZERO)
    lacking = set()
    for (fund_org, source_id, charged_in, of, period_id), sums in priced.items():
        rate = Decimal(1) if of == currency else rates.get((period_id, of))
        if rate is None:
            lacking.add(of)
            continue
        place = (fund_org, source_id, charged_in)
        found[place] = EXACT.add(found[place], EXACT.multiply(sums.charged, rate))
    return found, [f"What is held in {of} has no exchange rate and is not counted." for of in sorted(lacking)]


def _waiting(facts: Facts) -> Iterator[str]:
    """Name the imports that wait: what they change is of no fund/org yet."""
    waiting = Import.objects.filter(state=Import.State.DEFERRED, scope_totals__period__in=list(facts.periods))
    if source := facts.asked.found.get("source"):
        waiting = waiting.filter(source=source)
    for each in waiting.distinct().order_by("pk").select_related("source").prefetch_related("scope_totals__period"):
        assert each.source
        months = sorted({total.period.month for total in each.scope_totals.all()})
        named = ", ".join(long_month(month) for month in months)
        yield f"Import {each.pk} of {each.source.label} for {named} waits: what it changes is not counted."
