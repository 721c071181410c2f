"""Batches of a delivery into the columns of charges, with reasons, hashes and control totals."""

import datetime
import hashlib
import operator
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .attribution import NOWHERE, Attribution, Attributor, Place
from .fields import WIDE, from_units, to_units
from .models import Flag
from .money import plain
from .readers.batches import MAX_PROBLEMS, Batch, Problem
from .readers.columns import AMOUNTS, DECIMALS, TEXTS
from .readers.understanding import Understanding, Understood, stamp_of
from .readers.values import Amounts, BadValue, Memo, kept_amounts, tags_of
from .rules import Reason, Reference

# The columns of a staged row, in order; `month` and `attribution` become keys when it is applied.
STAGED = (
    "row",
    "file_number",
    "line_number",
    "month",
    "attribution",
    "state",
    "content_hash",
    "identity_hash",
    "charge_period_start",
    "charge_period_end",
    "currency",
    *AMOUNTS.values(),
    *TEXTS.values(),
    *DECIMALS.values(),
    "tags",
    "row_count",
)

# What says that a row speaks of the same thing as one before it: no amounts, no tags.
IDENTITY = (
    "BillingAccountId",
    "SubAccountId",
    "ServiceName",
    "SkuId",
    "SkuPriceId",
    "ChargeCategory",
    "ChargeClass",
    "InvoiceId",
)
SEPARATOR = "\x1f"

_ANY_DAY = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@dataclass
class ScopeTotal:
    """What one scope (month, billing account, currency) of a delivery sums to: stored units of 10⁻⁸, and exactly."""

    rows: int = 0
    units: dict[str, int] = field(default_factory=lambda: dict.fromkeys(AMOUNTS, 0))
    exact: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(AMOUNTS, Decimal(0)))

    def stored(self, column: str) -> Decimal:
        return from_units(self.units[column])


@dataclass(frozen=True)
class Converted:
    """A batch as staged columns, and the reasons for looking at some of its rows."""

    columns: list[Sequence[Any]]
    flags: list[tuple[int, str, str]]


