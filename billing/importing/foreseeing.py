"""What a file would make of a source's month, by who pays: compared as an import of it is, and nothing is stored.

Who pays stays what it is where a row is a charge that is known, as in a closed month. So a difference comes of the
amounts alone. A row that is new goes by its tags, rules and accounts, and is held for what an import would hold it for.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Q
from django.db.models.expressions import RawSQL

from ..attribution import OWNER_COLUMNS, known_people, known_projects, owner_values
from ..audit import Actor
from ..charging import Part, parts_standing, paying_split_in
from ..charging.month import Sums
from ..clocks import zone_named
from ..fields import from_units, moment_of, sum_sql, to_units, units_of_sum
from ..models import BillingPeriod, Charge, PayerSplit, Person, Policy, Source
from ..progress import Progress, unwatched
from . import comparing, differences, receiving
from .comparing import Compared
from .reading import Read
from .receiving import Request
from .staging import Stage
from .staging.figures import DISPLACED

# What a row that takes the place of a charge takes from it.
_INHERITED = ("pi_id", "project_id", "fund_org", "paying", "natural_account", "state", "shared_as")
_KNOWN = "(o.id IS NOT NULL AND (o.state <> 'held' OR o.attributed_by = 'decision'))"
_KEPT = (
    "FROM stage_keep k JOIN stage_row s ON s.row = k.row JOIN stage_product p ON p.number = s.product "
    "LEFT JOIN ({charges}) o ON o.id = k.replaces_id"
)
_DECIDED = ", ".join(f"'{state.value}'" for state in Charge.DECIDED)


@dataclass(frozen=True)
class Foreseen:
    """What a source's month would say: its charges by who pays, and the PIs among them that are not stored.

    `asked_again` are charges that somebody decided about and whose amount would move by more than the policy's
    tolerance: where the month takes changes, they would be held. They are counted as they were decided.
    """

    parts: tuple[Part, ...]
    newcomers: tuple[Person, ...] = ()
    asked_again: int = 0
    asked_again_billed: Decimal = Decimal(0)
    # What of the difference other months would bear, in sentences.
    elsewhere: tuple[str, ...] = ()


@contextmanager
def _compared(
    path: Path, source: Source, period: BillingPeriod, now: datetime.datetime, progress: Progress
) -> Iterator[tuple[Stage, Read, Compared]]:
    """Read a file and compare it with the charges of a source's month, of which it is the whole truth."""
    request = Request(
        paths=[path],
        names=[path.name],
        actor=Actor(name="nobody", via="trial"),
        now=now,
        progress=progress,
        replace=True,
        force=True,
    )
    received = receiving.identify(request, source, period.iso_month)
    with comparing.read_and_compared(received) as (stage, read, compared):
        stage.choose_all()
        yield stage, read, compared


def foresee(
    *,
    path: Path,
    source: Source,
    period: BillingPeriod,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Foreseen:
    """Return what a source's month would say if this file were all of it; nothing is stored.

    Raises FileError, or ImportRefused, as an import of it would.
    """
    with _compared(path, source, period, now, progress) as (stage, read, compared):
        progress(0, 0, "Adding up by who pays")
        displaced = Q(pk__in=RawSQL(DISPLACED, []))  # noqa: S611 (no value in it)
        parts = list(parts_standing(source, period, but=displaced))
        charges = _charges_sql(source, period)
        parts += _of_known(charges)
        newcomers = _newcomers(read)
        parts += _of_new(charges, read, {each.email: each.pk for each in newcomers})
        again, billed = _asked_again(charges) if period.takes_changes else (0, Decimal(0))
    elsewhere = tuple(line.strip() for line in differences.elsewhere_lines(compared.difference))
    return Foreseen(tuple(parts), tuple(newcomers), again, billed, elsewhere)


def _charges_sql(source: Source, period: BillingPeriod) -> tuple[str, tuple[Any, ...]]:
    """Return a query for who pays for each charge of a source's month."""
    charges = Charge.objects.filter(source=source, period=period).order_by().annotate(paying=paying_split_in(period))
    names = [*(name for name in _INHERITED if name != "paying"), "attributed_by", "billed_cost"]
    return charges.values("id", *names, "paying").query.sql_with_params()


def _rows(columns: Sequence[str], charges: tuple[str, tuple[Any, ...]], where: str, *params: Any) -> Iterator[Any]:
    """Yield what rows that become charges are alike in, by some columns, and their sums."""
    sql, given = charges
    sums = ", ".join(
        sum_sql(f"coalesce({name}, 0)", connection.vendor)
        for name in ("s.list_cost", "s.contracted_cost", "s.billed_cost")
    )
    by = ", ".join(columns)
    grouped = f"GROUP BY {by}" if columns else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {by}{', ' if columns else ''}count(*), {sums} {_KEPT.format(charges=sql)} WHERE {where} {grouped}",
            [*given, *params],
        )
        for *key, count, listed, contracted, billed in cursor.fetchall():
            listed, contracted, billed = (from_units(units_of_sum(each) or 0) for each in (listed, contracted, billed))
            yield key, Sums(listed, contracted, billed, count)


