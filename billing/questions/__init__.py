"""Questions of PIs about what they are charged: asked, answered, and what comes of them."""

from .answering import apply, approve_move, charge_as_it_is, decline_move, leave, may_approve, reject, reply
from .asking import AskedAlready, Subject, TooManyQuestions, ask, is_in_time, propose, withdraw, write
from .marks import Reach, before_close, charges_of, reach_of
from .projects import paid_by
from .rules import LONGEST, ProposalRefused, QuestionRefused, funds_for, moves_sponsored
from .settling import AnsweredAlready, correction_decided, correction_entered, require_to_correct
from .telling import is_to_be_told

__all__ = [
    "AnsweredAlready",
    "AskedAlready",
    "LONGEST",
    "ProposalRefused",
    "QuestionRefused",
    "Reach",
    "Subject",
    "TooManyQuestions",
    "apply",
    "approve_move",
    "ask",
    "before_close",
    "charge_as_it_is",
    "charges_of",
    "correction_decided",
    "correction_entered",
    "decline_move",
    "funds_for",
    "is_in_time",
    "is_to_be_told",
    "leave",
    "may_approve",
    "moves_sponsored",
    "paid_by",
    "propose",
    "reach_of",
    "reject",
    "reply",
    "require_to_correct",
    "withdraw",
    "write",
]
