"""Whom somebody is here, whom the institution's sign-in names: one rule for the proxy's header and OpenID Connect."""

import datetime
from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Q

from billing import audit
from billing.addresses import normalized_email, vouched_email
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import Membership, Person, PersonAlias, User
from billing.models.people import users_addressed
from billing.texts import long_date


@dataclass(frozen=True)
class Identity:
    """What the institution says about who is there: a sign-in name, an address, or both."""

    name: str
    email: str
    door: str

    @property
    def key(self) -> str:
        """What a session begun by the proxy is bound to."""
        return f"{self.name}\n{self.email}"

    @property
    def address(self) -> str:
        """The address people are matched by, "" for none; a name that is an address stands for one not sent."""
        return vouched_email((self.email or self.name).strip())

    def __str__(self) -> str:
        return self.name or self.email


class Refused(BillingError):
    """Somebody the institution knows may not come in here; the message is for them."""


def user_of(identity: Identity, *, now: datetime.datetime) -> User:
    """Return the account of whom the institution names, making one for a PI who has none.

    An account is found by its user name or its address, a PI by their address or an alias, as they are
    written: what stands behind a plus sign is part of them. An account of staff is found by its own name or
    address alone. What is made here has no password, is not staff and holds no
    role but that of a PI; existing accounts keep the roles that an admin gave them and get none. Raises
    Refused where nobody fits, where more than one does, and for those who are switched off or have left.
    """
    _require_plain(identity)
    address = identity.address
    # A database may fold letters that are not the same: the Kelvin sign and k, the Turkish ı and i.
    by_name = [
        user
        for user in (User.objects.filter(username__iexact=identity.name) if identity.name else ())
        if identity.name.isascii() or user.username == identity.name
    ]
    exact = [user for user in by_name if user.username == identity.name]
    by_name = exact or by_name
    by_address = [
        user for user in (users_addressed(address) if address else ()) if normalized_email(user.email) == address
    ]
    people = _people(address)
    owners = [person.user for person in people if person.user]
    users = {user.pk: user for user in (*by_name, *by_address, *owners)}
    if len(users) > 1 or len(people) > 1:
        raise Refused(
            f"More than one account or PI here fits {identity}. The billing office has to make clear which is yours: "
            "user name, address and the PI’s aliases."
        )
    user = next(iter(users.values()), None)
    person = people[0] if people else None
    # The same user name may be somebody else's at the institution.
    is_named = bool(by_address) or bool(by_name and not (address and user and user.email))
    # An alias makes somebody the PI, but never staff: reviewers write aliases, and choose whose account a PI has.
    if user and not is_named and (user.is_staff or not owners):
        raise Refused(
            f"The account {user.username} has another address here than {address}. "
            "Ask the billing office to correct it."
        )
    if user is None and person is None:
        raise Refused(
            f"Nobody here is known as {identity}. Ask the billing office whether your address is the right one."
        )
    if user and user.is_superuser:
        raise Refused("An account with every right signs in with its password, and never by the institution’s sign-in.")
    if user and not user.is_active:
        raise Refused(f"The account {user.username} is switched off. Ask the billing office.")
    mine = person or (Person.objects.filter(user=user).first() if user else None)
    left = _left_before(mine, now) if mine else None
    if mine and left and not (user and _has_other_business(user, now)):
        raise Refused(f"{mine.email} was a PI here until {long_date(left)}. Ask the billing office.")
    if person and person.user is None:
        return _linked(person, user, identity, now=now)
    assert user is not None
    return user


def _require_plain(identity: Identity) -> None:
    # A proxy that adds to a client's header instead of replacing it makes a list of two.
    for text in (identity.name, identity.email):
        if len(text) > 254 or "," in text or not text.isprintable():
            raise Refused(
                "The institution’s sign-in sent a name that is none. The billing office has to look at the proxy."
            )
    if identity.email and not identity.address:
        raise Refused(f"The institution’s sign-in sent “{identity.email}”, which is no e-mail address.")


def _people(address: str) -> list[Person]:
    if not address:
        return []
    aliased = PersonAlias.objects.filter(email=address).values("person")
    return list(Person.objects.filter(Q(email=address) | Q(pk__in=aliased)).select_related("user"))


def _left_before(person: Person, now: datetime.datetime) -> datetime.date | None:
    """Return the last day of somebody who has left; None for a person who is still here."""
    return person.active_until if person.active_until and person.active_until < now.date() else None


def _has_other_business(user: User, now: datetime.datetime) -> bool:
    """Say whether somebody who left as a PI still is staff, or somebody's delegate."""
    return user.is_staff or Membership.objects.in_force(now.date()).filter(user=user).exists()


def _linked(person: Person, user: User | None, identity: Identity, *, now: datetime.datetime) -> User:
    """Tie a PI to their account, made where there is none; twice at once ties once."""
    actor = Actor(name=str(identity), via=identity.door)
    with audit.gesture(actor=actor, now=now) as gesture:
        locked = Person.objects.select_for_update(no_key=True).get(pk=person.pk)
        if locked.user_id:
            # Another request of the same person was first.
            return User.objects.get(pk=locked.user_id)
        if user is None:
            user = User(username=_free_name(person, identity), email=identity.address)
            user.set_unusable_password()
            user.save()
            user.groups.set(Group.objects.filter(name="pi"))
            gesture.record("user.added", user, after={"email": user.email, "groups": ["pi"]}, note="By single sign-on.")
        locked.user = user
        locked.save(update_fields=["user"])
        gesture.record("person.changed", locked, before={"user": None}, after={"user": user.username})
    return user


def _free_name(person: Person, identity: Identity) -> str:
    for name in (identity.name, person.email):
        try:
            User._meta.get_field("username").run_validators(name)
        except ValidationError:
            continue
        if name and not User.objects.filter(username__iexact=name).exists():
            return name
    return f"pi-{person.pk}"