class Converter:
    """Converts one delivery, file after file; remembers what repeats and sums what passes.

    Converting never drops a row: a row either becomes a charge, or its problem (file, line, column)
    stands in `problems`, and whoever reads the delivery refuses it as a whole.
    """

    def __init__(
        self,
        *,
        attributor: Attributor,
        reference: Reference,
        currency: str,
        flag_patterns: Iterable[str] = (),
        expected: frozenset[datetime.date] = frozenset(),
    ) -> None:
        self.attributor = attributor
        self.reference = reference
        self.currency = currency
        self.expected = expected
        self.only_month = next(iter(expected)) if len(expected) == 1 else None
        self.rows = 0
        # Rows of the files, of which some may have been added up.
        self.delivered = 0
        self.totals: dict[tuple[datetime.date, str, str], ScopeTotal] = {}
        self.problems: list[tuple[str, Problem]] = []
        self.flag_counts: dict[str, int] = {}
        self.flagged_rows = 0
        # How many rows each rule was used for, by which values are not taken as FOCUS writes them.
        self.rules: Counter[str] = Counter()
        self.attributions: dict[Attribution, int] = {}
        self._attribution_list: list[Attribution] = []

        self._understanding = Understanding(only_month=self.only_month, currency=currency)
        self._tags = Memo(tags_of, 50_000)
        self._attributed = Memo(self._attribute, 50_000)
        self._reasons = Memo(self._check)
        # Without a dated fund, PI, project or split, the day of service changes no answer.
        self._dates_matter = attributor.has_dates or any(
            first or last for first, last in (reference.funds or {}).values()
        )
        self._undated_reasons = Memo(lambda number: self._check((number, _ANY_DAY, _ANY_DAY)))
        self._patterns = [re.compile(pattern, re.IGNORECASE) for pattern in flag_patterns]
        self._matches = Memo(self._matching_pattern)

    @property
    def attribution_list(self) -> list[Attribution]:
        """The attributions of the rows so far, by the number that staged rows carry."""
        return self._attribution_list

    @property
    def has_patterns(self) -> bool:
        return bool(self._patterns)

    def convert(self, batch: Batch | Understood, *, file_name: str, file_number: int) -> Converted | None:
        """Convert a batch; None where it has problems (which are then in `problems`)."""
        if isinstance(batch, Understood):
            return self._convert(batch, len(batch.lines), file_number)
        try:
            said = self._understanding.of(batch)
        except BadValue:
            self.find_problems(batch, file_name)
            return None
        return self._convert(said, len(said.lines), file_number)

    def _convert(self, said: Understood, size: int, file_number: int) -> Converted:
        texts, amounts, starts, ends = said.texts, said.amounts, said.starts, said.ends
        months, currencies = said.months, said.currencies
        places = self.attributor.places(texts, starts)
        # Where tags alone decide, they alone are looked up.
        attributed = self._attributed.column(said.tags if places is None else list(zip(said.tags, places, strict=True)))
        first_row = self.rows
        rows = range(first_row + 1, first_row + size + 1)
        flags = self._flags(rows, attributed, starts, ends, months, texts)
        states: list[str] = ["clear"] * size
        if flags:
            for row in {row for row, _, _ in flags}:
                states[row - first_row - 1] = "held"

        month_numbers = [month.year * 100 + month.month for month in months]
        nothing = [""] * size
        resources = [one or other for one, other in zip(texts["ResourceId"], texts["ResourceName"], strict=True)]
        contents = _hashes(
            zip(
                map(str, month_numbers),
                said.start_stamps,
                said.end_stamps,
                currencies,
                *(amounts[name].canonical if name in amounts else nothing for name in AMOUNTS),
                *texts.values(),
                *said.decimals.values(),
                said.canonical_tags,
                strict=True,
            )
        )
        identities = _hashes(
            zip(*(texts[name] for name in IDENTITY), resources, said.start_stamps, said.end_stamps, strict=True)
        )
        self._sum(months, texts["BillingAccountId"], currencies, amounts, said.counts or [1] * size)
        self.rules.update(said.rules)
        self.rows += size
        self.delivered += size if said.counts is None else sum(said.counts)
        return Converted(
            columns=[
                rows,
                said.file_numbers or [file_number] * size,
                said.lines,
                month_numbers,
                attributed,
                states,
                contents,
                identities,
                said.start_stamps,
                said.end_stamps,
                currencies,
                *(amounts[name].units if name in amounts else [None] * size for name in AMOUNTS),
                *texts.values(),
                *said.decimals.values(),
                [text if canonical else "" for text, canonical in zip(said.tags, said.canonical_tags, strict=True)],
                said.counts or [1] * size,
            ],
            flags=flags,
        )

    def _attribute(self, key: str | tuple[str, Place]) -> int:
        tags_text, place = key if isinstance(key, tuple) else (key, NOWHERE)
        attribution = self.attributor.attribute(self._tags[tags_text], place)
        number = self.attributions.get(attribution)
        if number is None:
            number = self.attributions[attribution] = len(self._attribution_list)
            self._attribution_list.append(attribution)
        return number

    def _check(self, key: tuple[int, datetime.datetime, datetime.datetime]) -> tuple[Reason, ...]:
        number, start, end = key
        attribution = self._attribution_list[number]
        return self.attributor.check(attribution, reference=self.reference, start=start, end=end)

    def _matching_pattern(self, text: str) -> str:
        return next((pattern.pattern for pattern in self._patterns if pattern.search(text)), "") if text else ""

    def _flags(
        self,
        rows: range,
        attributed: list[int],
        starts: list[datetime.datetime],
        ends: list[datetime.datetime],
        months: list[datetime.date],
        texts: dict[str, list[str]],
    ) -> list[tuple[int, str, str]]:
        """Return (row, code, detail) for every reason to look at a row of the batch."""
        if self._dates_matter:
            reasons = self._reasons.column(list(zip(attributed, starts, ends, strict=True)))
        else:
            reasons = self._undated_reasons.column(attributed)
        flags = [
            (row, str(reason.code), reason.detail[:500])
            for row, found in zip(rows, reasons, strict=True)
            if found
            for reason in found
        ]
        if self.expected and not self.expected.issuperset(months):
            expected = ", ".join(f"{month:%Y-%m}" for month in sorted(self.expected))
            flags += [
                (row, str(Flag.Code.PERIOD_MISMATCH), f"The row is of {month:%Y-%m}; {expected} was expected.")
                for row, month in zip(rows, months, strict=True)
                if month not in self.expected
            ]
        if any(map(operator.lt, ends, starts)):
            said = "It begins {:%Y-%m-%d %H:%M} and ends {:%Y-%m-%d %H:%M}."
            flags += [
                (row, str(Flag.Code.PERIOD_REVERSED), said.format(start, end))
                for row, start, end in zip(rows, starts, ends, strict=True)
                if end < start
            ]
        if self._patterns:
            for name in ("ServiceName", "ResourceId", "ResourceName", "ChargeDescription"):
                flags += [
                    (row, str(Flag.Code.PATTERN_MATCH), f"{name} matches “{pattern}”."[:500])
                    for row, pattern in zip(rows, self._matches.column(texts[name]), strict=True)
                    if pattern
                ]
        for _, code, _ in flags:
            self.flag_counts[code] = self.flag_counts.get(code, 0) + 1
        self.flagged_rows += len({row for row, _, _ in flags})
        return flags

    def _sum(
        self,
        months: list[datetime.date],
        accounts: list[str],
        currencies: list[str],
        amounts: dict[str, Amounts],
        counts: Sequence[int],
    ) -> None:
        """Add the batch to the control totals of its scopes."""
        scopes = list(zip(months, accounts, currencies, strict=True))
        distinct = set(scopes)
        for scope in distinct:
            total = self.totals.setdefault(scope, ScopeTotal())
            chosen = None if len(distinct) == 1 else [each == scope for each in scopes]
            total.rows += sum(_kept(counts, chosen))
            for name, column in amounts.items():
                # Several scopes in one batch are rare; each then has its own part of the column.
                part = column if chosen is None else kept_amounts(column, chosen)
                total.units[name] += sum(filter(None, part.units))
                total.exact[name] = WIDE.add(total.exact[name], part.exact)

    def find_problems(self, batch: Batch, file_name: str, *, otherwise: str = "") -> None:
        """Name every value of a batch that cannot be converted, with its line and column.

        `otherwise` is said where each value by itself is in order.
        """
        found = self._understanding.problems_of(batch, otherwise=otherwise)
        self.problems += [(file_name, problem) for problem in found[: MAX_PROBLEMS - len(self.problems)]]
        self.problems.sort(key=lambda each: (each[0], each[1].line or 0))


