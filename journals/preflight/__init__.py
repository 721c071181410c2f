"""The preflight: what the ledger would refuse of a journal, found before it is submitted."""

from .acknowledging import Acknowledged, NothingToAcknowledge, acknowledge
from .checks import counted
from .findings import CHECKS, Finding, PreflightFailed, Report
from .running import check, require_passed
from .validators import Remark

__all__ = [
    "CHECKS",
    "Acknowledged",
    "Finding",
    "NothingToAcknowledge",
    "PreflightFailed",
    "Remark",
    "Report",
    "acknowledge",
    "check",
    "counted",
    "require_passed",
]
