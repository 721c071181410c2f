"""The review as a spreadsheet: held charges go out to a department, decisions come back."""

from .applying import AppliedSheet, apply
from .columns import COLUMNS, open_flags
from .exporting import export
from .reading import NotAReviewSheet, SheetError, SheetRefused, SheetRow

__all__ = [
    "COLUMNS",
    "AppliedSheet",
    "NotAReviewSheet",
    "SheetError",
    "SheetRefused",
    "SheetRow",
    "apply",
    "export",
    "open_flags",
]
