"""A source that is kept by day or by month: rows are added up first, and the sums are converted."""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from ...attribution import Attributor
from ...readers import Part, read
from ...readers.ahead import ahead
from ...readers.batches import MAX_PROBLEMS, Batch
from ...readers.columns import AMOUNTS
from ...readers.values import BadValue
from ..converting import Converted, Converter
from ..flagging import PATTERN_COLUMNS
from .adding import Rollup

# Rows of a piece of parquet: the more of them are looked at together, the fewer groups have to be found again.
ROWS = 262_144


class GrainReader:
    """One import, added up by day or by month on its way into a converter.

    Days of a month are not mixed where who pays, a split of the project, or a reason for review changes
    between them: those days become a charge of their own. `make_converter` gives a converter like
    `converter` to ask that of.
    """

    def __init__(
        self, *, by_month: bool, converter: Converter, attributor: Attributor, make_converter: Callable[[], Converter]
    ) -> None:
        self.converter = converter
        self.attributor = attributor
        self.asked = make_converter()
        self.rollup = Rollup(
            by_month=by_month,
            month=converter.only_month,
            segment=self._segments,
            segment_columns=(*attributor.columns, *(PATTERN_COLUMNS if converter.has_patterns else ())),
        )

    def add(self, part: Part, *, number: int, has_period: bool, progress: Callable[[int, int], None]) -> int:
        """Add the rows of a part, and return how many they are; what is wrong is among the converter's problems.

        `progress` is told the rows so far and the bytes of the part that they took.
        """
        rows = 0
        for piece in ahead(read(part, has_period=has_period, batch_rows=ROWS)):
            try:
                self.rollup.add(piece.columns, piece.lines, number)
            except BadValue as error:
                self.converter.find_problems(piece, part.name, otherwise=str(error))
            self.converter.note_columns(part.name, unread=piece.unread, lacking=AMOUNTS.keys() - piece.columns.keys())
            rows += len(piece.lines)
            progress(rows, piece.bytes_read)
            if len(self.converter.problems) >= MAX_PROBLEMS:
                break
        return rows

    def finish(self) -> Iterator[Converted]:
        """Yield what the import comes to."""
        self.converter.rules.update(self.rollup.rules)
        self.converter.zone = self._zone
        for batch in self.rollup.batches():
            converted = self.converter.convert(batch, file_name="", file_number=1)
            if converted is not None:
                yield converted

    @property
    def _zone(self) -> datetime.tzinfo | None:
        # What is rolled up begins at midnight UTC of its month, and tells nothing any more.
        return None if self.rollup.zone is datetime.UTC else self.rollup.zone

    def _segments(self, batch: Batch) -> list[Any]:
        """Return for each row what days of it must have in common to be added up."""
        self.asked.zone = self._zone
        converted = self.asked.convert(batch, file_name="", file_number=1)
        if converted is None:
            # The converter meets the same value, and says in which line.
            return [None] * len(batch.lines)
        reasons: dict[int, list[tuple[str, str]]] = {}
        for row, code, detail in converted.flags:
            reasons.setdefault(row, []).append((code, detail))
        return [
            (number, tuple(reasons.get(row, ())), self._splits_of(number, start))
            for row, number, start in zip(
                converted.rows, converted.attributed.tolist(), batch.columns["ChargePeriodStart"], strict=True
            )
        ]

    def _splits_of(self, number: int, start: str) -> tuple[int, ...]:
        """Return which dated splits of the attribution's project are in force on a day."""
        splits = self.attributor.splits.get(self.asked.attribution_list[number].project_code, ())
        day = start[:10]
        days = enumerate(split.days for split in splits)
        return tuple(place for place, (first, last) in days if first.isoformat() <= day <= last.isoformat())
