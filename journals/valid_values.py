"""Lists of the values that the ledger knows, by segment, and which of them hold on a day."""

import datetime
from functools import partial
from typing import IO

from billing.models import Policy
from billing.patterns import compiled
from billing.readers.cells import Kind
from billing.setup.lists import ListRefused, read_list
from billing.texts import cleaned, long_span, quoted

from . import layouts, ledger_lists
from .ledger_lists import ListKind, Reading
from .models import JournalLayout, ValidValue, ValidValueList
from .spans import Span, holds_on

COLUMNS = {
    "segment": Kind.TEXT,
    "value": Kind.CODE,
    "name": Kind.TEXT,
    "valid_from": Kind.DATE,
    "valid_until": Kind.DATE,
}
# What is checked beside the segments of a fund/org: the fund/org as a whole, and the account code.
FUND_ORG, ACCOUNT = "fund_org", "account"


class ValuesRefused(ListRefused):
    """A list of valid values that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No list of valid values was loaded."


def segments_known() -> tuple[str, ...]:
    """Return what a list can be of: the fund/org, the account code, and segments of the policy and of layouts."""
    patterns = [Policy.objects.current().fund_org_segments]
    for layout in JournalLayout.objects.exclude(state=JournalLayout.State.RETIRED):
        patterns.append(layouts.read(layout).segments)
    names = {name for pattern in patterns if pattern for name in compiled(pattern).groupindex}
    return (FUND_ORG, ACCOUNT, *sorted(names - {FUND_ORG, ACCOUNT}))


def in_force() -> dict[str, dict[str, list[Span]]]:
    """Return the values of each segment that has a list, each with the days on which it is valid."""
    found: dict[str, dict[str, list[Span]]] = {
        segment: {}
        for segment in ValidValueList.objects.filter(replaced_at__isnull=True).values_list("name", flat=True)
    }
    rows = ValidValue.objects.filter(list__replaced_at__isnull=True).order_by("list", "value", "valid_from")
    for segment, value, first, last in rows.values_list("list__name", "value", "valid_from", "valid_until"):
        found[segment].setdefault(value, []).append((first, last))
    return found


def is_valid_on(spans: list[Span], day: datetime.date) -> bool:
    return any(holds_on(span, day) for span in spans)


def told(spans: list[Span]) -> str:
    """Say on which days a value is valid: `from Jan 1, 2026 until Jun 30, 2026`."""
    return " and ".join(long_span(*span) for span in spans)


def _read(file: IO[bytes]) -> Reading:
    """Read the values of each segment that a file names. The columns are COLUMNS: segment and value are a must."""
    rows = read_list(file, columns=COLUMNS, refused=ValuesRefused, nobody="The file names no value.")
    known = segments_known()
    reading = Reading()
    for line, row in rows:
        segment = row["segment"].strip()
        if segment not in known:
            what = f"{quoted(segment)} is no segment" if segment else "is empty"
            reading.refuse(line, "segment", f"{what}. There are: {', '.join(known)}")
        value = reading.code(line, "value", row.get("value", ""), length=64)
        name = cleaned(row.get("name", ""))[:200]
        fields = {"value": value, "name": name}
        reading.take(segment, line, row, column="value", told=value, is_whole=bool(value), fields=fields)
    return reading


VALUES = ListKind(
    versions=ValidValueList,
    rows=ValidValue,
    fields=("value", "name"),
    told=lambda row: row["value"],
    read=_read,
    refused=ValuesRefused,
    event="valid_values",
    what="segment",
    nouns=("value", "values"),
    called="list of valid values for",
)
load_values = partial(ledger_lists.load, VALUES)
remove = partial(ledger_lists.remove, VALUES)
