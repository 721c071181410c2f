"""Lists of the values that the ledger knows, by segment: loaded as a whole, replaced as a whole, and looked up."""

import datetime
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from django.db.models import Max

from billing import audit
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import Policy
from billing.patterns import compiled
from billing.readers.cells import Kind
from billing.setup.lists import LineError, ListRefused, day_of, digest_of, read_list, require_as_shown
from billing.texts import cleaned, code_of, long_span, odd_characters, quoted

from . import layouts
from .models import JournalLayout, ValidValue, ValidValueList
from .spans import Span, holds_on, overlap

COLUMNS = {
    "segment": Kind.TEXT,
    "value": Kind.CODE,
    "name": Kind.TEXT,
    "valid_from": Kind.DATE,
    "valid_until": Kind.DATE,
}
# What is checked beside the segments of a fund/org: the fund/org as a whole, and the account code.
FUND_ORG, ACCOUNT = "fund_org", "account"
BATCH = 2_000
# Values that a preview names.
NAMED = 20


class ValuesRefused(ListRefused):
    """A list of valid values that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No list of valid values was loaded."


class UnknownSegment(BillingError):
    """A segment has no list of valid values."""


@dataclass(frozen=True)
class Replaced:
    """What a list changed of one segment."""

    segment: str
    values: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __str__(self) -> str:
        noun = "value" if self.values == 1 else "values"
        return (
            f"{self.segment}: {self.values:,} {noun} ({len(self.added):,} added, {len(self.removed):,} removed, "
            f"{len(self.changed):,} changed)"
        )


@dataclass(frozen=True)
class LoadedValues:
    """What a list changed, segment by segment. Segments that it does not name stay as they are."""

    segments: tuple[Replaced, ...]
    is_dry_run: bool = False

    def __str__(self) -> str:
        verb = "Would replace" if self.is_dry_run else "Replaced"
        return f"{verb} {'; '.join(map(str, self.segments))}."

    @property
    def digest(self) -> str:
        """What is equal as long as the list would do the same."""
        return digest_of(self.segments)

    @property
    def examples(self) -> list[str]:
        """What a preview names of each segment."""
        found = []
        for each in self.segments:
            for verb, values in (("adds", each.added), ("removes", each.removed), ("changes", each.changed)):
                if values:
                    more = f" and {len(values) - NAMED:,} more" if len(values) > NAMED else ""
                    found.append(f"{each.segment} {verb} {', '.join(values[:NAMED])}{more}")
        return found


@dataclass(frozen=True)
class _Row:
    """A line of the file that is right."""

    value: str
    name: str
    span: Span


def load_values(
    *, file: IO[bytes], is_dry_run: bool = False, expected: str = "", actor: Actor, now: datetime.datetime
) -> LoadedValues:
    """Replace the values of each segment that a CSV or Excel file names, as a whole.

    The columns are those of COLUMNS, of which segment and value are a must. A value may be on several lines, for days
    that do not overlap. A dry run stores nothing; with `expected`, its digest, nothing is stored unless the list would
    do just that. Raises ValuesRefused with every mistake by line and column, and PreviewOutdated.
    """
    rows = read_list(file, columns=COLUMNS, refused=ValuesRefused, nobody="The file names no value.")
    with audit.gesture(actor=actor, now=now) as gesture:
        known = segments_known()
        # Who loads at the same time takes turns.
        current = {
            each.segment: each
            for each in ValidValueList.objects.select_for_update(no_key=True).filter(replaced_at__isnull=True)
        }
        by_segment = _read(rows, known)
        done = []
        for segment, read in by_segment.items():
            before = _values_of(current.get(segment))
            done.append(_compared(segment, before, read))
            if is_dry_run:
                continue
            made = _replace(segment, read, current.get(segment), actor=actor, now=now)
            counts = {name: len(getattr(done[-1], name)) for name in ("added", "removed", "changed")}
            after = {"segment": segment, "version": made.version, "values": len(read), **counts}
            gesture.record("valid_values.loaded", made, after=after)
        loaded = LoadedValues(tuple(done), is_dry_run)
        # What was written already is undone with the transaction.
        require_as_shown(loaded.digest, expected)
        return loaded


def remove(*, segment: str, actor: Actor, now: datetime.datetime) -> ValidValueList:
    """Have a segment checked against no list any more. Its lists are kept. Raises UnknownSegment."""
    with audit.gesture(actor=actor, now=now) as gesture:
        found = list_of(segment)
        found.replaced_at = now
        found.save(update_fields=["replaced_at"])
        gesture.record("valid_values.removed", found, after={"segment": segment, "version": found.version})
        return found


def list_of(segment: str) -> ValidValueList:
    """Return the list of a segment that is in force. Raises UnknownSegment."""
    found = ValidValueList.objects.filter(segment=segment, replaced_at__isnull=True).first()
    if found is None:
        names = ", ".join(ValidValueList.objects.filter(replaced_at__isnull=True).values_list("segment", flat=True))
        raise UnknownSegment(f"There is no list of valid values for “{segment}”. There are: {names or 'none yet'}.")
    return found


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
        for segment in ValidValueList.objects.filter(replaced_at__isnull=True).values_list("segment", flat=True)
    }
    rows = ValidValue.objects.filter(list__replaced_at__isnull=True).order_by("list", "value", "valid_from")
    for segment, value, first, last in rows.values_list("list__segment", "value", "valid_from", "valid_until"):
        found[segment].setdefault(value, []).append((first, last))
    return found


def is_valid_on(spans: list[Span], day: datetime.date) -> bool:
    return any(holds_on(span, day) for span in spans)


def told(spans: list[Span]) -> str:
    """Say on which days a value is valid: `from Jan 1, 2026 until Jun 30, 2026`."""
    return " and ".join(long_span(*span) for span in spans)


def _read(rows: list[tuple[int, dict[str, str]]], known: tuple[str, ...]) -> dict[str, list[_Row]]:
    """Return the values of each segment. Raises ValuesRefused."""
    errors: list[LineError] = []
    found: dict[str, list[_Row]] = defaultdict(list)
    lines: dict[tuple[str, str], list[tuple[int, Span]]] = defaultdict(list)
    for line, row in rows:
        segment, value = row["segment"].strip(), code_of(row.get("value", ""))
        if segment not in known:
            what = f"{quoted(segment)} is no segment" if segment else "is empty"
            errors.append(LineError(line, "segment", f"{what}. There are: {', '.join(known)}"))
        if not value:
            errors.append(LineError(line, "value", "is empty"))
        elif odd := odd_characters(value):
            errors.append(LineError(line, "value", f"{quoted(row['value'])}: {odd}"))
        elif len(value) > 64:
            errors.append(LineError(line, "value", "has more than 64 characters"))
        days = [_day(line, row, name, errors) for name in ("valid_from", "valid_until")]
        first, last = days
        if first and last and last < first:
            errors.append(LineError(line, "valid_until", "The last day is before the first."))
        for other, span in lines[segment, value]:
            if value and overlap(span, (first, last)):
                errors.append(LineError(line, "value", f"{value} is on line {other} already, for days that overlap"))
                break
        lines[segment, value].append((line, (first, last)))
        found[segment].append(_Row(value, cleaned(row.get("name", ""))[:200], (first, last)))
    if errors:
        raise ValuesRefused(sorted(errors, key=lambda error: error.line))
    return found


def _day(line: int, row: Mapping[str, str], name: str, errors: list[LineError]) -> datetime.date | None:
    try:
        return day_of(row.get(name, ""))
    except ValueError as error:
        errors.append(LineError(line, name, str(error)))
        return None


def _values_of(found: ValidValueList | None) -> list[_Row]:
    if found is None:
        return []
    rows = found.values.values_list("value", "name", "valid_from", "valid_until")
    return [_Row(value, name, (first, last)) for value, name, first, last in rows]


def _compared(segment: str, before: list[_Row], after: list[_Row]) -> Replaced:
    old, new = _by_value(before), _by_value(after)
    return Replaced(
        segment,
        len(after),
        added=tuple(sorted(set(new) - set(old))),
        removed=tuple(sorted(set(old) - set(new))),
        changed=tuple(sorted(value for value in set(old) & set(new) if old[value] != new[value])),
    )


def _by_value(rows: list[_Row]) -> dict[str, set[_Row]]:
    found: dict[str, set[_Row]] = defaultdict(set)
    for row in rows:
        found[row.value].add(row)
    return found


def _replace(
    segment: str, rows: list[_Row], before: ValidValueList | None, *, actor: Actor, now: datetime.datetime
) -> ValidValueList:
    if before:
        before.replaced_at = now
        before.save(update_fields=["replaced_at"])
    latest = ValidValueList.objects.filter(segment=segment).aggregate(latest=Max("version"))["latest"] or 0
    made = ValidValueList.objects.create(
        segment=segment,
        version=latest + 1,
        value_count=len(rows),
        loaded_at=now,
        loaded_by=actor.user,
        loaded_by_name=actor.name,
    )
    ValidValue.objects.bulk_create(
        (
            ValidValue(list=made, value=row.value, name=row.name, valid_from=row.span[0], valid_until=row.span[1])
            for row in rows
        ),
        batch_size=BATCH,
    )
    return made
