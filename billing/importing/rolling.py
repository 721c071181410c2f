"""Rows that are alike in everything but time, quantities and amounts, added up exactly to days or months.

An hourly export of a month has the same few thousand resources 744 times over. Its rows are grouped as
columns, before any of them becomes a row of Python: texts by the number of their distinct value, amounts as whole
numbers of a power of ten. No float is ever added. What is summed is a delivery as a whole, whatever
order its rows and files come in, so that a re-delivery gives the same sums.
"""

import datetime
import pickle
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..readers.amounts import decimal_of, plain_decimal
from ..readers.batches import BATCH_ROWS, Batch
from ..readers.columns import AMOUNTS, DECIMALS, TEXTS
from ..readers.dates import DAY, Rule, end_and_rule, month_of, period_rules, service_time_of, time_of, zone_of
from ..readers.projects import PROJECT, Projects
from ..readers.spelling import IDS, same_id, same_tags
from ..readers.tags import tags_of
from ..readers.understanding import CONVERT, NO_CURRENCY
from ..readers.values import BadValue, Memo, currency_of

# What is added up; all other columns that charges keep have to be equal.
QUANTITIES = ("PricingQuantity", "ConsumedQuantity")
SUMMED = (*AMOUNTS, *QUANTITIES)
PRICES = tuple(name for name in DECIMALS if name not in QUANTITIES)
KEYS = ("BillingPeriodStart", "BillingCurrency", "Tags", *TEXTS, *PRICES)
TIMES = ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodEnd")

# Sums are whole numbers of 10⁻⁴⁰: more decimals than any price list has.
PLACES = 40
# In Arrow amounts are decimal128 with these decimals; what has more goes the long way.
ARROW_PLACES = 20
# Doubles are tried as whole numbers of these powers: with at most 15 digits they are what the shortest form says.
TRIED_PLACES = (12, 8, 16, 20)
EXACT_DIGITS = 10**15

# Rows of text grouped at once.
ROWS = 65_536
# Groups held in memory; more are put aside on the disk, in parts that are merged one after the other.
MAX_GROUPS = 1_000_000
PARTS = 32

_WIDE = Context(prec=200)

Column = Any
Numbers = Any
Segment = Callable[[Batch], Sequence[Any]]


def _currency_of(text: str) -> str:
    if not (code := currency_of(text)):
        raise BadValue(NO_CURRENCY)
    return code


_CONVERT: dict[str, Callable[[str], Any]] = {
    **CONVERT,
    "BillingCurrency": _currency_of,
    **dict.fromkeys(PRICES, plain_decimal),
}


# What the provider spells in more than one way is one value.
_SAME: dict[str, Callable[[str], str]] = {"Tags": same_tags, **dict.fromkeys(IDS, same_id)}


@dataclass
class Group:
    """What rows of one key come to: the first of them, how many there are, and the sums (None: no value in any)."""

    first: int
    count: int
    sums: list[int | None]

    def add(self, first: int, count: int, sums: Sequence[int | None]) -> None:
        self.first = min(self.first, first)
        self.count += count
        mine = self.sums
        for place, value in enumerate(sums):
            if value is not None:
                known = mine[place]
                mine[place] = value if known is None else known + value


