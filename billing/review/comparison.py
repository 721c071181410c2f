"""A month attributed as an import would today, compared charge by charge with what stands."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from .. import audit, charging
from ..attribution import (
    NAMED_COLUMNS,
    Attribution,
    Attributor,
    Directory,
    people_of,
    projects_of,
    reference_of,
)
from ..attribution.holding import settle_flags
from ..clocks import Clocks
from ..models import PATHS, AttributionRule, BillingPeriod, Charge, Flag, Policy, ReviewDecision, Source
from ..progress import Progress
from ..readers.columns import TEXTS
from ..readers.tags import tags_of
from ..readers.values import Memo
from ..texts import folded_code
from .batches import batches
from .locked_charges import ChargesChanged
from .reapplied import Example, Move, Reapplied

State = Charge.State

# Charges held in memory at once.
CHUNK = 10_000
# Examples of a result, as many as a person reads.
EXAMPLES = 10

# Who pays as people read it, by the columns of a charge.
SHOWN = ("pi", "project", *NAMED_COLUMNS)

SHARED_AS = SHOWN.index("shared_as")


@dataclass
class Change:
    """What changes of one charge: names as people read them, in the order of SHOWN, and its state."""

    charge: int
    used: str
    billed: Decimal
    currency: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    state_before: str
    state_after: str

    def differing(self) -> tuple[dict[str, str], dict[str, str]]:
        old = dict(zip(SHOWN, self.before, strict=True)) | {"state": self.state_before}
        new = dict(zip(SHOWN, self.after, strict=True)) | {"state": self.state_after}
        names = [name for name in new if old[name] != new[name]]
        return {name: old[name] for name in names}, {name: new[name] for name in names}


@dataclass
class _Tally:
    count: int = 0
    billed: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))


class _Of:
    """What is worked out for the charges of one source, and remembered: most of them are alike."""

    def __init__(self, source: Source, comparison: "Comparison") -> None:
        self.attributor = attributor = Attributor(
            source=source, policy=comparison.policy, directory=comparison.directory, trial=comparison.trial
        )
        tags = Memo(tags_of, 50_000)
        self.attributed = Memo(lambda key: attributor.attribute(tags[key[0]], *key[1:]), 50_000)
        reference, posted = comparison.reference, comparison.period.last_day
        self.checked = Memo(
            lambda key: attributor.check(
                key[0], reference=reference, start=key[1], end=key[2], posted=posted, subsidy_fund_org=key[3]
            ),
            50_000,
        )


class Comparison:
    """One run over a month: every charge is looked at once, what changes is kept, and saved in bulk.

    A rule on `trial` is applied as if it were saved; then nothing is to be saved.
    """

    def __init__(
        self,
        period: BillingPeriod,
        source: Source | None,
        progress: Progress,
        *,
        trial: AttributionRule | None = None,
    ) -> None:
        self.trial = trial
        self.period = period
        self.source = source
        self.progress = progress
        self.changes: list[Change] = []
        self.new_flags: list[Flag] = []
        self.turned_flags: dict[bool, list[int]] = {True: [], False: []}
        self.resolved: Counter[str] = Counter()
        self.raised: Counter[str] = Counter()
        self.looked_at = 0
        self.policy = Policy.objects.current()
        self.reference = reference_of(self.policy)
        self.directory = Directory(self.policy)
        charges = Charge.objects.in_month(period).filter(state__in=(State.CLEAR, State.HELD))
        if source:
            charges = charges.filter(source=source)
        is_decided = Exists(ReviewDecision.objects.filter(charge=OuterRef("pk")))
        self.charges: QuerySet[Charge] = charges.filter(~is_decided).exclude(attributed_by__in=Charge.SETTLED)
        self.everything = charges.count()
        sources = Source.objects.filter(pk__in=self.charges.order_by().values("source").distinct())
        of = {each.pk: _Of(each, self) for each in sources.select_related("default_pi", "default_project")}
        self._look_at(of)

    def outcome(self, *, is_dry_run: bool) -> Reapplied:
        moves: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
        anew = cleared = held = shared = unshared = 0
        digest = hashlib.sha256()
        for change in self.changes:
            if change.before != change.after:
                anew += 1
                shared += bool(change.after[SHARED_AS] and not change.before[SHARED_AS])
                unshared += bool(change.before[SHARED_AS] and not change.after[SHARED_AS])
                tally = moves[_owner(change.before), _owner(change.after)]
                tally.count += 1
                tally.billed[change.currency] += change.billed
            cleared += change.state_after == State.CLEAR != change.state_before
            held += change.state_after == State.HELD != change.state_before
            digest.update(repr((change.charge, change.after, change.state_after)).encode())
        digest.update(repr((sorted(self.turned_flags.items()), len(self.new_flags))).encode())
        return Reapplied(
            period=self.period.iso_month,
            source=self.source.name if self.source else "",
            is_dry_run=is_dry_run,
            looked_at=self.looked_at,
            decided=self.everything - self.looked_at,
            changed=anew,
            cleared=cleared,
            held=held,
            shared=shared,
            unshared=unshared,
            resolved=dict(sorted(self.resolved.items())),
            raised=dict(sorted(self.raised.items())),
            moves=tuple(
                Move(before, after, tally.count, dict(tally.billed))
                for (before, after), tally in sorted(moves.items(), key=lambda each: (-each[1].count, each[0]))
            ),
            examples=tuple(Example(each.charge, each.used, *each.differing()) for each in self.changes[:EXAMPLES]),
            digest=digest.hexdigest(),
        )

    def save(self, gesture: audit.Gesture) -> None:
        """Write what changes, many charges in one statement, and the events that tell of each."""
        attributed = [change for change in self.changes if change.before != change.after]
        self._save_charges(attributed, gesture)
        Flag.objects.bulk_create(self.new_flags, batch_size=5_000)
        for is_resolved, flags in self.turned_flags.items():
            for batch in batches(flags):
                Flag.objects.filter(pk__in=batch).update(is_resolved=is_resolved)
        if attributed:
            charging.stamp_project_splits(self.period)
        subject = Charge()
        for change in self.changes:
            subject.pk = change.charge
            before, after_names = change.differing()
            gesture.record("charge.attribution_reapplied", subject, before=before, after=after_names)

    def _save_charges(self, attributed: "list[Change]", gesture: audit.Gesture) -> None:
        """Write the same change of many charges as one statement, only where they are still as found."""
        people = people_of((change.after[0] for change in attributed), gesture)
        owners: dict[str, str] = {}
        for change in attributed:
            owners.setdefault(change.after[1], change.after[0])
        projects = projects_of(owners, people, gesture)
        alike: dict[tuple[str, str, tuple[str, ...] | None], list[int]] = defaultdict(list)
        for change in self.changes:
            after = change.after if change.before != change.after else None
            alike[change.state_before, change.state_after, after].append(change.charge)
        for (state_before, state_after, after), ids in alike.items():
            values = {"state": state_after} | (_columns_of(after, people, projects) if after else {})
            for batch in batches(ids):
                untouched = Charge.objects.live().filter(pk__in=batch, state=state_before)
                written = untouched.exclude(attributed_by__in=Charge.SETTLED).update(**values)
                if written != len(batch):
                    raise ChargesChanged("Somebody decided about some of these charges meanwhile. Run it again.")

    def _look_at(self, of: "Mapping[int, _Of]") -> None:
        """Compare the charges, of all sources in one pass: as many queries for many sources as for one."""
        asked = dict.fromkeys(column for each in of.values() for column in each.attributor.columns)
        flags: dict[int, list[Flag]] = defaultdict(list)
        charges = self.charges.order_by("id")
        for flag in Flag.objects.filter(charge__in=charges.order_by().values("pk")).order_by("pk").iterator(CHUNK):
            flags[flag.charge_id].append(flag)
        clocks, shown = Clocks(), Memo(_names)
        names = (
            "id",
            "state",
            "charge_period_start",
            "charge_period_end",
            PATHS["tags"],
            "billed_cost",
            "currency",
            "imported_in_id",
        )
        used_for = [PATHS[name] for name in ("service_name", "resource_name", "resource_id")]
        columns = [PATHS[TEXTS[column]] for column in asked]
        rows = charges.values_list(
            *names, "pi_id", "project_id", *SHOWN[2:], *used_for, "source_id", *columns, PATHS["subsidy_fund_org"]
        )
        known, width = len(names) + len(SHOWN), len(names) + len(SHOWN) + 3
        for chunk in _chunks(rows.iterator(chunk_size=CHUNK)):
            of_source: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
            for row in chunk:
                of_source[row[width]].append(row)
            for source_id, listed in of_source.items():
                starts = [clocks.local(row[2], row[7]) for row in listed]
                texts = {name: [row[width + 1 + number] for row in listed] for number, name in enumerate(asked)}
                places = of[source_id].attributor.places(texts, starts)
                for number, (row, start) in enumerate(zip(listed, starts, strict=True)):
                    key = (row[4],) if places is None else (row[4], places[number])
                    attribution: Attribution = of[source_id].attributed[key]
                    reasons = of[source_id].checked[attribution, start, clocks.local(row[3], row[7]), row[-1]]
                    emails, codes = self.directory.emails, self.directory.codes
                    before = (emails.get(row[8], ""), codes.get(row[9], ""), *row[10:known])
                    service, resource_name, resource_id = row[known:width]
                    used = " ".join(filter(None, (service, resource_name or resource_id)))
                    self._compare(row, used, before, shown[attribution], reasons, flags.get(row[0]))
            self.looked_at += len(chunk)
            self.progress(self.looked_at, self.everything, "Attributing charges")

    def _compare(
        self,
        row: Sequence[Any],
        used: str,
        before: tuple[str, ...],
        after: tuple[str, ...],
        reasons: Iterable[tuple[str, str]],
        flags: list[Flag] | None,
    ) -> None:
        """Keep what changes of one charge, if anything does."""
        charge_id, state = row[0], row[1]
        new_state = state
        if reasons or flags:
            flags = flags or []
            was_resolved = [flag.is_resolved for flag in flags]
            settle_flags(flags, {(str(code), detail) for code, detail in reasons}, charge_id=charge_id)
            for flag, was in zip(flags, was_resolved, strict=False):
                if flag.is_resolved != was:
                    self.turned_flags[flag.is_resolved].append(flag.pk)
                    (self.resolved if flag.is_resolved else self.raised)[flag.code] += 1
            added = flags[len(was_resolved) :]
            self.new_flags += added
            self.raised.update(flag.code for flag in added)
            if any(not flag.is_resolved for flag in flags):
                new_state = State.HELD.value
            elif not all(was_resolved):
                # It was held for what is answered now; what was held for no reason stays so.
                new_state = State.CLEAR.value
        if before != after or new_state != state:
            self.changes.append(
                Change(
                    charge=charge_id,
                    used=used,
                    billed=row[5],
                    currency=row[6],
                    before=before,
                    after=after,
                    state_before=state,
                    state_after=new_state,
                )
            )


def _columns_of(after: tuple[str, ...], people: Mapping[str, int], projects: Mapping[str, int]) -> dict[str, Any]:
    """Return who pays, in the order of SHOWN, as values of a charge's columns."""
    named = dict(zip(SHOWN, after, strict=True))
    pi, project = named.pop("pi"), named.pop("project")
    values = {**named, "pi": people.get(pi), "project": projects.get(folded_code(project)) if project else None}
    if named["shared_as"]:
        # Nor does the split of the project it had come along.
        values["payer_split"] = None
    return values


def _owner(shown: tuple[str, ...]) -> str:
    return f"shared as {shown[SHARED_AS]}" if shown[SHARED_AS] else shown[0]


def _names(attribution: Attribution) -> tuple[str, ...]:
    """Return who pays in the order of SHOWN."""
    return (
        attribution.pi_email,
        attribution.project_code,
        *(getattr(attribution, name) for name in SHOWN[2:]),
    )


def _chunks(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
