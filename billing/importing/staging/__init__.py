"""Rows on their way to become charges: staged beside them in temporary tables."""

from .tables import Hashes, Stage

__all__ = ["Hashes", "Stage"]
