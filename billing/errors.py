"""The one base of every refusal that a person can act on, and the name of what to do next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class NextStep:
    """What a person does next, by name: `review` about {"period": "2025-01"}.

    The engine knows no page and no command line. Each door words the step its own way, from the table in
    `billing/wordings.py`: a command there, a button or link here.
    """

    name: str
    about: Mapping[str, str] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """The step as a job keeps it for its page."""
        return {"name": self.name, "about": dict(self.about)}


class BillingError(Exception):
    """A request that cannot be carried out, with a message that says what was wrong.

    The message names no command, flag or page. What to do about it is `then`, which each door words. The errors
    themselves stand beside the code that raises them; every door catches this base.
    """

    then: NextStep | None = None

    def __init__(self, message: str = "", *, then: NextStep | None = None) -> None:
        super().__init__(message)
        if then is not None:
            self.then = then


class ReasonMissing(BillingError):
    """What has to be justified came without a reason."""


class WrongState(BillingError):
    """Something is not in a state for what was asked of it."""


class MissingCenterFundOrg(BillingError):
    """The center is to pay, and the policy names no fund/org of its own."""


class NoLongerKept(BillingError):
    """An upload that was waiting for somebody is not kept any more."""


class PreviewOutdated(BillingError):
    """What was shown and confirmed is no longer what would be done; nothing was done."""
