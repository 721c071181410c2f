"""The staff's screens of statements and of the e-mails that bring them."""

from .emails import EmailAdmin
from .statements import StatementAdmin

__all__ = ["EmailAdmin", "StatementAdmin"]