def _of_known(charges: tuple[str, tuple[Any, ...]]) -> Iterator[Part]:
    """Yield the rows that take the place of charges, paid by whoever pays for these."""
    columns = ["p.service_name", "p.subsidy_fund_org", "s.currency", *(f"o.{name}" for name in _INHERITED)]
    for (service, funder, currency, *inherited), sums in _rows(columns, charges, _KNOWN):
        pi_id, project_id, fund_org, split_id, account, state, shared_as = inherited
        yield Part(service, pi_id, project_id, fund_org, split_id, account, currency, state, shared_as, funder, sums)


def _of_new(charges: tuple[str, tuple[Any, ...]], read: Read, newcomers: Mapping[str, int]) -> Iterator[Part]:
    """Yield the rows that are new, paid by whoever their tags, rules and accounts say."""
    people = known_people(sorted({each.pi_email for each in read.attributions if each.pi_email})) | dict(newcomers)
    projects = known_projects()
    splits: dict[int, list[PayerSplit]] = defaultdict(list)
    for split in PayerSplit.objects.of_projects():
        splits[split.project_id or 0].append(split)
    zone = zone_named(read.zone)
    columns = ["p.service_name", "p.subsidy_fund_org", "s.currency", "s.attribution", "s.state"]
    # Days matter where a split holds from a day on.
    columns += ["s.charge_period_start"] if splits else []
    for (service, funder, currency, number, state, *start), sums in _rows(columns, charges, f"NOT {_KNOWN}"):
        values = owner_values(read.attributions[number], people=people, projects=projects)
        owner: dict[str, Any] = dict(zip(OWNER_COLUMNS, values, strict=True))
        own = splits.get(owner["project_id"] or -1, ())
        holding = PayerSplit.holding_on(moment_of(start[0]).astimezone(zone).date(), own) if own else None
        yield Part(
            service,
            owner["pi_id"],
            owner["project_id"],
            owner["fund_org"],
            holding.pk if holding else None,
            owner["natural_account"],
            currency,
            state,
            owner["shared_as"],
            funder,
            sums,
        )


def _newcomers(read: Read) -> list[Person]:
    """Return the PIs that an import would add, under ids that no stored one has."""
    emails = sorted({each.pi_email for each in read.attributions if each.pi_email})
    unknown = sorted(set(emails) - known_people(emails).keys())
    return [Person(pk=-number, email=email) for number, email in enumerate(unknown, start=1)]


def _asked_again(charges: tuple[str, tuple[Any, ...]]) -> tuple[int, Decimal]:
    """Return how many charges an import would have somebody look at once more, and what is billed for them."""
    tolerance = to_units(Policy.objects.current().amount_tolerance)
    # Two amounts can be further apart than 64 bits hold.
    exact = "::numeric" if connection.vendor == "postgresql" else ""
    moved = f"o.state IN ({_DECIDED}) AND abs(s.billed_cost{exact} - o.billed_cost) > %s"
    ((_, sums),) = _rows([], charges, moved, tolerance)
    return sums.count, sums.charged
