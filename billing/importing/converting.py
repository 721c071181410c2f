"""Pieces of an import into the columns of charges, with who pays, reasons, hashes and control totals."""

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..attribution import NOWHERE, Attribution, Attributor, Place
from ..attribution.checks import Reference
from ..readers.batches import MAX_PROBLEMS, Batch, Problem
from ..readers.coded import Numbers, combined
from ..readers.dates import ZONES
from ..readers.facts import Scope, ScopeTotal
from ..readers.problems import problems_of
from ..readers.recalling import Recalled, keys_of, kind_of_keys
from ..readers.tags import tags_of
from ..readers.understanding import Understanding, Understood, Wanted
from ..readers.values import BadValue, Memo
from .flagging import Days, Flagging, RowFlag, midnight_of


@dataclass(frozen=True)
class Converted:
    """A piece with its rows numbered, who pays for each by its number among `owners`, and the reasons to look at it.

    `months` are numbers (202501), `states` those of charges, and a flag is a row, a code and a detail. `owners` are
    those of the whole import so far, and only grow.
    """

    rows: range
    file_numbers: Sequence[int]
    months: Numbers
    attributed: Numbers
    states: list[str]
    said: Understood
    flags: list[RowFlag]
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
    ) -> None:
        """`posted` is the day on which the ledger has what is charged; without it, the last of each row's own month."""
        self.attributor = attributor
        self.only_month = next(iter(expected)) if len(expected) == 1 else None
        self.rows = 0
        # Rows of the files, of which some may have been added up.
        self.delivered = 0
        self.totals: dict[Scope, ScopeTotal] = {}
        # The names of all that is billed by and for, to tell another source's file by.
        self.providers: set[str] = set()
        self.services: set[str] = set()
        self.problems: list[tuple[str, Problem]] = []
        self.flag_counts: Counter[str] = Counter()
        self.flagged_rows = 0
        # How many rows each rule was used for, by which values are not taken as FOCUS writes them.
        self.rules: Counter[str] = Counter()
        # The clocks whose days are days of service; None: UTC.
        self.zone: datetime.tzinfo | None = None
        # Columns that look like money and are not read, and the costs that a file lacks, each with the file.
        self.unread: dict[str, str] = {}
        self.lacking: dict[str, str] = {}
        # The attributions of the rows so far, by the number that staged rows carry.
        self.attribution_list: list[Attribution] = []
        self._attribution_numbers: dict[Attribution, int] = {}
        # The places of the rows so far, by number.
        self._place_numbers: dict[Place, int] = {}
        self._places: list[Place] = []
        # By the text of the tags and the number of the place.
        self._attributed = Memo(self._attribute, 50_000)
        # The same by the numbers of both.
        self._recalled = Recalled(kind_of_keys(2), 50_000)
        self._flagging = Flagging(
            attributor=attributor,
            reference=reference,
            attributions=self.attribution_list,
            flag_patterns=flag_patterns,
            expected=expected,
            posted=posted,
        )
        self._understanding = Understanding(Wanted(only_month=self.only_month, currency=currency))

    @property
    def has_patterns(self) -> bool:
        return self._flagging.has_patterns

    def convert(self, batch: Batch, *, file_name: str, file_number: int) -> Converted | None:
        """Convert a piece; None where it has problems (which are then in `problems`)."""
        try:
            said = self._understanding.of(batch)
        except BadValue:
            self.find_problems(batch, file_name)
            return None
        size = len(said.lines)
        for rule, zone in ZONES.items():
            if said.rules.get(rule):
                self.zone = zone
        days = Days(said, self.zone)
        attributed = self._attributed_of(said, days)
        first_row = self.rows + 1
        rows = range(first_row, first_row + size)
        flags = self._flagging.of(rows, attributed, said, days)
        self._note(said, flags, file_name)
        states: list[str] = ["clear"] * size
        for row in {row for row, _, _ in flags}:
            states[row - first_row] = "held"
        return Converted(
            rows=rows,
            file_numbers=said.file_numbers or [file_number] * size,
            months=said.months,
            attributed=attributed,
            states=states,
            said=said,
            flags=flags,
            owners=self.attribution_list,
        )

    def find_problems(self, batch: Batch, file_name: str, *, otherwise: str = "") -> None:
        """Name every value of a piece that cannot be converted, with its line and column.

        `otherwise` is said where each value by itself is in order.
        """
        found = problems_of(batch, has_period=self.only_month is not None, otherwise=otherwise)
        self.problems += [(file_name, problem) for problem in found[: MAX_PROBLEMS - len(self.problems)]]
        self.problems.sort(key=lambda each: (each[0], each[1].line or 0))

    def note_columns(self, file_name: str, *, unread: Iterable[str], lacking: Iterable[str]) -> None:
        """Remember what a file has and is not read, and what it lacks."""
        for found, names in ((self.unread, unread), (self.lacking, lacking)):
            for name in names:
                found.setdefault(name, file_name)

    def _note(self, said: Understood, flags: list[RowFlag], file_name: str) -> None:
        """Add what a piece comes to."""
        for scope, total in said.totals.items():
            self.totals.setdefault(scope, ScopeTotal()).add(total)
            self.delivered += total.rows
        self.rules.update(said.rules)
        self.note_columns(file_name, unread=said.unread, lacking=said.lacking)
        self.providers.update(said.texts["ProviderName"].texts)
        self.services.update(said.texts["ServiceName"].texts)
        self.rows += len(said.lines)
        self.flag_counts.update(code for _, code, _ in flags)
        self.flagged_rows += len({row for row, _, _ in flags})

    def _attributed_of(self, said: Understood, days: Days) -> Numbers:
        """Return who pays for each row: asked once for each distinct combination of tags and place."""
        tags, places = said.texts["Tags"], self._places_of(said, days)
        numbers, firsts = combined([tags.codes, places])
        of_firsts = places[firsts]

        def find(which: Numbers) -> list[int]:
            return self._attributed.column(list(zip(tags.at(firsts[which]), of_firsts[which].tolist(), strict=True)))

        found = self._recalled.of(keys_of([tags.numbers_at(firsts), of_firsts]), find)
        return found.astype(np.int32)[numbers]

    def _places_of(self, said: Understood, days: Days) -> Numbers:
        """Return for each row the number of its place."""
        names = self.attributor.columns
        columns = [said.texts[name].codes for name in names]
        if self.attributor.asks_for_days or not columns:
            columns.append(days.first if self.attributor.asks_for_days else np.zeros(len(said.lines), dtype=np.int64))
        numbers, firsts = combined(columns)
        places = self.attributor.places(
            {name: said.texts[name].at(firsts) for name in names},
            list(map(midnight_of, days.first[firsts].tolist())),
        )
        of_combinations = [self._number_of(place) for place in places or [NOWHERE] * len(firsts)]
        return np.array(of_combinations, dtype=np.int64)[numbers]

    def _number_of(self, place: Place) -> int:
        number = self._place_numbers.setdefault(place, len(self._places))
        if number == len(self._places):
            self._places.append(place)
        return number

    def _attribute(self, key: tuple[str, int]) -> int:
        text, place = key
        attribution = self.attributor.attribute(tags_of(text), self._places[place])
        number = self._attribution_numbers.get(attribution)
        if number is None:
            number = self._attribution_numbers[attribution] = len(self.attribution_list)
            self.attribution_list.append(attribution)
        return number
