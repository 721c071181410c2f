"""The accounts of the FastAPI version: who could sign in there can here, once they have set a password."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError

from billing.addresses import normalized_email
from billing.audit import Gesture
from billing.models import User
from openchargeback.roles import STAFF_ROLES

from .reading import LegacyUser

# Its roles have the names of ours: admin, reviewer, viewer.
ROLES = ("admin", "reviewer", "viewer")


@dataclass(frozen=True)
class Accounts:
    """Accounts that were added, those that were there, and those that could not be, with why."""

    added: tuple[str, ...]
    known: tuple[str, ...]
    refused: tuple[str, ...]


def add(users: Iterable[LegacyUser], *, gesture: Gesture) -> Accounts:
    """Add accounts with their roles and without passwords: those were hashed another way there.

    The first of a name is taken; an account that exists here stays as it is.
    """
    added, known, refused = [], [], []
    seen: set[str] = set()
    for each in users:
        if each.username in seen:
            continue
        seen.add(each.username)
        if User.objects.filter(username=each.username).exists():
            known.append(each.username)
            continue
        if each.role not in ROLES:
            refused.append(f"{each.username}: there is no role “{each.role}”.")
            continue
        first, _, last = each.name.partition(" ")
        user = User(username=each.username, first_name=first, last_name=last, email=normalized_email(each.email))
        user.is_staff = each.role in STAFF_ROLES
        user.set_unusable_password()
        try:
            user.full_clean(exclude=["password"])
        except ValidationError as error:
            refused.append(f"{each.username}: {' '.join(error.messages)}")
            continue
        user.save()
        user.groups.add(Group.objects.get(name=each.role))
        gesture.record("user.added", user, after={"role": each.role}, note="From the FastAPI version.")
        added.append(each.username)
    return Accounts(tuple(added), tuple(known), tuple(refused))
