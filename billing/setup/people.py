"""Confirming PIs, and loading the list of people an institution knows."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from .. import audit
from ..addresses import normalized_email
from ..attribution import newcomers
from ..audit import Actor
from ..audit.snapshots import differences, snapshot
from ..errors import BillingError
from ..models import Department, Person
from ..models.people import Mailboxes
from ..models.typed import words_asked_once
from ..readers.cells import Kind
from ..texts import cleaned, long_date
from . import releasing
from .departments import Departments, DepartmentUnclear, told_of_new
from .lists import ListRefused, Loaded, Loading, read_list

COLUMNS = {
    "email": Kind.CODE,
    "name": Kind.TEXT,
    "department": Kind.CODE,
    "contact_email": Kind.CODE,
    "active_until": Kind.DATE,
}
LISTED_FIELDS = ["name", "department", "contact_email", "active_until", "is_listed"]
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
class LoadedPeople(Loaded):
    """What a list of people changed, or would. People that it does not name stay as they are."""

    NOUNS = ("PI", "PIs")

    # Those that the list names for the first time.
    departments: tuple[str, ...] = ()
    # The first that are added or changed, and how.
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        new = told_of_new(self.departments, is_dry_run=self.is_dry_run)
        return f"{super().__str__()} {new}".strip()


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
    the file lacks leaves that field as it is; an empty cell clears it. An alias stands for its PI. A department is
    named by its code or name, and added where it is neither. A dry run stores nothing.

    Raises PeopleRefused with every mistake by line and column.
    """
    rows = read_list(file, columns=COLUMNS, refused=PeopleRefused, nobody="The file names nobody.")
    with audit.gesture(actor=actor, now=now) as gesture, words_asked_once():
        departments = Departments()
        loading = _loading(rows, departments)
        loading.require_right(PeopleRefused)
        examples = [f"{person} is added" for person in loading.added[:SHOWN]]
        for person, before in loading.changed[:SHOWN]:
            old = departments.by_id.get(before["department"])
            examples.append(f"{person.email}: {_changes(person, before, old)}")
        done = LoadedPeople(
            added=len(loading.added),
            changed=len(loading.changed),
            unchanged=loading.unchanged,
            is_dry_run=is_dry_run,
            departments=tuple(str(each) for each in departments.added),
            examples=tuple(examples[:SHOWN]),
        )
        if is_dry_run:
            return done
        departments.store(gesture)
        Person.objects.bulk_create(loading.added, batch_size=BATCH)
        Person.objects.bulk_update([person for person, _ in loading.changed], LISTED_FIELDS, batch_size=BATCH)
        loading.record(gesture, kind="person")
        gesture.record("people.loaded", after=loading.counts)
        return replace(done, released=releasing.release(gesture=gesture).cleared)


def _loading(rows: list[tuple[int, dict[str, str]]], departments: Departments) -> Loading[Person]:
    """Give everybody on the list what their line says, unsaved."""
    loading: Loading[Person] = Loading()
    stored = {person.email: person for person in Person.objects.all()}
    mailboxes = Mailboxes()
    for line, row in rows:
        values = _values_of(line, row, loading, departments)
        email = values.pop("email")
        if not email:
            continue
        person = stored.get(mailboxes.owner(email)) or Person(email=email)
        # Two PIs who share a mailbox from before may both be named; two new ones of a mailbox are one.
        key = person.email if person.pk else mailboxes.mailbox(person.email)
        if loading.is_first(line, "email", key=key, name=person.email):
            # A new department has no key yet, by which the person would be seen to change.
            is_anew = bool(values.get("department") and values["department"].pk is None)
            loading.fill(line, person, values | {"is_listed": True}, wrong=_wrong, is_linked_anew=is_anew)
    return loading


def _values_of(line: int, row: dict[str, str], loading: Loading[Person], departments: Departments) -> dict[str, Any]:
    values: dict[str, Any] = {"name": cleaned(row["name"])} if "name" in row else {}
    if "department" in row:
        try:
            values["department"] = departments.named(row["department"])
        except DepartmentUnclear as error:
            loading.refuse(line, "department", str(error))
    if "contact_email" in row:
        values["contact_email"] = normalized_email(row["contact_email"])
    values["email"] = normalized_email(row["email"])
    if not values["email"]:
        loading.refuse(line, "email", "is empty")
    if "active_until" in row:
        values["active_until"] = loading.day(line, row, "active_until")
    return values


def _wrong(person: Person) -> list[tuple[str, str]]:
    """Return what is wrong with a person's fields, by column."""
    try:
        # The department is one of those that were found: asked of everybody, it would be a query each.
        person.clean_fields(exclude={"department"})
    except ValidationError as error:
        return [
            (name, message.lower() if name == "email" else message)
            for name, messages in error.message_dict.items()
            for message in messages
        ]
    return []


def _changes(person: Person, before: dict[str, Any], department: Department | None) -> str:
    """Say what changes of a person; `department` is the one before."""
    after = snapshot(person, with_links=False) | {"department": str(person.department or "")}
    old, new = differences(before | {"department": str(department or "")}, after)
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
        return f"Confirmed by {person.confirmed_by_name} on {long_date(timezone.localtime(person.confirmed_at))}"
    if person.is_listed:
        return "On the list of people"
    if not known.is_checked:
        return "Not checked"
    return "In an own e-mail domain" if known.is_inside(person.email) else NOT_CONFIRMED
