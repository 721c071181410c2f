"""Who records are charged to, in arrays with a place for each payer."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import BillingError
from .terms import ClassKind, Payer, RateClass, Schedule, Scope

Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]


class UnknownClass(BillingError):
    """A payer has a rate class that the schedule does not have."""


class Scoped(NamedTuple):
    """What each payer is in a scope: `names` that are unique, and which of them each payer has."""

    names: list[str]
    codes: Codes

    def is_known(self, scope: Scope, place: int) -> bool:
        """Tell whether a name says whose use it is. Of a feed, all use is everybody's."""
        return scope is Scope.FEED or self.names[place] != ""


class Payers:
    """The payers of a month's records. Raises UnknownClass."""

    def __init__(self, payers: Sequence[Payer], schedule: Schedule) -> None:
        self.payers = payers
        # Without a class of their own, payers are charged the list price.
        self.classes = (RateClass(""), *schedule.classes)
        places = {each.name: place for place, each in enumerate(self.classes)}
        for payer in payers:
            if payer.rate_class not in places:
                known = ", ".join(each.name for each in schedule.classes) or "none"
                raise UnknownClass(
                    f"{payer.pi or payer.account or 'A payer'} has the rate class {payer.rate_class}, which "
                    f"{schedule.name}, version {schedule.version}, does not have. Allowed: {known}."
                )
        self.class_of: Codes = np.array([places[payer.rate_class] for payer in payers], dtype=np.int64)
        kinds = [each.kind for each in self.classes]
        self.is_external: Flags = np.array([kind is ClassKind.EXTERNAL for kind in kinds], dtype=bool)[self.class_of]
        self.is_held: Flags = np.array([not payer.pi for payer in payers], dtype=bool)
        self.scoped = cache(self._scoped)

    def _scoped(self, scope: Scope) -> Scoped:
        places: dict[str, int] = {}
        codes = [places.setdefault(payer.scope(scope), len(places)) for payer in self.payers]
        return Scoped(list(places), np.array(codes, dtype=np.int64))
