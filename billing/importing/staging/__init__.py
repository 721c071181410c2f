"""Rows on their way to become charges: staged beside them in temporary tables."""

from .tables import Stage

__all__ = ["Stage"]
