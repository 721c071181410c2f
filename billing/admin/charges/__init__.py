"""The screens of charges: the queue of those to review, and all of them as delivered."""

from .all_charges import ChargeAdmin
from .queue import HeldChargeAdmin

__all__ = ["ChargeAdmin", "HeldChargeAdmin"]
