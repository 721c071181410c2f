"""Letters on paper: any name in fonts of our own, shaped, in the right direction, and found again by a search.

HarfBuzz shapes what needs shaping and cuts each font down to the glyphs used. Fonts are embedded by glyph with
their Unicode text beside them, so that ligatures and conjuncts can be searched and copied. Latin takes a
short path: a glyph for each character. Names in other scripts say which language they are read aloud in.
"""

from .direction import OPENING, POP, isolated, plain, runs_left
from .embedding import Lettering
from .faces import BOLD, MINUS, REGULAR, face
from .shaping import Glyph, cleaned, shaped, unprinted, width

__all__ = [
    "BOLD",
    "MINUS",
    "OPENING",
    "POP",
    "REGULAR",
    "Glyph",
    "Lettering",
    "cleaned",
    "face",
    "isolated",
    "plain",
    "runs_left",
    "shaped",
    "unprinted",
    "width",
]
