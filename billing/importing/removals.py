"""What a snapshot no longer has: which charges it removes, which it leaves alone, and what has to be asked first."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from django.db.models import Count

from ..models import BillingPeriod, Charge, Import, ImportTotal, Source
from ..readers.facts import month_number
from ..readers.spelling import same_id
from . import doubts, late, other_sources
from .doubts import Doubt
from .outcomes import Counts
from .partitions import Partitions, numbers_of
from .reading import Read
from .receiving import Received
from .staging import Stage, figures

# Ids handed to a temporary table at once.
CHUNK = 20_000

Periods = Mapping[datetime.date, BillingPeriod]


@dataclass(frozen=True)
class Removed:
    """How many charges leave by the id of their period, what is doubtful, and what was answered to it."""

    by_period: Mapping[int, int]
    doubts: tuple[Doubt, ...]
    missing: str


def stage_removals(
    received: Received, read: Read, stage: Stage, gone: Partitions, *, periods: Periods, counts: Counts
) -> Removed:
    """Stage the removal of charges that a snapshot lacks (`gone`), and say where it may not be whole.

    Raises OfAnotherSource where hardly any of its rows is like what is there.
    """
    request = received.request
    for ids in numbers_of(gone):
        for start in range(0, len(ids), CHUNK):
            stage.fill("stage_gone", [ids[start : start + CHUNK].tolist()], ("charge_id",))
    # Accounts count in the form that all their spellings share.
    leaving = [doubts.Gone(*row) for row in figures.gone(stage)]
    leaving = [replace(each, account=same_id(each.account)) for each in leaving]
    found = _doubts_of_accounts(received.source, read, stage, leaving, periods)
    missing = request.missing
    if not (request.replace or missing or request.is_again) and _was_kept(received, periods):
        missing = Import.Missing.KEEP
    is_answered = bool(request.replace or missing)
    if found and not is_answered and not request.force and not _is_alike(received.source, read, periods, counts):
        raise other_sources.of_another_source("none of its rows is like what is there", received, read)
    if missing == Import.Missing.KEEP:
        stage.spare_all()
    by_period = figures.gone_by_period(stage)
    if is_answered or not by_period:
        return Removed(by_period, (), missing)
    return Removed(by_period, tuple(_doubts_of_parts(stage, leaving, found, periods)), missing)


def _doubts_of_accounts(
    source: Source, read: Read, stage: Stage, leaving: Collection[doubts.Gone], periods: Periods
) -> list[doubts.Doubt]:
    """Return a reason for each account that is missing, or loses more than half.

    An account that always came in files of its own is not these files' to remove.
    """
    accounts: dict[int, set[str]] = {}
    for month, account, _ in read.totals:
        if month in periods:
            accounts.setdefault(periods[month].pk, set()).add(same_id(account))
    sums = doubts.by_account(leaving)
    found: list[doubts.Doubt] = []
    for period in periods.values():
        delivered = accounts.get(period.pk, set())
        charges = Charge.objects.live().filter(source=source, period=period)
        counts = charges.values_list("account__billing_account_id").annotate(count=Count("id"))
        live: dict[str, int] = {}
        spellings: dict[str, list[str]] = {}
        for spelled, count in counts.order_by("account__billing_account_id"):
            live[same_id(spelled)] = live.get(same_id(spelled), 0) + count
            spellings.setdefault(same_id(spelled), []).append(spelled)
        together = _delivered_together(source, period, delivered)
        for account in sorted(live.keys() - delivered):
            if account in together:
                found.append(doubts.of_account(period, account, live[account], sums[period.pk, account]))
                continue
            for spelled in spellings[account]:
                stage.spare(period, spelled)
        for account in sorted(delivered & set(live)):
            found += doubts.of_most(period, account, live[account], sums[period.pk, account])
    return found


def _doubts_of_parts(
    stage: Stage, leaving: Collection[doubts.Gone], found: Collection[doubts.Doubt], periods: Periods
) -> list[doubts.Doubt]:
    """Return the reasons found so far, those of days and sub accounts that are missing, and of rows written anew."""
    months = {month_number(month): period for month, period in periods.items()}
    present = (
        doubts.Present(months[month].pk, same_id(account), *of)
        for month, account, *of in figures.present(stage, months)
    )
    all_found = [*found, *doubts.of_what_is_missing(leaving, present, periods.values())]
    if all_found:
        new = (
            doubts.New(months[month].pk, account, day, currency, rows, units)
            for month, account, day, currency, rows, units in figures.new(stage)
            if month in months
        )
        all_found += doubts.of_rewriting(leaving, new, periods.values())
    return all_found


def _is_alike(source: Source, read: Read, periods: Periods, counts: Counts) -> bool:
    """Tell whether any row, or any service, is among the charges of these months."""
    services = Charge.objects.live().filter(source=source, period__in=periods.values())
    return bool(counts.unchanged or counts.changed) or services.filter(product__service_name__in=read.services).exists()


def _was_kept(received: Received, periods: Periods) -> bool:
    """Whether the latest import of these months had the same files, and somebody had it keep what they lack."""
    last = (
        Import.objects.filter(
            source=received.source, state=Import.State.APPLIED, scope_totals__period__in=periods.values()
        )
        .order_by("-pk")
        .first()
    )
    return last is not None and last.missing == Import.Missing.KEEP and late.same_files(last, received.file_ids)


def _delivered_together(source: Source, period: BillingPeriod, accounts: set[str]) -> set[str]:
    """Return the accounts that the last import for a period held beside one of `accounts`."""
    totals = ImportTotal.objects.filter(
        period=period, imported_in__source=source, imported_in__state=Import.State.APPLIED
    )
    of_imports: dict[int, set[str]] = {}
    for number, account in totals.values_list("imported_in_id", "billing_account_id"):
        of_imports.setdefault(number, set()).add(same_id(account))
    last = max((number for number, found in of_imports.items() if found & accounts), default=0)
    return of_imports.get(last, set())
