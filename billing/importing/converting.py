"""Batches of an import into the columns of charges, with reasons, hashes and control totals."""

import datetime
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .. import patterns
from ..attribution import NOWHERE, Attribution, Attributor, Place
from ..attribution.checks import Reason, Reference
from ..fields import WIDE, to_units
from ..models import Flag
from ..models.periods import last_day_of
from ..money import plain
from ..readers.batches import MAX_PROBLEMS, Batch, Problem
from ..readers.columns import AMOUNTS, DECIMALS, TEXTS
from ..readers.dates import ZONES
from ..readers.facts import IDENTITY, Scope, ScopeTotal, content_hash, month_number, stamp_of
from ..readers.spelling import compared, same_tags
from ..readers.tags import tags_of
from ..readers.understanding import TagNumbers, Understanding, Understood, Wanted
from ..readers.values import BadValue, Memo
from ..texts import long_moment

_ANY_DAY = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)

# What patterns of the policy are looked for in.
PATTERN_COLUMNS = ("ServiceName", "ResourceId", "ResourceName", "ChargeDescription")


@dataclass(frozen=True)
class Converted:
    """A batch with its rows numbered, who pays for each by its number among `owners`, and the reasons to look at it.

    `months` are numbers (202501), `states` those of charges, and a flag is a row, a code and a detail. `owners` are
    those of the whole import so far, and only grow.
    """

    rows: range
    file_numbers: Sequence[int]
    months: list[int]
    attributed: list[int]
    states: list[str]
    said: Understood
    flags: list[tuple[int, str, str]]
    owners: Sequence[Attribution]


class Converter:
    """Converts one import, file after file; remembers what repeats and sums what passes.

    Converting never drops a row: a row either becomes a charge, or its problem (file, line, column)
    stands in `problems`, and whoever reads the import refuses it as a whole.
    """

    def __init__(
        self,
        *,
        attributor: Attributor,
        reference: Reference,
        currency: str,
        flag_patterns: Iterable[str] = (),
        expected: frozenset[datetime.date] = frozenset(),
        posted: datetime.date | None = None,
        written: bool = False,
    ) -> None:
        """`written` has facts come as lines of COPY, where they are not looked at one by one.

        `posted` is the day on which the ledger has what is charged; without it, the last of each row's own month.
        """
        self.attributor = attributor
        self.reference = reference
        self.posted = posted
        self.expected = expected
        self.only_month = next(iter(expected)) if len(expected) == 1 else None
        self.rows = 0
        # Rows of the files, of which some may have been added up.
        self.delivered = 0
        self.totals: dict[Scope, ScopeTotal] = {}
        # The names of all that is billed by and for, to tell another source's file by.
        self.providers: set[str] = set()
        self.services: set[str] = set()
        self.problems: list[tuple[str, Problem]] = []
        self.flag_counts: dict[str, int] = {}
        self.flagged_rows = 0
        # How many rows each rule was used for, by which values are not taken as FOCUS writes them.
        self.rules: Counter[str] = Counter()
        # The clocks whose days are days of service; None: UTC.
        self.zone: datetime.tzinfo | None = None
        # Columns that look like money and are not read, and the costs that a file lacks, each with the file.
        self.unread: dict[str, str] = {}
        self.lacking: dict[str, str] = {}
        self.attributions: dict[Attribution, int] = {}
        self._attribution_list: list[Attribution] = []

        self.wanted = Wanted(
            only_month=self.only_month,
            currency=currency,
            texts=tuple(dict.fromkeys((*attributor.columns, *(PATTERN_COLUMNS if flag_patterns else ())))),
            written=written,
        )
        self._understanding = Understanding(self.wanted)
        self._numbering = ""
        self._tags: dict[int, str] = {}
        # By the number of the tags, and by the place beside it where that matters.
        self._attributed = Memo(self._attribute, 50_000)
        self._reasons = Memo(self._check)
        self._month_numbers = Memo(month_number)
        self._dates_matter = attributor.has_dates or _has_dates(reference)
        self._undated_reasons = Memo(lambda number: self._check((number, _ANY_DAY, _ANY_DAY, None)))
        self._patterns = [patterns.compiled(pattern, ignore_case=True) for pattern in flag_patterns]
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
            return self._convert(batch, file_name, file_number)
        try:
            said = self._understanding.of(batch)
        except BadValue:
            self.find_problems(batch, file_name)
            return None
        return self._convert(said, file_name, file_number)

    def note_columns(self, file_name: str, *, unread: Iterable[str], lacking: Iterable[str]) -> None:
        """Remember what a file has and is not read, and what it lacks."""
        for found, names in ((self.unread, unread), (self.lacking, lacking)):
            for name in names:
                found.setdefault(name, file_name)

    def _convert(self, said: Understood, file_name: str, file_number: int) -> Converted:
        size = len(said.lines)
        numbers = self._numbered(said.tags)
        for rule, zone in ZONES.items():
            if said.rules.get(rule):
                self.zone = zone
        places = self.attributor.places(said.texts, self._local(said.starts))
        # Where tags alone decide, they alone are looked up.
        attributed = self._attributed.column(numbers if places is None else list(zip(numbers, places, strict=True)))
        first_row = self.rows
        rows = range(first_row + 1, first_row + size + 1)
        flags = self._flags(rows, attributed, said)
        states: list[str] = ["clear"] * size
        if flags:
            for row in {row for row, _, _ in flags}:
                states[row - first_row - 1] = "held"
        for scope, total in said.totals.items():
            self.totals.setdefault(scope, ScopeTotal()).add(total)
            self.delivered += total.rows
        self.rules.update(said.rules)
        self.note_columns(file_name, unread=said.unread, lacking=said.lacking)
        self.providers |= said.providers
        self.services |= said.services
        self.rows += size
        return Converted(
            rows=rows,
            file_numbers=said.file_numbers or [file_number] * size,
            months=self._month_numbers.column(said.months),
            attributed=attributed,
            states=states,
            said=said,
            flags=flags,
            owners=self._attribution_list,
        )

    def _local(self, moments: list[datetime.datetime]) -> list[datetime.datetime]:
        """Return moments as the clocks of the provider showed them, where they are known."""
        return moments if self.zone is None else [each.astimezone(self.zone) for each in moments]

    def _numbered(self, tags: TagNumbers) -> list[int]:
        """Return the numbers of the rows' tags, and remember the texts that are new."""
        if tags.numbering != self._numbering:
            self._numbering = tags.numbering
            self._tags.clear()
            self._attributed.clear()
        self._tags |= tags.texts
        return tags.numbers

    def _attribute(self, key: int | tuple[int, Place]) -> int:
        tags, place = key if isinstance(key, tuple) else (key, NOWHERE)
        attribution = self.attributor.attribute(tags_of(self._tags[tags]), place)
        number = self.attributions.get(attribution)
        if number is None:
            number = self.attributions[attribution] = len(self._attribution_list)
            self._attribution_list.append(attribution)
            self._dates_matter |= bool(attribution.end_date)
        return number

    def _check(self, key: tuple[int, datetime.datetime, datetime.datetime, datetime.date | None]) -> tuple[Reason, ...]:
        number, start, end, month = key
        attribution = self._attribution_list[number]
        posted = self.posted or (last_day_of(month) if month else None)
        return self.attributor.check(attribution, reference=self.reference, start=start, end=end, posted=posted)

    def _matching_pattern(self, text: str) -> str:
        return next((pattern.pattern for pattern in self._patterns if pattern.search(text)), "") if text else ""

    def _flags(self, rows: range, attributed: list[int], said: Understood) -> list[tuple[int, str, str]]:
        """Return (row, code, detail) for every reason to look at a row of the batch."""
        starts, ends, months = said.starts, said.ends, said.months
        if self._dates_matter:
            days = zip(attributed, self._local(starts), self._local(ends), months, strict=True)
            reasons = self._reasons.column(list(days))
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
        flags += [
            (rows[place], str(Flag.Code.UNKNOWN_CATEGORY), _category_told(text)) for place, text in said.odd_categories
        ]
        if any(map(operator.lt, ends, starts)):
            told = "It begins {} and ends {}."
            flags += [
                (row, str(Flag.Code.PERIOD_REVERSED), told.format(long_moment(start), long_moment(end)))
                for row, start, end in zip(rows, starts, ends, strict=True)
                if end < start
            ]
        if self._patterns:
            for name in PATTERN_COLUMNS:
                flags += [
                    (row, str(Flag.Code.PATTERN_MATCH), f"{name} matches “{pattern}”."[:500])
                    for row, pattern in zip(rows, self._matches.column(said.texts[name]), strict=True)
                    if pattern
                ]
        for _, code, _ in flags:
            self.flag_counts[code] = self.flag_counts.get(code, 0) + 1
        self.flagged_rows += len({row for row, _, _ in flags})
        return flags

    def find_problems(self, batch: Batch, file_name: str, *, otherwise: str = "") -> None:
        """Name every value of a batch that cannot be converted, with its line and column.

        `otherwise` is said where each value by itself is in order.
        """
        found = self._understanding.problems_of(batch, otherwise=otherwise)
        self.problems += [(file_name, problem) for problem in found[: MAX_PROBLEMS - len(self.problems)]]
        self.problems.sort(key=lambda each: (each[0], each[1].line or 0))


