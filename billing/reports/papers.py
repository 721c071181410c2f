"""Reports on paper: drawn by the app that has fonts, which registers how."""

from collections.abc import Callable
from typing import Any

from . import briefing
from .tables import Report

# Draws the data of a report as a PDF.
Drawer = Callable[[dict[str, Any]], bytes]
_drawer: list[Drawer] = []


def register_drawer(drawer: Drawer) -> None:
    """Have reports drawn by `drawer`; a later one takes its place."""
    _drawer[:] = [drawer]


def as_pdf(report: Report) -> bytes:
    """Return a report as a PDF for whoever decides about the money: its sums, trend and tables."""
    return _drawer[0](briefing.of(report))
