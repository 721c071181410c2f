"""Reading files: every row goes through the converter into the stage, and what is wrong is named by file and line."""

import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ..attribution import Attribution, Attributor, reference_of
from ..attribution.newcomers import Known
from ..models import Source
from ..readers import FileError, Part, Problem, check_rows
from ..readers.ahead import ahead
from ..readers.batches import MAX_PROBLEMS
from ..readers.columns import without_measure
from ..readers.facts import Scope, ScopeTotal
from ..readers.reading import read as read_part
from . import differences
from .matching import digest_of
from .outcomes import ImportRefused, in_file
from .receiving import Received

if TYPE_CHECKING:
    from .converting import Converted, Converter

MakeConverter = Callable[[], "Converter"]


class Rows(Protocol):
    """What takes the rows of files: a stage, the charges themselves, or whoever only looks at them."""

    def add(self, converted: "Converted") -> None:
        """Take a batch of rows."""


@dataclass(frozen=True)
class Read:
    """What files hold; their rows themselves are in the stage."""

    # Rows that become charges, and rows of the files, of which some may have been added up.
    rows: int
    delivered: int
    file_rows: Mapping[int, int]
    months: tuple[datetime.date, ...]
    totals: Mapping[Scope, ScopeTotal]
    # Who pays, by the number that staged rows carry, and whose addresses are known to be somebody's.
    attributions: Sequence[Attribution]
    known: Known
    # The names of all that is billed by and for.
    providers: frozenset[str]
    services: frozenset[str]
    # Reasons for review by code, and how many rows have any.
    flags: Mapping[str, int]
    flagged: int
    # How many rows each rule was used for, by which values are not taken as FOCUS writes them.
    rules: Mapping[str, int]
    # The clocks whose days are days of service, "" for UTC.
    zone: str
    # Columns that look like money and are not read.
    unread: tuple[str, ...]


@dataclass
class _Tally:
    """The rows of each file, and a digest of them by which equal files are known."""

    rows: dict[Part, int] = field(default_factory=dict)
    by_number: dict[int, int] = field(default_factory=dict)
    digests: dict[int, int] = field(default_factory=dict)
    bytes_before: int = 0

    def count(self, number: int, part: Part, rows: int) -> None:
        self.rows[part] = self.by_number[number] = rows
        self.bytes_before += part.size


def read(received: Received, rows: Rows) -> Read:
    """Read every file that does not stand already, and hand over its rows.

    Raises FileError, or ImportRefused with every problem of the rows (the first hundred).
    """
    # It works by Arrow, which takes a while to load.
    from .converting import Converter

    attributor = Attributor(source=received.source, policy=received.policy)
    make_converter = partial(
        Converter,
        attributor=attributor,
        reference=reference_of(received.policy),
        currency=received.policy.currency,
        flag_patterns=received.policy.flag_patterns,
        expected=received.expected,
        posted=received.request.posted,
    )
    converter = make_converter()
    if received.source.grain == Source.Grain.LINE:
        tally = _read_lines(received, converter, rows)
    else:
        tally = _read_added_up(received, converter, rows, attributor, make_converter)
    if converter.problems:
        raise ImportRefused(
            [
                {"file": name, "line": each.line, "column": each.column, "message": each.message}
                for name, each in converter.problems
            ]
        )
    if not received.request.is_again:
        check_rows(tally.rows)
        _refuse_same_rows(received, tally)
        _require_measure(received.source, converter)
    return _read_of(converter, attributor, tally)


def _read_of(converter: "Converter", attributor: Attributor, tally: _Tally) -> Read:
    return Read(
        rows=converter.rows,
        delivered=converter.delivered,
        file_rows=tally.by_number,
        months=tuple(sorted({month for month, _, _ in converter.totals})),
        totals=converter.totals,
        attributions=converter.attribution_list,
        known=attributor.known,
        providers=frozenset(converter.providers - {""}),
        services=frozenset(converter.services - {""}),
        flags=converter.flag_counts,
        flagged=converter.flagged_rows,
        rules={str(rule): rows for rule, rows in sorted(converter.rules.items())},
        zone=str(converter.zone or ""),
        unread=tuple(converter.unread),
    )


