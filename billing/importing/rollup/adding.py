"""Rows that are alike in everything but time, quantities and amounts, added up exactly to days or months.

An hourly export of a month has the same few thousand resources 744 times over. Its rows are grouped as
columns, before any of them becomes a row of Python: texts by the number of their distinct value, amounts as whole
numbers of a power of ten. No float is ever added. What is summed is an import as a whole, whatever
order its rows and files come in, so that a later import gives the same sums.
"""

import datetime
import pickle
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa

from ...readers.amounts import plain_decimal
from ...readers.arrow_texts import coded_column
from ...readers.batches import BATCH_ROWS, Batch
from ...readers.coded import Coded, Numbers, combined, constant
from ...readers.dates import DAY, Rule, end_and_rule, month_of, period_rules, service_time_of, time_of, zone_of
from ...readers.problems import NO_CURRENCY
from ...readers.project_columns import Projects
from ...readers.projects import PROJECT
from ...readers.spelling import IDS, same_id, same_tags
from ...readers.tags import tags_of
from ...readers.understanding import CONVERT
from ...readers.values import BadValue, Memo, currency_of
from .exact import Exact, exact_column, plain_of, whole_numbers
from .groups import KEYS, PRICES, SUMMED, TIMES, Group, Numbered
from .segments import Segment, Segments, written

# Rows of text grouped at once.
ROWS = 65_536
# Groups held in memory; more are put aside on the disk, in parts that are merged one after the other.
MAX_GROUPS = 1_000_000
PARTS = 32


# The columns that are taken as numbers of their distinct texts.
_CODED = frozenset((*KEYS, *TIMES, PROJECT))


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


class Rollup:
    """Adds up one import. `add` takes rows as columns; `batches` gives what they come to.

    `by_month` adds the days of a month up too (`month` is that of rows which name none), unless `segment`
    tells them apart: for a batch of days it returns what must not be mixed (who pays, what is to be
    reviewed). Days are those of the clocks that the import's months begin by, else of UTC. Rows cover whole
    days, or the whole month where that changes nothing
    in their segment: what a later import adds to a month is then a change of the same charge.

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
        self.columns = {name: Numbered(same=_SAME.get(name)) for name in KEYS}
        # Number 0 is the span of a month that is not known.
        self.days = Numbered({None: 0}, [None])
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

    def add(self, columns: Mapping[str, Any], lines: Sequence[int], file_number: int = 1) -> None:
        """Add rows of one file, given as Batch.columns has them."""
        size = len(lines)
        if not size:
            return
        given = {name: coded_column(name, values) for name, values in columns.items() if name in _CODED}
        of_projects = 0
        if PROJECT in given:
            given, of_projects = self._projects.placed(given)
        if self.zone is datetime.UTC and "BillingPeriodStart" in given:
            self.zone = zone_of(given["BillingPeriodStart"].texts) or datetime.UTC
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
        positions, representatives = combined(list(keys))
        first = (np.int64(file_number) << 40) + np.asarray(lines, dtype=np.int64)
        summed = {name: exact_column(columns[name]) for name in SUMMED if name in columns}
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

    def _numbers_of(self, name: str, given: Coded) -> Numbers:
        column, convert = self.columns[name], self._convert[name]
        return given.values((column.number(convert[text]) for text in given.texts), np.int32)

    def _note_rules(self, given: Mapping[str, Coded], size: int, of_projects: int) -> None:
        for times, count in _counted(TIMES, given, size):
            rule = end_and_rule((times[0], times[1], times[2]))[1]
            if rule:
                self.rules[rule] += count
        for times, count in _counted(("BillingPeriodStart", "BillingPeriodEnd"), given, size):
            for rule in period_rules((times[0], times[1])):
                self.rules[rule] += count
        if of_projects:
            self.rules[Rule.CLOUD_PROJECT] += of_projects

    def _days_of(self, given: Mapping[str, Coded], size: int) -> Numbers:
        """Return the number of the whole days that each row covers."""
        columns = [given.get(name) or constant("", size) for name in TIMES]
        for text in columns[2].texts:
            # It decides nothing, but a file whose dates cannot be read is refused.
            self._billing_ends[text]
        numbers, firsts = combined([column.codes for column in columns])
        times = zip(*(column.at(firsts) for column in columns), strict=True)
        return np.array([self.days.number(self._spans[each]) for each in times], dtype=np.int32)[numbers]

    # Sums --------------------------------------------------------------------------------------

    def _merge(
        self, keys: Numbers, positions: Numbers, representatives: Numbers, first: Numbers, summed: dict[str, "Exact"]
    ) -> None:
        table = {"group": pa.array(positions), "first": pa.array(first)}
        wanted = [("first", "min"), ("first", "count")]
        for name, exact in summed.items():
            table[name] = exact.array
            wanted.append((name, "sum"))
        found = pa.TableGroupBy(pa.table(table), "group", use_threads=False).aggregate(wanted)
        rows = representatives[found["group"].to_numpy()]
        sums: list[Sequence[int | None]] = [
            whole_numbers(found[f"{name}_sum"], summed[name].places) if name in summed else [None] * len(rows)
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
        segments = Segments(
            self.segment,
            self.segment_columns,
            columns=self.columns,
            days=self.days,
            given=self.given,
            zone=self.zone,
        )
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
        columns["ChargePeriodStart"] = [written(start) for start, _ in spans]
        columns["ChargePeriodEnd"] = [written(end) for _, end in spans]
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


def _counted(names: Sequence[str], given: Mapping[str, Coded], size: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield each combination of texts that columns hold, and in how many rows."""
    columns = [given.get(name) or constant("", size) for name in names]
    numbers, firsts = combined([column.codes for column in columns])
    combinations = zip(*(column.at(firsts) for column in columns), strict=True)
    return zip(combinations, np.bincount(numbers).tolist(), strict=True)


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


def _last_number(key: bytes) -> int:
    return int.from_bytes(key[-4:], "little")
