"""Records and terms to price in tests, and an independent pricing of them: slow, one record at a time, in fractions."""

import datetime
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from billing.usage.aside import BLOCK
from billing.usage.pricing.engine import Priced, price
from billing.usage.pricing.lines import LINES, REDUCTIONS
from billing.usage.pricing.terms import (
    ClassKind,
    Combine,
    Count,
    Payer,
    Rate,
    RateClass,
    Schedule,
    Scope,
    Threshold,
    Tier,
    Tiering,
)
from billing.usage.records import Measure, RecordsInMemory, Shape

HOUR = 3600
MONTH = datetime.date(2026, 7, 1)
JOBS = Shape(
    attributes=("partition",),
    measures=(
        Measure("core_seconds", {"core-hour": HOUR}),
        Measure("gpu_seconds", {"GPU-hour": HOUR}),
        Measure("memory", {"GiB-hour": 1024 * HOUR}),
        Measure("elapsed_seconds", {"hour": HOUR}),
    ),
)
ADA, BOB, STRANGER = Payer(pi="ada@u.edu", project="genomics"), Payer(pi="bob@u.edu", project="climate"), Payer()
COMPANY = Payer(pi="cyd@corp.com", project="drugs", rate_class="company")
AFFILIATE = Payer(pi="dee@lab.org", project="oceans", rate_class="affiliate")
CLASSES = (
    RateClass("affiliate", ClassKind.AFFILIATE, Decimal("87.5")),
    RateClass("company", ClassKind.EXTERNAL, Decimal("133.3"), Decimal("26.5")),
)
CORE_HOURS = (Count("core_seconds", "core-hour"),)


def start_of(month):
    return int(datetime.datetime.combine(month, datetime.time(), datetime.UTC).timestamp())


def a_record(number=1, *, month=MONTH, payer=0, free="", partition="cpu", start=None, seconds=HOUR, **measures):
    """Return one record of a month; `number` makes its id and, unless `start` is said, its hour."""
    start = start_of(month) + (number % 700) * HOUR if start is None else start
    return {
        "id": f"job-{number}",
        "start": start,
        "end": start + seconds,
        "account": "",
        "user": "",
        "resource": f"hpc/{partition}",
        "free": free,
        "partition": partition,
        "core_seconds": 0,
        "gpu_seconds": 0,
        "memory": 0,
        "elapsed_seconds": seconds,
        "payer": payer,
        **measures,
    }


def table_of(records, shape=JOBS):
    schema = shape.schema.append(pa.field("payer", pa.int32(), nullable=False))
    return pa.Table.from_pylist(
        [{name: each.get(name, "" if name != "payer" else 0) for name in schema.names} for each in records], schema
    )


def a_rate(*prices, code="cpu", counts=CORE_HOURS, unit="core-hour", tiers=(), **fields):
    """Return a rate with `tiers`, or with a price each, but for the last one with (price, up to)."""
    tiers = tiers or tuple(
        Tier(*map(Decimal, each)) if isinstance(each, tuple) else Tier(Decimal(each)) for each in prices
    )
    return Rate(code=code, service="HPC", counts=counts, unit=unit, tiers=tiers, **fields)


def priced(records, *rates, payers=(ADA, BOB, STRANGER), classes=(), shape=JOBS, month=MONTH, size=BLOCK, **terms):
    """Price records as lists, in blocks of a size; `rates` make the schedule."""
    schedule = Schedule("Rates", 1, rates, classes)
    given = {"shape": shape, "payers": payers, "schedule": schedule, "month": month, **terms}
    return whole(RecordsInMemory(table_of(records, shape), size), **given)


@dataclass
class Whole:
    """A priced month with all its lines in one table, which name records by their places in the month."""

    lines: pa.Table
    reductions: pa.Table
    workings: pa.Table
    came_to: Priced

    def __getattr__(self, name):
        return getattr(self.came_to, name)


def whole(records, **given):
    """Price records, and put the lines of all blocks together."""
    with tempfile.TemporaryDirectory() as scratch:
        made = price(records=records, scratch=Path(scratch), **given)
        lines, reductions, workings = [LINES.empty_table()], [REDUCTIONS.empty_table()], []
        for block in made.blocks(["id"]):
            before, (some, reduced, how) = sum(each.num_rows for each in lines), block.of
            lines.append(moved(some, "record", block.first))
            reductions.append(moved(reduced, "line", before))
            workings.append(how)
        tables = (pa.concat_tables(each).unify_dictionaries() for each in (lines, reductions, workings))
        return Whole(*tables, made)


def moved(table, name, by):
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), pc.add(table.column(name), by))


def totals(made, kind=None):
    """Return list, contracted and billed amounts of lines, exactly."""
    rows = [each for each in made.lines.to_pylist() if kind in (None, each["kind"])]
    return tuple(money(sum(each[name] for each in rows)) for name in ("list", "contracted", "billed"))


def money(value):
    """Return a whole number of 10^-8 as a Decimal without zeros that say nothing."""
    return Decimal(f"{Decimal(value).scaleb(-8).normalize():f}")


