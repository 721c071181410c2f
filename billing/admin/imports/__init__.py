"""The screens of imports: their list, the page of each, what can be done with it, and the page of uploads."""

from .screen import ImportAdmin

__all__ = ["ImportAdmin"]
