"""What is not posted yet, by who is to pay it: held for review, not journaled, or with the ledger and not answered."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from ..models import BillingPeriod, Import, MonthTotal, Policy, Source
from ..money import ZERO, rounded
from ..texts import long_date, long_month
from ..trends import in_cents
from . import ledger
from .adding import rows_of, trend_of
from .asking import LABELS, moved
from .departments import NONE
from .facts import FUND, Facts, narrowed
from .held import Place, held
from .tables import Column, Report, total_of

KINDS = {"held": "Held for review", "pending": "Not journaled yet", "submitted": "Awaits the ledger"}
COLUMNS = (Column("unposted", "Not posted"), *(Column(name, label) for name, label in KINDS.items()))
AS_OF = "As of now, of the months chosen: what was posted since is not in it."
AS_OF_DAY = (
    "As of {day}, by posting dates: what journals of later dates have is not posted yet. Of that day nothing else is "
    "known: charges, decisions and rates are those of today, so that what was held or not imported then counts as it "
    "stands now."
)
HELD = "What is held counts as delivered, for the fund/org it names; one decision may send it elsewhere."


def not_posted(facts: Facts) -> Report:
    """Return what of months is not in the ledger, by fund/org, month or source, in whole cents that add up."""
    by, currency = facts.asked.by, facts.policy.currency
    sources = {source.name: source for source in Source.objects.prefetch_related("measure_changes")}
    totals: Any = narrowed(MonthTotal.objects.all(), facts.asked, facts.homes)
    of_months = totals.filter(charged_in__in=list(facts.periods))
    exact, lacking = held(of_months, currency, list(sources.values()))
    found: dict[str, dict[Place, Decimal]] = {"held": in_cents(exact, currency)[1], "pending": {}, "submitted": {}}
    told = ledger.unposted(list(facts.periods), currency, facts.asked.as_of)
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
        notes=(
            *(_when(facts), HELD, *lacking, *told.problems),
            *not_counted(facts.periods, facts.asked.found.get("source")),
            *accruals(facts.periods),
        ),
    )


def _is_wanted(facts: Facts, source_id: int, fund_org: str) -> bool:
    wanted = facts.asked.found
    return source_id == wanted.get("source", source_id) and fund_org == wanted.get("fund", fund_org)


def _when(facts: Facts) -> str:
    return AS_OF_DAY.format(day=long_date(facts.asked.as_of)) if facts.asked.as_of else AS_OF


def not_counted(periods: Mapping[int, BillingPeriod], source: int | None = None) -> Iterator[str]:
    """Name what months may still get, which is of no fund/org yet: imports that wait, and sources without any."""
    waiting = Import.objects.filter(state=Import.State.DEFERRED, scope_totals__period__in=list(periods))
    if source:
        waiting = waiting.filter(source=source)
    for each in waiting.distinct().order_by("pk").select_related("source").prefetch_related("scope_totals__period"):
        assert each.source
        months = sorted({total.period.month for total in each.scope_totals.all()})
        named = ", ".join(long_month(month) for month in months)
        yield f"Import {each.pk} of {each.source.label} for {named} waits: what it changes is not counted."
    for period, missing in not_imported(periods, source):
        month = long_month(period.month)
        yield f"Nothing of {missing.label} is imported for {month}: what it will bill is not counted."


def not_imported(
    periods: Mapping[int, BillingPeriod], source: int | None = None
) -> Iterator[tuple[BillingPeriod, Source]]:
    """Yield the sources that had charges the month before, and have none of a month that is not finalized."""
    unfinished = [each for each in periods.values() if each.status != BillingPeriod.Status.FINALIZED]
    months = {moved(each.month, back) for each in unfinished for back in (0, -1)}
    totals = MonthTotal.objects.filter(period__month__in=months, source__is_journaled=True)
    if source:
        totals = totals.filter(source=source)
    having = {(row["period__month"], row["source_id"]) for row in totals.summed("period__month", "source_id")}
    sources = Source.objects.in_bulk() if having else {}
    for each in unfinished:
        before = {pk for month, pk in having if month == moved(each.month, -1)}
        missing = [sources[pk] for pk in before if (each.month, pk) not in having]
        yield from ((each, source) for source in sorted(missing, key=lambda one: one.label))


def accruals(periods: Mapping[int, BillingPeriod]) -> Iterator[str]:
    """Name the accruals of months: they charge nobody, so that no figure has them."""
    currency = Policy.objects.current().currency
    for each in ledger.accrued(list(periods)):
        back = (
            f"{each.reversal} reverses it on {long_date(each.reversal_date)}"
            if each.reversal_date
            else "nothing reverses it yet"
        )
        yield (
            f"Accrual {each.number} has {rounded(each.amount, currency)} {currency} on {long_date(each.posting_date)}, "
            f"and {back}. It charges nobody and is in no figure here."
        )
