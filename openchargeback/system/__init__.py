"""What this installation is made of, and whether all of it works."""

from .components import Package, as_cyclonedx, packages
from .gathering import Fact, Group, gather

__all__ = ["Fact", "Group", "Package", "as_cyclonedx", "gather", "packages"]
