"""Upgrading: rehearsed on a copy of the database first, with proofs and replays, and compared row by row."""

from .comparing import Change
from .rehearsing import NotRehearsed, Rehearsed, rehearse

__all__ = ["Change", "NotRehearsed", "Rehearsed", "rehearse"]
