"""Emergency access: an admin again, when nobody can get in."""

import datetime
import difflib
from dataclasses import dataclass

from axes.utils import reset as unlock
from django.contrib.auth.models import Group
from django.core.validators import validate_email
from django.db.models import Q

from billing import audit
from billing.addresses import normalized_email
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import User
from billing.setup import passwords

ROLE = "admin"


class CannotRecover(BillingError):
    """There is no such user and none may be made, or the roles are not there yet."""


@dataclass(frozen=True)
class Recovered:
    """An admin who can come in by `link`; what it took is in `changes`."""

    user: User
    link: str
    is_new: bool
    changes: tuple[str, ...]


def recover_admin(
    *, username: str, email: str = "", create: bool = False, actor: Actor, now: datetime.datetime
) -> Recovered:
    """Switch an account on, give it the role admin and a link to set a password; all its sessions end.

    The account is unlocked and its old password no longer works. A superuser stays one. With
    `create` an account that does not exist is made. Raises CannotRecover.
    """
    role = Group.objects.filter(name=ROLE).first()
    if role is None:
        raise CannotRecover("There is no role admin yet. Run `manage.py initialize` first.")
    with audit.gesture(actor=actor, now=now) as gesture:
        user = User.objects.select_for_update(no_key=True).filter(username=username).first()
        is_new = user is None
        if user is None:
            if not create:
                raise CannotRecover(_unknown(username))
            user = User(username=username, email=normalized_email(email))
            if user.email:
                validate_email(user.email)
            user.set_unusable_password()
            user.full_clean(exclude=["password"])
        changes = []
        if is_new:
            changes.append("account made")
        elif not user.is_active:
            changes.append("switched on")
        if user.has_usable_password():
            changes.append("old password removed, all sessions ended")
        user.is_active = user.is_staff = True
        # Even one that had none gets another: what stands in for it is drawn anew, and sessions hang on that.
        user.set_unusable_password()
        user.save()
        if not user.groups.filter(pk=role.pk).exists():
            user.groups.add(role)
            changes.append("role admin given")
        if unlock(username=username):
            changes.append("unlocked")
        gesture.record("user.recovered", user, after={"changes": changes})
        return Recovered(user, passwords.make_link(user=user, actor=actor, now=now), is_new, tuple(changes))


def _unknown(username: str) -> str:
    admins = User.objects.filter(Q(groups__name=ROLE) | Q(is_superuser=True)).distinct()
    names = sorted(admins.values_list("username", flat=True))
    like = difflib.get_close_matches(username, User.objects.values_list("username", flat=True), n=3)
    said = f"There is no user “{username}”."
    if like:
        said += f" Did you mean {', '.join(like)}?"
    said += f" Admins are {', '.join(names)}." if names else " There is no admin."
    return f"{said} To make a new account, add --create."
