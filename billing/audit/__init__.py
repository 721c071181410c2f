"""The audit log: what was done by whom, chained, verified, and its head noted outside the database."""

from .gestures import (
    Actor,
    Gesture,
    event_hash,
    export,
    gesture,
    verify,
)

__all__ = [
    "Actor",
    "Gesture",
    "event_hash",
    "export",
    "gesture",
    "verify",
]
