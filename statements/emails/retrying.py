"""E-mails that the mail server did not take for the moment, tried again by the worker when their time has come."""

import datetime
from collections import defaultdict

from django.db import transaction

from billing.audit import Actor
from billing.background import jobs
from billing.models import Job, User

from ..models import Email

SYSTEM = Actor(name="system", via="task")


def have_due_retried(*, now: datetime.datetime) -> int:
    """Have the e-mails whose time has come sent by jobs, in the name of who had them sent; return how many.

    Each is handed to one job once: where that fails before it comes to an e-mail, the next run tries it, or a person.
    """
    due = Email.objects.filter(try_again_at__lte=now, state__in=Email.TO_SEND)
    found = list(due.select_related("asked_by").order_by("pk"))
    if not found:
        return 0
    taken: dict[tuple[int, User | None], list[int]] = defaultdict(list)
    with transaction.atomic():
        for email in found:
            # Of two workers that look at the same time, one takes it.
            same = Email.objects.filter(pk=email.pk, state=email.state, try_again_at=email.try_again_at)
            if same.update(try_again_at=None):
                taken[email.period_id, email.asked_by].append(email.pk)
        for (period, user), pks in taken.items():
            actor = Actor.from_user(user, via="task") if user else SYSTEM
            jobs.enqueue(kind=Job.Kind.SEND, arguments={"period": period, "emails": pks}, actor=actor, now=now)
    return sum(len(pks) for pks in taken.values())
