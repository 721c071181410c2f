"""The audit trail: who did what, collected during a gesture and chained when it ends."""

import datetime
import getpass
import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, models, transaction

from .models import AuditEvent, AuditHead, User

BATCH = 5_000


@dataclass(frozen=True)
class Actor:
    """Who acts, and through which door (web, command or task)."""

    name: str
    via: str
    user: User | None = None

    @classmethod
    def from_user(cls, user: User, via: str = "web") -> "Actor":
        return cls(name=user.get_username(), via=via, user=user)

    @classmethod
    def from_command(cls, user: User | None = None) -> "Actor":
        """The user named with --as, else the system with the login that runs the command."""
        if user:
            return cls.from_user(user, via="command")
        try:
            login = getpass.getuser()
        except (KeyError, OSError):
            login = "unknown login"
        return cls(name=f"system ({login})", via="command")


@dataclass
class Gesture:
    """One act of one person: its events share an id and are chained together at its end."""

    actor: Actor
    now: datetime.datetime
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    events: list[AuditEvent] = field(default_factory=list)

    def record(
        self,
        action: str,
        subject: models.Model | None = None,
        *,
        before: Any = None,
        after: Any = None,
        note: str = "",
    ) -> None:
        """Add an event; it is written when the gesture ends, in the same transaction as its doing."""
        self.events.append(
            AuditEvent(
                at=self.now,
                actor=self.actor.user,
                actor_name=self.actor.name,
                via=self.actor.via,
                action=action,
                object_type=subject._meta.model_name or "" if subject else "",
                object_id=str(subject.pk) if subject else "",
                object_label=str(subject)[:254] if subject else "",
                before=before,
                after=after,
                note=note,
                gesture=self.id,
            )
        )


_current: ContextVar[Gesture | None] = ContextVar("gesture", default=None)


@contextmanager
def gesture(*, actor: Actor, now: datetime.datetime) -> Iterator[Gesture]:
    """Run a verb in one transaction that ends by chaining its events; inside another, join it.

    What the verb does and the events that tell of it are committed together or not at all.
    """
    outer = _current.get()
    if outer is not None:
        before = len(outer.events)
        try:
            with transaction.atomic():
                yield outer
        except BaseException:
            # What the verb did is rolled back to its savepoint; so is what tells of it.
            del outer.events[before:]
            raise
        return
    begun = Gesture(actor=actor, now=now)
    token = _current.set(begun)
    try:
        with transaction.atomic():
            yield begun
            _chain(begun.events)
    finally:
        _current.reset(token)


def event_hash(event: AuditEvent) -> str:
    """Return the SHA-256 of an event and the hash before it, in one canonical form on every database."""
    content = {
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
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _insert(events: list[AuditEvent]) -> None:
    """Store events as one prepared statement: bulk_create works out its SQL anew for every 70 rows on SQLite."""
    fields = [field for field in AuditEvent._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(str(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    sql = f"INSERT INTO {AuditEvent._meta.db_table} ({columns}) VALUES ({marks})"  # noqa: S608 (names from the model)
    with connection.cursor() as cursor:
        for start in range(0, len(events), BATCH):
            cursor.executemany(
                sql,
                [
                    tuple(
                        getattr(event, field.attname)
                        if isinstance(field, models.CharField | models.TextField)
                        else field.get_db_prep_save(getattr(event, field.attname), connection)
                        for field in fields
                    )
                    for event in events[start : start + BATCH]
                ],
            )


def _chain(events: list[AuditEvent]) -> None:
    """Give each event the hash of the one before and store them, under a lock on the head."""
    if not events:
        return
    AuditHead.objects.get_or_create(pk=1)
    head = AuditHead.objects.select_for_update().get(pk=1)
    for event in events:
        event.previous_hash = head.hash
        event.hash = head.hash = event_hash(event)
    _insert(events)
    head.events += len(events)
    head.save()
