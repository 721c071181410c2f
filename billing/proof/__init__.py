"""That everything adds up: equations, culprits, seals, kept files, and the bridges to provider invoices."""

from .equations import (
    JOURNALED,
    STATED,
    TITLES,
    Equation,
    Finding,
    Proof,
    Side,
    SideLine,
    Verdict,
    exact_text,
    plain,
    prove,
    register_side,
)

__all__ = [
    "Equation",
    "Finding",
    "JOURNALED",
    "Proof",
    "STATED",
    "Side",
    "SideLine",
    "TITLES",
    "Verdict",
    "exact_text",
    "plain",
    "prove",
    "register_side",
]
