"""How many e-mails leave in a minute: as many as the policy says, whoever sends them."""

import datetime
import time
from collections.abc import Callable

from billing.models import Policy

from ..models import Email

WINDOW = datetime.timedelta(minutes=1)
# How often somebody who waits looks again, in seconds.
LOOK = 0.25


def wait_for_turn(clock: Callable[[], datetime.datetime], waiting: Callable[[str], None]) -> None:
    """Wait until another e-mail may leave: of all that were begun within the last minute, also by others."""
    most = Policy.objects.current().emails_per_minute
    if not most:
        return
    while Email.objects.filter(claimed_at__gt=clock() - WINDOW).count() >= most:
        waiting(f"Waiting: {most} e-mails a minute")
        time.sleep(LOOK)
