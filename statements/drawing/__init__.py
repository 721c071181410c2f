"""Documents on paper: statements, proofs and reports as tagged PDFs, the same bytes every time."""

from .proof import draw as draw_proof
from .report import draw as draw_report
from .statement import draw
from .unprinted import stand_ins

__all__ = ["draw", "draw_proof", "draw_report", "stand_ins"]
