"""Confirming PIs, and how people are told whether one is known."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.utils import timezone

from .. import audit
from ..attribution import newcomers
from ..audit import Actor
from ..errors import BillingError
from ..models import Person
from ..texts import long_date
from . import releasing

NOT_CONFIRMED = "Not confirmed"


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
