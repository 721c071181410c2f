"""The data of the month, from the files received to who pays what."""

from .attribution import AttributionRule, CloudAccount
from .audit import AuditEvent, AuditHead
from .charges import Charge, Flag, HeldCharge, ReviewDecision
from .entries import Entry, EntryLine
from .imports import Import, ImportedFile, ImportOverlap, ImportTotal, StoredFile
from .jobs import Job
from .payers import BillingReference, PayerLine, PayerSplit, PayerSplitShare
from .people import FundingSource, Membership, Person, PersonAlias, Project, User
from .periods import BillingPeriod, ExchangeRate
from .policy import Policy
from .proofs import FrozenProof, InvoiceTotal
from .sources import CostMeasureChange, Source

__all__ = [
    "AttributionRule",
    "AuditEvent",
    "AuditHead",
    "BillingPeriod",
    "BillingReference",
    "Charge",
    "CloudAccount",
    "CostMeasureChange",
    "Entry",
    "EntryLine",
    "ExchangeRate",
    "Flag",
    "FrozenProof",
    "FundingSource",
    "HeldCharge",
    "Import",
    "ImportOverlap",
    "ImportTotal",
    "ImportedFile",
    "InvoiceTotal",
    "Job",
    "Membership",
    "PayerLine",
    "PayerSplit",
    "PayerSplitShare",
    "Person",
    "PersonAlias",
    "Policy",
    "Project",
    "ReviewDecision",
    "Source",
    "StoredFile",
    "User",
]