def totals_by_currency(
    totals: dict[tuple[datetime.date, str, str], ScopeTotal], *, exact: bool
) -> dict[str, dict[str, str]]:
    """Return currency → FOCUS cost column → total as exact text: of the files, or as stored."""
    summed: dict[str, dict[str, Decimal]] = {}
    for (_, _, currency), total in sorted(totals.items()):
        of_currency = summed.setdefault(currency, dict.fromkeys(AMOUNTS, Decimal(0)))
        for column in AMOUNTS:
            of_currency[column] = WIDE.add(of_currency[column], total.exact[column] if exact else total.stored(column))
    return {
        currency: {column: plain(amount) for column, amount in columns.items()} for currency, columns in summed.items()
    }


def content_hash_of(charge: Any) -> bytes:
    """Return the hash of a charge's content, from its columns as they stand.

    It is that of its row, unless the file had amounts of more than 8 decimals.
    """
    amounts = (getattr(charge, field) for field in AMOUNTS.values())
    row = (
        str(charge.period.month.year * 100 + charge.period.month.month),
        stamp_of(charge.charge_period_start),
        stamp_of(charge.charge_period_end),
        charge.currency,
        *("" if amount is None else str(to_units(amount)) for amount in amounts),
        *(getattr(charge, field) for field in TEXTS.values()),
        *(getattr(charge, field) for field in DECIMALS.values()),
        tags_of(charge.tags).canonical,
    )
    return _hashes([row])[0]


def _kept(values: Sequence[Any], chosen: list[bool] | None) -> Sequence[Any]:
    return values if chosen is None else [value for value, keep in zip(values, chosen, strict=True) if keep]


def _hashes(rows: Iterable[tuple[str, ...]]) -> list[bytes]:
    """Return the 16-byte hash of each row of texts."""
    blake, join = hashlib.blake2b, SEPARATOR.join
    return [blake(join(row).encode(), digest_size=16).digest() for row in rows]
