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


# Asked on every staff page, so it must be cheap: no query whose time grows with the data.
Check = Callable[[User], Notice | None]

_checks: dict[str, Check] = {}


def register(name: str, check: Check) -> None:
    """Ask a check on every staff page, in the order of registration; the same name again replaces its check."""
    _checks[name] = check


def notices_for(user: User) -> list[Notice]:
    """Return what a member of staff is told now; nothing for anybody else."""
    if not (user.is_active and user.is_staff):
        return []
    return [notice for check in _checks.values() if (notice := check(user))]
