"""An e-mail that a run would send, or why it is not."""

from dataclasses import dataclass

from ..models import Email, Statement


@dataclass(frozen=True)
class Planned:
    """An e-mail to be sent, or why it is not; its email is not stored where the plan made it."""

    email: Email
    statements: tuple[Statement, ...]
    # This address never got an e-mail with statements before.
    is_first: bool = False
    waits: str = ""
    left_out: str = ""
    # Left out because its statements charge so little.
    is_small: bool = False
