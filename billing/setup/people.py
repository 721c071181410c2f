"""Confirming PIs, and loading the list of people an institution knows."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import IO, Any

from django.core.exceptions import ValidationError

from .. import audit
from ..addresses import normalized_email
from ..attribution import newcomers
from ..audit import Actor
from ..audit.snapshots import differences, snapshot
from ..errors import BillingError
from ..models import Person
from ..models.people import Mailboxes
from ..readers.cells import Kind
from ..texts import cleaned
from . import releasing
from .lists import LineError, ListRefused, day_of, read_list

COLUMNS = {
    "email": Kind.CODE,
    "name": Kind.TEXT,
    "department": Kind.CODE,
    "contact_email": Kind.CODE,
    "active_until": Kind.DATE,
}
BATCH = 500
# People named in a preview, as many as a person reads.
SHOWN = 20
NOT_CONFIRMED = "Not confirmed"


class PeopleRefused(ListRefused):
    """A list of people that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "Nobody was loaded."


class NobodyToConfirm(BillingError):
    """PIs were to be confirmed, and none was named."""


@dataclass(frozen=True)
class Confirmed:
    """PIs that somebody confirmed, those that needed no confirmation, and the charges that waited for it."""

    confirmed: tuple[str, ...]
    known: tuple[str, ...]
    released: int
    billed: dict[str, Decimal]

    def __str__(self) -> str:
        said = [f"Confirmed: {', '.join(self.confirmed)}."] if self.confirmed else []
        if self.known:
            said.append(f"Known before: {', '.join(self.known)}.")
        if told := releasing.told(self.released, self.billed):
            said.append(told)
        return " ".join(said)


@dataclass(frozen=True)
class LoadedPeople:
    """What a list of people changed, or would. People that it does not name stay as they are."""

    added: int
    changed: int
    unchanged: int
    released: int = 0
    is_dry_run: bool = False
    # The first that are added or changed, and how.
    examples: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        will = "would be " if self.is_dry_run else ""
        pis = "PI" if self.added == 1 else "PIs"
        text = f"{self.added:,} {pis} {will}added, {self.changed:,} {will}changed, {self.unchanged:,} stay as they are."
        return f"{text} {releasing.told(self.released)}".strip()


