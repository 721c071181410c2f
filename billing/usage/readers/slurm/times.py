"""Times and durations as sacct writes them, by columns."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....readers.dates import time_of
from ....readers.values import BadValue
from ....texts import quoted
from .local_times import EPOCH

# What sacct writes where there is no time.
NO_TIME = frozenset({"", "unknown", "none", "none assigned", "n/a", "0", "invalid"})
NEVER = np.iinfo(np.int64).min

_ISO_LENGTH = len("2016-12-22T07:15:12")
_ZONED = re.compile(r".{11,}(?:Z|UTC|[+-]\d{2}(?::?\d{2})?)")
# Until the year 2286.
_UNIX = re.compile(r"\d{1,10}", re.ASCII)
_DURATION = re.compile(r"(?:(?:(\d{1,6})-)?(\d{1,8}):)?([0-5]\d):([0-5]\d)", re.ASCII)
_SECONDS = re.compile(r"\d{1,10}", re.ASCII)


@dataclass(frozen=True)
class Moments:
    """Times of a column: `seconds` since 1970, NEVER where there is none; `is_local` those that a clock showed."""

    seconds: Any
    is_local: Any

    @property
    def known(self) -> Any:
        return self.seconds != NEVER

    def kept(self, mask: Any) -> "Moments":
        return Moments(self.seconds[mask], self.is_local[mask])


def moment_of(text: str) -> tuple[int, bool]:
    """Return a time in seconds since 1970, and whether it is a local one; NEVER for none. Raises BadValue."""
    bare = text.strip()
    if bare.casefold() in NO_TIME:
        return NEVER, False
    if _UNIX.fullmatch(bare):
        return int(bare), False
    try:
        moment = time_of(bare)
    except BadValue as error:
        raise BadValue(
            f"{quoted(text)} is not a time that can be read. Leave SLURM_TIME_FORMAT unset, so that sacct writes "
            "year-month-dayThour:minute:second."
        ) from error
    if moment is None:
        return NEVER, False
    return int((moment - EPOCH).total_seconds()), not _ZONED.fullmatch(bare)


def moments_of(texts: pa.Array) -> Moments:
    """Convert a column of texts; raises BadValue where some text is no time (see `moment_of`)."""
    seconds = np.full(len(texts), NEVER, dtype=np.int64)
    is_local = np.zeros(len(texts), dtype=np.bool_)
    is_iso = pc.equal(pc.binary_length(texts), _ISO_LENGTH).to_numpy(zero_copy_only=False)
    try:
        parsed = (texts if is_iso.all() else texts.filter(pa.array(is_iso))).cast(pa.timestamp("s"))
    except pa.ArrowInvalid:
        is_iso = np.zeros(len(texts), dtype=np.bool_)
    else:
        seconds[is_iso] = parsed.cast(pa.int64()).to_numpy(zero_copy_only=False)
        is_local[is_iso] = True
    if not is_iso.all():
        others = texts.filter(pa.array(~is_iso)).dictionary_encode()
        found = [moment_of(text) for text in others.dictionary.to_pylist()]
        codes = others.indices.to_numpy()
        seconds[~is_iso] = np.array([each[0] for each in found], dtype=np.int64)[codes]
        is_local[~is_iso] = np.array([each[1] for each in found], dtype=np.bool_)[codes]
    return Moments(seconds, is_local)


def duration_of(text: str) -> int:
    """Return a duration in seconds: `10-13:27:06`, `00:00:24`, `24:10`, or seconds as such. Raises BadValue."""
    bare = text.strip()
    if _SECONDS.fullmatch(bare):
        return int(bare)
    found = _DURATION.fullmatch(bare)
    if not found:
        if bare.startswith("-"):
            raise BadValue(f"{quoted(text)} is less than nothing. The clock of a node was wrong; correct the line.")
        raise BadValue(f"{quoted(text)} is not a duration. It is written as days-hours:minutes:seconds.")
    days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