def _has_dates(reference: Reference) -> bool:
    """Whether the day of service changes an answer, as it does not without a dated fund."""
    return bool(reference.last_postings) or any(first or last for first, last in (reference.funds or {}).values())


def _category_told(text: str) -> str:
    known = "Usage, Purchase, Tax, Credit or Adjustment"
    return f"The charge category is “{text[:60]}”, not {known}." if text else f"ChargeCategory is empty, not {known}."


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


def content_hash_of(charge: Any) -> bytes:
    """Return the hash of a charge's content, from its columns as they stand.

    It is that of its row, unless the file had amounts of more than 8 decimals.
    """
    texts = {name: getattr(charge, field) for name, field in TEXTS.items()}
    return _content_hash(charge, texts | compared(texts), same_tags(tags_of(charge.tags).canonical))


def identity_hash_of(charge: Any) -> bytes:
    """Return the hash of what a charge speaks of, from its columns as they stand: that of its row."""
    texts = {name: getattr(charge, field) for name, field in TEXTS.items()}
    texts |= compared(texts)
    return content_hash(
        (
            *(texts[name] for name in IDENTITY),
            texts["ResourceId"] or texts["ResourceName"],
            stamp_of(charge.charge_period_start),
            stamp_of(charge.charge_period_end),
        )
    )


def _content_hash(charge: Any, texts: Mapping[str, str], canonical_tags: str) -> bytes:
    amounts = (getattr(charge, field) for field in AMOUNTS.values())
    row = (
        str(month_number(charge.period.month)),
        stamp_of(charge.charge_period_start),
        stamp_of(charge.charge_period_end),
        charge.currency,
        *("" if amount is None else str(to_units(amount)) for amount in amounts),
        *(texts[name] for name in TEXTS),
        *(getattr(charge, field) for field in DECIMALS.values()),
        canonical_tags,
    )
    return content_hash(row)
