"""Rows on their way to become charges: staged beside them in temporary tables, or loaded straight into them."""

from .direct_load import DirectLoad, NotLoadable
from .tables import Hashes, Stage

__all__ = ["DirectLoad", "Hashes", "NotLoadable", "Stage"]
