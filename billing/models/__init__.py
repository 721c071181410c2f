"""The data of the month, from the files received to who pays what."""

from . import totalling
from .api_tokens import ApiToken
from .attribution import AttributionRule, CloudAccount
from .audit import AuditEvent, AuditHead
from .charges import Charge, Flag, HeldCharge, ReviewDecision
from .corrections import Correction, CorrectionLine
from .customers import Customer
from .departments import Department
from .dimensions import (
    DIMENSION_MODELS,
    PATHS,
    AccountText,
    Description,
    Dimension,
    Price,
    Product,
    ResourceText,
    TagSet,
    saying,
)
from .funds import FaTreatment, FundException, FundingSource
from .gestures import SentForm
from .imports import Import, ImportedFile, ImportOverlap, ImportTotal, StoredFile
from .jobs import AtWork, Job, Worker
from .kept import Kept
from .logos import Logo
from .month_totals import MonthTotal
from .payers import BillingReference, PayerLine, PayerSplit, PayerSplitShare
from .people import Membership, Person, PersonAlias, Project, User
from .periods import BillingPeriod, ExchangeRate
from .policy import Policy
from .prepaid import PrepaidEntry
from .proofs import FrozenProof, InvoiceTotal
from .questions import DisputedCharge, Message, Question
from .rates import Allocation, RateClassMember, RateSchedule, UsageSubsidy
from .retention import Disposal, DisposedFile, LegalHold
from .saved_views import SavedView
from .shared_costs import SharedCost, SharedCostPart
from .sources import CostMeasureChange, Source
from .studies import CostPool, RateStudy, YearCost
from .usage import PricedMonth, UsageFeed, UsageFile

__all__ = [
    "PrepaidEntry",
    "UsageFile",
    "UsageFeed",
    "PricedMonth",
    "UsageSubsidy",
    "RateSchedule",
    "RateStudy",
    "SharedCost",
    "SharedCostPart",
    "YearCost",
    "RateClassMember",
    "Allocation",
    "AccountText",
    "ApiToken",
    "AtWork",
    "AttributionRule",
    "AuditEvent",
    "AuditHead",
    "BillingPeriod",
    "BillingReference",
    "Charge",
    "CloudAccount",
    "Correction",
    "CorrectionLine",
    "CostMeasureChange",
    "CostPool",
    "Customer",
    "DIMENSION_MODELS",
    "Department",
    "Disposal",
    "DisposedFile",
    "DisputedCharge",
    "Description",
    "Dimension",
    "ExchangeRate",
    "Flag",
    "FrozenProof",
    "FaTreatment",
    "FundException",
    "FundingSource",
    "HeldCharge",
    "Import",
    "ImportOverlap",
    "ImportTotal",
    "ImportedFile",
    "InvoiceTotal",
    "Job",
    "Kept",
    "LegalHold",
    "Logo",
    "Membership",
    "Message",
    "PATHS",
    "MonthTotal",
    "PayerLine",
    "PayerSplit",
    "PayerSplitShare",
    "Person",
    "PersonAlias",
    "Policy",
    "Price",
    "Product",
    "Project",
    "Question",
    "ResourceText",
    "ReviewDecision",
    "SavedView",
    "SentForm",
    "Source",
    "StoredFile",
    "TagSet",
    "User",
    "Worker",
    "saying",
    "totalling",
]
