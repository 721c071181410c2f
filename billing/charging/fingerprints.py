"""Telling whether what `itemized` reads of a month is still the same, at a fraction of what reading it takes."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Model

from ..models import BillingPeriod
from ..moments import at_one_moment
from .groups import Groups
from .month import Month


@dataclass(frozen=True)
class Fingerprint:
    """What the charges of a month and who pays for them come down to; it says nothing in another process."""

    # By PI. What has no PI goes to the default PI of its source.
    charges: Mapping[int | None, int]
    # Sources, exchange rates, splits and customers.
    besides: int

    def is_same_for(self, pi: int, other: "Fingerprint") -> bool:
        """Tell whether a PI has the same charges there, to be paid in the same way."""
        return self.besides == other.besides and all(
            self.charges.get(each, 0) == other.charges.get(each, 0) for each in (pi, None)
        )


@at_one_moment
def fingerprint_of(period: BillingPeriod) -> Fingerprint:
    """Return the fingerprint of a month's charges as they are now.

    Facts of a charge never change: its id stands for them. Whose payer lines changed is not told: compare these too.
    """
    month = Month(period)
    charges: dict[int | None, int] = defaultdict(int)
    for said in Groups(month).attributions():
        # Added up, so that the order in which the database reads them does not matter.
        charges[said[0]] += hash(said)
    return Fingerprint(charges, hash(repr(_besides(month))))


def _besides(month: Month) -> tuple[object, ...]:
    sources = sorted(month.sources.items())
    return (
        [[*_values(source), *map(_values, source.measure_changes.all())] for _, source in sources],
        sorted(month.rates.items()),
        sorted((split, sorted(shares.items())) for split, shares in month.split_shares.items()),
        [
            sorted((each.pk, each.customer_id) for each in owners.values() if each.customer_id)
            for owners in (month.people, month.projects)
        ],
    )


def _values(row: Model) -> list[object]:
    return [field.value_from_object(row) for field in row._meta.concrete_fields]