@dataclass
class _Numbered:
    """The distinct values of one column, by number: of what is the `same`, the first."""

    numbers: dict[Any, int] = field(default_factory=dict)
    values: list[Any] = field(default_factory=list)
    same: Callable[[Any], Any] | None = None

    def number(self, value: Any) -> int:
        number = self.numbers.setdefault(self.same(value) if self.same else value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class Rolling:
    """Adds up one delivery. `add` takes rows as columns; `batches` gives what they come to.

    `by_month` adds the days of a month up too (`month` is that of rows which name none), unless `segment`
    tells them apart: for a batch of days it returns what must not be mixed (who pays, what is to be
    reviewed). Days are those of the clocks that the delivery's months begin by, else of UTC. Rows cover whole
    days, or the whole month where that changes nothing
    in their segment: what a re-delivery adds to a month is then a change of the same charge.

    Raises BadValue for a value that cannot be read; the caller knows the lines and says which.
    """

    def __init__(
        self,
        *,
        by_month: bool,
        month: datetime.date | None = None,
        segment: Segment | None = None,
        segment_columns: Sequence[str] = (),
    ) -> None:
        self.by_month = by_month
        self.segment = segment
        self.segment_columns = ("BillingPeriodStart", "Tags", *segment_columns)
        self.columns = {name: _Numbered(same=_SAME.get(name)) for name in KEYS}
        # Number 0 is the span of a month that is not known.
        self.days = _Numbered({None: 0}, [None])
        self.groups: dict[bytes, Group] = {}
        self.rows = 0
        self.given: set[str] = set()
        self.aside: list[IO[bytes]] = []
        self._convert = {name: Memo(_normalized(name, month), 200_000) for name in KEYS}
        # The clocks whose days are rolled up to; UTC unless the billing periods tell.
        self.zone: datetime.tzinfo = datetime.UTC
        self._spans = Memo(lambda times: _days_of(times, self.zone), 200_000)
        self._billing_ends = Memo(time_of)
        self._projects = Projects()
        # How many rows each rule was used for, by which values are not taken as FOCUS writes them.
        self.rules: Counter[str] = Counter()

    def add(self, columns: Mapping[str, Column], lines: Sequence[int], file_number: int = 1) -> None:
        """Add rows of one file, given as Arrow arrays, or sequences of texts, by FOCUS name."""
        size = len(lines)
        if not size:
            return
        columns, of_projects = self._placed(columns, size)
        given = {name: _encoded(values) for name, values in columns.items() if name in KEYS or name in TIMES}
        if self.zone is datetime.UTC and "BillingPeriodStart" in given:
            self.zone = zone_of(given["BillingPeriodStart"][1]) or datetime.UTC
        keys = np.zeros((len(KEYS) + 1, size), dtype=np.int32)
        for place, name in enumerate(KEYS):
            if name in given:
                self.given.add(name)
                keys[place] = self._numbers_of(name, given[name])
            else:
                value = "" if name == "BillingCurrency" else self._convert[name][""]
                keys[place] = self.columns[name].number(value)
                if value:
                    self.given.add(name)
        keys[-1] = self._days_of(given, size)
        positions, representatives = _distinct(keys)
        first = (np.int64(file_number) << 40) + np.asarray(lines, dtype=np.int64)
        summed = {name: _exact(columns[name]) for name in SUMMED if name in columns}
        if "BilledCost" not in summed or summed["BilledCost"].has_none:
            raise BadValue("BilledCost is empty.")
        self.given.update(summed)
        self._merge(keys, positions, representatives, first, summed)
        self._note_rules(given, size, of_projects)
        self.rows += size
        if len(self.groups) > MAX_GROUPS:
            self._put_aside()

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """Yield the sums as batches of rows, each with the file and line of its first and the count of its rows."""
        for groups in self._parts():
            whole: dict[Any, Group] = self._months(groups) if self.by_month else groups
            ordered = sorted(whole.items(), key=lambda each: each[1].first)
            for start in range(0, len(ordered), batch_rows):
                yield self._batch(ordered[start : start + batch_rows])

    # Keys --------------------------------------------------------------------------------------

    def _numbers_of(self, name: str, encoded: tuple[Numbers, list[str]]) -> Numbers:
        codes, texts = encoded
        column, convert = self.columns[name], self._convert[name]
        known = np.fromiter((column.number(convert[text]) for text in texts), dtype=np.int32, count=len(texts))
        return known[codes]

    def _placed(self, columns: Mapping[str, Column], size: int) -> tuple[Mapping[str, Column], int]:
        """Return the columns with the cloud project as sub account where it has to be, and in how many rows."""
        if PROJECT not in columns:
            return columns, 0
        wanted = (PROJECT, "SubAccountId", "SubAccountName", "BillingAccountId")
        texts = {name: _texts(columns[name]) for name in wanted if name in columns}
        placed, count = self._projects.placed(texts, size)
        return {**{name: values for name, values in columns.items() if name != PROJECT}, **placed}, count

    def _note_rules(self, given: Mapping[str, tuple[Numbers, list[str]]], size: int, of_projects: int) -> None:
        for times, count in _counted(TIMES, given, size):
            rule = end_and_rule((times[0], times[1], times[2]))[1]
            if rule:
                self.rules[rule] += count
        for times, count in _counted(("BillingPeriodStart", "BillingPeriodEnd"), given, size):
            for rule in period_rules((times[0], times[1])):
                self.rules[rule] += count
        if of_projects:
            self.rules[Rule.CLOUD_PROJECT] += of_projects

    def _days_of(self, given: Mapping[str, tuple[Numbers, list[str]]], size: int) -> Numbers:
        """Return the number of the whole days that each row covers."""
        none = (np.zeros(size, dtype=np.int64), [""])
        (starts, start_texts), (ends, end_texts), (billing_ends, billing_end_texts) = (
            given.get(name, none) for name in TIMES
        )
        for text in billing_end_texts:
            # It decides nothing, but a file whose dates cannot be read is refused.
            self._billing_ends[text]
        codes = (starts.astype(np.int64) * len(end_texts) + ends) * len(billing_end_texts) + billing_ends
        dense, distinct = _dense(codes)
        numbers = np.empty(len(distinct), dtype=np.int32)
        for place, code in enumerate(distinct.tolist()):
            code, billing_end = divmod(code, len(billing_end_texts))
            start, end = divmod(code, len(end_texts))
            numbers[place] = self.days.number(
                self._spans[(start_texts[start], end_texts[end], billing_end_texts[billing_end])]
            )
        return numbers[dense]

    # Sums --------------------------------------------------------------------------------------

    def _merge(
        self, keys: Numbers, positions: Numbers, representatives: Numbers, first: Numbers, summed: dict[str, "_Exact"]
    ) -> None:
        table = {"group": pa.array(positions), "first": pa.array(first)}
        wanted = [("first", "min"), ("first", "count")]
        for name, exact in summed.items():
            table[name] = exact.array
            wanted.append((name, "sum"))
        found = pa.TableGroupBy(pa.table(table), "group", use_threads=False).aggregate(wanted)
        rows = representatives[found["group"].to_numpy()]
        sums: list[Sequence[int | None]] = [
            _whole_numbers(found[f"{name}_sum"], summed[name].places) if name in summed else [None] * len(rows)
            for name in SUMMED
        ]
        packed = np.ascontiguousarray(keys[:, rows].T).tobytes()
        width = keys.shape[0] * keys.itemsize
        groups = self.groups
        for place, (least, count, values) in enumerate(
            zip(found["first_min"].to_pylist(), found["first_count"].to_pylist(), zip(*sums, strict=True), strict=True)
        ):
            key = packed[place * width : (place + 1) * width]
            group = groups.get(key)
            if group is None:
                groups[key] = Group(least, count, list(values))
            else:
                group.add(least, count, values)

    def _put_aside(self) -> None:
        """Write the groups to files, in parts by what does not change from day to day."""
        if not self.aside:
            self.aside = [tempfile.TemporaryFile() for _ in range(PARTS)]  # noqa: SIM115 (closed by _parts)
        parts: list[list[tuple[bytes, int, int, list[int | None]]]] = [[] for _ in range(PARTS)]
        for key, group in self.groups.items():
            parts[zlib.crc32(key[:-4]) % PARTS].append((key, group.first, group.count, group.sums))
        for file, part in zip(self.aside, parts, strict=True):
            for start in range(0, len(part), 10_000):
                pickle.dump(part[start : start + 10_000], file, pickle.HIGHEST_PROTOCOL)
        self.groups.clear()

    def _parts(self) -> Iterator[dict[bytes, Group]]:
        if not self.aside:
            yield self.groups
            return
        self._put_aside()
        for file in self.aside:
            groups: dict[bytes, Group] = {}
            with file:
                end = file.tell()
                file.seek(0)
                while file.tell() < end:
                    # Written a moment ago by this process into a file without a name.
                    for key, first, count, sums in pickle.load(file):  # noqa: S301
                        if key in groups:
                            groups[key].add(first, count, sums)
                        else:
                            groups[key] = Group(first, count, sums)
            yield groups
        self.aside = []

    # Days to months ----------------------------------------------------------------------------

    def _months(self, groups: dict[bytes, Group]) -> dict[Any, Group]:
        """Add up days of a month that are in one segment; the keys then end in the span they cover."""
        segments = _Segments(self)
        months: dict[tuple[bytes, Any], Group] = {}
        spans: dict[tuple[bytes, Any], tuple[datetime.datetime, datetime.datetime]] = {}
        for (key, group), segment in zip(groups.items(), segments.of(groups), strict=True):
            span = self.days.values[_last_number(key)]
            month = (key[:-4], segment)
            known = months.get(month)
            if known is None:
                months[month] = Group(group.first, group.count, list(group.sums))
                spans[month] = span
            else:
                known.add(group.first, group.count, group.sums)
                mine = spans[month]
                spans[month] = (min(mine[0], span[0]), max(mine[1], span[1]))
        rolled: dict[Any, Group] = {}
        for (stem, segment), group in months.items():
            span = segments.widened(stem, segment, spans[stem, segment])
            number = self.days.number(span).to_bytes(4, "little")
            rolled[stem + number, segment] = group
        return rolled

    # Out ---------------------------------------------------------------------------------------

    def _batch(self, groups: Sequence[tuple[Any, Group]]) -> Batch:
        packed = b"".join(key[0] if isinstance(key, tuple) else key for key, _ in groups)
        numbers = np.frombuffer(packed, dtype=np.int32).reshape(len(groups), -1).T.tolist()
        columns: dict[str, Sequence[str]] = {}
        for name, column in zip(KEYS, numbers, strict=False):
            if name in self.given:
                values = self.columns[name].values
                columns[name] = [values[number] for number in column]
        spans = [self.days.values[number] for number in numbers[-1]]
        columns["ChargePeriodStart"] = [_written(start) for start, _ in spans]
        columns["ChargePeriodEnd"] = [_written(end) for _, end in spans]
        for place, name in enumerate(SUMMED):
            if name in self.given:
                columns[name] = [plain_of(group.sums[place]) for _, group in groups]
        return Batch(
            lines=[group.first & ((1 << 40) - 1) for _, group in groups],
            columns=columns,
            bytes_read=0,
            counts=[group.count for _, group in groups],
            file_numbers=[group.first >> 40 for _, group in groups],
        )


class _Segments:
    """Tells which days of a key may be added up; asks about each distinct combination once."""

    def __init__(self, rolling: Rolling) -> None:
        self.rolling = rolling
        self.places = [KEYS.index(name) for name in dict.fromkeys(rolling.segment_columns) if name in KEYS]
        self.known: dict[tuple[int, ...], Any] = {}
        self.month_spans: dict[int, int] = {}

    def of(self, groups: Mapping[bytes, Group]) -> Iterable[Any]:
        """Return the segment of each group, in their order."""
        if self.rolling.segment is None or not groups:
            return [None] * len(groups)
        numbers = np.frombuffer(b"".join(groups), dtype=np.int32).reshape(len(groups), -1)
        asked = np.ascontiguousarray(numbers[:, [*self.places, -1]].T)
        positions, representatives = _distinct(asked)
        distinct = [tuple(each) for each in asked[:, representatives].T.tolist()]
        self._learn(distinct)
        found = [self.known[each] for each in distinct]
        return [found[position] for position in positions.tolist()]

    def _learn(self, distinct: Iterable[tuple[int, ...]]) -> None:
        wanted: dict[tuple[int, ...], None] = {}
        for asked in distinct:
            wanted[asked] = None
            # And about the month as a whole, into which its days may be widened.
            wanted[*asked[:-1], self._month_span(asked[0])] = None
        listed = [asked for asked in wanted if asked[-1] and asked not in self.known]
        segment = self.rolling.segment
        assert segment is not None  # noqa: S101 (asked by `of`)
        names = [KEYS[place] for place in self.places]
        for start in range(0, len(listed), BATCH_ROWS):
            part = listed[start : start + BATCH_ROWS]
            columns: dict[str, Sequence[str]] = {
                name: [self.rolling.columns[name].values[asked[place]] for asked in part]
                for place, name in enumerate(names)
                if name in self.rolling.given
            }
            spans = [self.rolling.days.values[asked[-1]] for asked in part]
            columns["ChargePeriodStart"] = [_written(begin) for begin, _ in spans]
            columns["ChargePeriodEnd"] = [_written(end) for _, end in spans]
            columns["BilledCost"] = ["0"] * len(part)
            batch = Batch(lines=[1] * len(part), columns=columns, bytes_read=0)
            self.known.update(zip(part, segment(batch), strict=True))

    def widened(
        self, stem: bytes, segment: Any, span: tuple[datetime.datetime, datetime.datetime]
    ) -> tuple[datetime.datetime, datetime.datetime]:
        """Return the whole month, if its first day and its whole mean the same; else the days themselves."""
        numbers = np.frombuffer(stem, dtype=np.int32)
        asked = tuple(numbers[self.places].tolist())
        number = self._month_span(asked[0])
        month = self.rolling.days.values[number]
        if month is None or span[0] < month[0] or span[1] > month[1]:
            return span
        if self.rolling.segment is not None and self.known[*asked, number] != segment:
            return span
        whole: tuple[datetime.datetime, datetime.datetime] = month
        return whole

    def _month_span(self, month_number: int) -> int:
        """Return the number of the whole month that rows of a BillingPeriodStart (by its number) belong to."""
        known = self.month_spans.get(month_number)
        if known is None:
            known = self.month_spans[month_number] = self._find_month_span(month_number)
        return known

    def _find_month_span(self, month_number: int) -> int:
        text = self.rolling.columns["BillingPeriodStart"].values[month_number]
        if not text:
            # Without a month of its own the row says nothing about which days belong together.
            return 0
        start = time_of(text)
        assert start is not None  # noqa: S101 (written by _normalized)
        local = start.replace(tzinfo=self.rolling.zone)
        months = (local, (local + 31 * DAY).replace(day=1))
        return self.rolling.days.number(tuple(each.astimezone(datetime.UTC) for each in months))


@dataclass(frozen=True)
class _Exact:
    """A column as an Arrow array of whole numbers or decimals; its sum times 10^-places is exact."""

    array: Any
    places: int

    @property
    def has_none(self) -> bool:
        return bool(self.array.null_count)


def plain_of(sum_: int | None) -> str:
    """Write a sum plainly, "" for no value."""
    if sum_ is None:
        return ""
    whole, rest = divmod(abs(sum_), 10**PLACES)
    decimals = f"{rest:0{PLACES}d}".rstrip("0")
    return f"{'-' if sum_ < 0 else ''}{whole}{'.' + decimals if decimals else ''}"


def _normalized(name: str, month: datetime.date | None) -> Callable[[str], str]:
    """Return what makes texts of one meaning equal, so that csv and parquet are added up alike."""
    if name == "BillingPeriodStart":
        return lambda text: found.isoformat() if (found := month_of(text) or month) else ""
    if name == "Tags":
        return lambda text: tags_of(text).canonical
    return _CONVERT[name]


def _days_of(times: tuple[str, str, str], zone: datetime.tzinfo) -> tuple[datetime.datetime, datetime.datetime]:
    """Return the whole days, by the clocks of a zone, that a charge period touches, in UTC."""
    start = service_time_of(times[0])
    if start is None:
        raise BadValue("ChargePeriodStart is empty.")
    end = max(end_and_rule(times)[0] or start, start)
    start, end = start.astimezone(zone), end.astimezone(zone)
    first = _midnight(start)
    try:
        last = _midnight(end) if end == _midnight(end) and end > first else _midnight(end) + DAY
    except OverflowError:
        raise BadValue("The charge period is out of range.") from None
    return first.astimezone(datetime.UTC), last.astimezone(datetime.UTC)


def _midnight(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _written(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment.year > 999 else moment.isoformat()


def _last_number(key: bytes) -> int:
    return int.from_bytes(key[-4:], "little")


def _encoded(values: Column) -> tuple[Numbers, list[str]]:
    """Return a column of texts as numbers, and the text of each number; no value is an empty text."""
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    codes = array.indices
    texts = ["" if text is None else text for text in array.dictionary.to_pylist()]
    if codes.null_count:
        codes = pc.fill_null(codes.cast(pa.int64()), len(texts))
        texts.append("")
    return codes.to_numpy(zero_copy_only=False), texts or [""]


def _texts(values: Column) -> list[str]:
    """Return a column as texts, row by row."""
    codes, texts = _encoded(values)
    found: list[str] = np.array(texts, dtype=object)[codes].tolist()
    return found


def _counted(
    names: Sequence[str], given: Mapping[str, tuple[Numbers, list[str]]], size: int
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield each combination of texts that columns hold, and in how many rows."""
    codes = np.zeros(size, dtype=np.int64)
    columns = [given.get(name, (codes, [""])) for name in names]
    for numbers, texts in columns:
        codes = codes * len(texts) + numbers
    for code, count in zip(*(each.tolist() for each in np.unique(codes, return_counts=True)), strict=True):
        combination = []
        for _, texts in reversed(columns):
            code, place = divmod(code, len(texts))
            combination.append(texts[place])
        yield tuple(reversed(combination)), count


def _dense(codes: Numbers) -> tuple[Numbers, Numbers]:
    """Number the distinct values of an array in the order they come: their numbers, and the values."""
    encoded = pa.array(codes).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_numpy()


def _distinct(keys: Numbers) -> tuple[Numbers, Numbers]:
    """Return the group of each column of `keys`, numbered from 0, and for each group one column that is of it."""
    codes = np.zeros(keys.shape[1], dtype=np.int64)
    span = 1
    for row in keys:
        least, most = int(row.min()), int(row.max())
        width = most - least + 1
        if width == 1:
            continue
        if span * width >= 2**62:
            codes, distinct = _dense(codes)
            span = len(distinct)
        codes = codes * width + (row - least)
        span *= width
    positions, distinct = _dense(codes)
    representatives = np.empty(len(distinct), dtype=np.int64)
    representatives[positions] = np.arange(len(positions))
    return positions, representatives


def _exact(values: Column) -> _Exact:
    """Return a column of numbers in a form whose sums are exact. Raises BadValue for what is no number."""
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        return _exact_texts(values)
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_null(kind):
        return _Exact(array.cast(pa.int64()), 0)
    if pa.types.is_floating(kind):
        return _exact_doubles(array)
    if pa.types.is_integer(kind):
        return _exact_integers(array.cast(pa.int64()))
    if pa.types.is_decimal(kind):
        if 0 <= kind.scale <= ARROW_PLACES and kind.precision <= 38:
            return _guarded(array.cast(pa.decimal128(38, kind.scale)), kind.scale)
        return _exact_texts(array.cast(pa.string()).to_pylist())
    return _exact_texts(array.to_pylist())


def _exact_integers(array: Any, places: int = 0) -> _Exact:
    bounds = pc.min_max(array)
    most = max(abs(bounds["min"].as_py() or 0), abs(bounds["max"].as_py() or 0))
    if most * len(array) < 2**62:
        return _Exact(array, places)
    return _guarded(array.cast(pa.decimal128(38, 0)), places)


def _guarded(array: Any, places: int) -> _Exact:
    """Return decimals as they are if all of them together cannot overflow, which Arrow would not notice."""
    bounds = pc.min_max(array)
    most = max(abs(bounds["min"].as_py() or 0), abs(bounds["max"].as_py() or 0))
    if most * len(array) < 10 ** (37 - array.type.scale):
        return _Exact(array, places)
    scaled = [None if number is None else number.scaleb(array.type.scale - places) for number in array.to_pylist()]
    return _Exact(_decimals(scaled), PLACES)


def _exact_doubles(array: Any) -> _Exact:
    """Read doubles as their shortest decimal form says (0.1 is 0.1), without writing them out where it can be helped.

    A double that is the nearest to k·10⁻ⁿ, k of at most 15 digits, has that as its shortest form, because
    no two decimals of 15 digits share a double.
    """
    # NaN is how dataframes write "no value".
    doubles = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    missing = np.isnan(doubles)
    if np.isinf(doubles).any():
        raise BadValue("The number is infinite.")
    values = np.where(missing, 0.0, doubles)
    if pa.types.is_float32(array.type) or pa.types.is_float16(array.type):
        texts = array.cast(pa.string()).to_pylist()
        return _exact_texts(["" if gone else text for gone, text in zip(missing.tolist(), texts, strict=True)])
    for places in TRIED_PLACES:
        power = 10.0**places
        whole = np.rint(values * power)
        if np.all((np.abs(whole) < EXACT_DIGITS) & (whole / power == values)):
            return _exact_integers(pa.array(whole.astype(np.int64), mask=missing if missing.any() else None), places)
    pairs = zip(missing.tolist(), values.tolist(), strict=True)
    return _exact_texts(["" if gone else repr(value) for gone, value in pairs])


def _exact_texts(texts: Sequence[str | None]) -> _Exact:
    """Read numbers written as texts."""
    array = pa.array(texts, pa.string())
    try:
        return _guarded(array.cast(pa.decimal128(38, ARROW_PLACES)), ARROW_PLACES)
    except pa.ArrowInvalid:
        pass
    numbers = Memo(decimal_of)
    decimals = [numbers[text or ""] for text in texts]
    return _Exact(_decimals(decimals), PLACES)


def _decimals(decimals: Sequence[Decimal | None]) -> Any:
    """Return numbers as decimal256 in whole numbers of 10^-PLACES."""
    whole: list[Decimal | None] = []
    for number in decimals:
        if number is None:
            whole.append(None)
            continue
        # A zero may be written with any exponent.
        number = number or Decimal(0)
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -PLACES or number.adjusted() > 25:
            raise BadValue(f"{number} has too many digits to be added up. Keep the source's rows as they are.")
        whole.append(number.scaleb(PLACES, context=_WIDE))
    return pa.array(whole, pa.decimal256(76, 0))


def _whole_numbers(column: Any, places: int) -> list[int | None]:
    """Return sums as whole numbers of 10^-PLACES."""
    factor = 10 ** (PLACES - places)
    values = column.to_pylist()
    if pa.types.is_decimal(column.type):
        scale = column.type.scale
        values = [None if value is None else int(value.scaleb(scale, context=_WIDE)) for value in values]
    return [None if value is None else value * factor for value in values]
