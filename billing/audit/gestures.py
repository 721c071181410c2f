"""The audit log: who did what, collected during a gesture and chained when it ends."""

import datetime
import json
import logging
import os
import pwd
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import QuerySet

from ..inserting import insert
from ..models import AuditEvent, AuditHead, User
from ..money import plain
from . import anchors
from .chaining import content_of, event_hash, verify

__all__ = ["Actor", "Gesture", "event_hash", "gesture", "verify"]

log = logging.getLogger("openchargeback.audit")

BATCH = 2_000
# Longer texts are cut in the log: many collectors drop long lines. The audit log has them whole.
LOGGED_CHARACTERS = 2_000


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
        """Return the user named with --as, else the system with the login that runs the command."""
        if user:
            return cls.from_user(user, via="command")
        try:
            # Not by the environment, which everybody can set.
            login = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
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
        before: object = None,
        after: object = None,
        note: str = "",
    ) -> None:
        """Add an event; it is written when the gesture ends, in the same transaction as its doing.

        `before` and `after` are plain values: amounts become exact decimal text, dates ISO text.
        """
        self.events.append(
            AuditEvent(
                at=self.now,
                actor=self.actor.user,
                actor_name=_storable(self.actor.name)[:254],
                via=self.actor.via,
                action=action,
                object_type=subject._meta.model_name or "" if subject else "",
                object_id=str(subject.pk) if subject else "",
                object_label=_storable(str(subject))[:254] if subject else "",
                before=_plain(before),
                after=_plain(after),
                note=_storable(note),
                gesture=self.id,
            )
        )


def _plain(value: object) -> Any:
    """Return a value as JSON gives it back, so that what is hashed is what is stored."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, dict):
        return {_storable(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _storable(text: str) -> str:
    """Return a text that every database takes: file names and strangers' input may hold what none does."""
    # TextChoices are texts, too, and are kept as such.
    text = str(text)
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


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


def export(
    *, events: "QuerySet[AuditEvent]", write: Callable[[str], object], actor: Actor, now: datetime.datetime
) -> int:
    """Write events as JSON lines, oldest first, with their hashes; return how many. That it was done is an event.

    A line holds what the hash is taken of, and `id` and `hash`: docs/security/audit-log.md says how an outsider
    checks them.
    """
    last = events.order_by("-pk").values_list("pk", flat=True).first()
    # Told first: who breaks it off has seen what came until then. In no transaction: nobody waits for a slow reader.
    with gesture(actor=actor, now=now) as exporting:
        exporting.record("audit.exported", after={"last_event": last, "version": settings.VERSION})
    count = 0
    for event in events.filter(pk__lte=last or 0).order_by("pk").iterator(chunk_size=BATCH):
        line = {"id": event.pk, **content_of(event), "hash": event.hash}
        write(json.dumps(line, ensure_ascii=False) + "\n")
        count += 1
    return count


def _chain(events: list[AuditEvent]) -> None:
    """Give each event the hash of the one before, and store them.

    1. Check foreign keys now (PostgreSQL). At commit the check would wait for the rows they name, under the lock on
       the head, and whoever holds such a row may be waiting for the head.
    2. Lock the head: two gestures that end at once would both chain to the same event.
    3. Hash and store the events, then the head. The lock lasts until the commit, which is next: a gesture that is
       rolled back leaves no gap.
    4. After the commit, note the head outside the database: of a gesture that was rolled back nothing is noted.
    """
    if not events:
        return
    if connection.vendor == "postgresql":
        connection.check_constraints()
    AuditHead.objects.get_or_create(pk=1)
    head = AuditHead.objects.select_for_update(no_key=True).get(pk=1)
    for event in events:
        event.previous_hash = head.hash
        event.hash = head.hash = event_hash(event)
    insert(events)
    head.events += len(events)
    head.save()
    transaction.on_commit(lambda: _anchor(head, events[-1].at))
    if log.isEnabledFor(logging.INFO):
        transaction.on_commit(lambda: _tell(events))


def _anchor(head: AuditHead, at: datetime.datetime) -> None:
    # The deed is committed: a full disk must not make it look undone. verify_audit says that notes lag.
    try:
        anchors.note(events=head.events, hash=head.hash, at=at)
    except OSError as error:
        log.error("The head of the audit log (%s events) could not be noted: %s", head.events, error)


def _tell(events: list[AuditEvent]) -> None:
    """Write committed events to the log."""
    for event in events:
        log.info(
            "%s %s by %s via %s",
            event.action,
            _on_one_line(event.object_label or event.object_type or "-"),
            _on_one_line(event.actor_name),
            event.via,
            extra={"fields": {"hash": event.hash, **{name: _cut(it) for name, it in content_of(event).items()}}},
        )


def _on_one_line(text: str) -> str:
    # A name typed at the sign-in page must not write a line of the log.
    return text if text.isprintable() else json.dumps(text, ensure_ascii=False)


def _cut(value: object) -> object:
    if isinstance(value, str):
        return value if len(value) <= LOGGED_CHARACTERS else value[:LOGGED_CHARACTERS] + "…"
    if isinstance(value, dict):
        # As Python writes it: cheaper, and near enough.
        if len(repr(value)) <= LOGGED_CHARACTERS:
            return value
        return {name: _cut(json.dumps(each, ensure_ascii=False)) for name, each in list(value.items())[:20]}
    return value
