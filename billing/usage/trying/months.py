"""Trying other rates on one month of a feed after the other: priced, compared with its charges, charged to payers.

A month goes on from the one that was tried before it: its tiers, free amounts, caps and balances are those that the
tried rates would have left.
"""

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from ... import charging
from ...charging import Part
from ...errors import BillingError
from ...fields import from_units
from ...importing import foreseeing
from ...models import BillingPeriod, Charge, PayerLine, Policy, PricedMonth, RateSchedule, UsageFeed
from ...money import ZERO
from ...progress import Progress, unwatched
from ...readers import FileError
from ...texts import long_month
from .. import accounts, keeping, making, taking
from ..pricing.engine import Priced
from ..pricing.lines import By
from ..pricing.terms import Subsidy
from ..pricing.uses import Before
from ..terms import Terms, latest_of, terms_of, waits
from .results import Line, MonthTried, Owed, Payer, Totals, Tried


@dataclass(frozen=True)
class Other:
    """What is tried: a version of a schedule, a subsidy in place of the one of its code, or both."""

    schedule: RateSchedule | None = None
    subsidy: Subsidy | None = None
    # Names of feeds that the subsidy is for; none: all.
    feeds: tuple[str, ...] = ()
    # What people call it, where it is no version that is stored.
    label: str = ""

    def __str__(self) -> str:
        if self.label:
            return self.label
        named = [str(self.schedule)] if self.schedule else []
        return " and ".join([*named, *([f"the subsidy {self.subsidy.name}"] if self.subsidy else [])])


@dataclass
class _Chain:
    """What the months that were tried so far left for the next one of their feed."""

    last: datetime.date | None = None
    used: Before = field(default_factory=Before)
    # How much less was drawn from each balance than when the months were priced.
    left: dict[str, Decimal] = field(default_factory=dict)

    def goes_on(self, feed: UsageFeed, month: datetime.date) -> bool:
        """Tell whether no month between was priced and not tried."""
        if self.last is None:
            return False
        between = PricedMonth.objects.filter(feed=feed, period__month__gt=self.last, period__month__lt=month)
        return not between.exists()


