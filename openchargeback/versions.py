"""Which version of the program was installed when, in the audit log."""

import datetime

from billing import audit
from billing.audit import Actor
from billing.models import AuditEvent

from . import __version__

ACTION = "installation.version_set"


def record_version(*, actor: Actor, now: datetime.datetime) -> bool:
    """Record the program's version where it is not the one recorded last; say whether it was recorded."""
    last = AuditEvent.objects.filter(action=ACTION).order_by("-pk").first()
    before = last.after if last else None
    after = {"version": __version__}
    if before == after:
        return False
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record(ACTION, before=before, after=after)
    return True
