"""From a charge of usage to what it was made of: the row as it was priced, its records, and the line of its rates."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils import timezone

from ..errors import BillingError
from ..models import Charge, Policy, PricedMonth, UsageFeed
from ..texts import long_moment, long_month, shown
from ..usage import equations, found, keeping
from ..usage.found import HIDDEN, Row, UsageRecord
from ..usage.pricing.explaining import Explanation, explained
from ..usage.pricing.terms import Scope
from ..usage.terms import rates_of

# So many records of a charge are told at once.
RECORDS = 50
# What people call a record, by the kind of its feed.
NOUNS = {"slurm": "Job", "litellm": "Call", "openai": "Calls", "azure_openai": "Call", "storage": "Volume"}


@dataclass(frozen=True)
class TracedUsage:
    """How a charge of usage was priced.

    `records` are what it was made of, where one charge is asked for; `record_count` says how many there are in all.
    `problem` says why something cannot be told, or that what is told does not come to what is charged.
    """

    priced: PricedMonth
    row: Row
    rate: str
    sentences: tuple[str, ...]
    why: Explanation | None
    problem: str = ""
    records: tuple[UsageRecord, ...] = ()
    record_count: int = 0
    page: int = 1
    pages: int = 1

    @property
    def noun(self) -> str:
        """What a record of its feed is called."""
        return NOUNS.get(self.priced.terms["feed"]["kind"], "Record")

    @property
    def rate_told(self) -> str:
        """What its use cost, by which version of the rates: `550 core-hours at 0.1 per core-hour, by hpc v1`."""
        told = equations.prices(self.why) if self.why and self.why.kind in ("usage", "surcharge") else ""
        return f"{told}, by {self.priced.schedule}" if told else f"by {self.priced.schedule}"

    @property
    def headline(self) -> str:
        """The record and what priced it, in a line."""
        start, end = (long_moment(timezone.localtime(each)) for each in (self.row.start, self.row.end))
        record = f"{shown(self.row.record)}, {shown(self.row.resource)}".strip(", ")
        user = f", user {shown(self.row.user)}" if self.row.user else ""
        when = f"{start} to {end}"
        return (
            f"{record}{user}, {when}, by {self.rate} of {self.priced.schedule}"
            if record
            else (f"no single record, {when}, by {self.rate} of {self.priced.schedule}")
        )

    @property
    def schedule_line(self) -> str:
        """Which version of which schedule priced it, and from when it is in force."""
        schedule = self.priced.schedule
        told = f"{self.rate} of {schedule.name}, version {schedule.version}, from {long_month(schedule.valid_from)}"
        if schedule.released_at:
            told += f", put in force on {long_moment(timezone.localtime(schedule.released_at))}"
        return told + (f" by {schedule.released_by}" if schedule.released_by else "")

    def as_data(self) -> dict[str, Any]:
        priced, row = self.priced, self.row
        return {
            "feed": priced.feed.name,
            "priced_month": priced.pk,
            "priced_at": priced.priced_at,
            "priced_by": priced.priced_by_name,
            "record": row.record or None,
            "resource": row.resource or None,
            "account": row.account or None,
            "user": row.user or None,
            "start": row.start,
            "end": row.end,
            "schedule": priced.schedule.name,
            "version": priced.schedule.version,
            "valid_from": priced.schedule.valid_from,
            "rate": self.rate,
            "equation": list(self.sentences),
            "figures": _figures(self.why) if self.why else None,
            "problem": self.problem or None,
            "records": [each.as_data() for each in self.records],
            "record_count": self.record_count,
            "files": [file_data(each) for each in self.files],
        }

    @property
    def files(self) -> list[Any]:
        """The usage files of these records, each once."""
        return list({each.file.pk: each.file for each in self.records}.values())

    def as_text(self) -> str:
        lines = [f"  usage of {self.priced.feed.name}: {self.headline}"]
        if self.problem:
            lines.append(f"    {self.problem}")
        if self.records:
            lines.append(f"    priced by {self.schedule_line}")
        lines += [f"    {each}" for each in self.sentences]
        for each in self.records:
            lines.append(f"    {record_text(each)}")
        for file in self.files:
            read = long_moment(timezone.localtime(file.read_at))
            by = file.read_by_name or "nobody named"
            lines.append(
                f"    usage file {file.pk}: {shown(file.name)}, read {read} by {by}, SHA-256 {file.original_sha256}"
            )
        return "\n".join(lines)


def record_text(record: UsageRecord) -> str:
    """Say what a record has, in a line."""
    start, end = long_moment(record.start), long_moment(record.end)
    when = start if record.start == record.end else f"{start} to {end}"
    readings = f", {record.readings:,} readings" if record.readings > 1 else ""
    told = [shown(record.id), *map(shown, record.attributes.values()), when + readings, *record.measures]
    told += [f"free: {record.free}"] if record.free else []
    told += [] if record.counts else ["completed by a later line"]
    return f"record in file {record.file.pk}: {', '.join(told)}"


def file_data(file: Any) -> dict[str, Any]:
    """Return a usage file as --json has it."""
    return {
        "file": file.pk,
        "name": file.name,
        "sha256": file.original_sha256,
        "records_sha256": file.records_file.sha256,
        "read_at": file.read_at,
        "read_by": file.read_by_name,
    }


def _figures(why: Explanation) -> dict[str, Any]:
    """Return the figures of an equation: quantities in units of the rate, as exact fractions where they are none."""
    return {
        "unit": why.rate.unit,
        "scope": why.rate.scope,
        "of": why.scope,
        "span": why.rate.span,
        "used": str(why.use),
        "before": str(why.before),
        "after": str(why.after),
        "free": {"of": str(why.free), "before": str(why.free_before), "after": str(why.free_after)},
        "step": why.rate.step,
        "minimum": why.rate.minimum,
        "tiers": [
            {
                "tier": each.tier,
                "price": each.price,
                "per": why.rate.per,
                "quantity": str(each.quantity),
                "amount": each.amount,
            }
            for each in why.tiers
        ],
        "rounding": why.rounding,
        "class": why.rate_class.name or None,
        "percent": why.rate_class.percent,
        "surcharge": why.surcharge,
        "reductions": [
            {
                "by": each.by,
                "code": each.code,
                "fund_org": each.fund_org or None,
                "quantity": each.quantity,
                "amount": each.amount,
                "used": each.used,
                "of": each.of,
                "left": each.left,
            }
            for each in why.reductions
        ],
        "list": why.row[0],
        "contracted": why.row[1],
        "billed": why.row[2],
    }


def usage_of(charges: Iterable[Charge], *, with_records: bool = False, page: int = 1) -> Mapping[int, TracedUsage]:
    """Return how charges of usage were priced, by their ids. Of other charges, and where there are none, nothing.

    `charges` are as they were imported: one that reverses another stands in no row. `with_records`, a page of their
    records is looked up.
    """
    of_usage = [each for each in charges if _feed_of(each)]
    if not of_usage:
        return {}
    months = keeping.pricings_that_became({each.imported_in_id for each in of_usage})
    shows_users = Policy.objects.current().shows_users
    traced: dict[int, TracedUsage] = {}
    for number, priced in months.items():
        mine = {each.line_number - 1: each for each in of_usage if each.imported_in_id == number}
        try:
            rows = found.rows_of(priced, mine)
        except OSError:
            continue
        for place, row in rows.items():
            one = _traced(priced, row, mine[place], shows_users=shows_users)
            if with_records:
                one = _with_records(one, row, page, shows_users=shows_users)
            traced[mine[place].pk] = one
    return traced


def usage_of_charges(charges: Collection[int]) -> Mapping[int, TracedUsage]:
    """Return how charges, by their ids, were priced; one query where none of them is of usage."""
    found_ones = Charge.objects.filter(pk__in=charges, source__usage_feed__isnull=False)
    listed = list(found_ones.select_related("source__usage_feed", "reverses__source__usage_feed"))
    origins = {each.pk: each.reverses or each for each in listed}
    usage = usage_of(origins.values())
    return {pk: usage[origin.pk] for pk, origin in origins.items() if origin.pk in usage}


def _feed_of(charge: Charge) -> UsageFeed | None:
    return getattr(charge.source, "usage_feed", None)


def _traced(priced: PricedMonth, row: Row, charge: Charge, *, shows_users: bool) -> TracedUsage:
    rate = str(row.working["rate"])
    hidden = row if shows_users else _hidden(row)
    try:
        terms = keeping.terms_of(priced)
        why = explained(
            row.working,
            rates_of(priced.schedule),
            subsidies=terms.subsidies,
            balances=terms.balances,
        )
    except BillingError as error:
        return TracedUsage(priced, hidden, rate, (), None, str(error))
    problem = ""
    if charge.row_count == 1 and not why.adds_up(
        charge.list_cost or why.row[0], charge.contracted_cost or why.row[1], charge.billed_cost
    ):
        problem = "This does not come to what the charge lists, contracts and bills. See the reconciliation."
    if why.rate.scope is Scope.USER and not shows_users:
        why = replace(why, scope="one user")
    told = equations.sentences(why, currency=charge.currency, reason=row.reason)
    return TracedUsage(priced, hidden, rate, tuple(told), why, problem)


def _hidden(row: Row) -> Row:
    """Return a row without the user, of whom an id may have the name, too."""
    return replace(row, user="", record=row.record.replace(row.user, HIDDEN) if row.user else row.record)


def _with_records(traced: TracedUsage, row: Row, page: int, *, shows_users: bool) -> TracedUsage:
    if not row.record:
        return traced
    try:
        records = found.records_behind(traced.priced, row)
    except (OSError, BillingError) as error:
        return replace(traced, problem=f"Its records cannot be read: {error}")
    pages = max(-(-len(records) // RECORDS), 1)
    page = min(max(page, 1), pages)
    shown_ones = records[(page - 1) * RECORDS : page * RECORDS]
    if not shows_users:
        shown_ones = [
            replace(each, user="", id=each.id.replace(each.user, HIDDEN) if each.user else each.id)
            for each in shown_ones
        ]
    return replace(traced, records=tuple(shown_ones), record_count=len(records), page=page, pages=pages)
