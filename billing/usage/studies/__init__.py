"""Rate studies: break-even rates from cost pools and the ledger (2 CFR 200.468), adopted and then never changed."""

from .drafting import CostsRefused, Drafted, DraftExists, draft, read_costs, replace_costs
from .equation import Cost, Figures, Finding, Paid, Use, as_data, figures_from_data
from .findings import findings_of
from .loading import SharedCosts, SharedRefused, load_shared, problems_of, read_shared
from .papers import as_pdf, file_name, of_whole, register_drawer
from .sharing import Taken
from .studying import (
    NoSuchStudy,
    RateNotInForce,
    Studied,
    StudyFails,
    adopt,
    age_of,
    before,
    figures_of,
    named,
    rate_of,
    studied,
    taken_of,
)
from .trials import asked_of, closed_months, try_proposed
from .workbook import write_workbook

__all__ = [
    "Cost",
    "CostsRefused",
    "DraftExists",
    "Drafted",
    "Figures",
    "Finding",
    "RateNotInForce",
    "NoSuchStudy",
    "Paid",
    "SharedCosts",
    "SharedRefused",
    "Studied",
    "StudyFails",
    "Taken",
    "Use",
    "adopt",
    "age_of",
    "as_data",
    "as_pdf",
    "asked_of",
    "before",
    "closed_months",
    "draft",
    "figures_from_data",
    "file_name",
    "figures_of",
    "findings_of",
    "load_shared",
    "named",
    "of_whole",
    "problems_of",
    "rate_of",
    "read_costs",
    "read_shared",
    "register_drawer",
    "replace_costs",
    "studied",
    "taken_of",
    "try_proposed",
    "write_workbook",
]
