"""What every staff page says above its content: conditions of the whole installation that staff must know of.

An app registers a check when it is ready. Pages show what the checks find, and nothing where they find nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .errors import NextStep
from .models import User

Tone = Literal["info", "warn", "bad"]


@dataclass(frozen=True)
class Notice:
    """A sentence or two for staff, and the step that says more or mends it, for those who may take it."""

    text: str
    tone: Tone = "warn"
    then: NextStep | None = None


# Asked on staff pages, so it must be cheap: no query whose time grows with the data.
Check = Callable[[User], Notice | None]

_checks: dict[str, Check] = {}
# Those asked only where a page hands work to the background worker.
_of_queued_work: set[str] = set()


def register(name: str, check: Check, *, where_work_is_queued: bool = False) -> None:
    """Ask a check on every staff page, in the order of registration; the same name again replaces its check.

    With `where_work_is_queued` it is asked only on pages that hand work to the background worker.
    """
    _checks[name] = check
    (_of_queued_work.add if where_work_is_queued else _of_queued_work.discard)(name)


def notices_for(user: User, *, queues_work: bool = True) -> list[Notice]:
    """Return what a member of staff is told now; nothing for anybody else.

    `queues_work` says whether the page hands work to the background worker.
    """
    if not (user.is_active and user.is_staff):
        return []
    asked = [check for name, check in _checks.items() if queues_work or name not in _of_queued_work]
    return [notice for check in asked if (notice := check(user))]
