"""Documents on paper: statements, proofs, reports and rate studies as tagged PDFs, the same bytes every time."""

from .proof import draw as draw_proof
from .report import draw as draw_report
from .statement import draw
from .study import draw as draw_study
from .unprinted import stand_ins

__all__ = ["draw", "draw_proof", "draw_report", "draw_study", "stand_ins"]