def try_months(
    other: Other,
    wanted: Sequence[tuple[UsageFeed, datetime.date]],
    *,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Tried:
    """Return what months of feeds would be charged by other rates; nothing is stored.

    What keeps a month from being priced is told of that month, and the others are tried.
    """
    chains: dict[int, _Chain] = {}
    found = []
    in_order = sorted(wanted, key=lambda each: (each[0].name, each[1]))
    for number, (feed, month) in enumerate(in_order):
        progress(number, len(in_order), f"Trying {long_month(month)} of {feed.label}")
        found.append(_tried(other, feed, month, chains.setdefault(feed.pk, _Chain()), now))
    return Tried(str(other), Policy.objects.current().currency, tuple(found))


def _tried(other: Other, feed: UsageFeed, month: datetime.date, chain: _Chain, now: datetime.datetime) -> MonthTried:
    period = BillingPeriod.objects.get(month=month)
    latest = latest_of(feed, month)
    about = MonthTried(
        feed=feed.name,
        feed_label=feed.label,
        month=month,
        state=period.get_status_display(),
        priced_by=str(latest.schedule) if latest else "",
    )
    try:
        terms, notes = _terms(other, feed, month, latest, chain)
        with taking.scratch() as folder:
            made = making.made(feed, month, terms, making.files_of(feed, month), Path(folder))
            foreseen = foreseeing.foresee(path=made.rows, source=feed.source, period=period, now=now)
        standing = list(charging.parts_standing(feed.source, period))
        lines_now = charging.lines_foreseen(source=feed.source, period=period, parts=standing)
        lines_then = charging.lines_foreseen(
            source=feed.source, period=period, parts=foreseen.parts, newcomers=foreseen.newcomers
        )
    except BillingError as error:
        return replace(about, problem=str(error))
    except FileError as error:
        return replace(about, problem="; ".join(map(str, error.problems)))
    _go_on(chain, month, made.priced, latest)
    return replace(
        about,
        lines=tuple(lines_compared(lines_now, lines_then)),
        now=_now(standing, lines_now, latest),
        then=_then(foreseen.parts, lines_then, made.priced),
        units_now=tuple(latest.units) if latest and not waits(latest) else (),
        units_then=tuple(accounts.units_data(made.priced)),
        asked_again=foreseen.asked_again,
        asked_again_billed=foreseen.asked_again_billed,
        notes=(*notes, *foreseen.elsewhere),
    )


def _terms(
    other: Other, feed: UsageFeed, month: datetime.date, latest: PricedMonth | None, chain: _Chain
) -> tuple[Terms, tuple[str, ...]]:
    """Return the terms of a month by other rates, and what to know of them.

    A closed month keeps the subsidies and balances that it was priced with, so that nothing but what is tried differs.
    """
    terms, notes = terms_of(feed, month, schedule=other.schedule), []
    if latest and not latest.period.takes_changes:
        terms = replace(terms, subsidies=keeping.subsidies_of(latest), balances=keeping.balances_of(latest))
    if other.subsidy and (not other.feeds or feed.name in other.feeds):
        others = [each for each in terms.subsidies if each.code != other.subsidy.code]
        # What other feeds had of its cap counts as it was charged.
        had = next((each.elsewhere for each in terms.subsidies if each.code == other.subsidy.code), {})
        in_order = sorted([*others, replace(other.subsidy, elsewhere=had)], key=lambda each: (each.order, each.code))
        terms = replace(terms, subsidies=tuple(in_order))
    if chain.goes_on(feed, month):
        balances = tuple(
            replace(each, left=max(min(each.left + chain.left.get(each.code, ZERO), each.size), ZERO))
            for each in terms.balances
        )
        terms = replace(terms, before=chain.used, balances=balances)
    elif chain.last:
        chain.left.clear()
        notes.append(
            "A month before it was not tried: its tiers, free amounts and balances go on from what was charged."
        )
    if latest and waits(latest):
        notes.append("How it was priced last waits as a late change. It is compared with what is charged now.")
    return terms, tuple(notes)


def _go_on(chain: _Chain, month: datetime.date, priced: Priced, latest: PricedMonth | None) -> None:
    """Note what a month leaves for the next one."""
    for each in priced.balances:
        chain.left[each.code] = chain.left.get(each.code, ZERO) - each.drawn
    for drawn in latest.drawn if latest else ():
        if "balance" in drawn:
            code = drawn["balance"]
            chain.left[code] = chain.left.get(code, ZERO) + Decimal(drawn["quantity"])
    chain.last, chain.used = month, priced.used


def lines_compared(now: Iterable[PayerLine], then: Iterable[PayerLine]) -> Iterator[Line]:
    """Yield what each payer is charged and would be, of both sides' payer lines by their keys."""
    before, after = ({line.key: line for line in lines} for lines in (now, then))
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        yield Line(
            _payer_of(new or old),
            Owed(old.list_cost if old else ZERO, new.list_cost if new else ZERO),
            Owed(old.charged if old else ZERO, new.charged if new else ZERO),
        )


def _payer_of(line: PayerLine | None) -> Payer:
    assert line
    source = line.source
    return Payer(
        pi=line.pi.email if line.pi else "",
        pi_name=line.pi.display_name if line.pi else "",
        project=line.project.code if line.project else "",
        paid_by=line.paid_by,
        account="" if line.customer else line.natural_account,
        source=source.label,
        service=line.service_name,
        kind=line.kind,
        is_charged=line.kind in PayerLine.CHARGED,
        is_journaled=source.is_journaled and line.customer is None,
        recovery=(source.recovery_fund_org, source.recovery_account),
    )


def _totals(parts: Iterable[Part], lines: Iterable[PayerLine], **reductions: Decimal | None) -> Totals:
    listed = contracted = charged = held = rejected = ZERO
    count = 0
    for part in parts:
        count += part.sums.count
        listed += part.sums.list_cost
        contracted += part.sums.contracted_cost
        charged += part.sums.charged
        if part.state == Charge.State.HELD:
            held += part.sums.charged
        elif not part.is_charged:
            rejected += part.sums.charged
    # A funded subsidy is a part of what the others are not charged.
    cents = sum((line.charged for line in lines if line.kind != PayerLine.Kind.SUBSIDY), ZERO)
    return Totals(
        charges=count,
        listed=listed,
        class_price=listed - contracted,
        reduced=contracted - charged,
        held=held,
        rejected=rejected,
        charged=charged - held - rejected,
        cents=cents,
        **reductions,
    )


def _now(parts: Sequence[Part], lines: Sequence[PayerLine], latest: PricedMonth | None) -> Totals:
    """Return what a month comes to as it is. The last pricing knows which reduction is which, if it is charged."""
    found = _totals(parts, lines)
    if latest is None or waits(latest):
        return found
    sums = {"free": ZERO, "subsidy": ZERO}
    for each in latest.drawn:
        for name in sums:
            if name in each:
                sums[name] += Decimal(each["amount"])
    drawn = found.reduced - sums["free"] - sums["subsidy"]
    if drawn < 0 or (drawn and not any("balance" in each for each in latest.drawn)):
        return found
    return replace(found, free=sums["free"], drawn=drawn, subsidized=sums["subsidy"])


def _then(parts: Sequence[Part], lines: Sequence[PayerLine], priced: Priced) -> Totals:
    sums = dict.fromkeys(By, ZERO)
    for cause, amount in priced.reduced.items():
        sums[cause.by] += from_units(amount)
    return _totals(parts, lines, free=sums[By.FREE], drawn=sums[By.DRAWDOWN], subsidized=sums[By.SUBSIDY])