def confirm(*, people: Iterable[Person], note: str = "", actor: Actor, now: datetime.datetime) -> Confirmed:
    """Say that these PIs are whom they seem to be, once for all their charges.

    Charges that were held for that alone become clear. Raises NobodyToConfirm.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        ids = sorted({person.pk for person in people})
        locked = list(Person.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("email"))
        if not locked:
            raise NobodyToConfirm("Name the PIs to confirm.")
        new = [person for person in locked if person.confirmed_at is None and not person.is_listed]
        for person in new:
            before = {"confirmed_at": None, "confirmed_by_name": ""}
            _stamp(person, actor, now)
            person.save(update_fields=["confirmed_at", "confirmed_by", "confirmed_by_name"])
            after = {"email": person.email, "confirmed_at": now, "confirmed_by_name": actor.name}
            gesture.record("person.confirmed", person, before=before, after=after, note=note.strip())
        settled = releasing.release(gesture=gesture)
        return Confirmed(
            tuple(person.email for person in new),
            tuple(person.email for person in locked if person not in new),
            settled.cleared,
            settled.billed,
        )


def add_by_hand(person: Person, *, actor: Actor, now: datetime.datetime) -> None:
    """Stamp a PI whom somebody adds by hand as confirmed, unsaved: they typed the address."""
    _stamp(person, actor, now)


def _stamp(person: Person, actor: Actor, now: datetime.datetime) -> None:
    person.confirmed_at, person.confirmed_by, person.confirmed_by_name = now, actor.user, actor.name


def load_people(*, file: IO[bytes], is_dry_run: bool = False, actor: Actor, now: datetime.datetime) -> LoadedPeople:
    """Add and change PIs from a CSV or Excel file with the columns of COLUMNS, of which only `email` is a must.

    Everybody it names is known from then on, and charges that were held for that alone become clear. A column that
    the file lacks leaves that field as it is; an empty cell clears it. An alias stands for its PI. A dry run stores
    nothing.

    Raises PeopleRefused with every mistake by line and column.
    """
    rows = read_list(file, columns=COLUMNS, refused=PeopleRefused)
    if not rows:
        raise PeopleRefused([], "The file names nobody.")
    with audit.gesture(actor=actor, now=now) as gesture:
        stored = {person.email: person for person in Person.objects.all()}
        mailboxes = Mailboxes()
        errors: list[LineError] = []
        lines: dict[str, int] = {}
        added: list[Person] = []
        changed: list[tuple[Person, dict[str, Any]]] = []
        for line, row in rows:
            values = _parse(line, row, errors)
            email = values.pop("email")
            if not email:
                continue
            person = stored.get(mailboxes.owner(email)) or Person(email=email)
            # Two PIs who share a mailbox from before may both be named; two new ones of a mailbox are one.
            key = person.email if person.pk else mailboxes.mailbox(person.email)
            if key in lines:
                errors.append(LineError(line, "email", f"{person.email} is on line {lines[key]} already"))
                continue
            lines[key] = line
            before = snapshot(person, with_links=False)
            for name, value in (values | {"is_listed": True}).items():
                setattr(person, name, value)
            try:
                person.clean_fields()
            except ValidationError as error:
                errors += [
                    LineError(line, name, message.lower() if name == "email" else message)
                    for name, messages in error.message_dict.items()
                    for message in messages
                ]
            if person.pk is None:
                added.append(person)
            elif snapshot(person, with_links=False) != before:
                changed.append((person, before))
        if errors:
            raise PeopleRefused(sorted(errors, key=lambda error: error.line))
        unchanged = len(lines) - len(added) - len(changed)
        examples = tuple(
            [f"{person} is added" for person in added[:SHOWN]]
            + [f"{person.email}: {_changes(person, before)}" for person, before in changed[:SHOWN]]
        )[:SHOWN]
        if is_dry_run:
            return LoadedPeople(len(added), len(changed), unchanged, is_dry_run=True, examples=examples)
        Person.objects.bulk_create(added, batch_size=BATCH)
        fields = ["name", "department", "contact_email", "active_until", "is_listed"]
        Person.objects.bulk_update([person for person, _ in changed], fields, batch_size=BATCH)
        for person in added:
            gesture.record("person.added", person, after=snapshot(person, with_links=False))
        for person, before in changed:
            old, new = differences(before, snapshot(person, with_links=False))
            gesture.record("person.changed", person, before=old, after=new)
        gesture.record("people.loaded", after={"added": len(added), "changed": len(changed)})
        released = releasing.release(gesture=gesture).cleared
        return LoadedPeople(len(added), len(changed), unchanged, released, examples=examples)


def _parse(line: int, row: dict[str, str], errors: list[LineError]) -> dict[str, Any]:
    values: dict[str, Any] = {name: cleaned(row[name]) for name in ("name", "department") if name in row}
    if "contact_email" in row:
        values["contact_email"] = normalized_email(row["contact_email"])
    values["email"] = normalized_email(row["email"])
    if not values["email"]:
        errors.append(LineError(line, "email", "is empty"))
    if "active_until" in row:
        try:
            values["active_until"] = day_of(row["active_until"])
        except ValueError as error:
            errors.append(LineError(line, "active_until", str(error)))
    return values


def _changes(person: Person, before: dict[str, Any]) -> str:
    old, new = differences(before, snapshot(person, with_links=False))
    words = {"is_listed": "on the list", "contact_email": "contact", "active_until": "active until"}
    return ", ".join(
        words[name] if name == "is_listed" else f"{words.get(name, name)} {old[name] or '–'} → {new[name] or '–'}"
        for name in new
    )


def same_mailbox(email: str, others: Iterable[str]) -> str:
    """Say what to do about PIs who share a mailbox: nobody merges them but staff."""
    return (
        f"{email} is the same mailbox as {', '.join(others)}. If that is one PI, give the other address to one as "
        "an alias."
    )


def standing_of(person: Person, known: newcomers.Known) -> str:
    """Say whether a PI is known, and by what."""
    if person.confirmed_at:
        return f"Confirmed by {person.confirmed_by_name} on {person.confirmed_at:%Y-%m-%d}"
    if person.is_listed:
        return "On the list of people"
    if not known.is_checked:
        return "Not checked"
    return "In an own e-mail domain" if known.is_inside(person.email) else NOT_CONFIRMED