def _read_lines(received: Received, converter: "Converter", rows: Rows) -> _Tally:
    """Read files whose rows each become a charge."""
    tally = _Tally()
    for number, part in enumerate(received.parts, start=1):
        if number in received.recognized.skipped:
            continue
        rows_before = converter.rows
        batches = ahead(read_part(part, has_period=converter.only_month is not None))
        with in_file(part.name), closing(batches):
            for batch in batches:
                converted = converter.convert(batch, file_name=part.name, file_number=number)
                if converted is not None and not converter.problems:
                    rows.add(converted)
                    tally.digests[number] = digest_of(converted.said.contents, tally.digests.get(number, 0))
                doing = f"Reading rows of {part.name}"
                _tell(received, doing, 0, tally.bytes_before, converter.rows, batch.bytes_read)
                # Not beside the next one.
                del batch, converted
                if len(converter.problems) >= MAX_PROBLEMS:
                    break
        tally.count(number, part, converter.rows - rows_before)
    return tally


def _read_added_up(
    received: Received, converter: "Converter", rows: Rows, attributor: Attributor, make_converter: MakeConverter
) -> _Tally:
    """Read files of a source that is kept by day or by month: all of them are added up before the first charge."""
    from .rollup import GrainReader

    by_month = received.source.grain == Source.Grain.MONTH
    reader = GrainReader(by_month=by_month, converter=converter, attributor=attributor, make_converter=make_converter)
    tally = _Tally()
    for number, part in enumerate(received.parts, start=1):
        if number in received.recognized.skipped:
            continue
        progress = partial(
            _tell, received, f"Adding up rows of {part.name}", sum(tally.rows.values()), tally.bytes_before
        )
        with in_file(part.name):
            has_period = len(received.expected) == 1
            added = reader.add(part, number=number, has_period=has_period, progress=progress)
        tally.count(number, part, added)
    if not converter.problems:
        tally.digests = _digests_of_equally_long(received, tally.by_number, make_converter)
        for converted in reader.finish():
            if not converter.problems:
                rows.add(converted)
    return tally


def _digests_of_equally_long(
    received: Received, file_rows: Mapping[int, int], make_converter: MakeConverter
) -> dict[int, int]:
    """Return digests of the rows of files that have as many rows as another, by file; reads these once more."""
    loose = [number for number in received.loose_files if file_rows.get(number)]
    lengths = Counter(file_rows[number] for number in loose)
    digests: dict[int, int] = {}
    for number in loose:
        if lengths[file_rows[number]] > 1:
            part, converter = received.parts[number - 1], make_converter()
            for batch in read_part(part, has_period=converter.only_month is not None):
                converted = converter.convert(batch, file_name=part.name, file_number=number)
                if converted is not None:
                    digests[number] = digest_of(converted.said.contents, digests.get(number, 0))
    return digests


def _require_measure(source: Source, converter: "Converter") -> None:
    """Refuse files without the cost that the source charges where another of their columns may be it."""
    for measure in {source.measure_in(month) for month, _, _ in converter.totals}:
        name = differences.FOCUS_NAMES[measure]
        file = converter.lacking.get(name)
        if file is not None and (unread := [each for each in converter.unread if converter.unread[each] == file]):
            with in_file(file):
                raise without_measure(name, unread)


def _refuse_same_rows(received: Received, tally: _Tally) -> None:
    """Refuse a file that has just the rows of another, packed or ordered otherwise, unless a manifest names it."""
    first: dict[tuple[int, int], str] = {}
    problems = []
    for number, name in received.loose_files.items():
        if number not in tally.digests:
            continue
        key = (tally.by_number[number], tally.digests[number])
        if key in first:
            problems.append(Problem(f"{name} has the same rows as {first[key]}. Name one of them."))
        first.setdefault(key, name)
    if problems:
        raise FileError(problems)


def _tell(received: Received, doing: str, rows_before: int, bytes_before: int, rows: int, read: int) -> None:
    """Tell how many rows came of about how many, by the share of the bytes that they took."""
    rows += rows_before
    size = sum(part.size for part in received.parts)
    received.request.progress(rows, max(rows, rows * size // max(bytes_before + read, 1)), doing)
