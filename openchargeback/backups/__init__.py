"""Backups: one file with the database, the files and the head of the audit log, verified and restored by itself."""

from .archive import Archive, Damaged, Manifest, NotABackup
from .keeping import Kept, kept_in, last_made, remove_old
from .making import Made, NotBackedUp, back_up
from .restoring import NotRestored, Restored, restore, settle
from .verifying import verify

__all__ = [
    "Archive",
    "Damaged",
    "Kept",
    "Made",
    "Manifest",
    "NotABackup",
    "NotBackedUp",
    "NotRestored",
    "Restored",
    "back_up",
    "kept_in",
    "last_made",
    "remove_old",
    "restore",
    "settle",
    "verify",
]
