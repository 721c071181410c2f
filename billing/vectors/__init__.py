"""Drawings in plain colors, read from SVG: lines, curves, fills and strokes are taken, and anything else refused."""

from .reading import read, written
from .shapes import NotPlain, Shape, Vector

__all__ = ["NotPlain", "Shape", "Vector", "read", "written"]
