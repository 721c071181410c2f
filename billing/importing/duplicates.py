"""The same cost twice: rows of an import that are charges already, of its own source or of another."""

import datetime
import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from django.db import connection
from django.db.models import Count

from .. import audit
from ..copy_text import DELIMITER
from ..models import BillingPeriod, Charge, Flag, Import, ImportTotal, ReviewDecision, Source, StoredFile
from ..models.charges import ChargeQuerySet
from ..money import plain
from ..readers.dimensions import HASH_BYTES
from ..readers.facts import Scope, month_number
from ..readers.spelling import same_id
from .live_charges import LiveHashes, live_hashes
from .matching import hashes_of, paired
from .staging import Stage, figures, likeness

CODE = Flag.Code.POSSIBLE_DUPLICATE
State = Charge.State

# Ids and hashes in one statement.
BATCH = 500
# The number of a lock of PostgreSQL's, which nothing else here takes.
TURNS = 7_301_944_218

Periods = Mapping[datetime.date, BillingPeriod]


class Again(NamedTuple):
    """A row that is a charge already: which, in words, and the charge that was decided about when it came before.

    `state` is the row's own then: held, rejected as that one was, or none where it was told apart from the other.
    """

    row: int
    detail: str
    state: str = State.HELD
    decided: int = 0


@dataclass(frozen=True)
class Asked:
    """The rows of an import that are charges already, how many of them are held, and how many for nothing else."""

    again: tuple[Again, ...] = ()
    held: int = 0
    held_for_nothing_else: int = 0

    @property
    def rows(self) -> set[int]:
        return {each.row for each in self.again}


class Sides(NamedTuple):
    """The contents of the rows of an import in some months, and the charges that its source has in their span."""

    rows: bytearray
    charges: LiveHashes


def sides(stage: Stage, source: Source, periods: Periods) -> Sides | None:
    """Return what files that add up are compared with, and their hashes; None where there is nothing yet."""
    charges = live_hashes(source.pk, [period.pk for period in periods.values()], stage.span)
    return Sides(stage.contents(month_number(month) for month in periods), charges) if charges[0] else None


def same_files(stage: Stage, both: Sides, periods: Periods) -> dict[int, dict[datetime.date, int]]:
    """Return the months of an import's files whose rows are those of an import in force: file → month → import.

    Rows count, whatever their order and packing. Either a file has of a month just what one import, or one of its
    files, brought of it, or the whole import has.
    """
    months = [month_number(month) for month in periods]
    staged, (ids, contents, _) = both
    # Half of each hash: what is compared in the end are all rows of an import.
    equal = np.flatnonzero(np.isin(hashes_of(contents)[:, 0], hashes_of(staged)[:, 0]))
    if not len(equal):
        return {}
    rows_of: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    whole_of: dict[int, list[bytes]] = defaultdict(list)
    for (_, file, of, _), content in zip(figures.delivered(stage, months), _each(staged), strict=True):
        rows_of[file, of].append(content)
        whole_of[of].append(content)
    sizes = {len(rows) for rows in (*rows_of.values(), *whole_of.values())}
    there = _brought(np.frombuffer(ids, dtype=np.int64)[equal].tolist(), sizes)
    found: dict[int, dict[datetime.date, int]] = defaultdict(dict)
    for month, period in periods.items():
        known, key = there.get(period.pk, {}), month_number(month)
        whole = known.get(_digest(whole_of[key]))
        for (file, of), rows in rows_of.items():
            if of == key and (number := whole or known.get(_digest(rows))):
                found[file][month] = number
    return dict(found)


def ask(stage: Stage, asked: Asked, found: Iterable[Again]) -> Asked:
    """Hold rows that are charges already, or decide as somebody did when they came before; each row once."""
    known = asked.rows
    new = [each for each in found if each.row not in known]
    if not new:
        return asked
    states: dict[str, list[tuple[int, str]]] = {}
    for each in new:
        states.setdefault(each.state, []).append((each.row, each.detail))
    held = [row for row, _ in states.get(State.HELD, [])]
    otherwise = figures.flagged(stage, held)
    stage.doubt(CODE, states)
    return Asked(
        again=(*asked.again, *new),
        held=asked.held + len(held),
        held_for_nothing_else=asked.held_for_nothing_else + len(held) - otherwise,
    )


