"""Sources that are kept by day or by month: their rows are added up before any of them becomes a charge."""

from .adding import Rollup
from .grain_reader import GrainReader

__all__ = ["GrainReader", "Rollup"]
