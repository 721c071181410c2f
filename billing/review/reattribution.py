"""Re-applying tags, rules and defaults to the charges of a month that nobody decided about."""

import datetime
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from .. import audit, charging
from ..attribution import Attribution, Attributor, people_of, projects_of, reference_of
from ..attribution.holding import settle_flags
from ..audit import Actor
from ..background import jobs
from ..clocks import Clocks
from ..errors import BillingError
from ..models import BillingPeriod, Charge, Flag, Job, Person, Policy, Project, ReviewDecision, Source
from ..money import named, plain
from ..months import closing
from ..progress import Progress, unwatched
from ..readers.columns import TEXTS
from ..readers.values import Memo, tags_of
from ..texts import folded_code
from .batches import batches
from .locked_charges import ChargesChanged
from .outcome import counted

State = Charge.State

# Charges held in memory at once.
CHUNK = 10_000
# Examples of a result, as many as a person reads.
EXAMPLES = 10

# Who pays as people read it, by the columns of a charge.
SHOWN = (
    "pi",
    "project",
    "fund_org",
    "cost_center",
    "natural_account",
    "reference_1",
    "reference_2",
    "shared_as",
    "attributed_by",
    "deciders",
)


SHARED_AS = SHOWN.index("shared_as")


class PreviewOutdated(BillingError):
    """What re-applying would do is not what was shown any more."""


@dataclass(frozen=True)
class Move:
    """Charges that change from one PI to another (or stay with one and change in project, fund or the like).

    In place of a PI stands `shared as NAME` for a cost that is shared over what its source charged.
    """

    pi_before: str
    pi_after: str
    count: int
    billed: Mapping[str, Decimal]

    def as_data(self) -> dict[str, Any]:
        return {
            "from": self.pi_before,
            "to": self.pi_after,
            "count": self.count,
            "billed": {currency: plain(self.billed[currency]) for currency in sorted(self.billed)},
        }


@dataclass(frozen=True)
class Example:
    """One charge that changes: what was and will be of who pays and of its state."""

    charge: int
    used: str
    before: Mapping[str, str]
    after: Mapping[str, str]

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """What changes: its name as people write it, before and after."""
        return [(worded(name), self.before[name], self.after[name]) for name in self.after]

    def as_data(self) -> dict[str, Any]:
        return {"charge": self.charge, "used": self.used, "before": dict(self.before), "after": dict(self.after)}

    def __str__(self) -> str:
        changes = ", ".join(f"{name} {before or '–'} → {after or '–'}" for name, before, after in self.changes)
        return f"charge {self.charge} ({self.used or 'no resource'}): {changes}"


