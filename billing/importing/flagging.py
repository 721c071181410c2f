"""The reasons to look at the rows of a piece: looked for once for each distinct combination of what they depend on."""

import datetime
from collections.abc import Iterable, Sequence

import numpy as np

from .. import patterns
from ..attribution import Attribution, Attributor
from ..attribution.checks import Reason, Reference
from ..fields import moment_of
from ..models import Flag
from ..models.periods import last_day_of
from ..readers.coded import Numbers, combined
from ..readers.facts import month_number
from ..readers.subsidies import SUBSIDY_FUND_ORG
from ..readers.understanding import Understood
from ..readers.values import Memo
from ..texts import long_moment, long_month

# What patterns of the policy are looked for in.
PATTERN_COLUMNS = ("ServiceName", "ResourceId", "ResourceName", "ChargeDescription")
MAX_DETAIL = 500

# A row, a code and a detail.
RowFlag = tuple[int, str, str]

_ANY_DAY = datetime.date(2000, 1, 1)
_DAY_SECONDS = 24 * 60 * 60
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()


class Days:
    """The first and last days of service of the rows of a piece, as ordinals, by the clocks of their provider."""

    def __init__(self, said: Understood, zone: datetime.tzinfo | None) -> None:
        """`zone` is None for UTC."""
        self.first = _days(said.starts, zone)
        self.last = np.maximum(self.first, _days(said.ends, zone, is_end=True))


def _days(moments: Numbers, zone: datetime.tzinfo | None, *, is_end: bool = False) -> Numbers:
    if zone is None:
        return (moments - is_end) // _DAY_SECONDS + _EPOCH_DAY
    numbers, firsts = combined([moments])
    before = datetime.timedelta(microseconds=int(is_end))
    local = [moment_of(seconds).astimezone(zone) - before for seconds in moments[firsts].tolist()]
    return np.array([each.toordinal() for each in local], dtype=np.int64)[numbers]


def midnight_of(ordinal: int) -> datetime.datetime:
    """Return the start of a day, given as an ordinal."""
    return datetime.datetime.combine(datetime.date.fromordinal(ordinal), datetime.time(), tzinfo=datetime.UTC)


class Flagging:
    """Finds the reasons to look at rows of one import; remembers what repeats.

    `attributions` are those of the import so far, by number, and grow. `posted` is the day on which the ledger has
    what is charged; without it, the last of each row's own month.
    """

    def __init__(
        self,
        *,
        attributor: Attributor,
        reference: Reference,
        attributions: Sequence[Attribution],
        flag_patterns: Iterable[str],
        expected: frozenset[datetime.date],
        posted: datetime.date | None,
    ) -> None:
        self._attributor = attributor
        self._reference = reference
        self._attributions = attributions
        self._expected = expected
        self._posted = posted
        self._has_dates = attributor.has_dates or _has_dates(reference)
        self._reasons = Memo(self._check)
        self._undated_reasons = Memo(self._check_undated)
        self._patterns = patterns.Searched(flag_patterns)
        self._matches = Memo(self._patterns.first_in)

    @property
    def has_patterns(self) -> bool:
        return bool(self._patterns)

    def of(self, rows: range, attributed: Numbers, said: Understood, days: Days) -> list[RowFlag]:
        """Return every reason to look at a row of a piece; `rows` are the numbers of its rows."""
        flags = self._of_payers(rows, attributed, said, days)
        if self._expected:
            flags += self._of_other_months(rows, said)
        flags += [
            (rows[place], str(Flag.Code.UNKNOWN_CATEGORY), _category_told(text)) for place, text in said.odd_categories
        ]
        for place in np.flatnonzero(said.ends < said.starts).tolist():
            times = moment_of(int(said.starts[place])), moment_of(int(said.ends[place]))
            told = f"It begins {long_moment(times[0])} and ends {long_moment(times[1])}."
            flags.append((rows[place], str(Flag.Code.PERIOD_REVERSED), told))
        if self._patterns:
            for name in PATTERN_COLUMNS:
                flags += self._of_patterns(rows, name, said)
        return flags

    def _of_payers(self, rows: range, attributed: Numbers, said: Understood, days: Days) -> list[RowFlag]:
        subsidies = said.texts[SUBSIDY_FUND_ORG]
        dates: tuple[Numbers, ...] = ()
        if self._has_dates or any(each.end_date for each in self._attributions):
            dates = (days.first, days.last, said.months)
        reasons_of = self._reasons if dates else self._undated_reasons
        numbers, firsts = combined([attributed, subsidies.codes, *dates])
        columns = [attributed[firsts].tolist(), subsidies.at(firsts), *(each[firsts].tolist() for each in dates)]
        found = reasons_of.column(list(zip(*columns, strict=True)))
        told = [[(str(reason.code), reason.detail[:MAX_DETAIL]) for reason in reasons] for reasons in found]
        if not any(told):
            return []
        places = np.flatnonzero(np.array([bool(each) for each in told])[numbers])
        of_places = zip(places.tolist(), numbers[places].tolist(), strict=True)
        return [(rows[place], code, detail) for place, number in of_places for code, detail in told[number]]

    def _of_other_months(self, rows: range, said: Understood) -> list[RowFlag]:
        known = [month_number(month) for month in self._expected]
        places = np.flatnonzero(~np.isin(said.months, known)).tolist()
        expected = ", ".join(long_month(month) for month in sorted(self._expected))
        return [
            (
                rows[place],
                str(Flag.Code.PERIOD_MISMATCH),
                f"The row is of {_written(int(said.months[place]))}; {expected} was expected.",
            )
            for place in places
        ]

    def _of_patterns(self, rows: range, name: str, said: Understood) -> list[RowFlag]:
        column = said.texts[name]
        found = [self._matches[text] for text in column.texts]
        if not any(found):
            return []
        places = np.flatnonzero(column.values(map(bool, found), np.bool_))
        of_places = zip(places.tolist(), column.codes[places].tolist(), strict=True)
        return [
            (rows[place], str(Flag.Code.PATTERN_MATCH), f"{name} matches “{found[code]}”."[:MAX_DETAIL])
            for place, code in of_places
        ]

    def _check(self, key: tuple[int, str, int, int, int]) -> tuple[Reason, ...]:
        number, subsidy_fund_org, first, last, month = key
        posted = self._posted or last_day_of(datetime.date(*divmod(month, 100), 1))
        return self._attributor.check(
            self._attributions[number],
            reference=self._reference,
            start=midnight_of(first),
            end=midnight_of(last + 1),
            posted=posted,
            subsidy_fund_org=subsidy_fund_org,
        )

    def _check_undated(self, key: tuple[int, str]) -> tuple[Reason, ...]:
        number, subsidy_fund_org = key
        any_day = midnight_of(_ANY_DAY.toordinal())
        return self._attributor.check(
            self._attributions[number],
            reference=self._reference,
            start=any_day,
            end=any_day,
            posted=self._posted,
            subsidy_fund_org=subsidy_fund_org,
        )


def _written(month: int) -> str:
    return long_month(datetime.date(*divmod(month, 100), 1))


def _has_dates(reference: Reference) -> bool:
    """Whether the day of service changes an answer, as it does not without a dated fund."""
    return bool(reference.last_postings) or any(first or last for first, last in (reference.funds or {}).values())


def _category_told(text: str) -> str:
    known = "Usage, Purchase, Tax, Credit or Adjustment"
    return f"The charge category is “{text[:60]}”, not {known}." if text else f"ChargeCategory is empty, not {known}."
