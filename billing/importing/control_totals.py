"""The control totals of an import: what its files come to, what was there before, and what it displaces."""

import datetime
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from ..fields import WIDE, from_units
from ..models import BillingPeriod, Import, ImportedFile, ImportOverlap, ImportTotal
from ..money import plain
from ..readers.columns import AMOUNTS
from ..readers.facts import Scope, ScopeTotal
from .reading import Read
from .staging import Stage, figures

Periods = Mapping[datetime.date, BillingPeriod]


def keep_totals(imported: Import, read: Read, months: Collection[datetime.date], periods: Periods) -> None:
    """Keep what the files come to in these months, exactly and as stored."""
    ImportTotal.objects.bulk_create(
        _total_row(imported, periods[month], account, currency, total)
        for (month, account, currency), total in sorted(read.totals.items())
        if month in months
    )
    keep_file_rows(imported, read.file_rows)


def keep_file_rows(imported: Import, file_rows: Mapping[int, int]) -> None:
    """Keep how many rows each file has."""
    for number, rows in file_rows.items():
        ImportedFile.objects.filter(imported_in=imported, number=number).update(rows=rows)


def keep_overlaps(
    imported: Import,
    stage: Stage,
    read: Read,
    months: Collection[datetime.date],
    *,
    periods: Periods,
    into: BillingPeriod | None = None,
) -> None:
    """Keep what of the files was there before and what it displaces, so that control totals can be added up.

    What is said again is told from the files' side: their totals less the rows that become charges. Late changes
    of `into` are borne there, and so is what they take back.
    """
    found: list[tuple[Any, ...]] = [
        (ImportOverlap.Kind.AGAIN, periods[month].pk, (into or periods[month]).pk, currency, *sums)
        for (month, currency), sums in sorted(_said_again(stage, read, months).items())
    ]
    found += [(ImportOverlap.Kind.DISPLACED, *scope, *sums) for scope, sums in sorted(_displaced(stage, into).items())]
    ImportOverlap.objects.bulk_create(
        ImportOverlap(
            imported_in=imported,
            kind=kind,
            period_id=period_id,
            borne_by_id=borne_by,
            currency=currency,
            rows=rows,
            billed=from_units(billed),
            effective=from_units(effective),
        )
        for kind, period_id, borne_by, currency, rows, billed, effective in found
        if rows or billed or effective
    )


def _said_again(
    stage: Stage, read: Read, months: Collection[datetime.date]
) -> dict[tuple[datetime.date, str], list[int]]:
    """Return rows, units billed and units effective that were there before, by month and currency."""
    again: dict[tuple[datetime.date, str], list[int]] = {}
    for (month, _, currency), total in read.totals.items():
        if month in months:
            sums = again.setdefault((month, currency), [0, 0, 0])
            for place, number in enumerate((total.rows, total.units["BilledCost"], total.units["EffectiveCost"])):
                sums[place] += number
    for number, currency, *kept in figures.kept_sums(stage):
        sums = again[datetime.date(number // 100, number % 100, 1), currency]
        for place, value in enumerate(kept):
            sums[place] -= value
    return again


def _displaced(stage: Stage, into: BillingPeriod | None) -> dict[tuple[int, int, str], list[int]]:
    """Return the same of what leaves, by period, the period that bears it, and currency."""
    displaced: dict[tuple[int, int, str], list[int]] = {}
    for period_id, borne_by, currency, *leaving in figures.displaced_sums(stage):
        sums = displaced.setdefault((period_id, into.pk if into else borne_by, currency), [0, 0, 0])
        for place, value in enumerate(leaving):
            sums[place] += value
    return displaced


def _total_row(imported: Import, period: BillingPeriod, account: str, currency: str, total: ScopeTotal) -> ImportTotal:
    exact = {f"{_short(column)}_exact": plain(total.exact[column]) for column in AMOUNTS}
    stored = {f"{_short(column)}_stored": total.stored(column) for column in AMOUNTS}
    return ImportTotal(
        imported_in=imported,
        period=period,
        billing_account_id=account,
        currency=currency,
        rows=total.rows,
        **exact,
        **stored,
    )


def _short(column: str) -> str:
    return column.removesuffix("Cost").lower()


def totals_by_currency(totals: Mapping[Scope, ScopeTotal], *, exact: bool) -> dict[str, dict[str, str]]:
    """Return currency → FOCUS cost column → total as exact text: of the files, or as stored."""
    summed: dict[str, dict[str, Decimal]] = {}
    for (_, _, currency), total in sorted(totals.items()):
        of_currency = summed.setdefault(currency, dict.fromkeys(AMOUNTS, Decimal(0)))
        for column in AMOUNTS:
            of_currency[column] = WIDE.add(of_currency[column], total.exact[column] if exact else total.stored(column))
    return {
        currency: {column: plain(amount, currency) for column, amount in columns.items()}
        for currency, columns in summed.items()
    }