@dataclass(frozen=True)
class Reapplied:
    """What re-applying did, or would do in a dry run; `digest` stands for exactly this outcome."""

    period: str
    source: str
    is_dry_run: bool
    looked_at: int
    decided: int
    changed: int
    cleared: int
    held: int
    # Charges that become a cost shared over what their source charged, and the reverse.
    shared: int
    unshared: int
    resolved: Mapping[str, int]
    raised: Mapping[str, int]
    moves: tuple[Move, ...]
    examples: tuple[Example, ...]
    digest: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Reapplied":
        """Return what `as_data` (and the digest) was made of, as a job has kept it."""
        moves = tuple(
            Move(
                each["from"], each["to"], each["count"], {code: Decimal(text) for code, text in each["billed"].items()}
            )
            for each in data["moves"]
        )
        examples = tuple(
            Example(each["charge"], each["used"], each["before"], each["after"]) for each in data["examples"]
        )
        names = ("period", "source", "looked_at", "decided", "changed", "cleared", "held", "shared", "unshared")
        return cls(
            **{name: data[name] for name in (*names, "resolved", "raised", "digest")},
            is_dry_run=data["dry_run"],
            moves=moves,
            examples=examples,
        )

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to change."""
        return not (self.changed or self.cleared or self.held or self.resolved or self.raised)

    def as_data(self) -> dict[str, Any]:
        return {
            "period": self.period,
            "source": self.source,
            "dry_run": self.is_dry_run,
            "looked_at": self.looked_at,
            "decided": self.decided,
            "changed": self.changed,
            "cleared": self.cleared,
            "held": self.held,
            "shared": self.shared,
            "unshared": self.unshared,
            "resolved": dict(self.resolved),
            "raised": dict(self.raised),
            "moves": [move.as_data() for move in self.moves],
            "examples": [example.as_data() for example in self.examples],
        }

    @property
    def summary(self) -> str:
        """The outcome in a sentence or two."""
        if self.is_idle:
            return f"{self.period}: {counted(self.looked_at)} looked at; nothing changes."
        would = "would be " if self.is_dry_run else ""
        text = (
            f"{self.period}: {counted(self.looked_at)} looked at, {self.changed:,} {would}attributed anew, "
            f"{self.cleared:,} {would}cleared, {self.held:,} {would}newly held."
        )
        if self.shared or self.unshared:
            text += f" Of them {self.shared:,} {would}shared and {self.unshared:,} {would}shared no longer."
        return f"Dry run, nothing was changed. {text}" if self.is_dry_run else text

    def as_text(self) -> str:
        """The outcome for a person, with the next step."""
        lines = [self.summary]
        if self.decided:
            lines.append(f"  {counted(self.decided)} left alone: people decided about them.")
        for word, codes in (("reasons answered", self.resolved), ("reasons raised", self.raised)):
            if codes:
                lines.append(f"  {word}: {', '.join(f'{code} {number:,}' for code, number in codes.items())}")
        for move in self.moves:
            billed = ", ".join(f"{named(move.billed[currency], currency)}" for currency in sorted(move.billed))
            pis = (
                f"{move.pi_before or 'no PI'} → {move.pi_after or 'no PI'}"
                if move.pi_before != move.pi_after
                else f"{move.pi_before or 'no PI'}, other details"
            )
            lines.append(f"  {pis}: {counted(move.count)}, {billed}")
        if self.examples:
            lines += ["  For example:", *(f"    {example}" for example in self.examples)]
        return "\n".join(lines)


def worded(name: str) -> str:
    """Return the name of a column as people write it."""
    words = {"pi": "PI", "fund_org": "fund/org", "attributed_by": "decided by", "deciders": "namely"}
    return words.get(name, name.replace("_", " "))


def reapply(
    *,
    period: BillingPeriod,
    source: Source | None = None,
    dry_run: bool = False,
    expected: str = "",
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Reapplied:
    """Attribute the charges of a month as an import would today, and check anew whether they must be held.

    It looks at clear and held charges that nobody ever decided about, of one source or of all. A held
    charge whose every open reason is answered becomes clear; one that has a reason now is held. With
    `expected`, the digest of a dry run, nothing is done unless it would do just that.

    Raises PeriodClosed, PreviewOutdated, and ChargesChanged where somebody decided meanwhile.
    """
    if dry_run:
        closing.require_open(period)
        return _Reapplying(period, source, progress).outcome(is_dry_run=True)
    with audit.gesture(actor=actor, now=now) as gesture:
        closing.require_open(period)
        work = _Reapplying(period, source, progress)
        outcome = work.outcome(is_dry_run=False)
        if expected and outcome.digest != expected:
            raise PreviewOutdated("Charges, rules or tags changed since this was shown. Look at it again, then apply.")
        work.save(gesture)
        if not outcome.is_idle:
            told = {name: value for name, value in outcome.as_data().items() if name not in ("examples", "dry_run")}
            gesture.record("period.attribution_reapplied", period, after=told)
        return outcome


def reapply_later(
    *,
    period: BillingPeriod,
    source: Source | None = None,
    dry_run: bool = False,
    expected: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Job:
    """Have the worker do what `reapply` does; who asks twice gets the same job. Raises PeriodClosed."""
    closing.require_open(period)
    of = f"{period} {source.name if source else '*'}"
    return jobs.enqueue(
        kind=Job.Kind.ATTRIBUTE,
        subject=f"{'preview of ' if dry_run else ''}{of}"[:64],
        arguments={
            "period": str(period),
            "source": source.name if source else "",
            "dry_run": dry_run,
            "expected": expected,
        },
        actor=actor,
        now=now,
    )


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Re-apply as a background job. `arguments`: period, source (a name, or ""), dry_run, expected."""
    done = reapply(
        period=BillingPeriod.objects.named(arguments["period"]),
        source=Source.objects.named(arguments["source"]) if arguments["source"] else None,
        dry_run=arguments["dry_run"],
        expected=arguments["expected"],
        actor=actor,
        now=now,
        progress=progress,
    )
    return {"message": done.summary, "digest": done.digest, **done.as_data()}


def shown_by(job: Job, period: BillingPeriod) -> Reapplied | None:
    """Return what a job found re-applying to a month would do, None where it is no such job or not done."""
    found = job.result or {}
    if job.kind != Job.Kind.ATTRIBUTE or job.state != Job.State.DONE or not found.get("dry_run"):
        return None
    return Reapplied.from_data(found) if found["period"] == str(period) else None


