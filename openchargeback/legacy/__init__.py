"""An installation of the FastAPI version of OpenChargeback, brought over as if it had been run here.

Its database is read and never written. Each month of each source becomes a FOCUS file that is imported like any other,
so that hashes, the audit log and the proof hold; what was decided, sent and journaled there is so here.
"""

from .bringing import Brought, bring
from .reading import NotLegacy

__all__ = ["Brought", "NotLegacy", "bring"]
