"""That everything adds up: equations, culprits, seals, kept files, and the bridges to provider invoices."""

from ..money import plain
from .equations import INVOICED, JOURNALED, STATED, TITLES, Equation, Term, Verdict, exact_text
from .findings import About, Finding
from .proving import Proof, prove
from .sides import Side, SideLine, register_side

__all__ = [
    "About",
    "Equation",
    "Finding",
    "INVOICED",
    "JOURNALED",
    "Proof",
    "STATED",
    "Side",
    "SideLine",
    "TITLES",
    "Term",
    "Verdict",
    "exact_text",
    "plain",
    "prove",
    "register_side",
]