@dataclass
class _Change:
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


class _Reapplying:
    """One run over a month: every charge is looked at once, what changes is kept, and saved in bulk."""

    def __init__(self, period: BillingPeriod, source: Source | None, progress: Progress) -> None:
        self.period = period
        self.source = source
        self.progress = progress
        self.changes: list[_Change] = []
        self.new_flags: list[Flag] = []
        self.turned_flags: dict[bool, list[int]] = {True: [], False: []}
        self.resolved: Counter[str] = Counter()
        self.raised: Counter[str] = Counter()
        self.looked_at = 0
        self.policy = Policy.objects.current()
        self.reference = reference_of(self.policy)
        self.emails = dict(Person.objects.values_list("id", "email"))
        self.codes = dict(Project.objects.values_list("id", "code"))
        charges = Charge.objects.in_month(period).filter(state__in=(State.CLEAR, State.HELD))
        if source:
            charges = charges.filter(source=source)
        is_decided = Exists(ReviewDecision.objects.filter(charge=OuterRef("pk")))
        self.charges: QuerySet[Charge] = charges.filter(~is_decided).exclude(attributed_by__in=Charge.SETTLED)
        self.everything = charges.count()
        for each in Source.objects.filter(pk__in=self.charges.order_by().values("source").distinct()).order_by("name"):
            self._look_at(each)

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
            period=str(self.period),
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
            values: dict[str, Any] = {"state": state_after}
            if after is not None:
                named = dict(zip(SHOWN, after, strict=True))
                pi, project = named.pop("pi"), named.pop("project")
                values |= named
                values |= {"pi": people.get(pi), "project": projects.get(folded_code(project)) if project else None}
                if named["shared_as"]:
                    # Nor does the split of the project it had come along.
                    values["payer_split"] = None
            for batch in batches(ids):
                untouched = Charge.objects.live().filter(pk__in=batch, state=state_before)
                written = untouched.exclude(attributed_by__in=Charge.SETTLED).update(**values)
                if written != len(batch):
                    raise ChargesChanged("Somebody decided about some of these charges meanwhile. Run it again.")
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

    def _look_at(self, source: Source) -> None:
        attributor = Attributor(source=source, policy=self.policy)
        fields = {column: TEXTS[column] for column in attributor.columns}
        charges = self.charges.filter(source=source).order_by("id")
        flags: dict[int, list[Flag]] = defaultdict(list)
        for flag in Flag.objects.filter(charge__in=charges.order_by().values("pk")).order_by("pk").iterator(CHUNK):
            flags[flag.charge_id].append(flag)
        tags, clocks = Memo(tags_of, 50_000), Clocks()
        attributed = Memo(lambda key: attributor.attribute(tags[key[0]], *key[1:]), 50_000)
        posted = self.period.last_day
        checked = Memo(
            lambda key: attributor.check(key[0], reference=self.reference, start=key[1], end=key[2], posted=posted),
            50_000,
        )
        shown = Memo(_names)
        names = (
            "id",
            "state",
            "charge_period_start",
            "charge_period_end",
            "tags",
            "billed_cost",
            "currency",
            "imported_in_id",
        )
        rows = charges.values_list(
            *names, "pi_id", "project_id", *SHOWN[2:], "service_name", "resource_name", "resource_id", *fields.values()
        )
        known, width = len(names) + len(SHOWN), len(names) + len(SHOWN) + 3
        for chunk in _chunks(rows.iterator(chunk_size=CHUNK)):
            starts = [clocks.local(row[2], row[7]) for row in chunk]
            columns = {name: [row[width + number] for row in chunk] for number, name in enumerate(fields)}
            places = attributor.places(columns, starts)
            for number, (row, start) in enumerate(zip(chunk, starts, strict=True)):
                key = (row[4],) if places is None else (row[4], places[number])
                attribution: Attribution = attributed[key]
                reasons = checked[attribution, start, clocks.local(row[3], row[7])]
                before = (self.emails.get(row[8], ""), self.codes.get(row[9], ""), *row[10:known])
                service, resource_name, resource_id = row[known:width]
                used = " ".join(filter(None, (service, resource_name or resource_id)))
                self._compare(row, used, before, shown[attribution], reasons, flags.get(row[0]))
            self.looked_at += len(chunk)
            self.progress(self.looked_at, 0, f"Attributing {source}")

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
                _Change(
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
