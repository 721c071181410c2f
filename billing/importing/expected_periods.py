"""The billing periods that somebody expects in files: as written, or as the names of the files say."""

import datetime
import re

from ..models.periods import MONTH, parse_month

# A month in a file's name: 2025-01, 2025_01 or 202501; or a quarter: 2025-Q1.
MONTH_IN_NAME = re.compile(r"(?<!\d)(20\d{2})[-_]?(0[1-9]|1[0-2])(?!\d)")
QUARTER = re.compile(r"(?<!\d)(20\d{2})[-_]?[qQ]([1-4])(?!\d)")


def expected_months(text: str) -> frozenset[datetime.date]:
    """Return the months that `2025-01` or `2025-Q1` stand for; raise ValueError for anything else."""
    if quarter := QUARTER.fullmatch(text.strip()):
        first = 3 * int(quarter[2]) - 2
        return frozenset(datetime.date(int(quarter[1]), month, 1) for month in range(first, first + 3))
    if not MONTH.fullmatch(text.strip()):
        raise ValueError(f"“{text}” is not a billing period. Write 2025-01 for a month or 2025-Q1 for a quarter.")
    return frozenset({parse_month(text)})


def period_in_name(name: str) -> str:
    """Return the period that a file's name holds (`2025-01`, `2025-Q1`), "" for none or for several."""
    quarters = {f"{year}-Q{quarter}" for year, quarter in QUARTER.findall(name)}
    months = {f"{year}-{month}" for year, month in MONTH_IN_NAME.findall(QUARTER.sub(" ", name))}
    found = quarters | months
    return found.pop() if len(found) == 1 else ""
