"""Once: a form that is sent twice, by a double click or by going back, is done once.

Each page that asks for something carries a token of its own. Whoever sends it claims it, in a transaction of its own
and before anything is done, so that the second of two at the same moment finds it claimed. What was refused gives the
token back; what was done keeps where it led to. The same page filled in differently is something else.
"""

import datetime
import hashlib
import re
import secrets
import time
from collections.abc import Iterable

from django.db import transaction

from .models import SentForm, User

# How long it is known that a form was sent. Sessions are shorter, and no page outlives its session.
KEPT = datetime.timedelta(days=30)
# How long whoever sends a form again waits for the first to be done.
WAIT_SECONDS = 10.0
_TOKEN = re.compile(r"once-[\w-]{22}")


def token() -> str:
    """Return a token for a page that is shown now."""
    return f"once-{secrets.token_urlsafe(16)}"


def token_in(text: str) -> str:
    """Return the token at the start of what a form sent; "" where there is none."""
    found = _TOKEN.match(text)
    return found[0] if found else ""


def key_of(*, token: str, user: User, sent: Iterable[str]) -> str:
    """Return what a form that is sent is known by."""
    parts = [token, str(user.pk), *sent]
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def claim(*, key: str, user: User, now: datetime.datetime) -> SentForm | None:
    """Claim a form that is being sent; None where it was sent before."""
    SentForm.objects.filter(sent_at__lt=now - KEPT).delete()
    with transaction.atomic():
        form, is_new = SentForm.objects.get_or_create(key=key, defaults={"sent_by": user, "sent_at": now})
    return form if is_new else None


def done(form: SentForm, *, led_to: str, now: datetime.datetime) -> None:
    """Keep where it led to."""
    SentForm.objects.filter(pk=form.pk).update(done_at=now, led_to=led_to)


def release(form: SentForm) -> None:
    """Let a form be sent again that was refused: nothing was done."""
    SentForm.objects.filter(pk=form.pk).delete()


def sent_before(key: str) -> SentForm | None:
    """Return the form that was sent before, when it is done or was waited for long enough; None: it was refused."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        form = SentForm.objects.filter(pk=key).first()
        if form is None or form.done_at or time.monotonic() > until:
            return form
        time.sleep(0.1)
