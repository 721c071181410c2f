"""Delegates as PIs name them: who may see a PI's costs, how much of them, and from when."""

import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from .. import audit
from ..addresses import normalized_email
from ..audit import Actor
from ..audit.snapshots import differences, snapshot
from ..errors import BillingError
from ..models import Membership, MonthTotal, Person, Project, User
from ..models.people import users_addressed
from ..texts import quoted

DAY = datetime.timedelta(days=1)


class NotNamed(BillingError):
    """Somebody who cannot be made a delegate."""


class NoAccount(NotNamed):
    """Somebody who has no account here yet."""


def projects_of(pi: Person) -> "QuerySet[Project]":
    """Return the projects that a PI may give to a delegate: those she leads, or has charges in."""
    charged = MonthTotal.objects.filter(pi=pi, project__isnull=False).order_by().values("project").distinct()
    return Project.objects.filter(Q(pi=pi) | Q(pk__in=charged)).order_by("code")


def name_delegate(
    *,
    pi: Person,
    who: str,
    project: Project | None = None,
    may_act: bool = False,
    receives_statements: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Membership:
    """Let somebody with an account see all of a PI's costs, or those of one project, from today on.

    `who` is an e-mail address or a user name. Raises NoAccount, or NotNamed for those who see it already.
    """
    today = timezone.localdate(now)
    user = account_of(who)
    with audit.gesture(actor=actor, now=now) as gesture:
        # Two who name the same person at once make one delegate.
        Person.objects.select_for_update(no_key=True).get(pk=pi.pk)
        if Person.objects.who_are(user).filter(pk=pi.pk).exists():
            raise NotNamed(f"{quoted(who)} is your own account: you see all your statements already.")
        named = _named(pi, user, today)
        if named.filter(project__isnull=True).exists():
            raise NotNamed(f"{quoted(who)} is a delegate for all your projects already. You can change that below.")
        if project and named.filter(project=project).exists():
            raise NotNamed(f"{quoted(who)} is a delegate for {project} already. You can change that below.")
        made = Membership.objects.create(
            person=pi,
            user=user,
            project=project,
            valid_from=today,
            may_act=may_act,
            receives_statements=receives_statements,
        )
        gesture.record("membership.added", made, after=_told(made))
        return made


def change_delegate(
    *, membership: Membership, may_act: bool, receives_statements: bool, actor: Actor, now: datetime.datetime
) -> bool:
    """Say anew whether a delegate may act and gets copies of e-mails; return whether that is any different."""
    with audit.gesture(actor=actor, now=now) as gesture:
        membership = Membership.objects.select_for_update(no_key=True).get(pk=membership.pk)
        before = _told(membership)
        membership.may_act, membership.receives_statements = may_act, receives_statements
        was, is_now = differences(before, _told(membership))
        if not is_now:
            return False
        membership.save(update_fields=["may_act", "receives_statements"])
        gesture.record("membership.changed", membership, before=was, after=is_now)
        return True


def remove_delegate(*, membership: Membership, actor: Actor, now: datetime.datetime) -> None:
    """End what a delegate may see, at once: yesterday was the last day.

    One who was named today has no last day and is deleted. The audit log has what it was.
    """
    yesterday = timezone.localdate(now) - DAY
    with audit.gesture(actor=actor, now=now) as gesture:
        held = Membership.objects.select_for_update(no_key=True).filter(pk=membership.pk).first()
        if held is None or (held.valid_until and held.valid_until <= yesterday):
            return
        gesture.record("membership.removed", held, before=_told(held))
        if held.valid_from <= yesterday:
            held.valid_until = yesterday
            held.save(update_fields=["valid_until"])
        else:
            held.delete()


def refusal_of(*, pi: Person, user: User, who: str, now: datetime.datetime | None = None) -> str:
    """Say why somebody is not made a delegate of one project of a PI; "" where nothing is against it."""
    if Person.objects.who_are(user).filter(pk=pi.pk).exists():
        return f"{quoted(who)} is the PI's own account"
    if _named(pi, user, timezone.localdate(now)).filter(project__isnull=True).exists():
        return f"{quoted(who)} is a delegate for all projects of {pi.email} already"
    return ""


def _named(pi: Person, user: User, today: datetime.date) -> "QuerySet[Membership]":
    return Membership.objects.filter(person=pi, user=user).exclude(valid_until__lt=today)


def account_of(who: str) -> User:
    """Return the account that an e-mail address or a user name means. Raises NoAccount or NotNamed."""
    text = who.strip()
    by_name = User.objects.filter(username=text)
    found = {user.pk: user for user in (*by_name, *(users_addressed(normalized_email(text)) if "@" in text else ()))}
    if not found:
        raise NoAccount(
            f"{quoted(text)} has no account here yet. Ask the billing office to make one, and name them then. "
            "Only who has an account can be a delegate."
        )
    if len(found) > 1:
        raise NotNamed(f"{quoted(text)} is the user name of one account and the address of another. Write the other.")
    (user,) = found.values()
    if not user.is_active:
        raise NotNamed(f"The account {quoted(text)} is switched off. Ask the billing office.")
    return user


def _told(membership: Membership) -> dict[str, object]:
    """Return a delegate as the audit log keeps it, with names beside the keys."""
    return {
        **snapshot(membership),
        "delegate": membership.user.get_username(),
        "pi": membership.person.email,
        "project_code": membership.project.code if membership.project else "",
    }
