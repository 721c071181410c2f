"""Documents on paper: statements and proofs as tagged PDFs, the same bytes every time."""

from .proof import draw as draw_proof
from .statement import draw
from .unprinted import stand_ins

__all__ = ["draw", "draw_proof", "stand_ins"]