def _brought(charges: list[int], sizes: set[int]) -> dict[int, dict[bytes, int]]:
    """Return what the imports of these charges, and each of their files, brought: period id → digest → import.

    Only what has as many rows as one of `sizes` is looked at.
    """
    scopes: set[tuple[int, int]] = set()
    for some in _parts(charges):
        scopes.update(Charge.objects.filter(pk__in=some).values_list("imported_in", "period"))
    found: dict[int, dict[bytes, int]] = defaultdict(dict)
    for number, period_id in sorted(scopes):
        live = Charge.objects.live().filter(imported_in=number, period=period_id, reverses__isnull=True).order_by()
        counts = dict(live.values_list("file_number").annotate(count=Count("*")))
        if not {sum(counts.values()), *counts.values()} & sizes:
            continue
        of_files: dict[int, list[bytes]] = defaultdict(list)
        for file, content in live.values_list("file_number", "content_hash").iterator(chunk_size=10_000):
            of_files[file].append(bytes(content))
        for brought in (*of_files.values(), [content for rows in of_files.values() for content in rows]):
            found[period_id].setdefault(_digest(brought), number)
    return found


def of_own_source(
    stage: Stage,
    both: Sides,
    source: Source,
    periods: Periods,
    left_out: Mapping[int, Collection[datetime.date]],
) -> list[Again]:
    """Return the rows of files that add up which are charges of their source already.

    Of a file whose rows are all there that is each of them; of any other, those of a resource that cost something.
    Equal rows are as many as there are charges of them. What is `left_out`, months by file, is not looked at.
    """
    months = [month_number(month) for month in periods]
    staged, (ids, contents, _) = both
    live = np.frombuffer(ids, dtype=np.int64)
    # What was rejected as the same is no cost of its own.
    same = _asked(Charge.objects.live().filter(source=source, state=State.REJECTED))
    counting = np.flatnonzero(~np.isin(live, list(same.values_list("pk", flat=True))))
    rows, charges = hashes_of(staged), hashes_of(contents)[counting]
    if not len(paired(rows, charges)[0]):
        return []
    delivered = np.array(list(figures.delivered(stage, months)), dtype=np.int64).reshape(-1, 4)
    files = delivered[:, 1]
    is_in = np.ones(len(delivered), dtype=np.bool_)
    for file, out in left_out.items():
        is_in &= (files != file) | ~np.isin(delivered[:, 2], [month_number(month) for month in out])
    places = np.flatnonzero(is_in)
    of_rows, of_charges = paired(rows[places], charges)
    places, numbers = places[of_rows], live[counting][of_charges]
    is_there = np.zeros(len(delivered), dtype=np.bool_)
    is_there[places] = True
    known = [file for file in np.unique(files) if is_there[(files == file) & is_in].all()]
    is_asked = (delivered[places, 3] == 1) | np.isin(files[places], known)
    found = list(zip(places[is_asked].tolist(), numbers[is_asked].tolist(), strict=True))
    imports = _imports_of(pk for _, pk in found)
    again = [
        (int(delivered[place, 0]), rows[place].tobytes(), f"The same row is charge {pk}, of import {imports[pk][0]}.")
        for place, pk in found
    ]
    return _answered(source, again)


