"""The chain of the audit log: what each event's hash is taken of, and whether the audit log is as it was written."""

import datetime
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models import AuditEvent, AuditHead
from ..progress import Progress, unwatched
from . import anchors
from .anchors import Anchor

BATCH = 2_000
# Breaks told one by one; of the others only the number.
SHOWN = 100


def content_of(event: AuditEvent) -> dict[str, Any]:
    """Return what the hash of an event is taken of, in one form on every database."""
    return {
        "at": event.at.astimezone(datetime.UTC).isoformat(timespec="microseconds"),
        "actor": event.actor_id,
        "actor_name": event.actor_name,
        "via": event.via,
        "action": event.action,
        "object": [event.object_type, event.object_id, event.object_label],
        "before": event.before,
        "after": event.after,
        "note": event.note,
        "gesture": str(event.gesture),
        "previous": event.previous_hash,
    }


def event_hash(event: AuditEvent) -> str:
    """Return the SHA-256 of an event's content, the hash before it included, as canonical JSON in UTF-8."""
    text = json.dumps(content_of(event), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Break:
    """Something about the audit log that is not as it was written. `event` is the id of the event to look at.

    `kind` is edited, missing, inserted, reordered, tail, head, anchor or unreadable.
    """

    kind: str
    event: int | None
    message: str


@dataclass
class Verified:
    """What a verification found: the audit log is whole where `breaks` is empty."""

    events: int = 0
    hash: str = ""
    breaks: list[Break] = field(default_factory=list)
    # Breaks beyond those told one by one.
    further: int = 0
    # The latest head noted outside the database that the audit log agrees with.
    anchor: Anchor | None = None
    # What is odd about the notes and no sign that the audit log was changed, a sentence each.
    warnings: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.breaks

    @property
    def lag(self) -> int:
        return self.events - (self.anchor.events if self.anchor else 0)


def verify(*, anchor: Path | None = None, progress: Progress = unwatched) -> Verified:
    """Read the whole audit log, in bounded memory, and say everything about it that is not as it was written.

    Without `anchor`, a file of noted heads (`anchors.default_path()` is this installation's), the audit log is
    held against itself and its head only: a tail cut off together with the head, or a log written anew
    from some event on, is not found then. Events may be added meanwhile.
    """
    return _Verification(anchor, progress).run()


class _Verification:
    def __init__(self, anchor: Path | None, progress: Progress) -> None:
        self.path = anchor
        self.progress = progress
        self.done = Verified()
        # Read before the events: whatever is noted by now is committed.
        self.notes = anchors.read(anchor) if anchor else None
        self.noted = {each.hash: each for each in self.notes.anchors} if self.notes else {}
        # What may stand as the hash before the next event: as stored, or as it should have been stored.
        self.expected: tuple[str, ...] = ("",)
        self.last: AuditEvent | None = None
        self.last_id = 0

    def run(self) -> Verified:
        head = AuditHead.objects.filter(pk=1).first()
        if head is None and not AuditEvent.objects.exists():
            # Unless somebody emptied both: the notes outside know.
            self._check_notes()
            return self.done
        total = head.events if head else 0
        at_head: AuditEvent | None = None
        while True:
            for event in self._events():
                self._check(event)
                if head and event.hash == head.hash:
                    at_head = event
                self.progress(self.done.events, max(total, self.done.events), "Verifying")
            latest = AuditHead.objects.filter(pk=1).first()
            if not head or not latest or (latest.events, latest.hash) == (head.events, head.hash):
                break
            # Events were added since the head was read: read on to where it is now.
            head, at_head = latest, self.last if self.last and self.last.hash == latest.hash else None
        self._check_head(head, at_head)
        self._check_notes()
        return self.done

    @property
    def last_pk(self) -> int | None:
        return self.last.pk if self.last else None

    def _events(self) -> Iterator[AuditEvent]:
        """Yield what was not read yet, by id; an event that cannot be read is told of and passed over."""
        while True:
            following = AuditEvent.objects.filter(pk__gt=self.last_id).order_by("pk")
            try:
                batch = list(following[:BATCH])
            except (ValueError, TypeError):
                for pk in list(following.values_list("pk", flat=True)[:BATCH]):
                    self.last_id = pk
                    try:
                        yield AuditEvent.objects.get(pk=pk)
                    except (ValueError, TypeError) as error:
                        self.done.events += 1
                        # Whatever the next one follows is as good as this one's hash.
                        self.expected = ()
                        self._break("unreadable", pk, f"Event #{pk} cannot be read: {error}.")
                continue
            if not batch:
                return
            for event in batch:
                self.last_id = event.pk
                yield event

    def _check(self, event: AuditEvent) -> None:
        self.done.events += 1
        try:
            computed = event_hash(event)
        except (AttributeError, TypeError, ValueError) as error:
            self._break("unreadable", event.pk, f"Event #{event.pk} cannot be read: {error}.")
            computed = event.hash
        if self.expected and event.previous_hash not in self.expected:
            self._tell_order(event, computed)
        elif computed != event.hash:
            self._break("edited", event.pk, f"Event #{event.pk} was edited: its content does not have its hash.")
        self.expected = (event.hash, computed)
        self.last = event
        self.done.hash = event.hash
        for found in self.expected:
            if noted := self.noted.pop(found, None):
                self.done.anchor = max(self.done.anchor or noted, noted, key=lambda each: each.events)

    def _tell_order(self, event: AuditEvent, computed: str) -> None:
        """Say why an event does not follow the one before it."""
        number = event.pk
        if computed != event.hash and any(_with_previous(event, each) == event.hash for each in self.expected):
            self._break("edited", number, f"Event #{number} was edited: the hash of the event before it was changed.")
            return
        if computed != event.hash:
            self._break(
                "inserted",
                number,
                f"Event #{number} is not of this chain: neither its hash nor the one before it fits.",
            )
            return
        if len(self.done.breaks) >= SHOWN:
            self._break("reordered", number, "")
            return
        followed = AuditEvent.objects.filter(hash=event.previous_hash).order_by("pk").first()
        before = f"#{self.last.pk}" if self.last else "the beginning"
        if event.previous_hash == "":
            self._break("reordered", number, f"Event #{number} was the first of all, and now stands after {before}.")
        elif followed is None:
            self._break(
                "missing",
                number,
                f"Between {before} and event #{number} something is missing: one or more events were deleted, or "
                f"the one before was edited and given a new hash.",
            )
        elif followed.pk > number:
            self._break("reordered", number, f"Event #{number} stands before event #{followed.pk}, which it followed.")
        elif self.last and not AuditEvent.objects.filter(previous_hash=self.last.hash).exclude(pk=number).exists():
            self._break(
                "inserted",
                self.last_pk,
                f"Event {before} was inserted, alone or with others: event #{number} follows #{followed.pk}.",
            )
        else:
            self._break(
                "reordered",
                number,
                f"Event #{number} followed #{followed.pk}, and now stands after {before}.",
            )

    def _check_head(self, head: AuditHead | None, at_head: AuditEvent | None) -> None:
        count, last = self.done.events, self.last
        if head is None:
            self._break("head", None, f"The head of the chain is gone, and {count:,} events are there.")
        elif at_head is None and not (head.events == count and head.hash in self.expected):
            if head.events > count or last is None:
                missing = f"{head.events - count:,} of {head.events:,}" if head.events > count else "the last"
                self._break("tail", self.last_pk, f"The end is cut off: {missing} events are not there.")
            else:
                self._break("head", self.last_pk, f"The head is not of this chain: it names {head.events:,} events.")
        elif at_head is not None and last is not None and at_head.pk != last.pk:
            self._break(
                "inserted",
                last.pk,
                f"Events after #{at_head.pk} were inserted: the head of the chain knows none.",
            )
        elif head.events != count and not self.done.breaks:
            self._break("head", self.last_pk, f"The head counts {head.events:,} events, and {count:,} are there.")

    def _check_notes(self) -> None:
        """Hold the audit log against the heads that were noted outside the database."""
        if self.path is None:
            return
        if self.notes is None:
            if self.done.events:
                self._break(
                    "anchor",
                    None,
                    f"There is no noted head at {self.path}: whether the end was cut off cannot be said. The next "
                    "event notes one. A copy kept elsewhere can be checked in its place.",
                )
            return
        for line in self.notes.torn:
            self.done.warnings.append(
                f"Line {line} of {self.path} ends in the middle, as a full disk or a power cut leaves it. It says "
                "nothing; the notes before and after it count."
            )
        for line in self.notes.unreadable:
            self._break("anchor", None, f"Line {line} of {self.path} cannot be read: look who wrote there.")
        if not self.notes.anchors and not self.notes.unreadable and self.done.events:
            self._break("anchor", None, f"No head is noted in {self.path}: whether the end was cut off cannot be said.")
        # An earlier note that does not fit makes the later ones not fit, too.
        unmet = sorted(self.noted.values(), key=lambda each: each.events)
        if not unmet:
            return
        first, latest = unmet[0], unmet[-1]
        if first.events > self.done.events:
            self._break(
                "tail",
                self.last_pk,
                f"The end is cut off: on {latest.when} there were {latest.events:,} events, now {self.done.events:,}.",
            )
            return
        known = self.done.anchor.events if self.done.anchor and self.done.anchor.events < first.events else 0
        self._break(
            "anchor",
            None,
            f"The log is not the one noted on {first.when}: event {first.events:,} had the hash {first.hash[:16]}…, "
            f"which is no longer there. Something was changed after event {known:,} and up to it.",
        )

    def _break(self, kind: str, event: int | None, message: str) -> None:
        if len(self.done.breaks) < SHOWN:
            self.done.breaks.append(Break(kind, event, message))
        else:
            self.done.further += 1


def _with_previous(event: AuditEvent, previous: str) -> str:
    kept, event.previous_hash = event.previous_hash, previous
    try:
        return event_hash(event)
    finally:
        event.previous_hash = kept