# ---- The independent pricing


def cents(amount):
    """Round an exact amount to 10^-8, halves to even, as a whole number of them."""
    return round(Fraction(amount) * 10**8)


@dataclass
class Slow:
    """Lines by (record id, rate, kind), as (list, contracted, billed), and what balances have left."""

    lines: dict = field(default_factory=dict)
    balances: dict = field(default_factory=dict)


@dataclass
class Open:
    """A line while it is made."""

    key: tuple
    payer: Payer
    rate: Rate
    turn: tuple
    listed: int
    contracted: int
    left: int
    units: Fraction = Fraction(0)
    kind: str = "usage"
    until: object = None
    drawn: Fraction = Fraction(0)

    def __post_init__(self):
        self.opened = self.left


def fits(when, record):
    return all(any(fnmatchcase(record[name], one) for one in each) for name, each in when.items())


def is_priced(rate, record):
    return fits(rate.when, record) and any(fits(count.when, record) for count in rate.counts)


def quantity_of(rate, record, shape):
    found = []
    for count in rate.counts:
        measured = Fraction(record[count.measure], shape.measure(count.measure).units[count.unit])
        hours = Fraction(record["elapsed_seconds"], HOUR)
        if (count.step or count.at_least) and hours:
            level = max(measured / hours, Fraction(count.at_least or 0))
            if count.step:
                level = -(-level // Fraction(count.step)) * Fraction(count.step)
            measured = level * hours
        elif count.step or count.at_least:
            measured = Fraction(0) if count.step else measured
        if not fits(count.when, record):
            measured = Fraction(0)
        found.append(measured * Fraction(count.factor) / Fraction(count.per))
    return max(found) if rate.combine is Combine.MAX else sum(found)


def cost(rate, tiers, use, in_all):
    """Return what so many units cost from the first one on, walking up the tiers."""
    if rate.tiering is Tiering.VOLUME:
        price = next(each.price for each in tiers if each.up_to is None or in_all <= each.up_to)
        return use * Fraction(price) / Fraction(rate.per)
    charged, left, top = Fraction(0), use, Fraction(0)
    for tier in tiers:
        price = Fraction(tier.price) / Fraction(rate.per)
        room = left
        if tier.up_to is not None:
            is_money = rate.threshold is Threshold.AMOUNT
            room = (Fraction(tier.up_to) - charged) / price if is_money else Fraction(tier.up_to) - top
        part = min(left, room)
        charged, left, top = charged + part * price, left - part, top + part
        if not left:
            break
    return charged


def whole_steps(rate, use, free):
    if rate.step is None or use <= free:
        return use
    return free + -(-(use - free) // Fraction(rate.step)) * Fraction(rate.step)


def slowly(records, *rates, payers, classes=(), shape=JOBS, subsidies=(), balances=()):
    """Price one month of which nothing was before."""
    made = Slow()
    known = {each.name: each for each in (RateClass(""), *classes)}
    some = [line for rate in rates for line in _lines_of(rate, rates, records, payers, known, shape)]
    some.sort(key=lambda each: each.turn)
    for balance in sorted((each for each in balances if each.unit), key=lambda each: (each.order, each.code)):
        _draw_units(made, some, balance)
    for subsidy in sorted(subsidies, key=lambda each: (each.order, each.code)):
        _subsidize(some, subsidy, known)
    some += _indirect(some, known)
    some.sort(key=lambda each: each.turn)
    for balance in sorted((each for each in balances if not each.unit), key=lambda each: (each.order, each.code)):
        left = cents(balance.left)
        for each in some:
            if _may_draw(balance, each):
                taken = min(each.left, left)
                each.left, left = each.left - taken, left - taken
        made.balances[balance.code] = Fraction(left, 10**8)
    made.lines = {each.key: (each.listed, each.contracted, each.left) for each in some}
    return made


def _lines_of(rate, rates, records, payers, known, shape):
    place = rates.index(rate)
    groups = defaultdict(list)
    for record in records:
        if not is_priced(rate, record):
            continue
        payer = payers[record["payer"]]
        is_external = known[payer.rate_class].kind is ClassKind.EXTERNAL
        apart = (record["free"] if record["free"] == "internal" else "none") if record["free"] else is_external
        groups[payer.scope(rate.scope), apart].append(record)
    for (scope, apart), members in sorted(groups.items(), key=lambda each: (each[0][0], str(each[0][1]))):
        members.sort(key=lambda each: (each["end"], each["start"], each["id"]))
        is_known = rate.scope is Scope.FEED or scope != ""
        free = Fraction(rate.free) if apart is False and is_known else Fraction(0)
        in_all = whole_steps(rate, sum(quantity_of(rate, each, shape) for each in members), free)
        use, charged, made = Fraction(0), 0, []
        for record in members:
            begin, use = use, use + quantity_of(rate, record, shape)
            lines = _of_record(rate, record, payers, known, (begin, use), free, in_all, apart, place)
            made += lines
            charged += sum(each.left for each in lines)
        yield from made
        is_charged = apart in (False, True) and is_known and any(each.units > 0 for each in made)
        if rate.minimum is not None and is_charged and cents(rate.minimum) > charged:
            by_record = defaultdict(int)
            for each in made:
                by_record[each.key[0]] += each.left
            most = max(by_record.values())
            payer = next(each.payer for each in made if by_record[each.key[0]] == most)
            short = cents(rate.minimum) - charged
            key = (f"minimum of {scope}, {apart}", rate.code, "minimum")
            yield Open(key, payer, rate, (1, 0, 0, "", place, 2), short, short, short, kind="minimum")


def _of_record(rate, record, payers, known, use, free, in_all, apart, place):
    payer = payers[record["payer"]]
    rate_class = known[payer.rate_class]
    begin, end = (whole_steps(rate, each, free) for each in use)
    free_begin, free_end = (min(each, free) for each in use)

    def listed(at):
        return cents(cost(rate, rate.tiers, at, in_all))

    def of_class(at):
        if rate_class.name in rate.prices:
            return cents(cost(rate, rate.prices[rate_class.name], at, in_all))
        return round(Fraction(listed(at)) * Fraction(rate_class.percent) / 100)

    def until(units):
        at = begin + free_end - free_begin
        part, asked = listed(at + units) - listed(at), of_class(at + units) - of_class(at)
        return min(part, asked), asked - min(part, asked)

    whole = listed(end) - listed(begin)
    whole_free = listed(free_end) - listed(free_begin)
    asked, asked_free = of_class(end) - of_class(begin), of_class(free_end) - of_class(free_begin)
    contracted_free = min(whole_free, asked_free)
    contracted = min(whole - whole_free, asked - asked_free)
    surcharge = asked - asked_free - contracted
    turn = (0, record["end"], record["start"], record["id"], place)
    units = end - begin - (free_end - free_begin)
    if apart == "none":
        whole = contracted = contracted_free = surcharge = 0
    if apart in ("none", "internal"):
        units = Fraction(0)
    paid = 0 if apart == "internal" else contracted
    key = (record["id"], rate.code)
    lines = [
        Open((*key, "usage"), payer, rate, (*turn, 0), whole, contracted_free + contracted, paid, units, until=until),
    ]
    if surcharge and apart != "internal":
        lines.append(
            Open((*key, "surcharge"), payer, rate, (*turn, 1), surcharge, surcharge, surcharge, kind="surcharge")
        )
    return lines


def _may_draw(balance, each):
    return (
        (not balance.rates or each.rate.code in balance.rates)
        and balance.unit in ("", each.rate.unit)
        and each.payer.scope(balance.scope) == balance.owner
        and (balance.owner != "" or balance.scope is Scope.FEED)
        and each.left > 0
    )


def _draw_units(made, some, balance):
    left = Fraction(balance.left)
    by_key = {each.key: each for each in some}
    for each in some:
        if each.kind != "usage" or not each.units:
            continue
        also = by_key.get((*each.key[:2], "surcharge"))
        if not (_may_draw(balance, each) or (also and _may_draw(balance, also))):
            continue
        taken = min(each.units, left)
        each.drawn += taken
        if taken:
            # Its first units, at the price of their tiers.
            paid, surcharge = each.until(each.drawn)
            each.left = 0 if taken == each.units else each.opened - min(paid, each.opened)
            if also:
                also.left = 0 if taken == each.units else also.opened - min(surcharge, also.opened)
        each.units, left = each.units - taken, left - taken
    made.balances[balance.code] = left


def _subsidize(some, subsidy, known):
    seen, used = defaultdict(int), defaultdict(int)
    for each in some:
        scope = each.payer.scope(subsidy.scope)
        rate_class = known[each.payer.rate_class]
        is_of_class = (
            rate_class.name in subsidy.classes if subsidy.classes else rate_class.kind is not ClassKind.EXTERNAL
        )
        if (
            each.kind not in ("usage", "minimum")
            or not is_of_class
            or (subsidy.rates and each.rate.code not in subsidy.rates)
            or (subsidy.scopes and scope not in subsidy.scopes)
            or (scope == "" and subsidy.scope is not Scope.FEED)
        ):
            continue
        seen[scope] += each.left
        whole = round(Fraction(seen[scope]) * Fraction(subsidy.percent) / 100)
        now = whole if subsidy.cap is None else min(whole, cents(subsidy.cap))
        each.left -= now - used[scope]
        used[scope] = now


def _indirect(some, known):
    seen = defaultdict(int)
    found = []
    for each in some:
        percent = Fraction(known[each.payer.rate_class].indirect_percent) / 100
        key = (each.payer, each.rate.code)
        before = round(seen[key] * percent)
        seen[key] += each.left
        if short := round(seen[key] * percent) - before:
            name = (each.key[0], each.rate.code, f"indirect of {each.kind}")
            found.append(Open(name, each.payer, each.rate, (*each.turn[:-1], 3), short, short, short, kind="indirect"))
    return found