def of_several_files(stage: Stage, source: Source, files: Mapping[int, str]) -> list[Again]:
    """Return the new rows of resources that cost something and stand in another file of the import, too.

    `files` are the names, by number, of those that no manifest names: parts that were exported together do not
    overlap. Equal rows of one file stay as many as they are.
    """
    rows_of: dict[bytes, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, file, content in likeness.in_several_files(stage, files):
        rows_of[content][file].append(row)
    again = []
    for content, by_file in rows_of.items():
        most = max(by_file, key=lambda file: (len(by_file[file]), -file))
        told = f"The same row is in {files[most]}, too."
        again += [(row, content, told) for file, rows in by_file.items() if file != most for row in rows]
    return _answered(source, again)


def imports_elsewhere(source: Source, scopes: Iterable[Scope]) -> dict[int, Source]:
    """Return the imports of other sources, by number, that are of an import's months, accounts and currencies."""
    wanted = {(month, same_id(account), currency) for month, account, currency in scopes}
    totals = ImportTotal.objects.filter(
        period__month__in={month for month, _, _ in wanted},
        imported_in__state=Import.State.APPLIED,
        imported_in__source__isnull=False,
    ).exclude(imported_in__source=source)
    sources = Source.objects.in_bulk()
    names = ("imported_in", "imported_in__source", "period__month", "billing_account_id", "currency")
    return {
        number: sources[pk]
        for number, pk, month, account, currency in totals.values_list(*names).distinct()
        if (month, same_id(account), currency) in wanted
    }


def take_turns() -> None:
    """Wait for imports of other sources that are being applied; who comes second sees what the first has committed.

    Until the end of the transaction. On SQLite it holds the only write lock already.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [TURNS])


def of_other_sources(stage: Stage, source: Source, others: Collection[Source], periods: Periods) -> list[Again]:
    """Return the new rows of resources that cost something and are charges of other sources already.

    Such a row says the same in all that makes it a cost: account, resource, service, SKU, category, class, charge
    period, currency and billed amount.
    """
    if not others or not periods:
        return []
    names = {other.pk: other.name for other in others}
    rows, charges = likeness.costs_elsewhere(stage, names, [period.pk for period in periods.values()])
    of_rows, of_charges = paired(_keys(rows), _keys(charges))
    pairs = [(rows[one][:2], charges[other][0]) for one, other in zip(of_rows, of_charges, strict=True)]
    imports = _imports_of(pk for _, pk in pairs)
    again = []
    for (row, content), pk in pairs:
        number, source_id = imports[pk]
        told = f"The same cost is charge {pk}, of import {number} of the source {names[source_id]}."
        again.append((int(row), bytes(content), told))
    return _answered(source, again)


def _answered(source: Source, again: list[tuple[int, bytes, str]]) -> list[Again]:
    """Say of each row (its number, content and what it is) what was decided about it when it came before.

    What was rejected as the same is so again. What was told apart takes its own place again, once its charge was
    withdrawn; one more of it is another question.
    """
    wanted = {content for _, content, _ in again}
    rejected: dict[bytes, int] = {}
    apart: Counter[bytes] = Counter()
    # All of them at once: there is no index by content, and each batch would read all of them.
    asked = Flag.objects.filter(code=CODE, charge__source=source).order_by("charge_id")
    told = ("charge_id", "charge__content_hash", "charge__state", "charge__withdrawn_in", "is_resolved")
    for pk, content, state, withdrawn, is_resolved in asked.values_list(*told).iterator(chunk_size=10_000):
        content = bytes(content)
        if content not in wanted:
            continue
        if state == State.REJECTED:
            rejected[content] = pk
        elif state in (State.APPROVED, State.CHARGED_TO_CENTER) and withdrawn:
            apart[content] += 1
        if is_resolved and not withdrawn:
            apart[content] -= 1
    found = []
    for row, content, detail in sorted(again):
        if content in rejected:
            found.append(Again(row, detail, State.REJECTED, rejected[content]))
        elif apart[content] > 0:
            apart[content] -= 1
            found.append(Again(row, detail, ""))
        else:
            found.append(Again(row, detail))
    return found


def keep_answers(
    again: Collection[Again], imported: Import, files: Sequence[StoredFile], gesture: audit.Gesture
) -> None:
    """Record for the charges that were rejected as they were imported whose decision that was."""
    of_detail = {each.detail: each.decided for each in again if each.decided}
    if not of_detail:
        return
    charges = Charge.objects.filter(imported_in=imported, state=State.REJECTED, replaces__isnull=True)
    details = dict(Flag.objects.filter(code=CODE, charge__in=charges).values_list("charge", "detail"))
    decisions = []
    for charge in charges.order_by("pk"):
        decided = of_detail.get(details.get(charge.pk, ""))
        if decided:
            decisions.append(
                ReviewDecision(
                    charge=charge,
                    file_sha256=files[charge.file_number - 1].sha256,
                    line_number=charge.line_number,
                    action=ReviewDecision.Action.INHERIT,
                    reason=ReviewDecision.Reason.DUPLICATE,
                    before={"charge": decided, "state": State.REJECTED, "billed": plain(charge.billed_cost)},
                    after={"state": State.REJECTED, "billed": plain(charge.billed_cost)},
                    decided_by=gesture.actor.user,
                    decided_by_name=gesture.actor.name,
                    decided_at=gesture.now,
                    gesture=gesture.id,
                )
            )
    ReviewDecision.objects.bulk_create(decisions, batch_size=2_000)


def _asked(charges: ChargeQuerySet) -> ChargeQuerySet:
    """Keep the charges that were held as possible duplicates, whatever became of them."""
    return charges.filter(pk__in=Flag.objects.filter(code=CODE).values("charge"))


def _imports_of(charges: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return the number and the source id of the import of each charge."""
    found: dict[int, tuple[int, int]] = {}
    for some in _parts(list(charges)):
        named = Charge.objects.filter(pk__in=some).values_list("pk", "imported_in", "source")
        found.update({pk: (number, source_id) for pk, number, source_id in named})
    return found


def _keys(costs: Sequence[tuple[Any, ...]]) -> bytes:
    """Return a hash of 16 bytes for each cost: the first two values are its number and content, the last three ids."""
    return b"".join(
        hashlib.blake2b(
            DELIMITER.join([*map(str, cost[2:-3]), *map(same_id, cost[-3:])]).encode(), digest_size=HASH_BYTES
        ).digest()
        for cost in costs
    )


def _each(hashes: bytes | bytearray) -> Iterator[bytes]:
    return (bytes(hashes[start : start + HASH_BYTES]) for start in range(0, len(hashes), HASH_BYTES))


def _digest(contents: Iterable[bytes]) -> bytes:
    """Return what two lots of rows have in common where they are the same, in any order."""
    return hashlib.blake2b(b"".join(sorted(contents))).digest()


def _parts(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
